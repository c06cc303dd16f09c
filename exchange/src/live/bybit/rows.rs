//! Orders, executions, positions and balances: Bybit tells them alike by HTTP and by stream.
//!
//! **Invariants**: fills are the only truth about a position, so an execution that cannot be read is an error, never left
//! out. An order that ended keeps what was filled of it (CASES.md, P3).

use engine::core::fixed::{Money, Price, Quantity, Rate, Rounding, UNIT, mul_div};
use engine::core::order::{Liquidity, Side, VenueReason};
use serde::Deserialize;

use crate::live::protocol::{
    BalanceView, ExecutionView, FundingView, Maker, Malformed, OrderView, PositionMode, PositionView,
    SettingsView, StreamEvent, ViewKind, ViewState,
};

use super::SETTLE_COIN;
use super::fields::{Field, misread};

/// A row of which every field is a single value.
macro_rules! row {
    ($(#[$doc:meta])* $name:ident { $($field:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub(super) struct $name<'a> {
            $(#[serde(borrow)] pub(super) $field: Field<'a>,)*
        }
    };
}
pub(super) use row;

/// Whether a row is of our category. A list names it once, outside of its rows.
pub(super) fn is_linear(category: &Field<'_>) -> bool {
    category.is_empty() || category.as_str() == "linear"
}

row! {
    /// An order.
    OrderRow {
        category, order_id, order_link_id, parent_order_link_id, symbol, side, order_type, stop_order_type,
        order_status, cancel_type, reject_reason, create_type, qty, cum_exec_qty, cum_exec_value, avg_price,
        trigger_price, trigger_direction, reduce_only, close_on_trigger, updated_time, created_time,
    }
}

impl OrderRow<'_> {
    /// As we see it.
    pub(super) fn view(&self) -> Result<OrderView, Malformed> {
        let side = self.side.side("side")?;
        let filled = self.cum_exec_qty.quantity("cumExecQty")?;
        let reduce_only = self.reduce_only.is_true() || self.close_on_trigger.is_true();
        let (state, reason) = self.state()?;
        let venue_id = self.order_id.id("orderId")?;
        if venue_id.is_empty() {
            return Err(misread("orderId", "empty"));
        }
        let updated = if self.updated_time.is_empty() { &self.created_time } else { &self.updated_time };
        Ok(OrderView {
            client_id: self.order_link_id.id("orderLinkId")?,
            venue_id,
            parent: self.parent_order_link_id.id("parentOrderLinkId")?,
            became: String::new(),
            symbol: self.symbol.symbol("symbol")?,
            side,
            kind: self.kind(side, reduce_only),
            state,
            reason,
            quantity: self.qty.quantity("qty")?,
            filled,
            average: self.average(filled)?,
            trigger: self.trigger_price.price("triggerPrice")?,
            reduce_only,
            maker: maker(self.create_type.as_str()),
            updated_at: updated.millis("updatedTime")?,
        })
    }

    /// The mean price; computed where only the value is told.
    fn average(&self, filled: Quantity) -> Result<Option<Price>, Malformed> {
        let told = self.avg_price.mean_price("avgPrice")?;
        if told.is_some() || filled.is_zero() {
            return Ok(told);
        }
        let value = self.cum_exec_value.mean_price("cumExecValue").ok().flatten().unwrap_or_default();
        let mean = mul_div(value.units(), UNIT, filled.units(), Rounding::HalfEven);
        Ok(mean.map(Price::from_units).filter(|price| price.is_positive()))
    }

    /// A trigger order that was placed by itself is a `Stop` whichever way it waits: its direction and side tell.
    fn kind(&self, side: Side, reduce_only: bool) -> ViewKind {
        match (self.stop_order_type.as_str(), self.order_type.as_str()) {
            ("StopLoss" | "PartialStopLoss", _) => ViewKind::Stop,
            ("TakeProfit" | "PartialTakeProfit", _) => ViewKind::TakeProfit,
            ("Stop", _) if reduce_only => match (self.trigger_direction.as_str(), side) {
                ("1", Side::Sell) | ("2", Side::Buy) => ViewKind::TakeProfit,
                ("1", Side::Buy) | ("2", Side::Sell) => ViewKind::Stop,
                _ => ViewKind::Other,
            },
            ("" | "UNKNOWN", "Market") => ViewKind::Market,
            ("" | "UNKNOWN", "Limit") => ViewKind::Limit,
            _ => ViewKind::Other,
        }
    }

    /// Cancelled for Bybit is what a client took back and what the exchange ended: these are two things for us.
    fn state(&self) -> Result<(ViewState, Option<VenueReason>), Malformed> {
        let reason =
            || of_cancel(self.cancel_type.as_str()).or_else(|| of_reject(self.reject_reason.as_str()));
        Ok(match self.order_status.as_str() {
            "New" | "Created" | "Active" => (ViewState::New, None),
            "Untriggered" => (ViewState::Untriggered, None),
            "Triggered" => (ViewState::Triggered, None),
            "PartiallyFilled" => (ViewState::PartiallyFilled, None),
            // In a cancel race a second `Filled` comes, whose reason is that of the cancel: it says nothing of the order.
            "Filled" => (ViewState::Filled, None),
            "Rejected" => (ViewState::Rejected, reason()),
            "Cancelled" | "PartiallyFilledCanceled" | "Deactivated" => match reason() {
                reason @ (None | Some(VenueReason::Requested)) if !self.is_ended_by_exchange() => {
                    (ViewState::Cancelled, reason)
                }
                reason => (ViewState::Expired, reason),
            },
            _ => return Err(misread("orderStatus", "not known")),
        })
    }

    /// Whether the kind of cancellation names the exchange, even where it gives no reason of ours.
    fn is_ended_by_exchange(&self) -> bool {
        !matches!(self.cancel_type.as_str(), "" | "UNKNOWN" | "CancelByUser" | "CancelByDCP")
    }
}

