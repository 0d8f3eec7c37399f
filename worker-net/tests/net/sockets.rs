//! Real sockets on loopback.

use crate::mock::{Mock, PATIENCE, Raw, ack, batch, bytes_of, serve, welcome};
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;
use worker_net::{BindError, Breach, DialError, Listener, Settings, dial};
use worker_proto::Frame;
use worker_proto::frame::{GoAway, GoAwayWhy};

const ANY: &str = "127.0.0.1:0";

fn fast() -> Settings {
    let tick = Duration::from_millis(100);
    Settings { ping_every: tick, dead_after: tick * 5, handshake_max: tick * 3, ..Settings::default() }
}

async fn listener(settings: Settings) -> (Listener, String) {
    let listener = Listener::bind(ANY, settings).await.unwrap();
    let address = listener.address().unwrap().to_string();
    (listener, address)
}

/// A connection, its accepting end served for `mock` and its dialling end free, which has said a first frame.
async fn connected(mock: &Arc<Mock>, settings: Settings) -> TcpStream {
    let (listener, address) = listener(settings).await;
    let mut stream = dial(&address, &settings).await.unwrap();
    stream.write_all(&bytes_of([&Frame::Bye])).await.unwrap();
    let greeted = listener.accept().await.greeted(&settings).await.unwrap();
    let endpoint = Arc::clone(mock);
    tokio::spawn(async move { greeted.drive(1, endpoint, Arc::new(Notify::new()), &settings).await });
    stream
}

#[tokio::test]
async fn much_data_crosses_both_ways_at_once() {
    let frames = || (0..400).map(|first| batch(first + 1, 1000, 100)).collect::<Vec<_>>();
    let all = |mock: &Mock| mock.with(|state| state.out.extend([welcome()].into_iter().chain(frames())));
    let (one, other) = (Mock::new([]), Mock::new([]));
    all(&one);
    all(&other);
    let stream = connected(&one, Settings::default()).await;
    serve(stream, &other, Settings::default());
    for mock in [&one, &other] {
        mock.until("all came", |state| state.received.last() == frames().last()).await;
        let received = mock.received();
        assert!(received[received.len() - 400..] == frames(), "frames were changed or swapped");
    }
}

#[tokio::test]
async fn a_stopped_peer_is_noticed_while_data_is_blocked() {
    let mock = Mock::new([welcome()].into_iter().chain((0..400).map(|first| batch(first + 1, 1000, 100))));
    let start = Instant::now();
    let _stopped = connected(&mock, fast()).await;
    let why = mock.end().await;
    assert!(why.contains("nothing was heard"), "{why}");
    assert!(start.elapsed() >= Duration::from_millis(500), "{:?}", start.elapsed());
    assert!(mock.with(|state| state.out.len()) > 100, "the kernel took nearly all: the test shows nothing");
}

#[tokio::test]
async fn what_was_not_yet_read_counts_as_heard() {
    let tick = Duration::from_millis(100);
    // With so rare pings, so late a look is still taken for being on time.
    let settings = Settings { ping_every: tick * 100, dead_after: tick * 2, ..Settings::default() };
    let mock = Mock::new([]);
    let mut peer = Raw::greeted(connected(&mock, settings).await).await;
    mock.until("the greeting came", |state| state.received.len() == 2).await;
    peer.send(&ack()).await;
    // The runtime finds both, the bytes and the deadline, when it comes to look.
    std::thread::sleep(tick * 3);
    mock.end().await;
    assert_eq!(mock.received(), [Frame::Bye, welcome(), ack()]);
}

#[tokio::test]
async fn a_last_word_arrives_though_the_peer_has_sent_what_nobody_reads() {
    let last = Frame::GoAway(GoAway { why: GoAwayWhy::Superseded, message: "connection 2 took over".into() });
    let mock = Mock::new([welcome(), last.clone()]);
    mock.with(|state| state.close = true);
    let mut peer = Raw::new(connected(&mock, Settings::default()).await);
    // Bytes that lie unread in a socket turn its close into a reset, which destroys what was sent before.
    peer.send(&welcome()).await;
    for first in 0..20 {
        peer.send(&batch(first + 1, 100, 100)).await;
    }
    assert_eq!(
        [peer.next().await, peer.next().await, peer.next().await],
        [Some(welcome()), Some(last), None]
    );
    peer.stream.shutdown().await.unwrap();
    assert_eq!(mock.end().await, "closed by this node");
}

