//! `worker dlq replay`: dead letters go through their stage and everything behind it again, each at most once.
//!
//! A replay is a run with a state of its own in `STATE/replays/N`, or `LETTERS.replayed/replays/N` where the run kept none. It claims its letters before it begins, all or none; from
//! then on it is gone on with, crash or not, until it has finished, before another one may begin.

mod choice;
mod committed;
mod error;
mod home;
mod input;

pub(super) use error::ReplayError;

use super::Failed;
use super::args::ReplayArgs;
use super::claims::{self, Replay};
use super::store::{Store, StoreError};
use crate::admin::registry;
use crate::cli::args::RunArgs;
use crate::cli::exit::say;
use crate::cli::run;
use crate::io::durable;
use crate::manifest::Manifest;
use crate::pipeline::plan::{Plan, plan};
use crate::pipeline::{self, Cluster, Mode, Pipeline, Stage, StateOptions};
use choice::{Chosen, Wanted};
use committed::Committed;
use home::Home;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use worker_core::config::NodeIx;
use worker_journal::{Lock, StateError};

pub(super) fn replay(args: &ReplayArgs) -> Result<ExitCode, Failed> {
    let wanted = Wanted::of(args)?;
    let pipeline = load(args)?;
    let cluster = match args.slots {
        Some(slots) => Cluster::single().with_slots(NodeIx(0), slots),
        None => Cluster::single(),
    };
    let plan = plan(&pipeline, &cluster, NodeIx(0)).map_err(StoreError::from)?;
    let replayer = Replayer::new(args, &pipeline, plan, cluster)?;
    let _lock = replayer.lock()?;
    let mut earlier = None;
    if let Some(open) = claims::replays(&replayer.state)?.into_iter().find(|r| r.claim.is_some() && !r.done) {
        say(&format!("replay {} was interrupted: going on with it", open.number));
        let ended = replayer.run(open)?;
        if !ended.done {
            return Ok(ended.code);
        }
        earlier = Some(ended.code);
    }
    let code = match &wanted {
        Some(wanted) => replayer.begin(wanted)?,
        None => earlier.ok_or(ReplayError::NothingAsked)?,
    };
    Ok(if code == ExitCode::SUCCESS { earlier.unwrap_or(code) } else { code })
}

/// All that failed in the last run of a pipeline and was not replayed.
pub(super) fn all_that_failed(args: &RunArgs, file: &Path) -> Result<ExitCode, Failed> {
    let mut process = args.process.clone();
    let letters = process.dead_letters.take();
    replay(&ReplayArgs {
        file: file.to_owned(),
        ids: vec!["all".to_owned()],
        stage: None,
        state: args.state.state.clone(),
        letters,
        set: args.set.clone(),
        out: None,
        slots: args.slots,
        process,
    })
}

fn load(args: &ReplayArgs) -> Result<Pipeline, StoreError> {
    let options = StateOptions { dir: args.state.as_deref(), ..StateOptions::default() };
    Ok(pipeline::load(&args.file, &args.set)?.with_state(options)?)
}

struct Replayer<'a> {
    args: &'a ReplayArgs,
    pipeline: &'a Pipeline,
    plan: Plan,
    cluster: Cluster,
    store: Store,
    state: PathBuf,
    out: Option<PathBuf>,
}

/// How a run of a replay has ended.
struct Ended {
    code: ExitCode,
    done: bool,
}

/// What keeps other processes out while letters are replayed.
struct Locks {
    /// Before the lock is given up.
    _home: Home,
    _replays: Lock,
    _state: Option<Lock>,
}

impl<'a> Replayer<'a> {
    fn new(
        args: &'a ReplayArgs,
        pipeline: &'a Pipeline,
        plan: Plan,
        cluster: Cluster,
    ) -> Result<Self, Failed> {
        let store = match &args.letters {
            Some(letters) => Store::file(letters)?,
            None => Store::of(pipeline)?,
        };
        let state = std::path::absolute(store.home())?;
        let out = args.out.as_ref().map(std::path::absolute).transpose()?;
        if out.as_ref().is_some_and(|out| out.starts_with(&state)) {
            return Err(ReplayError::OutInState { state }.into());
        }
        Ok(Self { args, pipeline, plan, cluster, store, state, out })
    }

    /// Of a run that kept no state nothing but a process that lives can be in the way.
    fn lock_letters(&self) -> Result<Locks, Failed> {
        let running = registry::list().unwrap_or_default();
        let mut running = running.iter().filter(|found| found.alive);
        if let Some(found) = running.find(|found| found.entry.pipeline == self.pipeline.name) {
            let (pipeline, holder) = (self.pipeline.name.clone(), format!("process {}", found.entry.pid));
            return Err(ReplayError::Running { pipeline, holder }.into());
        }
        let home = claims::home(&self.state);
        for dir in [&self.state, &home] {
            durable::make_directory(dir, "replay").map_err(|source| ReplayError::write(dir, source))?;
        }
        let replays = Self::lock_replays(&home)?;
        Ok(Locks { _home: Home::beside_letters(&self.state), _replays: replays, _state: None })
    }

    fn lock_replays(home: &Path) -> Result<Lock, ReplayError> {
        Lock::take(home).map_err(|error| match error {
            StateError::InUse { holder, .. } => ReplayError::Busy { holder },
            error @ StateError::Io { .. } => ReplayError::State(error),
        })
    }

