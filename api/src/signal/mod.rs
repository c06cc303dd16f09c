//! Bodies of trading signals: from the bytes of a request to a [`Draft`], or to a named reason.
//!
//! Accepted by content, whatever the header says: one JSON object (also as `text/plain`, with a byte order mark, blanks
//! or a line break around it), or form data that carries it in `text`. DOMAIN.md §1 has the fields and spellings.
//!
//! **Runs on** any thread; pure: no clock, no I/O, no global state.
//! **Owns** nothing. Whether the symbol exists, the source is known and the time still valid is for the caller.
//! **Invariants**: numbers go from text to fixed point without a float; nothing is guessed or completed; the same body
//! always gives the same draft and the same [`Draft::dedup_key`].
//! **Bounds**: the constants below; one pass over at most 64 KiB, and whatever is over a bound is refused by name.
//! **Never**: panics on any bytes; keeps a credential in [`Draft::body`]; repeats a value in an error.

mod decimal;
mod error;
mod fields;
mod fingerprint;
mod form;
mod json;
mod kind;
mod secret;
mod symbol;
pub(crate) mod time;

use engine::core::fixed::{Price, Rate};
use engine::core::ids::Timestamp;
use engine::core::instrument::Symbol;

pub use error::SignalError;
pub use kind::{SignalKind, kind_of_text};
pub use secret::Secret;
pub use symbol::normalise_symbol;

/// Largest body in bytes, as received. Senders of alerts stay under 4 KiB; DOMAIN.md names 64 KiB.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting; known formats need 3. Also bounds the recursion.
pub const DEPTH_MAX: usize = 16;
/// Most values in a body; known formats have under 50. Bounds the memory of a pass.
pub const VALUES_MAX: usize = 2_048;
/// Longest ticker in bytes: a symbol with exchange and suffix.
pub const TICKER_BYTES_MAX: usize = 64;
/// Longest action in bytes, above the longest spelling with room for blanks.
pub const ACTION_BYTES_MAX: usize = 64;
/// Longest signal id in bytes; it becomes part of the deduplication key in the log.
pub const SIGNAL_ID_BYTES_MAX: usize = 64;
/// Longest strategy name in bytes.
pub const STRATEGY_BYTES_MAX: usize = 128;
/// Longest interval in bytes (`15`, `240`, `1D`, `15 minutes`).
pub const INTERVAL_BYTES_MAX: usize = 32;
/// Longest strength in bytes.
pub const STRENGTH_BYTES_MAX: usize = 32;
/// Longest secret in bytes.
pub const SECRET_BYTES_MAX: usize = 256;
/// Highest leverage a signal may name: the highest any venue offers. What a user may use is checked later.
pub const LEVERAGE_MAX: u8 = 125;
/// How much of a field's name an error repeats.
const FIELD_NAME_CHARS_MAX: usize = 64;

const _: () = assert!(TICKER_BYTES_MAX > Symbol::MAX_BYTES, "a ticker holds a symbol and more");

/// The UTF-8 byte order mark.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A signal as its body describes it; nothing has been looked up.
#[derive(Clone, Debug)]
pub struct Draft {
    /// What it asks for.
    pub kind: SignalKind,
    /// The symbol as sent, blanks trimmed.
    pub ticker: String,
    /// The candidate for an exact look-up, see [`normalise_symbol`].
    pub symbol: Symbol,
    /// The sender's price, above zero.
    pub price: Option<Price>,
    /// The signal's own time, see [`Draft::dedup_time`].
    pub at: Option<Timestamp>,
    /// The sender's id, at most [`SIGNAL_ID_BYTES_MAX`] bytes.
    pub signal_id: Option<String>,
    /// 1 to [`LEVERAGE_MAX`].
    pub leverage: Option<u8>,
    /// Stop price, above zero.
    pub stop_loss: Option<Price>,
    /// Take-profit price, above zero.
    pub take_profit: Option<Price>,
    /// RSI on 15 minutes, 0 to 100 (63.2 is `Rate` 63.2).
    pub rsi_15: Option<Rate>,
    /// RSI on 4 hours, 0 to 100.
    pub rsi_4h: Option<Rate>,
    /// Name of the strategy.
    pub strategy: Option<String>,
    /// The chart's interval as sent.
    pub interval: Option<String>,
    /// Strength as sent; `strong` and `forte` have made [`Draft::kind`] strong.
    pub strength: Option<String>,
    /// The source's secret when the body carries it.
    pub secret: Option<Secret>,
    /// Equal for two bodies that mean the same, leaving their own time aside. Together with the source and
    /// [`Draft::dedup_time`] it identifies a signal that has no [`Draft::signal_id`].
    pub dedup_key: [u8; 32],
    /// The second (Unix time) of the signal's own time. `None` when the body carries none: equal bodies of one source
    /// are then told apart by when they were accepted, and since a resend comes 5 s after the first try, up to 3 times,
    /// the caller compares within a window and not by the second.
    pub dedup_time: Option<u64>,
    /// The body as a JSON object for the record: without blanks and credentials, unknown fields kept.
    pub body: String,
}

/// Reads the body of a request. `content_type` only helps to tell form data without the field `text` from broken JSON.
///
/// # Errors
/// A [`SignalError`] with status, code and text for the sender.
pub fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Draft, SignalError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(SignalError::TooLarge { bytes: body.len() });
    }
    let (content, base) = trimmed(body);
    match content.first() {
        None => Err(SignalError::Empty),
        Some(b'{' | b'[' | b'"') => parse_json(content, base),
        Some(_) if form::is_form(content_type, content) => {
            let decoded = form::decode(content, base)?;
            match trimmed(&decoded) {
                ([], _) => Err(SignalError::Empty),
                (content, base) => parse_json(content, base),
            }
        }
        Some(_) => parse_json(content, base),
    }
}

fn parse_json(content: &[u8], base: usize) -> Result<Draft, SignalError> {
    let text = std::str::from_utf8(content)
        .map_err(|error| SignalError::InvalidUtf8 { offset: base + error.valid_up_to() })?;
    fields::interpret(json::read(text, base)?)
}

/// The content without byte order mark and blanks around it, and how many bytes were cut at the front.
fn trimmed(body: &[u8]) -> (&[u8], usize) {
    let content = body.trim_ascii_start();
    let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content).trim_ascii_start();
    (content.trim_ascii_end(), body.len() - content.len())
}
