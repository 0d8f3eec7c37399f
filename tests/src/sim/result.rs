//! What the sinks have in the end, held against what the sources' records come to when nothing ever fails.

use super::check::{Check, Checked, require};
use super::headed::behind_header;
use super::in_order::InOrder;
use super::plan::{Stage, StageKind, link_id, task_id};
use super::program::{
    BatchProgram, RecordsProgram, StreamProgram, has_key, is_no_record, is_poison, marked, outputs_of,
    source_record, stable, state_key, weight,
};
use super::world::World;
use bytes::Bytes;
use std::collections::BTreeMap;
use worker_core::config::TaskId;
use worker_proto::{LinkId, Seq};

/// Records, and how often each.
type Counted = BTreeMap<Bytes, i64>;

impl World {
    /// With `delivery = "exactly-once"`: I2, I3 and I4 from end to end, whatever died on the way.
    pub(super) fn check_results(&self) -> Checked {
        if self.has_failed() {
            return Ok(());
        }
        for task in (0..self.model.graph.tasks.len()).map(task_id) {
            match self.plan.stages[self.plan.stage_of(task)].kind {
                StageKind::Sink { .. } => self.check_file(task)?,
                StageKind::Records { program, .. } => self.check_state(task, program)?,
                StageKind::Stream { .. } => self.check_taken(task)?,
                StageKind::Source { .. } | StageKind::Batch { .. } => {}
            }
            self.check_letters(task)?;
        }
        self.check_end_to_end()
    }

    /// What a task has dead-lettered is in its file, each letter once and in order.
    fn check_letters(&self, task: TaskId) -> Checked {
        let kept = self.disks[self.node_of(task)].tasks[&task].letters();
        let letters = &self.model.tasks[task.0 as usize].letters;
        require(kept.iter().eq(letters.iter().map(|letter| &letter.record)), Check::Letters, || {
            let name = &self.model.graph.task(task).name;
            format!("{name}: the letters {kept:?} are kept, {letters:?} were committed")
        })
    }

    /// A sink's file has the records of each of its links, all of them, once and in their order.
    fn check_file(&self, task: TaskId) -> Checked {
        let name = &self.model.graph.task(task).name;
        let journal = &self.disks[self.node_of(task)].tasks[&task];
        let mut reached: BTreeMap<_, Seq> = BTreeMap::new();
        let mut in_order = InOrder::default();
        let heads = self.model.tasks[task.0 as usize].heads.as_ref();
        for record in behind_header(name, &journal.file, heads)? {
            let origin = self.model.find(task, record);
            require(origin.is_some(), Check::SinkFile, || format!("{name}: nobody sent {record:?}"))?;
            let Some((link, _, seq)) = origin else { continue };
            let last = reached.entry(link).or_default();
            require(seq == self.behind_boundaries(link, *last).next(), Check::SinkFile, || {
                format!("{name}: {seq} of link {link} is written behind {last}")
            })?;
            *last = seq;
            if self.plan.stages[self.plan.stage_of(task)].in_order {
                in_order.next(&stable(record))?;
            }
        }
        for (at, (spec, truth)) in self.model.graph.links.iter().zip(&self.model.links).enumerate() {
            let sent = truth.lives.values().map(|life| life.records.len() as u64).max().unwrap_or(0);
            let written = reached.get(&link_id(at)).copied().unwrap_or_default();
            let written = self.behind_boundaries(link_id(at), written);
            require(spec.to != task || written == Seq(sent), Check::SinkFile, || {
                format!("{name}: {written} of {sent} records of link {at} are in the file")
            })?;
        }
        Ok(())
    }

    /// The ends of chunks that follow are written by nobody, and the headers of links for all of them.
    fn behind_boundaries(&self, link: LinkId, mut seq: Seq) -> Seq {
        let lives = &self.model.links[link.0 as usize].lives;
        while lives.values().any(|life| life.record(seq.next()).is_some_and(|record| is_no_record(record))) {
            seq = seq.next();
        }
        seq
    }

    /// What a stream was sent, programs that ended well were given.
    fn check_taken(&self, task: TaskId) -> Checked {
        let taken = &self.model.tasks[task.0 as usize].taken;
        let left = self.inputs_of(task).find(|record| !taken.contains(*record));
        require(left.is_none() || self.stops_early(task), Check::Taken, || {
            let name = &self.model.graph.task(task).name;
            format!("{name}: no program that ended well was given {left:?}")
        })
    }

