//! Figures and charts: what they say, and that they agree.

use crate::{Served, TICKS};
use worker_tests::process::{Browser, Scratch};

/// The points of a line of a stage's charts, as the heights that are drawn: 97 is nothing.
fn heights(browser: &Browser<'_>, stage: &str, line: &str) -> Vec<f64> {
    let script = format!(
        "const plot = [...document.querySelectorAll('.plot')].find(p => p.querySelector('b').textContent === '{stage}'); \
         const path = plot && plot.querySelector('.{line}'); \
         return path ? path.getAttribute('d').slice(1).split('L').map(p => Number(p.split(' ')[1])) : []"
    );
    let points = browser.js(&script);
    points.as_array().into_iter().flatten().filter_map(serde_json::Value::as_f64).collect()
}

#[test]
fn charts_have_times_and_a_line_only_for_what_there_is() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[source.ticks]\n{TICKS}\n[stage.drop]\nrun = ['grep', 'x']\nok_exit = [0, 1]\npartitions = 1\n[sink.out]\nfile = 'out.txt'\n"
    );
    let mut served = Served::run(&scratch, &pipeline);
    let browser = Browser::start(&scratch);
    served.open(&browser);
    browser.until("a line", "return document.querySelectorAll('.plot .l-taken').length > 1");
    let axes = "return [...document.querySelectorAll('.plot')].map(p => [...p.querySelectorAll('.axis span')].map(s => s.textContent))";
    let axes = browser.js(axes);
    for axis in axes.as_array().expect("charts") {
        let [from, middle, to] = [0, 1, 2].map(|at| axis[at].as_str().expect("a time"));
        assert!(from.len() == 8 && from.matches(':').count() == 2 && from < middle, "{axis}");
        assert_eq!(to, "now");
    }
    // The sink is given nothing: no line at the bottom of its charts says so as if it were something.
    for line in ["l-taken", "l-given", "l-queued", "l-held"] {
        assert!(heights(&browser, "out", line).is_empty(), "{line}");
    }
    let said = browser.text(".plot:last-child");
    assert!(said.contains("no records move") && said.contains("nothing queued or held"), "{said}");
    assert!(heights(&browser, "drop", "l-given").is_empty(), "it gives nothing on");
}

#[test]
fn work_that_ends_in_lumps_is_drawn_as_the_work_it_is() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[source.ticks]\n{TICKS}\n[stage.lumps]\nrun = ['sh', '-c', 'sleep 2.3; cat']\npartitions = 1\n\
         batch = {{ max_records = 200 }}\n[sink.out]\nfile = 'out.txt'\n"
    );
    let mut served = Served::run(&scratch, &pipeline);
    let browser = Browser::start(&scratch);
    served.open(&browser);
    let lumps = "const b = [...document.querySelectorAll('.plot')].find(p => p.querySelector('b').textContent === 'lumps'); \
                 const l = b && b.querySelector('.l-taken'); return Boolean(l) && l.getAttribute('d').split('L').length > 15";
    browser.until("a quarter of a minute of lumps", lumps);
    let heights = heights(&browser, "lumps", "l-taken");
    let begun = heights.iter().position(|height| *height < 96.9).expect("some work");
    assert!(heights.len() - begun > 8, "{heights:?}");
    let rests = heights[begun..].iter().filter(|height| **height > 96.0).count();
    assert_eq!(rests, 0, "two of three seconds without an end of a batch are no rest: {heights:?}");
}

#[test]
fn what_a_sample_leaves_out_is_what_was_read_and_not_given_on() {
    let scratch = Scratch::new();
    let pipeline = format!("[source.ticks]\n{TICKS}\nsample = '20%'\n[sink.out]\nfile = 'out.txt'\n");
    let mut served = Served::run(&scratch, &pipeline);
    let browser = Browser::start(&scratch);
    served.open(&browser);
    let sums = "const of = name => [...document.querySelectorAll('.figure')].find(f => f.querySelector('.name').textContent === name); \
                const count = (f, q) => f ? Number(f.querySelector(q).textContent.replace(/\\D/g, '')) : 0; \
                const out = count(of('Left out'), '.value'); \
                return out > 50 && out === count(of('Read'), '.beside') - now.records_out";
    browser.click("[data-open='stage:ticks']");
    let given = "const now = { records_out: Number([...document.querySelectorAll('#details dt')].find(t => t.textContent === 'given on').nextSibling.textContent.replace(/\\D/g, '')) };";
    browser.until("read = given on + left out", &format!("{given} {sums}"));
    // Its chart has a line of each, which are no longer the same.
    browser.until("both lines", "return document.querySelector('.plot .l-taken') !== null && document.querySelector('.plot .l-given') !== null");
}

