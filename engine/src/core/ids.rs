//! Names of things: users, accounts, sources, signals, orders; and the slot that decides a user's shard.
//!
//! Every id is made from business facts, never from a counter of one machine, so that it is the same whatever the
//! number of shards. As text an id is fixed-width base 62 (`[0-9A-Za-z]`), so ids sort, concatenate and decode.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Number of slots the users hash into. A power of two; see DESIGN.md, Partitioning.
pub const SLOTS: u16 = 4096;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Fills `out` with `value` in base-62 digits.
///
/// # Panics
/// When the value needs more digits: the caller chose the width from the type's range.
fn put_base62(out: &mut [u8], mut value: u64) {
    for digit in out.iter_mut().rev() {
        *digit = ALPHABET[usize::try_from(value % 62).expect("below 62")];
        value /= 62;
    }
    assert!(value == 0, "an id wider than its text");
}

/// Ids are written whole and without an allocation: each order has several, in every place that it is told of.
fn write_ascii(f: &mut fmt::Formatter<'_>, text: &[u8]) -> fmt::Result {
    f.write_str(std::str::from_utf8(text).expect("only ASCII was written"))
}

/// Reads a fixed-width base-62 number; `None` for another alphabet or an overflow.
fn parse_base62(text: &str) -> Option<u64> {
    text.bytes().try_fold(0_u64, |value, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'A'..=b'Z' => byte - b'A' + 10,
            b'a'..=b'z' => byte - b'a' + 36,
            _ => return None,
        };
        value.checked_mul(62)?.checked_add(u64::from(digit))
    })
}

/// A user. Derived from the normalised e-mail address at sign-up, and kept when the address changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub struct UserId(pub u64);

impl UserId {
    /// Width of the text form.
    pub const WIDTH: usize = 11;

    /// The id a sign-up with this address gets: the first 63 bits of its SHA-256, blanks trimmed, lower-cased.
    #[must_use]
    pub fn from_email(email: &str) -> Self {
        let digest = Sha256::digest(email.trim().to_lowercase().as_bytes());
        let mut first = [0_u8; 8];
        first.copy_from_slice(&digest[..8]);
        Self(u64::from_be_bytes(first) >> 1)
    }

    /// The slot of this user, `0..SLOTS`. A fixed mixing function (the finaliser of MurmurHash3), so that it never
    /// changes between versions.
    #[must_use]
    pub fn slot(self) -> u16 {
        let mut h = self.0;
        h ^= h >> 33;
        h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
        h ^= h >> 33;
        h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        h ^= h >> 33;
        u16::try_from(h % u64::from(SLOTS)).expect("below SLOTS")
    }

    /// Parses the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == Self::WIDTH).then(|| parse_base62(text).map(Self)).flatten()
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::WIDTH];
        put_base62(&mut text, self.0);
        write_ascii(f, &text)
    }
}

/// An exchange account of a user: the user and the account's place in the user's list (0 to 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub struct AccountId {
    /// The owner.
    pub user: UserId,
    /// Place in the owner's list of accounts.
    pub index: u8,
}

impl AccountId {
    const WIDTH: usize = UserId::WIDTH + 1;

    fn put(self, out: &mut [u8]) {
        put_base62(&mut out[..UserId::WIDTH], self.user.0);
        out[UserId::WIDTH] = ALPHABET[usize::from(self.index % 62)];
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::WIDTH];
        self.put(&mut text);
        write_ascii(f, &text)
    }
}

/// A signal source: its publisher and its place in the publisher's list. Lives in the publisher's shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub struct SourceId {
    /// The publisher.
    pub owner: UserId,
    /// Place in the publisher's list of sources (0 to 61).
    pub index: u8,
}

impl SourceId {
    /// Width of the text form.
    pub const WIDTH: usize = UserId::WIDTH + 1;

    /// Parses the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::WIDTH || !text.is_ascii() {
            return None;
        }
        let (owner, index) = text.split_at(UserId::WIDTH);
        Some(Self { owner: UserId::parse(owner)?, index: u8::try_from(parse_base62(index)?).ok()? })
    }

    fn put(self, out: &mut [u8]) {
        put_base62(&mut out[..UserId::WIDTH], self.owner.0);
        out[UserId::WIDTH] = ALPHABET[usize::from(self.index % 62)];
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::WIDTH];
        self.put(&mut text);
        write_ascii(f, &text)
    }
}

