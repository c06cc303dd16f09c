//! Alerts to an operator over Telegram: what the gauges show becomes messages to a few chats.
//!
//! A look a second: [`signs`] reads the gauges, [`conditions`] raises and clears, [`outbox`] says what may be sent when, and
//! [`telegram`] sends it.
//!
//! **Runs on**: two threads of their own, [`run`]'s, which looks, and one that sends and may wait for the network.
//! **Owns**: all of it; the figures of the alerts are written here alone. **Invariants**: nothing is contacted unless a chat is
//! set up; a start says nothing; a server whose log failed says so before it ends, if Telegram takes it at once.
//! **Bounds**: one message under way; what waits by [`outbox`]. A stop waits for no call; after a failed log it waits for its last
//! words, [`LAST_WORDS_MAX`] at most.
//! **Never**: blocks a shard or asks one; the token in a log line.

pub mod conditions;
pub mod digest;
pub mod outbox;
pub mod quiet;
pub mod signs;
pub mod telegram;
pub mod token;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use engine::seam::{Clock, Nanos};
use engine::shard::runtime::HostClock;

use self::conditions::Conditions;
use self::digest::Severity;
use self::outbox::{ChatId, Consequence, Outbox, Sending, Verdict};
use self::quiet::Quiet;
use self::signs::{Machine, Observer, failed_logs};
use self::telegram::{Answered, Telegram, TelegramAt};
use self::token::BotToken;
use crate::web::alerts::{AlertFigures, AlertGauges};
use crate::web::gauges::Gauges;

/// How often it looks at the gauges.
const LOOK: Nanos = Nanos::from_millis(1_000);
/// How often it looks whether it is to end, or may send.
const TURN: Duration = Duration::from_millis(100);
/// How long a server whose log failed stays for its last words: a restart serves its users, so it is not held up for long.
pub const LAST_WORDS_MAX: Nanos = Nanos::from_millis(2_000);

/// How the channel is set up.
#[derive(Clone, Debug)]
pub struct AlertSettings {
    /// Who is told, one to [`outbox::CHATS_MAX`].
    pub chats: Vec<ChatId>,
    /// By whom.
    pub token: Arc<BotToken>,
    /// Where Telegram is.
    pub at: TelegramAt,
}

/// What the thread works with.
pub struct Alerts {
    /// Who is told.
    pub chats: Vec<ChatId>,
    /// The way there.
    pub telegram: Telegram,
    /// Shared figures, with those of the alerts.
    pub gauges: Arc<Gauges>,
    /// Of the host, what the server may use.
    pub machine: Machine,
    /// What Telegram asked for before a restart.
    pub quiet: Quiet,
    /// Set when the server is to end.
    pub stop: Arc<AtomicBool>,
}

/// Runs until told to stop.
pub fn run(alerts: Alerts) {
    let Alerts { chats, mut telegram, gauges, machine, quiet, stop } = alerts;
    let Some(figures) = &gauges.alerts else { return };
    let (sendings, to_send) = bounded::<Sending>(1);
    let (answers, answered) = bounded::<(ChatId, Answered)>(1);
    // Nobody waits for its end: a name that does not resolve holds it up for as long as it takes, and a server that is to be
    // restarted is not held up with it. It ends when nobody has anything to send any more.
    let sender = std::thread::Builder::new().name("telegram".to_owned()).spawn(move || {
        for Sending { chat, text } in to_send {
            let answer = telegram.send(chat, &text);
            if answers.send((chat, answer)).is_err() {
                return;
            }
        }
    });
    if let Err(error) = sender {
        tracing::error!(%error, "alerts are not sent: their thread could not begin");
        return;
    }
    let mut outbox = Outbox::new(&chats);
    let left = quiet.left();
    if left > Nanos::default() {
        tracing::warn!(seconds = left.as_micros() / 1_000_000, "Telegram had asked for a pause: alerts wait");
        outbox.keep_quiet_until(HostClock.monotonic().plus(left));
    }
    let watch = Watch {
        gauges: &gauges,
        figures,
        observer: Observer::new(machine),
        conditions: Conditions::default(),
        outbox,
        quiet,
        is_lossy: false,
        sendings,
        answered,
        is_sending: false,
    };
    watch.run(&stop);
}

/// The thread that looks.
struct Watch<'a> {
    gauges: &'a Gauges,
    figures: &'a AlertGauges,
    observer: Observer,
    conditions: Conditions,
    outbox: Outbox,
    quiet: Quiet,
    /// Lines are lost that nothing was told instead of yet.
    is_lossy: bool,
    sendings: Sender<Sending>,
    answered: Receiver<(ChatId, Answered)>,
    is_sending: bool,
}

