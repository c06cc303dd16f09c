//! Support for measurements of whole servers: loads, and reading what a process used.
//!
//! Micro-benchmarks are under `benches/` (`cargo xtask bench`), measurements of whole servers under `bin/http_bench`
//! (`cargo xtask bench-http`), the independent recomputation of a demo run under `recompute/`.

pub mod load;
pub mod sys;
pub mod wrk;
