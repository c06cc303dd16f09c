//! The outbox on virtual time: whatever arrives and whatever is answered, the limits of Telegram hold and no line is lost
//! unsaid.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::digest::{LINE_UNITS_MAX, Severity, TEXT_UNITS_MAX};
use super::*;

const PERSON: ChatId = ChatId(7);
const OTHER: ChatId = ChatId(8);
const CREW: ChatId = ChatId(-100_123);
/// A message that is sent and one that waits, with three bytes for a unit at most.
const BYTES_A_CHAT_MAX: usize = 2 * 3 * TEXT_UNITS_MAX;

fn at(millis: u64) -> Nanos {
    Nanos::from_millis(millis)
}

fn warning(text: &str) -> Line {
    Line::new(Severity::Warning, text)
}

/// Sends what may be sent at this time, all of it delivered at once; gives the chats and texts.
fn deliver(outbox: &mut Outbox, now: Nanos) -> Vec<(ChatId, String)> {
    let sent: Vec<Sending> = std::iter::from_fn(|| outbox.take(now)).collect();
    for sending in &sent {
        outbox.answered(now, sending.chat, Verdict::Delivered);
    }
    sent.into_iter().map(|sending| (sending.chat, sending.text)).collect()
}

#[test]
fn case_r7_what_comes_meanwhile_is_one_message_and_a_chat_gets_one_a_second() {
    let mut outbox = Outbox::new(&[PERSON, OTHER]);
    outbox.offer_all(&warning("one"));
    let first = outbox.take(at(0)).expect("it may go");
    assert_eq!((first.chat, first.text.as_str()), (PERSON, "one"));
    // What is under way is not changed, and its chat gets nothing beside it.
    for text in ["two", "three"] {
        outbox.offer(PERSON, &warning(text));
    }
    assert_eq!(outbox.take(at(0)).map(|other| other.chat), Some(OTHER));
    assert_eq!(outbox.take(at(400)), None);
    outbox.answered(at(500), PERSON, Verdict::Delivered);
    assert_eq!(outbox.take(at(1_499)), None, "it may have arrived at 0.5 s");
    let merged = outbox.take(at(1_500)).expect("a second later");
    assert_eq!((merged.chat, merged.text.as_str()), (PERSON, "two\nthree"));
    outbox.answered(at(1_600), PERSON, Verdict::Delivered);
    outbox.answered(at(1_600), OTHER, Verdict::Delivered);
    assert_eq!((outbox.counts().told, outbox.waiting(), outbox.take(at(9_000))), (4, 0, None));
}

#[test]
fn case_r7_all_chats_together_are_limited_and_a_group_gets_twenty_a_minute() {
    let people: Vec<ChatId> = (1..=16).map(ChatId).collect();
    let mut outbox = Outbox::new(&people);
    // As many chats as there may be stay within 30 a second by their own limits, so it is shown with a smaller number.
    let overall = Limit { sends: 5, ..OVERALL };
    outbox.overall = Window::new(overall);
    let (mut sent, mut step) = (Vec::new(), 0);
    while sent.len() < 100 {
        outbox.offer_all(&warning("again"));
        let now = at(step * 20);
        sent.extend(deliver(&mut outbox, now).into_iter().map(|(chat, _)| (now, chat)));
        step += 1;
    }
    for (place, (begun, _)) in sent.iter().enumerate().skip(overall.sends) {
        assert!(begun.since(sent[place - overall.sends].0) >= overall.span, "{place}");
    }
    for chat in people {
        let turns = sent.iter().filter(|(_, to)| *to == chat).count();
        assert!((6..=7).contains(&turns), "all have their turns: {turns} of 100 for {chat:?}");
    }

    let mut outbox = Outbox::new(&[CREW]);
    let mut sent = 0;
    for second in 0..60 {
        outbox.offer(CREW, &warning(&format!("line {second}")));
        sent += deliver(&mut outbox, at(second * 1_000)).len();
    }
    assert_eq!((sent, outbox.waiting()), (20, 40), "the others wait, as one message");
    let last = deliver(&mut outbox, at(60_000));
    assert!(last[0].1.starts_with("line 20\nline 21\n") && last[0].1.ends_with("\nline 59"), "{last:?}");
    assert_eq!(outbox.counts(), Counts { told: 60, ..Counts::default() });
}

