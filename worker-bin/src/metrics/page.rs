//! Families of metrics, written one after another.

use prometheus_client::encoding::{DescriptorEncoder, EncodeCounterValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use std::fmt;
use std::time::Duration;
use worker_core::status::{LATENCY_BOUNDS_US, Latencies};

/// The labels of one sample.
pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;

/// The document that is being written.
#[derive(Debug)]
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl<'a> Page<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// A family that only grows; `_total` comes behind its name.
    pub(super) fn counters<'l, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l>, V)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |metric| {
            samples.into_iter().try_for_each(|(labels, value)| {
                metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
            })
        })
    }

    /// A family that goes up and down.
    pub(super) fn gauges<'l>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l>, f64)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, |metric| {
            samples
                .into_iter()
                .try_for_each(|(labels, value)| metric.encode_family(&labels)?.encode_gauge(&value))
        })
    }

    /// A family of distributions of durations.
    pub(super) fn histograms<'l>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l>, &'l Latencies)>,
    ) -> fmt::Result {
        let bounds = LATENCY_BOUNDS_US.iter().map(|us| Duration::from_micros(*us).as_secs_f64());
        let bounds: Vec<f64> = bounds.chain([f64::INFINITY]).collect();
        self.family(name, help, MetricType::Histogram, |metric| {
            samples.into_iter().try_for_each(|(labels, took)| {
                let buckets: Vec<_> = bounds.iter().copied().zip(took.counts).collect();
                let mut metric = metric.encode_family(&labels)?;
                metric.encode_histogram::<NoLabelSet>(took.sum.as_secs_f64(), took.count(), &buckets, None)
            })
        })
    }

    /// A family whose labels are what it says; `_info` comes behind its name.
    pub(super) fn infos<'l>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Labels<'l>>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Info, |metric| {
            samples.into_iter().try_for_each(|labels| metric.encode_info(&labels))
        })
    }

    fn family(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let units = [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)];
        let split = units.into_iter().find_map(|(end, unit)| Some((name.strip_suffix(end)?, unit)));
        let (stem, unit) = split.map_or((name, None), |(stem, unit)| (stem, Some(unit)));
        samples(&mut self.0.encode_descriptor(stem, help, unit.as_ref(), kind)?)
    }
}
