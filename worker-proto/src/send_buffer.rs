//! Encoded frames on their way out.

use crate::encode::{Out, encode};
use crate::{EncodeError, Frame};
use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Buffers up to this size are copied beside their frame's head: cheaper than one more piece of a vectored write.
const COPY_BYTES_MAX: usize = 1024;

/// Size of the buffers in which heads and small frames are gathered, in bytes.
const HEAD_BYTES: usize = 4096;

/// Encoded frames in order, ready for vectored writes; a batch's buffers are shared, not copied.
///
/// It is a [`Buf`]: [`Buf::chunks_vectored`] gives the pieces to write and [`Buf::advance`] removes what was written.
/// It has no limit of its own: whoever fills it asks [`Buf::remaining`] when to stop.
#[derive(Debug)]
pub struct SendBuffer {
    /// Finished pieces, none empty.
    pieces: VecDeque<Bytes>,
    /// What comes after them.
    head: BytesMut,
    bytes: usize,
}

impl SendBuffer {
    /// Nothing to send.
    #[must_use]
    pub fn new() -> Self {
        Self { pieces: VecDeque::new(), head: BytesMut::with_capacity(HEAD_BYTES), bytes: 0 }
    }

    /// Encodes a frame behind those already there.
    ///
    /// # Errors
    /// [`EncodeError`] if no receiver would take the frame; the buffer is as before.
    pub fn push(&mut self, frame: &Frame) -> Result<(), EncodeError> {
        self.bytes += encode(frame, self)?;
        Ok(())
    }

    /// Whether everything was written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Drops what is left; the connection it was meant for is gone.
    pub fn clear(&mut self) {
        self.pieces.clear();
        self.head.clear();
        self.bytes = 0;
    }
}

impl Default for SendBuffer {
    fn default() -> Self {
        Self::new()
    }
}

impl Out for SendBuffer {
    fn head(&mut self) -> &mut BytesMut {
        &mut self.head
    }

    fn put(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPY_BYTES_MAX {
            self.head.extend_from_slice(bytes);
            return;
        }
        if !self.head.is_empty() {
            self.pieces.push_back(self.head.split().freeze());
        }
        self.pieces.push_back(bytes.clone());
    }
}

impl Buf for SendBuffer {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&self.head, |piece| piece)
    }

    fn chunks_vectored<'a>(&'a self, out: &mut [IoSlice<'a>]) -> usize {
        let head = (!self.head.is_empty()).then_some(&self.head[..]);
        let pieces = self.pieces.iter().map(|piece| &piece[..]).chain(head);
        out.iter_mut().zip(pieces).map(|(slot, piece)| *slot = IoSlice::new(piece)).count()
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.bytes, "advanced by {count} of {} bytes", self.bytes);
        self.bytes -= count;
        while let Some(piece) = self.pieces.front_mut() {
            if count < piece.len() {
                piece.advance(count);
                return;
            }
            count -= piece.len();
            self.pieces.pop_front();
        }
        self.head.advance(count);
    }
}
