//! Requests and their answers.

use super::access::Access;
use super::answers::{json, line, made_json};
use super::body;
use super::connections::{self, Held};
use super::events::{Events, READERS_MAX};
use super::guard::Foreign;
use super::page::{PAGE, POLICY};
use super::prepared::Prepared;
use super::refusals::{Refusal, Refusals};
use super::subject::{AdminCommand, Subject, TapAsk, TapSide, Tapped};
use crate::explain::{RunState, words};
use crate::metrics::Form;
use crate::text::harmless::Harmless;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use hyper::body::Body as _;
use serde::Deserialize;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use worker_net::Https;

/// Most dead letters that are shown.
const DEAD_MAX: usize = 200;

/// Lines of a tap that are sent together, in bytes; one line may be longer.
const LINES_BYTES: usize = 32 << 10;

/// What a handler gets.
#[derive(Clone)]
struct Asked {
    subject: Arc<dyn Subject>,
    access: Access,
    refusals: Arc<Refusals>,
    events: Arc<Events>,
    prepared: Arc<Prepared>,
    /// The name that was listened on, and those that the user has added.
    own_hosts: Arc<[String]>,
}

/// Answers on `listener` until the runtime ends; with a certificate in TLS.
pub async fn serve(
    listener: TcpListener,
    https: Option<Arc<Https>>,
    own_hosts: Vec<String>,
    access: Access,
    subject: Arc<dyn Subject>,
    refusals: Arc<Refusals>,
) {
    let own_hosts = own_hosts.into();
    let prepared = Arc::new(Prepared::new(Arc::clone(&subject)));
    let events = Events::new(Arc::clone(&subject), Arc::clone(&prepared));
    let asked = Asked { subject, access, refusals: Arc::clone(&refusals), events, prepared, own_hosts };
    connections::serve(listener, https, router(asked), refusals).await;
}

fn router(asked: Asked) -> Router {
    let orders = Router::new()
        .route("/api/v1/stages/{stage}/pause", post(pause))
        .route("/api/v1/stages/{stage}/resume", post(resume))
        .route("/api/v1/stop", post(stop))
        .route("/api/v1/stop/now", post(stop_now))
        .route("/api/v1/drain", post(drain))
        .route("/api/v1/drain/end", post(end_drain))
        .route("/api/v1/log", put(log).post(log))
        .route("/api/v1/tap/{stage}", get(tap))
        .layer(middleware::from_fn_with_state(asked.clone(), needs_token));
    Router::new()
        .route("/", get(page))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route(
            "/api/v1/status",
            get(|State(asked): State<Asked>| async move { made_json(asked.prepared.status()) }),
        )
        .route(
            "/api/v1/why",
            get(|State(asked): State<Asked>| async move { made_json(asked.prepared.why()) }),
        )
        .route(
            "/api/v1/pipeline",
            get(|State(asked): State<Asked>| async move { json(&asked.subject.graph()) }),
        )
        .route(
            "/api/v1/history",
            get(|State(asked): State<Asked>| async move { json(&asked.subject.history()) }),
        )
        .route(
            "/api/v1/dead",
            get(|State(asked): State<Asked>| async move { json(&asked.subject.dead_letters(DEAD_MAX)) }),
        )
        .route("/api/v1/events", get(events))
        .merge(orders)
        .fallback(|| async {
            (StatusCode::NOT_FOUND, "no such path; / is the page, /api/v1/status the state\n")
        })
        .layer(middleware::from_fn_with_state(asked.clone(), whole_request))
        .layer(middleware::from_fn_with_state(asked.clone(), may_pass))
        .layer(middleware::from_fn_with_state(asked.clone(), own_host_only))
        .with_state(asked)
}

