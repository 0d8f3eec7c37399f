use super::*;
use crate::pipeline::SourceText;
use std::process::Command;

fn letter(record: &'static [u8]) -> Letter {
    Letter {
        id: Some(7),
        time: "2026-01-02T03:04:05.678Z".to_owned(),
        task: "s/1".to_owned(),
        stage: "s".to_owned(),
        reason: "sh exited with status 7".to_owned(),
        attempts: 5,
        exit_status: Some(7),
        signal: None,
        record: record.into(),
        stderr_tail: "oops \x1b[0m".to_owned(),
        batch_id: Some("12".to_owned()),
        origin: Some(crate::io::dead::LetterOrigin { from: Some("n/0".to_owned()), seq: 3 }),
        contents: worker_core::event::Contents::Record,
        header: None,
    }
}

/// Writes the case of a letter of stage `s` of a pipeline, and gives the directory it is in.
fn written(stage: &str, letter: &Letter) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("[source.n]\nrun = ['true']\n[stage.s]\n{stage}\n[sink.out]\nstdout = true\n");
    let pipeline = pipeline::parse(&SourceText::new("p.toml", &text), dir.path(), &[]).unwrap();
    let plan = plan(&pipeline, &Cluster::single(), NodeIx(0)).unwrap();
    let id = "s/1:7".parse().unwrap();
    let (task, stage) = stage_of(&plan, &pipeline, &id, letter).unwrap();
    Case::new(&id, letter, task, stage).unwrap().write(&dir.path().join("case it's")).unwrap();
    dir
}

fn run(dir: &tempfile::TempDir, env: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let mut command = Command::new("sh");
    command.arg("case it's/run.sh").current_dir(dir.path()).envs(env.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_script_runs_the_program_as_the_worker_did() {
    let script = r#"cat; echo "$A|$1|$PWD|$WORKER_TASK $WORKER_STAGE $WORKER_PARTITION/$WORKER_PARTITIONS $WORKER_BATCH_ID"; test -d "$WORKER_TMPDIR" && exit 7"#;
    let stage = format!(
        "run = ['sh', '-c', '{}', 'sh', \"it's; $(touch oops) \\\\ *\"]\ncwd = '/tmp'\npartitions = 3\nenv = {{ A = \"x 'y'\" }}",
        script.replace("'", "\"")
    );
    let dir = written(&stage, &letter(b"a \xff record"));
    let input = std::fs::read(dir.path().join("case it's/input")).unwrap();
    assert_eq!(input, b"a \xff record\n");
    std::fs::write(dir.path().join("case it's/input"), "a record\n").unwrap();
    let (status, printed, _) = run(&dir, &[]);
    assert_eq!(status, Some(7));
    assert_eq!(printed, "a record\nx 'y'|it's; $(touch oops) \\ *|/tmp|s/1 s 1/3 12\n");
    let readme = std::fs::read_to_string(dir.path().join("case it's/README.txt")).unwrap();
    for text in ["s/1:7", "after 5 attempts", "sh exited with status 7", "oops \\u{1b}[0m", "exit status 0"] {
        assert!(readme.contains(text), "{text}: {readme}");
    }
}

#[test]
fn secrets_are_named_and_not_copied() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "of a file\n").unwrap();
    let stage = format!(
        "run = ['sh', '-c', 'echo \"$T $P\"']\nclear_env = true\nenv = {{ T = {{ env = 'WORKER_TEST_TOKEN' }}, P = {{ file = '{}' }} }}",
        secret.path().display()
    );
    let dir = written(&stage, &letter(b"x"));
    for file in ["run.sh", "README.txt"] {
        let text = std::fs::read_to_string(dir.path().join("case it's").join(file)).unwrap();
        assert!(!text.contains("of a file"), "{text}");
    }
    let (status, printed, _) = run(&dir, &[("WORKER_TEST_TOKEN", "of the environment")]);
    assert_eq!((status, printed.as_str()), (Some(0), "of the environment of a file\n"));
    let (status, _, said) = run(&dir, &[]);
    assert_eq!(status, Some(126));
    assert!(said.contains("set WORKER_TEST_TOKEN as the worker had it"), "{said}");
}

#[test]
fn a_records_program_gets_hello_and_one_request() {
    let dir = written(
        "mode = 'records'\nrun = ['cat']\npartition_by = { field = 1 }\npartitions = 2",
        &letter(b"k \"v\""),
    );
    let (status, printed, _) = run(&dir, &[]);
    assert_eq!(status, Some(0));
    let expected =
        "{\"hello\":1,\"task\":\"s/1\",\"state\":{}}\n{\"id\":1,\"key\":\"k\",\"record\":\"k \\\"v\\\"\"}\n";
    assert_eq!(printed, expected);
}

#[test]
fn what_cannot_be_run_is_said() {
    let dir = written("run = ['true']", &letter(b"x"));
    let text = "[source.n]\nrun = ['true']\n[stage.other]\nrun = ['true']\n[sink.out]\nstdout = true\n";
    let pipeline = pipeline::parse(&SourceText::new("p.toml", text), dir.path(), &[]).unwrap();
    let plan = plan(&pipeline, &Cluster::single(), NodeIx(0)).unwrap();
    let id = "s/1:7".parse().unwrap();
    let says = |letter: &Letter| stage_of(&plan, &pipeline, &id, letter).unwrap_err().to_string();
    let gone = says(&letter(b"x"));
    assert!(gone.contains("stage `s`, which p.toml does not have any more; stages there: other"), "{gone}");
    let unseen = says(&Letter { origin: None, reason: "no field 7".to_owned(), ..letter(b"x") });
    assert!(unseen.contains("never reached a program: no field 7"), "{unseen}");
}

#[test]
fn a_directory_with_something_in_it_is_left_alone() {
    let dir = written("run = ['true']", &letter(b"x"));
    let case = dir.path().join("case it's");
    let mut pipeline = None;
    let text = "[source.n]\nrun = ['true']\n[stage.s]\nrun = ['true']\n[sink.out]\nstdout = true\n";
    let pipeline =
        pipeline.get_or_insert(pipeline::parse(&SourceText::new("p", text), dir.path(), &[]).unwrap());
    let plan = plan(pipeline, &Cluster::single(), NodeIx(0)).unwrap();
    let (id, letter) = ("s/1:7".parse().unwrap(), letter(b"x"));
    let (task, stage) = stage_of(&plan, pipeline, &id, &letter).unwrap();
    let again = Case::new(&id, &letter, task, stage).unwrap();
    assert!(matches!(again.write(&case), Err(ReproError::Taken(_))));
    assert!(matches!(again.write(&dir.path().join("no/such")), Err(ReproError::Write { .. })));
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    again.write(&dir.path().join("empty")).unwrap();
}
