//! What comes before the first request where TLS is spoken.

use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use worker_net::{Https, Stream};

/// How long it may take, the time before its first byte included.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// With what every handshake begins, and no request.
const HANDSHAKE: u8 = 0x16;

/// How requests come.
pub(super) enum Opened {
    /// As they should.
    Rightly(Stream),
    /// In clear, where TLS is spoken: they are told so, and nothing else.
    InClear(Stream),
    /// It has left.
    Gone,
}

/// Does what is to be done before requests come.
///
/// # Errors
/// No handshake came of it.
pub(super) async fn open(stream: TcpStream, https: Option<&Https>) -> Result<Opened, String> {
    let Some(https) = https else { return Ok(Opened::Rightly(Stream::Plain(stream))) };
    let opening = async {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(0) | Err(_) => Ok(Opened::Gone),
            Ok(_) if first == [HANDSHAKE] => https.accept(stream).await.map(Opened::Rightly),
            Ok(_) => Ok(Opened::InClear(Stream::Plain(stream))),
        }
    };
    let late = |_| format!("it did not end within {} s", HANDSHAKE_TIMEOUT.as_secs());
    timeout(HANDSHAKE_TIMEOUT, opening).await.map_err(late)?
}
