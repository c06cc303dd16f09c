//! Positions as Binance tells them, by REST and by stream: one net position of either sign (`BOTH`), or a long and a short.

use engine::core::fixed::{Price, Quantity};
use engine::core::instrument::Symbol;
use engine::core::order::Side;

use super::json::{self, Num, malformed};
use crate::live::protocol::{Malformed, Millis, PositionView};

/// A position from a signed amount. In hedge mode its side is what the exchange names, also when it is flat; an amount of the
/// other sign contradicts it and is an error.
pub(super) fn position(
    symbol: Symbol,
    position_side: &str,
    amount: Num<'_>,
    entry: Option<Num<'_>>,
    updated_at: Millis,
) -> Result<PositionView, Malformed> {
    let amount: Quantity = amount.exact("position amount")?;
    let side = match position_side {
        "BOTH" | "" if amount.is_negative() => Side::Sell,
        "BOTH" | "" => Side::Buy,
        "LONG" if !amount.is_negative() => Side::Buy,
        "SHORT" if !amount.is_positive() => Side::Sell,
        _ => return Err(malformed("position side", json::cut(position_side))),
    };
    let entry = entry.map(|entry| entry.mean("entry price")).transpose()?.flatten();
    Ok(PositionView {
        symbol,
        side,
        quantity: amount.abs(),
        entry: entry.unwrap_or(Price::ZERO),
        leverage: 0,
        stop: None,
        take_profit: None,
        updated_at,
    })
}
