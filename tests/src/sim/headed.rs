//! Headers: random runs in which batch programs print them, and what is checked of who is given one.

use super::check::{Check, Checked, require};
use super::fault::Fault;
use super::model::Model;
use super::plan::{Delivery, Plan, StageKind};
use super::program::{header_of, is_header};
use super::rng::Rng;
use bytes::Bytes;
use worker_core::config::TaskId;
use worker_proto::{Epoch, LinkId};

impl Plan {
    /// A random run, with or without journals and order, in which stages pass on the header that each of their batches prints.
    #[must_use]
    pub fn headed(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x6865_6164_6572_0001);
        let mut plan = match rng.below(10) {
            0..=4 => Self::exactly_once(seed),
            5 | 6 => Self::in_order(seed),
            _ => Self::random(seed),
        };
        let giving: Vec<usize> = (0..plan.stages.len()).filter(|&at| plan.may_give_header(at)).collect();
        plan.headed = giving.into_iter().filter(|_| rng.chance(80)).collect();
        // In memory the header is lost with a process that comes back, and the run ends.
        let in_memory = plan.delivery == Delivery::Memory;
        plan.faults.retain(|scheduled| !(in_memory && matches!(scheduled.fault, Fault::Crash { .. })));
        plan
    }

    /// It runs batches, and all that read from it read nothing else and can be given a header.
    fn may_give_header(&self, stage: usize) -> bool {
        let is_batch = matches!(self.stages[stage].kind, StageKind::Batch { .. });
        let mut readers = self.stages.iter().filter(|reader| reader.from.contains(&stage)).peekable();
        is_batch
            && readers.peek().is_some()
            && readers
                .all(|reader| reader.from == [stage] && !matches!(reader.kind, StageKind::Records { .. }))
    }

    /// What heads all that a task is given.
    #[must_use]
    pub fn header_into(&self, task: TaskId) -> Option<Bytes> {
        let mut from = self.stages[self.stage_of(task)].from.iter();
        let giver = from.find(|from| self.headed.contains(from))?;
        Some(header_of(self.stages[*giver].letter))
    }

    /// What heads all that a task gives.
    #[must_use]
    pub fn header_from(&self, task: TaskId) -> Option<Bytes> {
        let stage = self.stage_of(task);
        self.headed.contains(&stage).then(|| header_of(self.stages[stage].letter))
    }
}

impl Model {
    /// A program is given records, under this header.
    pub(super) fn given_under(&self, task: TaskId, header: Option<&Bytes>) -> Checked {
        let expected = self.tasks[task.0 as usize].heads.as_ref();
        require(header == expected, Check::Header, || {
            let name = &self.graph.task(task).name;
            format!(
                "{name}: records are given to its program, or are dead letters, under {header:?}, not {expected:?}"
            )
        })
    }

    /// A window begins under this header; where nobody has given one, nothing may be fed to it.
    pub(super) fn started_under(&mut self, task: TaskId, header: Option<Bytes>) {
        self.task(task).window_header = header;
    }

    /// Records are fed to the window that is under way.
    pub(super) fn fed_under(&self, task: TaskId) -> Checked {
        self.given_under(task, self.tasks[task.0 as usize].window_header.as_ref())
    }

    /// Something is put on a link: a header before all records, where they are to have one, and nowhere else.
    pub(super) fn is_behind_header(&mut self, link: LinkId, epoch: Epoch, record: &Bytes) -> Checked {
        let (name, to) = (self.graph.link_name(link), self.graph.link(link).to);
        let heads = self.tasks[to.0 as usize].heads.clone().filter(|_| self.graph.headed.contains(&link));
        let first = self.life(link, epoch).records.iter().find(|record| !record.is_empty()).cloned();
        let holds = match (&heads, first) {
            _ if record.is_empty() => true,
            (None, _) => !is_header(record),
            (Some(heads), None) => record == heads,
            (Some(heads), Some(first)) => first == *heads && !is_header(record),
        };
        require(holds, Check::Header, || format!("{name}: {record:?} is given, where {heads:?} heads all"))
    }

    /// A sink has written a header.
    pub(super) fn headed(&mut self, task: TaskId, header: &[u8]) -> Checked {
        let name = self.graph.task(task).name.clone();
        let truth = self.task(task);
        let expected = truth.heads.as_deref();
        require(expected == Some(header), Check::Header, || {
            format!("{name}: writes the header {}, not {expected:?}", String::from_utf8_lossy(header))
        })?;
        let is_second = std::mem::replace(&mut truth.is_headed, true);
        require(!is_second || self.is_journaled(), Check::Header, || {
            format!("{name}: writes a second header")
        })
    }

    /// In memory a sink writes a record: the header was before it.
    pub(super) fn is_under_header(&self, task: TaskId) -> Checked {
        let truth = &self.tasks[task.0 as usize];
        let due = truth.writes && truth.heads.is_some() && !self.is_journaled();
        require(!due || truth.is_headed, Check::Header, || {
            format!("{}: writes records before their header", self.graph.task(task).name)
        })
    }
}

/// With a journal: a sink's file begins with its header, and has no other. Gives the records behind it.
pub(super) fn behind_header<'f>(
    name: &str,
    file: &'f [Bytes],
    header: Option<&Bytes>,
) -> Checked<&'f [Bytes]> {
    let Some(header) = header else { return Ok(file) };
    let Some((first, rest)) = file.split_first() else { return Ok(file) };
    require(first == header && !rest.contains(header), Check::Header, || {
        format!("{name}: its file begins with {first:?}, not with {header:?}, or has that more than once")
    })?;
    Ok(rest)
}
