//! The time a signal carries: ISO 8601 with its offset from UTC, or Unix time.
//!
//! Unix time is told apart by magnitude. From 10^9 up to 10^10 it is seconds (2001-09-09 to 2286-11-20), from 10^12 up
//! to 10^13 milliseconds (the same span). Anything else, microseconds included, is refused rather than guessed, and so
//! is an ISO time outside that span or without an offset.

use std::ops::Range;

use engine::core::ids::Timestamp;

use super::decimal::Decimal;

/// Seconds since the epoch that a signal's time may have.
const SECONDS: Range<i64> = 1_000_000_000..10_000_000_000;

const MICROS: i64 = 1_000_000;

/// The time a text or number names, cut to microseconds; `None` when it is in no accepted form or out of range.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim_ascii();
    let is_iso = text.as_bytes().get(4) == Some(&b'-');
    let micros = if is_iso { parse_iso(text.as_bytes())? } else { parse_unix(text)? };
    SECONDS.contains(&micros.div_euclid(MICROS)).then_some(())?;
    u64::try_from(micros).ok().map(Timestamp)
}

fn parse_unix(text: &str) -> Option<i64> {
    let number = Decimal::parse(text).ok()?;
    // Microseconds, were it seconds; then, were it milliseconds. The two spans do not touch.
    [6, 3]
        .into_iter()
        .filter_map(|places| number.scaled(places).ok())
        .find(|micros| SECONDS.contains(&micros.div_euclid(MICROS)))
}

/// `YYYY-MM-DDThh:mm:ss[.fraction](Z|±hh[:]mm|±hh)`, a blank or `t` for `T`, in microseconds since the epoch.
fn parse_iso(text: &[u8]) -> Option<i64> {
    let mut rest = Cursor(text);
    let year = rest.number(4)?;
    rest.one_of(b"-")?;
    let month = rest.number(2).filter(|m| (1..=12).contains(m))?;
    rest.one_of(b"-")?;
    let day = rest.number(2).filter(|d| (1..=days_in_month(year, month)).contains(d))?;
    rest.one_of(b"Tt ")?;
    let hour = rest.number(2).filter(|h| *h < 24)?;
    rest.one_of(b":")?;
    let minute = rest.number(2).filter(|m| *m < 60)?;
    rest.one_of(b":")?;
    // A leap second counts as the second before it, as Unix time has none.
    let second = rest.number(2).filter(|s| *s <= 60)?.min(59);
    let micros = if rest.one_of(b".").is_some() { rest.fraction()? } else { 0 };
    let offset = rest.offset()?;
    rest.0.is_empty().then_some(())?;
    let seconds = ((days_from_epoch(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second;
    Some(seconds * MICROS + micros)
}

/// What is still to be read of an ISO time.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// Exactly `width` digits.
    fn number(&mut self, width: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(width)?;
        let value = digits
            .iter()
            .try_fold(0, |value, b| b.is_ascii_digit().then(|| value * 10 + i64::from(b - b'0')))?;
        self.0 = rest;
        Some(value)
    }

    fn one_of(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        allowed.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// One to nine digits of a second, cut to microseconds.
    fn fraction(&mut self) -> Option<i64> {
        let width = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        (1..=9).contains(&width).then_some(())?;
        let value = self.number(width)?;
        let scale = |n: usize| (0..n).fold(1_i64, |power, _| power * 10);
        Some(if width <= 6 { value * scale(6 - width) } else { value / scale(width - 6) })
    }

    /// The offset from UTC in minutes.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let hours = self.number(2).filter(|h| *h < 24)?;
        let colon = self.one_of(b":").is_some();
        let minutes = if !colon && self.0.is_empty() { 0 } else { self.number(2).filter(|m| *m < 60)? };
        Some(sign * (hours * 60 + minutes))
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar, for years from 0. Counts years from March, so that the leap day is
/// a year's last.
const fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    // 719 468 days lie between 0000-03-01 and the epoch.
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, micros: u64) {
        assert_eq!(parse_time(text), Some(Timestamp(micros)), "{text}");
    }

    #[test]
    fn reads_every_form() {
        const SECOND: u64 = 1_767_225_600_000_000; // 2026-01-01T00:00:00Z
        for text in [
            "2026-01-01T00:00:00Z",
            "2026-01-01t00:00:00z",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00:00.000Z",
            "2025-12-31T21:00:00-03:00",
            "2025-12-31T21:00:00-0300",
            "2025-12-31T21:00:00-03",
            "2026-01-01T05:30:00+05:30",
            " 2026-01-01T00:00:00Z\r\n",
            "1767225600",
            "1767225600.0",
            "1.7672256e9",
            "1767225600000",
            "1.7672256e12",
        ] {
            check(text, SECOND);
        }
        check("2026-01-01T00:00:00.1234567Z", SECOND + 123_456);
        check("1767225600.25", SECOND + 250_000);
        check("1767225600250", SECOND + 250_000);
        check("2016-12-31T23:59:60Z", 1_483_228_799_000_000);
        check("2024-02-29T00:00:00Z", 1_709_164_800_000_000);
        check("1000000000", 1_000_000_000_000_000);
        check("9999999999999", 9_999_999_999_999_000);
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "now",
            "12:30",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00,5Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+3",
            "2026-01-01T00:00:00+03:",
            "2026-01-01T00:00:00Z!",
            "1999-01-01T00:00:00Z",
            "2300-01-01T00:00:00Z",
            "999999999",
            "10000000000",
            "999999999999",
            "10000000000000",
            "1767225600000000",
            "1767225600000000000",
            "-1767225600",
        ] {
            assert_eq!(parse_time(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_jiff(micros in 1_000_000_000_000_000_i64..10_000_000_000_000_000, offset in -1439_i64..1440) {
            let at = jiff::Timestamp::from_microsecond(micros).unwrap();
            check(&at.to_string(), u64::try_from(micros).unwrap());
            let zone = jiff::tz::Offset::from_seconds(i32::try_from(offset * 60).unwrap()).unwrap();
            check(&at.display_with_offset(zone).to_string(), u64::try_from(micros).unwrap());
        }

        /// Whatever we accept, jiff reads as the same moment.
        #[test]
        fn accepts_nothing_jiff_would_not(text in "20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])") {
            if let Some(at) = parse_time(&text) {
                let theirs: jiff::Timestamp = text.parse().unwrap();
                prop_assert_eq!(i128::from(at.0), theirs.as_nanosecond().div_euclid(1_000));
            }
        }

        #[test]
        fn never_panics(text in ".{0,40}") {
            let _ = parse_time(&text);
        }
    }
}
