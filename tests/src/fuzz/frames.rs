//! The decoder of frames. What it does stands beside `worker-proto`'s own tests, which try arbitrary frames on it.

#[path = "../../../worker-proto/tests/wire/exercise.rs"]
mod exercise;

pub(super) fn run(data: &[u8]) {
    exercise::exercise(data);
}
