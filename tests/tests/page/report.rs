//! The report of a run in a browser.

use crate::PATIENCE;
use worker_tests::process::{Browser, Scratch};

/// With dead letters, a stage whose name is as long as names may be, and links.
fn pipeline() -> String {
    format!(
        "[source.numbers]\nrun = ['seq', '1', '3000']\n[stage.{}]\nretry = {{ max_attempts = 1 }}\nmax_dead = '90%'\n\
         run = ['sh', '-c', 'x=$(cat); case $x in *77*) echo no such thing >&2; exit 3;; esac; echo \"$x\"']\n\
         [sink.out]\nfile = 'out.txt'\n",
        "s".repeat(64)
    )
}

#[test]
fn a_report_is_read_whole_on_a_phone_and_on_a_desk() {
    let scratch = Scratch::new();
    scratch.write("pipeline.toml", pipeline());
    scratch.worker(&["run", "pipeline.toml", "-q", "--report", "r.html"]).start().wait(PATIENCE).expect(3);
    let browser = Browser::start(&scratch);
    browser.open(&format!("file://{}", scratch.path("r.html").display()));
    browser.js("document.querySelectorAll('details').forEach(d => { d.open = true; })");
    for width in [320_u32, 390, 700, 1000, 1440] {
        browser.resize(width, 844);
        browser.until("it is that wide", &format!("return innerWidth === {width}"));
        let wide = "return [document.documentElement.scrollWidth <= innerWidth, \
                    [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 \
                      && !e.closest('.scroll')).map(e => e.tagName + '.' + e.className).slice(0, 5)]";
        assert_eq!(browser.js(wide).to_string(), "[true,[]]", "{width}");
        let cut = "return [...document.querySelectorAll('.scroll')].filter(s => s.scrollWidth > s.clientWidth + 1).map(s => s.getAttribute('aria-label'))";
        if width <= 700 || width == 1440 {
            assert_eq!(browser.js(cut).to_string(), "[]", "{width}: tables that are cut");
        }
        if width <= 700 {
            // Each figure is seen with what it is, and the table is still one for who listens.
            let said = "return [...document.querySelectorAll('td[data-label]')].every(c => c.childNodes.length === 0 || \
                        getComputedStyle(c, '::before').content.includes(c.dataset.label) && c.getAttribute('role') === 'cell')";
            assert_eq!(browser.js(said), true, "{width}");
        }
    }
    assert_eq!(browser.console(), []);
}
