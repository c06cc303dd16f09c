//! Bugs in the simulator's judge itself: one that excuses or agrees with everything finds nothing, so the simulator counts what it
//! judged, and shows the judge what is spoilt.

use super::{Mutant, sim};

pub(super) const MUTANTS: &[Mutant] = &[
    sim(
        "judge_excuses_every_position",
        "ms judged of positions without a stop, by our books",
        "Whatever happens is an excuse for a position without a stop.",
    ),
    sim(
        "judge_excuses_every_exchange",
        "in which a missing stop there would have been judged",
        "The way to an exchange always counts as disturbed.",
    ),
    sim(
        "judge_excuses_every_limit",
        "ms judged of limits on requests",
        "Whoever exceeds a limit of an exchange may not have known of it.",
    ),
    sim(
        "judge_finds_no_difference_on_the_exchange",
        "accounts compared with the exchange",
        "What an exchange holds of an account is not compared with what we say.",
    ),
    sim(
        "judge_agrees_with_every_page",
        "the judge agrees with a page that was spoilt",
        "Every page shows its user as they are.",
    ),
    sim(
        "judge_agrees_with_every_decision",
        "the judge agrees with a decision that was spoilt",
        "Every decision is the one that the model makes.",
    ),
    sim(
        "judge_agrees_with_every_state",
        "the judge agrees with a state that was spoilt",
        "Every state is the one that the model has.",
    ),
];
