//! `worker check` and `worker run --print-toml`, as a user sees them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use assert_cmd::Command;
use std::path::Path;

/// Runs `worker` in a directory; returns exit status, standard output and standard error.
fn worker(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("worker").unwrap().current_dir(dir).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What was said, but for how much memory and disk this machine has.
fn but_of_the_machine(err: &str) -> String {
    err.lines().filter(|line| !line.starts_with("warning: at worst this node ")).collect()
}

fn with_file(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("p.toml"), text).unwrap();
    dir
}

const FAN: &str = "[source.log]\nfile = 'in.txt'\nheader = 'skip'\n\
    [stage.errors]\nfrom = 'log'\nrun = ['grep', ' 500 ']\nok_exit = [0, 1]\npartitions = 4\n\
    [stage.per_path]\nfrom = 'errors'\nmode = 'stream'\npartition_by = { field = 7 }\npartitions = 2\n\
    run = ['awk', '{c[$7]++} END{for(p in c) print c[p], p} # long enough not to fit']\n\
    [sink.all]\nfrom = ['errors', 'log']\nfile = 'out/'\n\
    [sink.out]\nfrom = 'per_path'\nstdout = true\n";

#[test]
fn the_graph_shows_what_leads_where_in_whole_lines() {
    let dir = with_file(FAN);
    std::fs::write(dir.path().join("in.txt"), "x\n").unwrap();
    let (status, out, err) = worker(dir.path(), &["check", "p.toml"]);
    assert_eq!((status, but_of_the_machine(&err).as_str()), (0, ""));
    insta::assert_snapshot!("graph", out);
}

#[test]
fn full_prints_every_default_and_the_memory_it_may_take() {
    let dir = with_file(FAN);
    let (status, out, err) = worker(dir.path(), &["check", "p.toml", "--full"]);
    assert_eq!(status, 0);
    assert!(err.contains("warning: source `log`: ") && err.contains("in.txt"), "{err}");
    for expected in ["partitions = 4", "max_record = \"1MiB\"", "timeout = \"30s\"", "22 links out x 16MiB"] {
        assert!(out.contains(expected), "{expected}\n{out}");
    }
}

#[test]
fn exactly_once_shows_where_state_is_kept_and_what_it_may_take() {
    let text = "[pipeline]\ndelivery = 'exactly-once'\n[source.s]\nfile = 'in.txt'\n\
        [stage.totals]\nmode = 'records'\npartition_by = { field = 1 }\npartitions = 2\ntick = '5s'\nrun = ['cat']\n\
        [stage.sorted]\nmode = 'stream'\npartition_by = 'key'\npartitions = 3\nreplay_limit = '1GiB'\nrun = ['sort']\n\
        [sink.o]\nfile = 'out.txt'\n";
    let dir = with_file(text);
    std::fs::write(dir.path().join("in.txt"), "x\n").unwrap();
    let (status, out, err) = worker(dir.path(), &["check", "p.toml", "--full"]);
    assert_eq!((status, but_of_the_machine(&err).as_str()), (0, ""));
    for expected in [
        "p (delivery = \"exactly-once\", state in .worker/p)",
        "totals x2  records with ticks by field 1: cat",
        "sorted x3  stream by the key of its answer: sort",
        "delivery = \"exactly-once\"",
        "in_flight = 1024",
        "state = \"hello\"",
        "130.0 MiB  2 records tasks: requests under way, and state",
        "3.0 GiB  3 stream tasks x replay_limit",
    ] {
        assert!(out.contains(expected), "{expected}\n{out}");
    }
    assert!(!dir.path().join(".worker").exists(), "checking makes nothing");
}

#[test]
fn state_becomes_a_line_of_the_file_that_says_the_same() {
    let dir =
        with_file("[pipeline]\ndelivery = 'memory'\n[source.s]\nstdin = true\n[sink.o]\nstdout = true\n");
    let (status, out, _) = worker(dir.path(), &["run", "-s", "cat", "--state", "d", "--print-toml"]);
    assert!(status == 0 && out.contains("delivery = \"exactly-once\""), "{out}");
    let (status, _, err) = worker(dir.path(), &["run", "p.toml", "--state", "d"]);
    assert!(status == 2 && err.contains("this file keeps no state"), "{err}");
    let (status, _, err) = worker(dir.path(), &["run", "-s", "cat", "--fresh"]);
    assert!(status == 2 && err.contains("this run has none"), "{err}");
}

#[test]
fn a_wrong_file_a_missing_program_and_a_wrong_node_have_status_2() {
    let dir =
        with_file("[source.s]\nstdin=true\n[stage.a]\nrun=['no-such-program-here']\n[sink.o]\nstdout=true\n");
    let (status, _, err) = worker(dir.path(), &["check", "p.toml"]);
    assert!(status == 2 && err.contains("no program `no-such-program-here`"), "{err}");
    let (status, _, err) = worker(dir.path(), &["check", "none.toml"]);
    assert!(status == 2 && err.contains("cannot read none.toml"), "{err}");
    std::fs::write(dir.path().join("c.toml"), "[node.a]\naddress='h:1'\n").unwrap();
    let (status, _, err) = worker(dir.path(), &["check", "p.toml", "--cluster", "c.toml", "--name", "b"]);
    assert!(status == 2 && err.contains("c.toml has no node `b`"), "{err}");
}

#[test]
fn warnings_do_not_change_the_status() {
    let dir =
        with_file("[source.s]\nstdin=true\n[stage.a]\nrun=['sort']\nplace='x'\n[sink.o]\nstdout=true\n");
    let (status, _, err) = worker(dir.path(), &["check", "p.toml"]);
    assert_eq!(status, 0);
    assert!(err.contains("looks at its whole input") && err.contains("`place` has no meaning here"), "{err}");
}

