//! `worker fmt`.

use super::worker;
use assert_cmd::Command;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

const UNTIDY: &str = "[source.s] # in\nfile='x'\n\n\n\n[stage.a]\nrun=['cat',]\n[sink.o]\n  stdout=true";
const TIDY: &str = "[source.s]  # in\nfile = 'x'\n\n[stage.a]\nrun = ['cat',]\n\n[sink.o]\nstdout = true\n";

#[test]
fn files_are_laid_out_in_place_with_their_mode_and_through_links() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("p.toml"), UNTIDY).unwrap();
    std::fs::set_permissions(at("p.toml"), std::fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink("p.toml", at("link.toml")).unwrap();
    let check = worker(dir.path(), &["fmt", "--check", "link.toml"]);
    assert_eq!((check.status, check.out.as_str(), check.err.as_str()), (1, "", "link.toml would change\n"));
    assert_eq!(std::fs::read_to_string(at("p.toml")).unwrap(), UNTIDY);
    let done = worker(dir.path(), &["fmt", "link.toml"]);
    assert_eq!((done.status, done.out.as_str(), done.err.as_str()), (0, "", ""));
    assert_eq!(std::fs::read_to_string(at("p.toml")).unwrap(), TIDY);
    let metadata = at("link.toml").symlink_metadata().unwrap();
    assert!(metadata.is_symlink());
    let before = at("p.toml").metadata().unwrap();
    assert_eq!(before.mode() & 0o7777, 0o640);
    let again = worker(dir.path(), &["fmt", "p.toml"]);
    assert_eq!(
        (again.status, at("p.toml").metadata().unwrap().ino()),
        (0, before.ino()),
        "nothing is written"
    );
    assert_eq!(worker(dir.path(), &["fmt", "--check", "p.toml", "link.toml"]).status, 0);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left behind");
}

#[test]
fn standard_input_goes_to_standard_output() {
    let piped = |args: &[&str], input: &str| {
        let mut command = Command::cargo_bin("worker").unwrap();
        let output = command.args(args).write_stdin(input).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    assert_eq!(piped(&["fmt", "-"], UNTIDY), (Some(0), TIDY.to_owned(), String::new()));
    let (status, out, err) = piped(&["fmt", "-", "--check"], UNTIDY);
    assert!(status == Some(1) && out.is_empty() && err.contains("standard input would change"), "{err}");
    let (status, out, err) = piped(&["fmt", "-"], "a = \n");
    assert!(status == Some(2) && out.is_empty() && err.contains("standard input:1:"), "{err}");
}

#[test]
fn what_cannot_be_laid_out_is_left_as_it_is_and_the_others_are_done() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("good.toml"), UNTIDY).unwrap();
    std::fs::write(at("broken.toml"), "a=1\nb = [1,\n").unwrap();
    std::fs::write(at("twice.toml"), "a=1\na=2\n").unwrap();
    std::fs::write(at("latin.toml"), b"a='\xe4'\n").unwrap();
    std::fs::create_dir(at("dir.toml")).unwrap();
    let files = ["fmt", "broken.toml", "twice.toml", "latin.toml", "dir.toml", "god.toml", "good.toml"];
    let done = worker(dir.path(), &files);
    assert_eq!((done.status, done.out.as_str()), (2, ""));
    for part in [
        "broken.toml:2:",
        "twice.toml:2:1",
        "latin.toml:1: this is not UTF-8",
        "dir.toml is no regular file",
        "did you mean `good.toml`?",
    ] {
        assert!(done.err.contains(part), "{part}: {}", done.err);
    }
    assert_eq!(std::fs::read_to_string(at("broken.toml")).unwrap(), "a=1\nb = [1,\n");
    assert_eq!(std::fs::read_to_string(at("good.toml")).unwrap(), TIDY);
    let none = worker(dir.path(), &["fmt"]);
    assert_eq!(none.status, 2);
}

/// A process without rights over files: root may write anything.
#[test]
fn a_file_that_may_not_be_written_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let path = dir.path().join("p.toml");
    std::fs::write(&path, UNTIDY).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o444)).unwrap();
    let binary = std::env::var("WORKER_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_worker").to_owned());
    let as_nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", &binary, "fmt", "p.toml"];
    let is_root = dir.path().metadata().unwrap().uid() == 0;
    let mut command =
        if is_root { std::process::Command::new("setpriv") } else { std::process::Command::new(&binary) };
    command.args(if is_root { &as_nobody[..] } else { &as_nobody[4..] }).current_dir(dir.path());
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(
        done.status.code() == Some(2) && said.contains("cannot write p.toml: Permission denied"),
        "{said}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), UNTIDY);
}

#[test]
fn files_of_this_repository_are_laid_out_so() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let directories = std::fs::read_dir(examples).unwrap().map(|entry| entry.unwrap().path());
    let entries = directories.filter(|path| path.is_dir()).flat_map(|path| std::fs::read_dir(path).unwrap());
    let files = entries.map(|entry| entry.unwrap().path().display().to_string());
    let files: Vec<String> = files.filter(|file| file.ends_with(".toml")).collect();
    assert!(files.len() >= 8, "{files:?}");
    let args: Vec<&str> = ["fmt", "--check"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let done = worker(Path::new("."), &args);
    assert_eq!((done.status, done.err.as_str()), (0, ""), "worker fmt FILE mends it");
}
