//! A byte stream with its two buffers.

use crate::room::{Reserved, Room};
use bytes::Buf;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::{poll_read_buf, poll_write_buf};
use worker_proto::{EncodeError, Frame, RecvBuffer, SendBuffer};

/// How many frames are decoded before the endpoint gets them: until the handshake is done, and after it.
const FRAMES_MAX_STRANGER: usize = 32;
const FRAMES_MAX: usize = 1024;

/// Frames up to this size are received without asking for room: those that carry more than one record are, in bytes.
const UNASKED_BYTES_MAX: usize = 256 * 1024;

/// Size of the buffer that takes what is read only to be dropped.
const SCRATCH_BYTES: usize = 8 * 1024;

pub(crate) struct Wire<S> {
    stream: S,
    burst_bytes: usize,
    input: RecvBuffer,
    /// How many frames have come.
    frames_in: u64,
    /// What large frames are received into, where that is shared.
    room: Option<Room>,
    /// What the frame that is being received has of it.
    reserved: Option<Reserved>,
    output: SendBuffer,
    /// There are bytes to write or to flush.
    dirty: bool,
    /// Why writing has failed; what the peer sent before is still read.
    write_error: Option<String>,
    /// A `Welcome` has passed.
    greeted: bool,
    /// What arrived, heartbeats removed.
    pub(crate) frames: Vec<Frame>,
    /// Number of the last ping that waits for its answer.
    pub(crate) pong: Option<u64>,
    /// Number of the last ping that was answered.
    pub(crate) answered: Option<u64>,
}

/// What one [`Wire::poll`] did: it received something, or has written everything, or found the end.
pub(crate) struct Moved {
    /// Bytes.
    pub(crate) received: usize,
    pub(crate) end: Option<WireEnd>,
}

/// The end of a byte stream.
pub(crate) enum WireEnd {
    /// There is nobody to write to.
    Gone(String),
    /// The peer is there and broke the protocol.
    Violation(String),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// With a `room`, large frames are received only where it has some.
    pub(crate) fn new(stream: S, burst_bytes: usize, room: Option<Room>) -> Self {
        let mut input = RecvBuffer::new();
        if room.is_some() {
            input.ask_beyond(UNASKED_BYTES_MAX);
        }
        Self {
            stream,
            burst_bytes,
            input,
            frames_in: 0,
            room,
            reserved: None,
            output: SendBuffer::new(),
            dirty: false,
            write_error: None,
            greeted: false,
            frames: Vec::new(),
            pong: None,
            answered: None,
        }
    }

