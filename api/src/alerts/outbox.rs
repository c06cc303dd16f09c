//! What waits to be sent to chats, and when it may be: a queue of low priority within the limits of Telegram.
//!
//! **Runs on**: the thread of the alerts, which hands in the time. **Owns**: what waits, what is under way, the windows, the
//! pauses. **Invariants**: at no time more than [`OVERALL`], [`CHAT`] and, to a group, [`GROUP`]; one send at a time to a chat,
//! and nothing is merged into it. A pause that Telegram asks for is kept to the full: nothing makes it shorter. A line that was
//! offered is told, waits, or is counted as left out or refused. What may not have arrived is sent again, so a message may
//! arrive twice.
//! **Bounds**: [`CHATS_MAX`] chats; of each one message that is sent and one that waits. **Never**: reads a clock, sends.

use engine::seam::Nanos;

use super::digest::{Digest, Line};
use super::window::{Limit, Window};

#[cfg(test)]
mod tests;

/// Chats at most: a few people and a group or two are told; more belong into a group.
pub const CHATS_MAX: usize = 16;
/// Sends to all chats together (core.telegram.org/bots/faq, "My bot is hitting limits").
pub const OVERALL: Limit = Limit { sends: 30, span: Nanos::from_millis(1_000) };
/// Sends to one chat (the same).
pub const CHAT: Limit = Limit { sends: 1, span: Nanos::from_millis(1_000) };
/// Sends to one group (the same).
pub const GROUP: Limit = Limit { sends: 20, span: Nanos::from_millis(60_000) };
/// The pause after a 429 without a time; it doubles with each in a row.
const LIMITED_FIRST: Nanos = Nanos::from_millis(5_000);
/// Up to here.
const LIMITED_MOST: Nanos = Nanos::from_millis(900_000);
/// The pause after a send that failed; it doubles with each in a row.
const FAILED_FIRST: Nanos = Nanos::from_millis(2_000);
/// Up to here: an outage of hours costs a try every five minutes.
const FAILED_MOST: Nanos = Nanos::from_millis(300_000);
/// How long a chat is left alone that takes nothing from us: a person has to do something first.
pub const CHAT_PAUSE: Nanos = Nanos::from_millis(3_600_000);
/// The same for a token that is not taken.
pub const TOKEN_PAUSE: Nanos = Nanos::from_millis(3_600_000);
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A chat's number at Telegram: of a person above zero, of a group or a channel below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChatId(pub i64);

impl ChatId {
    /// Whether it is a group's or a channel's.
    #[must_use]
    pub const fn is_group(self) -> bool {
        self.0 < 0
    }
}

/// A message that is to be sent now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sending {
    /// To whom.
    pub chat: ChatId,
    /// Its text: 1 to 4,096 code units of UTF-16.
    pub text: String,
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is there.
    Delivered,
    /// There were too many (429).
    Limited {
        /// Nothing may be sent for so many seconds; `None` where the answer does not say.
        retry_after_s: Option<u64>,
    },
    /// No answer, or one that promises nothing (5xx): it may be there or not.
    Failed,
    /// This chat takes nothing from us (400, 403): a wrong number, a bot that was blocked or put out.
    Refused,
    /// The token is not one (401, 404).
    BadToken,
}

/// What followed from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consequence {
    /// Lines that were told by it, or given up for it.
    pub lines: u64,
    /// How long it stops what it stops; zero when nothing.
    pub pause: Nanos,
}

/// What became of all lines so far, a line to two chats counted twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Told.
    pub told: u64,
    /// Left out because a message was full, which it said, or because a newer line replaced it.
    pub left_out: u64,
    /// Given up because their chat refused them.
    pub refused: u64,
    /// Sends that failed and were, or will be, tried again.
    pub failures: u64,
    /// Sends that Telegram refused because there were too many.
    pub limits: u64,
}

/// One chat.
#[derive(Debug)]
struct Chat {
    id: ChatId,
    /// Under way, or to be tried again.
    first: Option<Digest>,
    is_under_way: bool,
    waiting: Digest,
    windows: Vec<Window>,
    paused_until: Nanos,
}

impl Chat {
    fn new(id: ChatId) -> Self {
        let limits = [CHAT].into_iter().chain(id.is_group().then_some(GROUP));
        Self {
            id,
            first: None,
            is_under_way: false,
            waiting: Digest::default(),
            windows: limits.map(Window::new).collect(),
            paused_until: Nanos::default(),
        }
    }

    /// Begins a send, if there is something and it may go.
    fn begin(&mut self, now: Nanos) -> Option<Sending> {
        let may = !self.is_under_way
            && now >= self.paused_until
            && self.windows.iter_mut().all(|window| window.has_room(now));
        if !may || (self.first.is_none() && self.waiting.is_empty()) {
            return None;
        }
        // What is tried again takes with it what came meanwhile.
        let message = self.first.get_or_insert_default();
        message.append_whole(&mut self.waiting);
        self.is_under_way = true;
        self.windows.iter_mut().for_each(Window::begin);
        Some(Sending { chat: self.id, text: message.text() })
    }

    fn lines(&self) -> u64 {
        self.waiting.lines() + self.first.as_ref().map_or(0, Digest::lines)
    }
}

/// The queue. See the file's head.
#[derive(Debug)]
pub struct Outbox {
    chats: Vec<Chat>,
    overall: Window,
    paused_until: Nanos,
    /// Of that, as long as Telegram wants it: not what failures ask for.
    wanted_until: Nanos,
    limited_in_a_row: u32,
    failed_in_a_row: u32,
    /// The chat that is looked at first.
    turn: usize,
    counts: Counts,
}

