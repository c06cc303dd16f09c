//! x
pub mod signal;
