//! The words that pages and receipts show. Whoever reads them by program depends on them, so they stay.

use engine::core::ledger::{Currency, LedgerAccount};
use engine::core::order::{OrderState, Side, VenueReason};
use engine::core::position::{CloseReason, PositionState};
use engine::core::signal::SignalKind;
use engine::core::user::Skip;

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
    ] {
        assert_eq!(what.as_str(), word);
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
