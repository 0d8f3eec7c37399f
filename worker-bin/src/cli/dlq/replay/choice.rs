//! Which letters are replayed, and where they go in.

use super::committed::Committed;
use super::error::ReplayError;
use crate::cli::dlq::Failed;
use crate::cli::dlq::args::ReplayArgs;
use crate::cli::dlq::claims::{Claimed, Replay};
use crate::cli::dlq::damaged::Damaged;
use crate::cli::dlq::stages::Stages;
use crate::cli::dlq::store::{Kept, LetterId, Store};
use crate::cli::exit::say;
use crate::pipeline::Pipeline;
use crate::text::units::number;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::ExitCode;
use worker_core::event::Contents;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All that were not replayed.
    All,
    /// Those of a stage that were not replayed.
    Stage(String),
    /// These, which were not replayed.
    Letters(BTreeSet<LetterId>),
}

impl Wanted {
    /// `None`: nothing new.
    pub(super) fn of(args: &ReplayArgs) -> Result<Option<Self>, Failed> {
        if let Some(stage) = &args.stage {
            return Ok(Some(Self::Stage(stage.clone())));
        }
        match args.ids.as_slice() {
            [] => Ok(None),
            [all] if all == "all" => Ok(Some(Self::All)),
            ids if ids.iter().any(|id| id == "all") => Err(ReplayError::AllAndOthers.into()),
            ids => Ok(Some(Self::Letters(ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?))),
        }
    }

    fn has(&self, kept: &Kept) -> bool {
        match self {
            Self::All => true,
            Self::Stage(stage) => kept.letter.stage == *stage,
            Self::Letters(ids) => ids.contains(&kept.id),
        }
    }
}

/// Letters to be replayed, each with where it goes in.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    is_named: bool,
    /// Lines that are no letters.
    damaged: Damaged,
    into: HashMap<LetterId, String>,
}

impl Chosen {
    /// Finds the wanted ones.
    pub(super) fn find(
        store: &Store,
        replays: &[Replay],
        pipeline: &Pipeline,
        wanted: &Wanted,
        mut committed: Option<Committed<'_>>,
    ) -> Result<Self, Failed> {
        let claimed = Claimed::by(replays);
        let named = matches!(wanted, Wanted::Letters(_));
        let (mut chosen, mut no_records) = (Self { is_named: named, ..Self::default() }, Vec::new());
        let mut stages = Stages::of(store, Some(pipeline));
        for kept in store.letters(replays) {
            let kept = match kept {
                Ok(kept) => kept,
                Err(error) => {
                    chosen.damaged.said(&error);
                    continue;
                }
            };
            stages.seen(&kept.letter.stage);
            if !wanted.has(&kept) {
                continue;
            }
            if let Some(committed) = &mut committed
                && !committed.has(&kept)?
            {
                continue;
            }
            let id = kept.id.clone();
            if kept.letter.contents == Contents::Input {
                if named {
                    return Err(ReplayError::NoRecord { id, reason: kept.letter.reason }.into());
                }
                no_records.push(id);
                continue;
            }
            match (claimed.of(&kept.id, &kept.letter), way_in(&kept, replays, pipeline)) {
                (Some(replay), _) if named => {
                    return Err(ReplayError::Replayed { id, replay: replay.number }.into());
                }
                (Some(_), _) => {}
                (None, Some(into)) => {
                    chosen.into.insert(id, into);
                }
                (None, None) => {
                    let error = ReplayError::NoWayIn { id, stage: kept.letter.stage };
                    if named {
                        return Err(error.into());
                    }
                    say(&format!("warning: {error}"));
                }
            }
        }
        chosen.damaged.end();
        if let Some(first) = no_records.first() {
            let (count, are) = match no_records.len() {
                1 => ("1 dead letter".to_owned(), "is a piece"),
                count => (format!("{} dead letters", number(count as u64)), "are pieces"),
            };
            say(&format!(
                "warning: {count} ({first} first) {are} of input and no record, and not replayed; `worker dlq show` says what is there"
            ));
        }
        if let Wanted::Stage(stage) = wanted {
            stages.check(stage)?;
        }
        if let Wanted::Letters(ids) = wanted
            && let Some(missing) = ids.iter().find(|id| !chosen.into.contains_key(id))
        {
            let near = store.near(missing, replays);
            return Err(ReplayError::NoLetter { id: missing.clone(), near }.into());
        }
        Ok(chosen)
    }

    /// Each was asked for by its name.
    pub(super) fn is_named(&self) -> bool {
        self.is_named
    }

    /// What says so if lines were no letters, and else all went well.
    pub(super) fn status(&self, code: ExitCode) -> ExitCode {
        if self.damaged.any() && code == ExitCode::SUCCESS { ExitCode::from(2) } else { code }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.into.is_empty()
    }

    /// The stages and sinks that letters go into.
    pub(super) fn ways_in(&self) -> BTreeSet<&str> {
        self.into.values().map(String::as_str).collect()
    }

    /// Where a letter goes, if it was chosen.
    pub(super) fn way_of(&self, id: &LetterId) -> Option<&str> {
        self.into.get(id).map(String::as_str)
    }
}

/// What the letters stand under that go into each of these; also of those that were replayed before.
pub(super) fn headers<'a>(
    store: &Store,
    replays: &[Replay],
    pipeline: &Pipeline,
    into: &BTreeSet<&'a str>,
) -> BTreeMap<&'a str, Option<Bytes>> {
    let mut headers: BTreeMap<&str, Option<Bytes>> = into.iter().map(|&name| (name, None)).collect();
    // A damaged line was told when letters were chosen.
    for kept in store.letters(replays).flatten().filter(|kept| kept.letter.header.is_some()) {
        let way = way_in(&kept, replays, pipeline);
        if let Some(header) = way.and_then(|way| headers.get_mut(way.as_str())) {
            header.get_or_insert_with(|| kept.letter.header.clone().unwrap_or_default());
        }
    }
    headers
}

/// Where a letter goes in again.
fn way_in(kept: &Kept, replays: &[Replay], pipeline: &Pipeline) -> Option<String> {
    let Kept { id, letter } = kept;
    if letter.origin.is_some() {
        return Some(letter.stage.clone());
    }
    // The task that gave the record found no key in it. In a replay that may be a source that only replays have.
    let replay = replays.iter().find(|replay| Some(replay.number) == id.replay);
    let inputs = replay.and_then(|replay| replay.claim.as_ref()).map(|claim| claim.inputs.as_slice());
    let input = inputs.unwrap_or_default().iter().find(|input| input.source == letter.stage);
    match input {
        Some(input) => Some(input.into.clone()),
        None => pipeline.keyed_reader(&letter.stage).map(str::to_owned),
    }
}
