//! `rate` and `burst`: how fast a source gives records, and a stage or sink takes them.

use super::value::{Maybe, Value, any_of, variable};
use super::{Class, Key, WhenAbsent};
use crate::pipeline::diagnostics::{At, Problem};
use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::text::quoted;
use crate::text::units::{SIZE_EXPECTED, format_size, parse_size};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use worker_core::config::{self, Measure};

pub(crate) const EXPECTED: &str =
    "a number above 0 and a unit of time, such as \"5000/s\", \"90/m\", \"5/h\" or, in bytes, \"2MiB/s\"";

/// What comes at once where the file does not say: what is due within this time.
const BURST: Duration = Duration::from_millis(100);

/// As `5000/s` or `2MiB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    amount: u64,
    unit: Unit,
    of: Measure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

const UNITS: [(&str, Unit); 3] = [("s", Unit::Second), ("m", Unit::Minute), ("h", Unit::Hour)];

/// The most that comes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Burst {
    /// As a number: of what the rate counts.
    Plain(u64),
    /// As a size.
    Bytes(u64),
}

/// What a source, stage or sink says of its speed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    pub rate: Option<Rate>,
    pub burst: Option<Burst>,
    pub(crate) rate_at: At,
    burst_at: At,
}

impl Rate {
    /// `None` if the text is no rate, or one of nothing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (amount, unit) = text.split_once('/')?;
        let (amount, unit) = (amount.trim(), unit.trim());
        let (_, unit) = UNITS.into_iter().find(|(word, _)| *word == unit)?;
        let is_plain = amount.bytes().all(|byte| byte.is_ascii_digit());
        let of = if is_plain { Measure::Records } else { Measure::Bytes };
        let amount = parse_size(amount).filter(|&amount| amount > 0)?;
        Some(Self { amount, unit, of })
    }

    fn per(self) -> Duration {
        Duration::from_secs(match self.unit {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
        })
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = UNITS.iter().find(|(_, unit)| *unit == self.unit).map_or("s", |(word, _)| word);
        match self.of {
            Measure::Records => write!(f, "{}/{word}", self.amount),
            Measure::Bytes => write!(f, "{}/{word}", format_size(self.amount)),
        }
    }
}

impl Pace {
    /// As the core counts it, where `otherwise` is the rate that the end itself has.
    pub(crate) fn counted(&self, otherwise: Option<Rate>) -> Option<config::Rate> {
        let Rate { amount, of, .. } = self.rate.or(otherwise)?;
        let per = self.rate.or(otherwise)?.per();
        let due = u128::from(amount) * BURST.as_micros() / per.as_micros();
        let burst = match self.burst {
            Some(Burst::Plain(count) | Burst::Bytes(count)) => count,
            None => u64::try_from(due).unwrap_or(u64::MAX).max(1),
        };
        Some(config::Rate { amount, per, of, burst })
    }

    /// What is wrong with the two together, where `otherwise` is the rate that the end itself has.
    pub(crate) fn problem(&self, otherwise: Option<Rate>) -> Option<Problem> {
        if self.rate.is_some() && otherwise.is_some() {
            let title = "`rate` is said twice";
            return Some(
                Problem::at(&self.rate_at, title, "`generate` has one, too").help("leave out one of the two"),
            );
        }
        match (self.burst?, self.rate.or(otherwise).map(|rate| rate.of)) {
            (_, None) => Some(
                Problem::at(&self.burst_at, "`burst` belongs to `rate`", "there is no rate")
                    .help("add one, such as rate = \"5000/s\", or remove this line"),
            ),
            (Burst::Bytes(_), Some(Measure::Records)) => Some(
                Problem::at(&self.burst_at, "`burst` is in bytes and `rate` in records", "expected a number")
                    .help("such as burst = 1000; or give the rate in bytes, too: rate = \"2MiB/s\""),
            ),
            (Burst::Plain(_) | Burst::Bytes(_), Some(_)) => None,
        }
    }
}

pub(crate) const fn rate<S>(
    doc: &'static str,
    get: fn(&S) -> Option<Rate>,
    set: fn(&mut S, Option<Rate>, At),
) -> Key<S, Maybe<RateText>> {
    let when_absent = WhenAbsent::Nothing("no limit");
    Key { name: "rate", class: Class::Tuning, doc, value: Maybe(RateText), when_absent, get, set }
}

