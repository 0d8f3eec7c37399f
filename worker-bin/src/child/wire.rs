//! What worker and launcher say to each other: a fixed header, then a body; a start carries three descriptors.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Size of a header: kind, three unused bytes, body length, id.
pub(crate) const HEADER_BYTES: usize = 16;

/// Largest body, in bytes: the kernel refuses argv and environment far below.
const BODY_BYTES_MAX: usize = 64 << 20;

/// What to start. Standard input, output and error travel beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) argv: Vec<OsString>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) clear_env: bool,
    pub(crate) env: Vec<(OsString, OsString)>,
    /// How it is confined, as [`Confinement`](super::confinement::Confinement) says it; empty: it is not.
    pub(crate) confined: Vec<OsString>,
}

/// From the worker to the launcher.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Start(Start),
    /// SIGTERM to its process group.
    Terminate,
    /// SIGKILL to all that is left of it.
    Kill,
}

/// From the launcher to the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Started {
        pid: i32,
    },
    Failed {
        errno: i32,
        message: String,
    },
    Exited {
        exit: Exit,
        /// Processes that it started have not ended; they may go on until they are killed.
        left: bool,
    },
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    kind: u8,
    pub(crate) id: u64,
    pub(crate) body_bytes: usize,
}

impl Header {
    pub(crate) fn parse(bytes: [u8; HEADER_BYTES]) -> io::Result<Self> {
        let [kind, _, _, _, l0, l1, l2, l3, id @ ..] = bytes;
        let body_bytes = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if body_bytes > BODY_BYTES_MAX {
            return Err(broken("a body is too large"));
        }
        Ok(Self { kind, id: u64::from_le_bytes(id), body_bytes })
    }
}

impl Request {
    pub(crate) fn encode(&self, id: u64) -> io::Result<Vec<u8>> {
        match self {
            Request::Kill => message(2, id, &[]),
            Request::Terminate => message(3, id, &[]),
            Request::Start(start) => {
                let mut body = vec![u8::from(start.clear_env), u8::from(start.cwd.is_some())];
                put(&mut body, start.cwd.as_ref().map_or(OsStr::new(""), |c| c.as_os_str()))?;
                put_count(&mut body, start.argv.len())?;
                for arg in &start.argv {
                    put(&mut body, arg)?;
                }
                put_count(&mut body, start.env.len())?;
                for (name, value) in &start.env {
                    put(&mut body, name)?;
                    put(&mut body, value)?;
                }
                put_count(&mut body, start.confined.len())?;
                for word in &start.confined {
                    put(&mut body, word)?;
                }
                message(1, id, &body)
            }
        }
    }

    pub(crate) fn decode(header: Header, body: &[u8]) -> io::Result<Self> {
        match header.kind {
            1 => {
                let mut body = Body(body);
                let (clear_env, has_cwd) = (body.byte()? != 0, body.byte()? != 0);
                let cwd = body.text()?;
                let argv = (0..body.count()?).map(|_| body.text()).collect::<io::Result<_>>()?;
                let env = (0..body.count()?)
                    .map(|_| Ok((body.text()?, body.text()?)))
                    .collect::<io::Result<_>>()?;
                let confined = (0..body.count()?).map(|_| body.text()).collect::<io::Result<_>>()?;
                Ok(Request::Start(Start { argv, cwd: has_cwd.then(|| cwd.into()), clear_env, env, confined }))
            }
            2 => Ok(Request::Kill),
            3 => Ok(Request::Terminate),
            _ => Err(broken("an unknown request")),
        }
    }
}

impl Reply {
    pub(crate) fn encode(&self, id: u64) -> io::Result<Vec<u8>> {
        match self {
            Reply::Started { pid } => message(1, id, &pid.to_le_bytes()),
            Reply::Failed { errno, message: text } => {
                message(2, id, &[&errno.to_le_bytes()[..], text.as_bytes()].concat())
            }
            &Reply::Exited { exit, left } => {
                let (kind, number) = match exit {
                    Exit::Code(code) => (3, code),
                    Exit::Signal(signal) => (4, signal),
                };
                message(kind, id, &[&number.to_le_bytes()[..], &[u8::from(left)]].concat())
            }
        }
    }

