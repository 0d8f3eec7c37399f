//! Received bytes on their way to frames.

use crate::decode::{body_len, decode_copied, decode_shared};
use crate::limits::{FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX, LENGTH_BYTES, SHARED_FRAME_BYTES_MAX};
use crate::{DecodeError, Frame};
use bytes::buf::Limit;
use bytes::{Buf, BufMut, BytesMut};

/// Read sizes for small frames, in bytes: the smallest follows a large frame, so that little of the next is copied.
const WINDOW_BYTES_MIN: usize = 512;
const WINDOW_BYTES_MAX: usize = 64 * 1024;

/// A large frame's buffer has this many bytes more than the frame, which usually catch the next frame's length: then a
/// stream of large frames needs one read each.
const SLACK_BYTES: usize = 64;

/// Gathers received bytes and cuts frames out of them.
///
/// The law of use: read into [`RecvBuffer::space`], then call [`RecvBuffer::next_frame`] until it says `None`. After an error the
/// connection is of no more use.
///
/// Frames of up to 16 KiB are copied out of a shared buffer, so that a batch kept for long pins no more than itself. A
/// larger frame is read straight into a buffer of its own size, of which its batch becomes a part without a copy. Nothing is
/// allocated before the length was checked against the limit: 4 KiB until [`RecvBuffer::handshake_done`], 8 MiB after it.
/// For one beyond [`RecvBuffer::ask_beyond`] nothing is before [`RecvBuffer::grant`].
#[derive(Debug)]
pub struct RecvBuffer {
    limit: usize,
    /// Small frames, and the beginning of whatever comes.
    small: BytesMut,
    /// The body of a large frame, as far as it has come. `small` is empty then.
    large: Option<Large>,
    /// How much to read into `small` at once.
    window: usize,
    /// `small` will have this length if the read that was last offered space for uses it up.
    full_at: usize,
    /// Longer frames need a grant, in bytes.
    ask_beyond: usize,
    /// The frame that comes next has its grant.
    granted: bool,
}

#[derive(Debug)]
struct Large {
    body: BytesMut,
    len: usize,
}

impl RecvBuffer {
    /// Nothing received; handshake limits hold.
    #[must_use]
    pub fn new() -> Self {
        let limit = HANDSHAKE_FRAME_BYTES_MAX;
        Self {
            limit,
            small: BytesMut::new(),
            large: None,
            window: WINDOW_BYTES_MIN,
            full_at: usize::MAX,
            ask_beyond: usize::MAX,
            granted: false,
        }
    }

    /// From here on a frame with a longer body, in bytes, is received only after a [`RecvBuffer::grant`] of its own.
    pub fn ask_beyond(&mut self, bytes: usize) {
        self.ask_beyond = bytes.max(SHARED_FRAME_BYTES_MAX);
    }

    /// The length of the frame that waits for its grant, in bytes. Nothing is to be read meanwhile.
    #[must_use]
    pub fn asks(&self) -> Option<usize> {
        let announced = body_len(&self.small, self.limit).ok().flatten().filter(|_| self.large.is_none())?;
        (announced > self.ask_beyond && !self.granted).then_some(announced)
    }

    /// The frame that waits may be received; [`RecvBuffer::next_frame`] goes on.
    pub fn grant(&mut self) {
        self.granted = true;
    }

    /// The peer is known: frames may be large from here on.
    pub fn handshake_done(&mut self) {
        self.limit = FRAME_BYTES_MAX;
    }

    /// Where to read into next; never without room.
    pub fn space(&mut self) -> Limit<&mut BytesMut> {
        if let Some(Large { body, len }) = &mut self.large {
            let room = *len + SLACK_BYTES - body.len();
            return body.limit(room);
        }
        self.small.reserve(self.window);
        self.full_at = self.small.len() + self.window;
        (&mut self.small).limit(self.window)
    }

    /// The next frame that has arrived completely.
    ///
    /// # Errors
    /// [`DecodeError`]: the peer broke the protocol.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        self.widen();
        if let Some(large) = self.large.take() {
            return self.next_large(large);
        }
        let Some(len) = body_len(&self.small, self.limit)? else { return Ok(None) };
        if len > self.ask_beyond && !std::mem::take(&mut self.granted) {
            return Ok(None);
        }
        let end = LENGTH_BYTES + len;
        if self.small.len() < end {
            if len > SHARED_FRAME_BYTES_MAX {
                self.begin_large(len);
            }
            return Ok(None);
        }
        let frame = if len > SHARED_FRAME_BYTES_MAX {
            decode_shared(&self.small[LENGTH_BYTES..end].to_vec().into())?
        } else {
            decode_copied(&self.small[LENGTH_BYTES..end])?
        };
        self.small.advance(end);
        Ok(Some(frame))
    }

    /// Whether bytes of an incomplete frame are waiting for the rest.
    #[must_use]
    pub fn is_amid_frame(&self) -> bool {
        self.large.is_some() || !self.small.is_empty()
    }

    /// The length that the incomplete frame has announced, in bytes; 0 where not even that has come.
    #[must_use]
    pub fn announced(&self) -> usize {
        let small = || body_len(&self.small, self.limit).ok().flatten().unwrap_or(0);
        self.large.as_ref().map_or_else(small, |large| large.len)
    }

    /// Reads more at once if the last read used up the space it was offered.
    fn widen(&mut self) {
        if self.large.is_none() && self.small.len() >= self.full_at {
            self.window = (self.window * 8).min(WINDOW_BYTES_MAX).min(self.limit);
        }
        self.full_at = usize::MAX;
    }

    fn begin_large(&mut self, len: usize) {
        let mut body = BytesMut::with_capacity(len + SLACK_BYTES);
        body.extend_from_slice(&self.small[LENGTH_BYTES..]);
        self.small.clear();
        self.window = WINDOW_BYTES_MIN;
        self.large = Some(Large { body, len });
    }

    fn next_large(&mut self, mut large: Large) -> Result<Option<Frame>, DecodeError> {
        if large.body.len() < large.len {
            self.large = Some(large);
            return Ok(None);
        }
        self.small.extend_from_slice(&large.body[large.len..]);
        large.body.truncate(large.len);
        decode_shared(&large.body.freeze()).map(Some)
    }
}

impl Default for RecvBuffer {
    fn default() -> Self {
        Self::new()
    }
}
