//! The admin address, asked by the client.

mod limits;

use super::client::{Client, ClientError};
use super::*;
use crate::explain::{Explanation, History, RunState, Snapshot, explain, sample};
use crate::metrics::Form;
use axum::http::StatusCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

/// A worker that is what the test says.
struct StandIn {
    snapshot: Mutex<Snapshot>,
    commands: Mutex<Vec<AdminCommand>>,
    news: watch::Sender<u64>,
}

impl Subject for StandIn {
    fn snapshot(&self) -> Snapshot {
        self.snapshot.lock().expect("no test panics with it").clone()
    }

    fn has_ended(&self) -> bool {
        self.snapshot().end.is_some()
    }

    fn explanation(&self) -> Explanation {
        explain(&[self.snapshot()])
    }

    fn history(&self) -> History {
        sample::history()
    }

    fn graph(&self) -> Graph {
        let snapshot = self.snapshot();
        let task =
            GraphTask { name: "log/0".to_owned(), stage: "log".to_owned(), node: snapshot.node.clone() };
        Graph {
            pipeline: snapshot.pipeline,
            node: snapshot.node,
            nodes: snapshot.nodes,
            stages: snapshot.stages,
            tasks: vec![task],
            links: vec![("log/0".to_owned(), "errors/0".to_owned())],
            reasons: WaitWords::all(),
            pages: std::collections::BTreeMap::new(),
        }
    }

    fn metrics(&self, form: Form) -> String {
        match form {
            Form::OpenMetrics => "# EOF\n".to_owned(),
            Form::Plain => "# plain\n".to_owned(),
        }
    }

    fn dead_letters(&self, max: usize) -> Vec<DeadLetterView> {
        let line = DeadLetterView {
            at_ms: 1,
            task: "errors/0".to_owned(),
            reason: "status 7".to_owned(),
            attempts: 3,
            record_bytes: 9,
        };
        vec![line; max.min(2)]
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn order(&self, order: AdminCommand) -> Result<Changed, String> {
        if order == AdminCommand::Pause("nowhere".to_owned()) {
            return Err("there is no stage nowhere; there are log, errors, out".to_owned());
        }
        if let AdminCommand::Log(filter) = &order {
            crate::logging::check(filter)?;
        }
        self.commands.lock().expect("no test panics with it").push(order);
        Ok(Changed { did: "done".to_owned(), tasks: vec!["errors/0".to_owned()] })
    }

    fn tap(&self, ask: TapAsk) -> Result<mpsc::Receiver<Tapped>, String> {
        if ask.stage != "errors" {
            return Err(format!("there is no stage {}", ask.stage));
        }
        let record = format!("{:?} {}", ask.side, ask.key.unwrap_or_default());
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            for _ in 0..10 {
                let tapped = Tapped::Record {
                    task: "errors/0".to_owned(),
                    record: Some(record.clone()),
                    record_b64: None,
                };
                sender.send(tapped).await.ok();
                sender.send(Tapped::Skipped { records: 2 }).await.ok();
            }
        });
        Ok(receiver)
    }
}

/// A stand-in that is asked at an address of its own.
struct Asked {
    worker: Arc<StandIn>,
    client: Client,
    address: String,
    refusals: Arc<Refusals>,
}

async fn asked(snapshot: Snapshot) -> Asked {
    asked_from(snapshot, true).await
}

/// One that anybody reaches, or nobody but this machine.
async fn asked_from(snapshot: Snapshot, is_open: bool) -> Asked {
    let worker = Arc::new(StandIn {
        snapshot: Mutex::new(snapshot),
        commands: Mutex::default(),
        news: watch::Sender::new(0),
    });
    let at = AdminAddress::At(Place::plain("127.0.0.1:0"));
    let (listener, at) = listen(&at).await.expect("a free port").expect("wanted");
    let subject: Arc<dyn Subject> = Arc::clone(&worker) as _;
    let access = Access { token: Token::from_text("s3cret"), place: TokenPlace::Entry, is_open };
    let refusals = Arc::new(Refusals::default());
    tokio::spawn(serve(listener, None, vec!["node-a".to_owned()], access, subject, Arc::clone(&refusals)));
    let address = at.to_string();
    let client = Client::new(&address, Some(Token::from_text("s3cret")));
    Asked { worker, client, address, refusals }
}

impl Asked {
    /// Another client, without the token or with a wrong one.
    fn stranger(&self, token: Option<&str>) -> Client {
        Client::new(&self.address, token.map(Token::from_text))
    }

    /// The whole answer to a request as it is written here.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("it answers");
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// How often something was refused for this reason.
    fn refused(&self, reason: &str) -> u64 {
        self.refusals.counts().find(|(name, _)| *name == reason).expect("a reason").1
    }

