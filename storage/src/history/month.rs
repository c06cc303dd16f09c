//! Months, which the growing tables are partitioned by.

use engine::core::ids::Timestamp;

/// Microseconds of a day.
const DAY_MICROS: u64 = 86_400_000_000;

/// A month of the Gregorian calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: u64,
    month: u64,
}

impl Month {
    /// The month of an instant.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        // Days to a date, Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days: years begin in March.
        let days = at.0 / DAY_MICROS + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self { year: era * 400 + year_of_era + u64::from(month <= 2), month }
    }

    /// The one after.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.month == 12 {
            Self { year: self.year + 1, month: 1 }
        } else {
            Self { year: self.year, month: self.month + 1 }
        }
    }

    /// Its first day, `2026-11-01`.
    #[must_use]
    pub fn first_day(self) -> String {
        format!("{:04}-{:02}-01", self.year, self.month)
    }

    /// What its partitions' names end with, `2026_11`.
    #[must_use]
    pub fn suffix(self) -> String {
        format!("{:04}_{:02}", self.year, self.month)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_of_instants() {
        let first = |seconds: u64| Month::of(Timestamp(seconds * 1_000_000)).first_day();
        assert_eq!(first(0), "1970-01-01");
        assert_eq!(first(951_782_399), "2000-02-01");
        assert_eq!(first(951_868_800), "2000-03-01");
        assert_eq!(first(1_709_164_800), "2024-02-01", "a leap day");
        assert_eq!(first(1_798_761_599), "2026-12-01", "the last second of a year");
        assert_eq!(first(1_798_761_600), "2027-01-01");
        let december = Month::of(Timestamp(1_798_761_599_000_000));
        assert_eq!(
            (december.suffix().as_str(), december.next().first_day().as_str()),
            ("2026_12", "2027-01-01")
        );
    }
}
