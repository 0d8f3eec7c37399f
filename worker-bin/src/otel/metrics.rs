//! Metrics as OTLP has them.

use crate::metrics::{Family, FamilyKind, Labels, Scrape, Value, bounds_s};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;

/// One export: every family of a scrape, counters and distributions since the start of the run.
pub(super) fn encode(
    scrape: &Scrape,
    resource: &ResourceAttributesWithSchema,
) -> ExportMetricsServiceRequest {
    let nanos = |ms: u64| ms.saturating_mul(1_000_000);
    let times = (nanos(scrape.snapshot.started_ms), nanos(scrape.snapshot.at_ms));
    let mut metrics = Vec::new();
    // Taking them cannot fail.
    scrape
        .families(&mut |family| {
            metrics.push(of(family, times));
            Ok(())
        })
        .ok();
    let scope = InstrumentationScope { name: "worker".into(), ..InstrumentationScope::default() };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() }];
    let resource = Resource { attributes: resource.attributes.0.clone(), ..Resource::default() };
    let all = ResourceMetrics { resource: Some(resource), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![all] }
}

fn of(family: &Family<'_>, (begun, now): (u64, u64)) -> Metric {
    let aggregation_temporality = AggregationTemporality::Cumulative.into();
    let numbers = || {
        let point = |(labels, value): &(Labels<'_>, Value<'_>)| NumberDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: if family.kind == FamilyKind::Counter { begun } else { 0 },
            time_unix_nano: now,
            value: Some(match value {
                Value::Count(count) => {
                    number_data_point::Value::AsInt(i64::try_from(*count).unwrap_or(i64::MAX))
                }
                Value::Amount(amount) => number_data_point::Value::AsDouble(*amount),
                Value::Info | Value::Took(_) => number_data_point::Value::AsInt(1),
            }),
            ..NumberDataPoint::default()
        };
        family.samples.iter().map(point).collect()
    };
    let data = match family.kind {
        FamilyKind::Counter => {
            metric::Data::Sum(Sum { data_points: numbers(), aggregation_temporality, is_monotonic: true })
        }
        FamilyKind::Gauge | FamilyKind::Info => metric::Data::Gauge(Gauge { data_points: numbers() }),
        FamilyKind::Histogram => {
            let data_points =
                family.samples.iter().filter_map(|sample| distribution(sample, begun, now)).collect();
            metric::Data::Histogram(Histogram { data_points, aggregation_temporality })
        }
    };
    let units = [("_seconds", "s"), ("_bytes", "By")];
    let unit = units.iter().find(|(end, _)| family.name.ends_with(end)).map_or("1", |(_, unit)| unit);
    let end = if family.kind == FamilyKind::Info { "_info" } else { "" };
    Metric {
        name: format!("{}{end}", family.name),
        description: family.help.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

fn distribution(
    (labels, value): &(Labels<'_>, Value<'_>),
    begun: u64,
    now: u64,
) -> Option<HistogramDataPoint> {
    let Value::Took(took) = value else { return None };
    Some(HistogramDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: begun,
        time_unix_nano: now,
        count: took.count(),
        sum: Some(took.sum.as_secs_f64()),
        bucket_counts: took.counts.to_vec(),
        explicit_bounds: bounds_s().collect(),
        ..HistogramDataPoint::default()
    })
}

fn attributes(labels: &Labels<'_>) -> Vec<KeyValue> {
    let attribute = |(name, value): &(&str, &str)| KeyValue {
        key: (*name).to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue((*value).to_owned())) }),
        ..KeyValue::default()
    };
    labels.iter().map(attribute).collect()
}
