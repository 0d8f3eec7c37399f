//! The real `worker` binary, started, watched, disturbed and cleaned up.
//!
//! A [`Scratch`] is one test: its directory, its files and every process it started, descendants included. Dropping it kills
//! what the test left running, and fails the test if a process outlives its worker (invariant I11). All waiting is for a
//! condition with a deadline ([`eventually`]).
//!
//! The binary is the one `cargo build -p worker-bin` makes for the profile of the running test: cargo tells only
//! `worker-bin`'s own tests where it is, so it is built here once per test executable (which costs nothing where it is up to
//! date, and never tests a stale one). `WORKER_BIN=path` tests that file instead. `WORKER_TEST_KEEP=1` keeps the directory of a
//! test that fails.

mod binary;
mod browser;
mod crew;
mod disk;
mod flow;
mod nodes;
mod pty;
mod scratch;
mod victims;
mod worker;

pub use binary::worker_binary;
pub use browser::{Browser, Keys};
pub use crew::{Crew, Hits};
pub use disk::Disk;
pub use flow::{Difference, FLOW, MemoryBefore};
pub use nodes::Nodes;
pub use pty::Pty;
pub use scratch::{Scratch, eventually, free_port, holds_for};
pub use victims::{descendants, kill_living};
pub use worker::{Finished, Running, Start};