    /// A records stage's state is what its inputs, one after another, make of it.
    fn check_state(&self, task: TaskId, program: RecordsProgram) -> Checked {
        let by = self.plan.stages[self.plan.stage_of(task)].by.as_ref();
        let dead = self.model.dead_inputs(task);
        let answered = self.inputs_of(task).filter(|record| !dead.contains(record));
        let expected = program.values(answered.map(|record| state_key(by, record)));
        let state = self.disks[self.node_of(task)].tasks[&task].values();
        require(state == expected || self.stops_early(task), Check::Result, || {
            format!("{}: the state is {state:?}, not {expected:?}", self.model.graph.task(task).name)
        })
    }

    fn inputs_of(&self, task: TaskId) -> impl Iterator<Item = &Bytes> {
        let links = self.model.graph.links.iter().zip(&self.model.links);
        let into = links.filter(move |(spec, _)| spec.to == task);
        into.flat_map(|(_, truth)| truth.lives.values())
            .flat_map(|life| &life.records)
            .filter(|record| !is_no_record(record))
    }

    /// Stage by stage: what each stage was sent is what the stages before make of the sources' records, less what was put
    /// aside.
    fn check_end_to_end(&self) -> Checked {
        let mut made: Vec<Option<Counted>> = Vec::new();
        for (index, stage) in self.plan.stages.iter().enumerate() {
            if let StageKind::Source { .. } = stage.kind {
                made.push(Some(self.source_records(index)));
                continue;
            }
            let mut expected = Some(Counted::new());
            for &from in &stage.from {
                match (&mut expected, &made[from]) {
                    (Some(all), Some(more)) => add(all, more),
                    (_, None) => expected = None,
                    (None, _) => {}
                }
            }
            if let (Some(expected), true) = (&mut expected, stage.needs_field()) {
                expected.retain(|record, _| has_key(record));
            }
            let early = self.plan.tasks_of(index).any(|task| self.stops_early(task));
            if let (Some(expected), false) = (&expected, early) {
                self.check_received(index, expected)?;
            }
            made.push(expected.filter(|_| !early).and_then(|inputs| self.made_of(index, inputs)));
        }
        made.iter().enumerate().try_for_each(|(index, made)| self.check_keyless(index, made.as_ref()))
    }

    /// A record without the field that a reader needs is a letter of the stage that made it, once for each such reader.
    fn check_keyless(&self, index: usize, made: Option<&Counted>) -> Checked {
        let Some(made) = made.filter(|_| !self.plan.tasks_of(index).any(|task| self.stops_early(task)))
        else {
            return Ok(());
        };
        let reads = |stage: &&Stage| stage.from.contains(&index) && stage.needs_field();
        let readers = i64::try_from(self.plan.stages.iter().filter(reads).count()).expect("few stages");
        let mut letters = Counted::new();
        for record in self.plan.tasks_of(index).flat_map(|task| self.model.routed_letters(task)) {
            *letters.entry(stable(record)).or_default() += 1;
        }
        let keyless = made.iter().filter(|(record, _)| !has_key(record) && readers > 0);
        let expected: Counted = keyless.map(|(record, count)| (record.clone(), count * readers)).collect();
        letters.retain(|record, _| is_plain(record));
        require(letters == expected, Check::Letters, || {
            let letter = self.plan.stages[index].letter;
            format!("stage {letter}: records without a key are {expected:?}, the letters {letters:?}")
        })
    }

    fn source_records(&self, index: usize) -> Counted {
        let mut all = Counted::new();
        let StageKind::Source { records, padding, keyless, .. } = self.plan.stages[index].kind else {
            return all;
        };
        for task in self.plan.tasks_of(index) {
            for number in (0..records).filter(|&number| !self.printed.is_lost(task, number)) {
                let padding = if padding == 0 { 0 } else { (number * 7919) % padding };
                let padding = usize::try_from(padding).expect("short");
                *all.entry(source_record(task.0 as usize, number, 0, padding, keyless)).or_default() += 1;
            }
        }
        all
    }

