//! Keeps the kernel's queue of a connection short.
//!
//! TCP takes megabytes for a path that carries a tenth of that in a second, and what it has taken
//! it delivers, however old: sound behind pictures, pictures seconds late. So no more is given to
//! it than it can send now and a little beyond; the rest waits in the session's queue, where sound
//! goes first and where it is known what to drop.
//!
//! The bound `TCP_NOTSENT_LOWAT` alone does not do: the kernel looks at it only when it begins a
//! new buffer, of up to 64 KiB. So before packets are taken from the session the kernel is asked
//! whether it still wants some, unless it has been given so little since that it must.

use std::{
    io,
    task::{Context, Poll, ready},
};

use actix_tls::accept::rustls_0_23::TlsStream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest},
    net::TcpStream,
};

/// Bytes that may wait unsent in the kernel; it calls for more when half of them are gone. A tenth
/// of a second at 600 kbit/s.
const UNSENT: u32 = 8 << 10;
/// Bytes given between two looks: at first and after the path was found full, and at most, on one
/// that never is.
const FIRST_GRANT: usize = UNSENT as usize / 2;
const LONGEST_GRANT: usize = 2 * UNSENT as usize;

/// A connection over TCP.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Bounds what the kernel holds back of a connection.
///
/// # Errors
/// The kernel does not know one of these.
pub(crate) fn tune(socket: &impl Socket) -> io::Result<()> {
    let socket = SockRef::from(socket.tcp());
    socket.set_tcp_notsent_lowat(UNSENT)?;
    // Where little is under way a loss shows only by a timer; it must not double each time.
    socket.set_tcp_thin_linear_timeouts(true)
}

/// How much may be given to the kernel before it is asked again.
#[derive(Debug)]
pub(crate) struct KernelRoom {
    left: usize,
    grant: usize,
}

impl Default for KernelRoom {
    fn default() -> Self {
        Self {
            left: FIRST_GRANT,
            grant: FIRST_GRANT,
        }
    }
}

impl KernelRoom {
    /// Bytes that may be written now; waits until the kernel has sent most of what it has.
    pub(crate) fn poll_some(
        &mut self,
        socket: &impl Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        while self.left == 0 {
            let tcp = socket.tcp();
            match tcp.try_io(Interest::WRITABLE, || wants_more(tcp)) {
                Ok(()) => {
                    self.grant = (self.grant * 2).min(LONGEST_GRANT);
                    self.left = self.grant;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.grant = FIRST_GRANT / 2;
                    ready!(tcp.poll_write_ready(cx))?;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(self.left))
    }

    /// Takes note of bytes that will be written.
    pub(crate) fn use_up(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }
}

/// Asks the kernel, which from then on also tells when its answer changes to yes.
fn wants_more(tcp: &TcpStream) -> io::Result<()> {
    let mut asked = [PollFd::new(tcp, PollFlags::OUT)];
    match poll(&mut asked, Some(&Timespec::default()))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        // Also an error of the connection, which the next write tells.
        _ => Ok(()),
    }
}
