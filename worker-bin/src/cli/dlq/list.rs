//! `worker dlq list`: a line for each dead letter, and how many there are of each reason.

use super::Failed;
use super::args::ListArgs;
use super::claims::{Claimed, Given, Replay};
use super::damaged::Damaged;
use super::json::ShownLetter;
use super::stages::Stages;
use super::store::{Kept, LetterId, Store, StoreError};
use crate::io::dead::Letter;
use crate::stdout::Out;
use crate::text::escape::shortened;
use crate::text::harmless::Harmless;
use crate::text::table::{Column, Table};
use crate::text::terminal;
use crate::text::units::number;
use crate::text::width::wrapped_lines;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::process::ExitCode;

/// Of a reason, in characters.
const REASON_CHARS_MAX: usize = 80;
/// Reasons that are counted one by one.
const REASONS_MAX: usize = 10_000;
/// Reasons that are shown.
const REASONS_SHOWN_MAX: usize = 20;

pub(super) fn list(args: &ListArgs) -> Result<ExitCode, Failed> {
    let (store, pipeline) = Store::find(args.file.as_deref(), &args.from)?;
    let mut stages = Stages::of(&store, pipeline.as_ref());
    let replays = store.replays()?;
    let mut listing = Listing::new(&store, &replays, args);
    let mut damaged = Damaged::default();
    for kept in store.letters(&replays) {
        match kept {
            Ok(kept) => {
                stages.seen(&kept.letter.stage);
                listing.add(&kept)?;
            }
            Err(error) => damaged.said(&error),
        }
    }
    if let Some(stage) = &args.stage {
        stages.check(stage)?;
    }
    listing.end()?;
    damaged.end();
    Ok(ExitCode::from(if damaged.any() { 2 } else { 0 }))
}

struct Listing<'a> {
    store: &'a Store,
    args: &'a ListArgs,
    claimed: Claimed<'a>,
    replays: &'a [Replay],
    /// What each replay was given, once one of its letters was seen.
    given: HashMap<u32, Given>,
    output: Out,
    room: Option<usize>,
    table: Table,
    count: u64,
    replayed: u64,
    /// How many letters of each stage and reason, up to [`REASONS_MAX`] of them.
    reasons: BTreeMap<(String, String), u64>,
    uncounted: u64,
}

impl<'a> Listing<'a> {
    fn new(store: &'a Store, replays: &'a [Replay], args: &'a ListArgs) -> Self {
        let room = terminal::columns(&io::stdout());
        Self {
            room,
            table: Table::new(&COLUMNS, 0, room),
            store,
            args,
            claimed: Claimed::by(replays),
            replays,
            given: HashMap::new(),
            output: Out::new(),
            count: 0,
            replayed: 0,
            reasons: BTreeMap::new(),
            uncounted: 0,
        }
    }

    fn add(&mut self, kept: &Kept) -> Result<(), Failed> {
        let Kept { id, letter } = kept;
        if self.args.stage.as_ref().is_some_and(|stage| *stage != letter.stage) {
            return Ok(());
        }
        let before = self.before(id, letter)?;
        let replay = self.claimed.of(id, letter);
        self.count += 1;
        self.replayed += u64::from(replay.is_some());
        self.count_reason(letter);
        if self.args.json {
            let shown = ShownLetter::new(id, letter, replay.map(|replay| replay.number), before.as_ref());
            return Ok(self.output.line(&shown.line())?);
        }
        if self.count == 1 {
            self.say(&self.table.heads())?;
        }
        let reason = match before {
            Some(before) => format!("{before} again: {}", letter.reason),
            None => letter.reason.clone(),
        };
        let reason = shortened(&reason, if self.room.is_some() { REASON_CHARS_MAX } else { usize::MAX });
        let cells = [
            shortened(&id.to_string(), usize::MAX),
            shortened(&letter.time, 24),
            shortened(&letter.stage, usize::MAX),
            letter.attempts.to_string(),
            ending(letter).unwrap_or_else(|| "-".to_owned()),
            replay.map_or_else(|| "-".to_owned(), replayed),
            reason,
        ];
        Ok(self.say(&self.table.line(&cells))?)
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        self.output.line(&Harmless::text(line))
    }

    /// The letter that this one was before it was replayed.
    fn before(&mut self, id: &LetterId, letter: &Letter) -> Result<Option<LetterId>, StoreError> {
        let Some(number) = id.replay else { return Ok(None) };
        let given = match self.given.entry(number) {
            std::collections::hash_map::Entry::Occupied(given) => given.into_mut(),
            std::collections::hash_map::Entry::Vacant(place) => {
                let replay = self.replays.iter().find(|replay| replay.number == number);
                place.insert(replay.map(Replay::given).transpose()?.unwrap_or_default())
            }
        };
        Ok(given.before(letter))
    }

    fn count_reason(&mut self, letter: &Letter) {
        let key = (letter.stage.clone(), shortened(&letter.reason, REASON_CHARS_MAX));
        if self.reasons.len() < REASONS_MAX || self.reasons.contains_key(&key) {
            *self.reasons.entry(key).or_default() += 1;
        } else {
            self.uncounted += 1;
        }
    }

    fn end(mut self) -> io::Result<()> {
        if self.args.json {
            return self.output.end();
        }
        if self.count == 0 {
            let which =
                self.args.stage.as_ref().map(|stage| format!(" of stage {stage}")).unwrap_or_default();
            self.say(&format!("no dead letters{which}{}", self.store.place()))?;
            return self.output.end();
        }
        let replayed = if self.replayed > 0 {
            format!(", {} of them replayed", number(self.replayed))
        } else {
            String::new()
        };
        let letters = if self.count == 1 { "letter" } else { "letters" };
        self.say(&format!("\n{} dead {letters}{replayed}, by stage and reason:", number(self.count)))?;
        let (by_reason, room) = (std::mem::take(&mut self.reasons), self.room);
        let mut reasons: Vec<(&(String, String), &u64)> = by_reason.iter().collect();
        reasons.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
        for ((stage, reason), count) in reasons.iter().take(REASONS_SHOWN_MAX) {
            let line = format!("{count:>8}  {}: {reason}", shortened(stage, usize::MAX));
            self.say(&wrapped_lines(&line, room))?;
        }
        let hidden: u64 = reasons.iter().skip(REASONS_SHOWN_MAX).map(|(_, count)| **count).sum();
        if hidden + self.uncounted > 0 {
            self.say(&format!("{:>8}  other reasons", hidden + self.uncounted))?;
        }
        self.output.end()
    }
}

/// The columns of the list, and how wide they are where there is room.
const COLUMNS: [(Column, usize); 7] = [
    (Column::left("ID", None, 0), 16),
    (Column::left("TIME", None, 4), 24),
    (Column::left("STAGE", Some(6), 2), 12),
    (Column::right("TRIES", 6), 5),
    (Column::left("END", None, 3), 10),
    (Column::left("REPLAYED", None, 5), 11),
    (Column::left("REASON", Some(20), 1), REASON_CHARS_MAX),
];

/// How the program ended.
pub(super) fn ending(letter: &Letter) -> Option<String> {
    match (letter.exit_status, letter.signal) {
        (Some(status), _) => Some(format!("exit {status}")),
        (None, Some(signal)) => Some(format!("signal {signal}")),
        (None, None) => None,
    }
}

/// Where it was replayed.
pub(super) fn replayed(replay: &Replay) -> String {
    match replay.done {
        true => format!("r{}", replay.number),
        false => format!("r{} (open)", replay.number),
    }
}