async fn own_host_only(State(asked): State<Asked>, request: Request, next: Next) -> Response {
    if let Some(foreign) = Foreign::of(&request, &asked.own_hosts) {
        let why = if foreign == Foreign::Origin { Refusal::Origin } else { Refusal::Host };
        asked.refusals.note(why, from(&request));
        return foreign.refusal().into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    response
}

async fn may_pass(State(asked): State<Asked>, request: Request, next: Next) -> Response {
    if asked.access.may_pass(&request) {
        return next.run(request).await;
    }
    asked.refusals.note(Refusal::Token, from(&request));
    asked.access.no_reading(&request)
}

async fn needs_token(State(asked): State<Asked>, request: Request, next: Next) -> Response {
    if asked.access.may_order(request.headers()) {
        return next.run(request).await;
    }
    asked.refusals.note(Refusal::Token, from(&request));
    asked.access.no_order()
}

/// Waits for the body of a request, but not for long, nor for a large one.
async fn whole_request(State(asked): State<Asked>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let from = from(&request);
    let (head, sent) = request.into_parts();
    match body::whole(sent).await {
        Ok(bytes) => {
            if let Some(held) = head.extensions.get::<Arc<Held>>() {
                held.heard_all();
            }
            next.run(Request::from_parts(head, Body::from(bytes))).await
        }
        Err(status) => {
            asked.refusals.note(Refusal::Body, from);
            body::refused(status)
        }
    }
}

/// Who sends it.
fn from(request: &Request) -> Option<IpAddr> {
    Some(request.extensions().get::<Arc<Held>>()?.from())
}

async fn page() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

/// Ready: nothing is in the way of work that waits.
async fn ready(State(asked): State<Asked>, method: Method, headers: HeaderMap) -> Response {
    let (status, words) = readiness(&asked);
    // Elsewhere a probe asks without the token, and learns what it needs.
    match (asked.access.may_read(&method, &headers), status) {
        (true, _) => (status, words).into_response(),
        (false, StatusCode::OK) => (status, "ready\n").into_response(),
        (false, _) => (status, "not ready\n").into_response(),
    }
}

fn readiness(asked: &Asked) -> (StatusCode, Harmless) {
    let snapshot = asked.subject.snapshot();
    if snapshot.state == RunState::Failed {
        let why = snapshot.end.and_then(|end| end.why).unwrap_or_default();
        return (StatusCode::SERVICE_UNAVAILABLE, line(&format!("failed: {}", words::foreign(&why))));
    }
    let mut explanation = asked.subject.explanation();
    explanation.chains.retain(|chain| chain.stalled);
    if explanation.chains.is_empty() {
        return (StatusCode::OK, line("ready"));
    }
    (explanation.limit, explanation.notes) = (None, Vec::new());
    (StatusCode::SERVICE_UNAVAILABLE, Harmless::text(words::explanation(&explanation, 8)))
}

async fn metrics(State(asked): State<Asked>, headers: HeaderMap) -> Response {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let form = Form::accepted(&accepts.collect::<Vec<_>>().join(","));
    let headers = [(header::CONTENT_TYPE, form.content_type()), (header::VARY, "accept")];
    (headers, asked.prepared.metrics(form)).into_response()
}

/// The state once a second, and at once when the run ends; then the stream ends.
async fn events(State(asked): State<Asked>, Extension(held): Extension<Arc<Held>>) -> Response {
    // Whoever ends the process waits a moment for those who still listen for news: until the last event is written.
    let listening = asked.subject.news();
    let Some(parts) = asked.events.read(Arc::clone(&held)) else {
        asked.refusals.note(Refusal::Readers, Some(held.from()));
        let why = format!(
            "{READERS_MAX} pages and programs read the events of this worker already: one of them has to be closed first\n"
        );
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], why).into_response();
    };
    held.tells();
    let parts = stream_of(parts).map(move |part| {
        let _until_written = &listening;
        part
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(parts)).into_response()
}

fn stream_of<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> tokio_stream::wrappers::ReceiverStream<T> {
    tokio_stream::wrappers::ReceiverStream::new(receiver)
}

