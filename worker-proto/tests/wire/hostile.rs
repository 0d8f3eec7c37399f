//! Bytes that no worker sends: always a typed error or a wait for more, never a panic.

use crate::arbitrary::any_frame;
use crate::exercise::exercise;
use bytes::{Buf, BufMut};
use proptest::prelude::*;
use worker_proto::limits::{FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX, SEQ_MAX};
use worker_proto::{BatchError, DecodeError, Frame, RecvBuffer, SendBuffer};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_bytes_do_no_harm(data in prop::collection::vec(any::<u8>(), 0..300)) {
        exercise(&data);
    }

    #[test]
    fn arbitrary_bodies_do_no_harm(
        mode in any::<u8>(), kind in 0_u8..15, count in 0_u8..12, fields in prop::collection::vec(any::<u8>(), 0..120),
    ) {
        exercise(&framed(mode, &[&[0x90 + count, kind], &fields[..]].concat()));
    }

    #[test]
    fn damaged_frames_do_no_harm(
        mode in any::<u8>(),
        frames in prop::collection::vec(any_frame(), 1..4),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut data = vec![mode];
        let mut out = SendBuffer::new();
        frames.iter().for_each(|frame| out.push(frame).unwrap());
        data.extend_from_slice(&out.copy_to_bytes(out.remaining()));
        let whole = damage.is_empty() && cut.is_none() && mode & 1 == 1;
        for (at, byte) in damage {
            let at = at.index(data.len());
            data[at] = byte;
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        let found = exercise(&data);
        prop_assert!(!whole || found == frames.len());
    }
}

#[test]
fn the_length_is_checked_before_anything_else() {
    let over = |bytes: usize| u32::try_from(bytes + 1).unwrap().to_be_bytes();
    let early = decode(&over(HANDSHAKE_FRAME_BYTES_MAX), false).unwrap_err();
    let limit = HANDSHAKE_FRAME_BYTES_MAX;
    assert_eq!(early, DecodeError::TooLong { bytes: limit + 1, limit });
    assert_eq!(decode(&over(HANDSHAKE_FRAME_BYTES_MAX), true), Ok(None));
    let late = decode(&over(FRAME_BYTES_MAX), true).unwrap_err();
    assert_eq!(late, DecodeError::TooLong { bytes: FRAME_BYTES_MAX + 1, limit: FRAME_BYTES_MAX });
}

#[test]
fn each_broken_rule_has_its_error() {
    let deep = [&[0x92, 9][..], &[0x91; 1000], &[1]].concat();
    let long = [&[0x93, 12, 8, 0xda, 4, 1][..], &[b'x'; 1025]].concat();
    let cases: [(&[u8], &str); 19] = [
        (&[], "does not begin"),
        (&[0x90], "does not begin"),
        (b"GET / HTTP/1.1\r\n\r\n", "does not begin"),
        (&[0x91, 0xa1, b'x'], "does not begin"),
        (&[0x91, 0], "kind 0 is unknown"),
        (&[0x91, 0xcd, 1, 6], "kind 262 is unknown"),
        (&[0x91, 10], "Ping has no field number"),
        (&[0x92, 10, 0xc0], "Ping: field number is malformed"),
        (&[0x92, 10, 1, 1], "Ping: 1 bytes follow"),
        (&[0x93, 12, 77, 0xa0], "77 is unknown, expected 1 to 13"),
        (&long, "GoAway: field message has 1025 bytes"),
        (&deep, "Bye: field (unknown) is malformed: depth limit exceeded"),
        (&[0x94, 8, 1, 1, 0], "End: field seq is 0"),
        (&[0x94, 8, 1, 1, 0xcf, 255, 255, 255, 255, 255, 255, 255, 255], "End: field seq is 1844"),
        (&[0x96, 7, 1, 1, 4, 5, 0], "Ack breaks the rule: finished ≤ through"),
        (&[0x96, 3, 1, 1, 1, 5, 4], "Open breaks the rule: first_unacked ≤ next"),
        (&[0x97, 6, 1, 1, 1, 0, 0xc4, 0, 0xc4, 0], "at least one record"),
        (&[0x97, 6, 1, 1, 1, 0, 0xc4, 4, 0, 0, 0, 0, 0xc6, 255, 0, 0, 0], "announced, 0 left"),
        (&[0x97, 6, 1, 1, 0, 0, 0xc4, 4, 1, 0, 0, 0, 0xc4, 1, b'\n'], "Batch: field first_seq is 0"),
    ];
    for (body, expected) in cases {
        let error = decode(&framed(0, body)[1..], true).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error:?} does not say {expected:?}");
    }
}

#[test]
fn offsets_that_do_not_fit_the_payload_are_an_error() {
    let body = [0x97, 6, 1, 1, 1, 0, 0xc4, 4, 9, 0, 0, 0, 0xc4, 2, b'a', b'\n'];
    let wrong = BatchError::WrongEnd { last: 9, payload: 2 };
    assert_eq!(decode(&framed(0, &body)[1..], true), Err(DecodeError::Batch(wrong)));
}

#[test]
fn records_past_the_last_position_are_an_error() {
    let seq = SEQ_MAX.to_be_bytes();
    let body = [&[0x97, 6, 1, 1, 0xcf][..], &seq, &[0, 0xc4, 4, 1, 0, 0, 0, 0xc4, 1, b'\n']].concat();
    let error = DecodeError::OutOfRange { frame: "Batch", field: "first_seq", value: SEQ_MAX };
    assert_eq!(decode(&framed(0, &body)[1..], true), Err(error));
}

#[test]
fn fields_of_a_newer_version_are_skipped() {
    let ping = [0x95, 10, 5, 0xa1, b'x', 0x92, 1, 2, 0x81, 0xa1, b'k', 0xc3];
    assert_eq!(decode(&framed(0, &ping)[1..], true), Ok(Some(Frame::Ping(5))));
    let batch = [0x98, 6, 1, 1, 1, 0, 0xc4, 4, 2, 0, 0, 0, 0xc4, 2, b'a', b'\n', 0xc0];
    let Ok(Some(Frame::Batch(frame))) = decode(&framed(0, &batch)[1..], true) else { panic!("no batch") };
    assert_eq!(frame.batch.record(0), b"a\n");
}

/// A fuzz input of one frame.
fn framed(mode: u8, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[mode][..], &len, body].concat()
}

fn decode(bytes: &[u8], known: bool) -> Result<Option<Frame>, DecodeError> {
    let mut input = RecvBuffer::new();
    if known {
        input.handshake_done();
    }
    let mut rest = bytes;
    loop {
        let mut space = input.space();
        let count = space.remaining_mut().min(rest.len());
        space.put_slice(&rest[..count]);
        rest.advance(count);
        match input.next_frame()? {
            None if rest.has_remaining() => {}
            found => return Ok(found),
        }
    }
}
