//! The page without a mouse, and the orders it can give.

use crate::{Served, TICKS, TOKEN};
use worker_tests::process::{Browser, Keys, Scratch};

fn pipeline() -> String {
    format!(
        "[source.ticks]\n{TICKS}\n[stage.pass]\nrun = ['cat']\npartitions = 6\n[sink.out]\nfile = 'out.txt'\n"
    )
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
