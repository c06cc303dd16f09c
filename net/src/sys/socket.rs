//! Socket options and the listener.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::wire::ListenOptions;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn set_option<T>(fd: RawFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let len = libc::socklen_t::try_from(size_of::<T>()).expect("socket options are a few bytes");
    // SAFETY: `value` is valid for reads of `len` bytes during the call; a wrong fd or option is an error, not UB.
    check(unsafe { libc::setsockopt(fd, level, name, std::ptr::from_ref(value).cast(), len) }).map(drop)
}

/// Makes the coming close of `fd` send a reset and drop what is unsent, so that a peer that does not read cannot keep
/// kernel memory.
pub(crate) fn reset_on_close(fd: RawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // A failure leaves an ordinary close, which the kernel's own time-outs bound.
    let _ordinary_close = set_option(fd, libc::SOL_SOCKET, libc::SO_LINGER, &linger);
}

/// A listening, non-blocking, close-on-exec TCP socket. Accepted sockets inherit TCP_NODELAY and the buffer sizes.
pub(crate) fn open_listener(address: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers; the result is checked.
    let fd = check(unsafe {
        libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK, 0)
    })?;
    // SAFETY: `fd` was just opened and nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let on: libc::c_int = 1;
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, &on)?;
    if options.reuse_port {
        set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, &on)?;
    }
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &on)?;
    for (name, bytes) in
        [(libc::SO_SNDBUF, options.send_buffer_bytes), (libc::SO_RCVBUF, options.receive_buffer_bytes)]
    {
        if let Some(bytes) = bytes {
            let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
            set_option(fd, libc::SOL_SOCKET, name, &bytes)?;
        }
    }
    bind(fd, address)?;
    let backlog = libc::c_int::try_from(options.backlog).unwrap_or(libc::c_int::MAX);
    // SAFETY: no pointers; the result is checked.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) })?;
    Ok(TcpListener::from(socket))
}

fn bind(fd: RawFd, address: SocketAddr) -> io::Result<()> {
    let result = match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::sa_family_t::try_from(libc::AF_INET).expect("address families are small"),
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            };
            let len = libc::socklen_t::try_from(size_of_val(&raw)).expect("an address is a few bytes");
            // SAFETY: `raw` is an initialised sockaddr_in of `len` bytes, read during the call only.
            unsafe { libc::bind(fd, std::ptr::from_ref(&raw).cast(), len) }
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::sa_family_t::try_from(libc::AF_INET6).expect("address families are small"),
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            };
            let len = libc::socklen_t::try_from(size_of_val(&raw)).expect("an address is a few bytes");
            // SAFETY: `raw` is an initialised sockaddr_in6 of `len` bytes, read during the call only.
            unsafe { libc::bind(fd, std::ptr::from_ref(&raw).cast(), len) }
        }
    };
    check(result).map(drop)
}

/// The soft limit of locked memory in bytes, `None` when unlimited or unreadable.
pub(crate) fn memlock_bytes() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writes of one rlimit during the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) }).ok()?;
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}
