//! The account: what it has, what it holds, what is set, and the key that asks.

use engine::core::fixed::{Money, Price};
use engine::core::instrument::{Instrument, Symbol};
use serde_json::{Map, Value, json};

use super::codes::{self, Refusal};
use super::fields::Fields;
use super::market::instrument_of;
use super::objects::{self, OfPosition, millis};
use super::trade::refusal;
use super::wish::{check_price, check_protection, full_mode, linear, position_side, symbol, trigger_by};
use crate::paper_exchange::accounts::{Account, AccountNo, Position};
use crate::paper_exchange::keys::ApiKey;
use crate::paper_exchange::orders::PositionSide;
use crate::paper_exchange::{Core, Refusal as CoreRefusal};
use engine::core::order::Side;

/// Bybit's answer where the unified account has no such thing.
const UNIFIED: Refusal = Refusal::fixed(100_028, "unified account is forbidden");
/// The number that user ids begin after.
const UID_FIRST: u64 = 100_000_000;
/// A day in microseconds.
const DAY_MICROS: u64 = 24 * 3_600 * 1_000_000;

/// The account of a key that was just checked.
///
/// # Errors
/// 10003.
pub(super) fn held(core: &Core, account: AccountNo) -> Result<&Account, Refusal> {
    core.account(account).ok_or(codes::KEY)
}

/// account/info.
///
/// # Errors
/// None but an account that is gone.
pub fn info(core: &Core, account: AccountNo, _fields: &Fields) -> Result<Value, Refusal> {
    let held = held(core, account)?;
    Ok(json!({
        "unifiedMarginStatus": 5,
        "marginMode": if held.isolated { "ISOLATED_MARGIN" } else { "REGULAR_MARGIN" },
        "isMasterTrader": false,
        "spotHedgingStatus": "OFF",
        "updatedTime": millis(held.opened_at),
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
    }))
}

/// account/wallet-balance.
///
/// # Errors
/// 10001.
pub fn wallet_balance(core: &Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    if fields.needed("accountType")? != "UNIFIED" {
        return Err(Refusal::parameter("accountType only support UNIFIED."));
    }
    let mut wallet = objects::wallet(&core.funds(account).ok_or(codes::KEY)?);
    if fields.text("coin")?.is_some_and(|coins| !coins.split(',').any(|coin| coin == objects::COIN)) {
        wallet.insert("coin".into(), json!([]));
    }
    Ok(json!({ "list": [wallet] }))
}

/// account/set-margin-mode: account-wide.
///
/// # Errors
/// 110026 when it is so already.
pub fn set_margin_mode(core: &mut Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    let isolated = match fields.needed("setMarginMode")? {
        "ISOLATED_MARGIN" => true,
        "REGULAR_MARGIN" => false,
        "PORTFOLIO_MARGIN" => return Err(Refusal::fixed(3_400_045, "Set margin mode failed")),
        _ => return Err(Refusal::parameter("setMarginMode invalid")),
    };
    let held = core.account_mut(account).ok_or(codes::KEY)?;
    if held.isolated == isolated {
        return Err(codes::MARGIN_MODE_SAME);
    }
    held.isolated = isolated;
    Ok(json!({ "reasons": [] }))
}

/// The symbols that a question about positions is about, and whether flat ones are told too.
fn asked(core: &Core, fields: &Fields) -> Result<(Vec<Instrument>, bool), Refusal> {
    linear(fields)?;
    if fields.text("symbol")?.is_some() {
        return Ok((vec![instrument_of(core, symbol(fields)?)?], true));
    }
    match (fields.text("settleCoin")?, fields.text("baseCoin")?) {
        (Some(objects::COIN), _) => Ok((core.instruments().to_vec(), false)),
        (Some(_), _) => Ok((Vec::new(), false)),
        (None, Some(base)) => {
            let symbol = Symbol::new(&format!("{base}{}", objects::COIN)).ok_or_else(Refusal::symbol)?;
            Ok((core.instrument(symbol).into_iter().copied().collect(), false))
        }
        (None, None) => {
            Err(Refusal::fixed(10001, "Missing some parameters that must be filled in, symbol or settleCoin"))
        }
    }
}

/// What a position is told with.
pub(super) fn of_position<'a>(
    core: &Core,
    account: &Account,
    instrument: &'a Instrument,
    side: PositionSide,
    seq: u64,
) -> OfPosition<'a> {
    OfPosition {
        instrument,
        mark: core.mark(instrument.symbol).unwrap_or_default(),
        leverage: account.settings_of(instrument).leverage,
        side,
        seq,
        at: account.opened_at,
    }
}