#[test]
fn case_r8_ten_thousand_seconds_are_waited_for_to_the_full() {
    let mut outbox = Outbox::new(&[PERSON, OTHER]);
    outbox.offer_all(&warning("one"));
    let (first, second) = (outbox.take(at(0)), outbox.take(at(0)));
    assert!(first.is_some() && second.is_some());
    let told = |seconds| Verdict::Limited { retry_after_s: Some(seconds) };
    let followed = outbox.answered(at(100), PERSON, told(10_000));
    assert_eq!(followed.pause, at(10_000_000));
    // The other one left before. What its answer says makes the pause no shorter, whatever it is.
    outbox.answered(at(200), OTHER, told(3));
    assert_eq!(outbox.paused(at(200)), at(9_999_900));
    for minute in 0..166 {
        outbox.offer_all(&warning(&format!("meanwhile {minute}")));
        assert_eq!(outbox.take(at(minute * 60_000 + 300)), None, "minute {minute}");
    }
    assert_eq!(outbox.take(at(10_000_099)), None);
    let first = outbox.take(at(10_000_100)).expect("the time is over");
    assert!(first.text.starts_with("one\nmeanwhile 0\n"), "{}", first.text);
    // Told again: it waits again.
    outbox.answered(at(10_000_200), first.chat, told(20_000));
    assert_eq!(outbox.take(at(30_000_199)), None);
    let all: Vec<_> = deliver(&mut outbox, at(30_000_200));
    assert_eq!(all.len(), 2, "one message to each");
    assert_eq!(outbox.counts(), Counts { told: 2 * 167, limits: 3, ..Counts::default() });
    assert_eq!(outbox.waiting(), 0, "and nothing was lost");
}

#[test]
fn case_r8_a_limit_without_a_time_doubles_its_pause() {
    let mut outbox = Outbox::new(&[PERSON]);
    outbox.offer(PERSON, &warning("one"));
    let (mut now, mut pauses) = (at(0), Vec::new());
    for answer in [None, None, Some(0), Some(7), None, None, None, None, None, None, None] {
        outbox.take(now).expect("the pause is over");
        let followed = outbox.answered(now, PERSON, Verdict::Limited { retry_after_s: answer });
        pauses.push(followed.pause.as_micros() / 1_000_000);
        assert_eq!(outbox.take(Nanos(now.plus(followed.pause).0 - 1)), None);
        now = now.plus(followed.pause);
    }
    assert_eq!(pauses, [5, 10, 20, 7, 80, 160, 320, 640, 900, 900, 900], "zero is no time");
    assert_eq!(deliver(&mut outbox, now).len(), 1);
    outbox.offer(PERSON, &warning("two"));
    let again = now.plus(CHAT.span);
    outbox.take(again).expect("nothing is in its way");
    let followed = outbox.answered(again, PERSON, Verdict::Limited { retry_after_s: None });
    assert_eq!(followed.pause, LIMITED_FIRST, "from the beginning");
    // A time beyond all times is kept too, and does not overflow.
    let much_later = again.plus(followed.pause);
    outbox.take(much_later).expect("tried again");
    outbox.answered(much_later, PERSON, Verdict::Limited { retry_after_s: Some(u64::MAX) });
    assert_eq!(outbox.take(Nanos(u64::MAX - 1)), None);
}

#[test]
fn what_failed_is_tried_again_after_a_growing_pause() {
    let mut outbox = Outbox::new(&[PERSON]);
    outbox.offer(PERSON, &warning("one"));
    let (mut now, mut pauses) = (at(0), Vec::new());
    for number in 0..9 {
        let sending = outbox.take(now).expect("the pause is over");
        assert!(sending.text.starts_with("one"), "first what was first: {}", sending.text);
        outbox.offer(PERSON, &warning(&format!("more {number}")));
        let followed = outbox.answered(now, PERSON, Verdict::Failed);
        pauses.push(followed.pause.as_micros() / 1_000_000);
        now = now.plus(followed.pause);
    }
    assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 300]);
    let all = deliver(&mut outbox, now);
    assert_eq!(all.len(), 1);
    assert!(all[0].1.ends_with("more 7\nmore 8"), "{all:?}");
    assert_eq!((outbox.counts().told, outbox.counts().failures), (10, 9));
}

