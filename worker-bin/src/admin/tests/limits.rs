//! What is left open, comes too slowly or is too large keeps nobody out.

use super::*;

/// The next line with an event's data.
async fn next_event(lines: &mut client::Lines) -> Option<Vec<u8>> {
    loop {
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next()).await.expect("in time")?;
        if line.starts_with(b"data: ") {
            return Some(line);
        }
    }
}

#[tokio::test]
async fn readers_of_events_share_them_and_one_too_many_is_told_to_come_again() {
    let asked = asked(sample::calm()).await;
    let mut readers = Vec::new();
    for _ in 0..16 {
        readers.push(asked.client.lines("/api/v1/events").await.expect("there is room"));
    }
    let first = next_event(&mut readers[0]).await;
    assert!(first.is_some());
    for reader in &mut readers[1..] {
        assert_eq!(next_event(reader).await, first);
    }
    let refused = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = asked.raw(refused).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after: 5\r\n"), "{answer}");
    assert!(answer.contains("has to be closed first"), "{answer}");
    assert_eq!(asked.refused("readers"), 1);
    readers.pop();
    let again = async {
        while asked.client.lines("/api/v1/events").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("whoever leaves makes room");
}

#[tokio::test]
async fn a_reader_that_comes_later_gets_news_of_its_own_time() {
    let asked = asked(sample::calm()).await;
    let mut reader = asked.client.lines("/api/v1/events").await.expect("there is room");
    next_event(&mut reader).await;
    drop(reader);
    // Until nobody makes events any more.
    let over = async {
        while asked.worker.news.receiver_count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), over).await.expect("it stops");
    asked.worker.snapshot.lock().expect("no test panics with it").lost_records = 4711;
    let mut reader = asked.client.lines("/api/v1/events").await.expect("there is room");
    let event = String::from_utf8(next_event(&mut reader).await.expect("an event")).expect("text");
    assert!(event.contains("4711"), "{event}");
}

/// Bytes until the other end closes.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    // A reset is an end, too.
    tokio::time::timeout(Duration::from_secs(60), read).await.expect("it is closed").ok();
    answer
}

#[tokio::test]
async fn who_asks_nothing_makes_room_for_who_asks() {
    let asked = asked(sample::calm()).await;
    let mut idle = Vec::new();
    for _ in 0..64 {
        idle.push(TcpStream::connect(&asked.address).await.expect("it listens"));
    }
    for round in 1..=40 {
        let (status, _) = asked.client.text("/livez").await.expect("it answers");
        assert_eq!(status, StatusCode::OK, "round {round}");
    }
    assert_eq!(until_closed(&mut idle[0]).await, b"", "the one that was there for longest");
    let mut newest = idle.pop().expect("one");
    newest
        .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .expect("it is open");
    assert!(until_closed(&mut newest).await.starts_with(b"HTTP/1.1 200"));
    assert!(asked.refused("connections") >= 1);
}

#[tokio::test]
async fn requests_that_do_not_come_to_an_end_are_given_up() {
    let asked = asked(sample::calm()).await;
    let open = async |request: &str| {
        let mut stream = TcpStream::connect(&asked.address).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        stream
    };
    let mut head = open("GET /livez HTTP/1.1\r\nHost: loc").await;
    let mut body = open("GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx").await;
    let (head, body) = tokio::join!(until_closed(&mut head), until_closed(&mut body));
    assert_eq!(head, b"");
    assert!(body.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&body));
    asked.has_refused("head", 1).await;
    asked.has_refused("body", 1).await;
}

#[tokio::test]
async fn requests_that_are_too_large_are_refused() {
    let asked = asked(sample::calm()).await;
    let many = "X-Y: z\r\n".repeat(80);
    let large = format!("X-Y: {}\r\n", "z".repeat(20_000));
    for (request, status) in [
        (format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"), "431"),
        (format!("GET /livez HTTP/1.1\r\nHost: localhost\r\n{large}\r\n"), "431"),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n".to_owned(), "413"),
        (
            format!(
                "GET /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n{}\r\n0\r\n\r\n",
                "x".repeat(5000)
            ),
            "413",
        ),
        ("nonsense\r\n\r\n".to_owned(), "400"),
    ] {
        let mut stream = TcpStream::connect(&asked.address).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let answer = until_closed(&mut stream).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
    }
    asked.has_refused("head", 3).await;
    asked.has_refused("body", 2).await;
}
