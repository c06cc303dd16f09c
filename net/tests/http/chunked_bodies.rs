//! Chunked bodies arrive decoded, however they are cut, and the next request begins right behind them.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::support::{TestServer, bodies};

#[test]
fn decoded_over_any_segments() {
    let server = TestServer::start();
    let request = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n1;ext=1\r\n \r\n5\r\nworld\r\n0\r\nX-Trailer: dropped\r\n\r\n\
        GET /next HTTP/1.1\r\nHost: x\r\n\r\n";
    for piece_bytes in [1, 2, 3, 7, 50, request.len()] {
        let mut socket = server.connect();
        for piece in request.chunks(piece_bytes) {
            socket.write_all(piece).unwrap();
        }
        socket.shutdown(Shutdown::Write).unwrap();
        let mut answers = Vec::new();
        socket.read_to_end(&mut answers).unwrap();
        let answers = bodies(&mut answers.as_slice());
        assert_eq!(answers, [(200, b"hello world".to_vec()), (200, Vec::new())], "pieces of {piece_bytes}");
    }
}