#[test]
fn a_chat_that_refuses_loses_its_own_lines_and_no_others() {
    let mut outbox = Outbox::new(&[PERSON, OTHER]);
    outbox.offer_all(&warning("one"));
    let first = outbox.take(at(0)).expect("may go");
    outbox.offer_all(&warning("two"));
    let followed = outbox.answered(at(10), first.chat, Verdict::Refused);
    assert_eq!(followed, Consequence { lines: 2, pause: CHAT_PAUSE });
    assert_eq!(deliver(&mut outbox, at(20)), [(OTHER, "one\ntwo".to_owned())]);
    outbox.offer_all(&warning("three"));
    assert_eq!(deliver(&mut outbox, at(5_000)), [(OTHER, "three".to_owned())]);
    assert_eq!(outbox.take(Nanos(CHAT_PAUSE.0 + at(10).0 - 1)), None);
    assert_eq!(deliver(&mut outbox, CHAT_PAUSE.plus(at(10))), [(PERSON, "three".to_owned())]);
    assert_eq!(outbox.counts(), Counts { told: 4, refused: 2, ..Counts::default() });
}

#[test]
fn a_token_that_is_not_taken_stops_all_for_long_and_loses_nothing() {
    let mut outbox = Outbox::new(&[PERSON, OTHER]);
    outbox.offer_all(&warning("one"));
    let first = outbox.take(at(0)).expect("may go");
    assert_eq!(outbox.answered(at(0), first.chat, Verdict::BadToken).pause, TOKEN_PAUSE);
    assert_eq!(outbox.take(Nanos(TOKEN_PAUSE.0 - 1)), None);
    assert_eq!(deliver(&mut outbox, TOKEN_PAUSE).len(), 2);
    assert_eq!(outbox.counts(), Counts { told: 2, ..Counts::default() });
}

/// What a run does next.
#[derive(Clone, Debug)]
enum Step {
    /// A line of this length for a chat.
    Offer { chat: usize, critical: bool, chars: usize },
    /// So much time passes, in milliseconds.
    Pass(u64),
    /// The oldest send that is under way is answered.
    Answer(Verdict),
    /// As many sends begin as may.
    Send,
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        12 => Just(Verdict::Delivered),
        2 => (0_u64..40).prop_map(|seconds| Verdict::Limited { retry_after_s: Some(seconds) }),
        1 => Just(Verdict::Limited { retry_after_s: Some(10_000) }),
        1 => Just(Verdict::Limited { retry_after_s: None }),
        3 => Just(Verdict::Failed),
        1 => Just(Verdict::Refused),
        1 => Just(Verdict::BadToken),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_usize..5, any::<bool>(), 1_usize..2_000)
            .prop_map(|(chat, critical, chars)| Step::Offer { chat, critical, chars }),
        3 => (0_u64..1_500).prop_map(Step::Pass),
        1 => (0_u64..4_000_000).prop_map(Step::Pass),
        4 => verdicts().prop_map(Step::Answer),
        5 => Just(Step::Send),
    ];
    prop::collection::vec(step, 1..400)
}

/// A send as the test remembers it.
struct Sent {
    chat: ChatId,
    begun: Nanos,
    ended: Option<Nanos>,
    text: String,
}

/// The outbox with everything that ever happened to it.
struct Run {
    outbox: Outbox,
    overall: Limit,
    now: Nanos,
    sent: Vec<Sent>,
    /// Before then nothing may begin.
    stopped_until: Nanos,
    /// The same for a chat.
    chat_stopped_until: BTreeMap<ChatId, Nanos>,
    offered: u64,
    /// Numbers of lines that were told, by chat.
    told: BTreeMap<ChatId, Vec<u64>>,
    said_left_out: u64,
    has_refused: bool,
}

impl Run {
    fn new(chats: &[ChatId], overall: Limit) -> Self {
        Self {
            outbox: Outbox { overall: Window::new(overall), ..Outbox::new(chats) },
            overall,
            now: at(5),
            sent: Vec::new(),
            stopped_until: at(0),
            chat_stopped_until: BTreeMap::new(),
            offered: 0,
            told: BTreeMap::new(),
            said_left_out: 0,
            has_refused: false,
        }
    }

    /// How many sends may have arrived in the span that ends now, or still may.
    fn within(&self, span: Nanos, of: impl Fn(&Sent) -> bool) -> usize {
        let counts = |sent: &&Sent| of(sent) && sent.ended.is_none_or(|ended| self.now.since(ended) < span);
        self.sent.iter().filter(counts).count()
    }

    fn send(&mut self) {
        while let Some(Sending { chat, text }) = self.outbox.take(self.now) {
            assert!(
                self.now >= self.stopped_until,
                "a send {:?} before the pause is over",
                self.stopped_until
            );
            let stopped = self.chat_stopped_until.get(&chat).copied().unwrap_or_default();
            assert!(self.now >= stopped, "a chat that refused is left alone");
            assert!(self.within(self.overall.span, |_| true) < self.overall.sends, "{:?}", self.overall);
            assert!(
                self.within(CHAT.span, |sent| sent.chat == chat) < CHAT.sends,
                "one a second to {chat:?}"
            );
            let of_group = self.within(GROUP.span, |sent| sent.chat == chat);
            assert!(!chat.is_group() || of_group < GROUP.sends, "20 a minute to {chat:?}");
            let units = text.encode_utf16().count();
            assert!((1..=TEXT_UNITS_MAX).contains(&units), "{units} units");
            self.sent.push(Sent { chat, begun: self.now, ended: None, text });
        }
    }

