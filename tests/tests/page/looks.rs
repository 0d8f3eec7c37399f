//! What the page is made of: requests, markup, sizes.

use crate::{Served, TICKS};
use std::fmt::Write as _;
use worker_tests::process::{Browser, Scratch};

/// A stage that fails of records with a 7 in them, and says `SAID`.
const SOME_FAIL: &str = r#"
retry = { max_attempts = 1 }
max_dead = "90%"
partitions = 1
run = ["sh", "-c", "x=$(cat); case $x in *7*) echo \"$SAID\" >&2; exit 3;; esac; echo \"$x\""]
"#;

#[test]
fn nothing_is_asked_of_anybody_else_and_the_console_is_silent() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[source.ticks]\n{TICKS}\n[stage.pass]\nrun = ['cat']\npartitions = 3\n[sink.out]\nfile = 'out.txt'\n"
    );
    let mut served = Served::run(&scratch, &pipeline);
    let browser = Browser::start(&scratch);
    served.open(&browser);
    browser.until_text("#word", "Running");
    browser.click("[data-open='stage:pass']");
    browser.until_text("#details", "Where its time went");
    browser.click("#as-table");
    browser.until_text("#table", "pass");
    browser.click("#theme");
    browser.until("charts are drawn", "return document.querySelectorAll('#plots path').length > 3");
    let unseen = "return [...document.querySelectorAll('#plots path')].map((p) => [p.className.baseVal, getComputedStyle(p)]) \
                  .filter(([, s]) => s.stroke === 'none' && s.fill === 'none').map(([name]) => name).join(' ')";
    assert_eq!(browser.js(unseen), "", "lines that are drawn and not seen");

    let (asked, origin) = (browser.requests(), served.origin());
    assert!(asked.iter().any(|url| url.ends_with("/api/v1/events")), "{asked:?}");
    let foreign: Vec<_> =
        asked.iter().filter(|url| !url.starts_with(&origin) && !url.starts_with("data:")).collect();
    assert!(foreign.is_empty(), "asked of others: {foreign:?}");
    assert_eq!(browser.console(), []);
}

#[test]
fn what_programs_say_is_text_and_never_markup() {
    let scratch = Scratch::new();
    let said = "<img src=x onerror=window.broken=1><script>window.broken=1</script><b>bold</b>";
    let pipeline = format!(
        "[source.ticks]\n{TICKS}\n[stage.bad]\n{SOME_FAIL}env = {{ SAID = '{said}' }}\n[sink.out]\nfile = 'out.txt'\n"
    );
    let mut served = Served::run(&scratch, &pipeline);
    let browser = Browser::start(&scratch);
    served.open(&browser);
    browser.until_text("#dead-list", said);
    browser.until_text("#dead-list", "bad/0");
    browser.click("#dead-list [data-open='task:bad/0']");
    browser.until_text("#details", said);
    for made in ["img", "main script", "aside script", "main b > b", "#dead-list td b", "#details .log b"] {
        assert_eq!(browser.js(&format!("return document.querySelectorAll('{made}').length")), 0, "{made}");
    }
    assert_eq!(browser.js("return window.broken === undefined"), true);
    assert_eq!(browser.console(), []);
}

#[test]
fn nothing_is_wider_than_a_phone_nor_than_a_desk() {
    let scratch = Scratch::new();
    let mut pipeline = format!(
        "[source.a_source_with_a_rather_long_name_indeed]\n{TICKS}\n[stage.many]\nrun = ['cat']\npartitions = 64\n\
         from = 'a_source_with_a_rather_long_name_indeed'\nbatch = {{ max_records = 1000 }}\n"
    );
    for number in 1..=17 {
        let from = if number == 1 { "many".to_owned() } else { format!("step_{}", number - 1) };
        write!(pipeline, "[stage.step_{number}]\nfrom = '{from}'\nrun = ['cat']\npartitions = 1\n").ok();
    }
    let long = "a_word_without_any_blank_in_it_that_is_wider_than_any_phone_and_goes_on";
    write!(pipeline, "[stage.bad]\nfrom = 'many'\n{SOME_FAIL}env = {{ SAID = '{long}' }}\n").ok();
    pipeline += "[sink.out]\nfrom = ['step_17', 'bad']\nfile = 'out.txt'\n";
    let mut served = Served::run(&scratch, &pipeline);
    let browser = Browser::start(&scratch);
    served.open(&browser);
    browser.until_text("#dead-list", "a_word_without");
    let cells = browser.js("return document.querySelectorAll('[data-stage=many] .cell').length");
    assert_eq!(cells, 64);
    for width in [360_u32, 700, 1080, 1440] {
        browser.resize(width, 800);
        browser.until(
            "the graph is drawn for that width",
            "return document.querySelectorAll('#graph .box').length === 21",
        );
        fits(&browser, width, "closed");
        browser.js("document.querySelector('[data-open=\"stage:many\"]').click()");
        browser.until_text("#details-title", "many");
        fits(&browser, width, "with details");
        browser.js("document.querySelector('[data-close]').click()");
        browser.js("document.getElementById('as-table').click()");
        fits(&browser, width, "as a table");
        browser.js("document.getElementById('as-graph').click()");
    }
}

