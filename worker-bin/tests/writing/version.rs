//! `worker -V`, and how the build finds the commit.

use super::worker;
use std::path::{Path, PathBuf};
use std::process::Command;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

#[test]
fn the_version_names_commit_and_features() {
    let here = tempfile::tempdir().unwrap();
    let short = worker(here.path(), &["-V"]).out;
    let long = worker(here.path(), &["--version"]).out;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let head = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(root).output().ok();
    let head = head.filter(|done| done.status.success() && root.join(".git").exists());
    let commit =
        head.map_or("unknown".to_owned(), |done| String::from_utf8_lossy(&done.stdout)[..12].to_owned());
    let features = if cfg!(feature = "otel") { "otel" } else { "none" };
    assert_eq!(
        short,
        format!("worker {} (commit {commit}, features: {features})\n", env!("CARGO_PKG_VERSION"))
    );
    for line in [
        format!("commit: {commit}"),
        format!("features: {features}"),
        "profile: ".to_owned(),
        "target: ".to_owned(),
    ] {
        assert!(long.contains(&format!("\n{line}")), "{line}: {long}");
    }
}

/// `build.rs` as a program that can be asked for any package.
struct Build {
    dir: tempfile::TempDir,
}

impl Build {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-o"]).arg(dir.path().join("build")).arg(source);
        assert!(rustc.status().unwrap().success());
        std::fs::create_dir_all(dir.path().join("w/worker-bin")).unwrap();
        Self { dir }
    }

    /// The root of the workspace.
    fn root(&self) -> PathBuf {
        self.dir.path().join("w")
    }

    fn write(&self, at: &str, text: &str) {
        let path = self.root().join(at);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The commit and features it finds; whatever it watches must be there, or each build would be a new one.
    fn finds(&self, env: &[(&str, &str)]) -> (String, String) {
        let mut build = Command::new(self.dir.path().join("build"));
        build.env_clear().env("CARGO_MANIFEST_DIR", self.root().join("worker-bin")).envs(env.iter().copied());
        let said = String::from_utf8(
            build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).output().unwrap().stdout,
        );
        let said = said.unwrap();
        let of =
            |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
        for watched in said.lines().filter_map(|line| line.strip_prefix("cargo::rerun-if-changed=")) {
            assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(watched).exists(), "{watched}");
        }
        (of("cargo::rustc-env=WORKER_COMMIT="), of("cargo::rustc-env=WORKER_FEATURES="))
    }
}

#[test]
fn the_build_finds_the_commit_wherever_it_is_kept_and_needs_none() {
    let build = Build::new();
    let commit = |env: &[(&str, &str)]| build.finds(env).0;
    assert_eq!(commit(&[]), "unknown", "a tarball without anything");
    // A repository around it is not this one's.
    std::fs::create_dir_all(build.dir.path().join(".git")).unwrap();
    std::fs::write(build.dir.path().join(".git/HEAD"), COMMIT).unwrap();
    assert_eq!(commit(&[]), "unknown");
    build.write(".git/HEAD", "ref: refs/heads/main\n");
    assert_eq!(commit(&[]), "unknown", "no commit yet");
    build.write(".git/packed-refs", &format!("# pack-refs\n{} refs/heads/main\n", COMMIT.replace('0', "f")));
    assert_eq!(commit(&[]), "f123456789ab");
    build.write(".git/refs/heads/main", &format!("{COMMIT}\n"));
    assert_eq!(commit(&[]), COMMIT[..12], "a branch's own file is newer than the packed ones");
    build.write(".git/HEAD", &format!("{}\n", COMMIT.replace('0', "e")));
    assert_eq!(commit(&[]), "e123456789ab", "checked out without a branch");
    build.write(".git/HEAD", "../../../etc/passwd");
    assert_eq!(commit(&[]), "unknown");
    // A work tree: its HEAD is its own, the branches are those of all.
    std::fs::remove_dir_all(build.root().join(".git")).unwrap();
    build.write(".git", "gitdir: ../main/.git/worktrees/w\n");
    build.write("../main/.git/worktrees/w/HEAD", "ref: refs/heads/side\n");
    build.write("../main/.git/worktrees/w/commondir", "../..\n");
    build.write("../main/.git/refs/heads/side", &COMMIT.replace('0', "d"));
    assert_eq!(commit(&[]), "d123456789ab");
    // As cargo packs it; then as whoever packs it says.
    build.write(
        "worker-bin/.cargo_vcs_info.json",
        &format!("{{\n \"git\": {{\n \"sha1\": \"{COMMIT}\"\n }}\n}}"),
    );
    assert_eq!(commit(&[]), COMMIT[..12]);
    assert_eq!(commit(&[("WORKER_COMMIT", "v1.2-3")]), "v1.2-3");
    assert_eq!(build.finds(&[]).1, "none");
    let features = [("CARGO_FEATURE_OTEL", "1"), ("CARGO_FEATURE_A_B", "1"), ("CARGO_FEATURE_DEFAULT", "1")];
    assert_eq!(build.finds(&features).1, "a-b, otel");
}
