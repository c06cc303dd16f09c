//! Socket options, listeners and outgoing sockets.

use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
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

/// A listening, close-on-exec TCP socket. Blocking, because older kernels take the flag of a non-blocking one for a wish not
/// to wait for a connection (the ring never blocks its caller). Accepted sockets inherit TCP_NODELAY and the buffer sizes.
pub(crate) fn open_listener(address: SocketAddr, options: &ListenOptions) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers; the result is checked.
    let fd = check(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
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

/// A socket address as the kernel reads it.
pub(crate) struct RawAddress {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl RawAddress {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let mut storage = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        let small = |bytes: usize| libc::socklen_t::try_from(bytes).expect("an address is a few bytes");
        let family =
            |family: libc::c_int| libc::sa_family_t::try_from(family).expect("address families are small");
        let len = match address {
            SocketAddr::V4(v4) => {
                let raw = libc::sockaddr_in {
                    sin_family: family(libc::AF_INET),
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: a sockaddr_storage is large enough and aligned for every address.
                unsafe { storage.as_mut_ptr().cast::<libc::sockaddr_in>().write(raw) };
                small(size_of_val(&raw))
            }
            SocketAddr::V6(v6) => {
                let raw = libc::sockaddr_in6 {
                    sin6_family: family(libc::AF_INET6),
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { storage.as_mut_ptr().cast::<libc::sockaddr_in6>().write(raw) };
                small(size_of_val(&raw))
            }
        };
        // SAFETY: all zeroes is a valid sockaddr_storage, and the address was written over it.
        Self { storage: unsafe { storage.assume_init() }, len }
    }

    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    pub(crate) fn len(&self) -> libc::socklen_t {
        self.len
    }
}

fn bind(fd: RawFd, address: SocketAddr) -> io::Result<()> {
    let address = RawAddress::new(address);
    // SAFETY: the address is initialised for its length and read during the call only.
    check(unsafe { libc::bind(fd, address.as_ptr(), address.len()) }).map(drop)
}

/// A close-on-exec TCP socket with TCP_NODELAY for a connection to `to`, bound to `from` when that is given.
pub(crate) fn open_outgoing(to: SocketAddr, from: Option<IpAddr>) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: no pointers; the result is checked.
    let fd = check(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: `fd` was just opened and nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let on: libc::c_int = 1;
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &on)?;
    if let Some(from) = from {
        // The port is chosen when the destination is known, so that one address serves 28,000 connections to each
        // destination and not in all (ip(7)).
        set_option(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &on)?;
        bind(fd, SocketAddr::new(from, 0))?;
    }
    Ok(TcpStream::from(socket))
}

/// Receives what is there, without waiting. Zero is the end of the stream.
pub(super) fn receive_now(fd: RawFd, into: &mut [u8]) -> io::Result<u32> {
    // SAFETY: `into` is valid for writes of its length during the call.
    let count = unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), libc::MSG_DONTWAIT) };
    u32::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// The soft limit of locked memory in bytes, `None` when unlimited or unreadable.
pub(crate) fn memlock_bytes() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for writes of one rlimit during the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) }).ok()?;
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}