/// A pause that doubles with each event in a row.
fn doubled(first: Nanos, most: Nanos, in_a_row: u32) -> Nanos {
    let times = 1_u64 << in_a_row.saturating_sub(1).min(20);
    Nanos(first.0.saturating_mul(times)).min(most)
}

impl Outbox {
    /// An empty one for these chats; a chat that is named twice is one.
    ///
    /// # Panics
    /// For more than [`CHATS_MAX`].
    #[must_use]
    pub fn new(chats: &[ChatId]) -> Self {
        let mut ids = chats.to_vec();
        ids.sort_unstable();
        ids.dedup();
        assert!(ids.len() <= CHATS_MAX, "the set-up takes no more chats");
        Self {
            chats: ids.into_iter().map(Chat::new).collect(),
            overall: Window::new(OVERALL),
            paused_until: Nanos::default(),
            wanted_until: Nanos::default(),
            limited_in_a_row: 0,
            failed_in_a_row: 0,
            turn: 0,
            counts: Counts::default(),
        }
    }

    /// Takes a line for a chat; for one that is not of this outbox it does nothing.
    pub fn offer(&mut self, to: ChatId, line: &Line) {
        if let Some(chat) = self.chats.iter_mut().find(|chat| chat.id == to) {
            self.counts.left_out += chat.waiting.add(line);
        }
    }

    /// Takes a line for every chat.
    pub fn offer_all(&mut self, line: &Line) {
        for chat in &mut self.chats {
            self.counts.left_out += chat.waiting.add(line);
        }
    }

    /// The next message that may be sent now; its chat waits for [`Self::answered`].
    pub fn take(&mut self, now: Nanos) -> Option<Sending> {
        if now < self.paused_until || !self.overall.has_room(now) {
            return None;
        }
        let chats = self.chats.len();
        for step in 0..chats {
            let place = (self.turn + step) % chats;
            if let Some(sending) = self.chats[place].begin(now) {
                self.overall.begin();
                self.turn = (place + 1) % chats;
                return Some(sending);
            }
        }
        None
    }

    /// Takes what became of the send that is under way to a chat.
    pub fn answered(&mut self, now: Nanos, to: ChatId, verdict: Verdict) -> Consequence {
        let Some(chat) = self.chats.iter_mut().find(|chat| chat.id == to && chat.is_under_way) else {
            return Consequence::default();
        };
        chat.is_under_way = false;
        chat.windows.iter_mut().for_each(|window| window.end(now));
        self.overall.end(now);
        let (lines, pause) = match verdict {
            Verdict::Delivered => {
                let lines = chat.first.take().map_or(0, |message| message.lines());
                self.counts.told += lines;
                self.limited_in_a_row = 0;
                self.failed_in_a_row = 0;
                (lines, Nanos::default())
            }
            Verdict::Limited { retry_after_s } => {
                self.counts.limits += 1;
                self.limited_in_a_row = self.limited_in_a_row.saturating_add(1);
                let told = retry_after_s.filter(|seconds| *seconds > 0);
                let own = doubled(LIMITED_FIRST, LIMITED_MOST, self.limited_in_a_row);
                (0, told.map_or(own, |seconds| Nanos(seconds.saturating_mul(NANOS_PER_SECOND))))
            }
            Verdict::Failed => {
                self.counts.failures += 1;
                self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
                if planted::planted!("failed_alert_given_up") {
                    chat.first = None;
                }
                (0, doubled(FAILED_FIRST, FAILED_MOST, self.failed_in_a_row))
            }
            Verdict::Refused => {
                let lines = chat.lines();
                self.counts.refused += lines;
                (chat.first, chat.waiting) = (None, Digest::default());
                chat.paused_until = now.plus(CHAT_PAUSE);
                return Consequence { lines, pause: CHAT_PAUSE };
            }
            Verdict::BadToken => (0, TOKEN_PAUSE),
        };
        let until = now.plus(pause);
        if !matches!(verdict, Verdict::Failed) {
            self.wanted_until = self.wanted_until.max(until);
        }
        if planted::planted!("telegram_pause_made_shorter") {
            self.paused_until = until;
        } else {
            // Another answer may have asked for a longer one.
            self.paused_until = self.paused_until.max(until);
        }
        Consequence { lines, pause }
    }

    /// Does not wait out a pause after a failure: there may be no other time. What Telegram asked for is waited out.
    pub fn hurry(&mut self) {
        self.paused_until = self.wanted_until;
    }

    /// Sends nothing for so long: Telegram asked for that before this began.
    pub fn keep_quiet_until(&mut self, until: Nanos) {
        self.paused_until = self.paused_until.max(until);
        self.wanted_until = self.wanted_until.max(until);
    }

    /// How long Telegram wants nothing sent, from now on.
    #[must_use]
    pub fn wanted(&self, now: Nanos) -> Nanos {
        self.wanted_until.since(now)
    }

    /// How long nothing at all may be sent from now on; zero when something may.
    #[must_use]
    pub fn paused(&self, now: Nanos) -> Nanos {
        self.paused_until.since(now)
    }

    /// Lines that wait, a line to two chats counted twice.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.chats.iter().map(Chat::lines).sum()
    }

    /// Bytes of text that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of = |chat: &Chat| chat.waiting.bytes() + chat.first.as_ref().map_or(0, Digest::bytes);
        self.chats.iter().map(of).sum()
    }

    /// What became of all lines so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }
}