#[derive(Debug, Deserialize)]
struct TapQuery {
    #[serde(default = "out")]
    side: TapSide,
    key: Option<String>,
    limit: Option<u64>,
}

fn out() -> TapSide {
    TapSide::Out
}

async fn tap(
    State(asked): State<Asked>,
    Extension(held): Extension<Arc<Held>>,
    Path(stage): Path<String>,
    Query(query): Query<TapQuery>,
) -> Response {
    let ask = TapAsk { stage, side: query.side, key: query.key };
    let records = match asked.subject.tap(ask.clone()) {
        Ok(records) => records,
        Err(why) => {
            // Elsewhere the same question may have an answer, unless it is wrong for tasks that do run here.
            let graph = asked.subject.graph();
            let here = graph.tasks.iter().any(|task| task.stage == ask.stage && task.node == graph.node);
            let status = if here { StatusCode::BAD_REQUEST } else { StatusCode::NOT_FOUND };
            return (status, line(&why)).into_response();
        }
    };
    held.shows();
    let (sender, lines) = mpsc::channel::<Result<Bytes, Infallible>>(1);
    tokio::spawn(pass_on(records, query.limit.unwrap_or(u64::MAX), sender));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(stream_of(lines))).into_response()
}

/// Gives tapped records on as lines, several at once where they are there; no more than the reader takes.
async fn pass_on(
    mut records: mpsc::Receiver<Tapped>,
    mut left: u64,
    sender: mpsc::Sender<Result<Bytes, Infallible>>,
) {
    while left > 0 {
        let first = tokio::select! {
            tapped = records.recv() => tapped,
            () = sender.closed() => return,
        };
        let Some(mut tapped) = first else { return };
        let mut lines = Vec::new();
        loop {
            let Ok(line) = Harmless::json(&tapped) else { return };
            lines.extend_from_slice(line.as_str().as_bytes());
            lines.push(b'\n');
            left -= u64::from(matches!(tapped, Tapped::Record { .. }));
            match records.try_recv() {
                Ok(next) if left > 0 && lines.len() < LINES_BYTES => tapped = next,
                Ok(next) if left > 0 => {
                    if sender.send(Ok(std::mem::take(&mut lines).into())).await.is_err() {
                        return;
                    }
                    tapped = next;
                }
                Ok(_) | Err(_) => break,
            }
        }
        if sender.send(Ok(lines.into())).await.is_err() {
            return;
        }
    }
}

async fn pause(State(asked): State<Asked>, Path(stage): Path<String>) -> Response {
    ordered(&asked, AdminCommand::Pause(stage))
}

async fn resume(State(asked): State<Asked>, Path(stage): Path<String>) -> Response {
    ordered(&asked, AdminCommand::Resume(stage))
}

async fn stop(State(asked): State<Asked>) -> Response {
    ordered(&asked, AdminCommand::Stop)
}

async fn drain(State(asked): State<Asked>) -> Response {
    ordered(&asked, AdminCommand::Drain)
}

async fn end_drain(State(asked): State<Asked>) -> Response {
    ordered(&asked, AdminCommand::EndDrain)
}

async fn stop_now(State(asked): State<Asked>) -> Response {
    ordered(&asked, AdminCommand::StopNow)
}

async fn log(State(asked): State<Asked>, body: Bytes) -> Response {
    match std::str::from_utf8(&body) {
        Ok(filter) => ordered(&asked, AdminCommand::Log(filter.trim().to_owned())),
        Err(_) => (StatusCode::BAD_REQUEST, "the body is a log filter, such as info\n").into_response(),
    }
}

fn ordered(asked: &Asked, order: AdminCommand) -> Response {
    match asked.subject.order(order) {
        Ok(changed) => json(&changed),
        Err(why) => (StatusCode::BAD_REQUEST, line(&why)).into_response(),
    }
}
