//! Support for measurements of the whole server: running `wrk`, and reading what the process itself used.
//!
//! Micro-benchmarks are under `benches/` (`cargo bench -p coinbitclub-bench`), measurements of the whole server under
//! `examples/`, the independent recomputation of a demo run under `recompute/`.

pub mod wrk;