impl Watch<'_> {
    fn run(mut self, stop: &AtomicBool) {
        let mut looked_at: Option<Nanos> = None;
        while !stop.load(Ordering::Relaxed) {
            let now = HostClock.monotonic();
            if looked_at.is_none_or(|at| now.since(at) >= LOOK) {
                looked_at = Some(now);
                self.look(now);
            }
            self.send(now);
            self.hear();
        }
        self.say_last_words();
    }

    fn look(&mut self, now: Nanos) {
        let signs = self.observer.look(now, self.gauges);
        let before = self.outbox.counts();
        for line in self.conditions.look(now, &signs) {
            self.outbox.offer_all(&line.at(&clock()));
        }
        self.is_lossy |= self.outbox.counts().left_out > before.left_out;
        self.publish(now);
    }

    fn publish(&self, now: Nanos) {
        let counts = self.outbox.counts();
        self.figures.publish(&AlertFigures {
            warnings: self.conditions.standing(Severity::Warning),
            criticals: self.conditions.standing(Severity::Critical),
            not_followed: self.conditions.not_followed(),
            told: counts.told,
            left_out: counts.left_out,
            refused: counts.refused,
            failures: counts.failures,
            limits: counts.limits,
            waiting: self.outbox.waiting(),
            paused_seconds: self.outbox.paused(now).0.div_ceil(1_000_000_000),
        });
    }

    /// Hands the next message over, when the last one is answered.
    fn send(&mut self, now: Nanos) {
        if self.is_sending {
            return;
        }
        if let Some(sending) = self.outbox.take(now) {
            // There is room for the one message that is under way.
            self.is_sending = self.sendings.try_send(sending).is_ok();
        }
    }

    /// Waits for an answer, a turn at most.
    fn hear(&mut self) {
        match self.answered.recv_timeout(TURN) {
            Ok((chat, answered)) => {
                self.is_sending = false;
                let now = HostClock.monotonic();
                let followed = self.outbox.answered(now, chat, answered.verdict);
                match answered.verdict {
                    Verdict::Delivered if std::mem::take(&mut self.is_lossy) => self.conditions.tell_again(),
                    Verdict::Limited { .. } => self.quiet.keep(self.outbox.wanted(now)),
                    _ => {}
                }
                tell(chat, &answered, followed);
                self.publish(now);
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The thread that sends is gone: the figures still tell what stands.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(TURN),
        }
    }

    /// A log that failed ends the server before the next look: this is the last chance to say so.
    fn say_last_words(mut self) {
        if let Some(sign) = failed_logs(self.gauges) {
            let began = HostClock.monotonic();
            for line in self.conditions.look_at_some(began, &[sign]) {
                self.outbox.offer_all(&line.at(&clock()));
            }
            self.outbox.hurry();
            let mut now = began;
            while now.since(began) < LAST_WORDS_MAX
                && self.outbox.waiting() > 0
                && self.outbox.wanted(now) == Nanos::default()
            {
                self.send(now);
                self.hear();
                now = HostClock.monotonic();
            }
        }
        let waiting = self.outbox.waiting();
        if waiting > 0 {
            tracing::warn!(
                waiting,
                "the server ends with alerts that were not told: they are in this journal too"
            );
        }
    }
}

/// What people's clocks show, in UTC: a line may wait for hours.
fn clock() -> String {
    let minutes = HostClock.wall_micros() / 60_000_000;
    format!("{:02}:{:02} UTC", minutes / 60 % 24, minutes % 60)
}

/// Logs what became of a message.
fn tell(chat: ChatId, answered: &Answered, followed: Consequence) {
    let (chat, why) = (chat.0, &answered.why);
    let (lines, pause_s) = (followed.lines, followed.pause.as_micros() / 1_000_000);
    match answered.verdict {
        Verdict::Delivered => tracing::debug!(chat, lines, "alerts were told"),
        Verdict::Limited { .. } => {
            tracing::warn!(
                chat,
                why,
                pause_s,
                "Telegram takes no more messages for now: alerts wait, and are merged"
            );
        }
        Verdict::Failed => {
            tracing::warn!(chat, why, pause_s, "an alert was not taken by Telegram: it is sent again");
        }
        Verdict::Refused => {
            tracing::error!(
                chat,
                why,
                lines,
                pause_s,
                "a chat takes no alerts, and what waited for it is given up: let its person write to the bot, or add the \
                 bot to the group; if it is the wrong chat, mend --telegram-chat"
            );
        }
        Verdict::BadToken => {
            tracing::error!(
                chat,
                why,
                pause_s,
                "no alert is sent: Telegram does not know the bot's token. Ask @BotFather for it (/token), put it where the \
                 server reads it, and restart; look at --telegram-at too, where it is given"
            );
        }
    }
}
