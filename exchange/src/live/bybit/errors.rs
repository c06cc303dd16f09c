//! What a refusal of Bybit means (EXCHANGES.md §3.6), and what its answers say about limits (§3.3).
//!
//! **Invariants**: a code that is not in the table makes a write unknown (it is queried, by an id that is unique for ever) and
//! a question a mistake of ours; nothing is called refused that may have happened.

use engine::core::order::VenueReason;

use crate::live::protocol::{AccountUse, Ask, Failure, FailureKind, HttpReply, LimitScope, Millis, Used};

/// Names of the headers that tell the budget of an account in a group.
pub(super) const LIMIT: &str = "X-Bapi-Limit";
pub(super) const LIMIT_LEFT: &str = "X-Bapi-Limit-Status";
pub(super) const LIMIT_RESET: &str = "X-Bapi-Limit-Reset-Timestamp";

/// A socket's service restarts: it takes no more requests, a new connection does.
pub(super) const RESTARTING: i64 = 10_019;
/// A socket is logged in already.
pub(super) const LOGGED_IN_ALREADY: i64 = 20_001;

/// What the headers say about the account's budget.
pub(super) fn used<'a>(header: &dyn Fn(&str) -> Option<&'a str>) -> Used {
    let count = |name: &str| header(name).and_then(|text| text.trim().parse::<u32>().ok());
    let account = count(LIMIT).zip(count(LIMIT_LEFT)).map(|(limit, left)| AccountUse::Left {
        left: left.min(limit),
        limit,
        resets_at: reset(header),
    });
    // Requests of an address are counted by Bybit, but not told.
    Used { address: None, account }
}

/// When the budget is whole again; zero when that is not told.
pub(super) fn reset<'a>(header: &dyn Fn(&str) -> Option<&'a str>) -> Millis {
    Millis(header(LIMIT_RESET).and_then(|text| text.trim().parse().ok()).unwrap_or(0))
}

/// What a status means by itself, where the body cannot change it. `code`: what the body holds, if it can be read.
pub(super) fn of_status(reply: HttpReply<'_>, code: Option<i64>) -> Option<Failure> {
    let text = String::from_utf8_lossy(&reply.body[..reply.body.len().min(1_000)]);
    let kind = match reply.status {
        200..=299 => return None,
        // A code of the account's own says what it is about.
        403 if code.is_some_and(is_of_the_account) => return None,
        // Too many requests, or a country that is not served: whoever asks, the address is cut off.
        403 => FailureKind::Banned { until: Millis(0) },
        429 => FailureKind::Limited { scope: LimitScope::Address, until: reset(reply.header) },
        500..=599 => FailureKind::Unknown,
        _ => return None,
    };
    Some(Failure::new(kind, i64::from(reply.status), &text))
}

/// Whether a code is about the key or the account that asks. Not 10009, by which the address is banned.
fn is_of_the_account(code: i64) -> bool {
    code != 10_009 && kind_of(None, code, "", Millis(0)) == FailureKind::UserMustAct
}

/// What another status means when the body holds no code.
pub(super) fn of_unreadable(status: u16, what: &str) -> Failure {
    let kind = match status {
        200..=299 => FailureKind::Unreadable,
        401 => FailureKind::UserMustAct,
        400..=499 => FailureKind::Bug,
        _ => FailureKind::Unknown,
    };
    Failure::new(kind, 0, what)
}

/// Whether the code says that what was asked for is so already (CASES.md, L2, H5).
pub(super) const fn is_so_already(ask: &Ask, code: i64) -> bool {
    match ask {
        Ask::Cancel(_) => matches!(code, 110_008 | 110_010),
        Ask::SetLeverage { .. } | Ask::SetIsolated(_) | Ask::Protect { .. } => {
            matches!(code, 110_025 | 110_026 | 110_043 | 34_036 | 34_040)
        }
        _ => false,
    }
}

/// The failure of a code. `until` is when the account's budget is whole again.
pub(super) fn of_code(ask: Option<&Ask>, code: i64, text: &str, until: Millis) -> Failure {
    Failure::new(kind_of(ask, code, text, until), code, text)
}

