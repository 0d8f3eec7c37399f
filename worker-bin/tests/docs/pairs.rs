//! The how-tos say what is so: of each pair of commands, the old one and the new one give the same lines.
//!
//! A pair is two blocks, one behind the other, that are marked `sh old` and `sh new`. They run in a copy of the directory that a comment of the document
//! names. Lines are compared whatever their order; behind `sh new in order` also that.

use super::{documents, root};
use std::path::Path;
use std::process::{Command, Output, Stdio};

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
    Command::new("timeout")
        .args(["-k", "5", "60", "bash", "-ec", command])
        .current_dir(dir.path())
        .env("PATH", format!("{}:{path}", worker.display()))
        .env("HOME", dir.path())
        .env("LC_ALL", "C.UTF-8")
        .env("WORKER_RUNTIME_DIR", dir.path().join("runtime"))
        .stdin(Stdio::null())
        .output()
        .expect("bash can be run")
}

/// GNU parallel waits for ever now and then where its filter that deals records out has two threads; nothing of ours does.
fn printed_by_others(command: &str, from: &Path) -> Output {
    let said = printed(command, from);
    if said.status.code() == Some(124) { printed(command, from) } else { said }
}

#[test]
fn old_and_new_commands_give_the_same() {
    let mut pairs = 0;
    for document in documents() {
        let name = &document.name;
        let of = |kind: &str| document.blocks.iter().filter(|block| block.mark.starts_with(kind)).count();
        assert_eq!(of("sh old"), of("sh new"), "{name}: each old command has a new one");
        for pair in document.blocks.windows(2).filter(|pair| pair[0].mark == "sh old") {
            let (old, new, mark) = (&pair[0].text, &pair[1].text, &pair[1].mark);
            assert!(mark.starts_with("sh new"), "{name}: behind an old command its new one\n{old}");
            let from = root().join(document.directory().unwrap_or_else(|| panic!("{name} says where")));
            let (old_said, new_said) = (printed_by_others(old, &from), printed(new, &from));
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
    assert!(pairs >= 30, "only {pairs}");
}
