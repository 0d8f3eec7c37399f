//! A byte stream with its two buffers.

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

/// Size of the buffer that takes what is read only to be dropped.
const SCRATCH_BYTES: usize = 8 * 1024;

pub(crate) struct Wire<S> {
    stream: S,
    burst_bytes: usize,
    input: RecvBuffer,
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
    pub(crate) fn new(stream: S, burst_bytes: usize) -> Self {
        Self {
            stream,
            burst_bytes,
            input: RecvBuffer::new(),
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
                        // Its bytes may have come with an earlier burst.
                        *received = (*received).max(1);
                        self.arrived(frame);
                    }
                    Ok(None) => break,
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
