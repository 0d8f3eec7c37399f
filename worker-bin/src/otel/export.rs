//! Sending to a collector.

use super::Endpoint;
use super::metrics::encode;
use super::post::post;
use crate::metrics::Scrape;
use crate::mutex::lock;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use prost::Message as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// How often at most it is said that the collector does not take what it is sent.
const COMPLAINT_EVERY: Duration = Duration::from_secs(60);

/// A collector that is sent to.
#[derive(Debug)]
pub struct Otel {
    collector: Arc<Collector>,
    provider: SdkTracerProvider,
}

/// Where it is, and who sends.
#[derive(Debug)]
struct Collector {
    endpoint: Endpoint,
    resource: ResourceAttributesWithSchema,
    complained: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Spans(Arc<Collector>);

impl Otel {
    /// Begins to send spans, as soon as [`layer`](Self::layer) is used.
    ///
    /// # Errors
    /// None in this build.
    pub fn start(endpoint: &Endpoint, pipeline: &str, node: &str) -> Result<Arc<Self>, String> {
        let attributes = [
            KeyValue::new("service.name", "worker"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.namespace", pipeline.to_owned()),
            KeyValue::new("service.instance.id", node.to_owned()),
        ];
        let resource = Resource::builder().with_attributes(attributes).build();
        let collector = Arc::new(Collector {
            endpoint: endpoint.clone(),
            resource: ResourceAttributesWithSchema::from(&resource),
            complained: Mutex::default(),
        });
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(Spans(Arc::clone(&collector)))
            .with_resource(resource)
            .build();
        Ok(Arc::new(Self { collector, provider }))
    }

    pub(crate) fn layer<S>(&self) -> Box<dyn Layer<S> + Send + Sync>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        let layer = tracing_opentelemetry::layer().with_tracer(self.provider.tracer("worker"));
        layer.with_location(false).with_threads(false).boxed()
    }

    pub(crate) fn export(&self, scrape: &Scrape) {
        self.collector.send("metrics", &encode(scrape, &self.collector.resource).encode_to_vec()).ok();
    }

    /// Sends the spans that ended. Blocks for a few seconds at most.
    pub(crate) fn shutdown(&self) {
        self.provider.shutdown().ok();
    }
}

impl Collector {
    fn send(&self, what: &str, body: &[u8]) -> Result<(), String> {
        let Endpoint { address, path } = &self.endpoint;
        let sent = post(address, &format!("{path}/v1/{what}"), body).map_err(|error| error.to_string());
        if let Err(error) = &sent {
            let mut complained = lock(&self.complained);
            if complained.is_none_or(|at| at.elapsed() >= COMPLAINT_EVERY) {
                *complained = Some(Instant::now());
                tracing::warn!(parent: None, address, error, "the collector did not take {what}, which are dropped");
            }
        }
        sent
    }
}

impl SpanExporter for Spans {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.0.resource);
        let request = ExportTraceServiceRequest { resource_spans };
        // On a thread that does nothing else.
        self.0.send("traces", &request.encode_to_vec()).map_err(OTelSdkError::InternalFailure)
    }
}
