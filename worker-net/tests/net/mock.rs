//! An endpoint that sends what it is given and keeps what it gets, and a peer that writes raw bytes.

use bytes::{Buf, BytesMut};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::codec::{Decoder, Encoder};
use worker_net::{CloseCause, Endpoint, Settings, Transmit, drive};
use worker_proto::frame::{Ack, BatchFrame, Frame, Welcome};
use worker_proto::{Batch, Epoch, FrameCodec, Incarnation, LinkId, Seq};

/// Longer than anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Mock {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) out: VecDeque<Frame>,
    /// Answer each burst that holds batches with one `Ack`.
    pub(crate) acks: bool,
    /// Close once `out` is empty.
    pub(crate) close: bool,
    pub(crate) received: Vec<Frame>,
    pub(crate) bursts: usize,
    pub(crate) transmits: usize,
    pub(crate) closed: Option<String>,
    pub(crate) cause: Option<CloseCause>,
    pub(crate) round_trips: Vec<Duration>,
}

impl Mock {
    pub(crate) fn new(out: impl IntoIterator<Item = Frame>) -> Arc<Self> {
        let mock = Self::default();
        mock.with(|state| state.out.extend(out));
        Arc::new(mock)
    }

    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let result = f(&mut self.state.lock().unwrap());
        self.changed.notify_waiters();
        result
    }

    /// Waits until the state is as wanted.
    pub(crate) async fn until(&self, what: &str, wanted: impl Fn(&State) -> bool) {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                if wanted(&self.state.lock().unwrap()) {
                    return;
                }
                changed.await;
            }
        };
        let waited = timeout(PATIENCE, waiting).await;
        waited.unwrap_or_else(|_| {
            panic!("waited in vain until {what}: {:?}", self.state.lock().unwrap().closed)
        });
    }

    /// Waits for the end and returns its reason.
    pub(crate) async fn end(&self) -> String {
        self.until("the connection ends", |state| state.closed.is_some()).await;
        self.with(|state| state.closed.clone().unwrap())
    }

    pub(crate) fn received(&self) -> Vec<Frame> {
        self.with(|state| state.received.clone())
    }
}

impl Endpoint for Mock {
    fn frames(&self, _conn: u64, frames: &mut Vec<Frame>) {
        assert!(!frames.is_empty());
        self.with(|state| {
            state.bursts += 1;
            if state.acks && frames.iter().any(|frame| matches!(frame, Frame::Batch(_))) {
                state.out.push_front(ack());
            }
            state.received.append(frames);
        });
    }

    fn transmit(&self, _conn: u64, bytes_max: usize, out: &mut Vec<Frame>) -> Transmit {
        self.with(|state| {
            state.transmits += 1;
            let mut bytes = 0;
            while bytes < bytes_max
                && let Some(frame) = state.out.pop_front()
            {
                bytes += if let Frame::Batch(batch) = &frame { batch.batch.bytes() } else { 32 };
                out.push(frame);
            }
            if state.close && state.out.is_empty() { Transmit::Close } else { Transmit::Open }
        })
    }

    fn round_trip(&self, _conn: u64, took: Duration) {
        self.with(|state| state.round_trips.push(took));
    }

    fn closed(&self, _conn: u64, cause: CloseCause, why: String) {
        assert_eq!(cause == CloseCause::Silent, why.contains("nothing was heard"), "{cause:?}: {why}");
        self.with(|state| {
            assert_eq!(state.closed.replace(why), None, "closed twice");
            state.cause = Some(cause);
        });
    }
}

/// Serves `stream` for `mock` in a task of its own.
pub(crate) fn serve<S>(stream: S, mock: &Arc<Mock>, settings: Settings) -> (Arc<Notify>, JoinHandle<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let wake = Arc::new(Notify::new());
    let (endpoint, woken) = (Arc::clone(mock), Arc::clone(&wake));
    let task = tokio::spawn(async move { drive(stream, 1, endpoint, woken, &settings).await });
    (wake, task)
}

/// A peer in the test's own hands.
pub(crate) struct Raw<S> {
    pub(crate) stream: S,
    codec: FrameCodec,
    input: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) fn new(stream: S) -> Self {
        let mut codec = FrameCodec::new();
        codec.handshake_done();
        Self { stream, codec, input: BytesMut::new() }
    }

    /// A peer whose handshake is done.
    pub(crate) async fn greeted(stream: S) -> Self {
        let mut raw = Self::new(stream);
        raw.send(&welcome()).await;
        raw
    }

    pub(crate) async fn send(&mut self, frame: &Frame) {
        let bytes = bytes_of([frame]);
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// The next frame, heartbeats left out; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            match self.next_of_all().await {
                Some(Frame::Ping(_) | Frame::Pong(_)) => {}
                other => return other,
            }
        }
    }

    /// The next frame, heartbeats included.
    pub(crate) async fn next_of_all(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.codec.decode(&mut self.input).unwrap() {
                return Some(frame);
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await.expect("no byte came");
            if read.unwrap() == 0 {
                assert!(!self.input.has_remaining(), "ended in the middle of a frame");
                return None;
            }
        }
    }
}

pub(crate) fn bytes_of<'a>(frames: impl IntoIterator<Item = &'a Frame>) -> BytesMut {
    let mut bytes = BytesMut::new();
    frames.into_iter().for_each(|frame| FrameCodec::new().encode(frame, &mut bytes).unwrap());
    bytes
}

pub(crate) fn welcome() -> Frame {
    Frame::Welcome(Welcome { node: "a".into(), incarnation: Incarnation(1) })
}

/// A batch of `records` records of `bytes` bytes, beginning with `first`.
pub(crate) fn batch(first: u64, records: usize, bytes: usize) -> Frame {
    let line = [vec![b'a' + u8::try_from(first % 26).unwrap(); bytes - 1], b"\n".to_vec()].concat();
    let batch = Batch::from_terminated(line.repeat(records).into(), b'\n');
    Frame::Batch(BatchFrame { link: LinkId(1), epoch: Epoch(1), first_seq: Seq(first), batch })
}

pub(crate) fn ack() -> Frame {
    let (link, epoch) = (LinkId(1), Epoch(1));
    Frame::Ack(Ack { link, epoch, through: Seq(2), finished: Seq(1), credit: 4 << 20 })
}
