//! What anybody may ask: time, instruments, prices.

use engine::core::fixed::{Price, Quantity, Rate, Rounding, UNIT, mul_div};
use engine::core::instrument::{Instrument, InstrumentStatus};
use serde_json::{Value, json};

use super::super::candles::{Bar, CANDLE_MS, DAY_MS, bars};
use super::context::{Answer, Context};
use super::errors::ApiError;
use super::limits::{ORDERS_1M_MAX, ORDERS_10S_MAX, WEIGHT_MAX};
use super::render::ASSET;
use super::trading::{ORDERS_PER_SYMBOL_MAX, PRICE_MAX, places, price_precision};
use crate::paper::rules;

/// When nothing is delisted: what Binance tells of perpetuals (2100-12-25).
const NEVER_MS: u64 = 4_133_404_800_000;

/// Rows of candles in one answer.
const KLINES_MAX: usize = 1_500;

/// Milliseconds of an interval's word; weeks and months are not told.
fn span_ms(interval: &str) -> Option<u64> {
    let minutes = match interval {
        "1m" => 1,
        "3m" => 3,
        "5m" => 5,
        "15m" => 15,
        "30m" => 30,
        "1h" => 60,
        "2h" => 120,
        "4h" => 240,
        "6h" => 360,
        "8h" => 480,
        "12h" => 720,
        "1d" => 1_440,
        "3d" => 4_320,
        _ => return None,
    };
    Some(minutes * CANDLE_MS)
}

