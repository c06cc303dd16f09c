//! The words that pages and receipts show. Whoever reads them by program depends on them, so they stay.

use std::collections::HashSet;
use std::hash::{Hash, Hasher};

use engine::core::command::Refusal;
use engine::core::fixed::{Money, Price, Rate};
use engine::core::ids::{AccountId, Leg, SignalId, SourceId, Timestamp, UserId};
use engine::core::instrument::{Brackets, Symbol};
use engine::core::key::{KeyFault, KeyHint, KeyKind, KeyState};
use engine::core::ledger::{Currency, LedgerAccount};
use engine::core::order::{Liquidity, OrderKind, OrderState, Side, VenueReason};
use engine::core::position::{CloseReason, PositionState};
use engine::core::signal::SignalKind;
use engine::core::state::IdHasher;
use engine::core::user::{OutcomeKind, Skip};

fn money(text: &str) -> Money {
    text.parse().expect("an amount")
}

fn rate(text: &str) -> Rate {
    text.parse().expect("a rate")
}

#[test]
fn sides() {
    for (word, what) in [("buy", Side::Buy), ("sell", Side::Sell)] {
        assert_eq!(what.as_str(), word);
    }
}

#[test]
fn states_of_orders() {
    for (word, what) in [
        ("PENDING", OrderState::Pending),
        ("SUBMITTED", OrderState::Submitted),
        ("PARTIALLY_FILLED", OrderState::PartiallyFilled),
        ("FILLED", OrderState::Filled),
        ("CANCELLED", OrderState::Cancelled),
        ("REJECTED", OrderState::Rejected),
        ("EXPIRED", OrderState::Expired),
        ("UNKNOWN", OrderState::Unknown),
    ] {
        assert_eq!(what.as_str(), word);
    }
}

#[test]
fn reasons_of_venues() {
    for (word, what) in [
        ("symbol", VenueReason::Symbol),
        ("price", VenueReason::Price),
        ("quantity", VenueReason::Quantity),
        ("notional", VenueReason::Notional),
        ("margin", VenueReason::Margin),
        ("leverage", VenueReason::Leverage),
        ("nothing_to_reduce", VenueReason::NothingToReduce),
        ("would_trigger", VenueReason::WouldTrigger),
        ("duplicate_id", VenueReason::DuplicateId),
        ("account", VenueReason::Account),
        ("liquidity", VenueReason::Liquidity),
        ("requested", VenueReason::Requested),
        ("position_closed", VenueReason::PositionClosed),
        ("too_many_orders", VenueReason::TooManyOrders),
        ("not_received", VenueReason::NotReceived),
        ("not_sent", VenueReason::NotSent),
        ("foreign_position", VenueReason::ForeignPosition),
    ] {
        assert_eq!(what.as_str(), word);
    }
}

#[test]
fn states_of_positions() {
    for (word, what) in [
        ("OPENING", PositionState::Opening),
        ("OPEN", PositionState::Open),
        ("CLOSING", PositionState::Closing),
        ("CLOSED", PositionState::Closed),
        ("LIQUIDATED", PositionState::Liquidated),
    ] {
        assert_eq!(what.as_str(), word);
    }
}

#[test]
fn reasons_of_closes() {
    for (word, what) in [
        ("TAKE_PROFIT", CloseReason::TakeProfit),
        ("STOP_LOSS", CloseReason::StopLoss),
        ("SIGNAL", CloseReason::Signal),
        ("MANUAL", CloseReason::Manual),
        ("REVERSAL", CloseReason::Reversal),
        ("LIQUIDATION", CloseReason::Liquidation),
        ("EXTERNAL", CloseReason::External),
        ("HALT", CloseReason::Halt),
        ("UNPROTECTED", CloseReason::Unprotected),
    ] {
        assert_eq!(what.as_str(), word);
    }
}