    /// Keeps other replays out and, where its sinks are written, the pipeline itself.
    fn lock(&self) -> Result<Locks, Failed> {
        if let Store::File(_) = self.store {
            return self.lock_letters();
        }
        let manifest = self.manifest(&self.state)?.unwrap_or_default();
        if manifest.pipeline != self.pipeline.name {
            let (state, found, wanted) = (self.state.clone(), manifest.pipeline, self.pipeline.name.clone());
            return Err(ReplayError::OtherPipeline { state, found, wanted }.into());
        }
        let home = claims::home(&self.state);
        durable::make_directory(&home, "replay").map_err(|source| ReplayError::write(&home, source))?;
        let replays = Self::lock_replays(&home)?;
        let home = Home::in_state(&self.state);
        let unfinished = claims::replays(&self.state)?.into_iter().find(|r| !r.done && r.claim.is_some());
        let into_sinks = match unfinished.and_then(|replay| replay.claim) {
            Some(claim) => claim.out.is_none() || self.out.is_none(),
            None => self.out.is_none(),
        };
        let state = if into_sinks { Some(self.lock_state(&manifest)?) } else { None };
        Ok(Locks { _home: home, _replays: replays, _state: state })
    }

    fn lock_state(&self, manifest: &Manifest) -> Result<Lock, ReplayError> {
        let lock = Lock::take(&self.state).map_err(|error| match error {
            StateError::InUse { holder, .. } => {
                ReplayError::Running { pipeline: self.pipeline.name.clone(), holder }
            }
            error @ StateError::Io { .. } => ReplayError::State(error),
        })?;
        // Looked at again: it may have ended just now.
        if !self.has_ended(&self.state)? {
            return Err(ReplayError::Unfinished { pipeline: self.pipeline.name.clone() });
        }
        if manifest.node != self.plan.nodes[0] {
            return Err(ReplayError::OneOfSeveral { node: manifest.node.clone() });
        }
        Ok(lock)
    }

    fn manifest(&self, state: &Path) -> Result<Option<Manifest>, ReplayError> {
        Manifest::load(state).map_err(ReplayError::Manifest)
    }

    /// Claims letters and runs them.
    fn begin(&self, wanted: &Wanted) -> Result<ExitCode, Failed> {
        let replays = claims::replays(&self.state)?;
        // A file of dead letters has no commits that may be missing.
        let finished = matches!(self.store, Store::File(_)) || self.has_ended(&self.state)?;
        let committed = if finished { None } else { Some(Committed::new(&self.state)) };
        let chosen = Chosen::find(&self.store, &replays, self.pipeline, wanted, committed)?;
        if chosen.is_empty() {
            say("no dead letters to replay");
            return Ok(chosen.status(ExitCode::SUCCESS));
        }
        let number = match replays.last() {
            Some(last) if last.claim.is_none() => last.number,
            Some(last) => last.number + 1,
            None => 1,
        };
        let mut replay = Replay::new(&self.state, number);
        let parts = self.parts(&replay, &chosen.ways_in(), self.out.as_deref())?;
        let claim = input::write(&self.store, &replays, &replay, &parts, &chosen, self.out.clone())?;
        let letters = claim.letters.len();
        if letters == 0 {
            say("no dead letters to replay");
            return Ok(chosen.status(ExitCode::SUCCESS));
        }
        replay.claim(claim)?;
        let what = if letters == 1 { "letter" } else { "letters" };
        say(&format!("replay {number}: {letters} dead {what}"));
        if let Some(warning) = anew(&parts.pipeline) {
            say(&warning);
        }
        Ok(chosen.status(self.run(replay)?.code))
    }

    fn parts(
        &self,
        replay: &Replay,
        into: &BTreeSet<&str>,
        out: Option<&Path>,
    ) -> Result<pipeline::Replay, Failed> {
        let places = (replay.inputs(), replay.state());
        let replays = claims::replays(&self.state)?;
        let into = choice::headers(&self.store, &replays, self.pipeline, into);
        let parts = self.pipeline.replay(&self.plan, &into, (&places.0, &places.1), out);
        Ok(parts.map_err(ReplayError::Pipeline)?)
    }

    /// Runs a replay, for the first time or again.
    fn run(&self, mut replay: Replay) -> Result<Ended, Failed> {
        let mut code = ExitCode::SUCCESS;
        if !self.has_ended(&replay.state())? {
            let Some(claim) = &replay.claim else { return Ok(Ended { code, done: false }) };
            let into = claim.inputs.iter().filter(|input| input.letters > 0).map(|input| input.into.as_str());
            let parts = self.parts(&replay, &into.collect(), claim.out.as_deref())?;
            let state = replay.state();
            durable::make_directory(&state, "replay").map_err(|source| ReplayError::write(&state, source))?;
            code = run::replay(&parts.pipeline, &self.cluster, &self.args.process);
        }
        let done = self.has_ended(&replay.state())?;
        if done {
            replay.finish()?;
        } else {
            say(&format!(
                "replay {} is not finished: `worker dlq replay {}` goes on with it; to give it up, remove {}: its letters \
                 count as not replayed then, whatever it has written",
                replay.number,
                self.args.file.display(),
                replay.dir().display()
            ));
        }
        Ok(Ended { code, done })
    }

    /// Whether the run with this state has come to its end.
    fn has_ended(&self, state: &Path) -> Result<bool, ReplayError> {
        Ok(self.manifest(state)?.is_some_and(|manifest| manifest.finished))
    }
}

/// Says which stages know nothing of the records of the run.
fn anew(pipeline: &Pipeline) -> Option<String> {
    let remembers = |stage: &&Stage| match stage.mode {
        Mode::Batch(_) => false,
        Mode::Stream(_) => true,
        Mode::Records(_) => stage.partition_by.is_some(),
    };
    let names: Vec<&str> =
        pipeline.stages.iter().filter(remembers).map(|stage| stage.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "warning: {} may depend on more than one record: in a replay they begin anew, and see these records only",
            names.join(", ")
        )
    })
}
