//! One connection, one task.

use crate::breach::Breach;
use crate::endpoint::{CloseCause, Endpoint, Transmit};
use crate::pulse::{Beat, Pulse};
use crate::strangers::Admission;
use crate::wire::{Moved, Wire, WireEnd};
use crate::{Guard, Settings};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use worker_proto::Frame;
use worker_proto::frame::{GoAway, GoAwayWhy};

/// Moves frames between `stream` and `endpoint` until the connection ends, then tells [`Endpoint::closed`].
///
/// Whoever has something to send on this connection calls `wake.notify_one()`; [`Endpoint::transmit`] is asked soon after.
/// Reading never waits for writing, nor writing for reading. Heartbeats are sent and answered here. Dropping the future drops the
/// connection without a call to [`Endpoint::closed`].
pub async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    conn: u64,
    endpoint: Arc<dyn Endpoint>,
    wake: Arc<Notify>,
    settings: &Settings,
) {
    drive_guarded(stream, conn, endpoint, wake, settings, None).await;
}

/// Like [`drive`], for as long as the peer's certificate counts.
pub async fn drive_guarded<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    conn: u64,
    endpoint: Arc<dyn Endpoint>,
    wake: Arc<Notify>,
    settings: &Settings,
    guard: Option<Guard>,
) {
    let wire = Wire::new(stream, settings.burst_bytes, None);
    drive_wire(wire, conn, endpoint, wake, settings, Rights { admission: None, guard }).await;
}

/// By what a connection may be there.
#[derive(Default)]
pub(crate) struct Rights {
    /// As a stranger, until the handshake is done.
    pub(crate) admission: Option<Admission>,
    /// By its peer's certificate, to the end.
    pub(crate) guard: Option<Guard>,
}

/// Like [`drive`], on which frames may have come already; gives `admission` back when the handshake is done.
pub(crate) async fn drive_wire<S: AsyncRead + AsyncWrite + Unpin>(
    wire: Wire<S>,
    conn: u64,
    endpoint: Arc<dyn Endpoint>,
    wake: Arc<Notify>,
    settings: &Settings,
    rights: Rights,
) {
    let mut session = Session {
        wire,
        conn,
        endpoint: &*endpoint,
        settings,
        frames: Vec::new(),
        pull: true,
        ping: None,
        pings: 0,
        pinged: None,
        pulse: Pulse::new(settings, Instant::now()),
        admission: rights.admission,
        guard: rights.guard,
    };
    let (cause, why) = session.run(&wake).await;
    tracing::debug!(conn, why, "connection closed");
    endpoint.closed(conn, cause, why);
}

/// What is said of one that was dropped for others.
pub(crate) const CROWDED: &str = "too many connections wait to be let in, and it was the oldest of them";

struct Session<'a, S> {
    wire: Wire<S>,
    conn: u64,
    endpoint: &'a dyn Endpoint,
    settings: &'a Settings,
    /// Frames on their way to or from the endpoint; empty between uses.
    frames: Vec<Frame>,
    /// The endpoint may have something to send.
    pull: bool,
    /// Number of a ping that is due. There is never more than one.
    ping: Option<u64>,
    pings: u64,
    /// Number of the last ping that was sent and not answered, and when that was.
    pinged: Option<(u64, Instant)>,
    pulse: Pulse,
    admission: Option<Admission>,
    guard: Option<Guard>,
}

/// How a connection ends.
enum End {
    /// There is nobody to write to.
    Gone(String),
    /// Nobody has answered for too long.
    Silent(String),
    /// What is in the buffer is still written.
    Flush(CloseCause, String),
    /// It has to make room for others, and nothing more is done for it.
    Crowded,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    /// Serves until the end, and returns why it came.
    async fn run(&mut self, wake: &Notify) -> (CloseCause, String) {
        let dropped = self.admission.as_ref().map(Admission::dropped);
        match self.serve(wake, dropped.as_deref()).await {
            End::Gone(why) => (CloseCause::Lost, why),
            End::Silent(why) => (CloseCause::Silent, why),
            End::Crowded => (CloseCause::Breach(Breach::Crowded), CROWDED.to_owned()),
            End::Flush(cause, why) => {
                let closed = async {
                    tokio::select! {
                        () = self.wire.close() => {}
                        () = is_dropped(dropped.as_deref()) => {}
                    }
                };
                if timeout(self.settings.close_max, closed).await.is_err() {
                    tracing::debug!(conn = self.conn, "the peer did not take or answer the end in time");
                }
                (cause, why)
            }
        }
    }

    async fn serve(&mut self, wake: &Notify, dropped: Option<&Notify>) -> End {
        let mut woken = pin!(wake.notified());
        let mut dropped = pin!(is_dropped(dropped));
        let mut timer = pin!(sleep_until(self.pulse.due()));
        // What came with the first frame.
        let mut step = self.deliver(Moved { received: 0, end: None });
        loop {
            if let Err(end) = step.and_then(|()| self.fill()) {
                return end;
            }
            if self.wire.is_greeted() {
                self.pulse.handshake_done();
                self.admission = None;
            }
            step = tokio::select! {
                biased;
                () = timer.as_mut() => {
                    let step = self.beat().await;
                    timer.as_mut().reset(self.pulse.due());
                    step
                }
                () = woken.as_mut() => {
                    woken.set(wake.notified());
                    self.pull = true;
                    Ok(())
                }
                moved = poll_fn(|cx| self.wire.poll(cx)) => self.deliver(moved),
                () = dropped.as_mut(), if self.admission.is_some() => Err(End::Crowded),
            };
        }
    }

