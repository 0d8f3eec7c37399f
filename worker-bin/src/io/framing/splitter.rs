//! Finding where records end, in bytes that come in arbitrary pieces.

use super::Framing;
use super::csv::Csv;
use super::json::Json;
use super::lines::Counted;
use super::measured::Measured;
use super::pattern::{Ends, Starts};

/// Finds where records end, one after the other.
///
/// [`Splitter::find`] is given the record from its beginning, as far as it is at hand, and how much of that it has seen before: it
/// looks at each byte once, whatever pieces they come in (of `start`, at the first line of a record twice). What it knows between
/// two calls takes constant memory. At a record's beginning it knows nothing, so a later life can begin there.
#[derive(Debug)]
pub(in crate::io) enum Splitter {
    /// Looked for by whoever splits, without going through this for each record.
    Byte(u8),
    Csv(Csv),
    Counted(Counted),
    Starts(Starts),
    Ends(Ends),
    Measured(Measured),
    Json(Json),
}

/// What looking for the end of a record has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::io) enum Found {
    /// It has so many bytes; the next one begins behind it.
    End(usize),
    /// Its end is not at hand. So many bytes are its own whatever comes, and need not be kept for it to be found.
    More(usize),
}

/// What the last record is where nothing comes behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::io) enum Last {
    Whole,
    /// It is none: blanks behind the last one.
    Blank,
    /// It breaks off: how, as in "it has 3 of its 4 lines".
    Torn(String),
}

impl Splitter {
    pub(super) fn of(framing: &Framing) -> Self {
        match framing {
            Framing::Lines => Self::Byte(b'\n'),
            Framing::Nul => Self::Byte(0),
            Framing::Csv => Self::Csv(Csv::default()),
            Framing::Start(pattern) => Self::Starts(Starts::new(pattern.clone())),
            Framing::End(pattern) => Self::Ends(Ends::new(pattern.clone())),
            Framing::Count(lines) => Self::Counted(Counted::new(*lines)),
            Framing::Length(bytes) => Self::Measured(Measured::fixed(*bytes)),
            Framing::Prefix(prefix) => Self::Measured(Measured::prefixed(*prefix)),
            Framing::Json => Self::Json(Json::default()),
        }
    }

    /// Looks for the end of `record`, of which it has seen `seen` bytes; behind an end it is at a beginning.
    pub(in crate::io) fn find(&mut self, record: &[u8], seen: usize) -> Found {
        let found = match self {
            Self::Byte(byte) => match memchr::memchr(*byte, &record[seen..]) {
                Some(at) => Found::End(seen + at + 1),
                None => Found::More(record.len()),
            },
            Self::Csv(csv) => csv.find(record, seen),
            Self::Counted(counted) => counted.find(record, seen),
            Self::Starts(starts) => starts.find(record, seen),
            Self::Ends(ends) => ends.find(record, seen),
            Self::Measured(measured) => measured.find(record),
            Self::Json(json) => json.find(record, seen),
        };
        if matches!(found, Found::End(_)) {
            self.begin();
        }
        found
    }

    /// The first `bytes` of the record are not at hand any more: at most as many as it said that need not be kept.
    pub(in crate::io) fn drop_front(&mut self, bytes: usize) {
        match self {
            Self::Byte(_) | Self::Counted(_) | Self::Json(_) => {}
            Self::Csv(csv) => csv.drop_front(bytes),
            Self::Starts(starts) => starts.drop_front(bytes),
            Self::Ends(ends) => ends.drop_front(bytes),
            Self::Measured(measured) => measured.drop_front(bytes),
        }
    }

    /// A record begins.
    pub(in crate::io) fn begin(&mut self) {
        match self {
            Self::Byte(_) => {}
            Self::Csv(csv) => *csv = Csv::default(),
            Self::Counted(counted) => counted.begin(),
            Self::Starts(starts) => starts.begin(),
            Self::Ends(ends) => ends.begin(),
            Self::Measured(measured) => measured.begin(),
            Self::Json(json) => *json = Json::default(),
        }
    }

    /// Whether only what comes next can tell that `record`, none of which is unseen, is at its end: it looks whole.
    pub(in crate::io) fn looks_whole(&self, record: &[u8]) -> bool {
        match self {
            Self::Starts(_) => record.last() == Some(&b'\n'),
            Self::Json(json) => json.is_closed(),
            Self::Byte(_) | Self::Csv(_) | Self::Counted(_) | Self::Ends(_) | Self::Measured(_) => false,
        }
    }

    /// What `record` is, none of which is unseen, where nothing comes behind it.
    pub(in crate::io) fn last(&self, record: &[u8]) -> Last {
        match self {
            Self::Byte(_) | Self::Starts(_) | Self::Ends(_) => Last::Whole,
            Self::Csv(csv) => csv.last(),
            Self::Counted(counted) => counted.last(record),
            Self::Measured(measured) => measured.last(record),
            Self::Json(json) => json.last(),
        }
    }
}