fn kind_of(ask: Option<&Ask>, code: i64, text: &str, until: Millis) -> FailureKind {
    use FailureKind::{
        Bug, Clock, Duplicate, InLiquidation, Limited, Mode, NotFound, Refused, Retry, SymbolGate, Unknown,
        UserMustAct,
    };
    use VenueReason::{Account, Leverage, Margin, Notional, Price, Quantity, TooManyOrders, WouldTrigger};
    match code {
        10_000 | 10_016 => Unknown,
        10_002 => Clock,
        10_006 | 20_003 => Limited { scope: LimitScope::Account, until },
        10_018 | 10_403 | 10_429 => Limited { scope: LimitScope::Address, until },
        RESTARTING | 110_079 => Retry,
        110_001 => NotFound,
        110_072 | 110_030 | 10_014 | 20_006 => Duplicate,
        10_003 | 10_004 | 10_005 | 10_007 | 10_008 | 10_009 | 10_010 | 10_024 | 10_027 | 10_028 | 10_029
        | 33_004 | 110_123 | 110_124 | 110_125 => UserMustAct,
        10_001 => parameter(text),
        110_024 | 110_028 | 110_029 => Mode,
        110_023 | 110_042 | 110_062 | 110_063 | 110_065 | 110_074 | 30_228 => SymbolGate,
        110_005 | 110_035 => InLiquidation,
        110_017 | 110_034 => reduce_only(ask, code, text),
        110_003 | 110_120 | 110_121 => Refused(Price),
        110_016 | 110_021 => Refused(Quantity),
        110_094 => Refused(Notional),
        110_009 | 110_020 => Refused(TooManyOrders),
        110_013 | 110_090 => Refused(Leverage),
        110_092 | 110_093 => Refused(WouldTrigger),
        110_004 | 110_006 | 110_007 | 110_011 | 110_012 | 110_040 | 110_044 | 110_045 | 110_046 | 110_051
        | 110_052 | 110_053 => Refused(Margin),
        110_073 | 3_400_045 => Refused(Account),
        10_017 | 10_404 => Bug,
        _ if ask.is_some_and(Ask::is_write) => Unknown,
        _ => Bug,
    }
}

/// 10001 is any parameter that does not fit; its text tells which.
fn parameter(text: &str) -> FailureKind {
    let text = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&["position idx", "positionidx", "position mode"]) {
        FailureKind::Mode
    } else if says(&["zero position"]) {
        FailureKind::Refused(VenueReason::PositionClosed)
    } else if says(&["base_price"]) {
        // A stop or take-profit that is on the wrong side of the price already.
        FailureKind::Refused(VenueReason::WouldTrigger)
    } else if says(&["symbol invalid", "symbol is invalid", "invalid symbol"]) {
        FailureKind::SymbolGate
    } else if says(&["qty invalid", "invalid qty"]) {
        FailureKind::Refused(VenueReason::Quantity)
    } else if says(&["price invalid", "invalid price"]) {
        FailureKind::Refused(VenueReason::Price)
    } else {
        FailureKind::Bug
    }
}

/// A reduce-only order that reduces nothing: the position is flat, which is what a close wants (CASES.md, O5). Not so when the
/// quantity became zero on the step: then something is left, and it is the quantity that is wrong (X17).
fn reduce_only(ask: Option<&Ask>, code: i64, text: &str) -> FailureKind {
    let text = text.to_ascii_lowercase();
    let exit = matches!(ask, Some(Ask::Place(placement)) if placement.order.reduce_only);
    if text.contains("truncated to zero") {
        FailureKind::Refused(VenueReason::Quantity)
    } else if exit || code == 110_034 || text.contains("position is zero") {
        FailureKind::Refused(VenueReason::NothingToReduce)
    } else {
        FailureKind::Refused(VenueReason::Quantity)
    }
}

#[cfg(test)]
mod tests {
    use engine::core::fixed::{Price, Quantity};
    use engine::core::ids::{AccountId, ClientOrderId, Leg, SignalId, SourceId, UserId};
    use engine::core::instrument::Symbol;
    use engine::core::order::{NewOrder, OrderKind, Side};

    use super::*;
    use crate::live::protocol::{OrderRef, Placement, PositionMode};

    fn place(reduce_only: bool) -> Ask {
        let source = SourceId { owner: UserId(1), index: 0 };
        let account = AccountId { user: UserId(2), index: 0 };
        let order = NewOrder {
            id: ClientOrderId::first(SignalId { source, number: 1 }, account, Leg::Entry),
            symbol: Symbol::new("BTCUSDT").unwrap(),
            side: Side::Buy,
            kind: OrderKind::Limit(Price::from_whole(1)),
            quantity: Quantity::from_whole(1),
            reduce_only,
            leverage: 5,
        };
        Ask::Place(Placement { order, mode: PositionMode::OneWay, attached: None })
    }

    #[test]
    fn every_code_of_the_table_has_its_kind() {
        use FailureKind as K;
        use VenueReason as R;
        let until = Millis(7);
        let rows: &[(&[i64], FailureKind)] = &[
            (&[10_000, 10_016], K::Unknown),
            (&[10_006], K::Limited { scope: LimitScope::Account, until }),
            (&[10_002], K::Clock),
            (&[10_019, 110_079], K::Retry),
            (&[10_429, 10_403, 10_018], K::Limited { scope: LimitScope::Address, until }),
            (
                &[10_003, 10_004, 10_005, 10_009, 10_010, 10_024, 10_029, 33_004, 110_123, 110_124, 110_125],
                K::UserMustAct,
            ),
            (&[110_003, 110_120, 110_121], K::Refused(R::Price)),
            (&[110_017, 110_021], K::Refused(R::Quantity)),
            (&[110_020], K::Refused(R::TooManyOrders)),
            (&[110_090], K::Refused(R::Leverage)),
            (&[110_092, 110_093], K::Refused(R::WouldTrigger)),
            (&[110_094], K::Refused(R::Notional)),
            (&[110_004, 110_006, 110_007, 110_012, 110_044, 110_045], K::Refused(R::Margin)),
            (&[110_024, 110_028], K::Mode),
            (&[110_023, 110_042], K::SymbolGate),
            (&[30_228, 110_074, 110_063], K::SymbolGate),
            (&[110_072, 10_014, 20_006], K::Duplicate),
            (&[110_001], K::NotFound),
            (&[10_404], K::Bug),
        ];
        for (codes, kind) in rows {
            for code in *codes {
                let failure = of_code(Some(&place(false)), *code, "text", until);
                assert_eq!((failure.kind, failure.code), (*kind, *code), "{code}");
            }
        }
    }