#[test]
fn a_sample_tells_batch_stages_that_are_not_record_by_record() {
    let dir = with_file(
        "[source.s]\nfile='in.txt'\n[stage.keep]\nrun=['grep', '1']\n[stage.count]\nrun=['awk', '{n++} END{print n}']\n\
         [stage.sum]\nmode='stream'\nrun=['wc', '-l']\n[sink.o]\nstdout=true\n",
    );
    let numbers: String = (1..=100).map(|n| format!("{n}\n")).collect();
    std::fs::write(dir.path().join("in.txt"), numbers).unwrap();
    let (status, out, _) = worker(dir.path(), &["check", "p.toml", "--sample", "in.txt"]);
    assert_eq!(status, 1);
    assert!(out.contains("keep: record by record, 100 in, 20 out"), "{out}");
    assert!(out.contains("count: not record by record: use mode = \"stream\""), "{out}");
    assert!(out.contains("record 1: 20"), "{out}");
    assert!(out.contains("sum: stream, 1 in, 1 out"), "{out}");
}

#[test]
fn a_sample_tells_programs_that_fail_and_ok_exit_that_is_missing() {
    let dir = with_file(
        "[source.s]\nfile='in.txt'\nheader='repeat'\n[stage.a]\nrun=['grep', '^3$']\n[stage.b]\nrun=['sh', '-c', 'echo no >&2; exit 3']\n\
         [sink.o]\nstdout=true\n",
    );
    std::fs::write(dir.path().join("in.txt"), "h\n1\n2\n3\n4\n").unwrap();
    let (status, out, _) = worker(dir.path(), &["check", "p.toml", "--sample", "in.txt"]);
    assert_eq!(status, 1);
    assert!(
        out.contains("a: failed: one of 4 pieces of the sample: exit status 1;")
            && out.contains("ok_exit = [0, 1]"),
        "{out}"
    );
    assert!(out.contains("b: failed: exit status 3; it said: no"), "{out}");
    let (status, _, err) = worker(dir.path(), &["check", "p.toml", "--sample", "none.txt"]);
    assert!(status == 2 && err.contains("none.txt"), "{err}");
}

#[test]
fn a_sample_that_is_a_pipe_is_for_one_source() {
    let dir = with_file(
        "[source.a]\nstdin = true\n[source.b]\nfile = 'p.toml'\n[stage.s]\nfrom = ['a', 'b']\nrun = ['cat']\n\
         [sink.o]\nfrom = 's'\nstdout = true\n",
    );
    let fifo = dir.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let (status, _, err) = worker(dir.path(), &["check", "p.toml", "--sample", "fifo"]);
    assert_eq!(status, 2, "{err}");
    assert!(err.contains("each of 2 sources reads it, and a pipe is read once: put it into a file"), "{err}");
}

#[test]
fn a_sample_with_a_repeated_header_gives_it_to_every_piece() {
    let dir = with_file(
        "[source.s]\nfile='in.csv'\nheader='repeat'\n[stage.a]\nrun=['awk', '-F,', 'NR>1{print $2}']\n[sink.o]\nstdout=true\n",
    );
    let rows: String = (1..=9).map(|n| format!("{n},v{n}\n")).collect();
    std::fs::write(dir.path().join("in.csv"), format!("id,value\n{rows}")).unwrap();
    let (status, out, _) = worker(dir.path(), &["check", "p.toml", "--sample", "in.csv"]);
    assert!(status == 0 && out.contains("a: record by record, 9 in, 9 out"), "{out}");
}

#[test]
fn a_command_line_is_printed_as_the_file_that_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let words = [
        "run",
        "-i",
        "*.log",
        "-s",
        "grep 500",
        "--ok-exit",
        "0,1",
        "-S",
        "sort",
        "-o",
        "out.txt",
        "--print-toml",
    ];
    let (status, out, err) = worker(dir.path(), &words);
    assert_eq!((status, but_of_the_machine(&err).as_str()), (0, ""));
    std::fs::write(dir.path().join("p.toml"), &out).unwrap();
    let (status, again, _) = worker(dir.path(), &["run", "p.toml", "--print-toml"]);
    assert_eq!(status, 0);
    assert_eq!(again, out);
    let (status, cut, _) = worker(dir.path(), &["run", "p.toml", "--to", "grep", "--print-toml"]);
    assert!(status == 0 && cut.contains("stdout = true") && !cut.contains("sort"), "{cut}");
}

#[test]
fn the_command_line_says_what_is_wrong_with_it() {
    let dir = tempfile::tempdir().unwrap();
    for words in
        [&["run"][..], &["walk"], &["run", "-s", "a | b"], &["run", "f", "--set", "x"], &["node", "f"]]
    {
        let (status, out, err) = worker(dir.path(), words);
        assert!(status == 2 && out.is_empty() && err.contains("error"), "{words:?} {status} {err}");
    }
    let (status, out, _) = worker(dir.path(), &["run", "--help"]);
    assert!(status == 0 && out.contains("Exit status") && out.contains("worker run -i"), "{out}");
}

#[test]
fn the_schema_of_each_kind_of_file_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    for (args, table) in [(&["schema"][..], "stage"), (&["schema", "--cluster"], "node")] {
        let (status, out, err) = worker(dir.path(), args);
        assert_eq!((status, but_of_the_machine(&err).as_str()), (0, ""));
        let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        assert!(schema["properties"][table]["additionalProperties"]["properties"].is_object(), "{out}");
    }
}
