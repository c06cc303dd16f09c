//! A new order as Bybit's order/create words it, read and checked against the instrument's filters and the market.
//!
//! **Invariants**: the checks are a pure function of the request, the instrument, the mark and the position; they are made in
//! one order, so that a request has one retCode. What the venue refuses beyond them (margin, leverage) is told in `trade`.

use engine::core::fixed::{Money, Price, Quantity};
use engine::core::instrument::{Instrument, InstrumentStatus, Symbol};
use engine::core::order::Side;

use super::codes::{self, Refusal};
use super::fields::Fields;
use crate::paper_exchange::orders::{
    Attached, Kind, Life, OrderSpec, Origin, PositionSide, Role, Trigger, Watched,
};

/// Longest orderLinkId (EXCHANGES.md §3.4).
pub const LINK_MAX: usize = 36;

/// A new order as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// What is traded.
    pub symbol: Symbol,
    /// Buy or sell.
    pub side: Side,
    /// The limit; `None` for a market order.
    pub limit: Option<Price>,
    /// How much; zero asks for all of the position.
    pub quantity: Quantity,
    /// Which side of a hedge.
    pub position_side: PositionSide,
    /// How long it waits.
    pub life: Life,
    /// The client's id, empty when it gave none.
    pub link: String,
    /// Only makes a position smaller.
    pub reduce_only: bool,
    /// Closes the position when triggered, whatever margin there is.
    pub close_on_trigger: bool,
    /// When it waits for a price.
    pub trigger: Option<Trigger>,
    /// Stop-loss of the position it opens.
    pub stop_loss: Option<Price>,
    /// Take-profit of the position it opens.
    pub take_profit: Option<Price>,
}

/// What a wish is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Its instrument.
    pub instrument: &'a Instrument,
    /// The price now.
    pub mark: Price,
    /// The position on the symbol: side and size.
    pub position: Option<(Side, Quantity)>,
}

impl Wish {
    /// Reads the parameters of order/create.
    ///
    /// # Errors
    /// 10001.
    pub fn read(fields: &Fields) -> Result<Self, Refusal> {
        linear(fields)?;
        let symbol = symbol(fields)?;
        let side = side(fields.needed("side")?)?;
        let limit = match fields.needed("orderType")? {
            "Market" => None,
            "Limit" => Some(
                fields.decimal("price")?.ok_or_else(|| Refusal::parameter("price is required for Limit"))?,
            ),
            _ => return Err(Refusal::parameter("orderType invalid")),
        };
        let life = match (fields.text("timeInForce")?, limit) {
            (Some("FOK"), _) => Life::FillOrKill,
            (Some("PostOnly"), Some(_)) => Life::PostOnly,
            (Some("IOC"), Some(_)) => Life::ImmediateOrCancel,
            // A market order is one at once or not at all, whatever is said.
            (Some("GTC" | "IOC" | "PostOnly") | None, None) | (Some("GTC") | None, Some(_)) => {
                Life::UntilCancelled
            }
            _ => return Err(Refusal::parameter("timeInForce invalid")),
        };
        let watched = trigger_by(fields, "triggerBy")?;
        let trigger = match fields.decimal("triggerPrice")? {
            None => None,
            Some(price) => Some(Trigger {
                price,
                watched,
                role: Role::Plain,
                rising: match fields.whole("triggerDirection")? {
                    Some(1) => true,
                    Some(2) => false,
                    _ => return Err(Refusal::parameter("TriggerDirection invalid")),
                },
            }),
        };
        full_mode(fields)?;
        for by in ["tpTriggerBy", "slTriggerBy"] {
            trigger_by(fields, by)?;
        }
        for kind in ["tpOrderType", "slOrderType"] {
            if fields.text(kind)?.is_some_and(|kind| kind != "Market") {
                return Err(Refusal::parameter(format_args!("{kind} must be Market")));
            }
        }
        Ok(Self {
            symbol,
            side,
            limit,
            quantity: fields.decimal("qty")?.ok_or_else(|| Refusal::parameter("qty is required"))?,
            position_side: position_side(fields)?,
            life,
            link: link(fields)?,
            reduce_only: fields.flag("reduceOnly")?,
            close_on_trigger: fields.flag("closeOnTrigger")?,
            trigger,
            stop_loss: protection(fields, "stopLoss")?,
            take_profit: protection(fields, "takeProfit")?,
        })
    }

