//! What is found in a journal, in words.

use super::finding::{
    Commit, Finding, InFlight, Input, Output, Record, Recovered, Says, Segment, Sent, Step, Task, Turn,
    Window,
};
use std::fmt::{self, Display, Formatter};
use worker_core::words::printable;

/// One line or several, without the last line end.
impl Display for Finding {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal { journal, segments: 0 } => write!(f, "journal {journal}\n  no segments"),
            Self::Journal { journal, .. } => write!(f, "journal {journal}"),
            Self::Segment(segment) => segment.fmt(f),
            Self::Record(record) => record.fmt(f),
            Self::End { offset, position, .. } => {
                write!(f, "  {offset:>10}  end of whole records, position {position}")
            }
            Self::Recovered(recovered) => recovered.fmt(f),
            Self::Damaged { damage } => write!(f, "damaged: {damage}"),
            Self::Claim { segment, whole_to, durable_to } => {
                write!(
                    f,
                    "  {segment} is whole to byte {whole_to} and says: durable to position {durable_to}"
                )
            }
        }
    }
}

impl Display for Segment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}  ", self.segment)?;
        match (self.bytes, &self.header, &self.damage) {
            (None, _, _) => write!(f, "removed meanwhile"),
            (Some(bytes), Some(header), _) => write!(
                f,
                "{bytes} bytes, journal {}, epoch {}, from position {}, durable to {} when named",
                header.journal_id, header.epoch, header.position, header.durable_to
            ),
            (Some(_), None, Some(damage)) => write!(f, "{damage}"),
            (Some(bytes), None, None) => write!(f, "{bytes} bytes, no header of this segment"),
        }
    }
}

impl Display for Record {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { offset, position, bytes, durable_to, kind, says, .. } = self;
        write!(f, "  {offset:>10}  position {position}  {kind:<10}  {bytes} bytes, durable to {durable_to}")?;
        match says {
            Says::Life { epoch } => write!(f, ", epoch {epoch}"),
            Says::Commit(commit) => commit.fmt(f),
            Says::Stage { records } => write!(f, ", {records} records"),
            Says::State {} => Ok(()),
            Says::Of { member } => write!(f, ", what follows is of task {member}"),
            Says::Part { states } => write!(f, ", {states} records of state"),
            Says::Checkpoint { states, needs } => {
                let needs: Vec<String> =
                    needs.iter().map(|need| format!("{} to byte {}", need.segment, need.to)).collect();
                let needs = if needs.is_empty() { "nothing".to_owned() } else { needs.join(", ") };
                write!(f, ", {states} records of state, needs {needs}")
            }
            Says::Copied { link: Some(link), first: Some(first), records } => {
                write!(f, ", link {link} {}", range(*first, *records))
            }
            Says::Copied { records, .. } => write!(f, ", {records} records"),
            Says::Note(note) => note.fmt(f),
            Says::Damaged { damage } => write!(f, "{damage}"),
        }
    }
}

impl Display for Commit {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, ", commit {}", self.commit)?;
        self.inputs.iter().try_for_each(|input| write!(f, "; {input}"))?;
        for Output { link, first, records, place } in &self.outputs {
            write!(f, "; output link {link} {}", range(*first, *records))?;
            if let Some(place) = place {
                write!(f, " in {} at byte {}", place.segment, place.offset)?;
            }
        }
        if self.dead_records > 0 {
            write!(f, "; {} dead letters", self.dead_records)?;
        }
        if let Some(bytes) = self.dead_bytes {
            write!(f, "; dead letters' file has {bytes} bytes")?;
        }
        if let Some(bytes) = self.position_bytes {
            write!(f, "; position or state of {bytes} bytes")?;
        }
        if let Some(step) = &self.window {
            write!(f, "; {step}")?;
        }
        if let Some(in_flight) = &self.in_flight {
            in_flight.fmt(f)?;
        }
        if let Some(turn) = &self.order {
            turn.fmt(f)?;
        }
        if self.ended { write!(f, "; end") } else { Ok(()) }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { window, step, records, hash, places } = self;
        match (records, hash) {
            (Some(records), Some(hash)) => {
                write!(f, "window {window} {step} {records} records, hash {hash}")?
            }
            (Some(records), None) => write!(f, "window {window} {step} {records} records")?,
            (None, _) => write!(f, "window {window} is {step}")?,
        }
        places.iter().try_for_each(|place| write!(f, " in {} at byte {}", place.segment, place.offset))
    }
}

impl Display for Turn {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { taken, given, header_taken, header_given } = self;
        if *taken > 0 || !given.is_empty() {
            write!(f, "; in order: {taken} chunks taken, {given:?} given")?;
        }
        for (what, header) in [("taken", header_taken), ("given", header_given)] {
            if let Some(header) = header {
                write!(f, "; header {what}: {header:?}")?;
            }
        }
        Ok(())
    }
}

impl Display for InFlight {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { records, link, first, deaths_alone, suspects } = *self;
        match (records, suspects) {
            (0, 0) => return write!(f, ", nothing in flight"),
            (0, _) => write!(f, ", nothing in flight, {suspects} suspects")?,
            _ => write!(f, ", in flight {records} records")?,
        }
        if let (Some(link), Some(first)) = (link, first) {
            write!(f, " from link {link} {first}")?;
        }
        write!(f, ", {deaths_alone} deaths alone")
    }
}

impl Display for Input {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { link, through, epoch, ended } = self;
        write!(f, "input link {link} through {through} of epoch {epoch}")?;
        if *ended { write!(f, ", ended") } else { Ok(()) }
    }
}

impl Display for Sent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { link, next, acknowledged, held_from, end } = self;
        write!(f, "output link {link} next {next}, acknowledged through {acknowledged}, ")?;
        match held_from {
            Some(first) => write!(f, "held from {first}")?,
            None => write!(f, "nothing held")?,
        }
        end.map_or(Ok(()), |end| write!(f, ", end at {end}"))
    }
}

impl Display for Recovered {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "durable to position {}, at least", self.durable_to)?;
        let whole = self.whole_to;
        writeln!(f, "whole to position {whole}; what lies behind, if anything, is torn and is cut off")?;
        for (index, task) in self.tasks.iter().enumerate() {
            write!(f, "  {index}: {task}")?;
        }
        write!(f, "  {} bytes live", self.live_bytes)
    }
}

/// Lines, each with its end.
impl Display for Task {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "task {}, epoch {}, commit {}", printable(&self.task), self.epoch, self.commit)?;
        self.inputs.iter().try_for_each(|input| writeln!(f, "  {input}"))?;
        self.outputs.iter().try_for_each(|output| writeln!(f, "  {output}"))?;
        if let Some(Window { window, admitted_batches, cut }) = self.window {
            let cut = if cut { ", cut" } else { "" };
            writeln!(f, "  window {window} with {admitted_batches} admitted batches{cut}")?;
        }
        let ended = if self.ended { "; ended" } else { "" };
        writeln!(f, "  {} dead letters{ended}", self.dead_records)
    }
}

fn range(first: u64, records: u64) -> String {
    format!("{first}..={}", (first + records).saturating_sub(1))
}