/// One source to four stages and all of them to one sink, some of which stand still.
const FAN: &str = r#"
[stage.slow]
from = "ticks"
run = ["sh", "-c", "sleep 0.3; cat"]
partitions = 1
[stage.failing]
from = "ticks"
run = ["sh", "-c", "cat > /dev/null; exit 3"]
retry = { max_attempts = 1000 }
partitions = 1
[stage.hanging]
from = "ticks"
mode = "stream"
run = ["sleep", "1000"]
[stage.passing]
from = "ticks"
mode = "stream"
run = ["cat"]
[sink.out]
from = ["slow", "failing", "hanging", "passing"]
file = "out.txt"
"#;

#[test]
fn the_graph_of_a_phone_needs_no_scrolling_and_cuts_no_figures() {
    let scratch = Scratch::new();
    let ticks = TICKS.replace("sleep 0.1", "sleep 0.01");
    let mut served = Served::run(&scratch, &format!("[source.ticks]\n{ticks}\n{FAN}"));
    let browser = Browser::start(&scratch);
    served.open(&browser);
    let queues = "return [...document.querySelectorAll('.box .sub')].filter(e => / q/.test(e.textContent) && /\\d{3}/.test(e.textContent)).length >= 2";
    browser.until("queues of hundreds", queues);
    for width in [360_u32, 390, 420, 600, 700, 1400] {
        browser.resize(width, 800);
        let drawn =
            "const graph = document.getElementById('graph'); return graph.scrollWidth <= graph.clientWidth";
        browser.until("the graph is no wider than the window", drawn);
        let cut = "return [...document.querySelectorAll('.box .sub span, .box .sub b')].filter(e => e.scrollWidth > e.clientWidth + 1 && \
                   e.clientWidth > 0).map(e => e.textContent)";
        assert_eq!(browser.js(cut).to_string(), "[]", "figures are cut at {width}");
        // On ground of its own, within the picture, under no box and on no other label.
        let ill = "const plane = document.querySelector('#graph .plane').getBoundingClientRect(); \
                   const of = q => [...document.querySelectorAll(q)].map(e => e.getBoundingClientRect()); \
                   const over = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1; \
                   const [labels, boxes] = [of('#graph .label rect'), of('#graph .box')]; \
                   const bad = labels.filter((a, i) => a.left < plane.left - 1 || a.right > plane.right + 1 || boxes.some(b => over(a, b)) \
                     || labels.some((b, k) => k !== i && over(a, b))); \
                   const bare = of('#graph .edge text').length; \
                   return [labels.length > 0, bad.length, bare]";
        assert_eq!(browser.js(ill).to_string(), "[true,0,0]", "labels at {width}");
    }
}

