//! Many requests in one segment get their answers in the order of the requests.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::support::{TestServer, bodies};

#[test]
fn a_thousand_requests_in_one_write() {
    let server = TestServer::start();
    let mut socket = server.connect();
    let mut reader = socket.try_clone().unwrap();
    let reading = std::thread::spawn(move || {
        let mut answers = Vec::new();
        reader.read_to_end(&mut answers).unwrap();
        answers
    });
    let mut requests = Vec::new();
    for number in 0..1000 {
        let body = format!("request {number}");
        let head = format!("POST /{number} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        requests.extend_from_slice(head.as_bytes());
        requests.extend_from_slice(body.as_bytes());
    }
    socket.write_all(&requests).unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    let answers = reading.join().unwrap();
    let answers = bodies(&mut answers.as_slice());
    let expected: Vec<_> = (0..1000).map(|number| (200, format!("request {number}").into_bytes())).collect();
    assert_eq!(answers, expected);
}
