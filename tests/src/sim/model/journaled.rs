//! What is true where every task has a journal: one list of records a link for ever, and what a crash takes back.

use super::{Effect, Model, index};
use crate::sim::check::{Check, Checked, require};
use crate::sim::driver::Values;
use crate::sim::plan::link_id;
use crate::sim::program::{RecordsProgram, is_no_record, state_key};
use bytes::Bytes;
use std::collections::BTreeMap;
use worker_core::config::TaskId;
use worker_core::event::{Commit, DeadLetter, StreamStep};
use worker_core::route::PartitionBy;
use worker_proto::{LinkId, Seq};

/// How the inputs of a task take effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum EffectWhen {
    /// When a program or the outside has taken them.
    #[default]
    Taken,
    /// When they are admitted to the journal.
    Admitted,
    /// When they are answered and a commit covers them.
    Answered,
}

impl Model {
    /// A records program has answered these.
    pub(in crate::sim) fn answered(&mut self, task: TaskId, records: &worker_proto::Batch) {
        self.task(task).answered.extend(records.iter().map(Bytes::copy_from_slice));
    }

    /// What a records stage has under its keys by the commits that were asked for.
    pub(in crate::sim) fn values(
        &self,
        task: TaskId,
        program: RecordsProgram,
        by: Option<&PartitionBy>,
    ) -> Values {
        let links = self.graph.links.iter().zip(&self.links).filter(|(spec, _)| spec.to == task);
        let lives = links.flat_map(|(_, truth)| truth.lives.values());
        let records = lives.flat_map(|life| life.records.iter().zip(&life.effects));
        let answered = records.filter(|(_, effect)| matches!(effect, Effect::Done { .. }));
        program.values(answered.map(|(record, _)| state_key(by, record)))
    }

    /// The effects that come with a commit itself.
    pub(super) fn effects_of_commit(&mut self, task: TaskId, commit: &Commit) -> Checked {
        match self.task(task).effect_when {
            EffectWhen::Taken => Ok(()),
            EffectWhen::Admitted => {
                if let Some(StreamStep::Admit { pieces, .. }) = &commit.stream {
                    for record in pieces.iter().flat_map(|piece| piece.batch.iter()) {
                        self.effect(task, record, false)?;
                    }
                }
                Ok(())
            }
            EffectWhen::Answered => self.answers_committed(task, commit),
        }
    }

    /// What a stream's commit says of its window fits what was committed before.
    pub(super) fn check_window(&mut self, task: TaskId, commit: &Commit) -> Checked {
        let name = self.graph.task(task).name.clone();
        let truth = self.task(task);
        let is_cut = |window: u64| {
            let asked =
                |before: &Commit| matches!(before.stream, Some(StreamStep::Cut { window: w }) if w == window);
            truth.cut == window || truth.pending.iter().any(asked)
        };
        match commit.stream {
            Some(StreamStep::Admit { window, .. }) => require(!is_cut(window), Check::Window, || {
                format!("{name}: input is admitted to window {window}, which was cut")
            }),
            // A program that ends early ends its task, too.
            Some(StreamStep::Done { window }) => {
                require(commit.ended || is_cut(window), Check::Window, || {
                    format!("{name}: window {window} ends and was not cut")
                })
            }
            Some(StreamStep::Cut { .. } | StreamStep::Printed { .. }) | None => Ok(()),
        }
    }

    fn answers_committed(&mut self, task: TaskId, commit: &Commit) -> Checked {
        let dead: BTreeMap<(LinkId, Seq), &DeadLetter> =
            commit.dead.iter().filter_map(|letter| Some((letter.origin?, letter))).collect();
        for input in &commit.inputs {
            let name = self.graph.link_name(input.link);
            let life = self.life(input.link, input.epoch);
            let last = if input.ended { input.through.before() } else { input.through };
            for seq in (life.done.0 + 1..=last.0).map(Seq) {
                let record = self.life(input.link, input.epoch).record(seq).cloned().unwrap_or_default();
                if is_no_record(&record) {
                    continue;
                }
                let is_dead = dead.contains_key(&(input.link, seq));
                let answered = self.task(task).answered.remove(&record);
                if !answered && !is_dead && self.task(task).stops_early {
                    continue;
                }
                require(answered || is_dead, Check::Order, || {
                    format!("{name}: a commit covers {seq}, which was not answered")
                })?;
                self.effect(task, &record, is_dead)?;
            }
        }
        Ok(())
    }

    /// What a durable commit changes for the links into its task.
    pub(super) fn inputs_durable(&mut self, commit: &Commit) {
        for input in &commit.inputs {
            let life = self.life(input.link, input.epoch);
            life.durable_done = life.durable_done.max(input.through);
            life.durable_epoch = life.durable_epoch.max(input.epoch);
            life.finished = life.durable_done;
        }
    }

