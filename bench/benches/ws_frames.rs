//! Question: what does a WebSocket message cost, apart from the kernel? A server echoes masked text frames that have
//! arrived whole: unmask, check UTF-8, hand out, encode the answer. Beside it `tungstenite`, the library we would
//! otherwise use, over a stream in memory.
//!
//! `cargo bench -p coinbitclub-bench --bench ws_frames`
//!
//! Does not show: the system calls, cache misses of a busy server (the input is always warm), fragments, compression.

use std::hint::black_box;
use std::io::{self, Read, Write};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use net::ws::frame::{FrameHeader, Opcode, append_masked};
use net::ws::{Event, Inbox, Limits, Session};
use tungstenite::WebSocket;
use tungstenite::protocol::{Role, WebSocketConfig};

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

        let config = WebSocketConfig::default().write_buffer_size(0);
        let memory = Memory { input: input.clone(), read_bytes: 0, out: Vec::new() };
        let mut socket = WebSocket::from_raw_socket(memory, Role::Server, Some(config));
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
