//! Reasons to wait, each brought about for real; what programs and disks do is in `blockers`.

use crate::ask::{PATIENCE, admin, chain, get, root_kind, why, why_text};
use rustix::process::Signal;
use worker_tests::process::{FLOW, Nodes, Scratch, eventually, free_port};

/// Small ones, so that they are used up at once.
const BUDGETS: &str = "max_record = '64KiB'\ncredit = '256KiB'\noutbox = '512KiB'\nspill_limit = '4MiB'\n";

/// Waits until a task of some node waits for this.
fn waits_for(scratch: &Scratch, task: &str, kind: &str) {
    eventually(&format!("{task} waits for {kind}"), PATIENCE, || {
        let finished = scratch.worker(&["status", "--json"]).run();
        let nodes: Vec<serde_json::Value> = serde_json::from_slice(&finished.stdout).unwrap_or_default();
        let waits = nodes
            .iter()
            .flat_map(|node| node["tasks"].as_array().into_iter().flatten())
            .filter(|found| found["name"] == task)
            .flat_map(|found| found["waits"].as_array().into_iter().flatten());
        let kinds: Vec<_> = waits.filter_map(|wait| wait["kind"].as_str()).collect();
        if kinds.contains(&kind) { Ok(()) } else { Err(format!("{kinds:?} {}", finished.stderr)) }
    });
}

#[test]
fn a_stopped_node_is_silent_and_a_second_process_of_its_name_is_refused() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[pipeline]\nname = 'pair'\n{BUDGETS}[source.lines]\n{FLOW}\nplace = 'a'\n\
         [sink.out]\nrun = ['sh', '-c', 'cat > out.txt']\nplace = 'b'\n"
    );
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &pipeline);
    let [mut a, mut b] = ["a", "b"].map(|name| nodes.start(name));
    admin(&mut a);
    admin(&mut b);
    scratch.wait_until_flows(&["out.txt"]);
    b.signal(Signal::STOP);
    let silent = chain(&scratch, &[], "node b is silent", |c| {
        let root = c["steps"].as_array().and_then(|steps| steps.last()).cloned().unwrap_or_default();
        c["task"] == "lines/0" && c["root"] == "node b" && root["wait"]["cause"] == "silent"
    });
    assert!(silent["advice"].as_str().is_some_and(|advice| advice.contains("stopped")), "{silent}");
    b.signal(Signal::CONT);
    eventually("it is heard again", PATIENCE, || {
        let (said, code) = crate::ask::why(&scratch, &[]);
        if code == 0 { Ok(()) } else { Err(said.to_string()) }
    });

    a.signal(Signal::STOP);
    let cluster =
        scratch.text("cluster.toml").replacen(nodes.address("a"), &format!("127.0.0.1:{}", free_port()), 1);
    scratch.write("second.toml", cluster);
    let second = ["node", "--name", "a", "--cluster", "second.toml", "pipeline.toml", "--stall-after", "1s"];
    let mut second = scratch.worker(&second).start();
    let at = admin(&mut second);
    chain(&scratch, &["--admin", &at], "node b refuses it", |c| c["steps"][0]["wait"]["cause"] == "refused");
    a.signal(Signal::CONT);
    drop((a, b, second));
}

