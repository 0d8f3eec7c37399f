//! How things are said: text of others made harmless, and sizes, durations and numbers.

pub mod escape;
pub mod units;
