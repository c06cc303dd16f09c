//! `cargo xtask mutants`: known bugs, planted in the product's own code, each switched on alone to see that a check fails.
//!
//! **Purpose**: a test that cannot fail protects nothing; here each promise is broken once and somebody has to notice.
//! **Owns**: the list of the bugs (one file for each room), the build with `--cfg planted` under `target/planted`.
//! **Invariants**: every check passes with no bug on before it may be said to catch one; a filter that matches no test is an
//! error; so is a check that does not end.
//! **Never**: touches the normal build, or writes outside `target`.

mod build;
mod core;
mod judge;
mod live;
mod outer;
mod run;
mod shard;
mod storage;

pub(crate) use run::{command, step};

/// A known bug.
pub(crate) struct Mutant {
    /// As in `planted!("…")`.
    pub(crate) name: &'static str,
    /// What it does, in a sentence.
    pub(crate) does: &'static str,
    /// What has to catch it.
    pub(crate) check: Check,
    /// The simulator, where it has to catch it as well.
    pub(crate) also: Option<Check>,
}

impl Mutant {
    /// The simulator has to find it too, and say so in these words, or in one of those between bars: which rule is broken first may
    /// change with each build.
    const fn and_sim(mut self, says: &'static str) -> Self {
        self.also = Some(Check::Sim { live: false, seeds_max: SEEDS, says });
        self
    }

    /// The same with accounts on exchanges in all seeds.
    const fn and_live_sim(mut self, says: &'static str) -> Self {
        self.also = Some(Check::Sim { live: true, seeds_max: LIVE_SEEDS, says });
        self
    }

    /// All that have to catch it.
    pub(crate) fn checks(&self) -> impl Iterator<Item = Check> {
        [self.check].into_iter().chain(self.also)
    }
}

/// What has to catch a bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// Tests whose name contains the filter.
    Test {
        /// The package, without `coinbitclub-`; `api` is `coinbitclub` itself.
        package: &'static str,
        /// A file of its `tests/`, or `lib`.
        test: &'static str,
        /// A part of the names.
        filter: &'static str,
    },
    /// The same for the ring's model checking, which is another build.
    Loom {
        /// A file of `ringbuf/tests/`.
        test: &'static str,
        /// A part of the names.
        filter: &'static str,
    },
    /// The simulated server, within so many seeds.
    Sim {
        /// All seeds have accounts on exchanges.
        live: bool,
        /// Seeds are 0 up to here.
        seeds_max: u32,
        /// A part of what it says is violated: another violation is another bug's.
        says: &'static str,
    },
}

/// How many seeds the simulator gets for a bug.
const SEEDS: u32 = 200;
/// The same where all of them have accounts on exchanges, which takes longer.
const LIVE_SEEDS: u32 = 60;

const fn test(
    name: &'static str,
    (package, test, filter): (&'static str, &'static str, &'static str),
    does: &'static str,
) -> Mutant {
    Mutant { name, does, check: Check::Test { package, test, filter }, also: None }
}

const fn sim(name: &'static str, says: &'static str, does: &'static str) -> Mutant {
    Mutant { name, does, check: Check::Sim { live: false, seeds_max: SEEDS, says }, also: None }
}

const fn live_sim(name: &'static str, says: &'static str, does: &'static str) -> Mutant {
    Mutant { name, does, check: Check::Sim { live: true, seeds_max: LIVE_SEEDS, says }, also: None }
}

const fn loom(
    name: &'static str,
    (test, filter): (&'static str, &'static str),
    does: &'static str,
) -> Mutant {
    Mutant { name, does, check: Check::Loom { test, filter }, also: None }
}

const ROOMS: [&[Mutant]; 6] =
    [core::MUTANTS, shard::MUTANTS, storage::MUTANTS, live::MUTANTS, judge::MUTANTS, outer::MUTANTS];

/// Every known bug.
pub(crate) fn all() -> impl Iterator<Item = &'static Mutant> {
    ROOMS.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_blank() {
        for mutant in all() {
            assert!(mutant.does.ends_with('.') && !mutant.name.is_empty(), "{}", mutant.name);
            for check in mutant.checks() {
                let (Check::Test { filter: by, .. }
                | Check::Loom { filter: by, .. }
                | Check::Sim { says: by, .. }) = check;
                assert!(!by.is_empty(), "{}", mutant.name);
            }
        }
    }
}