    #[test]
    fn case_u9_an_answer_that_says_nothing_is_unknown_and_not_failed() {
        for code in [10_000, 10_016, 999_999] {
            let kind = of_code(Some(&place(false)), code, "Server Timeout", Millis(0)).kind;
            assert_eq!(kind, FailureKind::Unknown, "{code}");
        }
        assert_eq!(of_code(Some(&Ask::Balances), 999_999, "", Millis(0)).kind, FailureKind::Bug);
    }

    #[test]
    fn case_l2_no_change_needed_is_success() {
        let symbol = Symbol::new("BTCUSDT").unwrap();
        let leverage = Ask::SetLeverage { symbol, leverage: 5 };
        for code in [110_043, 34_036] {
            assert!(is_so_already(&leverage, code), "{code}");
        }
        for code in [110_025, 110_026] {
            assert!(is_so_already(&Ask::SetIsolated(symbol), code), "{code}");
        }
        // The same code for an order is no success.
        assert!(!is_so_already(&place(false), 110_043));
        assert!(!is_so_already(&leverage, 110_013));
    }

    #[test]
    fn a_cancel_of_what_has_ended_is_done() {
        let Ask::Place(placement) = place(false) else { unreachable!() };
        let order = OrderRef { id: placement.order.id, symbol: placement.order.symbol, is_trigger: false };
        for code in [110_008, 110_010] {
            assert!(is_so_already(&Ask::Cancel(order), code));
        }
        assert_eq!(of_code(Some(&Ask::Cancel(order)), 110_001, "", Millis(0)).kind, FailureKind::NotFound);
    }

    #[test]
    fn case_o5_a_close_of_a_flat_position_has_nothing_to_reduce() {
        let nothing = FailureKind::Refused(VenueReason::NothingToReduce);
        let text = "current position is zero, cannot fix reduce-only order qty";
        assert_eq!(of_code(Some(&place(false)), 110_017, text, Millis(0)).kind, nothing);
        assert_eq!(of_code(None, 110_017, text, Millis(0)).kind, nothing);
        let rule = "Reduce-only rule not satisfied";
        assert_eq!(of_code(Some(&place(true)), 110_017, rule, Millis(0)).kind, nothing);
    }

    #[test]
    fn case_x17_a_quantity_that_became_zero_is_too_small_and_not_flat() {
        let text = "Reduce-only rule not satisfied: orderQty will be truncated to zero.";
        let kind = of_code(Some(&place(true)), 110_017, text, Millis(0)).kind;
        assert_eq!(kind, FailureKind::Refused(VenueReason::Quantity));
    }

    #[test]
    fn case_h5_a_parameter_error_about_the_position_index_is_the_mode() {
        for (text, kind) in [
            ("position idx not match position mode", FailureKind::Mode),
            ("params error: Position idx not match", FailureKind::Mode),
            ("can not set tp/sl/ts for zero position", FailureKind::Refused(VenueReason::PositionClosed)),
            (
                "StopLoss:279000000 set for Buy position should lower than base_price:277900000??LastPrice",
                FailureKind::Refused(VenueReason::WouldTrigger),
            ),
            ("Qty invalid", FailureKind::Refused(VenueReason::Quantity)),
            ("params error: symbol invalid XYZ", FailureKind::SymbolGate),
            ("params error: orderLinkId too long", FailureKind::Bug),
        ] {
            assert_eq!(of_code(Some(&place(false)), 10_001, text, Millis(0)).kind, kind, "{text}");
        }
        let symbol = Symbol::new("BTCUSDT").unwrap();
        assert!(is_so_already(&Ask::SetIsolated(symbol), 110_025));
    }

    #[test]
    fn case_r3_the_budget_told_is_the_accounts_and_case_r4_not_the_addresses() {
        let header = |name: &str| match name {
            LIMIT => Some("10"),
            LIMIT_LEFT => Some(" 9"),
            LIMIT_RESET => Some("1672738134824"),
            _ => None,
        };
        let resets_at = Millis(1_672_738_134_824);
        let account = Some(AccountUse::Left { left: 9, limit: 10, resets_at });
        assert_eq!(used(&header), Used { address: None, account });
        assert_eq!(used(&|_| None), Used::default());
        assert_eq!(used(&|name| (name == LIMIT).then_some("x")), Used::default());
    }
}
