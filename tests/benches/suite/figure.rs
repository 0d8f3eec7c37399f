//! What was measured: a work, done by somebody, against a limit.

use super::meter::Took;
use worker_tests::spread;

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    /// In the figure's unit.
    pub(crate) value: f64,
    /// Seconds of processor time, of all processes.
    pub(crate) processor: Option<f64>,
}

impl From<Took> for Measure {
    fn from(took: Took) -> Self {
        Self { value: took.wall.as_secs_f64(), processor: Some(took.all.as_secs_f64()) }
    }
}

impl From<f64> for Measure {
    fn from(value: f64) -> Self {
        Self { value, processor: None }
    }
}

/// What is to be reached: of the ratio to the limit or, without one, of the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

impl Aim {
    pub(crate) fn is_reached(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
        }
    }

    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::AtMost(_) => "≤ ",
            Self::AtLeast(_) => "≥ ",
        }
    }

    pub(crate) fn value(self) -> f64 {
        match self {
            Self::AtMost(value) | Self::AtLeast(value) => value,
        }
    }
}

/// The measurements of one work by one contender, round by round.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) row: &'static str,
    pub(crate) work: String,
    /// The worker, another version of it, or another program.
    pub(crate) who: String,
    pub(crate) unit: String,
    /// What it is held against; empty where there is nothing.
    pub(crate) limit: String,
    pub(crate) aim: Option<Aim>,
    pub(crate) measured: Vec<Measure>,
    /// Of the same rounds.
    pub(crate) limits: Vec<Measure>,
    /// Why value and limit are not held against each other, though both are known.
    pub(crate) incomparable: Option<String>,
    /// Why there is nothing, or not everything.
    pub(crate) failure: Option<String>,
}

/// What the figures say of an aim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Reached,
    /// The median does not reach it, and where rounds are far apart not one of them does.
    Missed,
    /// Rounds are too far apart to tell.
    Unsure,
}

impl Verdict {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Reached => "reached",
            Self::Missed => "not reached",
            Self::Unsure => "unsure",
        }
    }
}

/// Which of two values is the good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Less,
    More,
}

impl Better {
    /// Rates count what is done, everything else what it costs.
    pub(crate) fn of(unit: &str) -> Self {
        let is_cost = ["s/GB"].contains(&unit);
        if unit.ends_with("/s") && !is_cost { Self::More } else { Self::Less }
    }
}

/// Rounds of one work that differ by more than this say little.
pub(crate) const SURE: f64 = 1.5;

/// Lowest, median and highest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        if values.is_empty() {
            return None;
        }
        let (low, median, high) = spread(values);
        Some(Self { low, median, high })
    }
}

impl Figure {
    pub(crate) fn new(
        row: &'static str,
        work: impl Into<String>,
        who: impl Into<String>,
        unit: impl Into<String>,
    ) -> Self {
        Self {
            row,
            work: work.into(),
            who: who.into(),
            unit: unit.into(),
            limit: String::new(),
            aim: None,
            measured: Vec::new(),
            limits: Vec::new(),
            incomparable: None,
            failure: None,
        }
    }

    pub(crate) fn against(mut self, limit: impl Into<String>) -> Self {
        self.limit = limit.into();
        self
    }

    pub(crate) fn aim(mut self, aim: Option<Aim>) -> Self {
        self.aim = aim;
        self
    }

    pub(crate) fn failed(mut self, why: impl Into<String>) -> Self {
        self.failure = Some(why.into());
        self
    }

    pub(crate) fn value(&self) -> Option<Spread> {
        Spread::of(self.measured.iter().map(|measure| measure.value))
    }

    pub(crate) fn limit_value(&self) -> Option<Spread> {
        Spread::of(self.limits.iter().map(|measure| measure.value))
    }

    /// To the limit's value, round by round.
    pub(crate) fn ratio(&self) -> Option<Spread> {
        if self.incomparable.is_some() {
            return None;
        }
        Spread::of(self.measured.iter().zip(&self.limits).map(|(ours, limit)| ours.value / limit.value))
    }

    /// To the limit's processor time.
    pub(crate) fn processor_ratio(&self) -> Option<Spread> {
        let both = self.measured.iter().zip(&self.limits);
        Spread::of(both.filter_map(|(ours, limit)| Some(ours.processor? / limit.processor?)))
    }

    pub(crate) fn processor(&self) -> Option<Spread> {
        Spread::of(self.measured.iter().filter_map(|measure| measure.processor))
    }

    /// What the aim is about.
    pub(crate) fn judged(&self) -> Option<Spread> {
        if self.incomparable.is_some() { None } else { self.ratio().or_else(|| self.value()) }
    }

    /// Whether rounds agree, the limit's and those held against it.
    pub(crate) fn is_sure(&self) -> bool {
        [self.value(), self.limit_value()]
            .into_iter()
            .flatten()
            .all(|spread| spread.high <= SURE * spread.low)
    }

    pub(crate) fn verdict(&self) -> Option<Verdict> {
        let (aim, judged) = (self.aim?, self.judged()?);
        let best = match aim {
            Aim::AtMost(_) => judged.low,
            Aim::AtLeast(_) => judged.high,
        };
        Some(match aim.is_reached(judged.median) {
            true if self.is_sure() => Verdict::Reached,
            false if self.is_sure() || !aim.is_reached(best) => Verdict::Missed,
            true | false => Verdict::Unsure,
        })
    }

    /// Rates are to be high, all else is to be low.
    pub(crate) fn better(&self) -> Better {
        Better::of(&self.unit)
    }

    /// One line for whoever watches.
    pub(crate) fn line(&self) -> String {
        let mut line = format!("{} · {} · {}:", self.row, self.work, self.who);
        if let Some(why) = &self.failure {
            line += &format!(" FAILED: {why}");
        }
        if let Some(value) = self.value() {
            line += &format!(" {} {}", number(value.median), self.unit);
        }
        if let Some(ratio) = self.ratio() {
            line += &format!(
                ", {} × {} ({} to {})",
                number(ratio.median),
                self.limit,
                number(ratio.low),
                number(ratio.high)
            );
        } else if let Some(value) = self.value() {
            line += &format!(" ({} to {})", number(value.low), number(value.high));
        }
        if let Some(ratio) = self.processor_ratio() {
            line += &format!(", processor {} ×", number(ratio.median));
        }
        if let Some(why) = &self.incomparable {
            line += &format!("; {why}");
        }
        if let (Some(aim), Some(verdict)) = (self.aim, self.verdict()) {
            line += &format!("; aim {} {}", number(aim.value()), verdict.words());
        }
        line
    }
}

/// Three digits that say something.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        ..0.1 => format!("{value:.4}"),
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The same, thousands and millions as such.
pub(crate) fn compact(value: f64) -> String {
    match value.abs() {
        1e6.. => format!("{} M", number(value / 1e6)),
        1e4.. => format!("{} k", number(value / 1e3)),
        _ => number(value),
    }
}
