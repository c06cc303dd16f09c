//! The pure, deterministic state machine.

pub mod fixed;
pub mod ids;
pub mod instrument;
pub mod order;
