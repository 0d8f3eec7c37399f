//! The how-tos say what is so: of each pair of commands, the old one and the new one give the same lines.
//!
//! A pair is two blocks, one behind the other, that are marked `sh old` and `sh new`. They run in a copy of the directory that a comment of the document
//! names. Lines are compared whatever their order; behind `sh new in order` also that.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Blocks with their marks, in their order.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once("\n```") {
        let (mark, body) = begun.split_once('\n').expect("a mark has a line");
        let (block, behind) = body.split_once("```").expect("a block has an end");
        blocks.push((mark, block));
        rest = behind;
    }
    blocks
}

/// What a command prints in a copy of the files at `from`.
fn printed(command: &str, from: &Path) -> Output {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for entry in std::fs::read_dir(from).expect("the directory that the document names") {
        let path = entry.expect("its entries").path();
        std::fs::copy(&path, dir.path().join(path.file_name().expect("a name")))
            .expect("a file to be copied");
    }
    let worker = Path::new(env!("CARGO_BIN_EXE_worker")).parent().expect("the binary is in a directory");
    let path = std::env::var("PATH").expect("a PATH");
    // GNU parallel keeps what it knows of a user in a home, and asks for a citation where there is none.
    Command::new("bash")
        .args(["-ec", command])
        .current_dir(dir.path())
        .env("PATH", format!("{}:{path}", worker.display()))
        .env("HOME", dir.path())
        .env("LC_ALL", "C.UTF-8")
        .env("WORKER_RUNTIME_DIR", dir.path().join("runtime"))
        .stdin(Stdio::null())
        .output()
        .expect("bash can be run")
}

#[test]
fn old_and_new_commands_give_the_same() {
    let mut pairs = 0;
    for entry in std::fs::read_dir(root().join("docs/how-to")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let (_, marked) =
            text.split_once("<!-- commands run in ").unwrap_or_else(|| panic!("{name} says where"));
        let from = root().join(marked.split_once(" -->").unwrap().0);
        let blocks = blocks(&text);
        let of = |kind: &str| blocks.iter().filter(|(mark, _)| mark.starts_with(kind)).count();
        assert_eq!(of("sh old"), of("sh new"), "{name}: each old command has a new one");
        for pair in blocks.windows(2) {
            let [("sh old", old), (mark, new)] = pair else { continue };
            assert!(mark.starts_with("sh new"), "{name}: behind an old command its new one\n{old}");
            let [old_said, new_said] = [old, new].map(|command| printed(command, &from));
            let told = |said: &Output| String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(old_said.status.success(), "{name}: {old}{}", told(&old_said));
            assert!(new_said.status.success(), "{name}: {new}{}", told(&new_said));
            let lines = |said: &Output| {
                let text = String::from_utf8_lossy(&said.stdout).into_owned();
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                if *mark != "sh new in order" {
                    lines.sort_unstable();
                }
                lines
            };
            assert_eq!(lines(&new_said), lines(&old_said), "{name}: {new}");
            assert!(!new_said.stdout.is_empty(), "{name}: {new}");
            pairs += 1;
        }
    }
    assert!(pairs >= 9, "only {pairs}");
}

/// What stands there of a file is one, with a sink where it has none.
#[test]
fn files_in_them_are_right() {
    let mut files = 0;
    for entry in std::fs::read_dir(root().join("docs/how-to")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        for (_, block) in blocks(&text).into_iter().filter(|(mark, _)| *mark == "toml") {
            let dir = tempfile::tempdir().unwrap();
            // A header that is repeated is read of the file.
            std::fs::copy(root().join("examples/airports/airports.csv"), dir.path().join("airports.csv"))
                .unwrap();
            for program in ["docker", "journalctl"] {
                std::os::unix::fs::symlink("/bin/true", dir.path().join(program)).unwrap();
            }
            let sink = if block.contains("[sink.") { "" } else { "[sink.shown]\nstdout = true\n" };
            std::fs::write(dir.path().join("pipeline.toml"), format!("{block}{sink}")).unwrap();
            let checked = Command::new(env!("CARGO_BIN_EXE_worker"))
                .args(["check", "pipeline.toml"])
                .current_dir(dir.path())
                .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&checked.stderr).into_owned();
            assert!(checked.status.success(), "{}: {block}{said}", path.display());
            files += 1;
        }
    }
    assert!(files >= 5, "only {files}");
}
