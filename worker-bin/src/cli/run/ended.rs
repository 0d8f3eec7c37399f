//! How a run ended, in words and as an exit status.

use crate::cli::exit::{FAILED, INCOMPLETE, WRONG, say, signalled};
use crate::explain::words;
use crate::runtime::{DRAINED, RunError, SIGPIPE, Summary};
use crate::text::escape::one_line;

/// Says how a run ended; gives the exit status.
pub(super) fn said(result: Result<Summary, RunError>) -> u8 {
    match result {
        Ok(summary) => finished(&summary),
        Err(RunError::Stopped { signal, held, summary }) => {
            incomplete(&summary);
            say(&format!(
                "stopped; {}{}",
                words::still_on_their_way(held),
                what_of_them(held, summary.keeps)
            ));
            signalled(signal)
        }
        Err(error @ (RunError::Listen(_) | RunError::Admin(_) | RunError::Spill(_))) => {
            say(&format!("error: {error}"));
            WRONG
        }
        Err(RunError::Pipeline { why, summary }) => {
            incomplete(&summary);
            // A program may have said it, with line ends.
            say(&format!("error: {}", one_line(why.as_bytes())));
            FAILED
        }
        Err(error @ RunError::System { .. }) => {
            say(&format!("error: {error}"));
            FAILED
        }
    }
}

fn finished(summary: &Summary) -> u8 {
    incomplete(summary);
    if summary.interrupted.is_some_and(|signal| signal != SIGPIPE) && summary.held > 0 {
        let left = words::still_on_their_way(summary.held);
        say(&format!("stopped; {left}{}", what_of_them(summary.held, summary.keeps)));
    }
    if summary.interrupted == Some(SIGPIPE) {
        say(
            "stopped: whoever read the output has gone; what was not taken is kept, and the same command goes on with it",
        );
    }
    if summary.drained {
        say(&drained(summary));
    }
    match summary.interrupted {
        Some(signal) => signalled(signal),
        None if summary.dead > 0 || summary.lost > 0 || summary.dropped > 0 => INCOMPLETE,
        None => 0,
    }
}

/// With state the next start reads on, and programs whose input has no end yet are given it again.
fn drained(summary: &Summary) -> String {
    match (summary.keeps, summary.held) {
        (false, _) => DRAINED.to_owned(),
        (true, 0) => format!("{DRAINED}; the same command goes on behind it"),
        (true, held) => {
            let (records, are) = (words::records(held), words::are(held));
            format!(
                "{DRAINED}, but for {records} that {are} kept for programs whose input has not ended: the same command goes on with them"
            )
        }
    }
}

/// Says what was dead-lettered and what may be lost.
fn incomplete(summary: &Summary) {
    if let (Some(path), dead) = (&summary.dead_letters, summary.dead) {
        let (letters, are) = (words::dead_letters(dead), words::are(dead));
        let reasons = if dead == 1 { "its reason" } else { "their reasons" };
        say(&format!("{letters}, with {reasons}, {are} in {}", path.display()));
    }
    if summary.dropped > 0 {
        let (dropped, were) = (words::records(summary.dropped), words::were(summary.dropped));
        say(&format!("{dropped} {were} dropped, as when_full says: their links were full"));
    }
    if summary.lost > 0 {
        let lost = words::records(summary.lost);
        say(&format!("at most {lost} {} lost when other nodes' processes died", words::were(summary.lost)));
    }
}

/// What becomes of records that a stop leaves on their way.
fn what_of_them(held: u64, keeps: bool) -> &'static str {
    match (held, keeps) {
        (0, _) => "",
        (_, true) => ": the same command goes on with them",
        (_, false) => " and are lost: this run kept no state",
    }
}