    /// Whether it can only make a position smaller.
    #[must_use]
    pub const fn closes(&self) -> bool {
        let other_side = matches!(
            (self.position_side, self.side),
            (PositionSide::Long, Side::Sell) | (PositionSide::Short, Side::Buy)
        );
        self.reduce_only || self.close_on_trigger || other_side
    }

    /// The order for the exchange, of the quantity that [`Wish::check`] gave.
    #[must_use]
    pub fn spec(&self, quantity: Quantity) -> OrderSpec {
        OrderSpec {
            client_id: (!self.link.is_empty()).then(|| self.link.clone()),
            symbol: self.symbol,
            side: self.side,
            kind: self.limit.map_or(Kind::Market, Kind::Limit),
            life: self.life,
            quantity,
            reduce_only: self.closes(),
            close_position: self.closes() && quantity.is_zero(),
            trigger: self.trigger,
            position_side: self.position_side,
            attached: Attached { stop: self.stop_loss, take_profit: self.take_profit },
            origin: Origin::Client,
            accept_first: true,
        }
    }

    /// The checks, in their order; gives the quantity to trade, which for a closing order is at most the position.
    ///
    /// # Errors
    /// The retCodes of EXCHANGES.md §3.6.
    pub fn check(&self, around: &Surroundings<'_>) -> Result<Quantity, Refusal> {
        let instrument = around.instrument;
        match instrument.status {
            InstrumentStatus::Trading => {}
            InstrumentStatus::CloseOnly if self.closes() => {}
            InstrumentStatus::CloseOnly => return Err(codes::ONLY_REDUCE),
            InstrumentStatus::Halted => return Err(codes::NOT_LIVE),
        }
        for price in [self.limit, self.trigger.map(|trigger| trigger.price)].into_iter().flatten() {
            check_price(price, instrument)?;
        }
        if self.closes() && (self.stop_loss.is_some() || self.take_profit.is_some()) {
            return Err(Refusal::parameter("reduceOnly orders can not have tp/sl"));
        }
        let quantity = self.check_quantity(around)?;
        if let Some(trigger) = self.trigger {
            let reached =
                if trigger.rising { trigger.price <= around.mark } else { trigger.price >= around.mark };
            if reached {
                return Err(Refusal::trigger(trigger.rising, trigger.price, around.mark));
            }
        }
        let base = self.limit.or(self.trigger.map(|trigger| trigger.price)).unwrap_or(around.mark);
        check_protection(self.side, base, self.stop_loss, self.take_profit, instrument)?;
        Ok(quantity)
    }

    fn check_quantity(&self, around: &Surroundings<'_>) -> Result<Quantity, Refusal> {
        let instrument = around.instrument;
        // A conditional close is checked when it triggers: the position may come later.
        if self.closes() && self.trigger.is_none() {
            let Some((side, open)) = around.position else { return Err(codes::FLAT) };
            if side == self.side {
                return Err(codes::REDUCE_SIDE);
            }
            if self.quantity.is_zero() {
                return Ok(open.min(self.most(instrument)));
            }
        }
        let quantity = self.quantity;
        if quantity.is_zero() && self.closes() {
            return Ok(quantity);
        }
        if !quantity.is_positive() || quantity < instrument.step {
            return Err(codes::TRUNCATED);
        }
        if quantity.floor_to(instrument.step) != quantity {
            return Err(codes::QUANTITY);
        }
        if quantity < instrument.quantity_min {
            return Err(codes::QUANTITY_LEAST);
        }
        // A close of more than is open is one of what is open, and only then compared with the most.
        let open = around.position.filter(|_| self.closes() && self.trigger.is_none());
        let quantity = open.map_or(quantity, |(_, open)| open.min(quantity));
        if quantity > self.most(instrument) {
            return Err(codes::QUANTITY_MOST);
        }
        if !self.closes() {
            let price = self.limit.or(self.trigger.map(|trigger| trigger.price)).unwrap_or(around.mark);
            let notional: Option<Money> = price.notional(quantity);
            if notional.ok_or(codes::POSITION_LIMIT)? < instrument.notional_min {
                return Err(Refusal::notional(instrument.notional_min));
            }
        }
        Ok(quantity)
    }

    const fn most(&self, instrument: &Instrument) -> Quantity {
        if self.limit.is_some() { instrument.quantity_max_limit } else { instrument.quantity_max_market }
    }
}

