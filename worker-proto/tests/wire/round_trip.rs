//! What is sent is what is received, wherever the bytes are split.

use crate::arbitrary::{any_batch_frame, any_frame, batch_of};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use proptest::prelude::*;
use std::io::IoSlice;
use tokio_util::codec::{Decoder, Encoder};
use worker_proto::frame::{BatchFrame, Frame, GoAway, GoAwayWhy, Hello};
use worker_proto::limits::{
    FRAME_BYTES_MAX, FRAME_OVERHEAD_BYTES, HANDSHAKE_FRAME_BYTES_MAX, LENGTH_BYTES, PROTOCOL, SEQ_MAX,
    TEXT_BYTES_MAX,
};
use worker_proto::{
    Batch, ConnNo, EncodeError, Epoch, Fingerprint, FrameCodec, Incarnation, LinkId, RecvBuffer, SendBuffer,
    Seq,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn frames_survive_any_split(
        frames in prop::collection::vec(any_frame(), 1..12),
        pieces in prop::collection::vec(1_usize..3000, 1..8),
    ) {
        let mut out = SendBuffer::new();
        frames.iter().for_each(|frame| out.push(frame).unwrap());
        let mut input = open_buffer();
        let mut received = Vec::new();
        let mut pieces = pieces.iter().cycle();
        while out.has_remaining() {
            let mut space = input.space();
            let count = (*pieces.next().unwrap()).min(space.remaining_mut()).min(out.chunk().len());
            space.put_slice(&out.chunk()[..count]);
            out.advance(count);
            while let Some(frame) = input.next_frame().unwrap() {
                received.push(frame);
            }
        }
        prop_assert!(out.is_empty() && !input.is_amid_frame());
        prop_assert_eq!(received, frames);
    }

    #[test]
    fn codec_and_buffers_speak_alike(frames in prop::collection::vec(any_frame(), 1..6)) {
        let mut out = SendBuffer::new();
        let mut bytes = BytesMut::new();
        let mut codec = FrameCodec::new();
        codec.handshake_done();
        for frame in &frames {
            out.push(frame).unwrap();
            codec.encode(frame, &mut bytes).unwrap();
        }
        prop_assert_eq!(&gathered(&out), &bytes[..]);
        for frame in &frames {
            let decoded = codec.decode(&mut bytes).unwrap();
            prop_assert_eq!(decoded.as_ref(), Some(frame));
        }
        prop_assert!(codec.decode(&mut bytes).unwrap().is_none());
    }

    #[test]
    fn a_partly_written_buffer_gives_the_rest(frame in any_batch_frame(300, 100), cut in any::<prop::sample::Index>()) {
        let mut out = SendBuffer::new();
        out.push(&frame).unwrap();
        out.push(&Frame::Ping(3)).unwrap();
        let all = gathered(&out);
        let cut = cut.index(all.len() + 1);
        out.advance(cut);
        prop_assert_eq!(gathered(&out), &all[cut..]);
        prop_assert_eq!(out.remaining(), all.len() - cut);
    }
}

#[test]
fn a_large_payload_is_neither_copied_when_sent_nor_when_received() {
    let batch = Batch::from_terminated(Bytes::from(vec![b'\n'; 100_000]), b'\n');
    let frame = batch_frame(batch.clone());
    let mut out = SendBuffer::new();
    out.push(&frame).unwrap();
    let mut slices = [IoSlice::new(&[]); 8];
    let count = out.chunks_vectored(&mut slices);
    let shared = |bytes: &Bytes| slices[..count].iter().any(|piece| piece.as_ptr() == bytes.as_ptr());
    assert!(shared(batch.payload()) && shared(batch.raw_ends()));

    let mut input = open_buffer();
    let received = receive(&mut input, &gathered(&out)).remove(0);
    let Frame::Batch(received) = received else { panic!("{received:?}") };
    let (ends, payload) = (received.batch.raw_ends(), received.batch.payload());
    // One buffer holds both, with the payload's byte string header (1 + 4 bytes) between them.
    assert_eq!(ends.as_ptr() as usize + ends.len() + 5, payload.as_ptr() as usize);
}

#[test]
fn the_largest_record_fits_one_frame() {
    let record = |bytes: usize| batch_frame(batch_of(&[vec![b'x'; bytes]]));
    let largest = {
        let Frame::Batch(mut frame) = record(FRAME_BYTES_MAX - FRAME_OVERHEAD_BYTES) else { unreachable!() };
        frame.link = LinkId(u32::MAX);
        frame.epoch = Epoch(u64::MAX);
        frame.first_seq = Seq(SEQ_MAX - 1);
        Frame::Batch(frame)
    };
    let mut out = SendBuffer::new();
    out.push(&largest).unwrap();
    assert_eq!(receive(&mut open_buffer(), &gathered(&out)), [largest]);

    let before = out.remaining();
    let refused = out.push(&record(FRAME_BYTES_MAX)).unwrap_err();
    assert!(matches!(refused, EncodeError::TooLong { bytes } if bytes > FRAME_BYTES_MAX), "{refused}");
    assert_eq!(out.remaining(), before);
}

#[test]
fn a_batch_without_records_is_not_sent() {
    assert_eq!(SendBuffer::new().push(&batch_frame(Batch::empty())), Err(EncodeError::EmptyBatch));
}

#[test]
fn long_text_is_cut_at_a_character() {
    let message = "ä".repeat(TEXT_BYTES_MAX);
    let mut out = SendBuffer::new();
    out.push(&Frame::GoAway(GoAway { why: GoAwayWhy::Failed, message: format!("x{message}") })).unwrap();
    let received = receive(&mut RecvBuffer::new(), &gathered(&out)).remove(0);
    let Frame::GoAway(GoAway { message, .. }) = received else { panic!("{received:?}") };
    assert_eq!(message.len(), TEXT_BYTES_MAX - 1);
}

#[test]
fn the_longest_hello_fits_the_handshake() {
    let text = "n".repeat(TEXT_BYTES_MAX + 1);
    let hello = Frame::Hello(Hello {
        protocol: PROTOCOL,
        cluster: text.clone(),
        node: text.clone(),
        to: text,
        incarnation: Incarnation(u64::MAX),
        conn_no: ConnNo(u64::MAX),
        pipeline: Fingerprint(u64::MAX),
        placement: Fingerprint(u64::MAX),
    });
    let mut out = SendBuffer::new();
    out.push(&hello).unwrap();
    assert!(out.remaining() <= LENGTH_BYTES + HANDSHAKE_FRAME_BYTES_MAX, "{} bytes", out.remaining());
    assert_eq!(receive(&mut RecvBuffer::new(), &gathered(&out)).len(), 1);
}

fn batch_frame(batch: Batch) -> Frame {
    Frame::Batch(BatchFrame { link: LinkId(1), epoch: Epoch(1), first_seq: Seq(1), batch })
}

fn open_buffer() -> RecvBuffer {
    let mut input = RecvBuffer::new();
    input.handshake_done();
    input
}

/// What a vectored write would write.
fn gathered(out: &SendBuffer) -> Vec<u8> {
    let mut slices = vec![IoSlice::new(&[]); 4096];
    let count = out.chunks_vectored(&mut slices);
    slices[..count].iter().flat_map(|piece| piece.iter().copied()).collect()
}

fn receive(input: &mut RecvBuffer, mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while bytes.has_remaining() {
        let mut space = input.space();
        let count = space.remaining_mut().min(bytes.len());
        space.put_slice(&bytes[..count]);
        bytes.advance(count);
        while let Some(frame) = input.next_frame().unwrap() {
            frames.push(frame);
        }
    }
    frames
}
