//! Every end has its reason, and no last word is lost.

use crate::mock::{Mock, Raw, ack, batch, bytes_of, serve, welcome};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, duplex};
use tokio::time::Instant;
use worker_net::Settings;
use worker_proto::Frame;
use worker_proto::frame::{GoAway, GoAwayWhy};
use worker_proto::limits::{FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX};

/// Lets a peer write `bytes`, of which it is told the class only, and returns what is known here.
async fn violation(greet: bool, bytes: &[u8]) -> String {
    let (near, far) = duplex(4096);
    let mock = Mock::new([]);
    serve(near, &mock, Settings::default());
    let mut peer = if greet { Raw::greeted(far).await } else { Raw::new(far) };
    peer.stream.write_all(bytes).await.unwrap();
    let class = GoAway { why: GoAwayWhy::Violation, message: String::new() };
    assert_eq!(peer.next().await, Some(Frame::GoAway(class)), "for {bytes:?}");
    assert_eq!(peer.next().await, None);
    drop(peer);
    mock.end().await
}

#[tokio::test(start_paused = true)]
async fn garbage_is_answered_with_the_class_of_the_reason() {
    let why = violation(false, b"GET / HTTP/1.1\r\nHost: worker\r\n\r\n").await;
    assert!(why.contains("expected at most 4096: is the peer a worker?"), "{why}");
    let why = violation(true, &[0, 0, 0, 2, 0x91, 99]).await;
    assert!(why.contains("frame kind 99 is unknown"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_frame_grows_with_the_handshake() {
    let prefix = |bytes: usize| u32::try_from(bytes).unwrap().to_be_bytes();
    let why = violation(false, &prefix(HANDSHAKE_FRAME_BYTES_MAX + 1)).await;
    assert!(why.contains("4097 bytes was announced, expected at most 4096"), "{why}");
    let why = violation(true, &prefix(FRAME_BYTES_MAX + 1)).await;
    assert!(why.contains("8388609 bytes was announced, expected at most 8388608"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn frames_before_the_broken_one_count() {
    let (near, far) = duplex(4096);
    let mock = Mock::new([]);
    let mut peer = Raw::greeted(far).await;
    peer.stream.write_all(&[&bytes_of([&ack()])[..], &[255; 4]].concat()).await.unwrap();
    serve(near, &mock, Settings::default());
    mock.end().await;
    assert_eq!(mock.received(), [welcome(), ack()]);
}

#[tokio::test(start_paused = true)]
async fn an_end_inside_a_frame_is_told_from_an_orderly_one() {
    for (bytes, expected) in [
        (&[][..], "the peer closed the connection"),
        (&[0, 0][..], "the peer closed the connection in the middle of a frame"),
        (&[0, 1, 0, 0, 0x97][..], "the peer closed the connection in the middle of a frame"),
    ] {
        let (near, far) = duplex(4096);
        let mock = Mock::new([]);
        serve(near, &mock, Settings::default());
        let mut peer = Raw::greeted(far).await;
        peer.stream.write_all(bytes).await.unwrap();
        drop(peer);
        assert_eq!(mock.end().await, expected);
        assert_eq!(mock.received(), [welcome()]);
    }
}

#[tokio::test(start_paused = true)]
async fn closing_writes_everything_first() {
    let (near, far) = duplex(10);
    let last = GoAway { why: GoAwayWhy::Leaving, message: "the end".into() };
    let frames = [welcome(), batch(1, 1, 30_000), batch(2, 1, 90_000), Frame::GoAway(last)];
    let mock = Mock::new(frames.clone());
    mock.with(|state| state.close = true);
    let start = Instant::now();
    serve(near, &mock, Settings::default());
    let mut peer = Raw::new(far);
    // The peer reads only after it has written all, which nobody wants any more.
    peer.send(&batch(1, 1, 90_000)).await;
    for frame in frames {
        assert_eq!(peer.next().await, Some(frame));
    }
    assert_eq!(peer.next().await, None);
    drop(peer);
    assert_eq!(mock.end().await, "closed by this node");
    assert_eq!(start.elapsed(), Duration::ZERO, "it waited for more than the peer's end");
}

#[tokio::test(start_paused = true)]
async fn closing_does_not_wait_for_a_peer_that_never_ends() {
    let (near, far) = duplex(10);
    let mock = Mock::new([welcome()]);
    mock.with(|state| state.close = true);
    let start = Instant::now();
    serve(near, &mock, Settings::default());
    mock.end().await;
    assert_eq!(start.elapsed().as_secs(), Settings::default().close_max.as_secs());
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_must_not_be_sent_ends_the_connection_and_nothing_else() {
    let (near, far) = duplex(4096);
    let mock = Mock::new([welcome(), batch(1, 1, FRAME_BYTES_MAX), ack()]);
    serve(near, &mock, Settings::default());
    let mut peer = Raw::new(far);
    assert_eq!(peer.next().await, Some(welcome()));
    assert_eq!(peer.next().await, None);
    drop(peer);
    let why = mock.end().await;
    assert!(why.contains("cannot be sent, the limit is 8388608"), "{why}");
}