#[test]
fn shares_make_a_hundred_and_what_is_queued_is_the_sum_of_the_stages() {
    let scratch = Scratch::new();
    let ticks = TICKS.replace("sleep 0.1", "sleep 0.02");
    let pipeline = format!(
        "[source.ticks]\n{ticks}\n[stage.slow]\nrun = ['sh', '-c', 'sleep 0.3; cat']\npartitions = 2\nbatch = {{ max_records = 10 }}\n\
         [sink.out]\nfile = 'out.txt'\n"
    );
    let mut served = Served::run(&scratch, &pipeline);
    let browser = Browser::start(&scratch);
    served.open(&browser);
    let figure = "const of = name => [...document.querySelectorAll('.figure')].find(f => f.querySelector('.name').textContent === name); \
                  const count = text => Number(text.replace(/\\D/g, ''));";
    let queued = "const queued = [...document.querySelectorAll('#table td[data-label=Queued]')].reduce((sum, cell) => sum + count(cell.textContent), 0);";
    browser.click("#as-table");
    let same = format!(
        "{figure} {queued} const shown = count(of('Queued').querySelector('.value').textContent); return shown > 100 && shown === queued"
    );
    browser.until("the figure is the sum of the column", &same);
    browser.click("#table [data-open='stage:slow']");
    let shares = "const of = [...document.querySelectorAll('#details .budget')].map(b => (b.lastChild.textContent.match(/(\\d+)\\s%$/) || [])[1]) \
                  .filter(Boolean).map(Number); return of.length > 1 && of.reduce((a, b) => a + b, 0) === 100";
    browser.until("where its time went makes a hundred per cent", shares);
}

#[test]
fn a_source_that_follows_files_says_how_far_behind_it_is_and_what_it_waits_for() {
    let scratch = Scratch::new();
    scratch.shell("seq 1 9 > app.log; printf 'half' >> app.log");
    let pipeline = "[source.log]\nfile = 'app.log*'\nfollow = true\n[sink.out]\nfile = 'out.txt'\n";
    let mut served = Served::run(&scratch, pipeline);
    let browser = Browser::start(&scratch);
    served.open(&browser);
    browser.until_text("#waits-now", "log/0 waits: for new lines in app.log*: no whole one has come for");
    browser.until_text("[data-stage='log']", "4 B behind");
    browser.click("[data-open='task:log/0']");
    browser.until_text("#details", "4 B, for");
    scratch.shell("echo >> app.log");
    browser.until_text("#why", "it has read all there is");
    browser.until(
        "nothing is behind",
        "return !document.querySelector('[data-stage=\"log\"]').textContent.includes('behind')",
    );
}

/// Its program has read them, and may still fail with all of them.
#[test]
fn what_a_program_has_only_read_is_not_written() {
    let scratch = Scratch::new();
    let pipeline = format!(
        "[source.ticks]\n{TICKS}\n[sink.out]\nrun = ['sh', '-c', 'cat > out.txt']\nmode = 'stream'\n"
    );
    let mut served = Served::run(&scratch, &pipeline);
    let browser = Browser::start(&scratch);
    served.open(&browser);
    let figure = "const of = name => [...document.querySelectorAll('.figure')].find(f => f.querySelector('.name').textContent === name)\
                  .querySelector('.beside').textContent; const read = Number(of('Read').replace(/\\D/g, ''));";
    let shown = format!("{figure} return read >= 20 ? of('Written') : null");
    browser.until("it reads", &format!("{figure} return read >= 20"));
    assert_eq!(browser.js(&shown), "0 records");
}
