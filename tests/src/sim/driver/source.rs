//! Sources: files that are read again, and programs that print once and have last words.

use super::{Driver, EventWithEffects, Later, Next, Surroundings};
use crate::sim::check::Checked;
use crate::sim::fold;
use crate::sim::plan::{Outside, StageKind};
use crate::sim::program::{batch_of, source_record};
use bytes::Bytes;
use worker_core::config::TaskId;
use worker_core::event::{Event, Output, SourceEvent};

/// How long a program that was asked to end may have its last words taken, in µs, before it is killed.
pub(in crate::sim) const STOP_GRACE_US: u64 = 60_000_000;

/// What reads for a source.
#[derive(Debug)]
pub(super) struct Reader {
    permits: u32,
    reading: bool,
    /// Records that are behind it.
    read: u64,
    ended: bool,
    /// Asked to end: through here it reads on.
    until: Option<u64>,
}

impl Reader {
    pub(super) fn at(read: u64) -> Self {
        Self { permits: 0, reading: false, read, ended: false, until: None }
    }
}

impl Driver {
    pub(in crate::sim) fn permit(&mut self, now: u64, id: TaskId, chunks: u32) -> Checked<Option<Later>> {
        let task = self.task(id)?;
        task.source.permits += chunks;
        Ok(task.read_next(now, id))
    }

    /// A source's chunk was handed over.
    pub(in crate::sim) fn chunk_read(&mut self, now: u64, id: TaskId) -> Option<Later> {
        let task = self.tasks.get_mut(&id)?;
        task.source.reading = false;
        task.read_next(now, id)
    }

    /// `cancelled`: nobody takes what would come.
    pub(in crate::sim) fn stop_source(
        &mut self,
        now: u64,
        id: TaskId,
        cancelled: bool,
    ) -> Checked<Vec<Later>> {
        let task = self.task(id)?;
        if task.source.ended {
            return Ok(Vec::new());
        }
        if let (StageKind::Source { records, outside: Outside::Program { last_words }, .. }, false) =
            (&task.stage.kind, cancelled)
        {
            task.source.until = Some((task.source.read + last_words).min(*records));
            let closing = Event::task(id, SourceEvent::Closing);
            let killed = task.later(now + STOP_GRACE_US, id, Next::SourceKilled);
            let closing = task.later(now + 1, id, Next::Tell(closing, Vec::new()));
            return Ok([closing, killed].into_iter().chain(task.read_next(now + 1, id)).collect());
        }
        task.source.ended = true;
        task.generation += 1;
        let ended = SourceEvent::Ended { complete: !task.journaled };
        Ok(vec![task.later(now + 1, id, Next::Tell(Event::task(id, ended), Vec::new()))])
    }

    /// A source has handed over all it has (or was told to stop).
    pub(in crate::sim) fn source_is_done(&self, id: TaskId) -> bool {
        self.tasks[&id].source.ended
    }

    /// Of sources that read programs: how much those have printed, and whether what they had to say in the end was not taken.
    pub(in crate::sim) fn programs_read(&self) -> impl Iterator<Item = (TaskId, u64, bool)> {
        let programs = self.tasks.iter().filter(|(_, task)| {
            matches!(task.stage.kind, StageKind::Source { outside: Outside::Program { .. }, .. })
        });
        programs.map(|(&id, task)| {
            let Reader { read, until, .. } = task.source;
            (id, until.unwrap_or(read).max(read), until.is_some_and(|until| read < until))
        })
    }
}

impl Surroundings {
    /// Reads one chunk more, if it may and can.
    fn read_next(&mut self, now: u64, id: TaskId) -> Option<Later> {
        let StageKind::Source { records, chunk, every_us, padding, keyless, .. } = self.stage.kind else {
            return None;
        };
        if self.source.reading || self.source.ended {
            return None;
        }
        let (at, end) = (now + every_us, self.source.until.unwrap_or(records));
        if self.source.read >= end && (self.source.permits > 0 || self.source.until.is_some()) {
            self.source.ended = true;
            let complete = self.source.until.is_none() || !self.journaled;
            let ended = Event::task(id, SourceEvent::Ended { complete });
            return Some(self.later(at, id, Next::Tell(ended, Vec::new())));
        }
        if self.source.permits == 0 {
            return None;
        }
        self.source.permits -= 1;
        self.source.reading = true;
        let last = (self.source.read + chunk).min(end);
        let texts: Vec<Bytes> = (self.source.read..last)
            .map(|number| {
                let padding = if padding == 0 { 0 } else { (number * 7919) % padding };
                let padding = usize::try_from(padding).expect("short");
                source_record(self.index, number, self.life, padding, keyless)
            })
            .collect();
        self.source.read = last;
        let position = self.journaled.then(|| fold::position(last));
        let output = Output { position, ..self.collector.route(batch_of(&texts)) };
        Some(self.later(at, id, Next::Tell(Event::task(id, SourceEvent::Read { output }), Vec::new())))
    }

    /// The program has not ended in the time that it was given.
    pub(super) fn killed_at_last(&mut self, id: TaskId) -> Option<EventWithEffects> {
        if std::mem::replace(&mut self.source.ended, true) {
            return None;
        }
        self.generation += 1;
        Some((Event::task(id, SourceEvent::Ended { complete: !self.journaled }), Vec::new()))
    }
}
