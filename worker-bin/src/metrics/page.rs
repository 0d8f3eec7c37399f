//! Families of metrics, given one after another to whoever writes them in their form.

use std::fmt;
use worker_core::status::Latencies;

/// The labels of one sample.
pub(crate) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// What has one name.
#[derive(Debug)]
pub(crate) struct Family<'a> {
    /// With its unit, without the ending of its kind.
    pub(crate) name: &'a str,
    pub(crate) help: &'a str,
    pub(crate) kind: FamilyKind,
    pub(crate) samples: Vec<(Labels<'a>, Value<'a>)>,
}

/// How values of a family behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FamilyKind {
    Counter,
    /// They go up and down.
    Gauge,
    /// They are distributions of durations.
    Histogram,
    /// Their labels are what they say.
    Info,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Count(u64),
    Amount(f64),
    Took(&'a Latencies),
    Info,
}

/// Takes families as they come.
pub(crate) type Sink<'a> = dyn FnMut(&Family<'_>) -> fmt::Result + 'a;

/// What is being written.
pub(super) struct Page<'a, 's>(&'a mut Sink<'s>);

impl<'a, 's> Page<'a, 's> {
    pub(super) fn new(sink: &'a mut Sink<'s>) -> Self {
        Self(sink)
    }

    pub(super) fn counters<'l, V: Into<Value<'l>>>(
        &mut self,
        name: &'l str,
        help: &'l str,
        samples: impl IntoIterator<Item = (Labels<'l>, V)>,
    ) -> fmt::Result {
        let samples = samples.into_iter().map(|(labels, value)| (labels, value.into()));
        self.family(name, help, FamilyKind::Counter, samples.collect())
    }

    pub(super) fn gauges<'l>(
        &mut self,
        name: &'l str,
        help: &'l str,
        samples: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        let samples = samples.into_iter().map(|(labels, value)| (labels, Value::Amount(value)));
        self.family(name, help, FamilyKind::Gauge, samples.collect())
    }

    pub(super) fn histograms<'l>(
        &mut self,
        name: &'l str,
        help: &'l str,
        samples: impl IntoIterator<Item = (Labels<'l>, &'l Latencies)>,
    ) -> fmt::Result {
        let samples = samples.into_iter().map(|(labels, took)| (labels, Value::Took(took)));
        self.family(name, help, FamilyKind::Histogram, samples.collect())
    }

    pub(super) fn infos<'l>(
        &mut self,
        name: &'l str,
        help: &'l str,
        samples: impl IntoIterator<Item = Labels<'l>>,
    ) -> fmt::Result {
        let samples = samples.into_iter().map(|labels| (labels, Value::Info));
        self.family(name, help, FamilyKind::Info, samples.collect())
    }

    fn family<'l>(
        &mut self,
        name: &'l str,
        help: &'l str,
        kind: FamilyKind,
        samples: Vec<(Labels<'l>, Value<'l>)>,
    ) -> fmt::Result {
        (self.0)(&Family { name, help, kind, samples })
    }
}

impl From<u64> for Value<'_> {
    fn from(count: u64) -> Self {
        Value::Count(count)
    }
}

impl From<f64> for Value<'_> {
    fn from(amount: f64) -> Self {
        Value::Amount(amount)
    }
}