/// The sides that a position is told on: one in one-way mode; in hedge mode its own, or both when it is flat.
pub(super) fn sides(account: &Account, position: Option<&Position>) -> Vec<PositionSide> {
    match (account.hedge, position.map(|position| position.side)) {
        (false, _) => vec![PositionSide::Both],
        (true, Some(Side::Buy)) => vec![PositionSide::Long],
        (true, Some(Side::Sell)) => vec![PositionSide::Short],
        (true, None) => vec![PositionSide::Long, PositionSide::Short],
    }
}

/// position/list: with a symbol flat ones too, at most 200 a page, 20 when nothing is said.
///
/// # Errors
/// 10001.
pub fn positions(
    core: &Core,
    account: AccountNo,
    fields: &Fields,
    seq: impl Fn(Symbol) -> u64,
) -> Result<Value, Refusal> {
    let held = held(core, account)?;
    if matches!(fields.text("category")?, Some("spot" | "inverse" | "option")) {
        return Ok(json!({ "category": fields.needed("category")?, "list": [], "nextPageCursor": "" }));
    }
    let (instruments, flat) = asked(core, fields)?;
    let limit = fields.limit(20, 200)?;
    let after = fields.text("cursor")?.unwrap_or_default();
    let mut rest = instruments
        .iter()
        .filter(|instrument| flat || held.positions.contains_key(&instrument.symbol))
        .filter(|instrument| instrument.symbol.as_str() > after);
    let page: Vec<_> = rest.by_ref().take(limit).collect();
    let next = rest.next().and(page.last()).map(|last| last.symbol.to_string()).unwrap_or_default();
    let mut list: Vec<Map<String, Value>> = Vec::new();
    for instrument in page {
        let position = held.positions.get(&instrument.symbol);
        for side in sides(held, position) {
            let of = of_position(core, held, instrument, side, seq(instrument.symbol));
            list.push(objects::position(position, of, false));
        }
    }
    Ok(json!({ "category": "linear", "list": list, "nextPageCursor": next }))
}

/// position/symbol-info: leverage without a position.
///
/// # Errors
/// 10001.
pub fn symbol_info(core: &Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    let held = held(core, account)?;
    linear(fields)?;
    let instruments = match fields.text("symbol")? {
        Some(_) => vec![instrument_of(core, symbol(fields)?)?],
        None => core.instruments().to_vec(),
    };
    let list: Vec<_> = instruments
        .iter()
        .map(|instrument| {
            let leverage = held.settings_of(instrument).leverage.to_string();
            json!({
                "symbol": instrument.symbol.as_str(),
                "leverage": leverage,
                "buyLeverage": leverage,
                "sellLeverage": leverage,
                "positionMode": if held.hedge { "BothSide" } else { "MergedSingle" },
                "marginMode": if held.isolated { "ISOLATED_MARGIN" } else { "REGULAR_MARGIN" },
            })
        })
        .collect();
    Ok(json!({ "category": "linear", "list": list, "nextPageCursor": "" }))
}

/// position/set-leverage: both sides alike.
///
/// # Errors
/// 110043 when it is so already, 110013 above the most, 110012 when it would cost more than is there.
pub fn set_leverage(core: &mut Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    linear(fields)?;
    let instrument = instrument_of(core, symbol(fields)?)?;
    let leverage = |name: &str| -> Result<Money, Refusal> {
        fields.decimal(name)?.ok_or_else(|| Refusal::parameter(format_args!("{name} is required")))
    };
    let buy = leverage("buyLeverage")?;
    if buy != leverage("sellLeverage")? {
        return Err(Refusal::parameter("buy leverage not equal sell leverage"));
    }
    let one = Money::from_whole(1).units();
    if buy.units() % one != 0 {
        return Err(Refusal::parameter("leverage invalid"));
    }
    let whole = u8::try_from(buy.units() / one).map_err(|_| codes::LEVERAGE)?;
    core.set_leverage(account, instrument.symbol, whole, true).map_err(|refused| match refused {
        CoreRefusal::NoChange => codes::LEVERAGE_SAME,
        CoreRefusal::Margin => codes::LEVERAGE_MARGIN,
        refused => refusal(refused),
    })?;
    Ok(json!({}))
}

/// position/switch-mode.
///
/// # Errors
/// 110025 when it is so already, 110024 and 110028 with positions and orders.
pub fn switch_mode(core: &mut Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    linear(fields)?;
    if fields.text("symbol")?.is_some() {
        instrument_of(core, symbol(fields)?)?;
    } else if fields.needed("coin")? != objects::COIN {
        return Err(Refusal::parameter("coin invalid"));
    }
    let hedge = match fields.whole("mode")? {
        Some(0) => false,
        Some(3) => true,
        _ => return Err(Refusal::parameter("mode invalid")),
    };
    core.set_hedge(account, hedge).map_err(|refused| match refused {
        CoreRefusal::NoChange => codes::MODE_SAME,
        refused => refusal(refused),
    })?;
    Ok(json!({}))
}

