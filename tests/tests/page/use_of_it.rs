//! The page without a mouse, and the orders it can give.

use crate::{Served, TICKS, TOKEN};
use worker_tests::process::{Browser, Keys, Nodes, Scratch, free_port};

fn pipeline() -> String {
    format!(
        "[source.ticks]\n{TICKS}\n[stage.pass]\nrun = ['cat']\npartitions = 6\n[sink.out]\nfile = 'out.txt'\n"
    )
}

#[test]
fn the_pages_of_other_nodes_are_a_click_away() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[source.ticks]\n{TICKS}\nplace = 'a'\n[sink.far]\nfrom = 'ticks'\nrun = ['sh', '-c', 'cat > /dev/null']\nplace = 'b'\n"
    );
    let nodes = Nodes::on_loopback(&scratch, &["a", "b"], &pipeline);
    let run = scratch.path("run");
    let start = |name: &str, port: u16| {
        let mut node = nodes.node(name).env("WORKER_RUNTIME_DIR", &run.to_string_lossy());
        node.command.args(["--admin", &format!("127.0.0.1:{port}")]);
        node.start()
    };
    let (port, other) = (free_port(), free_port());
    let mut served = Served { worker: start("a", port), port };
    let browser = Browser::start(&scratch);
    served.open(&browser);
    browser.until_text("#nodes", "b");
    assert_eq!(
        browser.js("return document.querySelectorAll('#nodes a').length"),
        0,
        "nobody knows where it would be"
    );
    // It is started later, and found.
    let _b = start("b", other);
    let link = format!(
        "const a = document.querySelector('#nodes a'); return a !== null && a.href === 'http://127.0.0.1:{other}/' && a.textContent === 'b'"
    );
    browser.until("the page of b is linked", &link);
    browser.click("[data-open='stage:far']");
    browser.until(
        "it is linked where the stage is told of",
        "return document.querySelector('#details a') !== null",
    );
    browser.click("#nodes a");
    browser.until_text("#who", "node b of 2");
    browser.until(
        "and there is a way back",
        &format!(
            "const a = document.querySelector('#nodes a'); return a !== null && a.href.endsWith(':{port}/')"
        ),
    );
}

#[test]
fn tab_enter_and_arrows_do_what_a_mouse_does() {
    let scratch = Scratch::new();
    let mut served = Served::run(&scratch, &pipeline());
    let browser = Browser::start(&scratch);
    served.open(&browser);

    browser.tab_to("[data-open='stage:pass']");
    let outline = browser.js("return getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid", "the focus is visible");
    browser.press(Keys::ENTER);
    browser.until_text("#details-title", "pass");
    assert_eq!(browser.js("return document.activeElement.id"), "details-title");
    browser.press(Keys::ESCAPE);
    browser.until("the details are closed", "return document.getElementById('details').hidden");
    let back = browser.js("return document.activeElement.dataset.open");
    assert_eq!(back, "stage:pass", "the focus is where it was");

    browser.press(Keys::TAB);
    assert_eq!(browser.js("return document.activeElement.dataset.open"), "task:pass/0");
    browser.press(Keys::RIGHT);
    browser.press(Keys::RIGHT);
    assert_eq!(browser.js("return document.activeElement.dataset.open"), "task:pass/2");
    browser.press(Keys::ENTER);
    browser.until_text("#details-title", "pass/2");
    browser.until_text("#details", "Takes from");
    browser.press(Keys::ESCAPE);

    browser.tab_to("[data-open='edge:ticks>pass']");
    browser.press(Keys::ENTER);
    browser.until_text("#details-title", "ticks → pass");
    browser.until_text("#details", "ticks/0 → pass/5");
}

#[test]
fn a_stage_is_paused_with_the_right_token_only() {
    let scratch = Scratch::new();
    let mut served = Served::run(&scratch, &pipeline());
    let browser = Browser::start(&scratch);
    served.open(&browser);
    let state = |state: &str| {
        format!("return document.querySelector('[data-stage=pass]').dataset.state === '{state}'")
    };
    browser.until("it moves", &state("moving"));
    browser.click("[data-open='stage:pass']");
    browser.click("#pause");
    browser.type_into("#token", "wrong-token");
    browser.click("#order-go");
    browser.until_text("#order-error", "token is wrong");
    assert_eq!(browser.js(&state("paused")), false);
    assert_eq!(browser.js("return document.getElementById('order').open"), true);

    browser.js("document.getElementById('token').value = ''");
    browser.type_into("#token", TOKEN);
    browser.press(Keys::ENTER);
    browser.until("the dialog is closed", "return !document.getElementById('order').open");
    browser.until_text("#notice", "paused pass");
    browser.until("it is paused", &state("paused"));
    browser.until_text("#word", "pass paused");
    let stored = browser.js("return JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage), document.cookie])");
    assert!(!stored.to_string().contains(TOKEN), "the token is kept in memory only: {stored}");

    browser.until_text("#pause", "Resume");
    browser.click("#pause");
    browser.until("it goes on, without asking again", &state("moving"));

    browser.click("#drain");
    browser.click("#order-go");
    browser.until_text("#word", "Stopped");
    assert!(served.worker.wait(crate::PATIENCE).status.code().is_some());
}
