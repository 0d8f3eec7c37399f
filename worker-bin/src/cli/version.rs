//! What this binary is, as `build.rs` has found it.

/// In a line: `-V`.
pub(crate) const SHORT: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("WORKER_COMMIT"),
    ", features: ",
    env!("WORKER_FEATURES"),
    ")"
);

/// Whole: `--version`.
pub(crate) const LONG: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ncommit: ",
    env!("WORKER_COMMIT"),
    "\nfeatures: ",
    env!("WORKER_FEATURES"),
    "\ntarget: ",
    env!("WORKER_TARGET"),
    "\nprofile: ",
    env!("WORKER_PROFILE"),
);
