//! What waits for a chat, merged into one message.
//!
//! **Runs on**: the thread of the alerts. **Owns**: the lines of a message, and how many did not fit.
//! **Invariants**: a message is never longer than Telegram takes; a line that is left out is counted, and the message says
//! how many there were. A warning makes room for what is critical, never the other way round.
//! **Bounds**: [`TEXT_UNITS_MAX`] of UTF-16 for a message, [`LINE_UNITS_MAX`] for a line; a longer one is cut.

use std::collections::VecDeque;

/// The longest text that Telegram takes, in code units of UTF-16 (core.telegram.org/bots/api, sendMessage).
pub const TEXT_UNITS_MAX: usize = 4_096;
/// The longest line, in the same units: an alert has a few hundred.
pub const LINE_UNITS_MAX: usize = 1_024;
/// Room for the last line, `and 18446744073709551615 more`.
const LAST_LINE_UNITS: usize = 32;
/// Room for the others, each with its line break.
const LINES_UNITS_MAX: usize = TEXT_UNITS_MAX - LAST_LINE_UNITS;
/// What stands for the rest of a line that was cut.
const CUT: char = '…';

const _: () = assert!(LINE_UNITS_MAX < LINES_UNITS_MAX, "an empty message takes any line");

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Somebody should look, today.
    Warning,
    /// Somebody has to look, now.
    Critical,
}

/// One line for a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    severity: Severity,
    text: String,
    units: usize,
    /// What it is about: a newer line of the same replaces it while it waits.
    about: Option<String>,
}

impl Line {
    /// A line with this text. Control characters become blanks, so that one line stays one; a text that is too long is cut.
    #[must_use]
    pub fn new(severity: Severity, text: &str) -> Self {
        let plain = text.trim().chars().map(|char| if char.is_control() { ' ' } else { char });
        let (mut kept, mut units) = (String::new(), 0);
        for char in plain {
            // Its last unit is kept for the mark of a cut.
            if units + char.len_utf16() >= LINE_UNITS_MAX {
                kept.push(CUT);
                units += CUT.len_utf16();
                break;
            }
            kept.push(char);
            units += char.len_utf16();
        }
        Self { severity, text: kept, units, about: None }
    }

    /// The same, which an older one of this gives way to.
    #[must_use]
    pub fn about(self, about: String) -> Self {
        Self { about: Some(about), ..self }
    }

    /// The same, with when it was said at its beginning.
    #[must_use]
    pub fn at(self, clock: &str) -> Self {
        Self { about: self.about.clone(), ..Self::new(self.severity, &format!("{clock} {}", self.text)) }
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// With its line break, in units.
    const fn cost(&self) -> usize {
        self.units + 1
    }
}

/// Lines that become one message.
#[derive(Debug, Default)]
pub(super) struct Digest {
    lines: VecDeque<Line>,
    /// The sum of their costs.
    units: usize,
    left_out: u64,
}

impl Digest {
    /// Takes a line, or leaves it out; gives how many lines were left out by that, itself included. One that it replaces counts
    /// as left out too, but the message does not say so.
    pub(super) fn add(&mut self, line: &Line) -> u64 {
        let older = line
            .about
            .as_ref()
            .and_then(|about| self.lines.iter().position(|other| other.about.as_ref() == Some(about)));
        if let Some(older) = older.and_then(|place| self.lines.remove(place)) {
            // What it said is not so any more: it is not missed.
            self.units -= older.cost();
            return 1 + self.add(line);
        }
        let lesser = |other: &&Line| other.severity < line.severity;
        let can_go: usize = self.lines.iter().filter(lesser).map(Line::cost).sum();
        let mut left_out = 0;
        if self.units - can_go + line.cost() > LINES_UNITS_MAX {
            left_out += 1;
        } else {
            while self.units + line.cost() > LINES_UNITS_MAX {
                // The newest first: what came first may be the cause of the rest.
                let newest = self.lines.iter().rposition(|other| lesser(&other));
                let Some(gone) = newest.and_then(|place| self.lines.remove(place)) else { break };
                self.units -= gone.cost();
                left_out += 1;
            }
            self.units += line.cost();
            self.lines.push_back(line.clone());
        }
        if !planted::planted!("merged_lines_lost_uncounted") {
            self.left_out += left_out;
        }
        left_out
    }

