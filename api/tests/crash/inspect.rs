//! The log itself as a witness: `coinbitclub log inspect` prints every record, and no order is intended twice in them.

use std::collections::BTreeSet;

use super::server::Place;

/// The events that intend an order, as the records print.
const INTENTS: [&str; 3] =
    ["EntryIntended { order: ", "ExitIntended { order: ", "ProtectionIntended { order: "];

/// Counts the intents in all logs of a stopped server's directory.
///
/// # Panics
/// When the log is damaged, or when an order is intended twice.
pub fn intents(place: &Place) -> usize {
    let output = place.log_tool(&["inspect"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "log inspect: {}", String::from_utf8_lossy(&output.stderr));
    let mut seen = BTreeSet::new();
    for line in printed.lines() {
        for event in INTENTS {
            for (at, _) in line.match_indices(event) {
                let rest = &line[at + event.len()..];
                let id = rest.split(", symbol: ").next().expect("a split gives one part at least");
                assert!(id.contains("ClientOrderId"), "the record prints another form: {rest}");
                assert!(seen.insert(id.to_owned()), "an order is intended twice: {line}");
            }
        }
    }
    seen.len()
}

/// Lines of the inspection that begin like this.
pub fn lines(place: &Place, beginning: &str) -> usize {
    let output = place.log_tool(&["inspect", "--summary"]);
    String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with(beginning)).count()
}
