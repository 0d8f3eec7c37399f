//! `worker top` on a terminal of 24 lines, as a person would use it.

use rustix::process::Signal;
use rustix::termios::Termios;
use std::num::NonZero;
use std::time::Duration;
use worker_tests::process::{FLOW, Nodes, Pty, Running, Scratch};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// A person before a terminal with `worker top` on it.
struct Seat<'a> {
    pty: Pty,
    before: Termios,
    top: Running<'a>,
}

impl<'a> Seat<'a> {
    fn new(scratch: &'a Scratch, args: &[&str]) -> Self {
        let pty = Pty::new(ROWS, COLUMNS);
        let before = pty.settings();
        let top = scratch.worker(&[&["top"], args].concat()).env("TERM", "xterm-256color");
        let top = top.stdin(pty.end()).stdout(pty.end()).start();
        Self { pty, before, top }
    }

    /// Waits for a screen that holds all of these.
    fn sees(&self, texts: &[&str]) -> String {
        self.sees_that(&format!("a screen with {texts:?}"), |s| texts.iter().all(|text| s.contains(text)))
    }

    fn sees_that(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        self.pty.wait_for(what, PATIENCE, |bytes| parsed(bytes).screen().contents(), |s| wanted(s))
    }

    /// The terminal is as it was before.
    fn assert_restored(&self) {
        self.pty.wait_for(
            "a terminal as it was",
            PATIENCE,
            |bytes| {
                let parser = parsed(bytes);
                let screen = parser.screen();
                format!("alternate {}, cursor hidden {}", screen.alternate_screen(), screen.hide_cursor())
            },
            |state| state == "alternate false, cursor hidden false",
        );
        let (before, now) = (&self.before, self.pty.settings());
        assert_eq!(now.local_modes, before.local_modes);
        assert_eq!(now.input_modes, before.input_modes);
        assert_eq!(now.output_modes, before.output_modes);
        assert_eq!(now.control_modes, before.control_modes);
    }
}

fn parsed(bytes: &[u8]) -> vt100::Parser {
    let mut parser =
        vt100::Parser::new(NonZero::new(ROWS).expect("rows"), NonZero::new(COLUMNS).expect("columns"), 0);
    parser.process(bytes);
    parser
}

/// Two nodes: `a` reads, sends to a stage on `b`, and to a sink of its own.
fn two_nodes(scratch: &Scratch) -> Nodes<'_> {
    let text = format!(
        "[source.rows]\n{FLOW}\nplace = \"a\"\n\
         [stage.upper]\nfrom = \"rows\"\nmode = \"stream\"\nrun = [\"tr\", \"a-z\", \"A-Z\"]\nplace = \"b\"\n\
         [sink.all]\nfrom = \"rows\"\nfile = \"all.txt\"\nplace = \"a\"\n\
         [sink.uppers]\nfrom = \"upper\"\nfile = \"upper.txt\"\nplace = \"a\"\n"
    );
    Nodes::on_loopback(scratch, &["a", "b"], &text)
}

fn node<'a>(nodes: &Nodes<'a>, name: &str) -> Running<'a> {
    let mut start = nodes.node(name);
    start.command.args(["--admin", "127.0.0.1:0", "--stall-after", "2s", "--progress", "lines"]);
    let mut running = start.start();
    running.wait_for_message("live page and admin API", PATIENCE);
    running
}

/// The lines of the table of stages, from the first to the last.
fn stages(screen: &str) -> Vec<String> {
    let name = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
    let is_stage = |name: &String| ["rows", "upper", "all", "uppers"].contains(&name.as_str());
    screen.lines().filter_map(name).filter(is_stage).collect()
}

