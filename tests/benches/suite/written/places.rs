//! Places of the repository's pages whose text follows from the results.

use super::{Results, page};
use crate::figure::{Figure, Spread, number};
use crate::suite::root;
use std::path::PathBuf;

const END: &str = "<!-- end of what is written -->";

/// Between two comments on a page.
pub(super) struct Place {
    page: &'static str,
    begin: &'static str,
    text: String,
}

impl Place {
    /// The page with its text.
    pub(super) fn filled(self) -> (PathBuf, String) {
        let path = root().join(self.page);
        let page = std::fs::read_to_string(&path).expect("read the page");
        let (before, rest) = page.split_once(self.begin).expect("the page has the place");
        let (_, after) = rest.split_once(END).expect("the place has an end");
        (path, format!("{before}{}{}{END}{after}", self.begin, self.text))
    }
}

/// The row of which other pages speak.
const JOB: &str = "job";
const HALF: &str = "1/2 of the lines pass";

pub(super) fn all(results: &Results) -> Vec<Place> {
    let mut places = vec![Place {
        page: "docs/speed.md",
        begin: "<!-- written by cargo bench -p worker-tests --bench suite -->",
        text: format!("\n\n{}\n", page::text(results, "bench/")),
    }];
    let job = results.of_row(JOB);
    places.extend(in_short(&job).map(|text| Place {
        page: "README.md",
        begin: "<!-- written by cargo bench -p worker-tests --bench suite -->",
        text: format!("\n{text}"),
    }));
    places.extend(processor(&job).map(|text| Place {
        page: "docs/operations.md",
        begin: "<!-- processor time of the row job, by the suite -->",
        text,
    }));
    places
}

/// The first work of the row in a table of three lines.
fn in_short(job: &[&Figure]) -> Option<String> {
    let find = |who: &str| job.iter().find(|figure| figure.work == HALF && figure.who == who);
    let line = |name: &str, whos: &[&str]| {
        let figures: Option<Vec<_>> = whos.iter().map(|who| find(who)).collect();
        let figures = figures?;
        let all = |cell: &dyn Fn(&Figure) -> Option<String>| {
            let cells: Option<Vec<String>> = figures.iter().map(|figure| cell(figure)).collect();
            cells.map(|cells| cells.join("; "))
        };
        let time = all(&|figure| Some(format!("{} s", number(figure.value()?.median))))?;
        let ratio = all(&|figure| Some(number(figure.ratio()?.median)))?;
        let processor = all(&|figure| Some(number(figure.processor_ratio()?.median)))?;
        Some(format!("| {name} | {time} | {ratio} | {processor} |"))
    };
    let pipe = find("GNU parallel")?.limit_value()?.median;
    let lines = [
        format!(
            "| | time (the pipe: {} s) | × the pipe | processor time, × the pipe |\n|---|---|---|---|",
            number(pipe)
        ),
        line(
            "in memory: grep as one stream; in batches",
            &["worker, memory, grep in stream mode", "worker, memory, grep in batch mode"],
        )?,
        line(
            "exactly once: the same",
            &["worker, exactly-once, grep in stream mode", "worker, exactly-once, grep in batch mode"],
        )?,
        line("GNU parallel", &["GNU parallel"])?,
    ];
    Some(lines.join("\n") + "\n")
}

/// Of all works of the row, from the least to the most.
fn processor(job: &[&Figure]) -> Option<String> {
    let of = |delivery: &str| {
        let figures = job.iter().filter(|figure| figure.who.contains(delivery));
        let range = Spread::of(figures.filter_map(|figure| Some(figure.processor_ratio()?.median)))?;
        Some(format!("{} to {} times", number(range.low), number(range.high)))
    };
    Some(format!("{} in memory, {} exactly once", of("memory")?, of("exactly-once")?))
}