/// position/switch-isolated, which unified accounts do not have.
///
/// # Errors
/// Always 100028.
pub fn switch_isolated(_core: &mut Core, _account: AccountNo, _fields: &Fields) -> Result<Value, Refusal> {
    Err(UNIFIED)
}

/// position/trading-stop, mode Full: what is absent stays, "0" takes away.
///
/// # Errors
/// 34040 when nothing would change, 10001.
pub fn trading_stop(core: &mut Core, account: AccountNo, fields: &Fields) -> Result<Value, Refusal> {
    linear(fields)?;
    full_mode(fields)?;
    let instrument = instrument_of(core, symbol(fields)?)?;
    let index = position_side(fields)?;
    if (index == PositionSide::Both) == held(core, account)?.hedge {
        return Err(codes::POSITION_INDEX);
    }
    for by in ["tpTriggerBy", "slTriggerBy"] {
        trigger_by(fields, by)?;
    }
    // Sizes count in mode Partial alone; clients send them with Full too, where the whole position is meant.
    let sizes_count = fields.text("tpslMode")?.is_none();
    for partial in ["tpSize", "slSize", "tpLimitPrice", "slLimitPrice"] {
        if fields.text(partial)?.is_some() && (sizes_count || !partial.ends_with("Size")) {
            return Err(Refusal::parameter(format_args!(
                "{partial} is not supported: only tpslMode Full is"
            )));
        }
    }
    if fields.decimal::<Price>("trailingStop")?.is_some_and(|distance| !distance.is_zero()) {
        return Err(Refusal::parameter("trailingStop is not supported"));
    }
    let change = |name: &str| -> Result<Option<Option<Price>>, Refusal> {
        Ok(fields.decimal::<Price>(name)?.map(|price| Some(price).filter(|price| !price.is_zero())))
    };
    let (stop, target) = (change("stopLoss")?, change("takeProfit")?);
    let position = core.position(account, instrument.symbol).ok_or(codes::NO_POSITION)?;
    let side = position.side;
    let mark = core.mark(instrument.symbol).ok_or_else(Refusal::symbol)?;
    for price in [stop, target].into_iter().flatten().flatten() {
        check_price(price, &instrument)?;
    }
    check_protection(side, mark, stop.flatten(), target.flatten(), &instrument)?;
    core.set_position_triggers(account, instrument.symbol, stop, target, None).map_err(|refused| {
        match refused {
            CoreRefusal::NoChange => codes::PROTECTION_SAME,
            refused => refusal(refused),
        }
    })?;
    Ok(json!({}))
}

/// user/query-api: what the key may do and how long it lives (EXCHANGES.md §3.2).
#[must_use]
pub fn key(core: &Core, api_key: &str, key: &ApiKey) -> Value {
    // Without a bound address a key lives for 90 days.
    let end = key
        .expires_at
        .or_else(|| key.addresses.is_empty().then(|| key.created_at.plus_micros(90 * DAY_MICROS)));
    let days =
        end.map_or(-2, |end| i64::try_from(end.micros_since(core.now()) / DAY_MICROS).unwrap_or(i64::MAX));
    let ips: Vec<String> = if key.addresses.is_empty() {
        vec!["*".to_owned()]
    } else {
        key.addresses.iter().map(ToString::to_string).collect()
    };
    let uid = UID_FIRST + u64::from(key.account.0);
    let trade = |rights: &[&str]| if key.rights.trade { json!(rights) } else { json!([]) };
    json!({
        "id": uid.to_string(),
        "note": "paper",
        "apiKey": api_key,
        "readOnly": u8::from(!key.rights.trade),
        "secret": "",
        "permissions": {
            "ContractTrade": trade(&["Order", "Position"]),
            "Spot": [],
            "Wallet": if key.rights.withdraw { json!(["AccountTransfer", "Withdraw"]) } else { json!([]) },
            "Options": [],
            "Derivatives": trade(&["DerivativesTrade"]),
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": [],
            "NFT": [],
            "Affiliate": [],
            "Earn": [],
        },
        "ips": ips,
        "type": 1,
        "deadlineDay": days,
        "expiredAt": end.map_or_else(|| "1970-01-01T00:00:00Z".to_owned(), |end| rfc3339(end.millis() / 1_000)),
        "createdAt": rfc3339(key.created_at.millis() / 1_000),
        "unified": 0,
        "uta": 1,
        "userID": uid,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": true,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
    })
}

/// asset/…: nothing is there but what the unified account has.
///
/// # Errors
/// None.
pub fn asset(_core: &Core, _account: AccountNo, _fields: &Fields) -> Result<Value, Refusal> {
    Ok(json!({ "rows": [], "list": [], "balance": [], "nextPageCursor": "" }))
}

/// Seconds since the epoch as `2024-01-31T00:00:00Z` (days to dates after H. Hinnant's public-domain algorithm).
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::rfc3339;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(rfc3339(1_735_689_599), "2024-12-31T23:59:59Z");
    }
}