#[test]
fn a_stopped_node_is_silent_however_often_it_is_dialled() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[pipeline]\nname = 'there-and-back'\n{BUDGETS}[source.lines]\n{FLOW}\nplace = 'a'\n\
         [stage.same]\nrun = ['cat']\nmode = 'stream'\npartitions = 1\nplace = 'b'\n[sink.out]\nfile = 'out.txt'\nplace = 'a'\n"
    );
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &pipeline);
    let [mut a, mut b] = ["a", "b"].map(|name| nodes.start(name));
    let at = admin(&mut a);
    admin(&mut b);
    scratch.wait_until_flows(&["out.txt"]);
    b.signal(Signal::STOP);
    let is_silent = || {
        let (said, code) = crate::ask::why(&scratch, &["--admin", &at]);
        let chains = said["chains"].as_array().cloned().unwrap_or_default();
        let wait = |chain: &serde_json::Value| {
            let steps = chain["steps"].as_array().cloned().unwrap_or_default();
            steps.last().map(|step| step["wait"].clone()).unwrap_or_default()
        };
        let of_b: Vec<_> = chains.iter().filter(|chain| chain["root"] == "node b").map(wait).collect();
        let kinds: Vec<_> = of_b.iter().filter_map(|wait| wait["kind"].as_str()).collect();
        let all = ["peer_down", "upstream_down"].iter().all(|kind| kinds.contains(kind));
        let silent = of_b.iter().all(|w| w["cause"] == "silent" && w["text"].to_string().contains("silent"));
        let (ready, body) = get(&at, "/readyz");
        let status: serde_json::Value =
            serde_json::from_str(&get(&at, "/api/v1/status").1).unwrap_or_default();
        let peer =
            status["peers"].as_array().and_then(|peers| peers.iter().find(|p| p["node"] == "b")).cloned();
        let peer = peer.unwrap_or_default();
        if all && silent && code == 3 && ready == 503 && body.contains("silent") && peer["cause"] == "silent"
        {
            return Ok(peer["failed_attempts"].as_u64().unwrap_or(0));
        }
        Err(format!("{code} {said}\n{ready} {body}\n{peer}"))
    };
    eventually("node b is silent", PATIENCE, is_silent);
    // A connection is taken by the system and said nothing on, several times.
    let mut dialled = 0;
    let begun = std::time::Instant::now();
    while dialled < 4 {
        match is_silent() {
            Ok(attempts) => dialled = attempts,
            Err(why) => panic!("after {:?} and {dialled} attempts: {why}", begun.elapsed()),
        }
        assert!(begun.elapsed() < PATIENCE * 2, "it is dialled no more: {dialled}");
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    b.signal(Signal::CONT);
    eventually("it is heard again", PATIENCE, || {
        let (said, code) = crate::ask::why(&scratch, &["--admin", &at]);
        if code == 0 { Ok(()) } else { Err(said.to_string()) }
    });
}

#[test]
fn slots_credit_and_memory_that_are_used_up() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[pipeline]\nname = 'slots'\n{BUDGETS}[source.lines]\n{FLOW}\n[stage.slow]\npartitions = 3\n\
         partition_by = {{ field = 1 }}\nrun = ['sh', '-c', 'sleep 3; cat']\n[sink.out]\nfile = 'out.txt'\n"
    );
    let run = scratch.start(&pipeline, &["--slots", "1"]);
    for kind in ["child_busy", "no_slot"] {
        waits_for(&scratch, "slow/0", kind);
    }
    for kind in ["no_credit", "outbox_full"] {
        waits_for(&scratch, "lines/0", kind);
    }
    drop(run);
}

#[test]
fn a_spill_limit_that_one_destination_of_two_has_used_up() {
    let scratch = Scratch::new();
    scratch.shell("mkfifo go");
    let hangs = "run = ['sh', '-c', 'read -r l; read -r go < go; cat > /dev/null']";
    let pipeline = format!(
        "[pipeline]\nname = 'spill'\n{BUDGETS}[source.lines]\n{FLOW}\n[sink.hangs]\nfrom = 'lines'\n{hangs}\n\
         [sink.out]\nfrom = 'lines'\nfile = 'out.txt'\n"
    );
    let mut run = scratch.start(&pipeline, &[]);
    admin(&mut run);
    waits_for(&scratch, "lines/0", "spill_limit");
    let told = chain(&scratch, &[], "the source waits for what reads nothing", |c| {
        c["task"] == "lines/0" && c["stalled"] == true && root_kind(c) == "child_hung"
    });
    assert_eq!(told["root"], "hangs/0: child_hung");
    scratch.shell("echo > go");
    scratch.stop_flow();
    run.wait(PATIENCE).expect(0);
}

