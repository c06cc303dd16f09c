//! Orders: placing, changing, cancelling and asking about them; those of the market and the conditional ones.

use engine::core::fixed::{Price, Quantity, Rate, Rounding};
use engine::core::ids::Timestamp;
use engine::core::instrument::Instrument;
use engine::core::order::Side;
use serde_json::{Value, json};

use super::super::orders::{Kind, Life, Order, OrderNo, OrderSpec, Origin, PositionSide, State};
use super::context::{Answer, Context, cancel_error};
use super::errors::ApiError;
use super::params::Params;
use super::render;

/// Orders of a batch (EXCHANGES.md §2.3), and cancellations.
pub(super) const BATCH_MAX: usize = 5;
const BATCH_CANCEL_MAX: usize = 10;
/// Live orders of an account on one symbol: the filter MAX_NUM_ORDERS.
pub(super) const ORDERS_PER_SYMBOL_MAX: usize = 200;
/// The highest price of the filter PRICE_FILTER.
pub(super) const PRICE_MAX: i64 = 1_000_000;
/// How far a limit may be beyond the mark: the filter PERCENT_PRICE, 5 %.
pub(super) const PERCENT_UP: Rate = Rate::from_units(105_000_000);
/// The other way.
pub(super) const PERCENT_DOWN: Rate = Rate::from_units(95_000_000);
/// Rows of an answer, where nothing is said and at most.
const ROWS_DEFAULT: usize = 500;
const ROWS_MAX: usize = 1_000;
/// How long orders without fills are known (EXCHANGES.md §2.4): 3 days, in microseconds.
const KNOWN_MICROS: u64 = 3 * 24 * 3_600 * 1_000_000;

const CONDITIONAL: [&str; 5] =
    ["STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"];

/// Decimal places of a grid.
pub(super) fn places(units: i64) -> u32 {
    (0..8).find(|places| units % 10_i64.pow(8 - places) == 0).unwrap_or(8)
}

/// Decimal places that a price may have: one more than the tick, so that it is not taken for the tick.
pub(super) fn price_precision(instrument: &Instrument) -> u32 {
    (places(instrument.tick.units()) + 1).min(8)
}

/// The filter PRICE_FILTER but for its step, which the exchange behind this face checks.
pub(super) fn check_price(price: Price, instrument: &Instrument) -> Result<(), ApiError> {
    if places(price.units()) > price_precision(instrument) {
        return Err(ApiError::PRECISION);
    }
    if price > Price::from_whole(PRICE_MAX) {
        return Err(ApiError::PRICE_MOST);
    }
    // The smallest price is the tick; zero has a code of its own.
    if price.is_positive() && price < instrument.tick { Err(ApiError::PRICE_LEAST) } else { Ok(()) }
}

fn check_quantity(quantity: Quantity, instrument: &Instrument) -> Result<(), ApiError> {
    if places(quantity.units()) > places(instrument.step.units()) {
        return Err(ApiError::PRECISION);
    }
    Ok(())
}

/// `^[\.A-Z\:/a-z0-9_-]{1,36}$`
fn check_client_id(id: &str) -> Result<(), ApiError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".:/_-".contains(&byte);
    if (1..=36).contains(&id.len()) && id.bytes().all(fits) { Ok(()) } else { Err(ApiError::CLIENT_ID) }
}

fn side(params: &Params) -> Result<Side, ApiError> {
    match params.must("side")? {
        "BUY" => Ok(Side::Buy),
        "SELL" => Ok(Side::Sell),
        _ => Err(ApiError::SIDE),
    }
}

fn position_side(params: &Params) -> Result<PositionSide, ApiError> {
    match params.text("positionSide") {
        None | Some("BOTH") => Ok(PositionSide::Both),
        Some("LONG") => Ok(PositionSide::Long),
        Some("SHORT") => Ok(PositionSide::Short),
        Some(_) => Err(ApiError::plain(-4060, "Invalid position side.")),
    }
}

