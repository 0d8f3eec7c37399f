//! A build without support for OpenTelemetry.

use super::Endpoint;
use crate::metrics::Scrape;
use std::sync::Arc;
use tracing::Subscriber;
use tracing_subscriber::Layer;

/// There is none in this build.
#[derive(Debug)]
pub enum Otel {}

impl Otel {
    /// Says how to get a build that has it.
    ///
    /// # Errors
    /// Always.
    pub fn start(_endpoint: &Endpoint, _pipeline: &str, _node: &str) -> Result<Arc<Self>, String> {
        Err("this build of the worker has no support for OpenTelemetry; build one that has with \
             `cargo build --release -p worker-bin --features otel`, or let the collector scrape /metrics"
            .to_owned())
    }

    pub(crate) fn layer<S: Subscriber>(&self) -> Box<dyn Layer<S> + Send + Sync> {
        match *self {}
    }

    pub(crate) fn export(&self, _scrape: &Scrape) {
        match *self {}
    }

    pub(crate) fn shutdown(&self) {
        match *self {}
    }
}
