//! Which link a record goes to.

/// Decides the link of every record a task produces.
#[derive(Debug)]
pub struct Router;
