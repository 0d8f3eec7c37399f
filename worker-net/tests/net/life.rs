//! Silence ends a connection, slowness does not.

use crate::mock::{Mock, Raw, batch, bytes_of, serve, welcome};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, duplex};
use tokio::time::{Instant, sleep};
use worker_net::Settings;
use worker_proto::Frame;
use worker_proto::frame::{GoAway, GoAwayWhy};

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_noticed_after_six_seconds() {
    let (near, far) = duplex(64);
    let mock = Mock::new([welcome(), batch(1, 1, 10_000)]);
    let _peer = Raw::greeted(far).await;
    let start = Instant::now();
    serve(near, &mock, Settings::default());
    let why = mock.end().await;
    assert!(why.contains("nothing was heard for 6.0 s"), "{why}");
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(6) && took < Duration::from_millis(6100), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_frame_waits_for_nothing() {
    let (near, far) = duplex(64);
    let start = Instant::now();
    serve(near, &Mock::new([welcome()]), Settings::default());
    assert_eq!(Raw::new(far).next().await, Some(welcome()));
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_trickle_of_bytes_is_a_sign_of_life() {
    let (near, far) = duplex(64);
    let mock = Mock::new([]);
    serve(near, &mock, Settings { frame_max: Duration::from_secs(3600), ..Settings::default() });
    let mut peer = Raw::greeted(far).await;
    let frame = batch(1, 1, 50);
    for byte in bytes_of([&frame]) {
        sleep(Duration::from_secs(5)).await;
        peer.stream.write_all(&[byte]).await.unwrap();
    }
    mock.until("the frame came", |state| state.received.len() == 2).await;
    assert_eq!(mock.received(), [welcome(), frame]);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_does_not_end_ends_the_connection() {
    let (near, far) = duplex(64);
    let mock = Mock::new([]);
    let start = Instant::now();
    serve(near, &mock, Settings::default());
    let mut peer = Raw::greeted(far).await;
    for byte in &bytes_of([&batch(1, 1, 50)])[..20] {
        peer.stream.write_all(&[*byte]).await.unwrap();
        sleep(Duration::from_millis(500)).await;
    }
    let Some(Frame::GoAway(GoAway { why, .. })) = peer.next().await else { panic!("no GoAway") };
    assert_eq!((why, start.elapsed().as_secs()), (GoAwayWhy::Timeout, 10));
    drop(peer);
    let why = mock.end().await;
    assert!(why.contains("a frame was begun 10.0 s ago"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_lives_on_heartbeats() {
    let (left, right) = duplex(64);
    let (one, other) = (Mock::new([welcome()]), Mock::new([]));
    serve(left, &one, Settings::default());
    serve(right, &other, Settings::default());
    sleep(Duration::from_secs(600)).await;
    assert_eq!(
        (one.with(|state| state.closed.clone()), other.with(|state| state.closed.clone())),
        (None, None)
    );
    assert_eq!(other.received(), [welcome()], "heartbeats reached the endpoint");
}

#[tokio::test]
async fn a_process_that_was_stopped_gives_its_peer_time() {
    let (near, far) = duplex(4096);
    let mock = Mock::new([]);
    let tick = Duration::from_millis(100);
    let settings = Settings { ping_every: tick, dead_after: tick * 10, ..Settings::default() };
    serve(near, &mock, settings);
    let _peer = Raw::greeted(far).await;
    mock.until("the greeting came", |state| state.bursts == 1).await;
    std::thread::sleep(tick * 12);
    let awake = Instant::now();
    mock.end().await;
    assert!(awake.elapsed() >= tick * 9, "dead after only {:?}", awake.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_greeting_is_sent_away_after_five_seconds() {
    let (near, far) = duplex(4096);
    let mock = Mock::new([]);
    let start = Instant::now();
    serve(near, &mock, Settings::default());
    let mut peer = Raw::new(far);
    peer.send(&Frame::Ping(1)).await;
    sleep(Duration::from_secs(3)).await;
    peer.send(&Frame::Ping(2)).await;
    let Some(Frame::GoAway(GoAway { why, message })) = peer.next().await else { panic!("no GoAway") };
    assert_eq!((why, start.elapsed().as_secs()), (GoAwayWhy::Timeout, 5));
    assert_eq!((peer.next().await, message.as_str()), (None, ""));
    drop(peer);
    let why = mock.end().await;
    assert!(why.contains("no handshake within 5s"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_ping_tells_the_round_trip_and_a_late_or_wrong_one_does_not() {
    let (near, far) = duplex(4096);
    let mock = Mock::new([]);
    serve(near, &mock, Settings::default());
    let mut peer = Raw::greeted(far).await;
    for (wait_ms, number) in [(30, 1), (50, 1), (70, 3)] {
        let Some(Frame::Ping(ping)) = peer.next_of_all().await else { panic!("no ping") };
        sleep(Duration::from_millis(wait_ms)).await;
        peer.send(&Frame::Pong(number)).await;
        assert!(ping <= 3);
    }
    mock.until("two were answered", |state| state.round_trips.len() == 2).await;
    let trips = mock.with(|state| state.round_trips.clone());
    assert_eq!(trips, [Duration::from_millis(30), Duration::from_millis(70)]);
}
