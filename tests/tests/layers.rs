//! The crates know only those above them in the list, the core leads to no I/O and the journal to no runtime: read from what cargo resolves.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// What each crate may use of ours.
const MAY_USE: [(&str, &[&str]); 6] = [
    ("worker-proto", &[]),
    ("worker-core", &["worker-proto"]),
    ("worker-journal", &["worker-proto", "worker-core"]),
    ("worker-net", &["worker-proto"]),
    ("worker-stdio", &[]),
    ("worker-bin", &["worker-proto", "worker-core", "worker-journal", "worker-net", "worker-stdio"]),
];

/// Crates that do I/O, tell the time, start threads or throw dice; and such as wait for those that do.
const IMPURE: [&str; 16] = [
    "tokio",
    "tokio-util",
    "futures-core",
    "libc",
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

/// All packages that the normal dependencies of a crate lead to.
fn tree(package: &str, more: &[&str]) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(more);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.split(' ').next());
    names.filter(|&name| name != package).map(str::to_owned).collect()
}

#[test]
fn crates_use_only_the_layers_they_may() {
    let ours: BTreeMap<&str, &[&str]> = MAY_USE.into();
    for (package, allowed) in MAY_USE {
        let mut used = tree(package, &[]);
        used.retain(|name| ours.contains_key(name.as_str()) || name == "worker-tests");
        let allowed: BTreeSet<String> = allowed.iter().map(|&name| name.to_owned()).collect();
        assert!(used.is_subset(&allowed), "{package} uses {used:?}, but may use only {allowed:?}");
    }
}

#[test]
fn the_core_leads_to_no_io() {
    for features in [&[][..], &["--all-features"]] {
        let all = tree("worker-core", features);
        assert!(all.contains("worker-proto"), "cargo tree was understood: {all:?}");
        let impure: Vec<&String> = all.iter().filter(|name| IMPURE.contains(&name.as_str())).collect();
        assert!(impure.is_empty(), "worker-core {features:?} leads to {impure:?}");
    }
}

#[test]
fn the_core_reads_json_only_if_asked_to() {
    assert!(!tree("worker-core", &[]).contains("serde_json"));
    assert!(tree("worker-core", &["--features", "json-keys"]).contains("serde_json"));
}

#[test]
fn the_journal_needs_no_runtime() {
    let all = tree("worker-journal", &[]);
    assert!(all.contains("worker-core"), "cargo tree was understood: {all:?}");
    for name in ["tokio", "tokio-util", "mio", "tracing", "socket2", "serde_json"] {
        assert!(!all.contains(name), "worker-journal leads to {name}");
    }
}

/// What `cargo add worker-core` lists is what its README explains.
#[test]
fn the_core_offers_the_features_that_its_readme_names() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let metadata: serde_json::Value =
        serde_json::from_slice(&command.output().expect("cargo can be run").stdout)
            .expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let core = packages.iter().find(|package| package["name"] == "worker-core").expect("the core is there");
    let offered: BTreeSet<&str> =
        core["features"].as_object().expect("features have names").keys().map(String::as_str).collect();
    let readme = include_str!("../../worker-core/README.md");
    let (_, section) = readme.split_once("## Features").expect("a section about features");
    let (section, _) = section.split_once("\n## ").expect("a section after it");
    let named = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(offered, named.collect());
}
