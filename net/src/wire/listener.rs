//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};

use crate::sys;

/// How to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    /// SO_REUSEPORT: every shard binds its own listener to the same address and the kernel spreads connections.
    pub reuse_port: bool,
    /// Connections the kernel completes before we accept them; capped by `net.core.somaxconn`.
    pub backlog: u32,
    /// SO_SNDBUF of accepted sockets, in bytes; `None` leaves the kernel's autotuning.
    pub send_buffer_bytes: Option<u32>,
    /// SO_RCVBUF of accepted sockets, in bytes; `None` leaves the kernel's autotuning.
    pub receive_buffer_bytes: Option<u32>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        // 4,096 is the kernel's own default for somaxconn since 5.4: a storm of reconnects waits instead of failing.
        Self { reuse_port: true, backlog: 4096, send_buffer_bytes: None, receive_buffer_bytes: None }
    }
}

/// A bound, listening socket with TCP_NODELAY, which accepted sockets inherit.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// The bound address, with the port the kernel chose when port 0 was asked for.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Binds and listens. For several shards, bind port 0 once and the others to [`Listener::address`].
///
/// # Errors
/// The kernel's, with the address and, where there is one, the remedy in the message.
pub fn listen(address: SocketAddr, options: &ListenOptions) -> io::Result<Listener> {
    let remedy = |error: io::Error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => ": another process listens there; stop it or choose another port",
            io::ErrorKind::PermissionDenied => {
                ": ports below 1024 need CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)"
            }
            io::ErrorKind::AddrNotAvailable => ": no interface of this machine has this address",
            _ => "",
        };
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}{remedy}"))
    };
    let socket = sys::open_listener(address, options).map_err(remedy)?;
    let address = socket.local_addr()?;
    Ok(Listener { socket, address })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn accepted_sockets_inherit_what_the_listener_sets() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = listen(address.parse().unwrap(), &ListenOptions::default()) else {
                assert!(address.starts_with('['), "only IPv6 may be missing");
                continue;
            };
            let _client = TcpStream::connect(listener.address()).unwrap();
            listener.socket.set_nonblocking(false).unwrap();
            let (accepted, _) = listener.socket.accept().unwrap();
            assert!(accepted.nodelay().unwrap(), "an answer must not wait for the peer's acknowledgement");
        }
    }
}
