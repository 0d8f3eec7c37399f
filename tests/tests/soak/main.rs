//! Three nodes for as long as is wanted, with everything at random: workers and programs killed and stopped, connections cut, slow
//! readers, loads that change. What the nodes take stays as it is, and the result is what a shell makes of the same input.
//!
//! Two minutes; an hour, and with certificates, is
//! `WORKER_SOAK_S=3600 cargo test --release -p worker-tests --test soak -- --nocapture`. `WORKER_SOAK_SEED=n` draws the same again.

mod flat;
mod load;

use flat::Flat;
use load::Load;
use rustix::process::{Pid, Signal, kill_process};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use worker_tests::meddling::Meddler;
use worker_tests::process::{Crew, Nodes, Scratch, descendants, free_port, kill_living};
use worker_tests::sim::rng::Rng;

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Node a reads the log and is never killed, so that what it takes can be seen over all of its life.
const VICTIMS: [&str; 2] = ["b", "c"];

/// How long a connection is left in peace, in milliseconds.
const PEACE_MS: (u64, u64) = (500, 8_000);

/// Programs that are killed use up attempts, and in an hour many are.
const PIPELINE: &str = r#"
    [pipeline]
    name = "soak"
    max_record = "64KiB"
    credit = "256KiB"
    outbox = "512KiB"
    [source.log]
    file = "in.log"
    follow = true
    place = "a"
    [stage.slow]
    from = "log"
    run = ["sh", "-c", "sleep 0.0$(($$ % 10)); sed 's/line/LINE/'"]
    retry = { max_attempts = 1000, initial = "10ms", max = "100ms" }
    partitions = 2
    batch = { max_records = 2000 }
    place = ["b", "c"]
    [stage.count]
    from = "log"
    mode = "records"
    run = ["python3", "count.py"]
    retry = { max_attempts = 1000, initial = "10ms", max = "100ms" }
    partition_by = { field = 1 }
    partitions = 2
    place = ["b", "c"]
    [sink.copy]
    from = "log"
    file = "copy.txt"
    place = "c"
    [sink.passed]
    from = "slow"
    file = "passed.txt"
    place = "b"
    [sink.counted]
    from = "count"
    file = "counted.txt"
    place = "a"
"#;

/// Counts by key; each answer has the count so far.
const COUNT: &str = r#"
import json, sys
counts = {}
for line in sys.stdin:
    m = json.loads(line)
    if "hello" in m:
        counts.update(m["state"])
    elif "key" in m:
        k = m["key"]
        counts[k] = counts.get(k, 0) + 1
        print(json.dumps({"id": m["id"], "put": {k: counts[k]}, "emit": [f"{k} {counts[k]} {m['record']}"]}), flush=True)
    else:
        print(json.dumps({"id": m["id"], "emit": []}), flush=True)
"#;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

#[test]
fn everything_at_random_leaves_the_result_and_what_the_nodes_take_as_they_are() {
    let length = Duration::from_secs(number("WORKER_SOAK_S", 120));
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_nanos()));
    let seed = number("WORKER_SOAK_SEED", fresh);
    println(&format!("WORKER_SOAK_SEED={seed}, {length:?}"));
    let mut rng = Rng::new(seed);
    let scratch = Scratch::new();
    scratch.write("count.py", COUNT);
    scratch.write("in.log", "");
    let nodes = Nodes::on_loopback(&scratch, &NAMES, PIPELINE).with_certificates();
    let meddlers = NAMES.map(|name| Meddler::killing(nodes.address(name), PEACE_MS, rng.any()));
    let admin = NAMES.map(|_| format!("127.0.0.1:{}", free_port()));
    let mut crew = Crew::of(members(&scratch, &nodes, &meddlers, &admin));
    let mut soak = Soak { readers: Vec::new(), stopped: Vec::new(), counts: [0; 5] };
    let mut flat = Flat::new(length);
    let load = Load::start(scratch.path("in.log"), length, rng.any());
    let begun = Instant::now();
    while begun.elapsed() < length {
        crew.go_on_for(Duration::from_millis(rng.within(50, 1_000)));
        soak.does_something(&mut rng, &mut crew, &admin);
        flat.look(begun.elapsed(), NAMES.iter().filter_map(|name| Some((*name, crew.pid(name)?))));
    }
    soak.ends();
    meddlers.iter().for_each(Meddler::rest);
    let lines = load.end();
    crew.stop_once(|| is_done(&scratch, lines));
    println(&format!("{lines} lines; {}", soak.story()));
    assert_result(&scratch, &crew);
    println(&flat.table());
    flat.assert_flat();
}

/// Each node dials the others through the proxies before them.
fn members<'a>(
    scratch: &'a Scratch,
    nodes: &Nodes<'a>,
    meddlers: &[Meddler; 3],
    admin: &[String; 3],
) -> Vec<(String, Box<dyn Fn() -> worker_tests::process::Start<'a> + 'a>)> {
    let mut members: Vec<(String, Box<dyn Fn() -> _>)> = Vec::new();
    for (name, admin) in NAMES.iter().zip(admin) {
        let mut seen = scratch.text("cluster.toml");
        for (other, meddler) in NAMES.iter().zip(meddlers).filter(|(other, _)| *other != name) {
            seen = seen.replace(nodes.address(other), &meddler.address().to_string());
        }
        let (file, admin) = (format!("{name}.toml"), admin.clone());
        scratch.write(&file, seen);
        members.push((
            (*name).to_owned(),
            Box::new(move || {
                let args = ["node", "--name", name, "--cluster", &file, "pipeline.toml", "--state", "state"];
                let mut start = scratch.worker(&args);
                start.command.args(["--progress", "none", "--admin", &admin]);
                start
            }),
        ));
    }
    members
}

