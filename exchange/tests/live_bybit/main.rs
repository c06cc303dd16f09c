//! The words of Bybit, spoken and read without a network.

mod answers;
mod hostile;
mod refusals;
mod requests;
mod streams;
mod support;
mod trade_socket;