#[test]
fn kinds_of_signals() {
    for (word, what) in [
        ("open_long", SignalKind::OpenLong { strong: false }),
        ("open_long_strong", SignalKind::OpenLong { strong: true }),
        ("open_short", SignalKind::OpenShort { strong: false }),
        ("open_short_strong", SignalKind::OpenShort { strong: true }),
        ("close_long", SignalKind::CloseLong),
        ("close_short", SignalKind::CloseShort),
        ("close", SignalKind::CloseAll),
    ] {
        assert_eq!(what.as_str(), word);
    }
}

#[test]
fn reasons_of_skips() {
    for (word, what) in [
        ("user_inactive", Skip::UserInactive),
        ("not_subscribed", Skip::NotSubscribed),
        ("account_disabled", Skip::AccountDisabled),
        ("key_unhealthy", Skip::KeyUnhealthy),
        ("halted_user", Skip::HaltedUser),
        ("halted_source", Skip::HaltedSource),
        ("halted_global", Skip::HaltedGlobal),
        ("debt", Skip::Debt),
        ("plan", Skip::Plan),
        ("symbol_not_allowed", Skip::SymbolNotAllowed),
        ("symbol_not_trading", Skip::SymbolNotTrading),
        ("market_reading_stale", Skip::MarketReadingStale),
        ("position_open", Skip::PositionOpen),
        ("positions_max", Skip::PositionsMax),
        ("cooldown", Skip::Cooldown),
        ("daily_loss_limit", Skip::DailyLoss),
        ("insufficient_margin", Skip::InsufficientMargin),
        ("below_minimum", Skip::BelowMinimum),
        ("protection_invalid", Skip::ProtectionInvalid),
        ("stop_beyond_liquidation", Skip::StopBeyondLiquidation),
        ("expired", Skip::Expired),
        ("superseded_by_close", Skip::Superseded),
        ("no_position", Skip::NoPosition),
        ("already_closing", Skip::AlreadyClosing),
        ("venue_unavailable", Skip::VenueUnavailable),
    ] {
        assert_eq!(what.as_str(), word);
    }
}

#[test]
fn outcomes_of_signals() {
    for (words, what) in [
        (("sent", None), OutcomeKind::Sent),
        (("filled", None), OutcomeKind::Filled),
        (("filled_in_part", None), OutcomeKind::FilledInPart),
        (("skipped", Some("debt")), OutcomeKind::Skipped(Skip::Debt)),
        (("failed", Some("margin")), OutcomeKind::Failed(VenueReason::Margin)),
    ] {
        assert_eq!(what.words(), words);
    }
}

#[test]
fn currencies_and_accounts_of_the_books() {
    let codes = Currency::ALL.map(Currency::as_str);
    assert_eq!(codes, ["BRL", "USD", "USDT", "USDT-PAPER"]);
    for (account, name) in [
        (LedgerAccount::Wallet(1), "wallet:1"),
        (LedgerAccount::Real, "real"),
        (LedgerAccount::Credit, "credit"),
        (LedgerAccount::Commission, "commission"),
        (LedgerAccount::Debt, "debt"),
        (LedgerAccount::Outside, "outside"),
        (LedgerAccount::VenueProfit, "venue_profit"),
        (LedgerAccount::VenueFee, "venue_fee"),
        (LedgerAccount::VenueFunding, "venue_funding"),
        (LedgerAccount::Revenue, "company_revenue"),
    ] {
        assert_eq!(account.name(), name);
    }
}