pub(super) fn life(params: &Params, default: Option<Life>) -> Result<Life, ApiError> {
    match params.text("timeInForce") {
        None => default.ok_or_else(|| ApiError::mandatory("timeInForce")),
        Some("GTC" | "GTE_GTC") => Ok(Life::UntilCancelled),
        Some("IOC") => Ok(Life::ImmediateOrCancel),
        Some("FOK") => Ok(Life::FillOrKill),
        Some("GTX") => Ok(Life::PostOnly),
        Some("GTD") => {
            params.millis("goodTillDate")?.map(Life::Until).ok_or_else(|| ApiError::mandatory("goodTillDate"))
        }
        Some(_) => Err(ApiError::TIME_IN_FORCE),
    }
}

impl Context<'_, '_> {
    /// What all orders have.
    pub(super) fn spec(
        &self,
        params: &Params,
        id: &'static str,
        instrument: &Instrument,
    ) -> Result<OrderSpec, ApiError> {
        let client_id = params.text(id);
        client_id.map_or(Ok(()), check_client_id)?;
        let reduce_only = params.flag("reduceOnly")?;
        let position_side = position_side(params)?;
        if reduce_only && position_side != PositionSide::Both {
            return Err(ApiError::REDUCE_ONLY_NOT_REQUIRED);
        }
        let quantity = params.quantity("quantity")?;
        if let Some(quantity) = quantity {
            check_quantity(quantity, instrument)?;
        }
        Ok(OrderSpec {
            client_id: client_id.map(str::to_owned),
            symbol: instrument.symbol,
            side: side(params)?,
            kind: Kind::Market,
            life: Life::UntilCancelled,
            quantity: quantity.unwrap_or_default(),
            reduce_only,
            close_position: false,
            trigger: None,
            position_side,
            attached: Default::default(),
            origin: Origin::Client,
            accept_first: false,
        })
    }

    pub(super) fn check_life(&self, life: Life) -> Result<(), ApiError> {
        const LEAST_MICROS: u64 = 600 * 1_000_000;
        match life {
            Life::Until(at) if at.micros_since(self.desk.core.now()) < LEAST_MICROS => {
                Err(super::super::Refusal::Lifetime.into())
            }
            _ => Ok(()),
        }
    }

    /// A limit must not be too far beyond the mark: PERCENT_PRICE.
    fn check_percent(&self, spec: &OrderSpec) -> Result<(), ApiError> {
        let (Kind::Limit(price), Some(mark)) = (spec.kind, self.desk.core.mark(spec.symbol)) else {
            return Ok(());
        };
        let at = |rate| mark.times(rate, Rounding::Floor).unwrap_or(mark);
        match spec.side {
            Side::Buy if price > at(PERCENT_UP) => Err(ApiError::PRICE_TOO_HIGH),
            Side::Sell if price < at(PERCENT_DOWN) => Err(ApiError::PRICE_TOO_LOW),
            _ => Ok(()),
        }
    }

    fn check_room(&self, spec: &OrderSpec) -> Result<(), ApiError> {
        let live = self
            .desk
            .core
            .open_orders(self.account)
            .filter(|order| order.spec.symbol == spec.symbol && order.state != State::Untriggered);
        if live.count() >= ORDERS_PER_SYMBOL_MAX {
            return Err(super::super::Refusal::TooManyOrders.into());
        }
        Ok(())
    }

    fn place_one(&mut self, params: &Params) -> Result<Value, ApiError> {
        let instrument = self.instrument(params.symbol()?)?;
        let mut spec = self.spec(params, "newClientOrderId", &instrument)?;
        match params.must("type")? {
            "MARKET" => {}
            "LIMIT" => {
                let price = params.price("price")?.ok_or_else(|| ApiError::mandatory("price"))?;
                check_price(price, &instrument)?;
                spec.kind = Kind::Limit(price);
                spec.life = life(params, None)?;
            }
            word if CONDITIONAL.contains(&word) => return Err(ApiError::ALGO_ENDPOINT),
            _ => return Err(ApiError::ORDER_TYPE),
        }
        params.must("quantity")?;
        self.check_life(spec.life)?;
        self.check_percent(&spec)?;
        self.check_room(&spec)?;
        let result = params.text("newOrderRespType") == Some("RESULT");
        let no = self.desk.core.place(self.account, spec)?;
        let order = self.desk.core.order(self.account, no).ok_or(ApiError::NO_SUCH_ORDER)?;
        Ok(if result { render::placed(order) } else { render::acknowledged(order) })
    }

