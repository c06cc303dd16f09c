//! The pure, deterministic state machine: users, signals, risk, orders, positions, ledger.
//!
//! [`decide::decide`] looks at the state and gives events or a refusal; [`apply::apply`] is the only code that changes
//! the state. **Never**: no I/O, no clock, no randomness, no threads, no floating point.

pub mod apply;
pub mod auth;
pub mod codec;
pub mod command;
pub mod decide;
pub mod event;
pub mod fixed;
pub mod ids;
pub mod instrument;
pub mod key;
mod layout_v1;
pub mod ledger;
pub mod order;
pub mod position;
pub mod rules;
pub mod signal;
pub mod state;
pub mod user;
pub mod venue_account;