    fn answer(&mut self, verdict: Verdict) {
        let Some(sent) = self.sent.iter_mut().find(|sent| sent.ended.is_none()) else { return };
        assert!(sent.begun <= self.now);
        sent.ended = Some(self.now);
        let chat = sent.chat;
        match verdict {
            Verdict::Delivered => {
                for line in sent.text.lines() {
                    match line.strip_prefix("and ").and_then(|rest| rest.strip_suffix(" more")) {
                        Some(count) => self.said_left_out += count.parse::<u64>().expect("a number"),
                        None => {
                            let number = line.trim_start_matches('#').split(' ').next().expect("a word");
                            self.told.entry(chat).or_default().push(number.parse().expect("its number"));
                        }
                    }
                }
            }
            Verdict::Limited { retry_after_s: Some(seconds) } => {
                self.stopped_until = self.stopped_until.max(self.now.plus(at(seconds * 1_000)));
            }
            Verdict::Refused => {
                self.has_refused = true;
                self.chat_stopped_until.insert(chat, self.now.plus(CHAT_PAUSE));
            }
            Verdict::BadToken => self.stopped_until = self.stopped_until.max(self.now.plus(TOKEN_PAUSE)),
            // Who was told no time, or nothing, waits a little at least.
            Verdict::Limited { retry_after_s: None } | Verdict::Failed => {
                self.stopped_until = self.stopped_until.max(self.now.plus(at(1_000)));
            }
        }
        self.outbox.answered(self.now, chat, verdict);
    }

    /// Every line is somewhere, and all of it is little.
    fn check(&self, chats: usize) {
        let counts = self.outbox.counts();
        let known = counts.told + counts.left_out + counts.refused + self.outbox.waiting();
        assert_eq!(known, self.offered, "{counts:?}");
        assert!(self.outbox.bytes() <= chats * BYTES_A_CHAT_MAX, "{} bytes", self.outbox.bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn case_r7_case_r8_whatever_comes_limits_and_pauses_hold_and_every_line_is_told_or_counted(
        groups in 0_usize..=3,
        sends in prop_oneof![1_usize..=5, Just(OVERALL.sends)],
        steps in steps(),
    ) {
        let people = 5 - groups;
        let chats: Vec<ChatId> =
            (1..).take(people).map(ChatId).chain((1..).take(groups).map(|n| ChatId(-1_000 - n))).collect();
        let mut run = Run::new(&chats, Limit { sends, ..OVERALL });
        for step in steps {
            match step {
                Step::Offer { chat, critical, chars } => {
                    run.offered += 1;
                    let text = format!("#{} {}", run.offered, "\u{e9}".repeat(chars.min(LINE_UNITS_MAX)));
                    let severity = if critical { Severity::Critical } else { Severity::Warning };
                    run.outbox.offer(chats[chat], &Line::new(severity, &text));
                }
                Step::Pass(millis) => run.now = run.now.plus(at(millis)),
                Step::Answer(verdict) => run.answer(verdict),
                Step::Send => run.send(),
            }
            run.check(chats.len());
        }
        // Once Telegram takes everything, all that waits arrives.
        for _ in 0..400 {
            while run.sent.iter().any(|sent| sent.ended.is_none()) {
                run.answer(Verdict::Delivered);
            }
            if run.outbox.waiting() == 0 {
                break;
            }
            let paused = run.outbox.paused(run.now);
            run.now = run.now.plus(paused.max(at(60_000)));
            run.send();
            run.check(chats.len());
        }
        prop_assert_eq!(run.outbox.waiting(), 0, "it has to end");
        let counts = run.outbox.counts();
        prop_assert_eq!(run.told.values().map(|numbers| numbers.len() as u64).sum::<u64>(), counts.told);
        for numbers in run.told.values() {
            prop_assert!(numbers.is_sorted_by(|one, next| one < next), "in their order, each once: {:?}", numbers);
        }
        // What was left out was said, but for messages that were given up.
        prop_assert!(run.said_left_out <= counts.left_out);
        prop_assert!(run.has_refused || run.said_left_out == counts.left_out);
    }
}
