//! Planted bugs: known faults in the product's own code, off for good in every normal build, switched on one at a time by
//! `cargo xtask mutants` to see which test or simulated seed catches each.
//!
//! `if planted!("name") { wrong } else { right }` is `if false` unless the whole build was made with `--cfg planted`; then
//! the variable `COINBITCLUB_PLANTED` names the one that is on. The names, with what each does and what must catch it, are
//! in `xtask/src/mutants/`; `cargo xtask tidy` checks that the two agree.
//!
//! **Invariants**: a normal build contains none of it. **Never**: part of a release.

#![forbid(unsafe_code)]

/// Whether the bug of this name is switched on: `false`, and known to be so by the compiler, in every normal build.
#[cfg(not(planted))]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        false
    };
}

/// Whether the bug of this name is switched on.
#[cfg(planted)]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        $crate::is($name)
    };
}

/// Whether `COINBITCLUB_PLANTED` names this bug. It is read once.
#[cfg(planted)]
#[must_use]
pub fn is(name: &str) -> bool {
    static ACTIVE: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    ACTIVE.get_or_init(|| std::env::var("COINBITCLUB_PLANTED").ok()).as_deref() == Some(name)
}
