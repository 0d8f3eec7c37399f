//! The bytes of every frame kind, fixed in `tests/golden`: a change to them is a change of the protocol.
//!
//! `GOLDEN=write cargo test -p worker-proto --test wire` writes the files anew.

use bytes::{Buf, BufMut};
use std::path::{Path, PathBuf};
use worker_proto::frame::{
    Ack, BatchFrame, End, Frame, GoAway, GoAwayWhy, Hello, Open, Opened, Refused, RefusedWhy, Welcome,
};
use worker_proto::{
    Batch, ConnNo, Epoch, Fingerprint, Incarnation, JournalId, LinkId, RecvBuffer, SendBuffer, Seq,
};

const EPOCH: Epoch = Epoch(1_700_000_000_000_000);
const LINK: LinkId = LinkId(300);

#[test]
fn every_kind_of_frame_has_its_bytes() {
    for frame in frames() {
        let path = folder().join(format!("{}.hex", name(&frame)));
        let bytes = encoded(&frame);
        if std::env::var_os("GOLDEN").is_some_and(|v| v == "write") {
            std::fs::write(&path, hex(&bytes)).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(hex(&bytes), golden, "{} is encoded differently", path.display());
        assert_eq!(decoded(&unhex(&golden)), frame, "{} is decoded differently", path.display());
    }
}

#[test]
fn every_golden_file_belongs_to_a_frame() {
    let mut files: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut names: Vec<_> = frames().iter().map(|frame| name(frame).to_owned()).collect();
    files.sort();
    names.sort();
    assert_eq!(files, names);
}

/// One frame of every kind; [`name`] does not compile without a new kind.
fn frames() -> Vec<Frame> {
    let lines = Batch::from_terminated("one\ntwo\nthree\nfour\n".into(), b'\n');
    vec![
        Frame::Hello(Hello {
            protocol: 1,
            cluster: "access-log".into(),
            node: "a".into(),
            to: "b".into(),
            incarnation: Incarnation(EPOCH.0),
            conn_no: ConnNo(7),
            pipeline: Fingerprint(0x0123_4567_89ab_cdef),
            placement: Fingerprint(u64::MAX),
        }),
        Frame::Welcome(Welcome { node: "b".into(), incarnation: Incarnation(EPOCH.0 + 1) }),
        Frame::Open(Open {
            link: LINK,
            epoch: EPOCH,
            journal: JournalId(EPOCH.0),
            first_unacked: Seq(1),
            next: Seq(70_000),
        }),
        Frame::Opened(Opened {
            link: LINK,
            epoch: EPOCH,
            committed: Seq(500),
            received: Seq(600),
            finished: Seq(400),
            ended: false,
            journal: JournalId(EPOCH.0),
            credit: 4 << 20,
        }),
        Frame::Refused(Refused {
            link: LINK,
            epoch: EPOCH,
            why: RefusedWhy::UnknownLink,
            message: "größer als erlaubt".into(),
        }),
        Frame::Batch(BatchFrame { link: LINK, epoch: EPOCH, first_seq: Seq(42), batch: lines.slice(1..3) }),
        Frame::Ack(Ack { link: LINK, epoch: EPOCH, through: Seq(43), finished: Seq(42), credit: 8 << 20 }),
        Frame::End(End { link: LINK, epoch: EPOCH, seq: Seq(44) }),
        Frame::Bye,
        Frame::Ping(1),
        Frame::Pong(u64::MAX),
        Frame::GoAway(GoAway { why: GoAwayWhy::Superseded, message: "connection 8 took over".into() }),
    ]
}

fn name(frame: &Frame) -> &'static str {
    match frame {
        Frame::Hello(_) => "hello",
        Frame::Welcome(_) => "welcome",
        Frame::Open(_) => "open",
        Frame::Opened(_) => "opened",
        Frame::Refused(_) => "refused",
        Frame::Batch(_) => "batch",
        Frame::Ack(_) => "ack",
        Frame::End(_) => "end",
        Frame::Bye => "bye",
        Frame::Ping(_) => "ping",
        Frame::Pong(_) => "pong",
        Frame::GoAway(_) => "go_away",
    }
}

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut out = SendBuffer::new();
    out.push(frame).unwrap();
    out.copy_to_bytes(out.remaining()).to_vec()
}

fn decoded(bytes: &[u8]) -> Frame {
    let mut input = RecvBuffer::new();
    input.space().put_slice(bytes);
    let frame = input.next_frame().unwrap().expect("a whole frame");
    assert!(!input.is_amid_frame());
    frame
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// 16 bytes a line.
fn hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| line.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ") + "\n";
    bytes.chunks(16).map(line).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}
