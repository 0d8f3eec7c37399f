//! What stands in a pipeline's way is what `worker why` says, within seconds, and no longer than it stands there.

use serde_json::Value;
use std::time::Duration;
use worker_tests::process::{Disk, Nodes, Running, Scratch, Start, eventually, free_port, holds_for};

const PATIENCE: Duration = Duration::from_secs(60);

/// A worker that is asked at its admin address.
struct Asked<'a> {
    scratch: &'a Scratch,
    admin: String,
    running: Running<'a>,
}

impl<'a> Asked<'a> {
    /// Starts `worker run` on this pipeline; programs wait at the pipe `gate` until it is opened.
    fn start(scratch: &'a Scratch, pipeline: &str, args: &[&str]) -> Self {
        scratch.shell("mkfifo gate");
        scratch.write("pipeline.toml", pipeline);
        Self::start_this(scratch, scratch.worker(&[&["run", "pipeline.toml"], args].concat()))
    }

    fn start_this(scratch: &'a Scratch, mut start: Start<'a>) -> Self {
        let admin = format!("127.0.0.1:{}", free_port());
        start.command.args(["--admin", &admin, "--progress", "none"]);
        let running = in_its_own_world(scratch, start).start();
        Self { scratch, admin, running }
    }

    /// What `worker why` says of a task: whether it is stalled, and the first wait's `kind` and figures.
    fn why(&self, task: &str) -> Option<(bool, Value)> {
        let start = self.scratch.worker(&["why", "--json", "--admin", &self.admin]);
        let said = in_its_own_world(self.scratch, start).run();
        let explanation: Value = serde_json::from_slice(&said.stdout).ok()?;
        let chain = explanation["chains"].as_array()?.iter().find(|chain| chain["task"] == task)?.clone();
        Some((chain["stalled"] == true, chain["steps"][0]["wait"].clone()))
    }

    /// Waits until it says that a task waits for this; gives the figures.
    fn waits_for(&self, task: &str, kind: &str, stalled: bool) -> Value {
        eventually(&format!("{task} waits: {kind}"), PATIENCE, || match self.why(task) {
            Some((is, wait)) if wait["kind"] == kind && is == stalled => Ok(wait),
            other => Err(format!("{other:?}; {}", self.running.stderr())),
        })
    }

    /// Waits until it does not say so any more.
    fn goes_on(&self, task: &str, kind: &str) {
        eventually(&format!("{task} does not wait: {kind}"), PATIENCE, || match self.why(task) {
            Some((_, wait)) if wait["kind"] == kind => Err(format!("{wait}")),
            _ => Ok(()),
        });
    }

    /// Lets programs that wait at the gate go on, for ever; all is done then.
    fn open_the_gate(self) {
        let gate = self.scratch.path("gate");
        let opener = std::thread::spawn(move || std::fs::write(gate, "go\n"));
        self.running.wait(PATIENCE).expect(0);
        opener.join().expect("it does not panic").expect("the gate is a pipe");
    }
}

/// Other workers of this machine neither see it nor are seen, and Python buffers, whatever it is told outside.
fn in_its_own_world<'a>(scratch: &Scratch, start: Start<'a>) -> Start<'a> {
    let runtime = scratch.path("runtime").display().to_string();
    start.env("WORKER_RUNTIME_DIR", &runtime).env("PYTHONUNBUFFERED", "")
}

#[test]
fn a_program_that_hangs_with_unread_input() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nfile = 'in.txt'\n[stage.hang]\nrun = ['sh', '-c', 'sleep 1000']\npartitions = 1\n[sink.out]\nfile = 'out.txt'\n";
    scratch.write("in.txt", "one\ntwo\n");
    let worker = Asked::start(&scratch, pipeline, &[]);
    let wait = worker.waits_for("hang/0", "child_hung", true);
    assert_eq!((wait["unread_bytes"].as_u64(), wait["closed"].as_bool()), (Some(8), Some(true)), "{wait}");
    assert!(wait["for_s"].as_f64() >= Some(2.0), "{wait}");
    worker.running.kill();
}

