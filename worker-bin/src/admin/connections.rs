//! The connections of the admin address: always taken, few at once, and none for longer than it is of use.
//!
//! Who does not ask, does not finish asking or does not take the answer is closed: in time, and at once where room is needed. So
//! nobody keeps others out, whatever is left open here, and descriptors and memory are bounded.

mod held;
mod secure;
mod watched;

pub(super) use held::Held;

use super::refusals::{Refusal, Refusals};
use crate::mutex::lock;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use held::Answer;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use secure::{Opened, open};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use watched::Watched;
use worker_net::Https;

/// Most connections at once.
pub(super) const CONNECTIONS_MAX: usize = 64;

/// How many more may be on their way out.
const CLOSING_MAX: usize = 16;

/// How long the head of a request may take, the time before its first byte included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest head of a request, and what is gathered for one write, in bytes.
const BUFFER_BYTES: usize = 16 << 10;

/// Most headers of a request.
const HEADERS_MAX: usize = 64;

/// What the kernel is asked to keep of what was written and is not taken yet, in bytes; it doubles that.
const SEND_BYTES: usize = 16 << 10;

/// What a request without TLS is told.
const IN_CLEAR: &str = "this address speaks TLS: ask https:// here; commands of worker take --admin-ca FILE, curl --cacert FILE\n";

/// How long it waits where the process may open no more files.
const FILES_PAUSE: Duration = Duration::from_millis(100);

/// Those that are open.
#[derive(Debug)]
struct Connections {
    open: Mutex<Open>,
    room: Arc<Semaphore>,
    refusals: Arc<Refusals>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    held: BTreeMap<u64, Arc<Held>>,
}

/// What is answered on all of them.
struct Answers {
    https: Option<Arc<Https>>,
    requests: TowerToHyperService<Router>,
    /// Where TLS is spoken and a request comes without.
    in_clear: TowerToHyperService<Router>,
}

/// Takes connections for as long as the runtime lives, and answers on them.
pub(super) async fn serve(
    listener: TcpListener,
    https: Option<Arc<Https>>,
    router: Router,
    refusals: Arc<Refusals>,
) {
    // Connections inherit it.
    if let Err(error) = rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BYTES) {
        tracing::debug!(%error, "what the kernel keeps for readers of the admin address is as large as it likes");
    }
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX + CLOSING_MAX));
    let connections = Arc::new(Connections { open: Mutex::default(), room, refusals });
    let in_clear = Router::new().fallback(|| async { (StatusCode::BAD_REQUEST, IN_CLEAR) });
    let [requests, in_clear] = [router, in_clear].map(TowerToHyperService::new);
    let answers = Arc::new(Answers { https, requests, in_clear });
    loop {
        let Ok(room) = Arc::clone(&connections.room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let place = connections.hold(from.ip(), room);
                tokio::spawn(Box::pin(answer(stream, place, Arc::clone(&answers))));
                // What this one asks comes before the next one that may push it out.
                tokio::task::yield_now().await;
            }
            Err(error) if is_of_the_process(&error) => {
                connections.refusals.note(Refusal::Files, None);
                connections.close_longest_idle(Refusal::Files);
                tokio::time::sleep(FILES_PAUSE).await;
            }
            // Of one connection that is gone already.
            Err(error) => {
                tracing::debug!(%error, "a connection to the admin address ended before it was taken")
            }
        }
    }
}

/// Whether no connection could have been taken.
fn is_of_the_process(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let errno = Errno::from_io_error(error);
    errno.is_none_or(|errno| [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].contains(&errno))
}

/// A connection among those that are open, until it is dropped.
struct Place {
    connections: Arc<Connections>,
    number: u64,
    held: Arc<Held>,
    _room: OwnedSemaphorePermit,
}

impl Connections {
    /// Makes room for one more where there is none.
    fn hold(self: &Arc<Self>, from: IpAddr, room: OwnedSemaphorePermit) -> Place {
        if lock(&self.open).held.len() >= CONNECTIONS_MAX {
            self.close_longest_idle(Refusal::Connections);
        }
        let held = Arc::new(Held::new(from));
        let mut open = lock(&self.open);
        let number = open.next;
        open.next += 1;
        open.held.insert(number, Arc::clone(&held));
        Place { connections: Arc::clone(self), number, held, _room: room }
    }

    /// Closes the one that is of the least use.
    fn close_longest_idle(&self, why: Refusal) {
        let mut open = lock(&self.open);
        let longest = open.held.iter().min_by_key(|(_, held)| held.use_of_it()).map(|(number, _)| *number);
        if let Some(held) = longest.and_then(|number| open.held.remove(&number)) {
            held.close(why);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.connections.open).held.remove(&self.number);
    }
}

/// Why a connection ended that nobody closed.
enum Ended {
    Handshake(String),
    Http(hyper::Error),
}

/// Answers on a connection until it ends or is closed.
async fn answer(stream: TcpStream, place: Place, answers: Arc<Answers>) {
    let (held, refusals) = (&place.held, &place.connections.refusals);
    // What is small and last is not held back.
    stream.set_nodelay(true).ok();
    let result = tokio::select! {
        result = answered(stream, held, &answers, refusals) => result,
        () = held.closed() => Ok(()),
    };
    match (held.why(), result) {
        (Some(why), _) => {
            if why != Refusal::Files {
                refusals.note(why, Some(held.from()));
            }
        }
        (None, Err(Ended::Handshake(why))) => {
            tracing::debug!(from = %held.from(), why, "a TLS handshake at the admin address failed");
            refusals.note(Refusal::Tls, Some(held.from()));
        }
        (None, Err(Ended::Http(error))) if error.is_parse() || (error.is_timeout() && held.was_asking()) => {
            refusals.note(Refusal::Head, Some(held.from()));
        }
        // It has gone by itself, or asked nothing more.
        (None, Ok(()) | Err(Ended::Http(_))) => {}
    }
}

async fn answered(
    stream: TcpStream,
    held: &Arc<Held>,
    answers: &Answers,
    refusals: &Refusals,
) -> Result<(), Ended> {
    let (stream, router) = match open(stream, answers.https.as_deref()).await.map_err(Ended::Handshake)? {
        Opened::Rightly(stream) => (stream, &answers.requests),
        Opened::InClear(stream) => {
            refusals.note(Refusal::Tls, Some(held.from()));
            (stream, &answers.in_clear)
        }
        Opened::Gone => return Ok(()),
    };
    let io = TokioIo::new(Watched::new(stream, Arc::clone(held)));
    let service = service_fn(|request| respond(request, router, held));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    http.max_buf_size(BUFFER_BYTES).max_headers(HEADERS_MAX);
    http.serve_connection(io, service).await.map_err(Ended::Http)
}

/// The answer to one request.
fn respond(
    mut request: Request<Incoming>,
    router: &TowerToHyperService<Router>,
    held: &Arc<Held>,
) -> impl Future<Output = Result<Response<Answer>, std::convert::Infallible>> + use<> {
    let answering = held.answers(request.body().is_end_stream());
    request.extensions_mut().insert(Arc::clone(held));
    let response = router.call(request);
    async move { Ok(response.await?.map(|body: Body| Answer::new(body, answering))) }
}