/// A signal: the source and a number that grows by one with each signal the source accepted, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub struct SignalId {
    /// Where it came from.
    pub source: SourceId,
    /// Its number within the source, from 1.
    pub number: u32,
}

impl SignalId {
    /// Width of the text form.
    pub const WIDTH: usize = SourceId::WIDTH + Self::NUMBER_WIDTH;
    /// 62^6 is above 2^32.
    const NUMBER_WIDTH: usize = 6;

    /// Parses the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::WIDTH || !text.is_ascii() {
            return None;
        }
        let (source, number) = text.split_at(SourceId::WIDTH);
        Some(Self {
            source: SourceId::parse(source)?,
            number: u32::try_from(parse_base62(number)?).ok().filter(|number| *number > 0)?,
        })
    }

    fn put(self, out: &mut [u8]) {
        self.source.put(&mut out[..SourceId::WIDTH]);
        put_base62(&mut out[SourceId::WIDTH..Self::WIDTH], u64::from(self.number));
    }
}

impl fmt::Display for SignalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::WIDTH];
        self.put(&mut text);
        write_ascii(f, &text)
    }
}

/// What part an order plays for its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub enum Leg {
    /// Opens the position.
    Entry,
    /// The protective stop-loss.
    Stop,
    /// The take-profit.
    TakeProfit,
    /// Closes the position because a signal said so; keyed by the **closing** signal.
    SignalClose,
    /// Closes the position for the user; keyed by the opening signal.
    ManualClose,
    /// Closes a position that has no live stop; keyed by the opening signal.
    UnprotectedClose,
    /// Closes the position so that the opposite one can open; keyed by the **reversing** signal.
    ReversalClose,
}

impl Leg {
    /// Each with its letters: the first for rounds up to 61, the next for the 62 after them, and so on. All differ.
    const ALL: [(Leg, [u8; 4]); 7] = [
        (Leg::Entry, *b"Ee0A"),
        (Leg::Stop, *b"Ss1B"),
        (Leg::TakeProfit, *b"Tt2D"),
        (Leg::SignalClose, *b"Cc3F"),
        (Leg::ManualClose, *b"Mm4G"),
        (Leg::UnprotectedClose, *b"Uu5H"),
        (Leg::ReversalClose, *b"Rr6I"),
    ];

    /// A stable machine word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Stop => "stop",
            Self::TakeProfit => "take_profit",
            Self::SignalClose => "signal_close",
            Self::ManualClose => "manual_close",
            Self::UnprotectedClose => "unprotected_close",
            Self::ReversalClose => "reversal_close",
        }
    }

    fn letter(self, round: u8) -> u8 {
        let letters = Self::ALL.iter().find(|(leg, _)| *leg == self).map(|(_, letters)| letters);
        letters.and_then(|letters| letters.get(usize::from(round / 62))).copied().unwrap_or(b'?')
    }

    /// The leg of a letter, and the first round that it stands for.
    fn of_letter(letter: u8) -> Option<(Self, u8)> {
        let found = |(leg, letters): &(Self, [u8; 4])| {
            letters.iter().zip([0, 62, 124, 186]).find(|(l, _)| **l == letter).map(|(_, first)| (*leg, first))
        };
        Self::ALL.iter().find_map(found)
    }
}

/// The client order id: (signal, account, leg). One such triple makes at most one exchange order, for ever; the text
/// form is the same on every attempt, 32 characters of `[0-9A-Za-z]`, and decodes back to the triple.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize)]
pub struct ClientOrderId {
    /// The signal that caused the order.
    pub signal: SignalId,
    /// The account it is for.
    pub account: AccountId,
    /// The part it plays.
    pub leg: Leg,
    /// Which try at this leg, 0 to [`Self::ROUND_MAX`]. Above 0 only for exits whose earlier order is known to be dead (rejected,
    /// cancelled, expired): an exit is tried until the position is flat. An entry is always 0.
    pub round: u8,
}

