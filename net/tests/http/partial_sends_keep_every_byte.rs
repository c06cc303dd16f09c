//! With tiny socket buffers the kernel takes an answer in many pieces, and each byte arrives once and in order.

use std::io::{Read, Write};

use crate::support::{TestServer, bodies};
use net::http::Limits;
use net::wire::{ListenOptions, WireConfig};

#[test]
fn large_answers_through_a_small_socket_buffer() {
    let options = ListenOptions { send_buffer_bytes: Some(2048), ..ListenOptions::default() };
    let limits = Limits { body_bytes_max: 512 << 10, ..Limits::default() };
    let config = WireConfig { input_bytes_max: 1 << 20, ..WireConfig::default() };
    let server = TestServer::with(config, options, limits);
    let body: Vec<u8> = (0..400_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let mut socket = server.connect();
    for _ in 0..3 {
        write!(socket, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
        socket.write_all(&body).unwrap();
        let mut answer = vec![0; 1];
        socket.read_exact(&mut answer).unwrap();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        let head_bytes = answer.len();
        answer.resize(head_bytes + body.len(), 0);
        socket.read_exact(&mut answer[head_bytes..]).unwrap();
        assert!(bodies(&mut answer.as_slice()) == [(200, body.clone())], "the body arrives as it was sent");
    }
    server.wait_until(|metrics, _| metrics.partial_sends > 0);
}
