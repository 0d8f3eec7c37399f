//! Bytes to frames.

use crate::codes::{Code, kind};
use crate::error::DecodeError;
use crate::frame::{Ack, BatchFrame, End, Frame, GoAway, Hello, Open, Opened, Refused, Welcome};
use crate::limits::{DEPTH_MAX, LENGTH_BYTES, SEQ_MAX, TEXT_BYTES_MAX};
use crate::{Batch, Seq};
use bytes::Bytes;
use rmp_serde::decode::ReadReader;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::io::Cursor;

/// A frame from its body; a batch's buffers are parts of `body`.
pub(crate) fn decode_shared(body: &Bytes) -> Result<Frame, DecodeError> {
    decode(body, |part| body.slice_ref(part))
}

/// A frame from its body; a batch's buffers are copied out of it.
pub(crate) fn decode_copied(body: &[u8]) -> Result<Frame, DecodeError> {
    decode(body, Bytes::copy_from_slice)
}

/// The length of the body that `prefix` begins with; `None` if the prefix is not complete.
pub(crate) fn body_len(bytes: &[u8], limit: usize) -> Result<Option<usize>, DecodeError> {
    let Some(prefix) = bytes.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let bytes = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
    if bytes > limit { Err(DecodeError::TooLong { bytes, limit }) } else { Ok(Some(bytes)) }
}

fn decode(body: &[u8], own: impl FnOnce(&[u8]) -> Bytes) -> Result<Frame, DecodeError> {
    let mut rest = body;
    let not_a_frame = DecodeError::NotAFrame;
    let count = rmp::decode::read_array_len(&mut rest).map_err(|_| not_a_frame.clone())?;
    let kind: u64 = rmp::decode::read_int(&mut rest).map_err(|_| not_a_frame.clone())?;
    let count = count.checked_sub(1).ok_or(not_a_frame)?;
    let unknown = DecodeError::UnknownKind { kind };
    let Ok(kind) = u8::try_from(kind) else { return Err(unknown) };
    if kind == kind::BATCH {
        return batch(rest, count, own);
    }
    let Some((name, read)) = reader(kind) else { return Err(unknown) };
    let mut fields = Fields::new(name, rest, count);
    let frame = read(&mut fields)?;
    fields.finish()?;
    Ok(frame)
}

type Read = fn(&mut Fields<'_>) -> Result<Frame, DecodeError>;

/// Name and reader of a control frame.
fn reader(kind: u8) -> Option<(&'static str, Read)> {
    Some(match kind {
        kind::HELLO => ("Hello", hello),
        kind::WELCOME => ("Welcome", |f| {
            let node = f.text("node")?;
            Ok(Frame::Welcome(Welcome { node, incarnation: f.take("incarnation")? }))
        }),
        kind::OPEN => ("Open", open),
        kind::OPENED => ("Opened", opened),
        kind::REFUSED => ("Refused", |f| {
            let (link, epoch) = (f.take("link")?, f.take("epoch")?);
            Ok(Frame::Refused(Refused { link, epoch, why: f.code("why")?, message: f.text("message")? }))
        }),
        kind::ACK => ("Ack", ack),
        kind::END => ("End", |f| {
            let (link, epoch) = (f.take("link")?, f.take("epoch")?);
            Ok(Frame::End(End { link, epoch, seq: f.tuple_seq("seq")? }))
        }),
        kind::BYE => ("Bye", |_| Ok(Frame::Bye)),
        kind::PING => ("Ping", |f| Ok(Frame::Ping(f.take("number")?))),
        kind::PONG => ("Pong", |f| Ok(Frame::Pong(f.take("number")?))),
        kind::GO_AWAY => ("GoAway", |f| {
            let why = f.code("why")?;
            Ok(Frame::GoAway(GoAway { why, message: f.text("message")? }))
        }),
        _ => return None,
    })
}

fn hello(f: &mut Fields<'_>) -> Result<Frame, DecodeError> {
    Ok(Frame::Hello(Hello {
        protocol: f.take("protocol")?,
        cluster: f.text("cluster")?,
        node: f.text("node")?,
        to: f.text("to")?,
        incarnation: f.take("incarnation")?,
        conn_no: f.take("conn_no")?,
        pipeline: f.take("pipeline")?,
        placement: f.take("placement")?,
    }))
}

fn open(f: &mut Fields<'_>) -> Result<Frame, DecodeError> {
    let open = Open {
        link: f.take("link")?,
        epoch: f.take("epoch")?,
        journal: f.take("journal")?,
        first_unacked: f.tuple_seq("first_unacked")?,
        next: f.tuple_seq("next")?,
    };
    f.rule(open.first_unacked <= open.next, "first_unacked ≤ next")?;
    Ok(Frame::Open(open))
}

fn opened(f: &mut Fields<'_>) -> Result<Frame, DecodeError> {
    let opened = Opened {
        link: f.take("link")?,
        epoch: f.take("epoch")?,
        committed: f.seq("committed")?,
        received: f.seq("received")?,
        finished: f.seq("finished")?,
        ended: f.take("ended")?,
        journal: f.take("journal")?,
        credit: f.bounded("credit")?,
    };
    f.rule(opened.finished <= opened.committed, "finished ≤ committed")?;
    Ok(Frame::Opened(opened))
}

fn ack(f: &mut Fields<'_>) -> Result<Frame, DecodeError> {
    let ack = Ack {
        link: f.take("link")?,
        epoch: f.take("epoch")?,
        through: f.seq("through")?,
        finished: f.seq("finished")?,
        credit: f.bounded("credit")?,
    };
    f.rule(ack.finished <= ack.through, "finished ≤ through")?;
    Ok(Frame::Ack(ack))
}

/// Both buffers lie side by side in the body and are taken over as one piece.
fn batch(body: &[u8], count: u32, own: impl FnOnce(&[u8]) -> Bytes) -> Result<Frame, DecodeError> {
    const NAME: &str = "Batch";
    const FIELDS: [&str; 6] = ["link", "epoch", "first_seq", "base", "ends", "payload"];
    let bad = |field, why: &dyn ToString| DecodeError::BadField { frame: NAME, field, why: why.to_string() };
    if let Some(missing) = FIELDS.get(count as usize) {
        return Err(DecodeError::MissingField { frame: NAME, field: missing });
    }
    let mut rest = body;
    let link = rmp::decode::read_int(&mut rest).map_err(|e| bad(FIELDS[0], &e))?;
    let epoch = rmp::decode::read_int(&mut rest).map_err(|e| bad(FIELDS[1], &e))?;
    let first_seq: u64 = rmp::decode::read_int(&mut rest).map_err(|e| bad(FIELDS[2], &e))?;
    let base = rmp::decode::read_int(&mut rest).map_err(|e| bad(FIELDS[3], &e))?;
    let (ends, behind) = bin(rest).map_err(|why| bad(FIELDS[4], &why))?;
    let start = body.len() - behind.len() - ends.len();
    let (payload, behind) = bin(behind).map_err(|why| bad(FIELDS[5], &why))?;
    let end = body.len() - behind.len();
    Fields::new(NAME, behind, count - 6).finish()?;

    let both = own(&body[start..end]);
    let (ends, payload) = (both.slice(..ends.len()), both.slice(both.len() - payload.len()..));
    let batch = Batch::from_parts(payload, ends, base)?;
    if batch.is_empty() {
        return Err(DecodeError::Rule { frame: NAME, rule: "at least one record" });
    }
    let last = first_seq.saturating_add(batch.len() as u64);
    if first_seq == 0 || last > SEQ_MAX {
        return Err(DecodeError::OutOfRange { frame: NAME, field: FIELDS[2], value: first_seq });
    }
    let (link, epoch, first_seq) = (crate::LinkId(link), crate::Epoch(epoch), Seq(first_seq));
    Ok(Frame::Batch(BatchFrame { link, epoch, first_seq, batch }))
}

/// A byte string at the start of `bytes`, and what follows it.
fn bin(bytes: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let mut rest = bytes;
    let len = rmp::decode::read_bin_len(&mut rest).map_err(|e| e.to_string())? as usize;
    rest.split_at_checked(len).ok_or_else(|| format!("{len} bytes announced, {} left", rest.len()))
}

/// The fields of a control frame, in order.
struct Fields<'a> {
    frame: &'static str,
    bytes: &'a [u8],
    rest: rmp_serde::Deserializer<ReadReader<Cursor<&'a [u8]>>>,
    left: u32,
}

