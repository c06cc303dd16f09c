//! All there is as CSV, piece by piece; and pages that are larger than a connection's output may be.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use api::server::readers::STREAMS_OF_A_USER;

use super::{answered_by, one_person, place};
use crate::cluster::{Cluster, Node};
use crate::crash::calls::get;
use crate::crash::people::Person;
use crate::crash::server::Server;
use crate::crash::wait_until;
use engine::core::ids::UserId;

/// Where the rows of these tests are, apart from what the server itself writes.
const SPAN: &str = "from=1577836800000000&to=1580515200000000";

/// So many orders of somebody, three of each moment.
fn fill(node: &Node, person: &Person, orders: u32) {
    let user = UserId::from_email(&person.email).0.cast_signed();
    node.psql(&format!(
        "CREATE TABLE coinbitclub.orders_then PARTITION OF coinbitclub.orders \
         FOR VALUES FROM ('2020-01-01Z') TO ('2020-02-01Z'); \
         INSERT INTO coinbitclub.orders SELECT timestamptz '2020-01-01Z' + (n / 3) * interval '1 second', \
         md5(n::text), {user}, 0, 'signal', 'position', 'entry', 'BTCUSDT', 'BUY', 'limit', n * 0.5, 0.001, \
         n % 2 = 0, 5, 'FILLED', CASE WHEN n % 5 = 0 THEN 'a, \"reason\"' END, 0.001, n * 0.0005, 0.00004, \
         timestamptz '2020-01-01Z', NULL, timestamptz '2020-01-01Z' + n * interval '1 microsecond' \
         FROM generate_series(1, {orders}) n; ANALYZE coinbitclub.orders_then"
    ));
}

/// The same rows as psql writes them.
fn by_psql(node: &Node) -> String {
    let micros = |name: &str| format!("(extract(epoch FROM {name}) * 1000000)::bigint AS {name}");
    let [decided, sent, filled, done] = ["decided_at", "sent_at", "filled_at", "done_at"].map(micros);
    let amount = |name: &str| format!("trim_scale({name}) AS {name}");
    let [price, quantity, part, notional, fees] =
        ["price", "quantity", "filled", "notional", "fees"].map(amount);
    node.psql(&format!(
        "COPY (SELECT {decided}, order_id, account, signal_id, position_id, leg, symbol, side, kind, {price}, \
         {quantity}, reduce_only::text AS reduce_only, leverage, state, reason, {part}, {notional}, {fees}, {sent}, \
         {filled}, {done} FROM coinbitclub.orders_then o \
         ORDER BY o.decided_at DESC, o.order_id COLLATE \"C\" DESC) TO STDOUT WITH (FORMAT csv, HEADER)"
    ))
}

/// Begins an export and reads nothing of it.
fn begin(server: &Server, person: &Person, version: &str, more: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.address).expect("the server listens");
    socket.set_read_timeout(Some(Duration::from_secs(120))).expect("a time-out");
    write!(
        socket,
        "GET /api/history/orders?format=csv&{SPAN}{more} HTTP/{version}\r\nHost: here\r\n\
         Authorization: Bearer {}\r\nConnection: close\r\n\r\n",
        person.token
    )
    .expect("it is sent");
    socket
}

/// Begins one as soon as there is a place for it and the primary answers, and what came of it first: a place that was left is free
/// a moment later, and the primary answers four at a time.
fn begun(server: &Server, person: &Person, version: &str) -> (TcpStream, Vec<u8>) {
    let mut found = None;
    wait_until("an export begins", || {
        let mut socket = begin(server, person, version, "");
        let beginning = first(&mut socket, 200);
        let head = String::from_utf8_lossy(&beginning).into_owned();
        if head.starts_with("HTTP/1.1 200") && head.contains("X-Source: primary") {
            found = Some((socket, beginning));
            return None;
        }
        Some(head)
    });
    found.expect("it was waited for")
}