impl ClientOrderId {
    /// Width of the text form: within Binance's 36 and Bybit's 36, and the 32 of DOMAIN.md.
    pub const WIDTH: usize = SignalId::WIDTH + AccountId::WIDTH + 1 + 1;
    /// The highest `round`: four letters of a leg, and 62 digits with each.
    pub const ROUND_MAX: u8 = 247;

    /// The first order of a leg.
    #[must_use]
    pub const fn first(signal: SignalId, account: AccountId, leg: Leg) -> Self {
        Self { signal, account, leg, round: 0 }
    }

    /// Parses the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::WIDTH || !text.is_ascii() {
            return None;
        }
        let (signal, rest) = text.split_at(SignalId::WIDTH);
        let (user, rest) = rest.split_at(UserId::WIDTH);
        let (leg, first) = Leg::of_letter(rest.as_bytes()[1])?;
        Some(Self {
            signal: SignalId::parse(signal)?,
            account: AccountId {
                user: UserId::parse(user)?,
                index: u8::try_from(parse_base62(&rest[..1])?).ok()?,
            },
            leg,
            round: first + u8::try_from(parse_base62(&rest[2..])?).ok()?,
        })
    }
}

impl fmt::Display for ClientOrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; Self::WIDTH];
        self.signal.put(&mut text[..SignalId::WIDTH]);
        let (account, rest) = text[SignalId::WIDTH..].split_at_mut(AccountId::WIDTH);
        self.account.put(account);
        rest.copy_from_slice(&[self.leg.letter(self.round), ALPHABET[usize::from(self.round % 62)]]);
        write_ascii(f, &text)
    }
}

const _: () = assert!(ClientOrderId::WIDTH <= 32, "DOMAIN.md: at most 32 characters");

/// A number of microseconds since the Unix epoch, UTC.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Archive, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// From milliseconds since the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }
    /// Whole milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0 / 1_000
    }
    /// `self + span` microseconds, saturating.
    #[must_use]
    pub const fn plus_micros(self, span: u64) -> Self {
        Self(self.0.saturating_add(span))
    }
    /// `self - earlier` in microseconds, zero when `earlier` is later.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn client_order_ids_round_trip(owner: u64, s in 0_u8..62, number in 1_u32.., user: u64, a in 0_u8..62, leg in 0_usize..7, round in 0..=ClientOrderId::ROUND_MAX) {
            let id = ClientOrderId {
                signal: SignalId { source: SourceId { owner: UserId(owner), index: s }, number },
                account: AccountId { user: UserId(user), index: a },
                leg: Leg::ALL[leg].0,
                round,
            };
            let text = id.to_string();
            prop_assert_eq!(text.len(), ClientOrderId::WIDTH);
            prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric()));
            prop_assert_eq!(ClientOrderId::parse(&text), Some(id));
        }

        #[test]
        fn two_rounds_of_any_two_legs_differ(one in (0_usize..7, 0..=ClientOrderId::ROUND_MAX), other in (0_usize..7, 0..=ClientOrderId::ROUND_MAX)) {
            let id = |(leg, round): (usize, u8)| {
                let signal = SignalId { source: SourceId { owner: UserId(1), index: 0 }, number: 1 };
                let first = ClientOrderId::first(signal, AccountId { user: UserId(2), index: 0 }, Leg::ALL[leg].0);
                ClientOrderId { round, ..first }.to_string()
            };
            prop_assert_eq!(id(one) == id(other), one == other);
        }

        #[test]
        fn parsing_ids_never_panics(text in ".{0,40}") {
            let _ = (ClientOrderId::parse(&text), SignalId::parse(&text), SourceId::parse(&text), UserId::parse(&text));
        }
    }

    #[test]
    fn slots_are_even_and_fixed() {
        let mut counts = [0_u32; SLOTS as usize];
        for i in 0..100_000_u32 {
            counts[usize::from(UserId::from_email(&format!("user{i}@example.com")).slot())] += 1;
        }
        assert!(counts.iter().all(|n| *n > 0 && *n < 60), "uneven slots");
        // Fixed for ever: a change would move users away from their logs.
        assert_eq!(UserId::from_email(" Ana@Example.com "), UserId::from_email("ana@example.com"));
        assert_eq!(UserId(1).slot(), 2860);
    }
}