#[test]
fn a_batch_between_two_attempts_and_programs_that_wait_for_more() {
    let scratch = Scratch::new();
    let mut run = scratch.start(
        "[pipeline]\nname = 'waits'\n[source.in]\nrun = ['sh', '-c', 'seq 10; sleep 1000']\n\
         [stage.sorted]\nfrom = 'in'\nmode = 'stream'\nrun = ['sort']\n\
         [stage.fails]\nfrom = 'in'\npartitions = 1\nretry = { initial = '2h', max = '2h' }\n\
         run = ['sh', '-c', 'echo no such luck >&2; exit 3']\n\
         [sink.out]\nfrom = ['sorted', 'fails']\nfile = 'out.txt'\n",
        &[],
    );
    admin(&mut run);
    waits_for(&scratch, "in/0", "source_idle");
    let waits = chain(&scratch, &[], "sort waits for the end", |c| c["task"] == "sorted/0");
    let kinds: Vec<_> = crate::ask::steps(&waits).into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(
        (kinds, &waits["stalled"]),
        (vec!["awaiting_end".to_owned(), "source_idle".to_owned()], &false.into())
    );
    let fails = chain(&scratch, &[], "a batch failed", |c| c["task"] == "fails/0" && c["stalled"] == true);
    let wait = &fails["steps"][0]["wait"];
    assert_eq!(
        (&wait["kind"], &wait["attempts"], &wait["records"]),
        (&"backoff".into(), &1.into(), &10.into())
    );
    let error = wait["error"].as_str().unwrap_or_default();
    assert!(error.contains("exited with status 3") && error.contains("no such luck"), "{wait}");
    drop(run);
}

/// A record that was in flight by itself in two deaths is tried alone; a death before that holds up nobody.
#[test]
fn while_a_record_is_tried_that_may_have_killed_the_worker_others_wait_for_its_turn() {
    let scratch = Scratch::new();
    scratch.shell("seq 1 200 > in.txt");
    let kills = "n=$(cat died 2> /dev/null || echo 0); \
                 test $n = 2 || { echo $((n + 1)) > died; g=$(cut -d' ' -f4 /proc/$PPID/stat); kill -9 $(cut -d' ' -f4 /proc/$g/stat); sleep 60; }";
    scratch.write(
        "pipeline.toml",
        format!(
            "[pipeline]\nname = 'quarantine'\n[source.in]\nfile = 'in.txt'\n\
             [stage.deadly]\nfrom = 'in'\npartitions = 1\nbatch = {{ max_records = 1 }}\n\
             run = ['sh', '-c', \"{kills}; while ! test -e go; do sleep 0.1; done; exec cat\"]\n\
             [stage.other]\nfrom = 'in'\npartitions = 1\nbatch = {{ max_records = 10 }}\n\
             run = ['sh', '-c', 'test \"$(cat died)\" = 2 || sleep 60; exec cat']\n\
             [sink.out]\nfrom = ['deadly', 'other']\nfile = 'out.txt'\n"
        ),
    );
    let start = || {
        let run = ["run", "pipeline.toml", "--state", "state", "--slots", "2", "--pid-namespace", "off"];
        scratch.worker(&run).start()
    };
    for _ in 0..2 {
        let died = start().wait(PATIENCE);
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&died.status), Some(9), "{}", died.stderr);
    }
    let mut run = start();
    admin(&mut run);
    waits_for(&scratch, "other/0", "quarantined");
    let told = chain(&scratch, &[], "whose turn it is is named", |c| root_kind(c) == "quarantined");
    let wait = &told["steps"][0]["wait"];
    assert_eq!(
        (&wait["held_by"], &told["stalled"]),
        (&serde_json::json!(["deadly/0"]), &false.into()),
        "{told}"
    );
    assert!(told["text"].as_str().is_some_and(|text| text.contains("it is the turn of deadly/0")), "{told}");
    scratch.write("go", "");
    run.wait(PATIENCE).expect(0);
    let twice = scratch.shell("seq 1 200 | sed p | sort");
    assert!(scratch.shell("sort out.txt") == twice, "each record twice, by both ways");
}