impl<'a> Fields<'a> {
    fn new(frame: &'static str, bytes: &'a [u8], left: u32) -> Self {
        let mut rest = rmp_serde::Deserializer::new(Cursor::new(bytes));
        rest.set_max_depth(DEPTH_MAX);
        Self { frame, bytes, rest, left }
    }

    fn take<T: DeserializeOwned>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        let frame = self.frame;
        self.left = self.left.checked_sub(1).ok_or(DecodeError::MissingField { frame, field })?;
        T::deserialize(&mut self.rest).map_err(|e| self.bad(field, e.to_string()))
    }

    fn text(&mut self, field: &'static str) -> Result<String, DecodeError> {
        let text: String = self.take(field)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(DecodeError::LongText { frame: self.frame, field, bytes: text.len() });
        }
        Ok(text)
    }

    /// A position that may be 0.
    fn seq(&mut self, field: &'static str) -> Result<Seq, DecodeError> {
        self.bounded(field).map(Seq)
    }

    /// A position of a tuple: never 0.
    fn tuple_seq(&mut self, field: &'static str) -> Result<Seq, DecodeError> {
        match self.seq(field)? {
            Seq::ZERO => Err(DecodeError::OutOfRange { frame: self.frame, field, value: 0 }),
            seq => Ok(seq),
        }
    }

    fn bounded(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        let value = self.take(field)?;
        if value > SEQ_MAX {
            return Err(DecodeError::OutOfRange { frame: self.frame, field, value });
        }
        Ok(value)
    }

    fn code<T: Code>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        let code: u8 = self.take(field)?;
        T::from_code(code)
            .ok_or_else(|| self.bad(field, format!("{code} is unknown, expected {}", T::EXPECTED)))
    }

    fn rule(&self, holds: bool, rule: &'static str) -> Result<(), DecodeError> {
        if holds { Ok(()) } else { Err(DecodeError::Rule { frame: self.frame, rule }) }
    }

    /// Skips what a newer version may have appended; then the body must be used up.
    fn finish(mut self) -> Result<(), DecodeError> {
        const FIELD: &str = "(unknown)";
        for _ in 0..self.left {
            IgnoredAny::deserialize(&mut self.rest).map_err(|e| self.bad(FIELD, e.to_string()))?;
        }
        let read = usize::try_from(self.rest.position()).unwrap_or(usize::MAX);
        match self.bytes.len().saturating_sub(read) {
            0 => Ok(()),
            bytes => Err(DecodeError::Trailing { frame: self.frame, bytes }),
        }
    }

    fn bad(&self, field: &'static str, why: String) -> DecodeError {
        DecodeError::BadField { frame: self.frame, field, why }
    }
}
