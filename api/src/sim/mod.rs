//! The deterministic simulator.
//!
//! [`model`] is the second opinion that every decision of a simulated shard is compared with.

pub mod model;