fn of_cancel(kind: &str) -> Option<VenueReason> {
    Some(match kind {
        "CancelByUser" | "CancelByDCP" => VenueReason::Requested,
        "CancelByReduceOnly" => VenueReason::NothingToReduce,
        "CancelByTpSlTsClear"
        | "CancelByOCOTpCanceledBySlTriggered"
        | "CancelByOCOSlCanceledByTpTriggered" => VenueReason::PositionClosed,
        "CancelByPrepareLiq" | "CancelAllBeforeLiq" | "CancelByCannotAffordOrderCost" => VenueReason::Margin,
        "CancelBySettle" | "CancelByDelivery" => VenueReason::Symbol,
        "CancelBySmp" | "CancelByCrossSelfMuch" | "CancelByCrossReachMaxTradeNum" => VenueReason::Liquidity,
        "CancelByAccountBlocking" => VenueReason::Account,
        _ => return None,
    })
}

fn of_reject(code: &str) -> Option<VenueReason> {
    Some(match code {
        "EC_PerCancelRequest" | "EC_CancelReplaceOrder" => VenueReason::Requested,
        "EC_NoImmediateQtyToFill"
        | "EC_NoEnoughQtyToFill"
        | "EC_CancelForNoFullFill"
        | "EC_ReachMaxTradeNum"
        | "EC_ReachRiskPriceLimit"
        | "EC_ReachMarketPriceLimit"
        | "EC_BySelfMatch"
        | "EC_StopBySelfMatch" => VenueReason::Liquidity,
        "EC_LimitOrderInvalidPrice" | "EC_InvalidPriceScale" | "EC_PostOnlyWillTakeLiquidity" => {
            VenueReason::Price
        }
        "EC_QtyCannotBeZero" | "EC_EcInvalidQty" | "EC_InvalidAmount" => VenueReason::Quantity,
        "EC_CancelByOrderValueZero" | "EC_CancelByMatchValueZero" => VenueReason::Notional,
        "EC_DuplicatedClOrdID" => VenueReason::DuplicateId,
        "EC_InvalidSymbolStatus" | "EC_SecurityStatusFail" | "EC_InCallAuctionStatus" => VenueReason::Symbol,
        "EC_InvalidUserType" => VenueReason::Account,
        _ => return None,
    })
}

