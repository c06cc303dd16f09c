//! What a signal asks for, and the spellings that say so.
//!
//! **Never**: a spelling is recognised by a part of it. "BUY NOW", "DON'T BUY" and "BUYBACK" are unknown.

pub use engine::core::signal::SignalKind;

/// The longest spelling in bytes once normalised: `SINAL_SHORT_FORTE`.
const SPELLING_BYTES_MAX: usize = 17;

/// The kind a text names, `None` for any text outside the list. Case does not matter, blanks around it neither; a run
/// of spaces and underscores inside counts as one.
#[must_use]
pub fn kind_of_text(text: &str) -> Option<SignalKind> {
    let mut buffer = [0_u8; SPELLING_BYTES_MAX];
    let mut len = 0;
    let mut gap = false;
    for byte in text.trim_ascii().bytes() {
        let separator = byte == b' ' || byte == b'_';
        if separator && gap {
            continue;
        }
        gap = separator;
        *buffer.get_mut(len)? = if separator { b'_' } else { byte.to_ascii_uppercase() };
        len += 1;
    }
    match &buffer[..len] {
        b"SHORT" if planted::planted!("short_read_as_long") => Some(SignalKind::OpenLong { strong: false }),
        b"BUY" | b"LONG" | b"OPEN_LONG" | b"SINAL_LONG" => Some(SignalKind::OpenLong { strong: false }),
        b"STRONG_BUY" | b"SINAL_LONG_FORTE" => Some(SignalKind::OpenLong { strong: true }),
        b"SELL" | b"SHORT" | b"OPEN_SHORT" | b"SINAL_SHORT" => Some(SignalKind::OpenShort { strong: false }),
        b"STRONG_SELL" | b"SINAL_SHORT_FORTE" => Some(SignalKind::OpenShort { strong: true }),
        b"CLOSE_LONG" | b"FECHE_LONG" => Some(SignalKind::CloseLong),
        b"CLOSE_SHORT" | b"FECHE_SHORT" => Some(SignalKind::CloseShort),
        b"CLOSE" | b"EXIT" | b"FLAT" => Some(SignalKind::CloseAll),
        _ => None,
    }
}

/// What two fields of one body ask for together: the same thing, strong when either says so. `None` when they
/// contradict each other.
pub(super) fn agreed(one: SignalKind, other: SignalKind) -> Option<SignalKind> {
    match (one, other) {
        (SignalKind::OpenLong { strong: a }, SignalKind::OpenLong { strong: b }) => {
            Some(SignalKind::OpenLong { strong: a || b })
        }
        (SignalKind::OpenShort { strong: a }, SignalKind::OpenShort { strong: b }) => {
            Some(SignalKind::OpenShort { strong: a || b })
        }
        _ => (one == other).then_some(one),
    }
}

/// The strong form of an open; a close stays what it is.
pub(super) const fn strengthened(kind: SignalKind) -> SignalKind {
    match kind {
        SignalKind::OpenLong { .. } => SignalKind::OpenLong { strong: true },
        SignalKind::OpenShort { .. } => SignalKind::OpenShort { strong: true },
        other => other,
    }
}

/// A fixed number per kind, for the fingerprint of a body.
pub(super) const fn tag(kind: SignalKind) -> u8 {
    match kind {
        SignalKind::OpenLong { strong: false } => 1,
        SignalKind::OpenLong { strong: true } => 2,
        SignalKind::OpenShort { strong: false } => 3,
        SignalKind::OpenShort { strong: true } => 4,
        SignalKind::CloseLong => 5,
        SignalKind::CloseShort => 6,
        SignalKind::CloseAll => 7,
    }
}