pub(crate) const fn burst<S>(
    get: fn(&S) -> Option<Burst>,
    set: fn(&mut S, Option<Burst>, At),
) -> Key<S, Maybe<BurstText>> {
    let when_absent = WhenAbsent::Nothing("what is due in 100ms");
    let doc = "how much may come at once, at the beginning and after a rest: so many records, or bytes where the rate is in bytes";
    Key { name: "burst", class: Class::Tuning, doc, value: Maybe(BurstText), when_absent, get, set }
}

impl Pace {
    pub(crate) fn set_rate(&mut self, rate: Option<Rate>, at: At) {
        (self.rate, self.rate_at) = (rate, at);
    }

    pub(crate) fn set_burst(&mut self, burst: Option<Burst>, at: At) {
        (self.burst, self.burst_at) = (burst, at);
    }
}

/// A rate as a file writes it.
pub(crate) struct RateText;

impl Value for RateText {
    type T = Rate;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Rate> {
        if !entry.is_string() {
            return reader.wrong_type(entry.key, entry.value, EXPECTED);
        }
        let rate = Rate::parse(&reader.string(entry)?);
        rate.or_else(|| reader.not_a(entry, "a rate", EXPECTED))
    }

    fn text(&self, rate: &Rate, _: &Path) -> Option<String> {
        Some(quoted(&rate.to_string()))
    }

    fn schema(&self) -> serde_json::Value {
        let rate = r"^\s*[0-9]*[1-9][0-9]*\s*(B|[KkMmGgTt][Ii]?[Bb])?\s*/\s*[smh]\s*$";
        let (title, examples) = ("a rate such as \"5000/s\" or \"2MiB/s\"", ["5000/s"]);
        any_of([json!({"type": "string", "pattern": rate, "title": title, "examples": examples}), variable()])
    }
}

/// A burst as a file writes it.
pub(crate) struct BurstText;

impl Value for BurstText {
    type T = Burst;

    fn read<'d>(&self, reader: &mut Reader<'d>, entry: &KeyValue<'d>) -> Option<Burst> {
        if entry.value.get_ref().is_integer() {
            return reader.integer(entry.key, entry.value, 1, i64::MAX as u64).map(Burst::Plain);
        }
        if !entry.is_string() {
            return reader.wrong_type(entry.key, entry.value, "a whole number, or a size such as \"64KiB\"");
        }
        let text = reader.string(entry)?;
        let is_plain = text.trim().bytes().all(|byte| byte.is_ascii_digit());
        match parse_size(&text).filter(|&size| size > 0) {
            Some(count) if is_plain => Some(Burst::Plain(count)),
            Some(bytes) => Some(Burst::Bytes(bytes)),
            None => reader.not_a(entry, "a burst", SIZE_EXPECTED),
        }
    }

    fn text(&self, burst: &Burst, _: &Path) -> Option<String> {
        Some(match burst {
            Burst::Plain(count) => count.to_string(),
            Burst::Bytes(bytes) => quoted(&format_size(*bytes)),
        })
    }

    fn schema(&self) -> serde_json::Value {
        super::value::Size.schema()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers_or_sizes_with_a_unit_of_time() {
        for (text, printed) in [
            ("5000/s", "5000/s"),
            (" 90 / m ", "90/m"),
            ("5/h", "5/h"),
            ("2MiB/s", "2MiB/s"),
            ("64 KB/s", "64000B/s"),
        ] {
            assert_eq!(Rate::parse(text).map(|rate| rate.to_string()).as_deref(), Some(printed), "{text}");
        }
        let bad = [
            "5000",
            "0/s",
            "-1/s",
            "abc",
            "/s",
            "5/",
            "5/d",
            "1.5/s",
            "99999999999999999999/s",
            "99999999999TiB/s",
        ];
        for text in bad {
            assert_eq!(Rate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_burst_is_what_is_due_in_a_tenth_of_a_second_and_at_least_one() {
        for (text, burst) in [("5000/s", 500), ("90/m", 1), ("5/h", 1), ("1MB/s", 100_000)] {
            let pace = Pace { rate: Rate::parse(text), ..Pace::default() };
            assert_eq!(pace.counted(None).map(|rate| rate.burst), Some(burst), "{text}");
        }
        let pace = Pace { rate: Rate::parse("5/s"), burst: Some(Burst::Plain(7)), ..Pace::default() };
        assert_eq!(pace.counted(None).map(|rate| rate.burst), Some(7));
    }
}