#[test]
fn a_node_that_was_itself_stopped_while_its_peer_died_says_both() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[pipeline]\nname = 'there-and-back'\n{BUDGETS}[source.lines]\n{FLOW}\nplace = 'a'\n\
         [stage.same]\nrun = ['cat']\npartitions = 1\nplace = 'b'\n[sink.out]\nfile = 'out.txt'\nplace = 'a'\n"
    );
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &pipeline);
    let (a, mut b) = (nodes.start("a"), nodes.start("b"));
    let at = admin(&mut b);
    scratch.wait_until_flows(&["out.txt"]);
    b.signal(Signal::STOP);
    // No peer gives it up meanwhile: nobody has a last word for it.
    std::thread::sleep(std::time::Duration::from_secs(4));
    a.kill();
    std::thread::sleep(std::time::Duration::from_secs(4));
    b.signal(Signal::CONT);
    eventually("it says so", PATIENCE, || {
        let (said, _) = crate::ask::why(&scratch, &["--admin", &at]);
        let notes = said["notes"].to_string();
        let is_said =
            notes.contains("this process was itself stopped for") && notes.contains("gone on, without it");
        let is_named = said["chains"].to_string().contains("node a");
        if is_said && is_named { Ok(()) } else { Err(said.to_string()) }
    });
    assert!(b.stderr().contains("this process was itself stopped for"), "{}", b.stderr());
    drop(b);
}

#[test]
fn a_source_that_follows_files_waits_for_new_lines() {
    for watches in [true, false] {
        let scratch = Scratch::new();
        scratch.shell("seq 1 9 > app.log");
        let pipeline = "[pipeline]\nname = 'follows'\n[source.log]\nfile = 'app.log*'\nfollow = true\n[sink.out]\nfile = 'out.txt'\n";
        scratch.write("pipeline.toml", pipeline);
        let worker = scratch.worker(&["run", "pipeline.toml", "--report", "report.json"]);
        let mut run =
            if watches { worker } else { worker.env("WORKER_FAULT", "follow.watch.before=enospc") }.start();
        admin(&mut run);
        waits_for(&scratch, "log/0", "awaiting_lines");
        let told = chain(&scratch, &[], "it has read all", |c| c["task"] == "log/0");
        assert_eq!(
            (&told["stalled"], &told["steps"][0]["wait"]["files"]),
            (&false.into(), &"app.log*".into())
        );
        let (_, code) = why(&scratch, &[]);
        let said = why_text(&scratch, &[]);
        assert!(
            code == 0 && said.starts_with("log/0 waits: for new lines in app.log*: it has read all"),
            "{said}"
        );
        scratch.shell("printf 'half a line' >> app.log");
        let status = || String::from_utf8_lossy(&scratch.worker(&["status"]).run().stdout).into_owned();
        eventually("what has no end is behind", PATIENCE, || {
            let said = (why_text(&scratch, &[]), status());
            let known =
                said.0.contains("no whole one has come for") && said.0.contains("11 B are there so far");
            let behind = said.1.contains("11 B behind, waits for new lines in app.log*");
            if known && behind { Ok(()) } else { Err(format!("{said:?}")) }
        });
        scratch.shell("echo >> app.log");
        eventually("it is read", PATIENCE, || {
            let said = status();
            if said.contains("10 out") && !said.contains("behind") { Ok(()) } else { Err(said) }
        });
        scratch.shell("printf 'left' >> app.log");
        eventually("it is seen", PATIENCE, || match status() {
            said if said.contains("4 B behind") => Ok(()),
            said => Err(said),
        });
        run.signal(Signal::INT);
        let finished = run.wait(PATIENCE);
        assert!(finished.stderr.contains("log: 4 B of its files were not read"), "{}", finished.stderr);
        let report: serde_json::Value = serde_json::from_str(&scratch.text("report.json")).expect("a report");
        assert_eq!(
            (&report["stages"][0]["lag_bytes"], &report["tasks"][0]["lag_bytes"]),
            (&4.into(), &4.into())
        );
    }
}
