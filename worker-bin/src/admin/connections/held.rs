//! One connection as others see it, and what of its answers is told of that.

use crate::admin::refusals::Refusal;
use crate::mutex::lock;
use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long an answer may take to be taken that has an end by itself.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// What a connection does, and since when.
#[derive(Debug)]
pub(in crate::admin) struct Held {
    from: IpAddr,
    state: Mutex<State>,
    why: OnceLock<Refusal>,
    close: Notify,
}

#[derive(Debug)]
struct State {
    doing: Doing,
    since: Instant,
    /// Something of a request has come, and it was not answered yet.
    asking: bool,
    /// Something of an answer waits to be taken.
    unsent: bool,
}

/// From what is the least loss to what is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Doing {
    /// Nothing is asked, or only a part of it.
    Waiting,
    Answering,
    /// An answer that goes on, such as events.
    Streaming,
}

impl Held {
    pub(super) fn new(from: IpAddr) -> Self {
        let state = State { doing: Doing::Waiting, since: Instant::now(), asking: false, unsent: false };
        Self { from, state: Mutex::new(state), why: OnceLock::new(), close: Notify::new() }
    }

    /// Who is at its other end.
    pub(in crate::admin) fn from(&self) -> IpAddr {
        self.from
    }

    /// Begins an answer; it ends when what is returned is dropped. Where the request is not `whole` it is waited for.
    pub(super) fn answers(self: &Arc<Self>, whole: bool) -> Answering {
        if whole {
            self.heard_all();
        }
        Answering(Arc::clone(self))
    }

    /// The request is there with its body.
    pub(in crate::admin) fn heard_all(&self) {
        self.does(Doing::Answering);
    }

    /// The answer goes on until somebody ends it.
    pub(in crate::admin) fn streams(&self) {
        self.does(Doing::Streaming);
    }

    fn does(&self, doing: Doing) {
        let mut state = lock(&self.state);
        let asking = state.asking && doing != Doing::Waiting;
        *state = State { doing, since: Instant::now(), asking, unsent: state.unsent };
    }

    pub(super) fn heard(&self) {
        lock(&self.state).asking = true;
    }

    /// Whether something of a request had come that was not answered.
    pub(super) fn was_asking(&self) -> bool {
        lock(&self.state).asking
    }

    /// What was written is taken, or is not.
    pub(super) fn sends(&self, unsent: bool) {
        lock(&self.state).unsent = unsent;
    }

    /// How long the answer may still take that is being written.
    pub(super) fn answer_left(&self) -> Duration {
        let state = lock(&self.state);
        match state.doing {
            Doing::Streaming => Duration::MAX,
            Doing::Waiting | Doing::Answering => ANSWER_MAX.saturating_sub(state.since.elapsed()),
        }
    }

    /// The least is closed first, where room is needed: of those that do the same who does so for longest.
    pub(super) fn use_of_it(&self) -> (Doing, Instant) {
        let state = lock(&self.state);
        let doing = if state.unsent { state.doing.max(Doing::Answering) } else { state.doing };
        (doing, state.since)
    }

    /// Lets it end at once.
    pub(in crate::admin) fn close(&self, why: Refusal) {
        self.gives_up(why);
        self.close.notify_one();
    }

    /// It ends by itself now, for this reason.
    pub(super) fn gives_up(&self, why: Refusal) {
        self.why.set(why).ok();
    }

    pub(super) fn why(&self) -> Option<Refusal> {
        self.why.get().copied()
    }

    pub(super) async fn closed(&self) {
        self.close.notified().await;
    }
}

/// An answer is being made or written, until this is dropped.
#[derive(Debug)]
pub(super) struct Answering(Arc<Held>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.does(Doing::Waiting);
    }
}

/// The body of an answer, which says when all of it is on its way.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    _answering: Answering,
}

impl Answer {
    pub(super) fn new(body: Body, answering: Answering) -> Self {
        Self { body, _answering: answering }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