/// Who made an order of this `createType` (CASES.md, F6).
fn maker(create_type: &str) -> Maker {
    match create_type {
        "CreateByStopLoss" => Maker::Stop,
        "CreateByTakeProfit" => Maker::TakeProfit,
        "CreateByLiq" | "CreateByTakeOver_PassThrough" => Maker::Liquidation,
        "CreateByAdl_PassThrough" => Maker::Adl,
        "CreateBySettle" | "CreateByAdminClosing" => Maker::Settlement,
        _ => Maker::Client,
    }
}

row! {
    /// An execution; funding is one too.
    ExecutionRow {
        category, symbol, order_id, order_link_id, side, order_qty, leaves_qty, create_type, exec_fee,
        fee_currency, exec_id, exec_price, exec_qty, exec_type, exec_time, is_maker, fee_rate, mark_price, seq,
    }
}

impl ExecutionRow<'_> {
    /// As we see it; `None` for a kind that changes no position (a dividend, a spread's own leg).
    pub(super) fn event(&self) -> Result<Option<StreamEvent>, Malformed> {
        let maker = match self.exec_type.as_str() {
            "Funding" => return self.funding().map(|view| Some(StreamEvent::Funding(view))),
            "Trade" | "BlockTrade" | "MovePosition" | "FutureSpread" => maker(self.create_type.as_str()),
            "BustTrade" => Maker::Liquidation,
            "AdlTrade" => Maker::Adl,
            "Settle" | "Delivery" | "ForwardSplitSettle" | "ReverseSplitSettle" => Maker::Settlement,
            _ => return Ok(None),
        };
        self.execution(maker).map(|view| Some(StreamEvent::Execution(Box::new(view))))
    }

    fn execution(&self, maker: Maker) -> Result<ExecutionView, Malformed> {
        let trade_id = self.exec_id.id("execId")?;
        let quantity = self.exec_qty.quantity("execQty")?;
        if trade_id.is_empty() || quantity.is_zero() {
            return Err(misread("execId, execQty", "an execution without id or quantity"));
        }
        let ordered = self.order_qty.quantity("orderQty")?;
        let left =
            if self.leaves_qty.is_empty() { None } else { Some(self.leaves_qty.quantity("leavesQty")?) };
        // An order that closes all has no quantity of its own: what is left of it tells nothing.
        let left = left.filter(|_| ordered.is_positive());
        let filled = left.and_then(|left| ordered.checked_sub(left)).filter(|filled| *filled >= quantity);
        Ok(ExecutionView {
            trade_id,
            sequence: self.sequence()?,
            client_id: self.order_link_id.id("orderLinkId")?,
            venue_id: self.order_id.id("orderId")?,
            symbol: self.symbol.symbol("symbol")?,
            side: self.side.side("side")?,
            price: self.exec_price.price("execPrice")?.ok_or_else(|| misread("execPrice", "none"))?,
            quantity,
            filled,
            is_last: filled.map(|filled| filled == ordered),
            fee: self.exec_fee.number_or_zero("execFee")?,
            fee_asset: self.fee_currency.id("feeCurrency")?,
            liquidity: if self.is_maker.is_true() { Liquidity::Maker } else { Liquidity::Taker },
            maker,
            at: self.exec_time.millis("execTime")?,
        })
    }

    /// `seq` is -1 for what was never traded.
    fn sequence(&self) -> Result<u64, Malformed> {
        if self.seq.as_str() == "-1" { Ok(0) } else { self.seq.count("seq") }
    }

    /// The fee of a funding is what was paid: received is its negative (CASES.md, F3). The side is that of the position, and
    /// the sign of `feeRate` is the payer's in some samples and the market's in others: the rate's sign comes from who paid.
    fn funding(&self) -> Result<FundingView, Malformed> {
        let paid: Money = self.exec_fee.number("execFee")?;
        let magnitude = self.fee_rate.number_or_zero::<Rate>("feeRate")?.abs();
        let rate = match self.side.as_str() {
            _ if self.fee_rate.is_empty() || (paid.is_zero() && !magnitude.is_zero()) => None,
            "Buy" => Some(if paid.is_negative() { magnitude.negated() } else { magnitude }),
            "Sell" => Some(if paid.is_negative() { magnitude } else { magnitude.negated() }),
            _ => None,
        };
        let asset = self.fee_currency.id("feeCurrency")?;
        Ok(FundingView {
            symbol: Some(self.symbol.symbol("symbol")?),
            amount: paid.negated(),
            asset: if asset.is_empty() { SETTLE_COIN.to_owned() } else { asset },
            rate,
            mark: self.mark_price.price("markPrice")?,
            at: self.exec_time.millis("execTime")?,
        })
    }
}