    /// Writes what is there, then reads a burst.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Moved> {
        let mut wrote = false;
        if self.dirty && self.write_error.is_none() {
            match self.poll_write(cx) {
                Poll::Ready(Ok(())) => wrote = true,
                Poll::Ready(Err(error)) => self.write_error = Some(format!("writing failed: {error}")),
                Poll::Pending => {}
            }
        }
        let mut received = 0;
        let mut end = self.receive(cx, &mut received);
        if received == 0 && end.is_none() {
            end = self.write_error.clone().map(WireEnd::Gone);
        }
        if received == 0 && !wrote && end.is_none() {
            Poll::Pending
        } else {
            Poll::Ready(Moved { received, end })
        }
    }

    /// Whether everything is written, and more can be.
    pub(crate) fn is_drained(&self) -> bool {
        !self.dirty && self.write_error.is_none()
    }

    /// Whether a `Welcome` has passed in either direction.
    pub(crate) fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// How many frames have come, and the announced length of one that has begun, in bytes.
    pub(crate) fn progress(&self) -> (u64, Option<usize>) {
        (self.frames_in, self.input.is_amid_frame().then(|| self.input.announced()))
    }

    /// Whether nothing is read because the frame that comes next has no room yet.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.input.asks().is_some()
    }

    /// Puts a frame behind what is to be written.
    pub(crate) fn push(&mut self, frame: &Frame) -> Result<(), EncodeError> {
        self.output.push(frame)?;
        self.dirty = true;
        self.greet(frame);
        Ok(())
    }

    /// Writes what is left, says that nothing follows and waits until the peer has said so too, so that the last frame is not
    /// lost to a reset. What arrives meanwhile is dropped. The caller bounds the time.
    pub(crate) async fn close(&mut self) {
        // What is not whole will never be, and its memory is given back at once.
        (self.input, self.reserved, self.frames) = (RecvBuffer::new(), None, Vec::new());
        let mut scratch = vec![0; SCRATCH_BYTES];
        let (mut shut, mut ended) = (false, false);
        poll_fn(|cx| {
            while !ended {
                let mut space = ReadBuf::new(&mut scratch);
                match Pin::new(&mut self.stream).poll_read(cx, &mut space) {
                    Poll::Ready(read) => ended = read.is_err() || space.filled().is_empty(),
                    Poll::Pending => break,
                }
            }
            if !shut {
                ready!(self.poll_shutdown(cx));
                shut = true;
            }
            if ended { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Writes everything, then the end. An error is an end too: the peer's own will be found by reading.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(error) = ready!(self.poll_write(cx)) {
            tracing::debug!(%error, "the last frames were not written");
        } else if let Err(error) = ready!(Pin::new(&mut self.stream).poll_shutdown(cx)) {
            tracing::debug!(%error, "the end was not written");
        }
        Poll::Ready(())
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.output.has_remaining() {
            if ready!(poll_write_buf(Pin::new(&mut self.stream), cx, &mut self.output))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.dirty = false;
        Poll::Ready(Ok(()))
    }

    /// Reads until nothing is there or the burst is full, and decodes it.
    fn receive(&mut self, cx: &mut Context<'_>, received: &mut usize) -> Option<WireEnd> {
        loop {
            let frames_max = if self.greeted { FRAMES_MAX } else { FRAMES_MAX_STRANGER };
            loop {
                if self.frames.len() >= frames_max {
                    return None;
                }
                match self.input.next_frame() {
                    Ok(Some(frame)) => {
                        self.frames_in += 1;
                        self.reserved = None;
                        // Its bytes may have come with an earlier burst.
                        *received = (*received).max(1);
                        self.arrived(frame);
                    }
                    Ok(None) => match self.reserve(cx) {
                        Some(Poll::Ready(())) => {}
                        Some(Poll::Pending) => return None,
                        None => break,
                    },
                    Err(error) => return Some(WireEnd::Violation(error.to_string())),
                }
            }
            if *received >= self.burst_bytes {
                return None;
            }
            match poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.input.space()) {
                Poll::Ready(Ok(0)) => return Some(WireEnd::Gone(self.end_of_stream())),
                Poll::Ready(Ok(bytes)) => *received += bytes,
                Poll::Ready(Err(error)) => return Some(WireEnd::Gone(format!("reading failed: {error}"))),
                Poll::Pending => return None,
            }
        }
    }

    /// Asks for room, where the next frame needs that.
    fn reserve(&mut self, cx: &mut Context<'_>) -> Option<Poll<()>> {
        let (bytes, room) = (self.input.asks()?, self.room.as_mut()?);
        Some(room.poll_reserve(cx, bytes).map(|reserved| {
            self.reserved = Some(reserved);
            self.input.grant();
        }))
    }

    fn arrived(&mut self, frame: Frame) {
        self.greet(&frame);
        match frame {
            Frame::Ping(number) => self.pong = Some(number),
            Frame::Pong(number) => self.answered = Some(number),
            Frame::Hello(_)
            | Frame::Welcome(_)
            | Frame::Open(_)
            | Frame::Opened(_)
            | Frame::Refused(_)
            | Frame::Batch(_)
            | Frame::Ack(_)
            | Frame::End(_)
            | Frame::Bye
            | Frame::GoAway(_) => self.frames.push(frame),
        }
    }

    /// Larger frames may come once a `Welcome` has passed.
    fn greet(&mut self, frame: &Frame) {
        if !self.greeted && matches!(frame, Frame::Welcome(_)) {
            self.greeted = true;
            self.input.handshake_done();
        }
    }

    fn end_of_stream(&self) -> String {
        match &self.write_error {
            Some(error) => error.clone(),
            None if self.input.is_amid_frame() => {
                "the peer closed the connection in the middle of a frame".to_owned()
            }
            None => "the peer closed the connection".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
    use worker_proto::frame::{BatchFrame, Welcome};
    use worker_proto::{Batch, Epoch, Incarnation, LinkId, Seq};

    const FRAME_BYTES: usize = 900 * 1024;

    /// The bytes of a greeting, and of a large frame.
    fn bytes() -> (Vec<u8>, Vec<u8>) {
        let encoded = |frame: &Frame| {
            let mut out = SendBuffer::new();
            out.push(frame).expect("a frame");
            out.copy_to_bytes(out.remaining()).to_vec()
        };
        let batch = Batch::from_terminated([vec![b'x'; FRAME_BYTES - 1], vec![b'\n']].concat().into(), b'\n');
        let batch = BatchFrame { link: LinkId(1), epoch: Epoch(1), first_seq: Seq(1), batch };
        let welcome = Welcome { node: "a".to_owned(), incarnation: Incarnation(1) };
        (encoded(&Frame::Welcome(welcome)), encoded(&Frame::Batch(batch)))
    }

    /// Reads what is there; gives how many frames have come in all.
    async fn read(wire: &mut Wire<DuplexStream>) -> u64 {
        poll_fn(|cx| {
            while wire.poll(cx).is_ready() {}
            Poll::Ready(())
        })
        .await;
        wire.progress().0
    }

    #[tokio::test]
    async fn large_frames_of_all_connections_share_one_budget() {
        let room = Room::new(FRAME_BYTES + 64 * 1024);
        let (welcome, large) = bytes();
        let mut ends = Vec::new();
        for _ in 0..2 {
            let (mut far, near) = duplex(2 * FRAME_BYTES);
            let mut wire = Wire::new(near, 256 * 1024, Some(room.share()));
            far.write_all(&welcome).await.expect("it is open");
            assert_eq!(read(&mut wire).await, 1);
            ends.push((far, wire));
        }
        let [(slow, first), (far, second)] = &mut ends[..] else { unreachable!("two were made") };
        slow.write_all(&large[..large.len() - 1]).await.expect("it is open");
        assert_eq!((read(first).await, first.waits_for_room()), (1, false));
        far.write_all(&large).await.expect("it is open");
        assert_eq!((read(second).await, second.waits_for_room()), (1, true), "the first one has the room");
        slow.write_all(&large[large.len() - 1..]).await.expect("it is open");
        assert_eq!([read(first).await, read(second).await], [2, 2]);
    }

    #[tokio::test]
    async fn a_connection_that_closes_gives_its_room_back_at_once() {
        let room = Room::new(FRAME_BYTES + 64 * 1024);
        let (welcome, large) = bytes();
        let (mut far, near) = duplex(2 * FRAME_BYTES);
        let mut wire = Wire::new(near, 256 * 1024, Some(room.share()));
        far.write_all(&[&welcome[..], &large[..large.len() - 1]].concat()).await.expect("it is open");
        assert_eq!((read(&mut wire).await, wire.reserved.is_some()), (1, true));
        let mut closing = std::pin::pin!(wire.close());
        let waits = poll_fn(|cx| Poll::Ready(closing.as_mut().poll(cx).is_pending())).await;
        assert!(waits, "the peer has not ended it");
        let mut other = room.share();
        let free = poll_fn(|cx| Poll::Ready(other.poll_reserve(cx, FRAME_BYTES).is_ready())).await;
        assert!(free, "the frame that never came has its room still");
    }
}
