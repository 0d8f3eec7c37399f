//! One file of the spill: what of it is live, and what can be given back.

use rustix::fs::FallocateFlags;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

/// What file systems allocate and give back at once, in bytes.
const BLOCK_BYTES: u64 = 4096;

/// An append-only file without a name.
#[derive(Debug)]
pub(super) struct Segment {
    file: Arc<File>,
    end: u64,
    live_bytes: u64,
    dead: DeadRanges,
}

/// A range of a file that nobody will read again.
#[derive(Debug)]
pub(super) struct Hole {
    file: Arc<File>,
    range: Range<u64>,
}

impl Segment {
    pub(super) fn new(file: File) -> Self {
        Self { file: Arc::new(file), end: 0, live_bytes: 0, dead: DeadRanges::default() }
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Whether `bytes` more stay within `limit`; an empty segment takes anything.
    pub(super) fn has_room(&self, bytes: u64, limit: u64) -> bool {
        self.end == 0 || self.end + bytes <= limit
    }

    /// Counts `bytes` at the end as live and says where they go.
    pub(super) fn append(&mut self, bytes: u64) -> u64 {
        let offset = self.end;
        self.end += bytes;
        self.live_bytes += bytes;
        offset
    }

    /// Counts a range as dead and says what can be given back now.
    pub(super) fn free(&mut self, offset: u64, bytes: u64) -> Option<Hole> {
        self.live_bytes -= bytes;
        let range = self.dead.add(offset..offset + bytes);
        (!range.is_empty()).then(|| Hole { file: Arc::clone(&self.file), range })
    }

    /// Whether nothing in it is live.
    pub(super) fn is_dead(&self) -> bool {
        self.live_bytes == 0
    }
}

impl Hole {
    /// Gives the blocks back; a file system that cannot keeps them until the file is closed.
    pub(super) fn punch(&self) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&self.file, flags, self.range.start, self.range.end - self.range.start).ok();
    }
}

/// Dead bytes, neighbours joined: start → end.
#[derive(Debug, Default)]
struct DeadRanges(BTreeMap<u64, u64>);

impl DeadRanges {
    /// Adds a range that is not dead yet; gives the whole blocks that have become dead with it.
    fn add(&mut self, range: Range<u64>) -> Range<u64> {
        let mut joined = range.clone();
        if let Some((&start, &end)) = self.0.range(..range.start).next_back()
            && end == range.start
        {
            joined.start = start;
        }
        if let Some(end) = self.0.remove(&range.end) {
            joined.end = end;
        }
        self.0.insert(joined.start, joined.end);
        let start = up(joined.start).max(down(range.start));
        let end = down(joined.end).min(up(range.end));
        start..end
    }
}

fn down(offset: u64) -> u64 {
    offset - offset % BLOCK_BYTES
}

fn up(offset: u64) -> u64 {
    down(offset + BLOCK_BYTES - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_given_back_once_all_of_it_is_dead() {
        let mut dead = DeadRanges::default();
        assert!(dead.add(0..1000).is_empty());
        assert!(dead.add(3000..5000).is_empty());
        assert_eq!(dead.add(1000..3000), 0..4096);
        assert_eq!(dead.add(5000..13_000), 4096..12_288);
        assert_eq!(dead.0, BTreeMap::from([(0, 13_000)]));
    }

    #[test]
    fn live_neighbours_keep_the_blocks_they_share() {
        let mut dead = DeadRanges::default();
        assert_eq!(dead.add(100..12_000), 4096..8192);
        assert_eq!(dead.add(12_000..12_288), 8192..12_288);
    }
}
