//! The words of Bybit, spoken and read without a network.

mod answers;
mod day_tickers;
mod hostile;
mod refusals;
mod requests;
mod streams;
mod support;
mod trade_socket;
