//! Who keeps a connection: HTTP/1.1 unless told to close, HTTP/1.0 only when asked to.

use crate::support::{TestServer, raw_exchange, statuses};

fn check(first_head: &str, kept: bool) {
    let server = TestServer::start();
    let request = format!("GET /1 {first_head}\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    let answers = raw_exchange(server.address, request.as_bytes());
    let expected: &[u16] = if kept { &[200, 200] } else { &[200] };
    assert_eq!(statuses(&answers), expected, "{first_head:?}");
    let announced = String::from_utf8_lossy(&answers).contains("Connection: close\r\n");
    assert_eq!(announced, !kept, "{first_head:?}");
}

#[test]
fn by_version_and_connection_header() {
    check("HTTP/1.1\r\nHost: x\r\n", true);
    check("HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n", true);
    check("HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", false);
    check("HTTP/1.1\r\nHost: x\r\nConnection: X , CLOSE\r\n", false);
    check("HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nConnection: close\r\n", false);
    check("HTTP/1.0\r\n", false);
    check("HTTP/1.0\r\nConnection: Keep-Alive\r\n", true);
    check("HTTP/1.0\r\nConnection: keep-alive, close\r\n", false);
}
