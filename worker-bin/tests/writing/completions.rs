//! `worker completions`: each script is read by its shell, and answers what is asked with it. Names of running workers are asked for in
//! `tests/tests/completions.rs`.

use super::worker;
use std::path::Path;
use std::process::{Command, Output};

fn script(shell: &str) -> String {
    let here = tempfile::tempdir().unwrap();
    let done = worker(here.path(), &["completions", shell]);
    assert_eq!((done.status, done.err.as_str()), (0, ""), "{done:?}");
    done.out
}

/// Runs a program with `worker` in its PATH.
fn with_worker(dir: &Path, program: &str, args: &[&str]) -> Output {
    let own = Path::new(env!("CARGO_BIN_EXE_worker")).parent().unwrap();
    let path = format!("{}:{}", own.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command
        .args(args)
        .current_dir(dir)
        .env("PATH", path)
        .env("HOME", dir)
        .env("WORKER_RUNTIME_DIR", dir.join("runtime"));
    command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

#[test]
fn every_script_is_read_by_its_shell() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish"] {
        let mut text = script(shell);
        if shell == "elvish" {
            // Only an interactive one has that place.
            text = text.replace("set edit:completion:arg-completer[worker] =", "var completer =");
            assert!(text.contains("var completer ="), "{text}");
        }
        std::fs::write(dir.path().join("script"), text).unwrap();
        let parse = if shell == "elvish" { "-compileonly" } else { "-n" };
        let done = with_worker(dir.path(), shell, &[parse, "script"]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success() && said.is_empty(), "{shell}: {said}");
    }
    // There is no PowerShell in Debian: what is looked at is that it registers, asks, and closes what it opens.
    let text = script("powershell");
    assert!(text.contains("Register-ArgumentCompleter -Native -CommandName worker -ScriptBlock {"), "{text}");
    assert!(
        text.contains("$env:WORKER_COMPLETE = \"powershell\"") && text.contains("& worker -- $args"),
        "{text}"
    );
    for pair in [('{', '}'), ('(', ')'), ('[', ']')] {
        assert_eq!(text.matches(pair.0).count(), text.matches(pair.1).count(), "{pair:?}: {text}");
    }
}

/// What bash offers for a line whose last word is completed.
fn offered(dir: &Path, line: &[&str]) -> Vec<String> {
    let ask = "source <(worker completions bash); COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; \
               _clap_complete_worker worker \"${@: -1}\" x; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let done = with_worker(dir, "bash", &[&["-c", ask, "bash"], line].concat());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.is_empty(), "{line:?}: {said}");
    String::from_utf8(done.stdout).unwrap().lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn commands_files_and_the_names_in_a_file_are_offered() {
    let dir = tempfile::tempdir().unwrap();
    let file = "[vars]\nsince='1'\n[source.log]\nfile='x'\n[stage.errors]\nrun='a'\n[stage.early]\nrun=1\n[sink.out]\n[[test]]\nname='few'\n";
    std::fs::write(dir.path().join("p.toml"), file).unwrap();
    std::fs::write(dir.path().join("c.toml"), "[node.left]\n[node.right]\n").unwrap();
    for (line, expected) in [
        (&["worker", "compl"][..], &["completions"][..]),
        (&["worker", "run", "p"], &["p.toml"]),
        (&["worker", "run", "p.toml", "--to", "e"], &["early", "errors"]),
        (&["worker", "run", "p.toml", "--set", ""], &["since="]),
        (&["worker", "node", "--cluster", "c.toml", "--name", "r"], &["right"]),
        (&["worker", "dlq", "list", "p.toml", "--stage", "lo"], &["log"]),
        (&["worker", "test", "p.toml", "f"], &["few"]),
        (&["worker", "explain", "child_hu"], &["child_hung"]),
        (&["worker", "init", "--example", "c"], &["csv"]),
        (&["worker", "completions", "p"], &["powershell"]),
        (&["worker", "run", "--when-f"], &["--when-full"]),
        (&["worker", "tap", "nothing-runs"], &[""]),
        (&["worker", "run", "missing.toml", "--to", ""], &[""]),
    ] {
        assert_eq!(offered(dir.path(), line), expected, "{line:?}");
    }
}

#[test]
fn what_is_no_shell_is_an_error() {
    let here = tempfile::tempdir().unwrap();
    let wrong = worker(here.path(), &["completions", "tcsh"]);
    assert!(wrong.status == 2 && wrong.err.contains("bash, zsh, fish, elvish, powershell"), "{wrong:?}");
    let asked = with_worker(here.path(), "env", &["WORKER_COMPLETE=tcsh", "worker", "--", "worker", "r"]);
    assert_eq!(asked.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&asked.stderr).contains("unknown shell"), "{asked:?}");
    let off = with_worker(here.path(), "env", &["WORKER_COMPLETE=", "worker", "-V"]);
    assert!(off.status.success() && off.stdout.starts_with(b"worker "), "{off:?}");
}