/// Lines for ever, some each 0.2 s.
const ALWAYS_MORE: &str = "[source.in]\nrun = ['sh', '-c', 'while :; do seq 1 100; sleep 0.2; done']\n";

#[test]
fn a_stream_program_that_reads_no_more_hangs_while_its_pipe_still_takes_more() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "{ALWAYS_MORE}[stage.hang]\nmode = 'stream'\nrun = ['sh', '-c', 'head -n 50; exec sleep 1000']\n[sink.out]\nfile = 'out.txt'\n"
    );
    let worker = Asked::start(&scratch, &pipeline, &[]);
    let wait = worker.waits_for("hang/0", "child_hung", true);
    let unread = wait["unread_bytes"].as_u64();
    assert!(unread > Some(0) && unread < Some(512 << 10), "seen long before the pipe is full: {wait}");
    let counts = |task: &Value| (task["records_in"].as_u64(), task["queued_records"].as_u64());
    let (taken, held) = counts(&worker.task("hang/0"));
    assert!(held > Some(100), "what lies in its pipe is held: {taken:?} taken, {held:?} held");
    worker.running.kill();
}

#[test]
fn programs_that_read_slowly_are_behind_and_do_not_hang() {
    let scratch = Scratch::new();
    // One reads by the line; the other by the block, and takes minutes for each.
    let pipeline = format!(
        "{ALWAYS_MORE}[sink.lines]\nfrom = 'in'\nrun = ['sh', '-c', 'while read line; do sleep 0.1; done']\n\
         [sink.blocks]\nfrom = 'in'\nrun = ['python3', '-c', \"import sys, time\\nfor line in sys.stdin: time.sleep(0.1)\"]\n"
    );
    let worker = Asked::start(&scratch, &pipeline, &[]);
    for task in ["lines/0", "blocks/0"] {
        eventually("it is behind", PATIENCE, || match worker.kinds(task) {
            kinds if kinds == ["child_not_reading"] => Ok(()),
            kinds => Err(format!("{task}: {kinds:?}")),
        });
    }
    let taken = || worker.task("lines/0")["records_in"].as_u64().unwrap_or_default();
    let before = taken();
    holds_for("neither hangs", Duration::from_secs(8), || {
        for task in ["lines/0", "blocks/0"] {
            if let Some((_, wait)) = worker.why(task).filter(|(_, wait)| wait["kind"] == "child_hung") {
                return Err(format!("{task}: {wait}"));
            }
        }
        Ok(())
    });
    let more = taken() - before;
    assert!((1..=200).contains(&more), "ten a second, and not what fits a pipe: {more}");
    worker.running.kill();
}

#[test]
fn a_program_that_is_stopped_is_called_so() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "{ALWAYS_MORE}[stage.held]\nmode = 'stream'\nrun = ['sh', '-c', 'echo $$ > pid; exec cat']\n[sink.out]\nfile = 'out.txt'\n"
    );
    let worker = Asked::start(&scratch, &pipeline, &["--pid-namespace", "off"]);
    eventually("it works", PATIENCE, || match scratch.text("out.txt") {
        text if text.is_empty() => Err(text),
        _ => Ok(()),
    });
    scratch.shell("kill -STOP $(cat pid)");
    let wait = worker.waits_for("held/0", "child_stopped", true);
    let pid = scratch.text("pid").trim().parse::<u64>().ok();
    assert_eq!(wait["pid"].as_u64(), pid, "{wait}");
    scratch.shell("kill -CONT $(cat pid)");
    worker.goes_on("held/0", "child_stopped");
    worker.running.kill();
}

#[test]
fn a_source_whose_program_is_stopped_is_called_so() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nrun = ['sh', '-c', 'echo $$ > pid; while :; do echo x; sleep 0.1; done']\n[sink.out]\nfile = 'out.txt'\n";
    let worker = Asked::start(&scratch, pipeline, &["--pid-namespace", "off"]);
    eventually("it works", PATIENCE, || match scratch.text("out.txt") {
        text if text.is_empty() => Err(text),
        _ => Ok(()),
    });
    scratch.shell("kill -STOP $(cat pid)");
    worker.waits_for("in/0", "child_stopped", true);
    scratch.shell("kill -CONT $(cat pid)");
    worker.goes_on("in/0", "child_stopped");
    worker.running.kill();
}

