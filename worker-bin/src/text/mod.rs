//! How things are said: text of others made harmless.

pub mod escape;