#[test]
fn refusals_and_their_statuses() {
    for (status, word, what) in [
        (409, "email_taken", Refusal::EmailTaken),
        (400, "email_invalid", Refusal::EmailInvalid),
        (400, "zone_invalid", Refusal::ZoneInvalid),
        (404, "unknown_user", Refusal::UnknownUser),
        (429, "locked", Refusal::Locked),
        (404, "unknown_account", Refusal::UnknownAccount),
        (404, "unknown_source", Refusal::UnknownSource),
        (400, "unknown_symbol", Refusal::UnknownSymbol),
        (503, "lists_incomplete", Refusal::ListsIncomplete),
        (404, "unknown_position", Refusal::UnknownPosition),
        (400, "venue_unavailable", Refusal::VenueUnavailable),
        (409, "accounts_changed", Refusal::AccountsChanged),
        (409, "key_in_use", Refusal::KeyInUse),
        (422, "limit_reached", Refusal::LimitReached("sources")),
        (400, "invalid", Refusal::Invalid("name")),
        (429, "rate_limited", Refusal::RateLimited { retry_after: 1 }),
        (400, "signal_from_future", Refusal::SignalFromFuture),
        (409, "already_closing", Refusal::AlreadyClosing),
        (409, "payment_repeated", Refusal::PaymentRepeated),
    ] {
        assert_eq!((what.status(), what.code()), (status, word));
    }
}

#[test]
fn signs_of_sides_and_kinds_that_wait_for_a_price() {
    assert_eq!((Side::Buy.sign(), Side::Sell.sign()), (1, -1));
    let one = Price::from_whole(1);
    let kinds = [
        OrderKind::Market,
        OrderKind::Limit(one),
        OrderKind::StopMarket(one),
        OrderKind::TakeProfitMarket(one),
    ];
    assert_eq!(kinds.map(OrderKind::is_trigger), [false, false, true, true]);
    let words = [
        ("market", None),
        ("limit", Some(one)),
        ("stop_market", Some(one)),
        ("take_profit_market", Some(one)),
    ];
    assert_eq!(kinds.map(OrderKind::words), words);
    assert_eq!([Liquidity::Taker, Liquidity::Maker].map(Liquidity::as_str), ["taker", "maker"]);
}

#[test]
fn a_symbol_is_written_as_it_was_read() {
    let longest = "S".repeat(Symbol::MAX_BYTES);
    for text in ["BTCUSDT", "1000PEPEUSDT", "\u{e9}", &longest] {
        let symbol = Symbol::new(text).expect("a symbol");
        let (shown, debug) = (symbol.to_string(), format!("{symbol:?}"));
        assert_eq!((symbol.as_str(), shown.as_str(), debug.as_str()), (text, text, text));
    }
}

#[test]
fn legs_of_a_position() {
    for (word, what) in [
        ("entry", Leg::Entry),
        ("stop", Leg::Stop),
        ("take_profit", Leg::TakeProfit),
        ("signal_close", Leg::SignalClose),
        ("manual_close", Leg::ManualClose),
        ("unprotected_close", Leg::UnprotectedClose),
        ("reversal_close", Leg::ReversalClose),
    ] {
        assert_eq!(what.as_str(), word);
    }
}

#[test]
fn keys_and_how_they_stand() {
    for (word, what) in [("hmac", KeyKind::Hmac), ("rsa", KeyKind::Rsa), ("ed25519", KeyKind::Ed25519)] {
        assert_eq!((what.as_str(), KeyKind::parse(word)), (word, Some(what)));
    }
    for word in ["", "HMAC", "hmac ", "dsa"] {
        assert_eq!(KeyKind::parse(word), None, "{word}");
    }
    for (word, what) in [
        ("withdrawal_right", KeyFault::WithdrawalRight),
        ("trading_right_missing", KeyFault::TradingRightMissing),
        ("not_bound_to_address", KeyFault::NotBoundToAddress),
        ("address_not_allowed", KeyFault::AddressNotAllowed),
        ("expired", KeyFault::Expired),
        ("rejected", KeyFault::Rejected),
        ("wrong_environment", KeyFault::WrongEnvironment),
        ("account_restricted", KeyFault::AccountRestricted),
        ("hedge_mode", KeyFault::HedgeMode),
        ("other_account", KeyFault::OtherAccount),
        ("already_connected", KeyFault::AlreadyConnected),
        ("unreadable", KeyFault::Unreadable),
    ] {
        assert_eq!((what.as_str(), KeyState::Unhealthy(what).as_str()), (word, word));
    }
    for (word, what) in [
        ("not_needed", KeyState::NotNeeded),
        ("missing", KeyState::Missing),
        ("pending", KeyState::Pending),
        ("healthy", KeyState::Healthy),
    ] {
        assert_eq!(what.as_str(), word);
    }
    assert_eq!(format!("{:?}", KeyHint::of("nameOfTheKey1234")), "1234");
}