#[test]
fn a_worker_that_is_stopped_is_called_so_at_once() {
    let scratch = Scratch::new();
    let worker = Asked::start(&scratch, &format!("{ALWAYS_MORE}[sink.out]\nfile = 'out.txt'\n"), &[]);
    eventually("it works", PATIENCE, || match scratch.text("out.txt") {
        text if text.is_empty() => Err(text),
        _ => Ok(()),
    });
    let pid = worker.running.pid();
    scratch.shell(&format!("kill -STOP {pid}"));
    let port = worker.admin.rsplit_once(':').map(|(_, port)| port.to_owned()).unwrap_or_default();
    let ask = |args: &[&str]| {
        let begun = std::time::Instant::now();
        let said = in_its_own_world(&scratch, scratch.worker(args)).run();
        assert!(begun.elapsed() < Duration::from_secs(4), "{args:?} waits for it");
        let text = format!("{}{}", String::from_utf8_lossy(&said.stdout), said.stderr);
        (said.status.code(), text)
    };
    let localhost = format!("localhost:{port}");
    for args in [&["why"][..], &["why", "--admin", &localhost], &["status"], &["pause", "out"]] {
        let (status, text) = ask(args);
        let says = text.contains("SIGSTOP") && text.contains(&format!("kill -CONT {pid}"));
        assert!(says && status != Some(0), "{args:?}: {status:?} {text}");
    }
    assert_eq!(ask(&["why"]).0, Some(3), "as for everything that is in the way");
    assert!(ask(&["status", "--list"]).1.contains("SIGSTOP"));
    scratch.shell(&format!("kill -CONT {pid}"));
    assert_eq!(ask(&["why"]).0, Some(0));
    worker.running.kill();
}

#[test]
fn a_program_that_hangs_for_a_while_goes_on() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nfile = 'in.txt'\n[stage.hang]\nrun = ['sh', '-c', 'read go < gate; cat']\npartitions = 1\n\
                    [sink.out]\nfile = 'out.txt'\n";
    scratch.write("in.txt", "one\ntwo\n");
    let worker = Asked::start(&scratch, pipeline, &[]);
    worker.waits_for("hang/0", "child_hung", true);
    worker.open_the_gate();
    assert_eq!(scratch.text("out.txt"), "one\ntwo\n");
}

#[test]
fn a_program_that_does_not_end_after_its_input() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nfile = 'in.txt'\n[stage.hang]\nmode = 'stream'\nrun = ['sh', '-c', 'cat; read go < gate']\n\
                    [sink.out]\nfile = 'out.txt'\n";
    scratch.write("in.txt", "one\ntwo\n");
    let worker = Asked::start(&scratch, pipeline, &[]);
    let wait = worker.waits_for("hang/0", "child_hung", true);
    assert_eq!((wait["unread_bytes"].as_u64(), wait["closed"].as_bool()), (Some(0), Some(true)), "{wait}");
    worker.open_the_gate();
    assert_eq!(scratch.text("out.txt"), "one\ntwo\n");
}

#[test]
fn a_program_that_buffers_until_it_is_given_more() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nrun = ['sh', '-c', 'exec 3<> gate; echo one; read go <&3; echo two; read go <&3']\n\
                    [stage.buffers]\nmode = 'stream'\nrun = ['python3', '-c', '''\nimport sys\nfor line in sys.stdin:\n    \
                    print(line.strip())\n    if line == \"two\\n\": sys.stdout.flush()\n''']\n[sink.out]\nfile = 'out.txt'\n";
    let worker = Asked::start(&scratch, pipeline, &[]);
    // It may be a program that sums up, so it is no stall.
    let wait = worker.waits_for("buffers/0", "child_buffers", false);
    assert_eq!(wait["fed_bytes"].as_u64(), Some(4), "{wait}");
    std::fs::write(scratch.path("gate"), "go\n").expect("the gate is a pipe");
    worker.goes_on("buffers/0", "child_buffers");
    eventually("it prints", PATIENCE, || match scratch.text("out.txt") {
        text if text == "one\ntwo\n" => Ok(()),
        text => Err(text),
    });
    worker.open_the_gate();
}

