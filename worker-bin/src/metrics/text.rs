//! OpenMetrics text, and the plain text of Prometheus.

use super::page::{Family, FamilyKind, Value};
use super::{Form, Scrape};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use worker_core::status::LATENCY_BOUNDS_US;

impl Scrape {
    #[must_use]
    pub fn render(self, form: Form) -> String {
        let label = |name: &'static str, value: &str| (name.into(), value.to_owned().into());
        let labels = [label("pipeline", &self.snapshot.pipeline), label("node", &self.snapshot.node)];
        let mut registry = Registry::with_labels(labels.into_iter());
        registry.register_collector(Box::new(self));
        let mut page = String::new();
        // A string takes everything.
        match form {
            Form::OpenMetrics => text::encode(&mut page, &registry).ok(),
            Form::Plain => prometheus_text::encode(&mut page, &registry).ok(),
        };
        page
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.families(&mut |family| write(family, &mut encoder))
    }
}

fn write(family: &Family<'_>, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let units = [("_seconds", Unit::Seconds), ("_bytes", Unit::Bytes)];
    let split = units.into_iter().find_map(|(end, unit)| Some((family.name.strip_suffix(end)?, unit)));
    let (stem, unit) = split.map_or((family.name, None), |(stem, unit)| (stem, Some(unit)));
    let kind = match family.kind {
        FamilyKind::Counter => MetricType::Counter,
        FamilyKind::Gauge => MetricType::Gauge,
        FamilyKind::Histogram => MetricType::Histogram,
        FamilyKind::Info => MetricType::Info,
    };
    let mut metric = encoder.encode_descriptor(stem, family.help, unit.as_ref(), kind)?;
    for (labels, value) in &family.samples {
        match (family.kind, value) {
            (FamilyKind::Info, _) | (_, Value::Info) => metric.encode_info(labels)?,
            (FamilyKind::Counter, Value::Count(count)) => {
                metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, f64>(count, None)?;
            }
            (FamilyKind::Counter, Value::Amount(amount)) => {
                metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, f64>(amount, None)?;
            }
            (_, Value::Count(count)) => metric.encode_family(labels)?.encode_gauge(count)?,
            (_, Value::Amount(amount)) => metric.encode_family(labels)?.encode_gauge(amount)?,
            (_, Value::Took(took)) => {
                let bounds = super::bounds_s().chain([f64::INFINITY]);
                let buckets: [(f64, u64); LATENCY_BOUNDS_US.len() + 1] = zip(bounds, took.counts);
                let mut metric = metric.encode_family(labels)?;
                let sum = took.sum.as_secs_f64();
                metric.encode_histogram::<NoLabelSet>(sum, took.count(), &buckets, None)?;
            }
        }
    }
    Ok(())
}

fn zip<const N: usize>(bounds: impl Iterator<Item = f64>, counts: [u64; N]) -> [(f64, u64); N] {
    let mut buckets = counts.map(|count| (0.0, count));
    buckets.iter_mut().zip(bounds).for_each(|(bucket, bound)| bucket.0 = bound);
    buckets
}
