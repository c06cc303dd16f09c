//! Bybit V5 linear.