/// What befalls the nodes.
struct Soak {
    /// Who asks for events and does not read them, and until when.
    readers: Vec<(Instant, TcpStream)>,
    stopped: Vec<(Instant, i32)>,
    counts: [u64; 5],
}

const WHAT: [&str; 5] =
    ["workers killed", "programs killed", "workers stopped", "programs stopped", "slow readers"];

impl Soak {
    fn does_something(&mut self, rng: &mut Rng, crew: &mut Crew<'_>, admin: &[String; 3]) {
        let now = Instant::now();
        self.readers.retain(|(until, _)| *until > now);
        self.lets_go_on(|until| until <= now);
        let what = rng.index(WHAT.len());
        let name = rng.pick(&VICTIMS);
        let done = match what {
            // Seldom enough that there is a life of some length between two.
            0 => rng.chance(30) && crew.kill(name),
            1 => program(rng, crew, name).is_some_and(kill_living),
            2 => {
                rng.chance(30)
                    && self
                        .stops(crew.pid(rng.pick(&NAMES)), now + Duration::from_millis(rng.within(50, 8_000)))
            }
            3 => {
                let until = now + Duration::from_millis(rng.within(50, 3_000));
                self.stops(program(rng, crew, name), until)
            }
            _ => self.reads_slowly(&rng_pick(rng, admin), now + Duration::from_secs(rng.within(1, 10))),
        };
        self.counts[what] += u64::from(done);
    }

    fn stops(&mut self, pid: Option<i32>, until: Instant) -> bool {
        let is_sent = pid.is_some_and(|pid| signal(pid, Signal::STOP));
        self.stopped.extend(pid.filter(|_| is_sent).map(|pid| (until, pid)));
        is_sent
    }

    fn lets_go_on(&mut self, which: impl Fn(Instant) -> bool) {
        let (over, goes_on): (Vec<_>, Vec<_>) = self.stopped.drain(..).partition(|(until, _)| which(*until));
        self.stopped = goes_on;
        for (_, pid) in over {
            signal(pid, Signal::CONT);
        }
    }

    fn reads_slowly(&mut self, admin: &str, until: Instant) -> bool {
        let Ok(mut reader) = TcpStream::connect(admin) else { return false };
        let asked = write!(reader, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").is_ok();
        self.readers.push((until, reader));
        asked
    }

    fn ends(&mut self) {
        self.readers.clear();
        self.lets_go_on(|_| true);
    }

    fn story(&self) -> String {
        let mut text = String::new();
        for (what, count) in WHAT.iter().zip(self.counts) {
            write!(text, "{count} {what}, ").ok();
        }
        text
    }
}

fn rng_pick(rng: &mut Rng, admin: &[String; 3]) -> String {
    admin[rng.index(admin.len())].clone()
}

/// One of a node's programs; without its launcher it ends itself, which is not what is looked for here.
fn program(rng: &mut Rng, crew: &Crew<'_>, name: &str) -> Option<i32> {
    let is_program = |pid: &i32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        !["launcher", "guardian", "worker", ""].contains(&name.trim())
    };
    let programs: Vec<i32> = descendants(crew.pid(name)?).into_iter().filter(is_program).collect();
    (!programs.is_empty()).then(|| rng.pick(&programs))
}

fn signal(pid: i32, signal: Signal) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| kill_process(pid, signal).is_ok())
}

fn is_done(scratch: &Scratch, lines: u64) -> bool {
    if scratch.len("copy.txt") < scratch.len("in.log") {
        return false;
    }
    let counts = scratch.shell("for f in copy.txt passed.txt counted.txt; do wc -l < $f; done");
    String::from_utf8_lossy(&counts)
        .lines()
        .all(|count| count.trim().parse().is_ok_and(|count: u64| count >= lines))
}

fn assert_result(scratch: &Scratch, crew: &Crew<'_>) {
    let counted = "awk '{print $1, ++n[$1], $0}' in.log";
    for (what, command) in [
        ("copy", "cmp in.log copy.txt".to_owned()),
        ("passed", "cmp <(sed s/line/LINE/ in.log | sort) <(sort passed.txt)".to_owned()),
        ("counted", format!("cmp <({counted} | sort) <(sort counted.txt)")),
        ("dead letters", "! find state -path '*/dead/*' -type f -size +0 | grep .".to_owned()),
    ] {
        let said = scratch.shell(&format!("({command}) 2>&1 || echo differs"));
        assert!(said.is_empty(), "{what}: {}\n{}", String::from_utf8_lossy(&said), crew.story());
    }
}

fn println(line: &str) {
    writeln!(std::io::stderr(), "{line}").ok();
}