/// A price within the range and on the tick.
///
/// # Errors
/// 110003, 10001.
pub fn check_price(price: Price, instrument: &Instrument) -> Result<(), Refusal> {
    if !price.is_positive() || price > most_price(instrument) {
        return Err(codes::PRICE_RANGE);
    }
    if price.floor_to(instrument.tick) != price {
        return Err(codes::PRICE);
    }
    Ok(())
}

/// The highest price of an instrument: 100 million ticks, the order of magnitude of the real ones.
#[must_use]
pub fn most_price(instrument: &Instrument) -> Price {
    Price::from_units(instrument.tick.units().saturating_mul(100_000_000))
}

/// Whether a stop and a target lie on their sides of `base`.
///
/// # Errors
/// 10001, 110003.
pub fn check_protection(
    side: Side,
    base: Price,
    stop: Option<Price>,
    target: Option<Price>,
    instrument: &Instrument,
) -> Result<(), Refusal> {
    let buys = side == Side::Buy;
    for (what, price) in [("StopLoss", stop), ("TakeProfit", target)] {
        let Some(price) = price else { continue };
        check_price(price, instrument)?;
        let lower = (what == "StopLoss") == buys;
        if if lower { price >= base } else { price <= base } {
            return Err(Refusal::protection(what, buys, price, base));
        }
    }
    Ok(())
}

/// `category`, which has to be linear.
///
/// # Errors
/// 10001.
pub fn linear(fields: &Fields) -> Result<(), Refusal> {
    match fields.text("category")? {
        Some("linear") => Ok(()),
        Some("spot" | "inverse" | "option") => Err(Refusal::parameter("category has no instruments here")),
        _ => Err(Refusal::parameter("category invalid")),
    }
}

/// `symbol`, which has to be there.
///
/// # Errors
/// 10001.
pub fn symbol(fields: &Fields) -> Result<Symbol, Refusal> {
    Symbol::new(fields.needed("symbol")?).ok_or_else(Refusal::symbol)
}

/// A side's word.
///
/// # Errors
/// 10001.
pub fn side(word: &str) -> Result<Side, Refusal> {
    match word {
        "Buy" => Ok(Side::Buy),
        "Sell" => Ok(Side::Sell),
        _ => Err(Refusal::parameter("side invalid")),
    }
}

/// Bybit's word for a side.
#[must_use]
pub const fn side_word(side: Side) -> &'static str {
    match side {
        Side::Buy => "Buy",
        Side::Sell => "Sell",
    }
}

/// `positionIdx`: 0 in one-way mode, 1 and 2 for the sides of a hedge. Whether it goes with the account's mode is checked
/// where the order is placed (10001 with "position idx"; CASES.md, H5).
///
/// # Errors
/// 10001.
pub fn position_side(fields: &Fields) -> Result<PositionSide, Refusal> {
    match fields.whole("positionIdx")? {
        None | Some(0) => Ok(PositionSide::Both),
        Some(1) => Ok(PositionSide::Long),
        Some(2) => Ok(PositionSide::Short),
        Some(_) => Err(codes::POSITION_INDEX),
    }
}

/// `tpslMode`, which has to be Full.
///
/// # Errors
/// 10001.
pub fn full_mode(fields: &Fields) -> Result<(), Refusal> {
    match fields.text("tpslMode")? {
        None | Some("Full") => Ok(()),
        Some(_) => Err(Refusal::parameter("only tpslMode Full is supported")),
    }
}

/// A trigger price type; the last price when none is named.
///
/// # Errors
/// 10001.
pub fn trigger_by(fields: &Fields, name: &str) -> Result<Watched, Refusal> {
    match fields.text(name)? {
        None | Some("LastPrice") => Ok(Watched::Last),
        Some("MarkPrice") => Ok(Watched::Mark),
        Some("IndexPrice") => Ok(Watched::Index),
        Some(_) => Err(Refusal::parameter(format_args!("{name} invalid"))),
    }
}

/// A stop-loss or take-profit of an order; "0" is none.
fn protection(fields: &Fields, name: &str) -> Result<Option<Price>, Refusal> {
    Ok(fields.decimal::<Price>(name)?.filter(|price| !price.is_zero()))
}

fn link(fields: &Fields) -> Result<String, Refusal> {
    let link = fields.text("orderLinkId")?.unwrap_or_default();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if link.len() > LINK_MAX || !link.bytes().all(plain) {
        return Err(Refusal::parameter("OrderLinkId invalid"));
    }
    Ok(link.to_owned())
}
