//! What Binance's refusals mean (EXCHANGES.md §2.8).
//!
//! **Invariants**: an outcome that is not certain is [`FailureKind::Unknown`]; "it did not happen" is said only where the
//! maker says so, or where the status puts the fault on our side (4xx). The three texts that a 503 can have mean three
//! different things (CASES.md, U1, U4).

use std::borrow::Cow;

use engine::core::order::{OrderKind, VenueReason};
use planted::planted;
use serde::Deserialize;

use super::date::http_date;
use crate::live::protocol::{Answer, Ask, Failure, FailureKind, HttpReply, LimitScope, Millis};

/// Digits of a time in milliseconds between the years 2001 and 2286.
const MILLIS_DIGITS: usize = 13;
/// How much of a body is looked through for an error, in bytes: the maker's are below 300.
const BODY_MAX: usize = 4_096;

#[derive(Deserialize)]
struct Row<'a> {
    code: i64,
    #[serde(borrow, default)]
    msg: Cow<'a, str>,
}

/// An error that came with a status of success: some gateways do that. Errors are short, so long bodies are not searched.
pub(super) fn within_success(ask: &Ask, body: &str) -> Option<Result<Answer, Failure>> {
    if body.len() > BODY_MAX {
        return None;
    }
    let row: Row<'_> = serde_json::from_str(body).ok().filter(|row: &Row<'_>| row.code < 0)?;
    Some(judge(ask, 200, row.code, &row.msg, Millis(0)))
}

/// Reads an answer whose status is not a success.
pub(super) fn read(ask: &Ask, reply: HttpReply<'_>) -> Result<Answer, Failure> {
    let until = retry_after(reply).unwrap_or_default();
    match serde_json::from_slice::<Row<'_>>(reply.body) {
        Ok(row) => judge(ask, reply.status, row.code, &row.msg, until),
        Err(_) => {
            let text = String::from_utf8_lossy(&reply.body[..reply.body.len().min(BODY_MAX)]);
            judge(ask, reply.status, 0, &text, until)
        }
    }
}

/// When the header `Retry-After` says that requests may be sent again, on the exchange's clock. That clock is read from the
/// answer's own date; without one the time is not known. The date is cut to the second, so one second is added: never early.
fn retry_after(reply: HttpReply<'_>) -> Option<Millis> {
    let value = (reply.header)("retry-after")?.trim();
    if let Some(date) = http_date(value) {
        return Some(date);
    }
    let seconds: u64 = value.parse().ok()?;
    let now = date(reply)?;
    Some(Millis(now.0.saturating_add(seconds.saturating_add(1).saturating_mul(1000))))
}

/// The exchange's clock as the answer's date tells it.
pub(super) fn date(reply: HttpReply<'_>) -> Option<Millis> {
    http_date((reply.header)("date")?)
}

/// The time in "… banned until 1573800000000 …" (CASES.md, R5).
fn banned_until(text: &str) -> Option<Millis> {
    let rest = text.split_once("banned until ")?.1;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    (digits == MILLIS_DIGITS).then(|| rest[..digits].parse().ok().map(Millis))?
}

/// What a status, a code (zero without) and a text mean for this question; `until` is what else was told of when it may be
/// asked again. A refusal because it is so already is a success.
pub(super) fn judge(ask: &Ask, status: u16, code: i64, text: &str, until: Millis) -> Result<Answer, Failure> {
    let is_done = matches!(ask, Ask::SetLeverage { .. } | Ask::SetIsolated(_));
    if matches!(code, -4046 | -4059) && is_done && !planted!("no_change_needed_taken_for_a_failure") {
        return Ok(Answer::Done);
    }
    let banned = banned_until(text);
    let until = banned.unwrap_or(until);
    let kind = match status {
        418 => FailureKind::Banned { until },
        429 if code == -1015 => FailureKind::Limited { scope: LimitScope::Account, until },
        429 if banned.is_none() => FailureKind::Limited { scope: LimitScope::Address, until },
        429 => FailureKind::Banned { until },
        503 => unavailable(ask, code, text),
        _ => by_code(ask, code, text, banned.is_some(), until).unwrap_or_else(|| by_status(status, until)),
    };
    Err(Failure::new(kind, code, text))
}

/// The three kinds of 503 (EXCHANGES.md §2.8): executed perhaps, not executed, not executed for overload. Any other is unknown.
fn unavailable(ask: &Ask, code: i64, text: &str) -> FailureKind {
    let says = |words: &str| text.to_ascii_lowercase().contains(words);
    if says("unknown error") && planted!("unknown_503_taken_for_a_failure") {
        FailureKind::Retry
    } else if says("unknown error") {
        FailureKind::Unknown
    } else if code == -1008 || says("service unavailable") || says("throttled by system-level protection") {
        FailureKind::Retry
    } else if code == -1001 || says("internal error; unable to process") {
        disconnected(ask)
    } else {
        FailureKind::Unknown
    }
}

