//! Programs are looked up before anything is read.

use super::{read, read_with};
use crate::pipeline::{Cluster, Plan, load, plan};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use worker_core::config::NodeIx;

/// The plan of a pipeline in `dir` whose stage is `stage`.
fn planned(dir: &Path, stage: &str) -> Plan {
    let file = dir.join("p.toml");
    let text = format!("[source.s]\nstdin=true\n[stage.a]\npartitions=3\n{stage}\n[sink.o]\nstdout=true\n");
    std::fs::write(&file, text).unwrap();
    plan(&load(&file, &[]).unwrap(), &Cluster::single(), NodeIx(0)).unwrap()
}

/// The one thing that is wrong with the stage.
fn wrong(dir: &Path, stage: &str) -> String {
    let errors = planned(dir, stage).check_programs().unwrap_err();
    assert_eq!(errors.len(), 1, "once per stage: {errors:?}");
    errors[0].to_string()
}

fn executable(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_missing_program_is_named_with_its_stage_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let error = wrong(dir.path(), "run=['no-such-program-here']");
    assert!(error.starts_with("a: there is no program `no-such-program-here` in PATH ("), "{error}");
    assert!(error.contains("install it on this node"), "{error}");
    let error = wrong(dir.path(), "run=['./missing.sh']");
    assert!(error.starts_with("a: there is no program at") && error.contains("relative to `cwd`"), "{error}");
}

#[test]
fn a_program_that_cannot_be_run_says_why() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("plain.sh"), "#!/bin/sh\n").unwrap();
    let error = wrong(dir.path(), "run=['./plain.sh']");
    assert!(error.contains("is not executable; chmod +x"), "{error}");
    let error = wrong(dir.path(), "run=['/']");
    assert!(error.contains("it is a directory"), "{error}");
    executable(&dir.path().join("odd.sh"), "#!/no/such/shell -e\n");
    let error = wrong(dir.path(), "run=['./odd.sh']");
    assert!(error.contains("asks for /no/such/shell, which is not there"), "{error}");
}

#[test]
fn programs_are_found_in_the_stages_own_path_and_directory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    executable(&dir.path().join("bin/mine"), "#!/bin/sh\n");
    for good in [
        "run=['cat']",
        "run=['bin/mine']",
        "run=['./mine']\ncwd='bin'",
        "run=['mine']\nenv={PATH='bin'}",
        "run=['cat']\nclear_env=true",
    ] {
        planned(dir.path(), good).check_programs().unwrap();
    }
    let error = wrong(dir.path(), "run=['cat']\nenv={PATH='bin'}");
    assert!(error.contains("no program `cat` in PATH (bin)"), "{error}");
    let error = wrong(dir.path(), "run=['cat']\ncwd='nowhere'");
    assert!(error.contains("`cwd`") && error.contains("is not a directory"), "{error}");
}

#[test]
fn variables_get_their_values_from_text_the_environment_and_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pw"), "secret\n").unwrap();
    let file = dir.path().join("p.toml");
    let stage = "run=['cat']\nenv={A='x', H={env='PATH'}, P={file='pw'}}";
    std::fs::write(&file, format!("[source.s]\nstdin=true\n[stage.a]\n{stage}\n[sink.o]\nstdout=true\n"))
        .unwrap();
    let command = load(&file, &[]).unwrap().stages[0].program.command("a").unwrap();
    let value = |name: &str| command.env.iter().find(|(n, _)| n == name).unwrap().1.clone();
    assert_eq!((value("A"), value("P")), ("x".into(), "secret".into()));
    assert_eq!(Some(value("H")), std::env::var_os("PATH"));
    let error = wrong(dir.path(), "run=['cat']\nenv={A={env='NO_SUCH_VARIABLE_HERE'}}");
    assert!(error.contains("env.A: the worker's environment has no NO_SUCH_VARIABLE_HERE"), "{error}");
    let error = wrong(dir.path(), "run=['cat']\nenv={A={file='nope'}}");
    assert!(error.contains("env.A: cannot read") && error.contains("nope"), "{error}");
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_not_a_panic() {
    let dir = tempfile::tempdir().unwrap();
    let missing = load(&dir.path().join("no.toml"), &[]).unwrap_err().to_string();
    assert!(missing.contains("cannot read") && missing.contains("no.toml"), "{missing}");
    let file = dir.path().join("latin1.toml");
    std::fs::write(&file, b"# ok\n# caf\xe9\n").unwrap();
    let not_text = load(&file, &[]).unwrap_err().to_string();
    assert!(not_text.contains("latin1.toml:2: this is not UTF-8 text"), "{not_text}");
    assert!(load(dir.path(), &[]).is_err());
    for junk in
        ["\u{0}", "a", "[", "=", "[[source]]", "[source.a]\nfile=1e5", "source = []", "vars = 1", "\u{feff}"]
    {
        assert!(read(junk).is_err(), "{junk:?}");
        assert!(read_with(junk, &[("a", "b")]).is_err(), "{junk:?}");
    }
}

#[test]
fn what_this_node_cannot_confine_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let of = |keys: &str| wrong(dir.path(), &format!("run=['cat']\n{keys}"));
    let error = of("user='no-such-user-here'");
    assert_eq!(error, "a: `user`: this node has no user no-such-user-here");
    for key in ["read", "write"] {
        let error = of(&format!("sandbox={{ {key}=['nowhere'] }}"));
        assert!(
            error.contains("Landlock") || error.starts_with(&format!("a: `sandbox.{key}`: there is no /")),
            "{error}"
        );
    }
    if rustix::process::geteuid().is_root() {
        let error = of("limits={ processes=5 }");
        assert!(error.contains("does not hold for root: name a `user`"), "{error}");
    } else {
        let error = of("user='root'");
        assert!(error.contains("start the worker as root"), "{error}");
    }
    planned(dir.path(), "run=['cat']\nlimits={ memory='1GiB', cpu='90s', open_files=64, file_size='1MiB' }")
        .check_programs()
        .unwrap();
}
