//! What a record may say. Its checksums are right, so some program has written it; that it makes sense follows from that only where the
//! program was this one, and the file is not one that was made to harm.
//!
//! Numbers are bounded, so that no sum of them overflows and no memory is taken for more than there can be. That commits and batches fit
//! together is seen where they are put together.

use super::image::{Held, Image, OutputImage, WindowImage};
use super::record::{
    Admitted, AttemptHead, BodyHead, CheckpointHead, CommitHead, CopiedHead, InputHead, LifeHead, Location,
    OfHead, OutputHead, Span, StepHead, TurnHead,
};

/// No position, epoch or number is larger.
pub(super) const NUMBER_MAX: u64 = 1 << 62;

/// Records of one commit, and of what was in flight at once.
const RECORDS_MAX: u64 = 1 << 34;

/// Bytes of a batch's records, of its ends, and of a position.
const BYTES_MAX: u64 = u32::MAX as u64;

/// A part of a journal that can be held against what it may say.
pub(super) trait Sense {
    /// # Errors
    /// What makes no sense.
    fn sense(&self) -> Result<(), String>;
}

fn at_most(what: &str, number: u64, most: u64) -> Result<(), String> {
    if number <= most { Ok(()) } else { Err(format!("{what} is {number}")) }
}

fn each<'a, T: Sense + 'a>(all: impl IntoIterator<Item = &'a T>) -> Result<(), String> {
    all.into_iter().try_for_each(Sense::sense)
}

impl Sense for Span {
    fn sense(&self) -> Result<(), String> {
        at_most("the length of a batch", self.payload_bytes, BYTES_MAX)?;
        at_most("the length of a batch's ends", self.ends_bytes, BYTES_MAX)?;
        if self.ends_bytes.is_multiple_of(4) {
            Ok(())
        } else {
            Err(format!("ends of {} bytes", self.ends_bytes))
        }
    }
}

impl Sense for Location {
    fn sense(&self) -> Result<(), String> {
        at_most("a batch's offset", self.offset, NUMBER_MAX)?;
        self.span.sense()
    }
}

impl Sense for Admitted {
    fn sense(&self) -> Result<(), String> {
        self.at.sense()?;
        let Some(part) = self.part else { return Ok(()) };
        let (records, bytes) = (self.at.span.records(), self.at.span.bytes());
        at_most("the beginning of a part of a batch", part.skip, records)?;
        at_most("the length of a part of a batch", part.records, records - part.skip)?;
        at_most("the cost of a part of a batch", part.cost, bytes)
    }
}

impl Sense for InputHead {
    fn sense(&self) -> Result<(), String> {
        at_most("an input's position", self.through.0, NUMBER_MAX)?;
        at_most("an input's epoch", self.epoch.0, NUMBER_MAX)
    }
}

impl Sense for OutputHead {
    fn sense(&self) -> Result<(), String> {
        at_most("an output's position", self.first.0, NUMBER_MAX)?;
        self.body.sense()
    }
}

impl Sense for BodyHead {
    fn sense(&self) -> Result<(), String> {
        match self {
            Self::Inline(span) => span.sense(),
            Self::Elsewhere(at) => at.sense(),
        }
    }
}

impl Sense for StepHead {
    fn sense(&self) -> Result<(), String> {
        match self {
            Self::Admit { window, batches } => {
                at_most("a window", *window, NUMBER_MAX).and_then(|()| each(batches))
            }
            Self::Refer { window, admitted } => {
                at_most("a window", *window, NUMBER_MAX).and_then(|()| each(admitted))
            }
            Self::Printed { window, records, .. } => {
                at_most("a window", *window, NUMBER_MAX)?;
                at_most("what was printed", *records, RECORDS_MAX)
            }
            Self::Cut { window } | Self::Done { window } => at_most("a window", *window, NUMBER_MAX),
        }
    }
}

impl Sense for AttemptHead {
    fn sense(&self) -> Result<(), String> {
        at_most("what was in flight", self.records.max(self.suspects), RECORDS_MAX)?;
        at_most("the first in flight", self.first.map_or(0, |(_, seq)| seq.0), NUMBER_MAX)
    }
}

impl Sense for TurnHead {
    fn sense(&self) -> Result<(), String> {
        let headers = self.headers.iter().flat_map(|headers| headers.at.values().map(|seq| seq.0));
        let numbers = self.given.iter().copied().chain([self.taken]).chain(headers);
        at_most("a turn", numbers.max().unwrap_or(0), NUMBER_MAX)
    }
}

impl Sense for CommitHead {
    fn sense(&self) -> Result<(), String> {
        at_most("a commit's number", self.id, NUMBER_MAX)?;
        at_most("the number of dead letters", self.dead, RECORDS_MAX)?;
        at_most("the length of a position", self.position_bytes.unwrap_or(0), BYTES_MAX)?;
        each(&self.inputs)?;
        each(&self.outputs)?;
        each(&self.step)?;
        self.attempt.sense()?;
        each(&self.turn)
    }
}

impl Sense for CopiedHead {
    fn sense(&self) -> Result<(), String> {
        at_most("a copied output's position", self.output.map_or(0, |(_, seq)| seq.0), NUMBER_MAX)?;
        self.span.sense()
    }
}

impl Sense for LifeHead {
    fn sense(&self) -> Result<(), String> {
        at_most("an epoch", self.epoch.0, NUMBER_MAX)
    }
}

/// What it needs is looked for, and its states are counted.
impl Sense for CheckpointHead {
    fn sense(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Whether there is such a task is seen when something of it comes.
impl Sense for OfHead {
    fn sense(&self) -> Result<(), String> {
        Ok(())
    }
}

impl Sense for Held {
    fn sense(&self) -> Result<(), String> {
        at_most("an output's position", self.first.0, NUMBER_MAX)?;
        self.at.sense()
    }
}

impl Sense for OutputImage {
    fn sense(&self) -> Result<(), String> {
        let end = self.end.map_or(0, |end| end.0);
        at_most("an output's position", self.next.0.max(self.through.0).max(end), NUMBER_MAX)?;
        each(&self.held)
    }
}

impl Sense for WindowImage {
    fn sense(&self) -> Result<(), String> {
        at_most("a window", self.window, NUMBER_MAX)?;
        each(&self.admitted)?;
        self.steps.iter().try_for_each(|step| at_most("what was printed", step.records, RECORDS_MAX))?;
        each(self.printed_locations())
    }
}

impl Sense for Image {
    fn sense(&self) -> Result<(), String> {
        at_most("an epoch", self.epoch.0, NUMBER_MAX)?;
        at_most("a number", self.commits.max(self.windows).max(self.dead), NUMBER_MAX)?;
        each(self.inputs.values())?;
        each(self.outputs.values())?;
        each(&self.window)?;
        self.attempt.sense()?;
        each(&self.turn)
    }
}
