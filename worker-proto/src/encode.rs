//! Frames to bytes.

use crate::codes::{Code, kind};
use crate::error::EncodeError;
use crate::frame::{BatchFrame, Frame};
use crate::limits::{FRAME_BYTES_MAX, LENGTH_BYTES, TEXT_BYTES_MAX};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

const IN_MEMORY: &str = "writing to memory does not fail";

/// Where an encoded frame goes: small parts into `head`, a batch's buffers through `put`, all in the order of the calls.
pub(crate) trait Out {
    /// The buffer that small parts are appended to.
    fn head(&mut self) -> &mut BytesMut;

    /// Appends a buffer, if possible without copying it.
    fn put(&mut self, bytes: &Bytes);
}

/// Copies everything into one buffer.
impl Out for BytesMut {
    fn head(&mut self) -> &mut BytesMut {
        self
    }

    fn put(&mut self, bytes: &Bytes) {
        self.extend_from_slice(bytes);
    }
}

/// Appends length prefix and body; says how many bytes that were. After an error nothing was appended.
pub(crate) fn encode(frame: &Frame, out: &mut impl Out) -> Result<usize, EncodeError> {
    if let Frame::Batch(batch) = frame {
        return encode_batch(batch, out);
    }
    let head = out.head();
    let start = begin(head);
    control(frame, head);
    finish(head, start, 0)
}

/// The body of every frame but `Batch`.
fn control(frame: &Frame, head: &mut BytesMut) {
    match frame {
        Frame::Hello(h) => {
            let texts = (clip(&h.cluster), clip(&h.node), clip(&h.to));
            let prints = (h.pipeline, h.placement);
            fields(
                head,
                &(
                    kind::HELLO,
                    h.protocol,
                    texts.0,
                    texts.1,
                    texts.2,
                    h.incarnation,
                    h.conn_no,
                    prints.0,
                    prints.1,
                ),
            );
        }
        Frame::Welcome(w) => fields(head, &(kind::WELCOME, clip(&w.node), w.incarnation)),
        Frame::Open(o) => {
            fields(head, &(kind::OPEN, o.link, o.epoch, o.journal, o.first_unacked, o.next));
        }
        Frame::Opened(o) => {
            let positions = (o.committed, o.received, o.finished);
            fields(
                head,
                &(
                    kind::OPENED,
                    o.link,
                    o.epoch,
                    positions.0,
                    positions.1,
                    positions.2,
                    o.ended,
                    o.journal,
                    o.credit,
                ),
            );
        }
        Frame::Refused(r) => {
            fields(head, &(kind::REFUSED, r.link, r.epoch, r.why.code(), clip(&r.message)));
        }
        Frame::Ack(a) => {
            fields(head, &(kind::ACK, a.link, a.epoch, a.through, a.finished, a.credit));
        }
        Frame::End(e) => fields(head, &(kind::END, e.link, e.epoch, e.seq)),
        Frame::Bye => fields(head, &(kind::BYE,)),
        Frame::Ping(number) => fields(head, &(kind::PING, number)),
        Frame::Pong(number) => fields(head, &(kind::PONG, number)),
        Frame::GoAway(g) => fields(head, &(kind::GO_AWAY, g.why.code(), clip(&g.message))),
        Frame::Batch(_) => unreachable!("encode() handles batches"),
    }
}

/// `[kind, link, epoch, first_seq, base, bin(ends), bin(payload)]`, by hand so that neither buffer is copied.
fn encode_batch(frame: &BatchFrame, out: &mut impl Out) -> Result<usize, EncodeError> {
    let batch = &frame.batch;
    if batch.is_empty() {
        return Err(EncodeError::EmptyBatch);
    }
    let (ends, payload) = (batch.raw_ends(), batch.payload());
    let too_long = |_| EncodeError::TooLong { bytes: ends.len().saturating_add(payload.len()) };
    let ends_len = u32::try_from(ends.len()).map_err(too_long)?;
    let payload_len = u32::try_from(payload.len()).map_err(too_long)?;

    let head = out.head();
    let start = begin(head);
    fields(head, &BatchHead(kind::BATCH, frame));
    bin_len(head, ends_len);
    let written = finish(head, start, ends.len() + bin_len_bytes(payload_len) + payload.len())?;
    out.put(ends);
    bin_len(out.head(), payload_len);
    out.put(payload);
    Ok(written)
}

/// The five fields before a batch's buffers, in an array that announces seven.
struct BatchHead<'a>(u8, &'a BatchFrame);

impl Serialize for BatchHead<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeTuple;
        let BatchHead(kind, frame) = self;
        let mut tuple = serializer.serialize_tuple(7)?;
        tuple.serialize_element(kind)?;
        tuple.serialize_element(&frame.link)?;
        tuple.serialize_element(&frame.epoch)?;
        tuple.serialize_element(&frame.first_seq)?;
        tuple.serialize_element(&frame.batch.base())?;
        tuple.end()
    }
}

/// Leaves room for the length prefix and returns where it is.
fn begin(head: &mut BytesMut) -> usize {
    let start = head.len();
    head.put_u32(0);
    start
}

/// Fills in the length prefix, counting `more` bytes that are still to come. Takes everything back if it is too long.
fn finish(head: &mut BytesMut, start: usize, more: usize) -> Result<usize, EncodeError> {
    let bytes = head.len() - start - LENGTH_BYTES + more;
    let prefix = match u32::try_from(bytes) {
        Ok(prefix) if bytes <= FRAME_BYTES_MAX => prefix,
        _ => {
            head.truncate(start);
            return Err(EncodeError::TooLong { bytes });
        }
    };
    head[start..start + LENGTH_BYTES].copy_from_slice(&prefix.to_be_bytes());
    Ok(LENGTH_BYTES + bytes)
}

fn fields(head: &mut BytesMut, fields: &impl Serialize) {
    rmp_serde::encode::write(&mut head.writer(), fields).expect(IN_MEMORY);
}

fn bin_len(head: &mut BytesMut, len: u32) {
    rmp::encode::write_bin_len(&mut head.writer(), len).expect(IN_MEMORY);
}

/// How many bytes [`bin_len`] writes.
fn bin_len_bytes(len: u32) -> usize {
    match len {
        0..=0xff => 2,
        0x100..=0xffff => 3,
        _ => 5,
    }
}

/// The longest start of `text` that may travel.
fn clip(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
