//! The client of Telegram's Bot API: one method, `sendMessage`.
//!
//! **Runs on**: a thread of its own, which may wait. **Owns**: a connection, where Telegram is, the bot's token.
//! **Invariants**: a message is sent at most once for each call. What the answer says is believed only as far as it can do no
//! harm: it is parsed within bounds, and nothing of it is told that has the token in it. In the clear nothing leaves this
//! machine.
//! **Bounds**: [`CALL_MAX`] for a call, [`ANSWER_BYTES_MAX`] for its answer; names are looked up once in [`RESOLVE_SPAN`].
//! **Never**: the token, or a target with it, in an error or a log line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use net::client::Security;
use net::http::client::{Client, ClientOptions};
use net::tls::ClientConfig;
use net::tls::config::{self, ClientTrust};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::outbox::{ChatId, Verdict};
use super::token::BotToken;

/// Where Telegram is.
pub const TELEGRAM: &str = "https://api.telegram.org";
/// A call takes no longer: a stop waits for it.
pub const CALL_MAX: Duration = Duration::from_secs(5);
/// The largest answer, in bytes: Telegram tells the message back, which has 4,096 characters, each escaped.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// A connection that was silent for longer is not used again: its other end may just be closing it.
const KEEP_MAX: Duration = Duration::from_secs(5);
/// How often the name is looked up.
const RESOLVE_SPAN: Duration = Duration::from_secs(60);
/// Addresses that are tried in turn.
const ADDRESSES_MAX: usize = 8;
/// Of Telegram's own words so much is told, in characters.
const WORDS_MAX: usize = 200;

/// Where Telegram's API is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TelegramAt {
    /// Whether it speaks TLS.
    pub security: Security,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl TelegramAt {
    /// For the Host header, and the certificate.
    fn authority(&self) -> String {
        let is_usual = self.security == Security::Tls && self.port == 443;
        if is_usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) }
    }
}

/// What became of a message, and the words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// What follows from it.
    pub verdict: Verdict,
    /// Why, in words that may be told; empty when there is nothing to say.
    pub why: String,
}

/// What is sent.
#[derive(Serialize)]
struct Message<'a> {
    chat_id: i64,
    text: &'a str,
    disable_web_page_preview: bool,
}

/// What of an answer is looked at. Numbers are taken as they come: their form is somebody else's.
#[derive(Default, Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default)]
    error_code: Option<u16>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    parameters: Option<Value>,
}

