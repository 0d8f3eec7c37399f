//! Programs that cannot be run as the file says.

use crate::with_stage;
use std::os::unix::fs::PermissionsExt as _;
use worker_tests::process::Scratch;

#[test]
fn missing_programs_and_programs_that_are_none_are_refused_at_the_start() {
    let scratch = Scratch::new();
    scratch.write("script", "#!/bin/sh\ncat\n");
    std::fs::create_dir(scratch.path("folder")).expect("a directory");
    let cases: [(&str, &[&str]); 5] = [
        ("run = ['no-such-program-here']", &["work", "no-such-program-here", "PATH"]),
        ("run = ['./nowhere']", &["work", "nowhere"]),
        ("run = ['./script']", &["work", "script", "chmod +x"]),
        ("run = ['./folder']", &["work", "folder"]),
        ("run = ['cat']\ncwd = 'nowhere'", &["work", "nowhere", "cwd"]),
    ];
    for (body, says) in cases {
        let finished = scratch.run(&with_stage(body)).expect(2).says(says);
        assert!(finished.stdout.is_empty(), "{body}");
    }
    for end in [
        "[source.in]\nrun = 'nope'\n[sink.o]\nstdout = true\n",
        "[source.in]\nstdin = true\n[sink.o]\nrun = 'nope'\n",
    ] {
        scratch.run(end).expect(2).says(&["nope"]);
    }
}

#[test]
fn values_for_the_environment_that_are_not_there_are_named() {
    let scratch = Scratch::new();
    let finished = scratch.run(&with_stage("run = 'cat'\nenv = { A = { env = 'NOT_SET_ANYWHERE' } }"));
    finished.expect(2).says(&["work", "NOT_SET_ANYWHERE"]);
    let finished = scratch.run(&with_stage("run = 'cat'\nenv = { A = { file = 'nowhere' } }"));
    finished.expect(2).says(&["work", "nowhere"]);
}

#[test]
fn a_script_whose_interpreter_is_missing_is_refused_at_the_start() {
    let scratch = Scratch::new();
    let script = scratch.write("script", "#!/no/such/interpreter\n");
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).expect("permissions can be set");
    scratch.run(&with_stage("run = ['./script']")).expect(2).says(&[
        "work",
        "script",
        "/no/such/interpreter",
    ]);
}
