//! Asking an admin address.

use super::{Place, Token};
use crate::explain::words;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use worker_net::{Stream, Trust};

/// How long an answer may take to begin.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked, meanwhile, whether who shall answer is stopped.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Largest answer that is taken whole, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error(
        "cannot reach the admin address {address}: {why}; is the worker running, and with --admin {address}?"
    )]
    Unreachable {
        address: String,
        /// What the system says.
        why: String,
    },
    /// It does not prove that it is the one that is meant, or that cannot be known here.
    #[error("{address} is not believed: {why}")]
    Untrusted {
        address: String,
        /// What is wrong with its certificate, or missing here.
        why: String,
    },
    /// It cannot answer before somebody lets it go on.
    #[error("its process {pid} is {by}; {advice}")]
    Stopped {
        pid: u32,
        /// By what.
        by: String,
        advice: String,
    },
    /// It answered with an error.
    #[error("{address} answers {status}: {why}")]
    Refused {
        address: String,
        /// The status, with its words.
        status: StatusCode,
        why: String,
    },
    /// It is no worker, or one of another version.
    #[error("{address} gave an answer that this version does not understand: {why}")]
    Strange {
        address: String,
        /// What is wrong with it.
        why: String,
    },
}

#[derive(Clone, Debug)]
pub struct Client {
    place: Place,
    /// Whom it believes where TLS is spoken.
    trust: Option<Trust>,
    token: Option<Token>,
    /// The process there, if it is one of this machine.
    process: Option<u32>,
}

/// Text as a part of a URL.
pub(crate) fn encoded(text: &str) -> String {
    let mut url = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => url.push(char::from(byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

/// Lines of an answer that goes on.
#[derive(Debug)]
pub struct Lines {
    body: Incoming,
    gathered: Vec<u8>,
    /// How much of it was given already.
    given: usize,
    cut_off: bool,
}

impl Client {
    /// Asks at `address` (`HOST:PORT` or `https://HOST:PORT`); orders carry `token`.
    #[must_use]
    pub fn new(address: &str, token: Option<Token>) -> Self {
        Self { place: Place::of(address), trust: None, token, process: None }
    }

    /// Believes it, where TLS is spoken, that it is who it says.
    #[must_use]
    pub fn trusting(self, trust: Option<Trust>) -> Self {
        Self { trust, ..self }
    }

    /// It is this process of this machine: that it is stopped is seen at once, and not waited for.
    #[must_use]
    pub fn of_process(self, pid: Option<u32>) -> Self {
        Self { process: pid, ..self }
    }

    #[must_use]
    pub fn address(&self) -> String {
        self.place.to_string()
    }

    /// An answer in JSON.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let response = self.send(Method::GET, path, String::new()).await?;
        let bytes = self.whole(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.strange(&error))
    }

    /// An answer as text, whatever its status is.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`]
    pub async fn text(&self, path: &str) -> Result<(StatusCode, String), ClientError> {
        let response = self.exchange(Method::GET, path, String::new()).await?;
        let status = response.status();
        let bytes = self.whole(response).await?;
        Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Gives an order.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn post<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: String,
    ) -> Result<T, ClientError> {
        let response = self.send(Method::POST, path, body).await?;
        let bytes = self.whole(response).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.strange(&error))
    }

    /// An answer that goes on, line by line.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let response = self.send(Method::GET, path, String::new()).await?;
        Ok(Lines { body: response.into_body(), gathered: Vec::new(), given: 0, cut_off: false })
    }

    /// An answer with a status that says it is one.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<Response<Incoming>, ClientError> {
        let response = self.exchange(method, path, body).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = self.whole(response).await.unwrap_or_default();
        // A worker says it in one line; who else answers may say anything.
        let text = String::from_utf8_lossy(&body);
        let why = words::foreign(text.trim().lines().next().unwrap_or_default());
        Err(ClientError::Refused { address: self.address(), status, why })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<Response<Incoming>, ClientError> {
        let exchange = async {
            let unreachable = |error: hyper::Error| self.unreachable(error.to_string());
            let io = TokioIo::new(self.connect().await?);
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(io).await.map_err(unreachable)?;
            // It ends with the answer's body.
            tokio::spawn(async move { connection.await.ok() });
            let mut request = Request::builder().method(method).uri(path).header("host", &self.place.at);
            if let Some(token) = &self.token {
                request = request.header("authorization", format!("Bearer {}", token.text()));
            }
            let request = request.body(Full::new(Bytes::from(body)));
            let request = request.map_err(|error| self.unreachable(error.to_string()))?;
            sender.send_request(request).await.map_err(unreachable)
        };
        let exchange = async {
            tokio::select! {
                biased;
                stopped = self.stopped() => Err(stopped),
                result = exchange => result,
            }
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(result) => result,
            Err(_) => Err(self.unreachable(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    /// A connection to who is meant: nothing is said, and no token shown, before he has proved that he is it.
    async fn connect(&self) -> Result<Stream, ClientError> {
        let trust = match (self.place.tls, &self.trust) {
            (false, _) => None,
            (true, Some(trust)) => Some(trust),
            (true, None) => {
                let why = "--admin-ca FILE has to name the certificates, in PEM, of those who vouch for it, such as certs/ca.pem of \
                           worker cert, or the system's /etc/ssl/certs/ca-certificates.crt";
                return Err(self.untrusted(why.to_owned()));
            }
        };
        let stream = TcpStream::connect(&self.place.at).await;
        let stream = stream.map_err(|error| self.unreachable(error.to_string()))?;
        match trust {
            None => Ok(Stream::Plain(stream)),
            Some(trust) => trust.connect(stream, self.place.host()).await.map_err(|why| self.untrusted(why)),
        }
    }

    fn unreachable(&self, why: String) -> ClientError {
        ClientError::Unreachable { address: self.address(), why }
    }

    fn untrusted(&self, why: String) -> ClientError {
        ClientError::Untrusted { address: self.address(), why }
    }

    /// Resolves when its process is seen to be stopped.
    async fn stopped(&self) -> ClientError {
        let Some(pid) = self.process else { return std::future::pending().await };
        loop {
            if let Some(by) = crate::stopped::stopped(pid) {
                return ClientError::Stopped { pid, by: by.to_string(), advice: by.advice(pid) };
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, ClientError> {
        let body = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let collected = tokio::time::timeout(PATIENCE, body.collect()).await;
        match collected {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) => Err(self.strange(&error)),
            Err(_) => Err(self.strange(&"it did not end in time")),
        }
    }

    fn strange(&self, why: &dyn std::fmt::Display) -> ClientError {
        ClientError::Strange { address: self.address(), why: why.to_string() }
    }
}

impl Lines {
    /// The next line, without its end; `None` at the end of the answer.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        let mut searched = self.given;
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.gathered[searched..]) {
                let line = self.gathered[self.given..searched + at].to_vec();
                self.given = searched + at + 1;
                return Some(line);
            }
            self.gathered.drain(..self.given);
            self.given = 0;
            searched = self.gathered.len();
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.gathered.extend_from_slice(&bytes);
                    }
                }
                Err(_) => {
                    self.cut_off = true;
                    return None;
                }
            }
        }
    }

    /// The answer ended before its end: who gave it is gone.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.cut_off
    }
}
