//! How far a child has read its standard input: what was written, less what still lies in the pipe.

use super::pipes::{Gauges, bytes_inside};
use bytes::Bytes;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use worker_proto::Batch;

/// How often it is looked while the child reads, and while it does not.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY_MAX: Duration = Duration::from_millis(500);

/// What a child has read since its start, and whether what lay in its pipe at the look before lies there still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HasRead {
    pub records: u64,
    pub bytes: u64,
    pub is_behind: bool,
}

/// Where the records are that were given to a child and that it has not read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    /// The batches that it has not read whole, in order. What is pinned by them is what lies in its pipe or waits for room there: at
    /// each batch that is given those that were read are forgotten.
    unread: VecDeque<Given>,
    /// All that was given, what precedes the records included.
    given: u64,
    /// What precedes the records.
    header: u64,
    /// Records of batches that were read whole.
    whole: u64,
    /// What was found read at the last look.
    said: HasRead,
    /// All that was written by then.
    written_before: u64,
    wait: Duration,
}

/// Where a batch's records end.
#[derive(Debug)]
struct Given {
    /// Behind so many bytes.
    end: u64,
    /// In the bytes of the batch, as [`Batch::raw_ends`] has them.
    ends: Bytes,
    /// What they count from.
    base: u32,
}

impl Given {
    fn records(&self) -> u64 {
        self.ends.len() as u64 / Batch::END_BYTES
    }

    /// How many are whole without its last `missing` bytes.
    fn whole_without(&self, missing: u64) -> u64 {
        let (ends, _) = self.ends.as_chunks::<4>();
        let bytes = ends.last().map_or(0, |last| u32::from_le_bytes(*last) - self.base);
        let read = u64::from(bytes).saturating_sub(missing);
        ends.partition_point(|end| u64::from(u32::from_le_bytes(*end) - self.base) <= read) as u64
    }
}

impl Reading {
    /// These bytes precede the records.
    pub(crate) fn given_header(&mut self, bytes: u64) {
        self.header += bytes;
        self.given += bytes;
    }

    pub(crate) fn given(&mut self, batch: &Batch, gauges: &Gauges, unread: &OwnedFd) {
        self.given_behind(read_so_far(gauges, unread), batch);
    }

    /// Of what was given before it has read `read` bytes.
    fn given_behind(&mut self, read: u64, batch: &Batch) {
        self.forget(read);
        self.given += batch.bytes() as u64;
        let (end, ends, base) = (self.given, batch.raw_ends().clone(), batch.base());
        self.unread.push_back(Given { end, ends, base });
    }

    /// Batches that were read whole are only counted from now on.
    fn forget(&mut self, read: u64) {
        while let Some(given) = self.unread.front().filter(|given| given.end <= read) {
            self.whole += given.records();
            self.unread.pop_front();
        }
    }

    /// Looks once; says what there is to tell, if that is another thing than before.
    pub(crate) fn look(&mut self, gauges: &Gauges, unread: &OwnedFd) -> Option<HasRead> {
        let written = gauges.fed.load(Relaxed);
        self.look_at(written, written.saturating_sub(bytes_inside(unread)))
    }

    /// The same for a child that has printed something: what it printed of must not count as unread until the next look, and whether
    /// it is behind only two looks with time between them tell.
    pub(crate) fn look_as_it_prints(&mut self, gauges: &Gauges, unread: &OwnedFd) -> Option<HasRead> {
        self.printed_at(read_so_far(gauges, unread))
    }

    fn printed_at(&mut self, read: u64) -> Option<HasRead> {
        let now = self.through(read, self.said.is_behind);
        (std::mem::replace(&mut self.said, now) != now).then_some(now)
    }

    fn through(&mut self, read: u64, is_behind: bool) -> HasRead {
        self.forget(read);
        let begun =
            self.unread.front().map_or(0, |given| given.whole_without(given.end.saturating_sub(read)));
        let records = self.said.records.max(self.whole + begun);
        HasRead { records, bytes: read.saturating_sub(self.header), is_behind }
    }

