//! Answers about the run as a whole: made once for all who ask at about the same time, and shared until they are sent.

use super::subject::Subject;
use crate::metrics::Form;
use crate::mutex::lock;
use crate::text::harmless::Harmless;
use axum::body::Bytes;
use serde::Serialize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How old one may be, unless the run was looked at since.
const FRESH: Duration = Duration::from_millis(200);

/// The last of each kind.
pub(super) struct Prepared {
    subject: Arc<dyn Subject>,
    status: Slot,
    why: Slot,
    open_metrics: Slot,
    plain_metrics: Slot,
}

#[derive(Debug, Default)]
struct Slot(Mutex<Option<Made>>);

#[derive(Debug)]
struct Made {
    /// At which look.
    look: u64,
    at: Instant,
    text: Bytes,
}

impl Prepared {
    pub(super) fn new(subject: Arc<dyn Subject>) -> Self {
        let [status, why, open_metrics, plain_metrics] = [(); 4].map(|()| Slot::default());
        Self { subject, status, why, open_metrics, plain_metrics }
    }

    /// The state, as JSON.
    pub(super) fn status(&self) -> Bytes {
        self.fresh(&self.status, || json(&self.subject.snapshot()))
    }

    /// Why work waits, as JSON.
    pub(super) fn why(&self) -> Bytes {
        self.fresh(&self.why, || json(&self.subject.explanation()))
    }

    pub(super) fn metrics(&self, form: Form) -> Bytes {
        let slot = match form {
            Form::OpenMetrics => &self.open_metrics,
            Form::Plain => &self.plain_metrics,
        };
        self.fresh(slot, || Harmless::text(self.subject.metrics(form)))
    }

    /// Whoever asks while it is made waits for that.
    fn fresh(&self, slot: &Slot, make: impl FnOnce() -> Harmless) -> Bytes {
        let look = || *self.subject.news().borrow();
        let mut made = lock(&slot.0);
        if let Some(made) = made.as_ref()
            && made.look == look()
            && made.at.elapsed() < FRESH
        {
            return made.text.clone();
        }
        let at = Instant::now();
        let text = Bytes::from(make().into_string());
        *made = Some(Made { look: look(), at, text: text.clone() });
        text
    }
}

fn json(value: &impl Serialize) -> Harmless {
    Harmless::json(value).unwrap_or_else(|_| Harmless::text("null"))
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").finish_non_exhaustive()
    }
}
