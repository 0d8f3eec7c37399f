//! How things are said: text of others made harmless, sizes, durations and numbers, and all of it in the room there is.

pub mod escape;
pub mod harmless;
pub(crate) mod names;
pub(crate) mod pathname;
pub mod table;
pub mod terminal;
pub mod units;
pub mod width;
