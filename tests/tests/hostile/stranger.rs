//! Somebody who speaks the protocol and plays by no rule.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::codec::{Decoder as _, Encoder as _};
use worker_proto::frame::Hello;
use worker_proto::{ConnNo, Frame, FrameCodec, Incarnation};
use worker_tests::process::{Nodes, Running};

/// What the strangers are told of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Insight {
    pub(crate) address: String,
    /// Of node a, as it has said it.
    pub(crate) hello: Hello,
    next_number: Arc<AtomicU64>,
}

impl Insight {
    /// Listens where a node should, until node a has said who it is. Node a goes on, and finds the right one later.
    pub(crate) fn by_taking_the_place_of<'a>(nodes: &Nodes<'a>, node: &str) -> (Running<'a>, Self) {
        let address = nodes.address(node).to_owned();
        let listener = TcpListener::bind(&address).expect("a free port");
        let a = nodes.start("a");
        let (stream, _) = listener.accept().expect("a dials");
        let mut stranger = Stranger::of(stream);
        let Some(Frame::Hello(hello)) = stranger.hear() else { panic!("a says who it is") };
        (a, Self { address, hello, next_number: Arc::new(AtomicU64::new(1)) })
    }

    /// What another node would say, on its next connection.
    pub(crate) fn hello(&self, node: &str, life: u64) -> Hello {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let (incarnation, conn_no) = (Incarnation(life), ConnNo(number));
        Hello { node: node.to_owned(), incarnation, conn_no, ..self.hello.clone() }
    }
}

/// One connection.
pub(crate) struct Stranger {
    stream: TcpStream,
    codec: FrameCodec,
    heard: bytes::BytesMut,
}

impl Stranger {
    pub(crate) fn connect(insight: &Insight) -> Option<Self> {
        let address = insight.address.parse().expect("an address");
        TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok().map(Self::of)
    }

    fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        let mut codec = FrameCodec::new();
        codec.handshake_done();
        Self { stream, codec, heard: bytes::BytesMut::new() }
    }

    /// Whether it went out.
    pub(crate) fn say(&mut self, frame: &Frame) -> bool {
        let mut bytes = bytes::BytesMut::new();
        self.codec.encode(frame, &mut bytes).expect("a frame");
        self.say_bytes(&bytes)
    }

    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// The next frame that is no heartbeat; nothing where the connection ends, or for a second nothing comes.
    pub(crate) fn hear(&mut self) -> Option<Frame> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            match self.codec.decode(&mut self.heard).expect("a node sends frames") {
                Some(Frame::Ping(_) | Frame::Pong(_)) => continue,
                Some(frame) => return Some(frame),
                None => {}
            }
            let mut bytes = [0; 4096];
            let read = self.stream.read(&mut bytes).ok().filter(|read| *read > 0)?;
            self.heard.extend_from_slice(&bytes[..read]);
        }
        None
    }

    /// Whether the node has closed it.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.stream.set_nonblocking(true).expect("a socket");
        let read = self.stream.read(&mut [0; 512]);
        self.stream.set_nonblocking(false).expect("a socket");
        match read {
            Ok(read) => read == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}