    fn check_received(&self, index: usize, expected: &Counted) -> Checked {
        let mut received = Counted::new();
        let by = self.plan.stages[index].by.as_ref();
        let mut routes: BTreeMap<String, TaskId> = BTreeMap::new();
        for task in self.plan.tasks_of(index) {
            for record in self.inputs_of(task).filter(|record| is_plain(record)) {
                let record = stable(record);
                if by.is_some() {
                    let key = state_key(by, &record);
                    let to = *routes.entry(key.clone()).or_insert(task);
                    require(to == task, Check::Routing, || {
                        format!("key {key} is with task {} and task {}", to.0, task.0)
                    })?;
                }
                *received.entry(record).or_default() += 1;
            }
        }
        if received == *expected {
            return Ok(());
        }
        let missing =
            expected.iter().find(|(record, count)| received.get(*record).copied().unwrap_or(0) < **count);
        let extra =
            received.iter().find(|(record, count)| expected.get(*record).copied().unwrap_or(0) < **count);
        let letter = self.plan.stages[index].letter;
        require(false, Check::Result, || format!("stage {letter}: missing {missing:?}, too many {extra:?}"))
    }

    /// What a stage makes of its inputs; `None` where that is not known from them alone.
    fn made_of(&self, index: usize, mut inputs: Counted) -> Option<Counted> {
        let stage = &self.plan.stages[index];
        for task in self.plan.tasks_of(index) {
            for record in self.model.dead_inputs(task).iter().filter(|record| is_plain(record)) {
                *inputs.entry(stable(record)).or_default() -= 1;
            }
        }
        let mut made = Counted::new();
        for (record, count) in inputs {
            let outputs = match stage.kind {
                StageKind::Batch { program: BatchProgram::FailAlways, .. } => return None,
                StageKind::Batch { program, .. } => outputs_of(program, &record, stage.letter, ""),
                StageKind::Stream { program: StreamProgram::Identity | StreamProgram::Sort, .. } => {
                    vec![marked(&record, stage.letter, "", None)]
                }
                StageKind::Stream { program: StreamProgram::Both, .. } => {
                    (0..2).map(|copy| marked(&record, stage.letter, "", Some(copy))).collect()
                }
                StageKind::Records { .. } => vec![marked(&record, stage.letter, "", None)],
                StageKind::Stream {
                    program: StreamProgram::Count | StreamProgram::Head(_) | StreamProgram::Unsteady,
                    ..
                } => return None,
                StageKind::Source { .. } | StageKind::Sink { .. } => Vec::new(),
            };
            for output in outputs {
                *made.entry(output).or_default() += count;
            }
        }
        made.retain(|_, count| *count != 0);
        Some(made)
    }

    /// Dead letters are only of records that fail.
    pub(super) fn check_dead(&self) -> Checked {
        for task in (0..self.model.graph.tasks.len()).map(task_id) {
            let kind = &self.plan.stages[self.plan.stage_of(task)].kind;
            for record in self.model.dead_inputs(task) {
                let may_die = match *kind {
                    StageKind::Batch {
                        program: BatchProgram::Chance(_) | BatchProgram::KillOn(_), ..
                    }
                    | StageKind::Records { program: RecordsProgram::Chance(_), .. } => true,
                    StageKind::Batch { program, .. } => is_poison(program, &record),
                    StageKind::Records {
                        program: RecordsProgram::Fail(one_in) | RecordsProgram::DieOn(one_in),
                        ..
                    } => weight(&record).is_multiple_of(one_in),
                    StageKind::Records { program: RecordsProgram::Count | RecordsProgram::Flip, .. }
                    | StageKind::Source { .. }
                    | StageKind::Stream { .. }
                    | StageKind::Sink { .. } => false,
                };
                require(may_die, Check::Condemned, || {
                    format!(
                        "{}: {record:?} was dead-lettered and never fails",
                        self.model.graph.task(task).name
                    )
                })?;
            }
        }
        Ok(())
    }
}

/// Not a tick, a total or a count: those are made of more than one record, or none.
fn is_plain(record: &[u8]) -> bool {
    let counted = record.windows(9).any(|part| part == b" counted ");
    !record.starts_with(b"tick") && !record.starts_with(b"total") && !counted
}

fn add(all: &mut Counted, more: &Counted) {
    for (record, count) in more {
        *all.entry(record.clone()).or_default() += count;
    }
}