    /// Gives the frames of a burst to the endpoint.
    fn deliver(&mut self, moved: Moved) -> Result<(), End> {
        if moved.received > 0 {
            let now = Instant::now();
            let (frames, amid) = self.wire.progress();
            self.pulse.heard(now);
            self.pulse.amid_frame(now, frames, amid);
            self.answered(now);
        }
        if !self.wire.frames.is_empty() {
            self.endpoint.frames(self.conn, &mut self.wire.frames);
            self.wire.frames.clear();
            self.pull = true;
        }
        match moved.end {
            None => Ok(()),
            Some(WireEnd::Gone(why)) => Err(End::Gone(why)),
            Some(WireEnd::Violation(why)) => {
                Err(self.go_away(GoAwayWhy::Violation, CloseCause::Breach(Breach::Frame), why))
            }
        }
    }

    /// Tells how long the last ping took, if its answer is what came.
    fn answered(&mut self, now: Instant) {
        let number = self.wire.answered.take();
        if let Some((_, sent)) = self.pinged.take_if(|(ping, _)| Some(*ping) == number) {
            self.endpoint.round_trip(self.conn, now.saturating_duration_since(sent));
        }
    }

    /// Asks for more to write, once all before is written.
    fn fill(&mut self) -> Result<(), End> {
        if !self.wire.is_drained() {
            return Ok(());
        }
        let (pong, ping) = (self.wire.pong.take(), self.ping.take());
        self.frames.extend(pong.map(Frame::Pong));
        self.frames.extend(ping.map(Frame::Ping));
        self.pinged = ping.map(|number| (number, Instant::now())).or(self.pinged);
        let mut verdict = Transmit::Open;
        if self.pull {
            let before = self.frames.len();
            verdict = self.endpoint.transmit(self.conn, self.settings.write_bytes, &mut self.frames);
            self.pull = self.frames.len() > before;
        }
        let mut failed = None;
        for frame in self.frames.drain(..) {
            if let Err(error) = self.wire.push(&frame) {
                failed = Some(error);
                break;
            }
        }
        match (failed, verdict) {
            (Some(error), _) => {
                Err(End::Flush(CloseCause::Lost, format!("this node made a frame it must not send: {error}")))
            }
            (None, Transmit::Close) => Err(End::Flush(CloseCause::Lost, "closed by this node".to_owned())),
            (None, Transmit::Open) => Ok(()),
        }
    }

    /// Does what the clock says.
    async fn beat(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.wire.waits_for_room() {
            self.pulse.holds_off(now);
        }
        if let Some(Err(why)) = self.guard.as_mut().map(|guard| guard.look(now)) {
            return Err(self.go_away(GoAwayWhy::Violation, CloseCause::Breach(Breach::Certificate), why));
        }
        match self.pulse.beat(now) {
            Beat::Wait => Ok(()),
            Beat::Ping => {
                self.pings += 1;
                self.ping = Some(self.pings);
                Ok(())
            }
            Beat::NoHandshake if !self.pulse.heard_anything() => {
                let limit = self.settings.handshake_max;
                self.bury(format!(
                    "nothing was heard for {limit:?} since the connection was made: its process is stopped or hangs, or it is no worker"
                ))
                .await
            }
            Beat::NoHandshake => {
                let limit = self.settings.handshake_max;
                let why = format!("no handshake within {limit:?}: is the peer a worker of this pipeline?");
                Err(self.go_away(GoAwayWhy::Timeout, CloseCause::Breach(Breach::HandshakeLate), why))
            }
            Beat::SlowFrame(amid) => {
                let why = format!("a frame was begun {:.1} s ago and is not whole yet", amid.as_secs_f64());
                Err(self.go_away(GoAwayWhy::Timeout, CloseCause::Breach(Breach::FrameLate), why))
            }
            Beat::Dead(silent) => {
                self.bury(format!(
                    "nothing was heard for {:.1} s (limit {:?}): the node, or the network to it, is down or stopped",
                    silent.as_secs_f64(),
                    self.settings.dead_after
                ))
                .await
            }
        }
    }

    /// Ends the connection, unless a last look finds that the peer has said something after all.
    async fn bury(&mut self, why: String) -> Result<(), End> {
        let look = poll_fn(|cx| match self.wire.poll(cx) {
            Poll::Ready(moved) => Poll::Ready(Some(moved)),
            Poll::Pending => Poll::Ready(None),
        });
        if let Some(moved) = look.await {
            let heard = moved.received > 0;
            self.deliver(moved)?;
            if heard {
                return Ok(());
            }
        }
        // One that is only stopped finds this when it wakes up. As far as the socket takes it: nobody is waited for.
        self.go_away(GoAwayWhy::Timeout, CloseCause::Silent, why.clone());
        poll_fn(|cx| Poll::Ready(self.wire.poll(cx).is_ready())).await;
        Err(End::Silent(why))
    }

    /// The peer gets the class only: what is known here may be no business of his.
    fn go_away(&mut self, class: GoAwayWhy, cause: CloseCause, why: String) -> End {
        let frame = Frame::GoAway(GoAway { why: class, message: String::new() });
        match self.wire.push(&frame) {
            Ok(()) => End::Flush(cause, why),
            Err(error) => End::Gone(format!("{why}; {error}")),
        }
    }
}

/// Resolves when a connection without a `Welcome` has to make room for others.
pub(crate) async fn is_dropped(dropped: Option<&Notify>) {
    match dropped {
        Some(dropped) => dropped.notified().await,
        None => std::future::pending().await,
    }
}
