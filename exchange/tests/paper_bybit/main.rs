//! The paper exchange as Bybit: what a client is answered.

mod account;
mod attached_stops;
mod conditional;
mod filters;
mod funding;
mod hostile;
mod ids;
mod limits;
mod private_stream;
mod public;
mod reduce_only;
mod signatures;
mod support;
mod trade_socket;
