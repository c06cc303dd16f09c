//! Figures of the alerts to an operator: what stands, what was told, and what keeps them from being told.
//!
//! **Runs on**: written by the thread of the alerts; read by any. **Never**: a lock; a figure nobody measured.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

/// What the thread of the alerts knows at a time. A line to two chats counts twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlertFigures {
    /// Alerts that stand as warnings.
    pub warnings: u64,
    /// Alerts that stand as critical.
    pub criticals: u64,
    /// Signs that were not followed, because there were too many alerts.
    pub not_followed: u64,
    /// Lines that arrived.
    pub told: u64,
    /// Lines that were left out of a full message, or gave way to a newer line about the same alert.
    pub left_out: u64,
    /// Lines that were given up because their chat refused them.
    pub refused: u64,
    /// Sends that failed and were, or will be, tried again.
    pub failures: u64,
    /// Sends that Telegram refused because there were too many.
    pub limits: u64,
    /// Lines that wait.
    pub waiting: u64,
    /// For how long nothing may be sent from now on, in seconds.
    pub paused_seconds: u64,
}

const COUNT: usize = 10;

/// Names and kinds, in the order of [`values_of`].
const FIGURES: [(&str, &str); COUNT] = [
    ("alerts_warning", "gauge"),
    ("alerts_critical", "gauge"),
    ("alerts_not_followed_total", "counter"),
    ("alert_lines_told_total", "counter"),
    ("alert_lines_left_out_total", "counter"),
    ("alert_lines_refused_total", "counter"),
    ("alert_sends_failed_total", "counter"),
    ("alert_sends_limited_total", "counter"),
    ("alert_lines_waiting", "gauge"),
    ("alert_paused_seconds", "gauge"),
];

const fn values_of(figures: &AlertFigures) -> [u64; COUNT] {
    let AlertFigures { warnings, criticals, not_followed, told, left_out, refused, failures, limits, .. } =
        *figures;
    [
        warnings,
        criticals,
        not_followed,
        told,
        left_out,
        refused,
        failures,
        limits,
        figures.waiting,
        figures.paused_seconds,
    ]
}

/// The figures, shared.
#[derive(Debug)]
pub struct AlertGauges {
    values: [AtomicU64; COUNT],
}

impl Default for AlertGauges {
    fn default() -> Self {
        Self { values: [const { AtomicU64::new(0) }; COUNT] }
    }
}

impl AlertGauges {
    /// Takes how it stands.
    pub fn publish(&self, figures: &AlertFigures) {
        for (place, value) in self.values.iter().zip(values_of(figures)) {
            place.store(value, Ordering::Relaxed);
        }
    }

    fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        FIGURES
            .iter()
            .zip(&self.values)
            .map(|((name, kind), value)| (*name, *kind, value.load(Ordering::Relaxed)))
    }

    /// For the documents: the names of the metrics, without what says that they only grow.
    #[must_use]
    pub fn json(&self) -> Value {
        let named = |(name, _, value): (&str, &str, u64)| {
            (name.strip_suffix("_total").unwrap_or(name).to_owned(), json!(value))
        };
        Value::Object(self.rows().map(named).collect::<Map<_, _>>())
    }

    /// Writes the figures in the text format of Prometheus.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_text(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        for (name, kind, value) in self.rows() {
            writeln!(out, "# TYPE coinbitclub_{name} {kind}\ncoinbitclub_{name} {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_goes_by_its_own_name() {
        let gauges = AlertGauges::default();
        gauges.publish(&AlertFigures {
            warnings: 1,
            criticals: 2,
            not_followed: 3,
            told: 4,
            left_out: 5,
            refused: 6,
            failures: 7,
            limits: 8,
            waiting: 9,
            paused_seconds: 10,
        });
        let told = gauges.json();
        for (name, value) in [
            ("alerts_warning", 1),
            ("alerts_critical", 2),
            ("alerts_not_followed", 3),
            ("alert_lines_told", 4),
            ("alert_lines_left_out", 5),
            ("alert_lines_refused", 6),
            ("alert_sends_failed", 7),
            ("alert_sends_limited", 8),
            ("alert_lines_waiting", 9),
            ("alert_paused_seconds", 10),
        ] {
            assert_eq!(told[name], value, "{name} in {told}");
        }
        let mut out = Vec::new();
        gauges.write_text(&mut out).expect("memory");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text.lines().count(), 2 * COUNT);
        assert!(text.contains(
            "# TYPE coinbitclub_alert_lines_told_total counter\ncoinbitclub_alert_lines_told_total 4\n"
        ));
    }
}
