//! The same tests, as a user who is not root.

use super::*;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Nobody's, as all systems number it.
const NOBODY: u32 = 65_534;

/// Runs those whose names begin with one of these, as nobody.
fn hold_as_nobody(containment: Containment, tests: &[&str]) {
    // Root runs them so; whoever is not root runs them all anyway.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let [binary, tests_of, home] = ["worker", "tests", "home"].map(|name| dir.path().join(name));
    // Where they were built may be for root alone.
    std::fs::copy(super::binary(), &binary).unwrap();
    std::fs::copy(std::env::current_exe().unwrap(), &tests_of).unwrap();
    std::fs::create_dir(&home).unwrap();
    chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut command = Command::new(&tests_of);
    command.args(tests).args(["--skip", "unprivileged::"]).current_dir(&home).uid(NOBODY).gid(NOBODY);
    command.env(BINARY, &binary).env(CONTAINMENT, containment.word()).env("HOME", &home).env("TMPDIR", &home);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "as nobody, by {containment}:\n{said}");
    assert!(!said.contains("running 0 tests"), "{said}");
}

#[test]
fn all_holds_for_who_is_not_root_in_a_user_namespace() {
    hold_as_nobody(Containment::UserNamespace, &[]);
}

#[test]
fn nobody_survives_for_who_is_not_root_with_a_guardian() {
    hold_as_nobody(
        Containment::Guardian,
        &["containment::nobody_survives_the_guardian", "launcher::", "confined::"],
    );
}
