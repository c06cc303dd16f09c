//! Days of IANA time zones, from the tables compiled into the binary.
//!
//! **Runs on**: its shard. **Bounds**: [`ZONES_KEPT_MAX`] zones are kept ready; others are looked up each time.
//! **Never**: reads the host's clock or its zone files.

use std::cell::RefCell;

use jiff::Timestamp as Instant;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::core::decide::Calendar;
use crate::core::ids::Timestamp;

/// Zones kept ready: there are about 450 names, and a few dozen are in use.
const ZONES_KEPT_MAX: usize = 64;

/// The days of every IANA zone.
#[derive(Debug)]
pub struct ZoneCalendar {
    database: TimeZoneDatabase,
    kept: RefCell<Vec<(String, TimeZone)>>,
}

impl Default for ZoneCalendar {
    fn default() -> Self {
        Self { database: TimeZoneDatabase::bundled(), kept: RefCell::new(Vec::new()) }
    }
}

impl ZoneCalendar {
    fn zone(&self, name: &str) -> Option<TimeZone> {
        let mut kept = self.kept.borrow_mut();
        if let Some((_, zone)) = kept.iter().find(|(n, _)| n == name) {
            return Some(zone.clone());
        }
        let zone = self.database.get(name).ok()?;
        if kept.len() < ZONES_KEPT_MAX {
            kept.push((name.to_owned(), zone.clone()));
        }
        Some(zone)
    }
}

impl Calendar for ZoneCalendar {
    fn day_end(&self, zone: &str, now: Timestamp) -> Option<Timestamp> {
        let zone = self.zone(zone)?;
        let instant = Instant::from_microsecond(i64::try_from(now.0).ok()?).ok()?;
        let tomorrow = zone.to_datetime(instant).date().tomorrow().ok()?;
        let start = zone.to_timestamp(tomorrow.at(0, 0, 0, 0)).ok()?;
        u64::try_from(start.as_microsecond()).ok().map(Timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(zone: &str, now: &str, end: &str) {
        let micros = |text: &str| {
            let instant: Instant = text.parse().expect("an instant");
            Timestamp(u64::try_from(instant.as_microsecond()).expect("after the epoch"))
        };
        assert_eq!(ZoneCalendar::default().day_end(zone, micros(now)), Some(micros(end)), "{zone} {now}");
    }

    #[test]
    fn days_end_where_the_user_lives() {
        check("UTC", "2026-11-25T08:00:00Z", "2026-11-26T00:00:00Z");
        check("America/Sao_Paulo", "2026-11-25T02:59:59Z", "2026-11-25T03:00:00Z");
        check("America/Sao_Paulo", "2026-11-25T03:00:00Z", "2026-11-26T03:00:00Z");
        check("Asia/Kathmandu", "2026-11-25T18:15:00Z", "2026-11-26T18:15:00Z");
    }

    #[test]
    fn days_of_clock_changes_are_23_and_25_hours() {
        check("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        check("Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
        // Midnight itself does not exist on this day in Santiago: the day begins at 01:00.
        check("America/Santiago", "2026-09-05T12:00:00Z", "2026-09-06T04:00:00Z");
    }

    #[test]
    fn an_unknown_zone_has_no_days() {
        assert_eq!(ZoneCalendar::default().day_end("Mars/Olympus", Timestamp(0)), None);
    }
}
