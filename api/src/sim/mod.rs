//! The deterministic simulator.
mod client;
mod damage;
mod director;
mod disk;
mod executor;
pub mod faults;
pub mod fleet;
mod gateway;
mod intent;
mod judge;
pub mod model;
mod people;
mod plan;
mod run;
mod seams;
mod server;
mod situation;
mod venue;
mod world;

pub use plan::Overrides;
pub use run::{Outcome, run};
