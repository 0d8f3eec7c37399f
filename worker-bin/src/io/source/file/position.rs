//! Where the records given so far end, in the terms of the files they came from.

use crate::io::layout::{LayoutError, Reader, Tag, Writer};
use crate::io::source::stream::Extent;
use bytes::Bytes;
use std::collections::VecDeque;

const FILES_TAG: Tag = *b"WSF1";

/// The next record of a list of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Index of its file; the number of files at the end.
    pub(super) file: usize,
    /// What comes before it in that file.
    pub(super) within: Extent,
}

/// The position of a source that reads files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FilesPosition {
    /// Of the list of files.
    pub(super) list: u64,
    pub(super) next: Position,
    /// Records given, in all lives.
    pub(super) records: u64,
}

impl FilesPosition {
    pub(super) fn encode(&self) -> Bytes {
        let Position { file, within } = self.next;
        let position = Writer::new(FILES_TAG).number(self.list).number(file as u64);
        position.number(within.bytes).number(within.records).number(self.records).finish().into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, LayoutError> {
        let mut reader = Reader::new(bytes, FILES_TAG)?;
        let list = reader.number()?;
        let file = usize::try_from(reader.number()?).map_err(|_| LayoutError::Contradiction)?;
        let within = Extent { bytes: reader.number()?, records: reader.number()? };
        let records = reader.number()?;
        reader.finish()?;
        Ok(Self { list, next: Position { file, within }, records })
    }
}

/// Where each file begins in the stream of bytes that goes through the chunker, from the file of the next record on.
#[derive(Debug)]
pub(super) struct Track {
    starts: VecDeque<Start>,
    given: Extent,
}

#[derive(Clone, Copy, Debug)]
struct Start {
    /// Where it is in the files …
    at: Position,
    /// … and in the stream.
    stream: Extent,
}

impl Track {
    /// Reading starts at `at`.
    pub(super) fn new(at: Position) -> Self {
        Self { starts: [Start { at, stream: Extent::default() }].into(), given: Extent::default() }
    }

    /// File `file` begins where the stream has got to.
    pub(super) fn begin(&mut self, file: usize, stream: Extent) {
        let at = Position { file, within: Extent::default() };
        self.starts.push_back(Start { at, stream });
        self.forget();
    }

    /// These, the next of the stream, were given.
    pub(super) fn give(&mut self, given: Extent) {
        self.given = self.given + given;
        self.forget();
    }

    /// Where the next record to be given is.
    pub(super) fn next(&self) -> Position {
        self.starts.front().map_or_else(Position::default, |start| start.locate(self.given))
    }

    /// Where `stream` lies in `file`, if that file is at hand.
    pub(super) fn within(&self, file: usize, stream: Extent) -> Extent {
        let start = self.starts.iter().find(|start| start.at.file == file);
        start.map_or(stream, |start| start.locate(stream).within)
    }

    /// Files that are given whole.
    fn forget(&mut self) {
        while self.starts.get(1).is_some_and(|next| next.stream.bytes <= self.given.bytes) {
            self.starts.pop_front();
        }
    }
}

impl Start {
    fn locate(&self, stream: Extent) -> Position {
        Position { file: self.at.file, within: self.at.within + (stream - self.stream) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(bytes: u64, records: u64) -> Extent {
        Extent { bytes, records }
    }

    #[test]
    fn positions_are_told_in_files_whatever_a_chunk_spans() {
        let mut track = Track::new(Position { file: 2, within: extent(100, 10) });
        assert_eq!(track.next(), Position { file: 2, within: extent(100, 10) });
        track.begin(3, extent(50, 5));
        track.begin(4, extent(50, 5));
        track.begin(5, extent(80, 8));
        track.give(extent(20, 2));
        assert_eq!(track.next(), Position { file: 2, within: extent(120, 12) });
        assert_eq!(track.within(5, extent(90, 9)), extent(10, 1));
        track.give(extent(30, 3));
        assert_eq!(track.next(), Position { file: 4, within: extent(0, 0) }, "file 3 is empty");
        track.give(extent(31, 4));
        assert_eq!(track.next(), Position { file: 5, within: extent(1, 1) });
    }

    #[test]
    fn positions_keep_their_layout() {
        let position = FilesPosition {
            list: 0x1122_3344_5566_7788,
            next: Position { file: 3, within: extent(0x1000, 7) },
            records: 9,
        };
        let text =
            [b"WSF1", &[0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11][..], &[3, 0, 0, 0, 0, 0, 0, 0]];
        let numbers =
            [&[0, 0x10, 0, 0, 0, 0, 0, 0][..], &[7, 0, 0, 0, 0, 0, 0, 0], &[9, 0, 0, 0, 0, 0, 0, 0]];
        let bytes = [text.concat(), numbers.concat()].concat();
        assert_eq!(position.encode(), bytes);
        assert_eq!(FilesPosition::decode(&bytes), Ok(position));
    }
}
