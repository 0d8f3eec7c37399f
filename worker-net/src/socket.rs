//! What our TCP sockets have in common.

use crate::Settings;
use socket2::SockRef;
use std::io;
use tokio::net::TcpStream;

/// How much may lie in the socket that the network has not taken yet, in bytes: little, so that a heartbeat fits through a slow
/// link behind it, and enough to keep a fast one busy.
const NOT_SENT_BYTES_MAX: u32 = 128 * 1024;

/// Sends small frames at once, keeps little unsent data, and lets the kernel give up on a peer that acknowledges nothing.
///
/// The kernel's limit is twice ours: it is for what our clock cannot see, such as the end of a connection already closed.
pub(crate) fn prepare(stream: &TcpStream, settings: &Settings) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(settings.dead_after * 2))?;
    socket.set_tcp_notsent_lowat(NOT_SENT_BYTES_MAX)
}