/// Whole seconds, rounded up, as they may be written: `35`, `"35"`, `34.2`. One with an exponent is none that is meant.
fn seconds(value: &Value) -> Option<u64> {
    let text = match value {
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let is_plain = [whole, part].iter().all(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let whole: u64 = whole.parse().ok().filter(|_| is_plain)?;
    Some(whole.saturating_add(u64::from(part.bytes().any(|digit| digit > b'0'))))
}

/// Reads an answer: what follows from it, and Telegram's own words.
fn judge(status: u16, retry_after: Option<&str>, body: &[u8]) -> (Verdict, String) {
    let answer: Option<Answer> = serde_json::from_slice(body).ok();
    let is_telegrams = answer.is_some();
    let Answer { ok, error_code, description, parameters } = answer.unwrap_or_default();
    let said = |name: &str| parameters.as_ref().and_then(|parameters| parameters.get(name));
    let mut words = description.unwrap_or_default();
    if let Some(chat) = said("migrate_to_chat_id").and_then(Value::as_i64) {
        words.push_str(&format!(" (the chat is {chat} now)"));
    }
    let code = if status == 200 { error_code.unwrap_or(status) } else { status };
    let verdict = match code {
        200 if ok => Verdict::Delivered,
        429 => {
            let header = retry_after.and_then(|text| seconds(&Value::from(text)));
            // The longer of the two, should they differ.
            Verdict::Limited { retry_after_s: said("retry_after").and_then(seconds).max(header) }
        }
        401 | 404 if is_telegrams => Verdict::BadToken,
        // What a proxy on the way says of itself is not about the chat.
        400..=499 if is_telegrams && code != 408 => Verdict::Refused,
        _ => Verdict::Failed,
    };
    (verdict, words)
}

/// Telegram, and the way there.
pub struct Telegram {
    at: TelegramAt,
    token: Arc<BotToken>,
    tls: Option<Arc<ClientConfig>>,
    addresses: Vec<SocketAddr>,
    resolved_at: Option<Instant>,
    /// Of the addresses the one to try next.
    turn: usize,
    line: Option<(Client, Instant)>,
}

impl Telegram {
    /// For sending with this token. Contacts nothing.
    ///
    /// # Errors
    /// What is missing, with its remedy.
    pub fn new(at: TelegramAt, token: Arc<BotToken>) -> Result<Self, String> {
        let tls = match at.security {
            Security::Plain => None,
            Security::Tls => {
                let made = config::client(&ClientTrust::System).map_err(|error| {
                    format!(
                        "no certificate authorities to know Telegram by: {error}: install ca-certificates"
                    )
                })?;
                Some(made.0)
            }
        };
        Ok(Self { at, token, tls, addresses: Vec::new(), resolved_at: None, turn: 0, line: None })
    }

    /// Sends a message once, and waits for its answer.
    pub fn send(&mut self, chat: ChatId, text: &str) -> Answered {
        let failed = |why| Answered { verdict: Verdict::Failed, why };
        let message = Message { chat_id: chat.0, text, disable_web_page_preview: true };
        let body = match serde_json::to_vec(&message) {
            Ok(body) => body,
            Err(error) => return failed(error.to_string()),
        };
        let mut client = match self.connected() {
            Ok(client) => client,
            Err(why) => return failed(why),
        };
        let target = self.token.target("sendMessage");
        match client.request("POST", &target, &[("Content-Type", "application/json")], &body) {
            Ok(answer) => {
                self.line = Some((client, Instant::now()));
                let (verdict, words) = judge(answer.status, answer.header("retry-after"), &answer.body);
                Answered { verdict, why: self.tellable(answer.status, &words) }
            }
            // These errors say what failed at which address, and nothing of the request.
            Err(error) => {
                self.turn = self.turn.wrapping_add(1);
                failed(error.to_string())
            }
        }
    }

    /// What may be told of an answer.
    fn tellable(&self, status: u16, words: &str) -> String {
        let hides =
            if planted::planted!("token_told_with_an_answer") { false } else { self.token.is_told_by(words) };
        if hides {
            return format!("{status}, in words that are not told: they have the bot's token in them");
        }
        let words: String = words.chars().take(WORDS_MAX).flat_map(char::escape_debug).collect();
        format!("{status} {words}").trim_end().to_owned()
    }

    /// A connection to Telegram: the last one, while it is fresh, or another.
    fn connected(&mut self) -> Result<Client, String> {
        if let Some((client, used)) = self.line.take()
            && used.elapsed() < KEEP_MAX
        {
            return Ok(client);
        }
        self.resolve()?;
        let address = self.addresses[self.turn % self.addresses.len()];
        let options = ClientOptions {
            connect_timeout: CALL_MAX,
            transfer_timeout: CALL_MAX,
            call_timeout: Some(CALL_MAX),
            body_bytes_max: ANSWER_BYTES_MAX,
        };
        Client::connect_to(address, &self.at.authority(), self.tls.clone(), options).map_err(|error| {
            self.turn = self.turn.wrapping_add(1);
            error.to_string()
        })
    }

    fn resolve(&mut self) -> Result<(), String> {
        if !self.addresses.is_empty() && self.resolved_at.is_some_and(|at| at.elapsed() < RESOLVE_SPAN) {
            return Ok(());
        }
        let TelegramAt { security, host, port } = &self.at;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = (bare, *port).to_socket_addrs().map_err(|error| format!("{host}: {error}"));
        let found: Vec<SocketAddr> = match found {
            Ok(found) => found.take(ADDRESSES_MAX).collect(),
            // A name that does not resolve keeps its last addresses.
            Err(_) if !self.addresses.is_empty() => return Ok(()),
            Err(error) => return Err(error),
        };
        if *security == Security::Plain && !found.iter().all(|address| address.ip().is_loopback()) {
            return Err(format!(
                "{host}: the bot's token does not leave this machine in the clear: use https://"
            ));
        }
        if found.is_empty() {
            return Err(format!("{host}: the name has no address"));
        }
        self.addresses = found;
        self.resolved_at = Some(Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

    fn limited(seconds: Option<u64>) -> Verdict {
        Verdict::Limited { retry_after_s: seconds }
    }

    #[test]
    fn each_answer_means_what_telegram_means_by_it() {
        let told = |code: u16, more: &str| {
            format!(r#"{{"ok":false,"error_code":{code},"description":"Words"{more}}}"#).into_bytes()
        };
        let retry = |value: &str| told(429, &format!(r#","parameters":{{"retry_after":{value}}}"#));
        for (status, header, body, verdict) in [
            (200, None, br#"{"ok":true,"result":{"message_id":1,"text":"x"}}"#.to_vec(), Verdict::Delivered),
            (200, None, told(429, ""), limited(None)),
            (200, None, told(403, ""), Verdict::Refused),
            (200, None, b"<html>log in first</html>".to_vec(), Verdict::Failed),
            (200, None, br#"{"ok":false}"#.to_vec(), Verdict::Failed),
            (429, None, retry("10000"), limited(Some(10_000))),
            (429, None, retry("\"35\""), limited(Some(35))),
            (429, None, retry("34.2"), limited(Some(35))),
            (429, None, retry("-1"), limited(None)),
            (429, None, retry("[]"), limited(None)),
            (429, None, retry("99999999999999999999999"), limited(None)),
            (429, Some("7"), retry("5"), limited(Some(7))),
            (429, Some("soon"), b"slow down".to_vec(), limited(None)),
            (429, Some("12"), b"slow down".to_vec(), limited(Some(12))),
            (400, None, told(400, ""), Verdict::Refused),
            (403, None, told(403, ""), Verdict::Refused),
            (403, None, b"no way through this proxy".to_vec(), Verdict::Failed),
            (408, None, told(408, ""), Verdict::Failed),
            (401, None, told(401, ""), Verdict::BadToken),
            (401, None, b"<html>who are you</html>".to_vec(), Verdict::Failed),
            (404, None, b"<html>no such page</html>".to_vec(), Verdict::Failed),
            (404, None, told(404, ""), Verdict::BadToken),
            (502, None, b"<html>Bad Gateway</html>".to_vec(), Verdict::Failed),
            (500, None, told(500, ""), Verdict::Failed),
            (302, None, Vec::new(), Verdict::Failed),
        ] {
            let shown = String::from_utf8_lossy(&body).into_owned();
            assert_eq!(judge(status, header, &body).0, verdict, "{status} {header:?} {shown}");
        }
        let moved = told(400, r#","parameters":{"migrate_to_chat_id":-1001234}"#);
        assert_eq!(judge(400, None, &moved).1, "Words (the chat is -1001234 now)");
    }

    proptest! {
        #[test]
        fn no_answer_is_taken_for_a_delivery_but_one_that_says_so(
            status: u16,
            header in prop::option::of(".{0,8}"),
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                r#"\{"ok":(true|false|1|"true"),"error_code":(0|200|429|-1|70000|null),"parameters":(\{"retry_after":(\[\]|1e300|5)\}|3)\}"#
                    .prop_map(String::into_bytes),
            ],
        ) {
            let (verdict, _) = judge(status, header.as_deref(), &body);
            if verdict == Verdict::Delivered {
                let says_so = body.starts_with(br#"{"ok":true"#);
                prop_assert!(status == 200 && says_so);
            }
            if status == 429 {
                let is_limited = matches!(verdict, Verdict::Limited { .. });
                prop_assert!(is_limited);
            }
        }
    }

    /// A Telegram that gives each connection this answer, and what it was sent.
    fn answering(answer: String) -> (TelegramAt, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let served = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("somebody comes");
            let mut got = Vec::new();
            let mut piece = [0; 1_024];
            while !got.ends_with(b"}") {
                let count = socket.read(&mut piece).expect("a request");
                got.extend_from_slice(&piece[..count]);
            }
            socket.write_all(answer.as_bytes()).expect("answered");
            String::from_utf8(got).expect("text")
        });
        (TelegramAt { security: Security::Plain, host: "127.0.0.1".to_owned(), port }, served)
    }

    fn telegram(at: TelegramAt) -> Telegram {
        let token = BotToken::parse(&format!("110201543:{SECRET}")).expect("a token");
        Telegram::new(at, Arc::new(token)).expect("nothing is needed")
    }

    fn response(status: &str, body: &str) -> String {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn a_message_is_json_with_the_chat_and_the_text() {
        let (at, served) = answering(response("200 OK", r#"{"ok":true,"result":{}}"#));
        let answered = telegram(at).send(ChatId(-100_200), "disk \"full\"\nand 17 more");
        assert_eq!(answered, Answered { verdict: Verdict::Delivered, why: "200".to_owned() });
        let request = served.join().expect("no panic");
        assert!(
            request.starts_with(&format!("POST /bot110201543:{SECRET}/sendMessage HTTP/1.1\r\n")),
            "{request}"
        );
        let (_, body) = request.split_once("\r\n\r\n").expect("a body");
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(
            (&body["chat_id"], &body["text"]),
            (&Value::from(-100_200), &Value::from("disk \"full\"\nand 17 more"))
        );
    }

    #[test]
    fn an_answer_that_tells_the_token_is_not_told() {
        let words = format!("no such place: /bot110201543:{SECRET}/sendMessage");
        let body = format!(r#"{{"ok":false,"error_code":404,"description":"{words}"}}"#);
        let (at, served) = answering(response("404 Not Found", &body));
        let answered = telegram(at).send(ChatId(1), "x");
        served.join().expect("no panic");
        assert_eq!(answered.verdict, Verdict::BadToken);
        assert!(!answered.why.contains("AAHdq") && answered.why.contains("not told"), "{}", answered.why);
        // Others are, in one line that ends.
        let body =
            format!(r#"{{"ok":false,"error_code":403,"description":"Forbidden\n{}"}}"#, "x".repeat(5_000));
        let (at, served) = answering(response("403 Forbidden", &body));
        let answered = telegram(at).send(ChatId(1), "x");
        served.join().expect("no panic");
        assert!(
            answered.why.starts_with(r"403 Forbidden\nxxx") && answered.why.len() < 300,
            "{}",
            answered.why
        );
    }

    #[test]
    fn what_fails_is_said_without_the_token() {
        let nowhere = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let at = |host: &str, port| TelegramAt { security: Security::Plain, host: host.to_owned(), port };
        let (broken, served) = answering("SMTP ready\r\n\r\n".to_owned());
        for (at, part) in [
            (at("127.0.0.1", nowhere), "cannot connect"),
            (at("203.0.113.9", 80), "in the clear"),
            (broken, "refused"),
        ] {
            let answered = telegram(at).send(ChatId(1), "x");
            assert_eq!(answered.verdict, Verdict::Failed);
            assert!(
                answered.why.contains(part) && !answered.why.contains("AAHdq"),
                "{part}: {}",
                answered.why
            );
        }
        served.join().expect("no panic");
    }
}