fn instrument(told: &Instrument) -> Value {
    let symbol = told.symbol.as_str();
    let status = match told.status {
        InstrumentStatus::Trading => "TRADING",
        InstrumentStatus::CloseOnly => "SETTLING",
        InstrumentStatus::Halted => "TRADING_HALT",
    };
    let maintenance = told.maintenance.checked_add(told.maintenance).unwrap_or_default();
    json!({
        "symbol": symbol,
        "pair": symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": NEVER_MS,
        "onboardDate": 1_569_398_400_000_u64,
        "status": status,
        "maintMarginPercent": maintenance.to_string(),
        "requiredMarginPercent": "5.0000",
        "baseAsset": symbol.strip_suffix(ASSET).unwrap_or(symbol),
        "quoteAsset": ASSET,
        "marginAsset": ASSET,
        "pricePrecision": price_precision(told),
        "quantityPrecision": places(told.step.units()),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": told.fee_liquidation.to_string(),
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10_000,
        "filters": [
            {
                "filterType": "PRICE_FILTER", "minPrice": told.tick.to_string(),
                "maxPrice": PRICE_MAX.to_string(), "tickSize": told.tick.to_string(),
            },
            {
                "filterType": "LOT_SIZE", "minQty": told.quantity_min.to_string(),
                "maxQty": told.quantity_max_limit.to_string(), "stepSize": told.step.to_string(),
            },
            {
                "filterType": "MARKET_LOT_SIZE", "minQty": told.quantity_min.to_string(),
                "maxQty": told.quantity_max_market.to_string(), "stepSize": told.step.to_string(),
            },
            { "filterType": "MAX_NUM_ORDERS", "limit": ORDERS_PER_SYMBOL_MAX },
            { "filterType": "MIN_NOTIONAL", "notional": told.notional_min.to_string() },
            {
                "filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": [
            "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET",
        ],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    })
}

/// Best bid and ask: a tick on either side of the mark.
pub(super) fn touch(instrument: &Instrument, mark: Price) -> (Price, Price) {
    let bid = mark.checked_sub(instrument.tick).filter(|bid| bid.is_positive()).unwrap_or(mark);
    (bid, mark.checked_add(instrument.tick).unwrap_or(mark))
}

fn candle_row(bar: &Bar, span_ms: u64) -> Value {
    json!([
        bar.start_ms,
        bar.open.to_string(),
        bar.high.to_string(),
        bar.low.to_string(),
        bar.close.to_string(),
        bar.volume.to_string(),
        bar.start_ms + span_ms - 1,
        bar.turnover.to_string(),
        bar.prices,
        // Buyers take in every trade.
        bar.volume.to_string(),
        bar.turnover.to_string(),
        "0",
    ])
}

/// A change in percent, to the third place.
fn percent(change: Price, open: Price) -> Rate {
    let thousandths = mul_div(change.units(), 100_000, open.units(), Rounding::HalfEven).unwrap_or_default();
    Rate::from_units(thousandths.saturating_mul(UNIT / 1_000))
}

/// The mean price of what was traded; `last` when nothing was.
fn mean(bar: &Bar, last: Price) -> Price {
    let (turnover, volume) = (bar.turnover.units(), bar.volume.units());
    mul_div(turnover, UNIT, volume, Rounding::HalfEven).map_or(last, Price::from_units)
}

impl Context<'_, '_> {
    pub(super) fn time(&mut self) -> Answer {
        Ok(json!({ "serverTime": self.now_ms() }).to_string())
    }

    pub(super) fn exchange_info(&mut self) -> Answer {
        let symbols: Vec<_> = self.desk.core.instruments().iter().map(instrument).collect();
        Ok(json!({
            "timezone": "UTC",
            "serverTime": self.now_ms(),
            "futuresType": "U_MARGINED",
            "rateLimits": [
                { "rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": WEIGHT_MAX },
                { "rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": ORDERS_1M_MAX },
                { "rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": ORDERS_10S_MAX },
            ],
            "exchangeFilters": [],
            "assets": [{ "asset": ASSET, "marginAvailable": true, "autoAssetExchange": "0" }],
            "symbols": symbols,
        })
        .to_string())
    }

    /// One object when a symbol was named, else a list of all that have a price.
    fn per_symbol(&self, told: impl Fn(&Self, &Instrument, Price) -> Value) -> Answer {
        let one = self.params.text("symbol").is_some();
        let mut rows = Vec::new();
        for instrument in self.asked()? {
            if let Some(mark) = self.desk.core.mark(instrument.symbol) {
                rows.push(told(self, &instrument, mark));
            }
        }
        match (one, rows.pop()) {
            (true, row) => Ok(row.ok_or(ApiError::SYMBOL)?.to_string()),
            (false, last) => {
                rows.extend(last);
                Ok(Value::Array(rows).to_string())
            }
        }
    }

    pub(super) fn premium_index(&mut self) -> Answer {
        self.per_symbol(|context, instrument, mark| {
            let now = context.desk.core.now();
            let next = rules::funding_boundary(now).plus_micros(rules::FUNDING_EVERY_MICROS);
            json!({
                "symbol": instrument.symbol.as_str(),
                "markPrice": mark.to_string(),
                "indexPrice": mark.to_string(),
                "estimatedSettlePrice": mark.to_string(),
                "lastFundingRate": "0.0001",
                "interestRate": "0.0001",
                "nextFundingTime": next.millis(),
                "time": now.millis(),
            })
        })
    }

    pub(super) fn price(&mut self) -> Answer {
        self.per_symbol(|context, instrument, mark| {
            json!({
                "symbol": instrument.symbol.as_str(),
                "price": mark.to_string(),
                "time": context.now_ms(),
            })
        })
    }

    pub(super) fn book_ticker(&mut self) -> Answer {
        self.per_symbol(|context, instrument, mark| {
            let (bid, ask) = touch(instrument, mark);
            let size = instrument.quantity_max_market.to_string();
            json!({
                "lastUpdateId": context.now_ms(),
                "symbol": instrument.symbol.as_str(),
                "bidPrice": bid.to_string(), "bidQty": size,
                "askPrice": ask.to_string(), "askQty": size,
                "time": context.now_ms(),
            })
        })
    }

    pub(super) fn day_ticker(&mut self) -> Answer {
        self.per_symbol(|context, instrument, mark| {
            let symbol = instrument.symbol;
            let (now_ms, candles) = (context.now_ms(), context.desk.core.candles());
            let from_ms = now_ms.saturating_sub(DAY_MS);
            let day = candles.since(symbol, from_ms).unwrap_or(Bar::flat(mark));
            let change = mark.checked_sub(day.open).unwrap_or_default();
            json!({
                "symbol": symbol.as_str(),
                "priceChange": change.to_string(),
                "priceChangePercent": percent(change, day.open).to_string(),
                "weightedAvgPrice": mean(&day, mark).to_string(),
                "lastPrice": mark.to_string(), "lastQty": instrument.quantity_min.to_string(),
                "openPrice": day.open.to_string(), "highPrice": day.high.to_string(),
                "lowPrice": day.low.to_string(),
                "volume": day.volume.to_string(), "quoteVolume": day.turnover.to_string(),
                "openTime": from_ms, "closeTime": now_ms,
                "firstId": 0, "lastId": 0, "count": day.prices,
            })
        })
    }

    /// Five levels on either side, a tick apart; what an order takes does not depend on them.
    pub(super) fn depth(&mut self) -> Answer {
        let instrument = self.named()?;
        let mark = self.desk.core.mark(instrument.symbol).ok_or(ApiError::SYMBOL)?;
        let rows = self.params.integer("limit")?.unwrap_or(500).min(5);
        let size: Quantity = instrument.quantity_max_market;
        let level = |price: Option<Price>| {
            price
                .filter(|price| price.is_positive())
                .map(|price| json!([price.to_string(), size.to_string()]))
        };
        let (mut bids, mut asks) = (Vec::new(), Vec::new());
        let (mut bid, mut ask) = (Some(mark), Some(mark));
        for _ in 0..rows {
            bid = bid.and_then(|bid| bid.checked_sub(instrument.tick));
            ask = ask.and_then(|ask| ask.checked_add(instrument.tick));
            bids.extend(level(bid));
            asks.extend(level(ask));
        }
        let now = self.now_ms();
        Ok(json!({ "lastUpdateId": now, "E": now, "T": now, "bids": bids, "asks": asks }).to_string())
    }

    /// As many as were played: from a start on the oldest, else the newest.
    pub(super) fn klines(&mut self) -> Answer {
        let symbol = self.named()?.symbol;
        let span = span_ms(self.params.must("interval")?);
        let span = span.ok_or_else(|| ApiError::plain(-1120, "Invalid interval."))?;
        let from = self.params.integer("startTime")?;
        let to = self.params.integer("endTime")?.unwrap_or(u64::MAX);
        let rows = usize::try_from(self.params.integer("limit")?.unwrap_or(500)).unwrap_or(KLINES_MAX);
        let rows = rows.min(KLINES_MAX);
        let bars = bars(self.desk.core.candles().of(symbol), span, (from.unwrap_or(0), to));
        let skip = if from.is_some() { 0 } else { bars.len().saturating_sub(rows) };
        let told = bars.iter().skip(skip).take(rows).map(|bar| candle_row(bar, span)).collect();
        Ok(Value::Array(told).to_string())
    }

    pub(super) fn public_trades(&mut self) -> Answer {
        let instrument = self.named()?;
        let mark = self.desk.core.mark(instrument.symbol).ok_or(ApiError::SYMBOL)?;
        let (now, size) = (self.now_ms(), instrument.quantity_min);
        let turnover = mark.notional(size).unwrap_or_default();
        Ok(json!([{
            "id": now, "price": mark.to_string(), "qty": size.to_string(), "quoteQty": turnover.to_string(),
            "time": now, "isBuyerMaker": false,
        }])
        .to_string())
    }

    pub(super) fn funding_rates(&mut self) -> Answer {
        let boundary = rules::funding_boundary(self.desk.core.now());
        let told = self.asked()?.into_iter().map(|instrument| {
            json!({
                "symbol": instrument.symbol.as_str(), "fundingRate": "0.0001",
                "fundingTime": boundary.millis(), "markPrice": "",
            })
        });
        Ok(Value::Array(told.collect()).to_string())
    }
}