    /// Waits until so much was refused for this reason.
    async fn has_refused(&self, reason: &str, count: u64) {
        let wait = async {
            while self.refused(reason) < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it is counted");
        assert_eq!(self.refused(reason), count, "{reason}");
    }

    fn commands(&self) -> Vec<AdminCommand> {
        std::mem::take(&mut *self.worker.commands.lock().expect("no test panics with it"))
    }
}

fn status_of(error: ClientError) -> (StatusCode, String) {
    match error {
        ClientError::Refused { status, why, .. } => (status, why),
        error @ (ClientError::Unreachable { .. }
        | ClientError::Untrusted { .. }
        | ClientError::Stopped { .. }
        | ClientError::Strange { .. }) => panic!("{error}"),
    }
}

#[tokio::test]
async fn what_only_tells_is_told_without_a_token() {
    let asked = asked(sample::calm()).await;
    let anyone = asked.stranger(None);
    assert_eq!(anyone.get::<Snapshot>("/api/v1/status").await.expect("it tells"), asked.worker.snapshot());
    assert_eq!(anyone.get::<Explanation>("/api/v1/why").await.expect("it tells"), asked.worker.explanation());
    assert_eq!(anyone.get::<Graph>("/api/v1/pipeline").await.expect("it tells"), asked.worker.graph());
    let history = anyone.get::<History>("/api/v1/history").await.expect("it tells");
    assert_eq!((history.whole.len(), history.step_s), (3, 1));
    assert_eq!(anyone.get::<Vec<DeadLetterView>>("/api/v1/dead").await.expect("it tells").len(), 2);
    for (path, begins) in [("/", "<!"), ("/livez", "ok"), ("/readyz", "ready"), ("/metrics", "#")] {
        let (status, text) = anyone.text(path).await.expect("it tells");
        assert_eq!(status, StatusCode::OK, "{path}");
        assert!(text.trim_start().to_lowercase().starts_with(begins), "{path}: {text}");
    }
}

#[tokio::test]
async fn answers_are_made_once_and_shared_until_the_run_is_looked_at_again() {
    let asked = asked(sample::calm()).await;
    let prepared = prepared::Prepared::new(Arc::clone(&asked.worker) as _);
    for answer in
        [prepared::Prepared::status, prepared::Prepared::why, |p: &prepared::Prepared| p.metrics(Form::Plain)]
    {
        // On a busy machine it may be too old at once.
        let is_shared = (0..100).any(|_| answer(&prepared).as_ptr() == answer(&prepared).as_ptr());
        assert!(is_shared);
        let before = answer(&prepared);
        asked.worker.news.send_modify(|looks| *looks += 1);
        assert_ne!(answer(&prepared).as_ptr(), before.as_ptr());
    }
    asked.worker.snapshot.lock().expect("no test panics with it").lost_records = 4711;
    asked.worker.news.send_modify(|looks| *looks += 1);
    let now: Snapshot = asked.client.get("/api/v1/status").await.expect("it tells");
    assert_eq!(now.lost_records, 4711);
}

#[tokio::test]
async fn metrics_come_in_the_form_that_is_asked_for() {
    let asked = asked(sample::calm()).await;
    for (accept, kind, text) in [
        ("*/*", "application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8", "# plain"),
    ] {
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        let answer = asked.raw(&request).await;
        assert!(answer.contains(&format!("content-type: {kind}\r\n")) && answer.contains(text), "{answer}");
    }
}

#[tokio::test]
async fn what_changes_something_or_shows_records_needs_the_token() {
    let asked = asked(sample::calm()).await;
    for token in [None, Some("wrong"), Some("")] {
        let stranger = asked.stranger(token);
        for path in [
            "/api/v1/stages/errors/pause",
            "/api/v1/stages/errors/resume",
            "/api/v1/drain",
            "/api/v1/drain/end",
            "/api/v1/stop",
            "/api/v1/stop/now",
            "/api/v1/log",
        ] {
            let refused = stranger.post::<Changed>(path, "info".to_owned()).await.expect_err(path);
            let (status, why) = status_of(refused);
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
            assert!(why.contains("Bearer TOKEN"), "{why}");
        }
        let (status, _) = status_of(stranger.lines("/api/v1/tap/errors").await.expect_err("tap"));
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(asked.commands(), []);
    let challenge =
        asked.raw("POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(challenge.to_lowercase().contains("www-authenticate: bearer"), "{challenge}");
}

#[tokio::test]
async fn elsewhere_nothing_is_told_without_the_token_but_whether_it_lives() {
    let asked = asked_from(sample::snapshot(), false).await;
    for stranger in [asked.stranger(None), asked.stranger(Some("wrong"))] {
        for path in [
            "/",
            "/metrics",
            "/api/v1/status",
            "/api/v1/why",
            "/api/v1/pipeline",
            "/api/v1/history",
            "/api/v1/dead",
            "/api/v1/events",
            "/api/v1/tap/errors",
            "/api/v1/drain",
            "/none",
        ] {
            let (status, text) = stranger.text(path).await.expect("it answers");
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}: {text}");
            assert!(text.starts_with("this needs \"Authorization: Bearer TOKEN\""), "{path}: {text}");
        }
        assert_eq!(stranger.text("/livez").await.expect("it answers"), (StatusCode::OK, "ok\n".to_owned()));
        let ready = stranger.text("/readyz").await.expect("it answers");
        assert_eq!(ready, (StatusCode::SERVICE_UNAVAILABLE, "not ready\n".to_owned()));
    }
    assert_eq!(asked.client.get::<Snapshot>("/api/v1/status").await.expect("told"), asked.worker.snapshot());
    let (_, why) = asked.client.text("/readyz").await.expect("it answers");
    assert!(why.contains("errors/0 waits"), "{why}");
    let basic =
        "GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic eDpzM2NyZXQ=\r\nConnection: close\r\n\r\n";
    let page = asked.raw(basic).await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let tap = asked.raw(&basic.replace("GET /", "GET /api/v1/tap/errors")).await;
    assert!(tap.starts_with("HTTP/1.1 401") && !tap.to_lowercase().contains("basic"), "{tap}");
    let asks = asked.raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(asks.to_lowercase().contains("www-authenticate: basic"), "{asks}");
}

#[tokio::test]
async fn orders_reach_the_worker_and_answer_with_what_they_did() {
    let asked = asked(sample::calm()).await;
    for (path, body, order) in [
        ("/api/v1/stages/errors/pause", "", AdminCommand::Pause("errors".to_owned())),
        ("/api/v1/stages/errors/resume", "", AdminCommand::Resume("errors".to_owned())),
        ("/api/v1/drain", "", AdminCommand::Drain),
        ("/api/v1/drain/end", "", AdminCommand::EndDrain),
        ("/api/v1/stop", "", AdminCommand::Stop),
        ("/api/v1/stop/now", "", AdminCommand::StopNow),
        ("/api/v1/log", " debug\n", AdminCommand::Log("debug".to_owned())),
    ] {
        let changed = asked.client.post::<Changed>(path, body.to_owned()).await.expect(path);
        assert_eq!((changed.did.as_str(), changed.tasks.len()), ("done", 1));
        assert_eq!(asked.commands(), [order]);
    }
    let put = "PUT /api/v1/log HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\nContent-Length: 4\r\n\
               Connection: close\r\n\r\nwarn";
    let answer = asked.raw(put).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(asked.commands(), [AdminCommand::Log("warn".to_owned())]);
}

#[tokio::test]
async fn an_order_that_cannot_be_done_says_why() {
    let asked = asked(sample::calm()).await;
    for (path, body, said) in [
        ("/api/v1/stages/nowhere/pause", String::new(), "there are log, errors, out"),
        ("/api/v1/log", String::new(), "expected a filter"),
        ("/api/v1/log", "worker=loud".to_owned(), "worker=loud"),
        ("/api/v1/log", "x".repeat(5000), "at most 4096 bytes"),
    ] {
        let is_large = body.len() > 4096;
        let refused = asked.client.post::<Changed>(path, body).await.expect_err(path);
        let (status, why) = status_of(refused);
        let wanted = if is_large { StatusCode::PAYLOAD_TOO_LARGE } else { StatusCode::BAD_REQUEST };
        assert!(status == wanted && why.contains(said), "{path}: {status} {why}");
    }
    assert_eq!(asked.commands(), []);
}

#[tokio::test]
async fn a_name_that_means_another_machine_is_not_answered() {
    let asked = asked(sample::calm()).await;
    for (host, status) in [
        ("evil.example", "421"),
        ("evil.example:80", "421"),
        ("localhost", "200"),
        ("node-a:7", "200"),
        ("[::1]", "200"),
    ] {
        let request = format!("GET /api/v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let answer = asked.raw(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
        assert_eq!(answer.contains("access"), status == "200", "{host}: {answer}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_not_answered() {
    let asked = asked(sample::calm()).await;
    for (origin, status) in
        [("http://evil.example", "403"), ("null", "403"), ("http://localhost:7480", "200")]
    {
        let request = format!(
            "GET /api/v1/status HTTP/1.1\r\nHost: localhost:7480\r\nOrigin: {origin}\r\nConnection: close\r\n\r\n"
        );
        let answer = asked.raw(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{origin}: {answer}");
        assert_eq!(answer.contains("access"), status == "200", "{origin}: {answer}");
    }
}

#[tokio::test]
async fn answers_say_how_a_browser_is_to_treat_them() {
    let asked = asked(sample::calm()).await;
    let answer =
        asked.raw("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.to_lowercase();
    for header in [
        "x-frame-options: deny",
        "x-content-type-options: nosniff",
        "default-src 'none'; style-src 'sha256-",
        "script-src 'sha256-",
        "cross-origin-resource-policy: same-origin",
        "cache-control: no-store",
    ] {
        assert!(answer.contains(header), "{header}: {answer}");
    }
}

#[tokio::test]
async fn paths_and_methods_that_are_none_are_refused() {
    let asked = asked(sample::calm()).await;
    for path in ["/nothing", "/api/v1", "/api/v2/status", "/api/v1/stages/errors/stop"] {
        let (status, text) = asked.client.text(path).await.expect("it answers");
        assert!(
            status == StatusCode::NOT_FOUND && text.contains("/api/v1/status"),
            "{path}: {status} {text}"
        );
    }
    let (status, _) = asked.client.text("/api/v1/drain").await.expect("it answers");
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED, "looking is no order");
    let (status, _) = status_of(asked.client.lines("/api/v1/tap/nowhere").await.expect_err("no such stage"));
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn ready_means_that_nothing_is_in_the_way() {
    let asked = asked(sample::snapshot()).await;
    let (status, text) = asked.client.text("/readyz").await.expect("it answers");
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("errors/0 waits"), "{text}");
    let mut failed = sample::calm();
    failed.state = RunState::Failed;
    failed.end = Some(crate::explain::End { at_ms: 1, why: Some("it \u{1b}[31mhurts".to_owned()) });
    *asked.worker.snapshot.lock().expect("no test panics with it") = failed;
    let (status, text) = asked.client.text("/readyz").await.expect("it answers");
    assert_eq!((status, text.as_str()), (StatusCode::SERVICE_UNAVAILABLE, "failed: it \\u{1b}[31mhurts\n"));
    let (status, _) = asked.client.text("/livez").await.expect("it answers");
    assert_eq!(status, StatusCode::OK, "a process that can tell is alive");
}

#[tokio::test]
async fn events_come_until_the_run_has_ended() {
    let asked = asked(sample::calm()).await;
    let mut lines = asked.stranger(None).lines("/api/v1/events").await.expect("it tells");
    let mut states = Vec::new();
    let all = async {
        while let Some(line) = lines.next().await {
            let line = String::from_utf8(line).expect("text");
            if let Some(name) = line.strip_prefix("event: ") {
                assert_eq!(name, "status");
            }
            let Some(json) = line.strip_prefix("data: ") else { continue };
            let live: Live = serde_json::from_str(json).expect("a state and its explanation");
            states.push(live.status.state);
            let mut snapshot = asked.worker.snapshot.lock().expect("no test panics with it");
            snapshot.state = RunState::Done;
            snapshot.end = Some(crate::explain::End { at_ms: 1, why: None });
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all).await.expect("the stream ends with the run");
    assert_eq!(states, [RunState::Running, RunState::Done]);
}

#[tokio::test]
async fn a_tap_shows_as_many_records_as_are_wanted() {
    let asked = asked(sample::calm()).await;
    let mut lines = asked.client.lines("/api/v1/tap/errors?side=in&key=k&limit=3").await.expect("it shows");
    let (mut records, mut skipped) = (0, 0);
    while let Some(line) = lines.next().await {
        match serde_json::from_slice(&line).expect("a line of JSON") {
            Tapped::Record { record, .. } => {
                assert_eq!(record.as_deref(), Some("In k"));
                records += 1;
            }
            Tapped::Skipped { .. } => skipped += 1,
        }
    }
    assert_eq!((records, skipped), (3, 2), "what is left out is no record");
}

#[tokio::test]
async fn nobody_there_is_said_with_the_address() {
    let (listener, at) =
        listen(&AdminAddress::At(Place::plain("127.0.0.1:0"))).await.expect("free").expect("wanted");
    drop(listener);
    let error =
        Client::new(&at.to_string(), None).get::<Snapshot>("/api/v1/status").await.expect_err("nobody");
    let said = error.to_string();
    assert!(said.contains(&at.to_string()) && said.contains("is the worker running"), "{said}");
}

#[tokio::test]
async fn what_somebody_else_answers_is_said_in_one_line_that_a_terminal_does_not_obey() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("the client");
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).await.expect("a request") > 0);
        let body = "<h1>\u{1b}[31mno\u{7}</h1>\nmore\n";
        let head = format!("HTTP/1.1 404 Not Found\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + body).as_bytes()).await.expect("an answer");
    });
    let error = Client::new(&address, None).get::<Snapshot>("/api/v1/status").await.expect_err("no worker");
    let said = error.to_string();
    assert!(said.ends_with("404 Not Found: <h1>\\u{1b}[31mno\\u{7}</h1>"), "{said}");
}