    pub(super) fn place(&mut self) -> Answer {
        let params = self.params;
        Ok(self.place_one(params)?.to_string())
    }

    /// The orders of `batchOrders`, each as parameters.
    fn batch(&self) -> Result<Vec<Params>, ApiError> {
        let text = self.params.must("batchOrders")?;
        let illegal = || ApiError::illegal("batchOrders");
        let list: Vec<serde_json::Map<String, Value>> = serde_json::from_str(text).map_err(|_| illegal())?;
        if list.is_empty() || list.len() > BATCH_MAX {
            return Err(ApiError::plain(-4082, "Invalid number of batch place orders."));
        }
        let text_of = |value: Value| match value {
            Value::String(text) => Some(text),
            Value::Bool(flag) => Some(flag.to_string()),
            Value::Number(number) if number.is_u64() => Some(number.to_string()),
            _ => None,
        };
        list.into_iter()
            .map(|order| {
                let pairs = order.into_iter().map(|(name, value)| Some((name, text_of(value)?)));
                Ok(Params::from_pairs(pairs.collect::<Option<Vec<_>>>().ok_or_else(illegal)?))
            })
            .collect()
    }

    pub(super) fn place_batch(&mut self) -> Answer {
        let mut answers = Vec::new();
        for params in self.batch()? {
            answers.push(match self.place_one(&params) {
                Ok(order) => order,
                Err(error) => json!({ "code": error.code, "msg": error.message }),
            });
        }
        Ok(Value::Array(answers).to_string())
    }

    /// The order of the market that is named.
    fn named_order(&self, params: &Params) -> Result<Option<&Order>, ApiError> {
        let symbol = params.symbol()?;
        self.instrument(symbol)?;
        let core = &*self.desk.core;
        let found = match (params.integer("orderId")?, params.text("origClientOrderId")) {
            (Some(no), _) => {
                let no = OrderNo(no);
                let plain = core.order(self.account, no).filter(|order| order.spec.trigger.is_none());
                plain.or_else(|| core.order_by_fired(self.account, no))
            }
            (None, Some(id)) => core.order_by_client(self.account, id),
            (None, None) => {
                let text = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!";
                return Err(ApiError::plain(-1102, text));
            }
        };
        // A trigger that has not fired is the algo endpoints' (CASES.md, O11).
        let found = found.filter(|order| order.spec.trigger.is_none() || order.fired_as.is_some());
        Ok(found.filter(|order| order.spec.symbol == symbol))
    }

    /// Whether a query still knows it.
    fn is_known(&self, order: &Order) -> bool {
        let fresh = self.desk.core.now().micros_since(order.updated_at) < KNOWN_MICROS;
        let ended_empty = matches!(order.state, State::Cancelled | State::Expired) && order.filled.is_zero();
        fresh || !ended_empty
    }

    pub(super) fn query(&mut self) -> Answer {
        let order = self.named_order(self.params)?.filter(|order| self.is_known(order));
        Ok(render::queried(order.ok_or(ApiError::NO_SUCH_ORDER)?).to_string())
    }

    pub(super) fn open_order(&mut self) -> Answer {
        let order = self.named_order(self.params)?.filter(|order| !order.state.is_final());
        Ok(render::queried(order.ok_or(ApiError::NO_SUCH_ORDER)?).to_string())
    }

    fn cancel_one(&mut self, params: &Params) -> Result<Value, ApiError> {
        let no = self.named_order(params)?.ok_or(ApiError::CANCEL_REJECTED)?.no;
        self.desk.core.cancel(self.account, no).map_err(cancel_error)?;
        let order = self.desk.core.order(self.account, no).ok_or(ApiError::CANCEL_REJECTED)?;
        Ok(render::placed(order))
    }

    pub(super) fn cancel(&mut self) -> Answer {
        let params = self.params;
        Ok(self.cancel_one(params)?.to_string())
    }

