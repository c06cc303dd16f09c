//! Does a zero-copy send pay, and from which size on?
//!
//! `cargo run --release -p coinbitclub-bench --example zero_copy_send` (some seconds). Sends over loopback one at a time, copied
//! (`SEND`) and zero-copy (`SEND_ZC`, its notification awaited), to a thread that reads; prints the sender's own CPU time per
//! send. Over loopback the kernel copies in the end; a network card that gathers would spare that.

use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use io_uring::types::Fd;
use io_uring::{IoUring, cqueue, opcode};

const SIZES: [usize; 5] = [500, 4 << 10, 16 << 10, 64 << 10, 256 << 10];
/// Bytes sent for each size, unless that would be too many sends.
const BYTES: usize = 400 << 20;
const SENDS_MAX: usize = 100_000;

fn main() -> io::Result<()> {
    println!("| bytes | copied | zero-copy |\n|---|---|---|");
    for size in SIZES {
        println!("| {size} | {} ns | {} ns |", measure(size, false)?, measure(size, true)?);
    }
    Ok(())
}

/// CPU time of this thread per send, in nanoseconds.
fn measure(size: usize, zero_copy: bool) -> io::Result<u64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut reader = TcpStream::connect(listener.local_addr()?)?;
    let reading = std::thread::spawn(move || {
        let mut piece = vec![0; 1 << 20];
        while reader.read(&mut piece).is_ok_and(|count| count > 0) {}
    });
    let (socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    let mut ring: IoUring = IoUring::builder().setup_single_issuer().setup_coop_taskrun().build(64)?;
    let data = vec![7; size];
    let sends = (BYTES / size).min(SENDS_MAX);
    let before = cpu_ns();
    for _ in 0..sends {
        let mut sent = 0;
        while sent < size {
            sent += send(&mut ring, &socket, &data[sent..], zero_copy)?;
        }
    }
    let per_send = (cpu_ns() - before) / sends as u64;
    drop(socket);
    reading.join().map_err(|_| io::Error::other("the reader panicked"))?;
    Ok(per_send)
}

/// Sends once and waits until the kernel is done with the bytes.
fn send(ring: &mut IoUring, socket: &TcpStream, bytes: &[u8], zero_copy: bool) -> io::Result<usize> {
    let (fd, len) = (Fd(socket.as_raw_fd()), u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    let entry = if zero_copy {
        opcode::SendZc::new(fd, bytes.as_ptr(), len).build()
    } else {
        opcode::Send::new(fd, bytes.as_ptr(), len).build()
    };
    // SAFETY: the bytes are borrowed until this function returns, which is after the operation's last completion.
    unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
    let mut sent = 0;
    loop {
        ring.submit_and_wait(1)?;
        while let Some(completion) = ring.completion().next() {
            if cqueue::notif(completion.flags()) {
                return Ok(sent);
            }
            sent = usize::try_from(completion.result())
                .map_err(|_| io::Error::from_raw_os_error(-completion.result()))?;
            if !cqueue::more(completion.flags()) {
                return Ok(sent);
            }
        }
    }
}

fn cpu_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes of one timespec during the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
