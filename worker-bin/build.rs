//! Tells the binary what it is built of: the commit, the features, for which machine and with which profile.
//!
//! Nothing here depends on the time or on where the sources lie, so the same sources give the same binary; and it runs again only
//! when the commit changes.

use std::path::{Path, PathBuf};

/// Hexadecimal digits of a commit that are shown.
const DIGITS: usize = 12;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=WORKER_COMMIT");
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let given = std::env::var("WORKER_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(|| of_package(&package)).or_else(|| of_checkout(&package));
    let commit = commit.map_or_else(|| "unknown".to_owned(), |commit| commit.chars().take(DIGITS).collect());
    println!("cargo::rustc-env=WORKER_COMMIT={commit}");
    println!("cargo::rustc-env=WORKER_FEATURES={}", features());
    println!("cargo::rustc-env=WORKER_TARGET={}", variable("TARGET"));
    println!("cargo::rustc-env=WORKER_PROFILE={}", variable("PROFILE"));
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// As the manifest calls them, or that there are none.
fn features() -> String {
    let names =
        std::env::vars().filter_map(|(name, _)| Some(name.strip_prefix("CARGO_FEATURE_")?.to_lowercase()));
    let mut names: Vec<String> =
        names.filter(|name| name != "default").map(|name| name.replace('_', "-")).collect();
    names.sort();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What `cargo package` has noted beside a crate that it packed.
fn of_package(package: &Path) -> Option<String> {
    let noted = std::fs::read_to_string(package.join(".cargo_vcs_info.json")).ok()?;
    let (_, behind) = noted.split_once("\"sha1\"")?;
    let commit = behind.split('"').nth(1)?;
    is_commit(commit).then(|| commit.to_owned())
}

/// The commit of the workspace's own checkout; one of a repository around it is of something else.
fn of_checkout(package: &Path) -> Option<String> {
    let at = package.parent()?.join(".git");
    let git = match std::fs::read_to_string(&at) {
        // A work tree of its own, whose files are elsewhere.
        Ok(text) => at.parent()?.join(text.strip_prefix("gitdir:")?.trim()),
        Err(_) => at,
    };
    let common = match std::fs::read_to_string(git.join("commondir")) {
        Ok(text) => git.join(text.trim()),
        Err(_) => git.clone(),
    };
    watched(&git.join("HEAD"));
    // It grows with every commit, also while the branch has no file of its own.
    watched(&git.join("logs/HEAD"));
    let head = std::fs::read_to_string(git.join("HEAD")).ok()?;
    let head = head.trim();
    let Some(branch) = head.strip_prefix("ref: ") else { return is_commit(head).then(|| head.to_owned()) };
    watched(&common.join(branch));
    watched(&common.join("packed-refs"));
    let own = std::fs::read_to_string(common.join(branch)).ok().map(|text| text.trim().to_owned());
    let packed = || {
        let refs = std::fs::read_to_string(common.join("packed-refs")).ok()?;
        let line = refs.lines().find(|line| line.split_once(' ').is_some_and(|(_, name)| name == branch))?;
        Some(line.split_once(' ')?.0.to_owned())
    };
    own.or_else(packed).filter(|commit| is_commit(commit))
}

/// Only what is there: for what is not, cargo would build each time.
fn watched(path: &Path) {
    if path.exists() {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

fn is_commit(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
