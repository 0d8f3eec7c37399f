//! What programs, records, file names and servers say that would have a terminal do something: it is shown, on every way out, and
//! obeyed on none.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;
use worker_tests::process::{Finished, Pty, Running, Scratch, Start, eventually, free_port};

const PATIENCE: Duration = Duration::from_secs(60);

/// Sets a title, rings, colours by one byte of eight bits, turns the direction of writing, and forges a line.
const EVIL: &str = "EVIL\u{1b}]0;t\u{7}\u{9b}31m\u{202e}\u{200b}\r\nFORGED";

/// The same where no line can end within it: in a record, a file's name, a line on standard error.
const EVIL_LINE: &str = "EVIL\u{1b}]0;t\u{7}\u{9b}31m\u{202e}\u{200b}\rFORGED";

/// What is written behind all else.
const LAST: &str = "what was written ends here";

/// What a worker draws with itself.
const DRAWING: [&str; 3] = ["\r\u{1b}[J", "\u{1b}[1A", "\u{1b}[2A"];

fn is_bad(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t') || "\u{202e}\u{200b}".contains(c)
}

/// Nothing in it is obeyed, and it is there.
fn assert_shown(what: &str, text: &str) {
    let mut text = text.replace("\r\n", "\n");
    for drawn in DRAWING {
        text = text.replace(drawn, "\n");
    }
    // Behind a frame the cursor goes to where it begins.
    let text = text.replace("\r\n", "\n").replace("\r\u{1b}", "\u{1b}");
    let bad = text.chars().find(|c| is_bad(*c));
    assert_eq!(bad, None, "{what}: {text:?}");
    assert!(text.lines().all(|line| !line.starts_with("FORGED")), "{what}: {text}");
    assert!(text.contains("EVIL"), "{what}: {text}");
}

/// Runs a command on a terminal, and gives what it wrote there.
fn on_a_terminal(scratch: &Scratch, start: Start<'_>) -> (Finished, String) {
    let pty = Pty::new(50, 200);
    let end = |start: Start<'_>| start.stdout(pty.end()).stderr(pty.end()).env("TERM", "xterm").run();
    let finished = end(start);
    let mut last = scratch.program("echo".as_ref());
    last.command.arg(LAST);
    end(last);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let written = pty.wait_for("the end", PATIENCE, text, |text| text.contains(LAST));
    (finished, written.replace(LAST, ""))
}

/// Programs that say the worst: on standard error, as reason of a `fail`, and in records.
fn write_programs(scratch: &Scratch) {
    scratch.write("evil", EVIL_LINE.to_owned() + "\n");
    scratch.write(
        "fails.sh",
        "cat evil >&2\nwhile IFS= read -r line; do\n    id=${line#*:} id=${id%%[,\\}]*}\n    case $line in\n    '{\"hello\"'*) ;;\n    \
         *'\"record\":'*) printf '{\"id\":%s,\"fail\":\"EVIL\\\\u001b]0;t\\\\u0007\\\\u009b31m\\\\u202e\\\\u200b\\\\r\\\\nFORGED\"}\\n' \"$id\" ;;\n    \
         *) printf '{\"id\":%s}\\n' \"$id\" ;;\n    esac\ndone\n",
    );
    let named = format!("in{}.txt", EVIL_LINE.replace('\r', ""));
    std::fs::write(scratch.dir().join(named), EVIL_LINE.to_owned() + "\n").expect("a file of any name");
}

const ENDS: &str = r#"
[source.in]
file = ["in*.txt"]
[stage.fails]
from = ["in"]
mode = "records"
run = ["sh", "fails.sh"]
retry = { max_attempts = 1 }
max_dead = "100%"
[stage.again]
run = ["sh", "-c", "cat > in.$$; cat evil >&2; exit 3"]
from = ["in"]
retry = { max_attempts = 2, initial = "10ms" }
max_dead = "100%"
[sink.out]
file = "out"
exists = "replace"
from = ["fails", "again"]
"#;

