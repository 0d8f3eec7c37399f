//! Framed TCP between nodes: it moves [`Frame`](worker_proto::Frame)s between byte streams and an [`Endpoint`], and knows
//! nothing of what they mean but the heartbeats and the end of the handshake.
//!
//! - [`dial()`] makes a byte stream, [`Listener::accept`] takes one.
//! - [`drive()`] serves it until it ends: one task a connection, which owns both directions. It reads while writing is blocked and
//!   writes while there is nothing to read; frames are asked for at the last moment, when what was asked for before is written.
//! - Each side pings on its own clock. Any received byte is a sign of life; silence ends the connection, waiting on a write
//!   never does.
//! - When to dial again is not decided here: the endpoint is told [`Endpoint::closed`] and why.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
//! use tokio::sync::Notify;
//! use worker_net::{CloseCause, Endpoint, Listener, Settings, Transmit, dial, drive};
//! use worker_proto::{Frame, Incarnation, frame::Welcome};
//!
//! /// Greets, and closes when it was greeted.
//! #[derive(Default)]
//! struct Greeter { greets: AtomicBool, greeted: AtomicBool }
//!
//! impl Endpoint for Greeter {
//!     fn frames(&self, _conn: u64, frames: &mut Vec<Frame>) {
//!         self.greeted.store(frames.iter().any(|frame| matches!(frame, Frame::Welcome(_))), SeqCst);
//!     }
//!
//!     fn transmit(&self, _conn: u64, _bytes_max: usize, out: &mut Vec<Frame>) -> Transmit {
//!         if !self.greets.swap(true, SeqCst) {
//!             out.push(Frame::Welcome(Welcome { node: "a".into(), incarnation: Incarnation(1) }));
//!         }
//!         if self.greeted.load(SeqCst) { Transmit::Close } else { Transmit::Open }
//!     }
//!
//!     fn closed(&self, conn: u64, _cause: CloseCause, why: String) {
//!         println!("connection {conn}: {why}");
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::default();
//! let listener = Listener::bind("127.0.0.1:0", settings).await?;
//! let address = listener.address()?.to_string();
//!
//! let (one, other) = (Arc::new(Greeter::default()), Arc::new(Greeter::default()));
//! let (accepting, dialling) = (Arc::clone(&one), Arc::clone(&other));
//! let accepts = tokio::spawn(async move {
//!     let greeted = listener.accept().await.greeted(&settings).await.expect("a first frame");
//!     greeted.drive(1, accepting, Arc::new(Notify::new()), &settings).await;
//! });
//! let stream = dial(&address, &settings).await?;
//! drive(stream, 2, dialling, Arc::new(Notify::new()), &settings).await;
//! accepts.await?;
//! assert!(one.greeted.load(SeqCst) && other.greeted.load(SeqCst));
//! # Ok(())
//! # }
//! ```

mod breach;
mod dial;
mod drive;
mod endpoint;
mod incoming;
mod listener;
mod pulse;
mod room;
mod settings;
mod socket;
mod strangers;
mod tls;
mod wire;

pub use breach::Breach;
pub use dial::{DialError, dial};
pub use drive::{drive, drive_guarded};
pub use endpoint::{CloseCause, Endpoint, Transmit};
pub use incoming::{Greeted, Incoming, Turned};
pub use listener::{BindError, Listener};
pub use settings::Settings;
pub use tls::{
    Certificate, Guard, Https, HttpsFiles, Reread, Stream, Tls, TlsError, TlsFiles, Trust, read_certificates,
    revoked_serials,
};
