//! Frames arrive whole, in order and in both directions at once.

use crate::mock::{Mock, PATIENCE, Raw, ack, batch, bytes_of, serve, welcome};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;
use worker_net::Settings;
use worker_proto::Frame;

/// A greeting and then frames of every size, from a few bytes to far more than any buffer.
fn mixture() -> Vec<Frame> {
    let mut frames = vec![welcome()];
    for (first, bytes) in [(1, 10), (2, 3_000), (3, 6_000), (4, 1), (5, 30_000), (6, 100)] {
        frames.extend([batch(first, 3, bytes), ack()]);
    }
    frames
}

#[tokio::test(start_paused = true)]
async fn both_directions_move_though_both_are_blocked() {
    for size in [1, 2, 5, 64, 1000, 100_000] {
        let (left, right) = duplex(size);
        let (one, other) = (Mock::new(mixture()), Mock::new(mixture()));
        let tasks = [serve(left, &one, Settings::default()), serve(right, &other, Settings::default())];
        for mock in [&one, &other] {
            mock.until("all came", |state| state.received.len() == mixture().len()).await;
            assert_eq!(mock.received(), mixture(), "through a pipe of {size} bytes");
        }
        tasks.iter().for_each(|(_, task)| task.abort());
    }
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_are_read_while_data_is_blocked() {
    let (near, far) = duplex(1000);
    let mock = Mock::new([welcome(), batch(1, 1, 50_000)]);
    serve(near, &mock, Settings::default());
    let mut peer = Raw::greeted(far).await;
    for _ in 0..100 {
        peer.send(&ack()).await;
    }
    mock.until("the acknowledgements came", |state| state.received.len() == 101).await;
    assert_eq!([peer.next().await.unwrap(), peer.next().await.unwrap()], [welcome(), batch(1, 1, 50_000)]);
}

#[tokio::test(start_paused = true)]
async fn one_burst_of_reads_gets_one_answer() {
    let (near, far) = duplex(64 * 1024);
    let mock = Mock::new([]);
    mock.with(|state| state.acks = true);
    let mut peer = Raw::greeted(far).await;
    let batches: Vec<_> = (1..100).map(|first| batch(first, 2, 200)).collect();
    peer.stream.write_all(&bytes_of(&batches)).await.unwrap();
    serve(near, &mock, Settings::default());
    assert_eq!(peer.next().await, Some(ack()));
    peer.send(&Frame::Ping(1)).await;
    assert_eq!(peer.next_of_all().await, Some(Frame::Pong(1)), "a second acknowledgement was sent");
    let (bursts, received) = mock.with(|state| (state.bursts, state.received.len()));
    assert!(bursts == 1 && received == 100, "{received} frames in {bursts} bursts");
    assert_eq!(
        mock.with(|state| state.transmits),
        3,
        "one at the start, one with the answer, one that finds no more"
    );
}

#[tokio::test(start_paused = true)]
async fn frames_are_asked_for_late() {
    let (near, far) = duplex(1000);
    let mock = Mock::new((0..50).map(|first| batch(first + 1, 1, 100_000)));
    serve(near, &mock, Settings::default());
    let mut peer = Raw::greeted(far).await;
    for read in 1..50 {
        peer.next().await.unwrap();
        // Whatever else happens while the next one is being written.
        peer.send(&ack()).await;
        mock.until("the acknowledgement came", |state| state.received.len() == read + 1).await;
        let (taken, given) = (50 - mock.with(|state| state.out.len()), read);
        assert!(taken <= given + 1, "{taken} frames were taken when {given} were written");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_makes_it_ask_again() {
    let (near, far) = duplex(1000);
    let mock = Mock::new([]);
    let (wake, _task) = serve(near, &mock, Settings::default());
    let mut peer = Raw::greeted(far).await;
    mock.until("the greeting came", |state| state.bursts == 1 && state.transmits > 0).await;
    for _ in 0..3 {
        mock.with(|state| state.out.push_back(ack()));
        wake.notify_one();
        assert_eq!(peer.next().await, Some(ack()));
    }
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_and_a_flood_of_them_takes_no_room() {
    let (near, far) = duplex(1000);
    let mock = Mock::new([]);
    serve(near, &mock, Settings::default());
    let mut peer = Raw::greeted(far).await;
    peer.send(&Frame::Ping(7)).await;
    assert_eq!(peer.next_of_all().await, Some(Frame::Pong(7)));
    // Nothing is read meanwhile: were every ping answered, the answers would pile up.
    for number in 0..10_000 {
        peer.send(&Frame::Ping(number)).await;
    }
    let mut answers = 0;
    while peer.next_of_all().await != Some(Frame::Pong(9_999)) {
        answers += 1;
    }
    assert!(answers < 1_000, "{answers} answers");
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_served_to_the_end() {
    let (near, far) = duplex(4096);
    let mock = Mock::new([welcome(), batch(1, 1, 200_000)]);
    serve(near, &mock, Settings::default());
    let mut peer = Raw::greeted(far).await;
    let mut bytes = Vec::new();
    while bytes.len() < 200_000 {
        // A minute in all, at a heartbeat a second.
        tokio::time::sleep(Duration::from_secs(1)).await;
        peer.send(&Frame::Ping(1)).await;
        let read = timeout(PATIENCE, peer.stream.read_buf(&mut bytes)).await.expect("no byte came").unwrap();
        assert!(read > 0, "it was closed: {:?}", mock.with(|state| state.closed.clone()));
    }
    assert_eq!(mock.with(|state| state.closed.clone()), None);
}