#[test]
fn a_records_program_that_never_answers() {
    let scratch = Scratch::new();
    let program = |rest: &str| {
        format!(
            "[source.in]\nfile = 'in.txt'\n[stage.asked]\nmode = 'records'\nrun = ['sh', '-c', '{rest}']\n\
             [sink.out]\nfile = 'out.txt'\n"
        )
    };
    scratch.write("in.txt", "one\n");
    // All is read, and nothing was ever printed: that it forgot to flush is likely, and in the way in any case.
    let answers = "read hello; read one; read end; read go < gate; echo \"{\\\"id\\\":1,\\\"emit\\\":[\\\"1\\\"]}\"; echo \"{\\\"id\\\":2}\"";
    let worker = Asked::start(&scratch, &program(answers), &[]);
    worker.waits_for("asked/0", "child_buffers", true);
    worker.open_the_gate();
    assert_eq!(scratch.text("out.txt"), "1\n");
    // Nothing is read.
    let scratch = Scratch::new();
    scratch.write("in.txt", "one\n");
    let worker = Asked::start(&scratch, &program("sleep 1000"), &[]);
    let wait = worker.waits_for("asked/0", "child_hung", true);
    assert!(wait["unread_bytes"].as_u64() > Some(0), "{wait}");
    worker.running.kill();
}

#[test]
fn a_program_that_works_or_waits_for_input_is_not_in_the_way() {
    let scratch = Scratch::new();
    let pipeline = "[source.in]\nrun = ['sh', '-c', 'echo one; read go < gate']\n\
                    [stage.idle]\nfrom = 'in'\nmode = 'stream'\nrun = ['sh', '-c', 'while read line; do echo $line; done']\n\
                    [stage.busy]\nfrom = 'in'\nmode = 'stream'\nrun = ['sh', '-c', 'while :; do :; done']\n\
                    [sink.out]\nfrom = ['idle', 'busy']\nfile = 'out.txt'\n";
    let worker = Asked::start(&scratch, pipeline, &[]);
    eventually("one is through", PATIENCE, || match scratch.text("out.txt") {
        text if text == "one\n" => Ok(()),
        text => Err(text),
    });
    holds_for("nothing hangs", Duration::from_secs(6), || {
        for (task, kind) in [("idle/0", "awaiting_end"), ("busy/0", "child_not_reading")] {
            if let Some((_, wait)) = worker.why(task).filter(|(_, wait)| wait["kind"] != kind) {
                return Err(format!("{task}: {wait}"));
            }
        }
        Ok(())
    });
    worker.running.kill();
}

#[test]
fn a_sink_whose_disk_is_full() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "2m");
    scratch.shell("seq 1 700000 > in.txt");
    let pipeline = "[source.in]\nfile = 'in.txt'\n[sink.out]\nfile = 'tiny/out.txt'\n";
    let worker = Asked::start(&scratch, pipeline, &["--state", "state"]);
    let wait = worker.waits_for("out/0", "disk_full", true);
    assert!(wait["error"].as_str().is_some_and(|why| why.contains("tiny/out.txt: no room")), "{wait}");
    disk.resize("64m");
    worker.running.wait(PATIENCE).expect(0);
    assert!(scratch.read("tiny/out.txt") == scratch.read("in.txt"));
}

