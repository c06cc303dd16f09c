//! The paper exchange as Binance, its faults by rule, and hostile input to either face.

mod day_figures;
mod faults;
mod hostile_input;
mod keys;
mod orders;
mod streams;
mod support;
