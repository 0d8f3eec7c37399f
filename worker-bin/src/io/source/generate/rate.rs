//! So many records in so much time.

use crate::pipeline::keys::value::{Value, any_of, variable};
use crate::pipeline::reader::{KeyValue, Reader};
use crate::pipeline::text::quoted;
use std::path::Path;
use std::time::{Duration, Instant};

const EXPECTED: &str = "a number above 0 and a unit, such as \"10000/s\", \"90/m\" or \"5/h\"";

/// What a source falls behind by because nothing takes its records; more is not made up for.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// Records that are due within this time are given together.
const TOGETHER: Duration = Duration::from_millis(10);

/// As `10000/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// At least 1.
    records: u64,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

const UNITS: [(&str, Unit); 3] = [("s", Unit::Second), ("m", Unit::Minute), ("h", Unit::Hour)];

impl Rate {
    /// `None` if the text is no rate, or one of nothing.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (records, unit) = text.split_once('/')?;
        let records = records.trim();
        let is_plain = records.bytes().all(|byte| byte.is_ascii_digit());
        let records = records.parse().ok().filter(|&records| is_plain && records > 0)?;
        let (_, unit) = UNITS.into_iter().find(|(word, _)| *word == unit.trim())?;
        Some(Self { records, unit })
    }

    fn unit(self) -> Duration {
        Duration::from_secs(match self.unit {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3600,
        })
    }

    /// Records that are due within `time`.
    fn in_time(self, time: Duration) -> u64 {
        let records = time.as_nanos() * u128::from(self.records) / self.unit().as_nanos();
        u64::try_from(records).unwrap_or(u64::MAX)
    }

    /// The time after which so many `records` are due.
    fn time_for(self, records: u64) -> Duration {
        let nanos = (u128::from(records) * self.unit().as_nanos()).div_ceil(u128::from(self.records));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = UNITS.iter().find(|(_, unit)| *unit == self.unit).map_or("s", |(word, _)| word);
        write!(f, "{}/{word}", self.records)
    }
}

/// A rate as a file writes it.
pub(super) struct RateText;

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
        let rate = r"^\s*[0-9]*[1-9][0-9]*\s*/\s*[smh]\s*$";
        any_of([serde_json::json!({"type": "string", "pattern": rate}), variable()])
    }
}

/// When records are due: the first at once, each after it at its own time from then, so that no wait adds to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    rate: Rate,
    /// When the first was due.
    begun: Instant,
    given: u64,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// So many records, at least one.
    Now(u64),
    Later(Instant),
}

impl Pace {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, begun: now, given: 0 }
    }

    /// What to do at `now`, where no more than `most` can be given.
    pub(super) fn due(&mut self, now: Instant, most: u64) -> Due {
        let elapsed = now.saturating_duration_since(self.begun);
        let behind = elapsed.saturating_sub(self.rate.time_for(self.given));
        if behind > BEHIND_MAX {
            self.begun += behind - BEHIND_MAX;
        }
        let elapsed = now.saturating_duration_since(self.begun);
        let due = self.rate.in_time(elapsed).saturating_add(1).saturating_sub(self.given);
        let together = self.rate.in_time(TOGETHER).clamp(1, most.max(1));
        if due < together && self.given > 0 {
            return Due::Later(self.begun + self.rate.time_for(self.given + together - 1));
        }
        Due::Now(due.clamp(1, most.max(1)))
    }

    pub(super) fn give(&mut self, records: u64) {
        self.given += records;
    }
}
