//! Question: what does a WebSocket message cost, apart from the kernel? A server echoes masked text frames that have
//! arrived whole: unmask, check UTF-8, hand out, encode the answer. Beside it `tungstenite`, the library we would
//! otherwise use, over a stream in memory.
//!
//! `cargo bench -p coinbitclub-bench --bench ws_frames`
//!
//! Measured on a 2-core virtual machine (AMD EPYC, Linux 6.18, other builds running, so only the ratios hold; three runs):
//! a message of 64 bytes costs the session 37 to 72 ns, a fifth to a sixth of `tungstenite` 0.30; of 1 KiB 0.12 to
//! 0.28 µs, a quarter to a half; of 64 KiB 8 to 12 µs, 0.56 to 0.64 of it. `tungstenite` copies each frame into a
//! buffer of the connection and each answer out of one, which is its contract (`Read` and `Write`); without its write
//! buffer it is as fast. Idle, a session is 88 bytes and holds no buffer; `tungstenite` is 256 bytes and a read buffer of
//! 128 KiB, which can be set smaller. So the frame layer is ours.
//!
//! Does not show: the system calls, cache misses of a busy server (the input is always warm), fragments, compression.

use std::hint::black_box;
use std::io::{self, Read, Write};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use net::ws::frame::{FrameHeader, Opcode, append_masked};
use net::ws::{Event, Inbox, Limits, Session};
use tungstenite::WebSocket;
use tungstenite::protocol::Role;

/// Frames per iteration: what one receive may bring.
const FRAMES: usize = 16;

/// Text as it is here, JSON of plain characters, masked as a client does.
fn frame(payload_bytes: usize) -> Vec<u8> {
    let text = b"{\"type\":\"order\",\"symbol\":\"BTCUSDT\",\"price\":\"43210.5\"}";
    let payload: Vec<u8> = text.iter().copied().cycle().take(payload_bytes).collect();
    let key = [0x37, 0xFA, 0x21, 0x3D];
    let mut bytes = Vec::new();
    let payload_bytes = u64::try_from(payload.len()).expect("an address fits 64 bits");
    FrameHeader { is_final: true, compressed: false, opcode: Opcode::Text, mask: Some(key), payload_bytes }
        .encode(&mut bytes);
    append_masked(&mut bytes, &payload, key);
    bytes
}

/// Gives its input once per refill, then says "would block"; output is kept and forgotten.
struct Memory {
    input: Vec<u8>,
    read_bytes: usize,
    out: Vec<u8>,
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.input[self.read_bytes..];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&rest[..bytes]);
        self.read_bytes += bytes;
        Ok(bytes)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn echo(criterion: &mut Criterion) {
    let (ours, theirs) = (size_of::<Session>(), size_of::<WebSocket<Memory>>() - size_of::<Memory>());
    println!("an idle connection without its buffers: session {ours} bytes, tungstenite {theirs} bytes");
    for payload_bytes in [64, 1 << 10, 64 << 10] {
        let input = frame(payload_bytes).repeat(FRAMES);
        let mut group = criterion.benchmark_group(format!("ws_echo/{payload_bytes}"));
        group.throughput(Throughput::Elements(FRAMES as u64));

        let mut session = Session::server(Limits::default(), None);
        let (mut inbox, mut out) = (Inbox::new(), Vec::new());
        group.bench_function("session", |bencher| {
            bencher.iter(|| {
                out.clear();
                let (mut rest, mut messages) = (black_box(&input[..]), 0);
                while let Ok(step) = session.step(rest, &mut inbox, &mut out)
                    && let Some(Event::Message(message)) = step.event
                {
                    messages += usize::from(session.send(message, &mut out).is_ok());
                    rest = &rest[step.consumed_bytes..];
                }
                assert_eq!(messages, FRAMES);
                black_box(out.len())
            });
        });
        let ours = out.clone();

        let memory = Memory { input: input.clone(), read_bytes: 0, out: Vec::new() };
        let mut socket = WebSocket::from_raw_socket(memory, Role::Server, None);
        group.bench_function("tungstenite", |bencher| {
            bencher.iter(|| {
                let memory = socket.get_mut();
                memory.read_bytes = 0;
                memory.out.clear();
                let mut messages = 0;
                while let Ok(message) = socket.read() {
                    messages += usize::from(socket.write(message).is_ok());
                }
                assert!(socket.flush().is_ok());
                assert_eq!(messages, FRAMES);
                black_box(socket.get_ref().out.len())
            });
        });
        assert_eq!(socket.get_ref().out, ours, "both answer with the same bytes");
        group.finish();
    }
}

criterion_group!(benches, echo);
criterion_main!(benches);