row! {
    /// A position.
    PositionRow {
        category, symbol, side, size, entry_price, avg_price, leverage, position_idx, stop_loss, take_profit,
        updated_time, created_time,
    }
}

impl PositionRow<'_> {
    /// As we see it.
    pub(super) fn view(&self) -> Result<PositionView, Malformed> {
        let quantity = self.size.quantity("size")?;
        // A flat position has no side; in hedge mode its index still tells it.
        let side = match (quantity.is_zero(), self.position_idx.as_str()) {
            (true, "2") => Side::Sell,
            (true, _) => Side::Buy,
            (false, _) => self.side.side("side")?,
        };
        // HTTP calls it the mean price, the stream the entry price.
        let entry = if self.entry_price.is_empty() { &self.avg_price } else { &self.entry_price };
        let updated = if self.updated_time.is_empty() { &self.created_time } else { &self.updated_time };
        Ok(PositionView {
            symbol: self.symbol.symbol("symbol")?,
            side,
            quantity,
            entry: entry.mean_price("entryPrice")?.unwrap_or_default(),
            leverage: self.leverage.leverage(),
            stop: self.stop_loss.price("stopLoss")?,
            take_profit: self.take_profit.price("takeProfit")?,
            updated_at: updated.millis("updatedTime")?,
        })
    }

    /// Its leverage, and by its index its position mode. On a unified account the margin type is the account's, and not told here.
    pub(super) fn settings(&self) -> Result<SettingsView, Malformed> {
        let symbol = self.symbol.symbol("symbol")?;
        let mode = match self.position_idx.as_str() {
            "0" => Some(PositionMode::OneWay),
            "1" | "2" => Some(PositionMode::Hedge),
            _ => None,
        };
        Ok(SettingsView { symbol, leverage: self.leverage.leverage(), isolated: None, mode })
    }
}

/// A wallet.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WalletRow<'a> {
    #[serde(borrow)]
    account_type: Field<'a>,
    #[serde(borrow)]
    total_available_balance: Field<'a>,
    #[serde(borrow)]
    coin: Vec<CoinRow<'a>>,
}

row! {
    /// A coin of a wallet.
    CoinRow { coin, wallet_balance, total_position_i_m, total_order_i_m, locked, bonus }
}

impl WalletRow<'_> {
    /// The balances of a unified wallet. A coin other than the settlement coin that cannot be held exactly is left out: dust
    /// of a coin with 18 places must not hide what is traded with.
    pub(super) fn views(&self, into: &mut Vec<BalanceView>) -> Result<(), Malformed> {
        if !matches!(self.account_type.as_str(), "" | "UNIFIED") {
            return Ok(());
        }
        for row in &self.coin {
            match row.view(&self.total_available_balance) {
                Ok(view) => into.push(view),
                Err(error) if row.coin.as_str() == SETTLE_COIN || row.coin.is_empty() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

impl CoinRow<'_> {
    fn view(&self, available: &Field<'_>) -> Result<BalanceView, Malformed> {
        let asset = self.coin.id("coin")?;
        if asset.is_empty() {
            return Err(misread("coin", "empty"));
        }
        let wallet: Money = self.wallet_balance.number_or_zero("walletBalance")?;
        let available = self.available(wallet, available);
        Ok(BalanceView { asset, wallet, available, account: None })
    }

    /// What is left of the wallet as margin. With isolated margin that is the wallet without what is bound; otherwise the
    /// account as a whole tells a bound in dollars, which holds for the settlement coin.
    fn available(&self, wallet: Money, account: &Field<'_>) -> Option<Money> {
        let mut left = wallet;
        for bound in [&self.total_position_i_m, &self.total_order_i_m, &self.locked, &self.bonus] {
            left = left.checked_sub(bound.number_or_zero("bound").ok()?)?;
        }
        if self.coin.as_str() == SETTLE_COIN && !account.is_empty() {
            left = left.min(account.number("totalAvailableBalance").ok()?);
        }
        Some(if left.is_negative() { Money::ZERO } else { left })
    }
}
