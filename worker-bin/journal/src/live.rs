//! Which segments are still needed, and for what.

use super::check::rule;
use super::record::{Admitted, Location};
use std::collections::BTreeMap;

/// Batches that may still be read, counted by segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Live {
    segments: BTreeMap<u64, LiveSegment>,
    bytes: u64,
}

/// What of one segment may still be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LiveSegment {
    /// How often its batches are needed.
    pub(super) uses: u64,
    /// How many of these are by a stream's window or by an output that is not committed: they do not move.
    pub(super) fixed: u64,
    pub(super) bytes: u64,
    /// It must be whole up to here.
    pub(super) end: u64,
}

/// What a batch is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// An output that is not acknowledged.
    Output,
    /// A stream's window that is not done.
    Window,
    /// An output that is not committed.
    Staged,
}

impl Live {
    pub(super) fn add(&mut self, location: &Location, by: Use) {
        self.count(location, location.span.bytes(), by);
    }

    /// What a window needs of a batch.
    pub(super) fn add_admitted(&mut self, admitted: &Admitted) {
        self.count(&admitted.at, admitted.cost(), Use::Window);
    }

    /// What lies in a source's input takes nothing here, and holds no segment.
    fn count(&mut self, location: &Location, bytes: u64, by: Use) {
        if location.input().is_some() {
            return;
        }
        let segment = self.segments.entry(location.segment).or_default();
        segment.uses += 1;
        segment.fixed += u64::from(by != Use::Output);
        segment.bytes += bytes;
        segment.end = segment.end.max(location.end());
        self.bytes += bytes;
    }

    pub(super) fn remove(&mut self, location: &Location, by: Use) {
        self.uncount(location, location.span.bytes(), by);
    }

    pub(super) fn remove_admitted(&mut self, admitted: &Admitted) {
        self.uncount(&admitted.at, admitted.cost(), Use::Window);
    }

    fn uncount(&mut self, location: &Location, bytes: u64, by: Use) {
        let Some(segment) = self.segments.get_mut(&location.segment) else { return };
        segment.uses -= 1;
        segment.fixed -= u64::from(by != Use::Output);
        segment.bytes -= bytes;
        self.bytes -= bytes;
        if segment.uses == 0 {
            self.segments.remove(&location.segment);
        }
    }

    pub(super) fn segment(&self, number: u64) -> Option<&LiveSegment> {
        self.segments.get(&number)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Fails unless it is what `counted` is, but that a segment may have to be whole further than what is left needs.
    pub(super) fn check(&self, counted: &Self) -> Result<(), String> {
        let sums: u64 = self.segments.values().map(|segment| segment.bytes).sum();
        rule(self.bytes == sums, || format!("{} bytes are live, of segments {sums}", self.bytes))?;
        let numbers = |live: &Self| live.segments.keys().copied().collect::<Vec<_>>();
        rule(numbers(self) == numbers(counted), || format!("{self:?} is kept, {counted:?} is counted"))?;
        for (kept, new) in self.segments.values().zip(counted.segments.values()) {
            let same = LiveSegment { end: new.end, ..*kept } == *new && new.end <= kept.end;
            rule(same, || format!("{self:?} is kept, {counted:?} is counted"))?;
        }
        Ok(())
    }

    /// Segments needed, and how far each must be whole.
    pub(super) fn needs(&self) -> Vec<(u64, u64)> {
        self.segments.iter().map(|(number, s)| (*number, s.end)).collect()
    }
}