    fn look_at(&mut self, written: u64, read: u64) -> Option<HasRead> {
        let is_behind = read < std::mem::replace(&mut self.written_before, written);
        let now = self.through(read, is_behind);
        let moved = now.bytes != self.said.bytes;
        self.wait = if moved { LOOK_EVERY } else { (self.wait * 2).clamp(LOOK_EVERY, LOOK_EVERY_MAX) };
        (std::mem::replace(&mut self.said, now) != now).then_some(now)
    }

    /// Whether all that was written had been read at the last look, and that is known.
    pub(crate) fn is_over(&self) -> bool {
        self.written_before <= self.said.bytes + self.header && !self.said.is_behind
    }

    /// How long to wait for the next look.
    pub(crate) fn wait(&self) -> Duration {
        self.wait.max(LOOK_EVERY)
    }
}

/// How many bytes of all that was written it has read.
fn read_so_far(gauges: &Gauges, unread: &OwnedFd) -> u64 {
    gauges.fed.load(Relaxed).saturating_sub(bytes_inside(unread))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(lines: &str) -> Batch {
        Batch::from_terminated(Bytes::from(lines.to_owned()), b'\n')
    }

    #[test]
    fn whole_records_are_counted_and_a_header_is_none() {
        let mut reading = Reading::default();
        reading.given_header(4);
        reading.given_behind(0, &batch("a\nbb\n"));
        reading.given_behind(0, &batch("ccc\n").slice(0..1));
        let at = |records, bytes, is_behind| HasRead { records, bytes, is_behind };
        assert_eq!(reading.look_at(13, 3), None, "of the header nothing is told");
        assert_eq!(reading.look_at(13, 8), Some(at(1, 4, true)), "a, and the first half of bb");
        assert_eq!(reading.look_at(13, 8), None);
        assert!(!reading.is_over());
        assert_eq!(reading.look_at(13, 13), Some(at(3, 9, false)));
        assert!(reading.is_over());
    }

    #[test]
    fn what_was_printed_of_is_read_by_then() {
        let mut reading = Reading::default();
        reading.given_behind(0, &batch("z\na\nb\nc\n").slice(1..4));
        assert_eq!(reading.look_at(6, 0), None);
        assert_eq!(reading.look_at(6, 0).map(|read| read.is_behind), Some(true));
        assert_eq!(reading.printed_at(4), Some(HasRead { records: 2, bytes: 4, is_behind: true }));
        assert_eq!(reading.printed_at(4), None);
        assert!(!reading.is_over());
    }

    #[test]
    fn what_was_written_since_the_last_look_is_not_behind() {
        let mut reading = Reading::default();
        reading.given_behind(0, &batch("z\na\nb\nc\n").slice(1..4));
        assert_eq!(reading.look_at(2, 0), None, "it may just have been written");
        assert_eq!(reading.look_at(4, 2).map(|read| read.is_behind), Some(false), "a was read");
        assert_eq!(reading.look_at(6, 2).map(|read| read.is_behind), Some(true), "b was not");
        assert_eq!(reading.look_at(6, 6).map(|read| read.is_behind), Some(false));
    }

    #[test]
    fn of_many_records_each_is_counted_and_what_was_read_is_not_held() {
        let mut reading = Reading::default();
        for tenth in 0..10 {
            reading.given_behind(tenth * 32 * 1024, &batch(&"x\n".repeat(16 * 1024)));
            assert_eq!(reading.unread.len(), 1);
        }
        let all = 10 * 16 * 1024;
        let records = |read: Option<HasRead>| read.map(|read| read.records);
        assert_eq!(records(reading.look_at(2 * all, 2 * all - 5)), Some(all - 3));
        assert_eq!(records(reading.look_at(2 * all, 2 * all)), Some(all));
        assert!(reading.unread.is_empty());
    }
}