    /// A sender says that a link's tuples are not needed any more.
    pub(in crate::sim) fn acknowledged(&mut self, link: LinkId, through: Seq) -> Checked {
        let name = self.graph.link_name(link);
        let receiver = &self.tasks[self.graph.link(link).to.0 as usize];
        // Its end is durable, so in every life to come it wants nothing more, though its refusal may have been lost.
        let wants_nothing = receiver.stops_early && receiver.ended;
        let truth = self.link(link);
        let done = |life: &super::Life| if truth.in_column { life.asked_done } else { life.durable_done };
        let done = truth.lives.values().map(done).max().unwrap_or_default();
        let cancelled = truth.cancelled || truth.local_cancelled;
        require(through <= done || cancelled || wants_nothing, Check::Durable, || {
            format!("{name}: tuples through {through} are given free, durable at the receiver is {done}")
        })
    }

    /// A task's process died, and of its commits those through `survivors` are there. What it had begun is taken back.
    pub(in crate::sim) fn task_died(&mut self, task: TaskId, survivors: u64) -> Checked {
        let name = self.graph.task(task).name.clone();
        let acted_upon = self.task(task).commits_durable;
        require(acted_upon <= survivors, Check::Recovery, || {
            format!("{name}: commit {acted_upon} was acted upon, {survivors} are left")
        })?;
        let epoch = super::ONE_LIFE;
        while self.task(task).pending.front().is_some_and(|commit| commit.id.0 <= survivors) {
            let Some(commit) = self.task(task).pending.pop_front() else { break };
            self.take_effect(task, epoch, commit);
        }
        while let Some(commit) = self.task(task).pending.pop_back() {
            if commit.ended {
                self.take_back_ends(task);
            }
            for (first, chunk) in commit.outputs.iter().rev() {
                self.take_back(chunk.link, *first);
            }
            self.task(task).dead -=
                commit.dead.iter().filter(|letter| letter.origin.is_some()).count() as u64;
        }
        let truth = self.task(task);
        truth.life += 1;
        truth.is_headed = false;
        truth.uncommitted.clear();
        truth.uncommitted_dead = 0;
        truth.answered.clear();
        truth.durable.clear();
        truth.admitted.retain(|admitted| admitted.commit.0 <= survivors);
        truth.letters_of.retain(|commit| commit.0 <= survivors);
        truth.letters.truncate(truth.letters_of.len());
        for at in 0..self.links.len() {
            if self.graph.links[at].to == task {
                self.inputs_taken_back(link_id(at));
            }
        }
        Ok(())
    }

    /// Records from `first` on were never committed after all.
    fn take_back(&mut self, link: LinkId, first: Seq) {
        let to = self.graph.link(link).to;
        let life = self.life(link, super::ONE_LIFE);
        let Some(kept) = index(first) else { return };
        life.pushed = life.pushed.min(first.before());
        let gone = life.records.split_off(kept.min(life.records.len()));
        life.costs.truncate(kept);
        life.effects.truncate(kept);
        for record in gone {
            self.origins.remove(&(to, record));
        }
    }

    /// The end of a task was never committed after all: where it was known already it is not any more.
    fn take_back_ends(&mut self, task: TaskId) {
        for at in 0..self.links.len() {
            if self.graph.links[at].from == task && self.links[at].goes_on_appended {
                let life = self.life(link_id(at), super::ONE_LIFE);
                life.end = None;
                life.pushed = life.pushed.min(Seq(life.records.len() as u64));
            }
        }
    }

    /// C1: nobody has committed what another task of its node had only asked for.
    pub(in crate::sim) fn check_columns(&self) -> Checked {
        let local = self.graph.links.iter().zip(&self.links).filter(|(_, truth)| truth.local);
        for (at, (_, truth)) in local.enumerate().filter(|_| self.has_columns) {
            for life in truth.lives.values() {
                let there = life.records.len() as u64 + u64::from(life.end.is_some());
                require(life.durable_done.0 <= there, Check::Recovery, || {
                    format!(
                        "local link {at}: {} is committed by its receiver, {there} by its sender",
                        life.durable_done
                    )
                })?;
            }
        }
        Ok(())
    }

    fn inputs_taken_back(&mut self, link: LinkId) {
        for life in self.links[link.0 as usize].lives.values_mut() {
            let done = life.durable_done.min(Seq(life.records.len() as u64));
            (life.received, life.given, life.done, life.last_effect, life.base) =
                (life.durable_done, done, done, done, done);
            life.asked_done = life.durable_done;
            let kept = usize::try_from(done.0).expect("few records");
            let taken_back = life.effects[kept..].iter_mut().filter(|effect| **effect != Effect::Boundary);
            taken_back.for_each(|effect| *effect = Effect::None);
        }
    }

    /// Records of a task's commits, per link into it and in order, that are dead-lettered as dead.
    pub(in crate::sim) fn dead_inputs(&self, task: TaskId) -> Vec<Bytes> {
        let mut dead = Vec::new();
        for (spec, truth) in self.graph.links.iter().zip(&self.links) {
            if spec.to == task {
                for life in truth.lives.values() {
                    let seqs = (1..=life.records.len() as u64).map(Seq);
                    dead.extend(
                        seqs.filter(|&seq| life.is_dead(seq)).filter_map(|s| life.record(s).cloned()),
                    );
                }
            }
        }
        dead
    }
}
