//! Somebody who speaks the protocol and plays by no rule.

use crate::disguise::Disguises;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
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
    /// Certificates that they have, where nodes show some.
    pub(crate) disguises: Option<Arc<Disguises>>,
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
        (a, Self { address, hello, disguises: None, next_number: Arc::new(AtomicU64::new(1)) })
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
    line: Line,
    codec: FrameCodec,
    heard: bytes::BytesMut,
}

enum Line {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stranger {
    /// As nobody.
    pub(crate) fn connect(insight: &Insight) -> Option<Self> {
        Self::connect_from(insight, Ipv4Addr::LOCALHOST)
    }

    /// As nobody, from an address of his own.
    pub(crate) fn connect_from(insight: &Insight, source: Ipv4Addr) -> Option<Self> {
        let to: SocketAddr = insight.address.parse().expect("an address");
        let line = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).ok()?;
        // Of `connect`, too.
        set_socket_timeout(&line, Timeout::Send, Some(Duration::from_secs(2))).ok()?;
        bind(&line, &SocketAddrV4::new(source, 0)).ok()?;
        connect(&line, &to).ok()?;
        Some(Self::of(TcpStream::from(line)))
    }

    /// As a node: without TLS whoever says so is one, with it he needs the certificate.
    pub(crate) fn connect_as(insight: &Insight, node: &str) -> Option<Self> {
        let stranger = Self::connect(insight)?;
        match (&insight.disguises, stranger.line) {
            (Some(disguises), Line::Plain(stream)) => {
                let line = Line::Tls(Box::new(disguises.put_on(node, stream)?));
                Some(Self { line, ..stranger })
            }
            (_, line) => Some(Self { line, ..stranger }),
        }
    }

    fn of(stream: TcpStream) -> Self {
        // Else what it says behind its handshake waits for the other side.
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout");
        let mut codec = FrameCodec::new();
        codec.handshake_done();
        Self { line: Line::Plain(stream), codec, heard: bytes::BytesMut::new() }
    }

    /// Whether it went out.
    pub(crate) fn say(&mut self, frame: &Frame) -> bool {
        let mut bytes = bytes::BytesMut::new();
        self.codec.encode(frame, &mut bytes).expect("a frame");
        self.say_bytes(&bytes)
    }

    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) -> bool {
        self.line.write_all(bytes).and_then(|()| self.line.flush()).is_ok()
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
            let read = self.line.read(&mut bytes).ok().filter(|read| *read > 0)?;
            self.heard.extend_from_slice(&bytes[..read]);
        }
        None
    }

    /// Whether the node has closed it.
    pub(crate) fn is_closed(&mut self) -> bool {
        let stream = match &mut self.line {
            Line::Plain(stream) => stream,
            Line::Tls(stream) => &mut stream.sock,
        };
        stream.set_nonblocking(true).expect("a socket");
        let read = stream.read(&mut [0; 512]);
        stream.set_nonblocking(false).expect("a socket");
        match read {
            Ok(read) => read == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

impl Read for Line {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Line::Plain(stream) => stream.read(bytes),
            Line::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Line::Plain(stream) => stream.write(bytes),
            Line::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Line::Plain(stream) => stream.flush(),
            Line::Tls(stream) => stream.flush(),
        }
    }
}
