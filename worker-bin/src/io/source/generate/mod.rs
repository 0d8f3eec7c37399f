//! Records made from a seed, for trying pipelines.
//!
//! Each is a function of the seed and its number alone, so that a position is a number and every life makes the same ones.

mod reader;
mod records;

use super::{AnySource, Ending, Opened, Opening, SourceEnd, SourceError};
use crate::io::framing::Framing;
use crate::io::resource::Resource;
use crate::io::shared::Shared;
use crate::pipeline::keys::kind::End;
use crate::pipeline::keys::rate::{Rate, RateText};
use crate::pipeline::keys::source::Source;
use crate::pipeline::keys::value::{Integer, Maybe};
use crate::pipeline::keys::{Class, Inline, Key, Keys, Section, WhenAbsent, program};
use crate::pipeline::{At, Problem};
use crate::text::units::number;
use reader::GeneratedSource;
use records::Records;
use std::path::Path;
use std::sync::Arc;

/// Records to be made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Generate {
    /// How many; `None`: without end.
    records: Option<u64>,
    /// Length of each, without its terminator.
    bytes: u64,
    /// How many different keys they have.
    keys: u64,
    /// `None`: as fast as they are taken.
    rate: Option<Rate>,
    seed: u64,
    at: At,
}

impl Section for Generate {
    fn defaults(_: &Path) -> Self {
        Self { records: None, bytes: 100, keys: 1000, rate: None, seed: 1, at: At::default() }
    }
}

pub(super) const KIND: End<AnySource, Generate> = End {
    keys: &[&Inline::<Generate> {
        name: "generate",
        doc: "records made from a seed, such as `k00123 456 mboanigh`: a key, a number and letters",
        keys: KEYS,
        check: |_| None,
    }],
    make: |generate, at| Shared(Arc::new(Generate { at, ..generate })),
    of: Shared::of,
    is_meant: |_, _| true,
    misplaced: program::misplaced,
};

const KEYS: Keys<Generate> = &[
    &Key::<Generate, _> {
        name: "records",
        class: Class::Results,
        doc: "how many records are made",
        value: Maybe(COUNT),
        when_absent: WhenAbsent::Nothing("without end"),
        get: |generate| generate.records,
        set: |generate, records, _| generate.records = records,
    },
    &Key::<Generate, _> {
        name: "bytes",
        class: Class::Results,
        doc: "how long each record is, without its terminator",
        value: COUNT,
        when_absent: WhenAbsent::Default,
        get: |generate| generate.bytes,
        set: |generate, bytes, _| generate.bytes = bytes,
    },
    &Key::<Generate, _> {
        name: "keys",
        class: Class::Results,
        doc: "how many different keys the records have",
        value: COUNT,
        when_absent: WhenAbsent::Default,
        get: |generate| generate.keys,
        set: |generate, keys, _| generate.keys = keys,
    },
    &Key::<Generate, _> {
        name: "rate",
        class: Class::Tuning,
        doc: "how fast they are made at most: so many records a second, minute (/m) or hour (/h)",
        value: Maybe(RateText),
        when_absent: WhenAbsent::Nothing("as fast as they are taken"),
        get: |generate| generate.rate,
        set: |generate, rate, _| generate.rate = rate,
    },
    &Key::<Generate, _> {
        name: "seed",
        class: Class::Results,
        doc: "which records are made: another number makes others",
        value: Integer { least: 0, most: MOST },
        when_absent: WhenAbsent::Default,
        get: |generate| generate.seed,
        set: |generate, seed, _| generate.seed = seed,
    },
];

/// Largest number that a file can hold.
const MOST: u64 = i64::MAX as u64;

const COUNT: Integer = Integer { least: 1, most: MOST };

impl SourceEnd for Generate {
    fn describe(&self) -> String {
        let records = self
            .records
            .map_or_else(|| "records".to_owned(), |records| format!("{} records", number(records)));
        let rate = self.rate.map_or_else(String::new, |rate| format!(", {rate}"));
        format!("generates {records} of {} bytes{rate}", number(self.bytes))
    }

    fn at(&self) -> Option<&At> {
        Some(&self.at)
    }

    fn holds(&self, _: &Path) -> Vec<Resource> {
        Vec::new()
    }

    fn local(&self) -> Option<&'static str> {
        None
    }

    fn rate(&self) -> Option<Rate> {
        self.rate
    }

    fn ending(&self) -> Ending {
        if self.records.is_some() { Ending::Certain } else { Ending::Never }
    }

    fn at_a_crash(&self) -> Option<&'static str> {
        None
    }

    fn may_begin_with_header(&self) -> bool {
        false
    }

    fn check(&self, source: &Source, max_record_bytes: u64) -> Option<Problem> {
        let framing = &source.framing;
        let least = self.made().bytes_min(self.records.unwrap_or(u64::MAX));
        let (title, label) = if self.bytes < least {
            (
                "generated records are too short",
                format!("`bytes` has to be at least {least}: key, number and a letter"),
            )
        } else if self.bytes > max_record_bytes {
            (
                "generated records are too long",
                format!("`bytes` may be at most `max_record`, {max_record_bytes}"),
            )
        } else if !framing.is_of_one_line() && *framing != Framing::Csv {
            let label =
                format!("`framing` says {}; leave it out, or use \"csv\" or \"nul\"", framing.words());
            ("generated records are lines", label)
        } else {
            return None;
        };
        Some(Problem::at(&self.at, title, label))
    }

    fn open(&self, opening: &Opening<'_>) -> Result<Opened, SourceError> {
        Ok(Opened::Reader(Box::new(GeneratedSource::open(self, opening)?)))
    }
}

impl Generate {
    fn made(&self) -> Records {
        Records { seed: self.seed, keys: self.keys, bytes: self.bytes }
    }
}

#[cfg(test)]
mod tests;
