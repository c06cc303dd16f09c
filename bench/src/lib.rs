//! Support for measurements of whole servers: loads, and reading what a process used.
//!
//! Micro-benchmarks are under `benches/` (`cargo xtask bench`), measurements of whole servers under `bin/http_bench`
//! (`cargo xtask bench-http`), of an order to an exchange under `bin/order_cost` (docs/exchanges.md), of the history's projector under `bin/history` (docs/history-bench.md), the independent recomputation of a demo run under `recompute/`.

pub mod child;
pub mod load;
pub mod orders;
pub mod sys;
pub mod wrk;