#[test]
fn brackets_are_shown_by_their_rows_alone() {
    assert_eq!(format!("{:?}", Brackets::NONE), "[]");
    let one = Brackets::of([(money("50000"), 100, rate("0.004"))]);
    assert_eq!(format!("{one:?}"), format!("{:?}", one.rows()));
}

#[test]
fn ids_are_written_in_base_62_with_their_width() {
    // 63 bits at most; the digits are those of ids in URLs and client order ids, and stay for ever.
    let largest = UserId(u64::MAX >> 1);
    for (id, text) in
        [(UserId(0), "00000000000"), (UserId(62 * 62 + 61), "0000000010z"), (largest, "AzL8n0Y58m7")]
    {
        assert_eq!((id.to_string().as_str(), UserId::parse(text)), (text, Some(id)));
        for index in [0_u8, 9] {
            let account = AccountId { user: id, index };
            assert_eq!(account.to_string(), format!("{text}{index}"));
        }
        for (index, digit) in [(0, '0'), (9, '9'), (10, 'A'), (61, 'z')] {
            let (source, text) = (SourceId { owner: id, index }, format!("{text}{digit}"));
            assert_eq!((source.to_string(), SourceId::parse(&text)), (text.clone(), Some(source)));
        }
    }
}

#[test]
fn a_time_is_cut_to_whole_milliseconds() {
    for (micros, millis) in
        [(0, 0), (999, 0), (1_000, 1), (1_999, 1), (1_673_352_000_123_456, 1_673_352_000_123)]
    {
        assert_eq!(Timestamp(micros).millis(), millis, "{micros}");
    }
}

#[test]
fn a_users_id_is_63_bits_of_the_addresss_sha_256() {
    // The first 16 digits of `printf ana@example.com | sha256sum`, halved.
    assert_eq!(UserId::from_email("ana@example.com"), UserId(5_125_629_758_138_815_603));
    // Fixed for ever, high bits and low: the finaliser of MurmurHash3 modulo 4096.
    assert_eq!(UserId(u64::MAX >> 1).slot(), 3_562);
}

#[test]
fn the_first_signal_of_a_source_has_number_one() {
    let source = SourceId { owner: UserId(7), index: 1 };
    for (number, read) in [(0, false), (1, true), (u32::MAX, true)] {
        let id = SignalId { source, number };
        assert_eq!(SignalId::parse(&id.to_string()), read.then_some(id), "{number}");
    }
}

fn hashed(what: impl Hash) -> u64 {
    let mut hasher = IdHasher::default();
    what.hash(&mut hasher);
    hasher.finish()
}

#[test]
fn ids_that_differ_anywhere_hash_apart() {
    let sources =
        (0..512).flat_map(|owner| (0..8).map(move |index| SourceId { owner: UserId(owner), index }));
    let places: HashSet<u64> = sources.map(hashed).collect();
    assert_eq!(places.len(), 512 * 8, "of sources");
    // The map takes the low bits: 4096 ids at random would lie in 2589 places.
    for shift in [0, 32] {
        let places: HashSet<u64> = (0..4_096_u64).map(|id| hashed(UserId(id << shift)) % 4_096).collect();
        assert!(places.len() > 2_500, "ids << {shift} lie in {} of 4096 places", places.len());
    }
    assert_ne!(hashed(1_u32), hashed(2_u32));
    assert_ne!(hashed("a"), hashed("b"));
}