#[test]
fn opening_details_moves_no_box_of_the_graph() {
    let scratch = Scratch::new();
    let mut served = Served::run(&scratch, &format!("[source.ticks]\n{TICKS}\n{FAN}"));
    let browser = Browser::start(&scratch);
    served.open(&browser);
    for width in [1440_u32, 1100, 390] {
        browser.resize(width, 900);
        let drawn = "const graph = document.getElementById('graph'), plane = graph.querySelector('.plane'); \
                     return graph.scrollWidth <= graph.clientWidth && \
                     Math.abs(parseInt(plane.style.marginLeft) * 2 + plane.offsetWidth - graph.clientWidth) < 8";
        browser.until("the graph is drawn for that width", drawn);
        let places = "const graph = document.getElementById('graph'); const y = document.documentElement.getBoundingClientRect().top; \
                      return [...graph.querySelectorAll('.box')].map(b => [b.dataset.stage, b.getBoundingClientRect()]) \
                      .map(([name, r]) => [name, Math.round(r.left + graph.scrollLeft), Math.round(r.top - y), Math.round(r.width)].join(' ')).join(', ')";
        let before = browser.js(places);
        for stage in ["out", "ticks"] {
            browser.js(&format!("document.querySelector('[data-open=\"stage:{stage}\"]').click()"));
            browser.until_text("#details-title", stage);
            assert_eq!(browser.js(places), before, "{width}: {stage} is open");
            let seen = format!(
                "const box = document.querySelector('[data-stage={stage}]').getBoundingClientRect(), graph = document.getElementById('graph').getBoundingClientRect(); \
                 return box.left >= graph.left - 1 && box.right <= graph.right + 1"
            );
            assert_eq!(browser.js(&seen), true, "{width}: the box of {stage} is not behind the details");
            // What has no room beside the details can be scrolled to, and says so.
            let hint = "const graph = document.getElementById('graph'), hint = document.querySelector('#pipeline .hint'); \
                        return (graph.scrollWidth > graph.clientWidth + 1) === (getComputedStyle(hint).visibility === 'visible')";
            browser.until("the hint", hint);
        }
        browser.js("document.querySelector('[data-close]').click()");
        assert_eq!(browser.js(places), before, "{width}: closed");
    }
}

#[test]
fn the_longest_names_fit_on_a_phone_and_the_table_cuts_no_column() {
    let scratch = Scratch::new();
    let (first, second) = ("a".repeat(64), format!("{}_failing", "b".repeat(56)));
    let pipeline = format!(
        "[pipeline]\nname = '{}'\n[source.{first}]\n{TICKS}\n[stage.{second}]\nrun = ['sh', '-c', 'cat > /dev/null; echo 口座が見つかりません >&2; exit 3']\n\
         retry = {{ max_attempts = 1000 }}\n[sink.{}]\nfile = 'out.txt'\n",
        "p".repeat(64),
        "c".repeat(64)
    );
    let mut served = Served::run(&scratch, &pipeline);
    let browser = Browser::start(&scratch);
    served.open(&browser);
    browser.until_text("#waits-now", "failed, tried again later");
    for width in [390_u32, 700, 1000, 1440] {
        browser.resize(width, 844);
        fits(&browser, width, "as a graph");
        browser.js("document.getElementById('as-table').click()");
        fits(&browser, width, "as a table");
        let table = browser.js("const t = document.getElementById('table'); return t.scrollWidth <= t.clientWidth + 1 || 'more' in t.dataset");
        assert_eq!(table, true, "{width}: a table that is cut without a word");
        if width <= 700 {
            let cut = "const t = document.getElementById('table'); return [t.scrollWidth <= t.clientWidth + 1, \
                       [...t.querySelectorAll('td')].every(c => getComputedStyle(c, '::before').content.includes(c.dataset.label))]";
            assert_eq!(
                browser.js(cut).to_string(),
                "[true,true]",
                "{width}: every figure is seen, with what it is"
            );
        }
        browser.js("document.getElementById('as-graph').click()");
        browser.js(&format!("document.querySelector('[data-open=\"stage:{second}\"]').click()"));
        browser.until_text("#details-title", &second);
        fits(&browser, width, "with details");
        browser.js("document.querySelector('[data-close]').click()");
    }
}

fn fits(browser: &Browser<'_>, width: u32, how: &str) {
    let wide = browser.js("return document.documentElement.scrollWidth");
    let beyond = "return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 \
                  && !e.closest('.scroll, .graph')).map(e => e.tagName + '.' + e.className).slice(0, 5)";
    assert!(
        wide.as_u64().is_some_and(|wide| wide <= u64::from(width)),
        "{how}, {width}: {wide}; {}",
        browser.js(beyond)
    );
}
