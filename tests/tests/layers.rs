//! The crates know only those above them in the list, and the core has no I/O: read from what cargo resolves.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What each crate may use of ours.
const MAY_USE: [(&str, &[&str]); 5] = [
    ("worker-proto", &[]),
    ("worker-core", &["worker-proto"]),
    ("worker-journal", &["worker-proto", "worker-core"]),
    ("worker-net", &["worker-proto"]),
    ("worker-bin", &["worker-proto", "worker-core", "worker-journal", "worker-net"]),
];

/// Crates that do I/O, tell the time, start threads or throw dice. What `tokio-util`'s codec traits bring along (`libc`, a
/// `tokio` without runtime) is looked at by feature below.
const IMPURE: [&str; 12] = [
    "mio",
    "socket2",
    "rustix",
    "nix",
    "async-io",
    "polling",
    "rand",
    "getrandom",
    "fastrand",
    "chrono",
    "time",
    "tempfile",
];

/// The features of `tokio` that hold no clock, socket, thread or runtime.
const PURE_TOKIO: [&str; 2] = ["default", "sync"];

/// All packages that the normal dependencies of a crate lead to, with their features.
fn tree(package: &str, more: &[&str]) -> BTreeMap<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}|{f}"])
        .args(more);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let lines = text.lines().filter_map(|line| line.split_once('|'));
    let named = lines.map(|(what, features)| (what.split(' ').next().unwrap_or_default(), features));
    let others = named.filter(|(name, _)| *name != package);
    others.map(|(name, features)| (name.to_owned(), features.trim_end_matches(" (*)").to_owned())).collect()
}

#[test]
fn crates_use_only_the_layers_they_may() {
    let ours: BTreeMap<&str, &[&str]> = MAY_USE.into();
    for (package, allowed) in MAY_USE {
        let used = tree(package, &[]).into_keys();
        let used: BTreeSet<String> =
            used.filter(|name| ours.contains_key(name.as_str()) || name == "worker-tests").collect();
        let allowed: BTreeSet<String> = allowed.iter().map(|&name| name.to_owned()).collect();
        assert!(used.is_subset(&allowed), "{package} uses {used:?}, but may use only {allowed:?}");
    }
}

#[test]
fn the_core_leads_to_no_io() {
    let all = tree("worker-core", &[]);
    assert!(all.contains_key("worker-proto"), "cargo tree was understood: {all:?}");
    let impure: Vec<&String> = all.keys().filter(|name| IMPURE.contains(&name.as_str())).collect();
    assert!(impure.is_empty(), "worker-core leads to {impure:?}");
    let tokio = all.get("tokio").map_or("", String::as_str);
    let impure: Vec<&str> = tokio.split(',').filter(|f| !f.is_empty() && !PURE_TOKIO.contains(f)).collect();
    assert!(impure.is_empty(), "worker-core leads to tokio with {impure:?}");
    let direct = tree("worker-core", &["--depth", "1"]);
    for name in ["tokio", "tokio-util", "libc"] {
        assert!(!direct.contains_key(name), "worker-core itself uses {name}");
    }
}
