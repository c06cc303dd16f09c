//! A desk with a core and a model side by side, and random steps for it.

#![expect(unreachable_pub, reason = "modules of one test program")]

mod dice;
pub mod steps;
pub mod venue;
pub mod world;
