//! How far a child has read its standard input: what was written, less what still lies in the pipe.

use super::pipes::{Gauges, bytes_inside};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use worker_proto::Batch;

/// How often it is looked while the child reads, and while it does not.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOK_EVERY_MAX: Duration = Duration::from_millis(500);

/// How many ends of records are remembered; of more, every second.
const MARKS_MAX: usize = 16 * 1024;

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
    /// Behind which byte how many records are whole.
    marks: VecDeque<(u64, u64)>,
    /// All that was given, what precedes the records included.
    given: u64,
    given_records: u64,
    /// What precedes the records.
    header: u64,
    /// What was found read at the last look.
    said: HasRead,
    /// All that was written by then.
    written_before: u64,
    wait: Duration,
}

impl Reading {
    /// These bytes precede the records.
    pub(crate) fn given_header(&mut self, bytes: u64) {
        self.header += bytes;
        self.given += bytes;
    }

    pub(crate) fn given(&mut self, batch: &Batch) {
        let (start, records) = (self.given, self.given_records);
        let base = u64::from(batch.base());
        let ends = batch.raw_ends().chunks_exact(4).filter_map(|end| end.try_into().ok());
        let ends = ends.map(|end| u64::from(u32::from_le_bytes(end)) - base);
        self.marks.extend((1..).zip(ends).map(|(nth, end)| (start + end, records + nth)));
        self.given += batch.bytes() as u64;
        self.given_records += batch.len() as u64;
        while self.marks.len() > MARKS_MAX {
            let mut at = 0;
            let last = self.marks.len() - 1;
            // The last stays: all that was given is counted when it is read.
            self.marks.retain(|_| {
                at += 1;
                at % 2 == 0 || at == last + 1
            });
        }
    }

    /// Looks once; says what there is to tell, if that is another thing than before.
    pub(crate) fn look(&mut self, gauges: &Gauges, unread: &OwnedFd) -> Option<HasRead> {
        let written = gauges.fed.load(Relaxed);
        let read = written.saturating_sub(bytes_inside(unread));
        self.look_at(written, read)
    }

    /// The same for a child that has printed something: what it printed of must not count as unread until the next look, and whether
    /// it is behind only two looks with time between them tell.
    pub(crate) fn look_as_it_prints(&mut self, gauges: &Gauges, unread: &OwnedFd) -> Option<HasRead> {
        self.printed_at(gauges.fed.load(Relaxed).saturating_sub(bytes_inside(unread)))
    }

    fn printed_at(&mut self, read: u64) -> Option<HasRead> {
        let now = self.through(read, self.said.is_behind);
        (std::mem::replace(&mut self.said, now) != now).then_some(now)
    }

    fn through(&mut self, read: u64, is_behind: bool) -> HasRead {
        let mut now =
            HasRead { records: self.said.records, bytes: read.saturating_sub(self.header), is_behind };
        while let Some((_, records)) = self.marks.front().copied().filter(|(end, _)| *end <= read) {
            now.records = records;
            self.marks.pop_front();
        }
        now
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn batch(lines: &str) -> Batch {
        Batch::from_terminated(Bytes::from(lines.to_owned()), b'\n')
    }

    #[test]
    fn whole_records_are_counted_and_a_header_is_none() {
        let mut reading = Reading::default();
        reading.given_header(4);
        reading.given(&batch("a\nbb\n"));
        reading.given(&batch("ccc\n"));
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
        reading.given(&batch("a\nb\nc\n"));
        assert_eq!(reading.look_at(6, 0), None);
        assert_eq!(reading.look_at(6, 0).map(|read| read.is_behind), Some(true));
        assert_eq!(reading.printed_at(4), Some(HasRead { records: 2, bytes: 4, is_behind: true }));
        assert_eq!(reading.printed_at(4), None);
        assert!(!reading.is_over());
    }

    #[test]
    fn what_was_written_since_the_last_look_is_not_behind() {
        let mut reading = Reading::default();
        reading.given(&batch("a\nb\nc\n"));
        assert_eq!(reading.look_at(2, 0), None, "it may just have been written");
        assert_eq!(reading.look_at(4, 2).map(|read| read.is_behind), Some(false), "a was read");
        assert_eq!(reading.look_at(6, 2).map(|read| read.is_behind), Some(true), "b was not");
        assert_eq!(reading.look_at(6, 6).map(|read| read.is_behind), Some(false));
    }

    #[test]
    fn few_marks_are_kept_of_many_records_and_none_is_lost_in_the_end() {
        let mut reading = Reading::default();
        for _ in 0..10 {
            reading.given(&batch(&"x\n".repeat(MARKS_MAX)));
        }
        assert!(reading.marks.len() <= MARKS_MAX);
        let all = 10 * MARKS_MAX as u64;
        let half = reading.look_at(2 * all, all).map_or(0, |read| read.records);
        assert!(half <= all / 2 && half > all / 2 - 64, "{half} of {all}");
        assert_eq!(reading.look_at(2 * all, 2 * all).map(|read| read.records), Some(all));
    }
}
