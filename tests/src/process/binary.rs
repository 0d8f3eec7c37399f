//! Where the binary is.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `worker` binary, up to date.
///
/// # Panics
/// It cannot be built; the compiler's words are on standard error.
#[must_use]
pub fn worker_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("WORKER_BIN") {
        Some(path) => std::path::absolute(&path).expect("WORKER_BIN names a file"),
        None => build(),
    })
}

fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the test knows its own path");
    // target/<profile>/deps/<test>
    let profile_dir = test.ancestors().nth(2).expect("tests run from target/<profile>/deps");
    let target_dir = profile_dir.parent().expect("tests run from target/<profile>/deps");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "worker-bin", "--bin", "worker", "--target-dir"]);
    cargo.arg(target_dir).current_dir(env!("CARGO_MANIFEST_DIR"));
    if profile_dir.file_name().is_some_and(|name| name != "debug") {
        cargo.arg("--profile").arg(profile_dir.file_name().unwrap_or_default());
    }
    let status = cargo.status().expect("cargo can be run");
    assert!(status.success(), "cannot build the worker binary: {cargo:?} ended with {status}");
    profile_dir.join("worker")
}
