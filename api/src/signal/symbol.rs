//! From a chart's ticker to the candidate for an exact look-up.
//!
//! **Invariants**: only what is listed is taken away, nothing is added and no letter outside ASCII is changed, so a
//! text can become another market's name only by the listed rules. The caller looks the result up in the venue's
//! own list, exactly ([`engine::core::instrument::MarketView`]); what is not there is refused there.

use engine::core::instrument::Symbol;

use super::error::SignalError;

/// Contract suffixes that charts add, longest first where one ends with another; one is taken away.
const SUFFIXES: [&str; 4] = [".PS", ".P", "-PERP", "PERP"];

/// The candidate symbol of a ticker: blanks trimmed, `EXCHANGE:` stripped, ASCII letters upper-cased, then one of
/// `.P`, `.PS`, `-PERP`, `PERP` stripped.
///
/// `BTCPERP` (at Bybit a contract that settles in USDC) becomes `BTC`, which no venue lists: it is refused by the
/// look-up and never turned into `BTCUSDT`. Only ASCII is upper-cased because Unicode's rules map some letters to
/// ASCII ones (`ſ` to `S`), which would name another market.
///
/// # Errors
/// [`SignalError::MissingSymbol`] for blanks, [`SignalError::InvalidSymbol`] for what cannot be one symbol,
/// [`SignalError::TooLong`] over [`Symbol::MAX_BYTES`]; they name the field `symbol`.
pub fn normalise_symbol(text: &str) -> Result<Symbol, SignalError> {
    normalise_field("symbol", text)
}

/// [`normalise_symbol`] with the name of the field for the error.
pub(super) fn normalise_field(field: &str, text: &str) -> Result<Symbol, SignalError> {
    let invalid = |problem| SignalError::InvalidSymbol { field: field.to_owned(), problem };
    let text = text.trim();
    if text.is_empty() {
        return Err(SignalError::MissingSymbol);
    }
    let name = match text.split_once(':') {
        None => text,
        Some((exchange, name)) => {
            // "BTC/USDT:USDT" is another notation, in which the text after the colon is not the symbol.
            if exchange.is_empty() || !exchange.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(invalid("what stands before `:` is not the name of an exchange"));
            }
            if name.contains(':') {
                return Err(invalid("more than one `:`"));
            }
            name
        }
    };
    let bare = SUFFIXES.iter().find_map(|suffix| strip_suffix_any_case(name, suffix)).unwrap_or(name);
    if bare.is_empty() {
        return Err(invalid("nothing is left of it without exchange and suffix"));
    }
    let mut upper = [0_u8; Symbol::MAX_BYTES];
    let Some(upper) = upper.get_mut(..bare.len()) else {
        return Err(SignalError::TooLong { field: field.to_owned(), limit: Symbol::MAX_BYTES });
    };
    upper.copy_from_slice(bare.as_bytes());
    upper.make_ascii_uppercase();
    std::str::from_utf8(upper)
        .ok()
        .and_then(Symbol::new)
        .ok_or_else(|| invalid("it holds a blank or a control character"))
}

fn strip_suffix_any_case<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(suffix.len())?;
    text.is_char_boundary(at)
        .then(|| text.split_at(at))
        .filter(|(_, tail)| tail.eq_ignore_ascii_case(suffix))
        .map(|(head, _)| head)
}