#[test]
fn a_run_its_log_its_report_and_its_dead_letters() {
    let scratch = Scratch::new();
    write_programs(&scratch);
    scratch.write("ends.toml", ENDS);
    for args in [
        &["--progress", "lines", "--log", "trace", "--color", "never"][..],
        &["--progress", "bar", "--color", "never"],
        &["--log-format", "json", "--log", "debug"],
    ] {
        let reports = ["--report", "report.json", "--report", "report.html", "--admin", "none"];
        let run = scratch.worker(&[&["run", "ends.toml"], args, &reports].concat());
        let (ended, said) = on_a_terminal(&scratch, run);
        assert_eq!(ended.status.code(), Some(3), "{said}");
        assert_shown(&format!("{args:?}"), &said);
        assert_shown("report.json", &scratch.text("report.json"));
        assert_shown("report.html", &scratch.text("report.html"));
    }
    let dlq = |args: &[&str]| scratch.worker(&[&["dlq"], args].concat());
    let listed = dlq(&["list", "ends.toml", "--json"]).run().expect(0);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_shown("a list in a pipe", &listed);
    let letters: Vec<serde_json::Value> =
        listed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let failed = letters.iter().find(|letter| letter["stage"] == "fails").expect("a letter");
    assert!(
        failed["reason"].as_str().is_some_and(|reason| reason.contains('\u{9b}')),
        "JSON says what was said: {failed}"
    );
    let id = failed["id"].as_str().expect("its id");
    for args in [
        &["list", "ends.toml"][..],
        &["list", "ends.toml", "--json"],
        &["show", "ends.toml", id],
        &["show", "ends.toml", id, "--json"],
        &["show", "ends.toml", id, "--raw"],
    ] {
        let (_, said) = on_a_terminal(&scratch, dlq(args));
        assert_shown(&format!("{args:?}"), &said);
    }
    let raw = dlq(&["show", "ends.toml", id, "--raw"]).run().expect(0);
    assert_eq!(raw.stdout, EVIL_LINE.as_bytes(), "into a pipe it goes as it is");
}

/// A worker whose work waits, for a reason that a program gave, and that goes on until it is stopped.
fn start(scratch: &Scratch) -> (Running<'_>, String) {
    write_programs(scratch);
    scratch.write(
        "waits.toml",
        "[source.in]\nrun = [\"sh\", \"-c\", \"while [ ! -e stop ]; do cat evil; sleep 0.05; done\"]\n[stage.again]\n\
         run = [\"sh\", \"-c\", \"cat > /dev/null; cat evil >&2; exit 3\"]\nretry = { max_attempts = 9, initial = \"1h\", max = \"1h\" }\n\
         [sink.out]\nfile = \"out\"\n",
    );
    let at = format!("127.0.0.1:{}", free_port());
    let run = [
        "run",
        "waits.toml",
        "--admin",
        &at,
        "--progress",
        "lines",
        "--stall-after",
        "200ms",
        "--color",
        "never",
    ];
    let mut worker = scratch.worker(&run).start();
    worker.wait_for_message("live page and admin API", PATIENCE);
    eventually("it says why it waits", PATIENCE, || {
        let why = scratch.worker(&["why"]).run();
        let said = String::from_utf8_lossy(&why.stdout).into_owned();
        if said.contains("EVIL") { Ok(()) } else { Err(said) }
    });
    (worker, at)
}

