//! The words of Binance, spoken and read without a network.

mod answers_are_read;
mod day_tickers_are_read;
mod hostile_text_never_panics;
mod instruments_by_their_filters;
mod orders_over_the_trade_socket;
mod refusals_by_the_table;
mod requests_are_exact;
mod streams_are_read;
mod support;
