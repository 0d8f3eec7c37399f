//! Verdicts for people.

use super::verdict::{Trouble, Verdict};
use crate::explain::words;
use crate::text::escape;
use std::fmt::Write as _;

/// A line, and under it what is wrong.
pub(super) fn verdict(verdict: &Verdict) -> String {
    let name = escape::one_line(verdict.label.as_bytes());
    let mut text = match &verdict.trouble {
        None => format!("ok      {name}: {}\n", verdict.done.join("; ")),
        Some(Trouble { title, text, .. }) => {
            let mut told = format!("FAILED  {name}: {title}\n");
            for line in text.lines() {
                writeln!(told, "  {}", escape::lines(line.as_bytes())).ok();
            }
            told
        }
    };
    for note in &verdict.notes {
        writeln!(text, "  {note}").ok();
    }
    text
}

/// How many passed and how many did not.
pub(super) fn sum(verdicts: &[Verdict]) -> String {
    let failed = verdicts.iter().filter(|verdict| verdict.trouble.is_some()).count();
    let seconds: f64 = verdicts.iter().map(|verdict| verdict.seconds).sum();
    let tests = if verdicts.len() == 1 { "1 test".to_owned() } else { format!("{} tests", verdicts.len()) };
    let result = match (failed, verdicts.len() - failed) {
        (0, 1) => "passed".to_owned(),
        (0, _) => "all passed".to_owned(),
        (failed, passed) => format!("{passed} passed, {failed} failed"),
    };
    format!("{tests} in {}: {result}\n", words::duration(seconds))
}
