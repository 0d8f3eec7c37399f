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
    pub(crate) unit: &'static str,
    /// What it is held against; empty where there is nothing.
    pub(crate) limit: String,
    pub(crate) aim: Option<Aim>,
    pub(crate) measured: Vec<Measure>,
    /// Of the same rounds.
    pub(crate) limits: Vec<Measure>,
    /// Why there is nothing, or not everything.
    pub(crate) failure: Option<String>,
}

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
        unit: &'static str,
    ) -> Self {
        Self {
            row,
            work: work.into(),
            who: who.into(),
            unit,
            limit: String::new(),
            aim: None,
            measured: Vec::new(),
            limits: Vec::new(),
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
    pub(crate) fn judged(&self) -> Option<f64> {
        self.ratio().or_else(|| self.value()).map(|spread| spread.median)
    }

    pub(crate) fn is_reached(&self) -> Option<bool> {
        Some(self.aim?.is_reached(self.judged()?))
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
        match self.is_reached() {
            Some(true) => line += &format!("; aim {} reached", number(self.aim.map_or(0.0, Aim::value))),
            Some(false) => line += &format!("; aim {} MISSED", number(self.aim.map_or(0.0, Aim::value))),
            None => {}
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
