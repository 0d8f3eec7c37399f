//! What the page shows when something fails, and when it is over.

use crate::{PATIENCE, Served, TICKS, TOKEN};
use worker_tests::process::{Browser, Nodes, Scratch, eventually, free_port};

#[test]
fn a_dead_node_is_named_with_the_reason_and_the_stall_ends_when_it_is_back() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[source.ticks]\n{TICKS}\nplace = 'a'\n[sink.far]\nfrom = 'ticks'\nrun = ['sh', '-c', 'cat > /dev/null']\nplace = 'b'\n\
         [sink.near]\nfrom = 'ticks'\nrun = ['sh', '-c', 'cat > /dev/null']\nplace = 'a'\n"
    );
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &pipeline);
    let run = scratch.path("run");
    let run = run.to_string_lossy();
    let port = free_port();
    let mut a = nodes.node("a").env("WORKER_ADMIN_TOKEN", TOKEN).env("WORKER_RUNTIME_DIR", &run);
    a.command.args(["--admin", &format!("127.0.0.1:{port}")]);
    let b = || nodes.node("b").env("WORKER_RUNTIME_DIR", &run).start();
    let mut served = Served { worker: a.start(), port };
    let first = b();
    let browser = Browser::start(&scratch);
    served.open(&browser);
    browser.until_text("#word", "Running");
    browser.until_text("#nodes", "connected");
    browser.until(
        "records flow to b",
        "return document.querySelector('[data-open=\"edge:ticks>far\"]').dataset.state === 'moving'",
    );

    first.kill();
    browser.until_text("#word", "Partly stalled");
    browser.until_text("#why", "ticks/0 waits: far/0 on node b");
    browser.until_text("#headline", "start node b again");
    browser.until_text("#said", "Partly stalled");
    browser.until_text("#waits-now", "node b");
    browser.until_text("#waits-log", "goes on");
    browser.until_text("[data-stage=far]", "no connection");
    let state = "const e = document.querySelector('[data-open=\"edge:ticks>far\"]').dataset.state; return e === 'stalled'";
    browser.until("the link to b is stalled", state);
    browser.until(
        "the other goes on",
        "return document.querySelector('[data-stage=near]').dataset.state === 'moving'",
    );

    let _second = b();
    browser.until_text("#word", "Running");
    browser.until_text("#waits-log", "over at");
    browser.until_text("#waits-now", "Nothing waits");
}

#[test]
fn the_end_of_a_run_is_shown_with_its_reason() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[source.ticks]\n{TICKS}\n[stage.check]\non_error = 'halt'\nretry = {{ max_attempts = 1 }}\n\
         run = ['sh', '-c', 'test ! -e break || {{ echo out of luck >&2; exit 7; }}; cat']\n\
         [sink.out]\nfile = 'out.txt'\n"
    );
    let mut served = Served::run(&scratch, &pipeline);
    let browser = Browser::start(&scratch);
    served.open(&browser);
    browser.until_text("#word", "Running");
    scratch.write("break", "");
    browser.until_text("#word", "Failed");
    browser.until_text("#why", "out of luck");
    eventually("the worker ends", PATIENCE, || {
        if served.worker.has_ended() { Ok(()) } else { Err(String::new()) }
    });
    browser.until_text("#stale", "The run is over");
    assert_eq!(browser.text("#word"), "Failed");
    assert_eq!(browser.js("return document.getElementById('drain').disabled"), true);
}

#[test]
fn a_good_end_is_no_warning_and_one_with_losses_is() {
    let scratch = Scratch::new();
    let stage = "[stage.picky]\nretry = { max_attempts = 1 }\nmax_dead = '90%'\npartitions = 1\n\
                 run = ['sh', '-c', 'x=$(cat); case $x in *7*) exit 3;; esac; echo \"$x\"']\n";
    let good = format!("[source.ticks]\n{TICKS}\n[sink.out]\nfile = 'out.txt'\nexists = 'replace'\n");
    let bad = good.replace("[sink.out]", &format!("{stage}[sink.out]"));
    let browser = Browser::start(&scratch);
    for (pipeline, word, state) in [(good, "Done", "done"), (bad, "Done, with ", "warned")] {
        std::fs::remove_file(scratch.path("stop")).ok();
        let mut served = Served::run(&scratch, &pipeline);
        served.open(&browser);
        browser.until_text("#word", "Running");
        if state == "warned" {
            browser.until_text("#dead-list", "picky/0");
        }
        scratch.write("stop", "");
        browser.until_text("#stale", "The run is over");
        let said = browser.text("#word");
        assert!(said.starts_with(word) && (state == "warned") == said.contains("dead letter"), "{said}");
        assert_eq!(browser.js("return document.getElementById('headline').dataset.state"), state);
        // The bar only says whose state this is, in the colours of the page itself.
        let plain = "const colour = q => getComputedStyle(document.querySelector(q)).backgroundColor; \
                     return colour('#stale') === colour('#pipeline') && !document.body.classList.contains('is-stale')";
        assert_eq!(browser.js(plain), true);
        let icon = browser.js("return decodeURIComponent(document.getElementById('icon').href)");
        let shape =
            browser.js(&format!("return document.querySelector('#g-{state} path').getAttribute('d')"));
        assert!(
            icon.as_str().zip(shape.as_str()).is_some_and(|(icon, shape)| icon.contains(shape)),
            "{icon}"
        );
    }
}

#[test]
fn a_lost_connection_is_said_and_the_page_comes_back_by_itself() {
    let scratch = Scratch::new();
    let pipeline = format!("[source.ticks]\n{TICKS}\n[sink.out]\nfile = 'out.txt'\nexists = 'replace'\n");
    let mut served = Served::run(&scratch, &pipeline);
    let browser = Browser::start(&scratch);
    served.open(&browser);
    browser.until_text("#word", "Running");
    let port = served.port;
    served.worker.kill();
    browser.until_text("#stale", "connection to the worker is lost");
    assert_eq!(browser.js("return document.body.classList.contains('is-stale')"), true);
    assert_eq!(browser.text("#word"), "Running", "the last state stays");

    let _again = Served::run_at(&scratch, &pipeline, port);
    browser.until("the page is live again", "return document.getElementById('stale').hidden");
    browser.until_text("#notice", "Another run has begun");
}