    pub(super) fn cancel_batch(&mut self) -> Answer {
        let symbol = self.params.must("symbol")?.to_owned();
        let (list, name) = match (self.params.text("orderIdList"), self.params.text("origClientOrderIdList"))
        {
            (Some(list), _) => (list, "orderId"),
            (None, Some(list)) => (list, "origClientOrderId"),
            (None, None) => return Err(ApiError::mandatory("orderIdList")),
        };
        let ids: Vec<Value> = serde_json::from_str(list).map_err(|_| ApiError::illegal("orderIdList"))?;
        if ids.is_empty() || ids.len() > BATCH_CANCEL_MAX {
            return Err(ApiError::plain(-4082, "Invalid number of batch cancel orders."));
        }
        let mut answers = Vec::new();
        for id in ids {
            let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
            let pairs = [("symbol".to_owned(), symbol.clone()), (name.to_owned(), id)];
            answers.push(match self.cancel_one(&Params::from_pairs(pairs)) {
                Ok(order) => order,
                Err(error) => json!({ "code": error.code, "msg": error.message }),
            });
        }
        Ok(Value::Array(answers).to_string())
    }

    pub(super) fn cancel_all(&mut self) -> Answer {
        let symbol = self.named()?.symbol;
        let live = self.desk.core.open_orders(self.account);
        let live = live.filter(|order| order.spec.symbol == symbol && order.state != State::Untriggered);
        for no in live.map(|order| order.no).collect::<Vec<_>>() {
            self.desk.core.cancel(self.account, no).map_err(cancel_error)?;
        }
        Ok(r#"{"code":200,"msg":"The operation of cancel all open order is done."}"#.to_owned())
    }

    pub(super) fn modify(&mut self) -> Answer {
        let params = self.params;
        let instrument = self.named()?;
        let order = self.named_order(params)?.ok_or(ApiError::NO_SUCH_ORDER)?;
        if order.spec.kind == Kind::Market || order.spec.side != side(params)? {
            return Err(ApiError::NO_SUCH_ORDER);
        }
        let no = order.no;
        let price = params.price("price")?.ok_or_else(|| ApiError::mandatory("price"))?;
        let quantity = params.quantity("quantity")?.ok_or_else(|| ApiError::mandatory("quantity"))?;
        check_price(price, &instrument)?;
        check_quantity(quantity, &instrument)?;
        self.desk.core.amend(self.account, no, Some(price), Some(quantity))?;
        let order = self.desk.core.order(self.account, no).ok_or(ApiError::NO_SUCH_ORDER)?;
        Ok(render::placed(order).to_string())
    }

    pub(super) fn open_orders(&mut self) -> Answer {
        let symbol = self.params.maybe_symbol()?;
        symbol.map_or(Ok(()), |symbol| self.instrument(symbol).map(drop))?;
        let live = self.desk.core.open_orders(self.account).filter(|order| {
            order.state != State::Untriggered && symbol.is_none_or(|symbol| order.spec.symbol == symbol)
        });
        Ok(Value::Array(live.map(render::queried).collect()).to_string())
    }

    /// Orders by which the exchange closed positions. Nothing is auto-deleveraged here.
    pub(super) fn forced_orders(&mut self) -> Answer {
        const ROWS_DEFAULT: usize = 50;
        const ROWS_MAX: usize = 100;
        let symbol = self.params.maybe_symbol()?;
        symbol.map_or(Ok(()), |symbol| self.instrument(symbol).map(drop))?;
        let kind = self.params.text("autoCloseType");
        if kind.is_some_and(|kind| !["LIQUIDATION", "ADL"].contains(&kind)) {
            return Err(ApiError::illegal("autoCloseType"));
        }
        let (from, to, _) = self.range()?;
        let rows = self.params.integer("limit")?.and_then(|rows| usize::try_from(rows).ok());
        let all = self.desk.core.all_orders(self.account).into_iter().filter(|order| {
            order.spec.origin == Origin::Liquidation
                && kind != Some("ADL")
                && symbol.is_none_or(|symbol| order.spec.symbol == symbol)
                && (from..=to).contains(&order.created_at)
        });
        let chosen: Vec<_> = all.collect();
        let forwards = self.params.text("startTime").is_some();
        let (skip, take) = window(chosen.len(), rows.unwrap_or(ROWS_DEFAULT).min(ROWS_MAX), forwards);
        Ok(Value::Array(chosen.into_iter().skip(skip).take(take).map(render::queried).collect()).to_string())
    }

    /// From when to when, and how many.
    pub(super) fn range(&self) -> Result<(Timestamp, Timestamp, usize), ApiError> {
        let from = self.params.millis("startTime")?.unwrap_or_default();
        let to = self.params.millis("endTime")?.map_or(Timestamp(u64::MAX), |end| end.plus_micros(999));
        let rows = self.params.integer("limit")?.and_then(|rows| usize::try_from(rows).ok());
        Ok((from, to, rows.unwrap_or(ROWS_DEFAULT).min(ROWS_MAX)))
    }

    pub(super) fn all_orders(&mut self) -> Answer {
        let symbol = self.named()?.symbol;
        let (from, to, rows) = self.range()?;
        let first = self.params.integer("orderId")?;
        let all = self.desk.core.all_orders(self.account);
        let of_market = all.into_iter().filter(|order| {
            let market = order.spec.trigger.is_none() || order.fired_as.is_some();
            market && order.spec.symbol == symbol && self.is_known(order)
        });
        let mut chosen: Vec<_> = of_market
            .filter(|order| (from..=to).contains(&order.created_at))
            .filter(|order| first.is_none_or(|first| render::market_no(order) >= first))
            .collect();
        chosen.sort_by_key(|order| render::market_no(order));
        let (skip, take) = window(chosen.len(), rows, first.is_some());
        Ok(Value::Array(chosen.into_iter().skip(skip).take(take).map(render::queried).collect()).to_string())
    }

    pub(super) fn trades(&mut self) -> Answer {
        let symbol = self.named()?.symbol;
        let (from, to, rows) = self.range()?;
        let (first, order) = (self.params.integer("fromId")?, self.params.integer("orderId")?);
        let starts = self.params.text("startTime").is_some();
        // Seven days at once, those after the start.
        let week = from.plus_micros(TRADES_SPAN);
        if starts && self.params.text("endTime").is_some() && to > week {
            return Err(ApiError::illegal("endTime"));
        }
        let to = if starts { to.min(week) } else { to };
        let core = &*self.desk.core;
        let number = |no: OrderNo| core.order(self.account, no).map_or(no.0, render::market_no);
        let chosen: Vec<_> = self
            .account()?
            .executions
            .iter()
            .filter(|execution| execution.symbol == symbol && (from..=to).contains(&execution.at))
            .filter(|execution| first.is_none_or(|first| execution.no.0 >= first))
            .filter(|execution| order.is_none_or(|order| number(execution.order) == order))
            .collect();
        let forwards = first.is_some() || self.params.text("startTime").is_some();
        let (skip, take) = window(chosen.len(), rows, forwards);
        let told = chosen.into_iter().skip(skip).take(take);
        Ok(Value::Array(told.map(|one| render::trade(one, number(one.order))).collect()).to_string())
    }

    pub(super) fn incomes(&mut self) -> Answer {
        let symbol = self.params.maybe_symbol()?;
        let (from, to, rows) = self.range()?;
        let kind = self.params.text("incomeType").map(str::to_owned);
        let page = self.params.integer("page")?.unwrap_or(1).max(1);
        let skip = usize::try_from(page - 1).unwrap_or(usize::MAX).saturating_mul(rows);
        let rows: Vec<_> = self
            .account()?
            .incomes
            .iter()
            .filter(|income| (from..=to).contains(&income.at))
            .filter(|income| symbol.is_none() || income.symbol == symbol)
            .map(render::income)
            .filter(|income| kind.as_deref().is_none_or(|kind| income["incomeType"] == kind))
            .skip(skip)
            .take(rows)
            .collect();
        Ok(Value::Array(rows).to_string())
    }
}

/// The longest span of one question for trades.
const TRADES_SPAN: u64 = 7 * 24 * 3_600_000_000;

/// Which rows of so many are told: the first, or the newest.
pub(super) const fn window(all: usize, rows: usize, forwards: bool) -> (usize, usize) {
    if forwards { (0, rows) } else { (all.saturating_sub(rows), rows) }
}
