//! `worker dlq show`: all that is known about one dead letter.

use super::Failed;
use super::args::ShowArgs;
use super::claims::{Claimed, Replay};
use super::json::ShownLetter;
use super::list::{ending, replayed};
use super::store::{LetterId, Store, StoreError};
use crate::io::dead::Letter;
use crate::stdout::Out;
use crate::text::escape::one_line;
use crate::text::harmless::Harmless;
use crate::text::units::number;
use std::process::ExitCode;
use worker_core::event::Contents;

/// Shows a dead letter.
pub(super) fn show(args: &ShowArgs) -> Result<ExitCode, Failed> {
    let id: LetterId = args.id().parse()?;
    let (store, _) = Store::find(args.file(), &args.from)?;
    let letter = store.letter(&id)?;
    let mut output = Out::new();
    if args.raw {
        output.data(&letter.record)?;
        output.end()?;
        return Ok(ExitCode::SUCCESS);
    }
    let replays = store.replays()?;
    let claimed = Claimed::by(&replays);
    let replay = claimed.of(&id, &letter);
    let before = before(&store, &replays, &id)?;
    if args.json {
        let shown = ShownLetter::new(&id, &letter, replay.map(|replay| replay.number), before.as_ref());
        output.line(&shown.line())?;
    } else {
        output.say(&Harmless::text(page(&id, &letter, replay, before.as_ref())))?;
    }
    output.end()?;
    Ok(ExitCode::SUCCESS)
}

/// The letter that one of a replay was before: found as for the list, so that both say the same.
fn before(store: &Store, replays: &[Replay], id: &LetterId) -> Result<Option<LetterId>, StoreError> {
    let Some(replay) = replays.iter().find(|replay| Some(replay.number) == id.replay) else {
        return Ok(None);
    };
    let mut given = replay.given()?;
    for kept in store.letters(std::slice::from_ref(replay)).flatten() {
        if kept.id.replay != id.replay {
            continue;
        }
        let before = given.before(&kept.letter);
        if kept.id == *id {
            return Ok(before);
        }
    }
    Ok(None)
}

fn page(id: &LetterId, letter: &Letter, replay: Option<&Replay>, before: Option<&LetterId>) -> String {
    let mut page = String::new();
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            page += &format!("{name:<10}  {value}\n");
        }
    };
    let text = |text: &str| one_line(text.as_bytes());
    field("id", Some(text(&id.to_string())));
    field("time", Some(text(&letter.time)));
    field("task", Some(text(&letter.task)));
    field("stage", Some(text(&letter.stage)));
    field("reason", Some(text(&letter.reason)));
    field("attempts", Some(attempts(letter)));
    field("end", ending(letter));
    field("batch", letter.batch_id.as_deref().map(text));
    let origin = letter.origin.as_ref();
    field(
        "origin",
        origin.map(|origin| match &origin.from {
            Some(from) => format!("record {} from {}", origin.seq, text(from)),
            None => format!("record {}", origin.seq),
        }),
    );
    field("before", before.map(ToString::to_string));
    field("replayed", replay.map(replayed));
    let bytes = number(letter.record.len() as u64);
    let what = match letter.contents {
        Contents::Record => "record",
        Contents::Input => "a piece of input, which is no record",
    };
    page += &format!("\n{what}, {bytes} bytes:\n  {}\n", one_line(&letter.record));
    if !letter.stderr_tail.is_empty() {
        page += "\nlast lines on standard error:\n";
        for line in letter.stderr_tail.lines() {
            page += &format!("  {}\n", text(line));
        }
    }
    page
}
/// A record that fails was mostly in larger batches before: their runs count, too.
fn attempts(letter: &Letter) -> String {
    match letter.attempts {
        count @ 0..=1 => count.to_string(),
        count => format!("{count}, those of larger batches that it was in included"),
    }
}
