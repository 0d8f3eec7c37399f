//! From values to places on an axis.

use super::{Bar, Place};

/// Medians further apart than this are shown by their powers of ten.
const WIDE: f64 = 60.0;

/// A whisker may make the axis so much longer than medians and aims need; one that is longer is cut off.
const ROOM: f64 = 1.5;

/// How many steps an axis has, about.
const STEPS: f64 = 7.0;

#[derive(Debug)]
pub(super) struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
    place: Place,
}

/// Where a value is, or at which end it is beyond.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum At {
    Inside(f64),
    Before(f64),
    Beyond(f64),
}

impl At {
    pub(super) fn x(self) -> f64 {
        match self {
            Self::Inside(x) | Self::Before(x) | Self::Beyond(x) => x,
        }
    }
}

impl Scale {
    pub(super) fn of(bars: &[Bar], place: Place) -> Self {
        let shown = bars.iter().flat_map(|bar| {
            let aim = bar.figure.aim.filter(|_| bar.figure.verdict().is_some()).map(|aim| aim.value());
            [Some(bar.spread.median), aim, bar.is_ratio.then_some(1.0)].into_iter().flatten()
        });
        let shown: Vec<f64> = shown.filter(|value| *value > 0.0).collect();
        let most = shown.iter().copied().fold(0.0, f64::max);
        let least = shown.iter().copied().fold(f64::INFINITY, f64::min);
        if most > WIDE * least {
            let (low, high) = (10_f64.powf(least.log10().floor()), 10_f64.powf(most.log10().ceil()));
            return Self { low, high, is_log: true, place };
        }
        let whisker = bars.iter().map(|bar| bar.spread.high).fold(0.0, f64::max);
        let need = if whisker <= ROOM * most { most.max(whisker) } else { 1.1 * most };
        let need = if need > 0.0 { need } else { 1.0 };
        let step = step(need);
        Self { low: 0.0, high: (need / step).ceil() * step, is_log: false, place }
    }

    pub(super) fn at(&self, value: f64) -> At {
        let share = if self.is_log {
            (value.max(f64::MIN_POSITIVE) / self.low).log10() / (self.high / self.low).log10()
        } else {
            value / self.high
        };
        let x = |share: f64| self.place.left + self.place.width * share;
        match share {
            ..-0.001 => At::Before(x(0.0)),
            1.001.. => At::Beyond(x(1.0)),
            _ => At::Inside(x(share)),
        }
    }

    /// Each with whether it has a label.
    pub(super) fn ticks(&self) -> Vec<(f64, bool)> {
        let mut ticks = Vec::new();
        if self.is_log {
            let mut decade = self.low;
            while decade <= self.high * 1.001 {
                ticks.push((decade, true));
                ticks.extend([2.0, 5.0].map(|part| (part * decade, false)));
                decade *= 10.0;
            }
            ticks.retain(|(value, _)| *value <= self.high * 1.001);
        } else {
            let step = step(self.high);
            let mut count = 0.0;
            while count * step <= self.high * 1.001 {
                ticks.push((count * step, true));
                count += 1.0;
            }
        }
        ticks
    }

    pub(super) fn is_log(&self) -> bool {
        self.is_log
    }
}

/// 1, 2 or 5 of a power of ten.
fn step(most: f64) -> f64 {
    let about = most / STEPS;
    let power = 10_f64.powf(about.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|part| part * power);
    steps.into_iter().find(|step| *step >= about * 0.999).unwrap_or(10.0 * power)
}