#[test]
fn a_dead_node_is_seen_and_every_key_does_what_it_says() {
    let scratch = Scratch::new();
    let nodes = two_nodes(&scratch);
    let (a, b) = (node(&nodes, "a"), node(&nodes, "b"));
    scratch.wait_until_flows(&["all.txt", "upper.txt"]);
    let mut seat = Seat::new(&scratch, &[]);

    let healthy = seat.sees(&["2 nodes", "STAGE▼", "● rows", "● all", "● upper", "slots"]);
    assert_eq!(stages(&healthy), ["rows", "upper", "all", "uppers"], "{healthy}");

    b.kill();
    let stalled = seat.sees(&["STALLED: 1 cause", "on node b", "● rows", "✗ uppers", "b down for"]);
    assert!(stalled.contains("upper/0"), "{stalled}");
    seat.sees(&["its process died", "? upper"]);

    seat.pty.type_keys("?");
    seat.sees(&["Help", "hold the view still", "records done a second"]);
    seat.pty.type_keys("?");
    seat.sees_that("the help is gone", |s| !s.contains("hold the view still"));

    seat.pty.type_keys("o");
    seat.sees_that("sorted by output, what is dead at the end", |s| {
        s.contains("OUT/S▼") && stages(s).first().is_some_and(|first| first == "rows" || first == "all")
    });
    seat.pty.type_keys("o");
    seat.sees_that("the other way round", |s| {
        s.contains("OUT/S▲") && stages(s).first().is_some_and(|first| first == "upper" || first == "uppers")
    });
    seat.pty.type_keys("p\t");
    seat.sees(&["LINK▼", "rows/0 → upper/0", "✗"]);
    seat.pty.type_keys("h\r");
    seat.sees(&["rows/0 → upper/0", "Why it waits", "of 16 MiB in memory"]);
    seat.pty.type_keys("\x1b");
    seat.sees_that("the figures are gone", |s| !s.contains("Why it waits"));

    seat.pty.type_keys("\t ");
    seat.sees(&["VIEW PAUSED"]);
    let frozen = seat.sees(&["STAGE", "VIEW PAUSED"]);
    let b = node(&nodes, "b");
    worker_tests::process::holds_for("a paused view stands still", Duration::from_secs(3), || {
        let now = parsed(&seat.pty.written()).screen().contents();
        if now == frozen { Ok(()) } else { Err(now) }
    });
    seat.pty.type_keys(" ");
    seat.sees(&["NOTHING IS STALLED", "● upper"]);

    seat.pty.type_keys("q");
    let Seat { top, .. } = &mut seat;
    worker_tests::process::eventually("it ends", PATIENCE, || {
        if top.has_ended() { Ok(()) } else { Err(top.stderr()) }
    });
    seat.assert_restored();
    let Seat { top, .. } = seat;
    top.wait(PATIENCE).expect(0);
    scratch.stop_flow();
    for node in [a, b] {
        node.wait(PATIENCE);
    }
}

#[test]
fn the_end_of_the_run_is_shown_and_signals_restore_the_terminal() {
    let scratch = Scratch::new();
    scratch.write(
        "pipeline.toml",
        "[source.in]\nrun = [\"bash\", \"-c\", \"seq 1 100; while [ ! -e end ]; do sleep 0.05; done\"]\n\
         [sink.out]\nfrom = \"in\"\nfile = \"out.txt\"\n",
    );
    let mut run = scratch.worker(&["run", "pipeline.toml", "--admin", "127.0.0.1:0"]).start();
    run.wait_for_message("live page and admin API", PATIENCE);
    let seat = Seat::new(&scratch, &[]);
    seat.sees(&["running", "NOTHING IS STALLED"]);
    scratch.write("end", "");
    run.wait(PATIENCE).expect(0);
    seat.sees(&["ENDED", "done", "✓ in", "✓ out"]);
    seat.top.signal(Signal::TERM);
    let Seat { pty, before, top } = seat;
    top.wait(PATIENCE).expect(143);
    let seat = Seat { pty, before, top: scratch.worker(&["top", "--pipeline", "none"]).start() };
    seat.assert_restored();
    seat.top.wait(PATIENCE).expect(1).says(&["worker top needs a terminal", "worker status"]);
}
