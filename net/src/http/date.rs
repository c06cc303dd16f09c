//! The Date header's text.

/// A date as HTTP writes it (`Sun, 06 Nov 1994 08:49:37 GMT`), formatted once per second and copied per answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpDate {
    unix_seconds: u64,
    text: [u8; 29],
}

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
/// The first second of the year 10000, which the format cannot write.
const END_SECONDS: u64 = 253_402_300_800;

impl HttpDate {
    /// The date of a moment, in seconds since the Unix epoch; moments after the year 9999 are written as its end.
    #[must_use]
    pub fn from_unix(unix_seconds: u64) -> Self {
        let seconds = unix_seconds.min(END_SECONDS - 1);
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil(days);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        text[..3].copy_from_slice(DAYS[position(days % 7)]);
        two_digits(&mut text[5..7], day);
        text[8..11].copy_from_slice(MONTHS[position(month - 1)]);
        two_digits(&mut text[12..14], year / 100);
        two_digits(&mut text[14..16], year % 100);
        two_digits(&mut text[17..19], second / 3600);
        two_digits(&mut text[20..22], second / 60 % 60);
        two_digits(&mut text[23..25], second % 60);
        Self { unix_seconds, text }
    }

    /// Formats anew when the second has changed.
    pub fn update(&mut self, unix_seconds: u64) {
        if unix_seconds != self.unix_seconds {
            *self = Self::from_unix(unix_seconds);
        }
    }

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 29] {
        &self.text
    }
}

fn position(small: u64) -> usize {
    usize::try_from(small).expect("a day of the week or a month")
}

fn two_digits(out: &mut [u8], value: u64) {
    let digit = |value: u64| b'0' + u8::try_from(value % 10).expect("a digit");
    out[0] = digit(value / 10);
    out[1] = digit(value);
}

/// Year, month (1–12) and day (1–31) of a number of days since 1970-01-01, in the Gregorian calendar. Counts in eras of
/// 400 years that begin on 1 March, so that the leap day is the last of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::HttpDate;

    fn check(unix_seconds: u64, expected: &str) {
        let date = HttpDate::from_unix(unix_seconds);
        assert_eq!(std::str::from_utf8(date.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn known_dates() {
        check(0, "Thu, 01 Jan 1970 00:00:00 GMT");
        check(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT");
        check(951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT");
        check(951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT");
        check(1_798_761_599, "Thu, 31 Dec 2026 23:59:59 GMT");
        check(4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT");
        check(u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
