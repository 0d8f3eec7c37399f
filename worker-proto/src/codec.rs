//! Frames for `tokio_util::codec::Framed`.

use crate::decode::{body_len, decode_copied, decode_shared};
use crate::encode::encode;
use crate::limits::{FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX, LENGTH_BYTES, SHARED_FRAME_BYTES_MAX};
use crate::{DecodeError, EncodeError, Frame};
use bytes::{Buf, BytesMut};
use thiserror::Error;
use tokio_util::codec::{Decoder, Encoder};

/// The protocol as a codec, for tools and tests: simpler than [`SendBuffer`](crate::SendBuffer) and
/// [`RecvBuffer`](crate::RecvBuffer), at the price of copies.
#[derive(Clone, Debug)]
pub struct FrameCodec {
    limit: usize,
}

/// Why a framed connection failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The connection itself.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The peer.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The caller.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl FrameCodec {
    /// A codec for a connection that begins: handshake limits hold.
    #[must_use]
    pub fn new() -> Self {
        Self { limit: HANDSHAKE_FRAME_BYTES_MAX }
    }

    /// The peer is known: frames may be large from here on.
    pub fn handshake_done(&mut self) {
        self.limit = FRAME_BYTES_MAX;
    }
}

impl Default for FrameCodec {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder for FrameCodec {
    type Item = Frame;
    type Error = CodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        let Some(len) = body_len(src, self.limit)? else { return Ok(None) };
        let end = LENGTH_BYTES + len;
        if src.len() < end {
            src.reserve(end - src.len());
            return Ok(None);
        }
        if len > SHARED_FRAME_BYTES_MAX {
            src.advance(LENGTH_BYTES);
            return Ok(Some(decode_shared(&src.split_to(len).freeze())?));
        }
        let frame = decode_copied(&src[LENGTH_BYTES..end])?;
        src.advance(end);
        Ok(Some(frame))
    }
}

impl Encoder<&Frame> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, frame: &Frame, dst: &mut BytesMut) -> Result<(), CodecError> {
        encode(frame, dst)?;
        Ok(())
    }
}

impl Encoder<Frame> for FrameCodec {
    type Error = CodecError;

    fn encode(&mut self, frame: Frame, dst: &mut BytesMut) -> Result<(), CodecError> {
        Encoder::<&Frame>::encode(self, &frame, dst)
    }
}
