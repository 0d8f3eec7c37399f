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

/// For how long nothing at all may be taken of what is written.
const UNREAD_MAX: Duration = Duration::from_secs(10);

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
    /// Events, until their reader goes.
    Telling,
    /// Passing records, until their reader has seen enough. Whoever has the token may stop to read what there is.
    Showing,
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

    /// The answer is events, and goes on.
    pub(in crate::admin) fn tells(&self) {
        self.does(Doing::Telling);
    }

    /// The answer is passing records, and goes on.
    pub(in crate::admin) fn shows(&self) {
        self.does(Doing::Showing);
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

    /// How long it may take from now on until something of what is written is taken; `None`: as long as it likes.
    pub(super) fn patience(&self) -> Option<Duration> {
        let state = lock(&self.state);
        match state.doing {
            Doing::Showing => None,
            Doing::Telling => Some(UNREAD_MAX),
            Doing::Waiting | Doing::Answering => {
                Some(UNREAD_MAX.min(ANSWER_MAX.saturating_sub(state.since.elapsed())))
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> Arc<Held> {
        Arc::new(Held::new(IpAddr::from([127, 0, 0, 1])))
    }

    #[test]
    fn who_asks_least_is_of_least_use() {
        let (older, newer, half) = (held(), held(), held());
        let _asked = [newer.answers(true), half.answers(false)];
        assert!(older.use_of_it() < half.use_of_it() && half.use_of_it() < newer.use_of_it());
        older.sends(true);
        assert!(half.use_of_it() < older.use_of_it(), "an answer that is on its way");
        let telling = held();
        telling.tells();
        assert!(newer.use_of_it() < telling.use_of_it());
    }

    #[test]
    fn an_answer_has_its_time_and_a_tap_its_readers() {
        let held = held();
        let answering = held.answers(true);
        assert_eq!(held.patience(), Some(UNREAD_MAX));
        held.tells();
        assert_eq!(held.patience(), Some(UNREAD_MAX));
        held.shows();
        assert_eq!(held.patience(), None);
        drop(answering);
        assert_eq!(held.patience(), Some(UNREAD_MAX));
    }
}
