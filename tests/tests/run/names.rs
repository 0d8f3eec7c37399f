//! Files and directories whose names are no text.

use worker_tests::process::{Scratch, worker_binary};

/// Runs lines of bash in which `worker` is the program, without words of its own.
fn bash(scratch: &Scratch, lines: &str) -> Vec<u8> {
    let worker = worker_binary().display();
    scratch.shell(&format!("set -e; worker() {{ {worker} \"$@\"; }}; quiet='-q --admin none'; {lines}"))
}

#[test]
fn a_name_of_any_bytes_is_given_as_it_is() {
    let scratch = Scratch::new();
    let out = bash(
        &scratch,
        "mkdir d; seq 3 > $'caf\\xe9'; seq 4 6 > $'d/\\xff*'; seq 7 > $'d/\\xffx'
         worker run $quiet -i $'caf\\xe9' -i $'d/\\xff*' -S cat -o $'out\\xe8'
         cat $'out\\xe8'; ls out* | wc -l",
    );
    assert_eq!(out, b"1\n2\n3\n4\n5\n6\n1\n");
    let out = bash(&scratch, "worker run $quiet --list $'caf\\xe9' --list $'d/\\xff[x]' --framing nul");
    assert_eq!(out, b"caf\xe9\0d/\xffx\0");
    let out = bash(&scratch, "worker run $quiet -i $'c*\\xe9' -i $'d/\\xff?'");
    assert_eq!(String::from_utf8_lossy(&out).lines().count(), 13);
}

#[test]
fn a_file_says_such_a_name_too_and_means_the_same() {
    let scratch = Scratch::new();
    let out = bash(
        &scratch,
        "seq 3 > $'caf\\xe9'
         worker run -i $'caf\\xe9' -o $'d\\xe8/out' --print-toml > p.toml; cat p.toml
         worker run p.toml $quiet; cat $'d\\xe8/out'
         worker fmt --check p.toml; worker init q.toml -- -i $'caf\\xe9' 2>&1 | grep -c wrote",
    );
    let out = String::from_utf8_lossy(&out).into_owned();
    assert!(
        out.contains(r#"file = "caf\U0010FFE9""#) && out.contains(r#"file = "d\U0010FFE8/out""#),
        "{out}"
    );
    assert!(out.ends_with("1\n2\n3\n1\n"), "{out}");
}

#[test]
fn state_is_kept_and_looked_for_under_such_names() {
    let scratch = Scratch::new();
    let out = bash(
        &scratch,
        "mkdir $'w\\xe9'; cd $'w\\xe9'; seq 9 > in
         worker run $quiet -i in -o $'out\\xe8' --state $'st\\xff'; cat $'out\\xe8'
         printf '[source.s]\\nfile = \"in\"\\n[stage.f]\\nrun = [\"sh\", \"-c\", \"exit 1\"]\\nretry.max_attempts = 1\\n[sink.o]\\nfile = \"o\"\\n' > p.toml
         worker run p.toml $quiet --state $'f\\xff' || true
         worker dlq list p.toml --state $'f\\xff' 2>&1 | head -1",
    );
    let out = String::from_utf8_lossy(&out).into_owned();
    assert!(out.starts_with("1\n2\n3\n4\n5\n6\n7\n8\n9\n"), "{out}");
    assert!(!out.contains("panicked"), "{out}");
}

#[test]
fn letters_are_replayed_into_a_file_of_such_a_name() {
    let scratch = Scratch::new();
    let out = bash(
        &scratch,
        "seq 9 > in
         printf '[source.s]\\nfile = \"in\"\\n[stage.f]\\nrun = [\"sh\", \"-c\", \"while read n; do [ $n != 5 ] || [ -e good ] || exit 1; echo $n; done\"]\\nretry.max_attempts = 1\\n[sink.o]\\nfile = \"o\"\\n' > p.toml
         worker run p.toml $quiet || true
         touch good; worker dlq replay p.toml all -q --admin none --out $'again\\xe9'; cat $'again\\xe9'",
    );
    assert_eq!(out, b"5\n");
}
