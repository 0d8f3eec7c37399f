//! A connection that is cut once it has moved so many bytes.

use super::doom::{STRETCH_BYTES, STRETCHES_MAX, early};
use super::{Chaos, Draws, Fault};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream that breaks off when it is to.
#[derive(Debug)]
pub struct Cut<S> {
    stream: S,
    chaos: Arc<Chaos>,
    peer: String,
    moved: u64,
    /// After so many bytes of both directions; `None`: never.
    after: Option<u64>,
}

impl<S> Cut<S> {
    /// Of the next connection to a peer.
    #[must_use]
    pub fn of(stream: S, chaos: &Arc<Chaos>, peer: &str) -> Self {
        let after = chaos.next(Fault::Link, peer).and_then(after);
        Self { stream, chaos: Arc::clone(chaos), peer: peer.to_owned(), moved: 0, after }
    }

    fn check(&mut self) -> io::Result<()> {
        if self.after.is_none_or(|after| self.moved < after) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut on purpose (--chaos)"))
    }
}

impl<S> Drop for Cut<S> {
    fn drop(&mut self) {
        match self.check() {
            Ok(()) => self.chaos.passed(Fault::Link, &self.peer),
            Err(_) => self.chaos.struck(Fault::Link, &self.peer),
        }
    }
}

fn after(draws: Draws) -> Option<u64> {
    if draws.hit(0) {
        return Some(early(draws));
    }
    let stretch = (1..STRETCHES_MAX).find(|&stretch| draws.hit(3 + 2 * stretch))?;
    Some(stretch * STRETCH_BYTES + draws.bits(4 + 2 * stretch) % STRETCH_BYTES)
}

impl<S: AsyncRead + Unpin> AsyncRead for Cut<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.moved += (buf.filled().len() - before) as u64;
        read
    }
}

impl<S: AsyncWrite + Unpin> Cut<S> {
    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.moved += *bytes as u64;
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Cut<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn a_connection_is_cut_where_the_seed_says_and_the_third_is_let_through() {
        let chaos = Arc::new(Chaos::new(4, "links=100%".parse().unwrap(), Vec::new()));
        let mut moved = Vec::new();
        for _ in 0..3 {
            let (here, mut there) = tokio::io::duplex(1 << 20);
            let mut cut = Cut::of(here, &chaos, "b");
            there.write_all(&[7; 1000]).await.unwrap();
            let mut bytes = [0; 1000];
            let (mut result, mut count) = (cut.read_exact(&mut bytes).await.map(drop), 0_u64);
            while result.is_ok() && count < 1 << 20 {
                count += 100;
                result = cut.write_all(&[1; 100]).await;
                let mut taken = [0; 100];
                if result.is_ok() {
                    there.read_exact(&mut taken).await.unwrap();
                }
            }
            moved.push(result.err().map(|error| (error.kind(), cut.after)));
        }
        assert!(
            matches!(moved[..], [Some((io::ErrorKind::ConnectionReset, Some(_))), Some(_), None]),
            "{moved:?}"
        );
        assert_eq!(chaos.report().injected.links, 2);
        let again = Arc::new(Chaos::new(4, "links=100%".parse().unwrap(), Vec::new()));
        assert_eq!(Cut::of((), &again, "b").after, moved[0].and_then(|(_, after)| after));
    }
}
