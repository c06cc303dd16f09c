//! A desk with a core and a model side by side, and random steps for it.

pub mod steps;
pub mod world;