#[tokio::test]
async fn a_reset_is_an_end_with_a_reason_and_loses_nothing_that_came_before() {
    let mock = Mock::new([welcome()]);
    let mut peer = Raw::greeted(connected(&mock, Settings::default()).await).await;
    peer.send(&ack()).await;
    mock.until("all frames came", |state| state.received.len() == 3).await;
    socket2::SockRef::from(&peer.stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    let why = mock.end().await;
    assert!(why.contains("reset"), "{why}");
}

#[tokio::test]
async fn of_too_many_strangers_the_oldest_is_dropped_and_who_says_hello_is_let_in() {
    let settings = Settings { strangers_max: 2, hello_max: PATIENCE, ..Settings::default() };
    let (listener, address) = listener(settings).await;
    let (mut strangers, mut waiting) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        strangers.push(dial(&address, &settings).await.unwrap());
        let incoming = timeout(PATIENCE, listener.accept()).await.expect("everybody is accepted");
        waiting.push(tokio::spawn(async move { incoming.greeted(&settings).await }));
    }
    let turned = waiting.remove(0).await.unwrap().unwrap_err();
    assert_eq!(turned.breach, Some(Breach::Crowded), "{turned}");
    strangers[2].write_all(&bytes_of([&Frame::Bye])).await.unwrap();
    waiting.pop().unwrap().await.unwrap().expect("it has said a first frame");
    assert!(!waiting[0].is_finished(), "the second one waits on");
}

#[tokio::test]
async fn strangers_are_dropped_for_what_they_say_or_do_not_say() {
    let settings = Settings { hello_max: Duration::from_millis(100), ..Settings::default() };
    let (listener, address) = listener(settings).await;
    let cases: [(&[u8], bool, Option<Breach>); 4] = [
        (b"", false, Some(Breach::HelloLate)),
        (b"", true, None),
        (b"GET / HTTP/1.1\r\n\r\n", false, Some(Breach::Frame)),
        (&[0, 0, 0, 100, 0x99], false, Some(Breach::HelloLate)),
    ];
    for (bytes, leaves, breach) in cases {
        let mut stream = dial(&address, &settings).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let stream = (!leaves).then_some(stream);
        let turned = listener.accept().await.greeted(&settings).await.unwrap_err();
        assert_eq!(turned.breach, breach, "{bytes:?}: {turned}");
        drop(stream);
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let (_listener, address) = listener(Settings::default()).await;
    let error = Listener::bind(&address, Settings::default()).await.unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    let error = Listener::bind("192.0.2.1:7400", Settings::default()).await.unwrap_err();
    assert!(matches!(error, BindError::NotHere { .. }), "{error}");
    let error = Listener::bind("7400", Settings::default()).await.unwrap_err();
    assert!(matches!(error, BindError::Resolve { .. }) && error.to_string().contains("HOST:PORT"), "{error}");
}

#[tokio::test]
async fn a_failed_dial_says_what_was_tried() {
    let free = listener(Settings::default()).await.1;
    let error = dial(&free, &Settings::default()).await.unwrap_err();
    assert!(matches!(error, DialError::Connect { .. }), "{error}");
    assert!(error.to_string().contains(&free) && error.to_string().contains("refused"), "{error}");
    let error = dial("no-port", &Settings::default()).await.unwrap_err();
    assert!(matches!(error, DialError::Resolve { .. }) && error.to_string().contains("HOST:PORT"), "{error}");
}

#[tokio::test]
async fn a_dial_without_an_answer_ends_in_time() {
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&ANY.parse::<SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap().to_string();
    let settings = Settings { connect_max: Duration::from_millis(300), ..Settings::default() };
    let mut taken = Vec::new();
    let start = Instant::now();
    let error = loop {
        // The queue of connections nobody accepts takes a few.
        match dial(&address, &settings).await {
            Ok(stream) => taken.push(stream),
            Err(error) => break error,
        }
        assert!(taken.len() < 100, "the queue is endless");
    };
    assert!(matches!(error, DialError::Timeout { .. }), "{error}");
    assert!(start.elapsed() >= settings.connect_max);
}