/// Reads until there is so much.
fn first(socket: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut read = Vec::new();
    while read.len() < bytes {
        let mut piece = [0; 4096];
        let count = socket.read(&mut piece).expect("it goes on");
        assert!(count > 0, "it ended: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..count]);
    }
    read
}

/// Reads to the end; whether that was a reset.
fn rest(socket: &mut TcpStream, read: &mut Vec<u8>) -> bool {
    let mut piece = vec![0; 1 << 16];
    loop {
        match socket.read(&mut piece) {
            Ok(0) => return false,
            Ok(count) => read.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return true,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Head, body without its chunks, and whether the last chunk was there.
fn parts(answer: &[u8]) -> (String, Vec<u8>, bool) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8(answer[..end].to_vec()).expect("text");
    let (mut rest, mut body) = (&answer[end..], Vec::new());
    while let Some(line) = rest.windows(2).position(|two| two == b"\r\n") {
        let size =
            std::str::from_utf8(&rest[..line]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let size = size.unwrap_or_else(|| panic!("a chunk's size: {:?}", &rest[..line]));
        if size == 0 {
            return (head, body, true);
        }
        let Some(chunk) = rest.get(line + 2..line + 2 + size) else { break };
        body.extend_from_slice(chunk);
        rest = rest.get(line + 2 + size + 2..).unwrap_or_default();
    }
    (head, body, false)
}

fn export(server: &Server, person: &Person) -> (String, String, bool) {
    let mut socket = begin(server, person, "1.1", "");
    let mut answer = Vec::new();
    rest(&mut socket, &mut answer);
    let (head, body, whole) = parts(&answer);
    (head, String::from_utf8(body).expect("text"), whole)
}

#[test]
fn an_export_is_every_row_as_psql_writes_them_and_large_pages_arrive() {
    const ORDERS: u32 = 30_000;
    let cluster = Cluster::start(0);
    let node = cluster.primary();
    let dir = tempfile::tempdir().expect("a directory");
    let (server, person) = one_person(&place(dir.path(), &cluster, 0));
    fill(node, &person, ORDERS);
    answered_by(&server, &person, "primary");

    let (head, body, whole) = export(&server, &person);
    assert!(head.contains("X-Source: primary") && head.contains("text/csv"), "{head}");
    assert!(whole, "{} bytes", body.len());
    let lines: Vec<&str> = body.lines().collect();
    let expected = by_psql(node);
    assert_eq!(lines.len(), 30_001);
    for (line, expected) in lines.iter().zip(expected.lines()) {
        assert_eq!(*line, expected);
    }
    assert_eq!(expected.lines().count(), lines.len());

    // HTTP/1.0: as it is, to the connection's end. HEAD: nothing of it.
    let (mut old, mut answer) = (begin(&server, &person, "1.0", ""), Vec::new());
    assert!(!rest(&mut old, &mut answer));
    let text = String::from_utf8(answer).expect("text");
    assert_eq!(text.split_once("\r\n\r\n").expect("a head").1, body);

    // Pages of JSON: more than a connection may have queued was asked for, and comes in several.
    let (mut pages, mut ids, mut cursor) = (0, Vec::new(), String::new());
    loop {
        let path = format!("/api/history/orders?limit=10000&{SPAN}{cursor}");
        let page = get(&mut server.client(), &path, &person.token);
        let rows = page["rows"].as_array().expect("rows");
        assert!(!rows.is_empty() && rows.len() < 2_500, "{}", rows.len());
        ids.extend(rows.iter().map(|row| row["order_id"].as_str().expect("an id").to_owned()));
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert!(pages > 12, "{pages}");
    let by_csv: Vec<&str> = lines[1..].iter().map(|line| line.split(',').nth(1).expect("an id")).collect();
    assert_eq!(ids, by_csv);
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 30_000);
    server.stop();
}

#[test]
fn exports_are_bounded_and_a_part_is_never_taken_for_the_whole() {
    const ORDERS: u32 = 90_000;
    let cluster = Cluster::start(0);
    let node = cluster.primary();
    let dir = tempfile::tempdir().expect("a directory");
    let (server, person) = one_person(&place(dir.path(), &cluster, 0));
    fill(node, &person, ORDERS);
    answered_by(&server, &person, "primary");

    // One that is not read is not read ahead either: what is at its end is taken away meanwhile, and is not in it.
    let mut slow = begin(&server, &person, "1.1", "");
    let mut answer = first(&mut slow, 20_000);
    let left = node.psql(
        "DELETE FROM coinbitclub.orders_then WHERE decided_at < '2020-01-01 02:00Z'; \
         SELECT count(*) FROM coinbitclub.orders_then",
    );
    assert!(!rest(&mut slow, &mut answer));
    let (_, body, whole) = parts(&answer);
    assert!(whole);
    assert_eq!((String::from_utf8(body).expect("text").lines().count() - 1).to_string(), left);

    // So many at a time; one more is told to come again, and may as soon as a client has gone.
    let mut open: Vec<TcpStream> = Vec::new();
    for _ in 0..STREAMS_OF_A_USER {
        open.push(begun(&server, &person, "1.1").0);
    }
    let mut refused = Vec::new();
    rest(&mut begin(&server, &person, "1.1", ""), &mut refused);
    let text = String::from_utf8(refused).expect("text");
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("Retry-After: "), "{text}");
    // A page is something else, and is answered.
    get(&mut server.client(), "/api/history/orders?limit=5", &person.token);
    open.pop();
    let mut again = Vec::new();
    wait_until("there is room again", || {
        let mut socket = begin(&server, &person, "1.1", "");
        let head = first(&mut socket, 200);
        let begun = head.starts_with(b"HTTP/1.1 200");
        again.push(socket);
        (!begun).then(|| String::from_utf8_lossy(&head).into_owned())
    });
    drop((open, again));
    wait_until("all have gone", || {
        let head =
            first(&mut begin(&server, &person, "1.1", "&from=1577836800000000&to=1577836801000000"), 100);
        (!head.starts_with(b"HTTP/1.1 200")).then(|| String::from_utf8_lossy(&head).into_owned())
    });

    // The database goes away in the middle: no last chunk, and the old version's connection ends by a reset.
    let (mut halves, mut answers): (Vec<TcpStream>, Vec<Vec<u8>>) =
        ["1.1", "1.0"].map(|version| begun(&server, &person, version)).into_iter().unzip();
    for (socket, answer) in halves.iter_mut().zip(&mut answers) {
        answer.extend(first(socket, 20_000));
    }
    node.kill();
    let resets: Vec<bool> =
        halves.iter_mut().zip(&mut answers).map(|(socket, answer)| rest(socket, answer)).collect();
    let (head, body, whole) = parts(&answers[0]);
    assert!(head.starts_with("HTTP/1.1 200") && !whole, "{} bytes, called whole", body.len());
    assert!(resets[1], "nothing but a reset tells a client of HTTP/1.0");
    // None of memory's rows are in it: those are of other years.
    assert!(String::from_utf8(body).expect("text").lines().skip(1).all(|line| line.starts_with("15778")));
    server.stop();
}

/// A replica that goes away in the middle of an export is not the end of it: another server has the rest.
#[test]
fn an_export_goes_on_from_another_server() {
    const ORDERS: u32 = 60_000;
    let cluster = Cluster::start(1);
    let (node, replica) = (cluster.primary(), cluster.replica(1));
    let dir = tempfile::tempdir().expect("a directory");
    let (server, person) = one_person(&place(dir.path(), &cluster, 1));
    fill(node, &person, ORDERS);
    cluster.catch_up(replica, node);
    answered_by(&server, &person, "replica-1");
    let mut socket = begin(&server, &person, "1.1", "");
    let mut answer = first(&mut socket, 20_000);
    replica.kill();
    assert!(!rest(&mut socket, &mut answer));
    let (head, body, whole) = parts(&answer);
    assert!(whole && head.contains("X-Source: replica-1"), "{head}");
    let body = String::from_utf8(body).expect("text");
    for (line, expected) in body.lines().zip(by_psql(node).lines()) {
        assert_eq!(line, expected);
    }
    assert_eq!(body.lines().count(), 60_001);
    server.stop();
}