#[test]
fn a_running_worker_and_all_that_asks_it() {
    let scratch = Scratch::new();
    let (worker, at) = start(&scratch);
    for args in [
        &["why"][..],
        &["why", "--json"],
        &["status", "--json"],
        &["tap", "in", "--limit", "2"],
        &["tap", "in", "--limit", "2", "--json"],
        &["tap", EVIL],
        &["pause", EVIL],
        &["status", "--admin", EVIL],
        &["status", EVIL],
        &["run", EVIL],
        &["check", EVIL],
        &["status", "--pipeline", EVIL],
        &["node", "--name", EVIL, "--cluster", EVIL, EVIL],
    ] {
        let (_, said) = on_a_terminal(&scratch, scratch.worker(&[args, &["--color", "never"]].concat()));
        assert_shown(&format!("{args:?}"), &said);
    }
    let tapped = scratch.worker(&["tap", "in", "--limit", "1"]).run().expect(0);
    assert_eq!(tapped.stdout, (EVIL_LINE.to_owned() + "\n").as_bytes(), "into a pipe it goes as it is");
    let token = String::from_utf8_lossy(&scratch.shell("cat runtime/*.json")).into_owned();
    let token: serde_json::Value = serde_json::from_str(&token).expect("an entry");
    let bearer = format!("Authorization: Bearer {}", token["token"].as_str().expect("its token"));
    let name = "EVIL%1B%5D0%3Bt%07%C2%9B31m%E2%80%AE%0D%0AFORGED";
    for (path, args) in [
        ("/readyz".to_owned(), &[][..]),
        ("/metrics".to_owned(), &[]),
        ("/api/v1/status".to_owned(), &[]),
        ("/api/v1/why".to_owned(), &[]),
        ("/api/v1/pipeline".to_owned(), &[]),
        ("/api/v1/history".to_owned(), &[]),
        ("/api/v1/dead".to_owned(), &[]),
        ("/api/v1/events".to_owned(), &["--max-time", "2"]),
        ("/api/v1/tap/in?limit=2".to_owned(), &[]),
        (format!("/api/v1/tap/{name}"), &[]),
        (format!("/api/v1/stages/{name}/pause"), &["-X", "POST"]),
        ("/api/v1/log".to_owned(), &["-X", "POST", "--data-binary", EVIL]),
    ] {
        let mut curl = scratch.program("curl".as_ref());
        curl.command.args(["-sN", "-H", &bearer]).args(args).arg(format!("http://{at}{path}"));
        let answer = String::from_utf8_lossy(&curl.run().stdout).into_owned();
        let about_it =
            !["/metrics", "/pipeline", "/history", "/dead"].iter().any(|quiet| path.ends_with(quiet));
        assert_shown(&path, &if about_it { answer } else { answer + "EVIL" });
    }
    scratch.write("stop", "");
    scratch.worker(&["stop", "--now"]).run();
    let said = worker.wait(PATIENCE).stderr;
    assert_shown("its progress and its log", &said);
}

#[test]
fn top_draws_it() {
    let scratch = Scratch::new();
    let (worker, _) = start(&scratch);
    let mut pty = Pty::new(40, 160);
    let top =
        scratch.worker(&["top"]).env("TERM", "xterm-256color").stdin(pty.end()).stdout(pty.end()).start();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    pty.wait_for("the reason", PATIENCE, text, |text| text.contains("EVIL"));
    pty.type_keys("q");
    top.wait(PATIENCE).expect(0);
    let drawn = text(&pty.written());
    // What top draws with begins with ESC [, and has no bytes of eight bits, no bell and no title.
    let bad = drawn.chars().find(|c| is_bad(*c) && !"\u{1b}\r".contains(*c));
    assert_eq!(bad, None, "{drawn:?}");
    assert!(!drawn.contains("\u{1b}]"), "{drawn:?}");
    scratch.worker(&["stop", "--now"]).run();
    worker.wait(PATIENCE);
}

#[test]
fn what_somebody_else_answers_in_the_place_of_a_worker() {
    let scratch = Scratch::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address").to_string();
    let in_json = serde_json::Value::String(EVIL.to_owned()).to_string().replace("\\u001b", "\u{1b}");
    for (status, body) in [
        ("404 Not Found", EVIL.to_owned()),
        ("200 OK", in_json),
        ("200 OK", format!("{{\"{EVIL_LINE}\":1}}")),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        for args in [&["status"][..], &["why"], &["tap", "in"], &["pause", "in"], &["stop"]] {
            let (listener, answer) = (listener.try_clone().expect("a handle"), answer.clone());
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("who asks");
                assert!(stream.read(&mut [0; 4096]).expect("a request") > 0);
                stream.write_all(answer.as_bytes()).expect("it reads");
            });
            let asks = scratch.worker(&[args, &["--admin", &at, "--color", "never"]].concat());
            let (_, said) = on_a_terminal(&scratch, asks);
            server.join().expect("it answers once");
            // What cannot be understood need not be quoted.
            assert_shown(&format!("{args:?} {status}"), &(said + "EVIL"));
        }
    }
}