#[test]
fn a_task_whose_outputs_find_no_room_aside() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "2m");
    scratch.shell("seq 1 2000000 > in.txt");
    // One of two destinations hangs: what it should have is put aside, until there is no room for it.
    let pipeline = "[pipeline]\nname = 'full'\noutbox = '1MiB'\nspill_dir = 'tiny'\n[source.in]\nfile = 'in.txt'\n\
                    [stage.hang]\nfrom = 'in'\nmode = 'stream'\nrun = ['sh', '-c', 'read go < gate; cat > /dev/null']\n\
                    [stage.flows]\nfrom = 'in'\nmode = 'stream'\nrun = 'cat'\n[sink.out]\nfrom = ['hang', 'flows']\nfile = 'out.txt'\n";
    let worker = Asked::start(&scratch, pipeline, &[]);
    let wait = worker.waits_for("in/0", "disk_full", true);
    assert!(wait["error"].as_str().is_some_and(|why| why.contains("tiny")), "{wait}");
    disk.resize("200m");
    worker.goes_on("in/0", "disk_full");
    worker.open_the_gate();
    assert!(scratch.read("out.txt") == scratch.read("in.txt"));
}

#[test]
fn a_program_whose_output_fits_nowhere() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "2m");
    scratch.write("in.txt", "go\n");
    let pipeline = "[pipeline]\nname = 'full'\noutbox = '1MiB'\nspill_dir = 'tiny'\n[source.in]\nfile = 'in.txt'\n\
                    [stage.many]\nrun = ['sh', '-c', 'cat > /dev/null; seq 1 4000000']\npartitions = 1\n\
                    [sink.out]\nfile = 'out.txt'\n";
    let worker = Asked::start(&scratch, pipeline, &[]);
    worker.waits_for("many/0", "disk_full", true);
    disk.resize("200m");
    worker.goes_on("many/0", "disk_full");
    worker.running.wait(PATIENCE).expect(0);
    assert_eq!(scratch.text("out.txt").lines().count(), 4_000_000);
}

#[test]
fn a_full_disk_of_the_state_directory() {
    let scratch = Scratch::new();
    let disk = Disk::in_memory(&scratch, "tiny", "96m");
    scratch.shell("seq 1 1500000 | sed 's/$/ is a number with some words behind it, so that there is more of it/' > in.txt");
    // Node b is not there: what it should have fills the disk. Lines would be left in their file.
    let pipeline = "[pipeline]\nname = 'full'\noutbox = '1MiB'\n[source.in]\nfile = 'in.txt'\nframing = 'csv'\nplace = 'a'\n\
                    [sink.here]\nfrom = 'in'\nfile = 'here.txt'\nplace = 'a'\n\
                    [sink.there]\nfrom = 'in'\nfile = 'there.txt'\nplace = 'b'\n";
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], pipeline);
    let mut node = nodes.node("a");
    node.command.args(["--state", "tiny/state"]);
    let worker = Asked::start_this(&scratch, node);
    eventually("in/0 waits: storage_full", PATIENCE, || match worker.kinds("in/0") {
        kinds if kinds.iter().any(|kind| kind == "storage_full") => Ok(()),
        kinds => Err(format!("{kinds:?}; {}", worker.running.stderr())),
    });
    disk.resize("1g");
    eventually("in/0 does not wait: storage_full", PATIENCE, || match worker.kinds("in/0") {
        kinds if kinds.iter().any(|kind| kind == "storage_full") => Err(format!("{kinds:?}")),
        _ => Ok(()),
    });
    worker.running.kill();
}

impl Asked<'_> {
    /// All that `worker status` says of a task.
    fn task(&self, task: &str) -> Value {
        let start = self.scratch.worker(&["status", "--json", "--admin", &self.admin]);
        let said = in_its_own_world(self.scratch, start).run();
        let nodes: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
        let tasks = nodes[0]["tasks"].as_array().cloned().unwrap_or_default();
        tasks.into_iter().find(|found| found["name"] == task).unwrap_or_default()
    }

    /// Everything a task waits for, as `worker status` says.
    fn kinds(&self, task: &str) -> Vec<String> {
        let waits = self.task(task)["waits"].as_array().cloned().unwrap_or_default();
        waits.iter().filter_map(|wait| Some(wait["kind"].as_str()?.to_owned())).collect()
    }
}