/// -1001: the maker calls it a failure; for what was written and changes something that is not proof enough.
const fn disconnected(ask: &Ask) -> FailureKind {
    if ask.is_write() { FailureKind::Unknown } else { FailureKind::Retry }
}

/// What a status means when the code tells nothing.
const fn by_status(status: u16, until: Millis) -> FailureKind {
    match status {
        // The firewall (403), or a place that is not served (451): whoever it is, the address is cut off.
        403 | 451 => FailureKind::Banned { until },
        401 => FailureKind::UserMustAct,
        408 | 500..=599 => FailureKind::Unknown,
        400..=499 => FailureKind::Bug,
        _ => FailureKind::Unreadable,
    }
}

/// What a code means; `None` for one that is not known.
fn by_code(ask: &Ask, code: i64, text: &str, is_banned: bool, until: Millis) -> Option<FailureKind> {
    use VenueReason as Reason;
    let refused = FailureKind::Refused;
    Some(match code {
        // Unknown outcome.
        -1000 | -1006 | -1007 => FailureKind::Unknown,
        -1001 => disconnected(ask),
        // Sure failure, again later. -4117: a trigger that is just firing can be neither cancelled nor changed.
        -1008 | -1016 | -4117 => FailureKind::Retry,
        -1003 if is_banned => FailureKind::Banned { until },
        -1003 => FailureKind::Limited { scope: LimitScope::Address, until },
        -1015 => FailureKind::Limited { scope: LimitScope::Account, until },
        -1021 | -5028 => FailureKind::Clock,
        // Not there, now: an order (also a cancel's -2011: what became of it is to be asked), or a listen key.
        -2011 | -2013 | -1125 => FailureKind::NotFound,
        -4116 => FailureKind::Duplicate,
        // Size and price.
        -1111 => refused(imprecise(ask)),
        -4003 | -4004 | -4005 | -4023 => refused(Reason::Quantity),
        -4001 | -4002 | -4006 | -4007 | -4013 | -4014 | -4016 | -4024 | -4131 | -4183 | -4184 | -4210
        | -4211 => refused(Reason::Price),
        -4164 | -5029 => refused(Reason::Notional),
        // The user's to solve.
        -1002
        | -1011
        | -1099
        | -1109
        | -2014
        | -2015
        | -2017
        | -4087
        | -4088
        | -4109
        | -4168
        | -4189
        | -4192
        | -4209..=-4202
        | -4402
        | -4403 => FailureKind::UserMustAct,
        // Money.
        -2018 | -2019 | -2028 | -4050 | -4051 => refused(Reason::Margin),
        -2027 | -4028 => refused(Reason::Leverage),
        -2010 if text.to_ascii_lowercase().contains("insufficient") => refused(Reason::Margin),
        -2010 => refused(Reason::Account),
        // The account's state is another one than was thought.
        -4047 | -4048 | -4060 | -4061 | -4062 | -4067 | -4068 | -4161 | -4531 => FailureKind::Mode,
        // In hedge mode `reduceOnly` is not taken: this account is in it (CASES.md, H1, H6).
        -1106 if text.to_ascii_lowercase().contains("reduceonly") => FailureKind::Mode,
        // The symbol (CASES.md, X20, Y5).
        -1121 | -1122 | -2016 | -4022 | -4107..=-4105 | -4140 | -4141 | -4166 | -4400 | -4401 => {
            FailureKind::SymbolGate
        }
        // The order itself.
        -2021 | -4142 => refused(Reason::WouldTrigger),
        -2022 | -2024 | -4118 => refused(Reason::NothingToReduce),
        -2023 => FailureKind::InLiquidation,
        // -4130: a closing trigger of this direction exists already; it has to go before another may come.
        -2025 | -4045 | -4130 => refused(Reason::TooManyOrders),
        -1112 | -2020 | -5021 | -5022 | -5041 => refused(Reason::Liquidity),
        // A question is signed right or its secret is mistyped: the same questions of others are taken.
        -1022
            if ask.is_signed()
                && !ask.is_write()
                && !planted!("mistyped_secret_taken_for_a_mistake_of_ours") =>
        {
            FailureKind::UserMustAct
        }
        // Ours.
        -1022 | -1106..=-1100 | -4015 | -4120 => FailureKind::Bug,
        _ => return None,
    })
}

/// Which number -1111 is about: it does not say, but a trigger that closes all has only a price.
const fn imprecise(ask: &Ask) -> VenueReason {
    match ask {
        Ask::Place(placement) => match placement.order.kind {
            OrderKind::StopMarket(_) | OrderKind::TakeProfitMarket(_) => VenueReason::Price,
            OrderKind::Market | OrderKind::Limit(_) => VenueReason::Quantity,
        },
        _ => VenueReason::Quantity,
    }
}