    /// Takes all that another holds, behind its own, if all of it fits; otherwise neither changes.
    pub(super) fn append_whole(&mut self, other: &mut Self) {
        if self.units + other.units <= LINES_UNITS_MAX {
            self.lines.append(&mut other.lines);
            self.units += std::mem::take(&mut other.units);
            self.left_out += std::mem::take(&mut other.left_out);
        }
    }

    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many lines it holds.
    pub(super) fn lines(&self) -> u64 {
        self.lines.len() as u64
    }

    /// Bytes of text that it holds.
    pub(super) fn bytes(&self) -> usize {
        self.lines.iter().map(|line| line.text.len()).sum()
    }

    /// The message.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(self.bytes() + self.lines.len() + LAST_LINE_UNITS);
        for line in &self.lines {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&line.text);
        }
        if self.left_out > 0 {
            text.push_str(&format!("\nand {} more", self.left_out));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(text: &str) -> Line {
        Line::new(Severity::Warning, text)
    }

    fn critical(text: &str) -> Line {
        Line::new(Severity::Critical, text)
    }

    fn units(text: &str) -> usize {
        text.encode_utf16().count()
    }

    #[test]
    fn a_line_is_one_line_and_no_longer_than_it_may_be() {
        let line = warning("  disk\nfull\u{7}  ");
        assert_eq!((line.text(), line.severity()), ("disk full ", Severity::Warning));
        // A face outside of the basic plane is two units, four bytes and one character.
        for text in ["a".repeat(5_000), "é".repeat(5_000), "\u{1F600}".repeat(5_000)] {
            let line = critical(&text);
            assert!(units(line.text()) == line.units && line.units <= LINE_UNITS_MAX, "{}", line.units);
            assert!(line.units >= LINE_UNITS_MAX - 1 && line.text().ends_with(CUT));
        }
        let whole = "b".repeat(LINE_UNITS_MAX - 1);
        assert_eq!(warning(&whole).text(), whole);
    }

    #[test]
    fn what_does_not_fit_is_counted_and_said() {
        let mut digest = Digest::default();
        let long = "x".repeat(LINE_UNITS_MAX - 1);
        let left_out: u64 = (0..20).map(|_| digest.add(&warning(&long))).sum();
        assert_eq!((digest.lines(), left_out), (3, 17));
        let text = digest.text();
        assert!(text.ends_with("\nand 17 more") && units(&text) <= TEXT_UNITS_MAX, "{}", units(&text));
        // A short one still fits.
        assert_eq!(digest.add(&warning("short")), 0);
        assert!(digest.text().ends_with("\nshort\nand 17 more"));
    }

    #[test]
    fn a_warning_makes_room_for_what_is_critical() {
        let mut digest = Digest::default();
        for name in ["a", "b", "c"] {
            assert_eq!(digest.add(&warning(&name.repeat(LINE_UNITS_MAX - 1))), 0);
        }
        let first = critical(&"d".repeat(2_000));
        assert_eq!(digest.add(&first), 1, "the newest warning went");
        assert!(!digest.text().contains('c') && digest.text().contains('b') && digest.text().contains('d'));
        let more: u64 = (0..6).map(|_| digest.add(&first)).sum();
        assert_eq!((digest.lines(), more), (3, 2 + 4), "then the others, then there is nothing lesser");
        assert!(!digest.text().contains('b') && digest.text().ends_with("and 7 more"));
        assert_eq!(digest.add(&warning(&"e".repeat(LINE_UNITS_MAX - 1))), 1);
    }

    #[test]
    fn the_longest_message_is_within_the_limit() {
        let mut digest = Digest { left_out: u64::MAX / 2, ..Digest::default() };
        for _ in 0..LINES_UNITS_MAX {
            digest.add(&warning("\u{1F600}"));
        }
        assert!(units(&digest.text()) <= TEXT_UNITS_MAX && digest.units <= LINES_UNITS_MAX);
    }

    #[test]
    fn all_or_nothing_of_another_is_taken() {
        let (mut one, mut other) = (Digest::default(), Digest::default());
        one.add(&warning("first"));
        other.add(&warning("second"));
        one.append_whole(&mut other);
        assert_eq!((one.text().as_str(), other.is_empty(), other.units), ("first\nsecond", true, 0));
        for digest in [&mut one, &mut other] {
            (0..2).for_each(|_| {
                digest.add(&warning(&"y".repeat(2_000)));
            });
        }
        let before = (one.text(), other.text());
        one.append_whole(&mut other);
        assert_eq!((one.text(), other.text()), before);
    }
}
