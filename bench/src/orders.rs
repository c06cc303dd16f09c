//! Orders for a whole server of one shard: users who open and close in turn, and the server that takes them.
//!
//! Each request is parsed, authenticated, decided on, logged and flushed before it is answered; it leads to an order on the
//! user's paper account with its stop and target, or to its close.

use std::io::Write as _;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use api::server::{self, ServerConfig};
use engine::core::command::Command;
use engine::core::ids::{SourceId, UserId};
use engine::core::rules::Settings;
use engine::core::user::VenueKind;
use engine::shard::ask::{Ask, Auth, Op};
use engine::shard::runtime::HostEntropy;
use storage::postgres::target::Target;

use crate::child;

/// A connection's requests: an open and a close in turn, each with an id of its own.
pub struct Requests {
    open: Vec<u8>,
    close: Vec<u8>,
    open_id_at: usize,
    close_id_at: usize,
    count: u64,
}

/// Digits of an id.
const ID_DIGITS: usize = 16;

impl Requests {
    /// Those with a source's secret; ids of different rounds differ.
    #[must_use]
    pub fn new(secret: &str, round: u32) -> Self {
        let render = |action: &str| {
            let zeroes = "0".repeat(ID_DIGITS);
            let body = format!(
                "{{\"ticker\":\"BTCUSDT\",\"action\":\"{action}\",\"price\":\"62500\",\"signal_id\":\"r{round}-{zeroes}\",\
                 \"secret\":\"{secret}\"}}"
            );
            let text = format!(
                "POST /api/webhooks/signal HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: \
                 {}\r\n\r\n{body}",
                body.len()
            );
            let at = text.find(&zeroes).expect("the id is in the body");
            (text.into_bytes(), at)
        };
        let ((open, open_id_at), (close, close_id_at)) = (render("buy"), render("close"));
        Self { open, close, open_id_at, close_id_at, count: 0 }
    }

    /// Appends the next one.
    #[expect(clippy::missing_panics_doc, reason = "a digit fits")]
    pub fn next(&mut self, out: &mut Vec<u8>) {
        let (text, at) = if self.count.is_multiple_of(2) {
            (&self.open, self.open_id_at)
        } else {
            (&self.close, self.close_id_at)
        };
        let begin = out.len() + at;
        out.extend_from_slice(text);
        let mut rest = self.count;
        for digit in out[begin..begin + ID_DIGITS].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).expect("a digit");
            rest /= 10;
        }
        self.count += 1;
    }
}

/// The whole server until standard input ends: one shard, its log in `data`. It prints the secret of a source of every user;
/// those before `alone` subscribe to themselves.
///
/// # Errors
/// What keeps it from starting or from ending well.
pub fn serve(data: PathBuf, postgres: Option<Target>, alone: Range<u32>) -> Result<(), String> {
    let mut config = ServerConfig::embedded(data);
    config.listen.set_port(0);
    config.shards = Some(1);
    config.rules.source_opens_max = u32::MAX;
    config.rules.repeat_kept_min = 0;
    config.rules.cooldown = 0;
    config.snapshot_log_bytes = 1 << 40;
    config.postgres = postgres;
    let server = server::start(&config).map_err(|error| error.to_string())?;
    let mut secrets = String::new();
    for number in 0..alone.end {
        secrets.push_str(&publisher(&server, number, !alone.contains(&number))?);
        secrets.push('\n');
    }
    std::io::stdout().write_all(secrets.as_bytes()).map_err(|error| error.to_string())?;
    child::say_ready(server.address)?;
    child::wait_for_the_end();
    server.stop()
}

/// A user with a source and a paper account, and a subscription to it.
fn publisher(server: &server::Server, number: u32, subscribes: bool) -> Result<String, String> {
    let email = format!("bench{number}@example.com");
    let user = UserId::from_email(&email);
    let secret = api::web::token::new_secret(user, &mut HostEntropy);
    let digest = engine::core::auth::digest(secret.as_bytes());
    let mut commands = vec![
        Command::SignUp { email, password: "none".into(), zone: String::new() },
        Command::OpenAccount { user, venue: VenueKind::Paper, wallet: None },
        Command::CreateSource { user, name: "bench".into(), secret: digest },
    ];
    if subscribes {
        let source = SourceId { owner: user, index: 0 };
        commands.push(Command::Subscribe { user, source, account: 0, settings: Settings::default() });
    }
    let waiting: Vec<_> = commands
        .into_iter()
        .map(|command| server.lines.begin(Ask { auth: Auth::Open, op: Op::Command(command), user }))
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    for answer in waiting {
        answer.recv_timeout(Duration::from_secs(10)).map_err(|error| error.to_string())?;
    }
    Ok(secret)
}
