//! The wire format: its fixed bytes, its round trip, and what it makes of hostile bytes.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod arbitrary;
mod exercise;
mod golden;
mod hostile;
mod round_trip;