    pub(crate) fn decode(header: Header, body: &[u8]) -> io::Result<Self> {
        let (number, rest) = body.split_first_chunk().ok_or_else(|| broken("a reply is too short"))?;
        let number = i32::from_le_bytes(*number);
        match header.kind {
            1 => Ok(Reply::Started { pid: number }),
            2 => Ok(Reply::Failed { errno: number, message: String::from_utf8_lossy(rest).into_owned() }),
            3 => Ok(Reply::Exited { exit: Exit::Code(number), left: rest != [0] }),
            4 => Ok(Reply::Exited { exit: Exit::Signal(number), left: rest != [0] }),
            _ => Err(broken("an unknown reply")),
        }
    }
}

/// Sends some of `bytes`, the descriptors with the first of them; says how many bytes went.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8], fds: &[OwnedFd]) -> io::Result<usize> {
    let borrowed: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&borrowed)) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    Ok(rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?)
}

/// Receives a header, waiting for it, with the descriptors beside it; `None` where the other side has closed.
pub(crate) fn receive_header(socket: impl AsFd) -> io::Result<Option<(Header, Vec<OwnedFd>)>> {
    let mut header = [0; HEADER_BYTES];
    let (mut filled, mut fds) = (0, Vec::new());
    while filled < HEADER_BYTES {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let into = &mut [IoSliceMut::new(&mut header[filled..])];
        let received = match rustix::net::recvmsg(&socket, into, &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if received.bytes == 0 {
            return Ok(None);
        }
        filled += received.bytes;
        for part in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = part {
                fds.extend(rights);
            }
        }
    }
    Ok(Some((Header::parse(header)?, fds)))
}

/// The body of a message, read piece by piece.
struct Body<'a>(&'a [u8]);

impl Body<'_> {
    fn byte(&mut self) -> io::Result<u8> {
        let (&first, rest) = self.0.split_first().ok_or_else(|| broken("a body is too short"))?;
        self.0 = rest;
        Ok(first)
    }

    fn count(&mut self) -> io::Result<u32> {
        let (first, rest) = self.0.split_first_chunk().ok_or_else(|| broken("a body is too short"))?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*first))
    }

    fn text(&mut self) -> io::Result<OsString> {
        let length = self.count()? as usize;
        let (text, rest) = self.0.split_at_checked(length).ok_or_else(|| broken("a body is too short"))?;
        self.0 = rest;
        Ok(OsString::from_vec(text.to_vec()))
    }
}

fn message(kind: u8, id: u64, body: &[u8]) -> io::Result<Vec<u8>> {
    if body.len() > BODY_BYTES_MAX {
        return Err(io::Error::from(rustix::io::Errno::TOOBIG));
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend_from_slice(&[kind, 0, 0, 0]);
    put_count(&mut bytes, body.len())?;
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(body);
    Ok(bytes)
}

fn put(body: &mut Vec<u8>, text: &OsStr) -> io::Result<()> {
    put_count(body, text.len())?;
    body.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_count(body: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let count = u32::try_from(count).map_err(|_| io::Error::from(rustix::io::Errno::TOOBIG))?;
    body.extend_from_slice(&count.to_le_bytes());
    Ok(())
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("launcher protocol: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(bytes: &[u8]) -> (Header, &[u8]) {
        let (header, body) = bytes.split_first_chunk().unwrap();
        (Header::parse(*header).unwrap(), body)
    }

    #[test]
    fn messages_survive_the_socket() {
        let start = Start {
            argv: vec!["a".into(), OsString::from_vec(vec![0xff, b'x'])],
            cwd: Some("/tmp".into()),
            clear_env: true,
            env: vec![("K".into(), "v".into())],
            confined: vec!["memory=5".into()],
        };
        let request = Request::Start(start);
        let bytes = request.encode(7).unwrap();
        let (header, body) = split(&bytes);
        assert_eq!((header.id, header.body_bytes), (7, body.len()));
        assert_eq!(Request::decode(header, body).unwrap(), request);
        for reply in [
            Reply::Started { pid: 5 },
            Reply::Failed { errno: 2, message: "why".into() },
            Reply::Exited { exit: Exit::Code(3), left: false },
            Reply::Exited { exit: Exit::Signal(9), left: true },
        ] {
            let bytes = reply.encode(u64::MAX).unwrap();
            let (header, body) = split(&bytes);
            assert_eq!(Reply::decode(header, body).unwrap(), reply);
        }
    }

    #[test]
    fn a_truncated_body_is_an_error() {
        let bytes = Request::Start(Start { argv: vec!["abc".into()], ..Start::default() }).encode(1).unwrap();
        let (header, body) = split(&bytes);
        for cut in 0..body.len() {
            assert!(Request::decode(header, &body[..cut]).is_err(), "cut at {cut}");
        }
    }
}
