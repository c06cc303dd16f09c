//! Bugs in `engine::core`: what is decided and booked.

use super::{Mutant, sim, test};

pub(super) const MUTANTS: &[Mutant] = &[
    test(
        "close_rounded_up",
        ("engine", "core_closing", "a_close_rounds_down"),
        "A close is rounded up to the step and asks for more than is open.",
    ),
    test(
        "close_stopped_by_halt",
        ("engine", "core_closing", "nothing_refuses_a_close"),
        "The user's halt latch stops closes as well as opens.",
    ),
    test(
        "close_reaches_other_sources",
        ("engine", "core_closing", "a_signal_does_not_close_the_other"),
        "A closing signal closes what another source opened.",
    ),
    test(
        "close_given_up_when_its_rounds_are_used_up",
        ("engine", "core_closing", "a_close_that_is_refused_for_days"),
        "A forced close that was refused for days is never tried again.",
    ),
    test(
        "second_close_beside_the_first",
        ("engine", "core_closing", "stop_and_close_share"),
        "A close is sent while another is at work.",
    ),
    test(
        "fill_after_cancel_dropped",
        ("engine", "core_closing", "an_entry_that_fills_while_it_is_taken_back"),
        "A fill that comes after the cancel was asked for is not booked.",
    ),
    test(
        "late_entry_not_closed",
        ("engine", "core_late_fills", "case_u3_an_entry_that_fills"),
        "What an entry opens that fills after its end is booked and left open.",
    ),
    test(
        "forgotten_entry_decided_anew",
        ("engine", "core_late_fills", "a_forgotten_entry_that_fills"),
        "An entry that the state has forgotten and that fills late counts as decided then, with nothing filled before.",
    ),
    test(
        "key_entered_meanwhile_replaced_by_the_old_one",
        ("engine", "core_keys", "a_key_that_is_sealed_anew"),
        "A key that was sealed anew takes the place of another one that was entered meanwhile.",
    ),
    test(
        "unanswered_stop_counts_as_live",
        ("engine", "core_protection", "a_stop_whose_fate_is_unknown"),
        "The check for a live stop is content with one that the venue never confirmed.",
    ),
    test(
        "ended_stop_left_alone",
        ("engine", "core_protection", "a_rejected_stop_is_placed_three_times"),
        "A stop that the venue rejected is never placed again.",
    ),
    test(
        "new_stop_with_the_old_id",
        ("engine", "core_protection", "a_rejected_stop_is_placed_three_times"),
        "The stop that replaces a rejected one has its id.",
    ),
    test(
        "repeat_key_without_source",
        ("engine", "core_signals", "two_sources_do_not_share"),
        "Repeats are looked for without regard to the source.",
    ),
    test(
        "close_held_by_rate_limit",
        ("engine", "core_signals", "the_rate_limit_never_drops_a_close"),
        "A close is refused when its source has used up its opens.",
    ),
    test(
        "closes_counted_as_opens",
        ("engine", "core_signals", "a_close_covers"),
        "A close goes the way of an open: it uses up the rate limit and covers no opens.",
    ),
    test(
        "finish_told_twice",
        ("engine", "core_signals", "the_receipt_counts_and_is_finished_once"),
        "A signal that is finished can be finished again with other counts.",
    ),
    test(
        "superseded_open_executed",
        ("engine", "core_signals", "a_close_covers_the_opens_before_it"),
        "An open that a later close covers is executed all the same.",
    ),
    test(
        "expired_signal_executed",
        ("engine", "core_signals", "a_fan_out_lasts_120_seconds"),
        "An open is executed after it expired.",
    ),
    test(
        "signal_decided_again",
        ("engine", "core_checks", "each_signal_is_decided_once"),
        "A second offer of a signal is decided as if it were the first.",
    ),
    test(
        "one_position_too_many",
        ("engine", "core_checks", "each_check_refuses_with_its_name"),
        "The largest number of positions is off by one.",
    ),
    test(
        "daily_loss_latch_never_ends",
        ("engine", "core_checks", "a_loss_of_ten_percent_latches"),
        "The latch of the daily loss limit holds for ever.",
    ),
    test(
        "cooldown_not_set",
        ("engine", "core_checks", "the_cool_down_ends_120_minutes"),
        "A close sets no cool-down.",
    ),
    test(
        "reversal_opens_before_flat",
        ("engine", "core_reversal", "a_reversal_closes_waits_for_flat"),
        "A reversal opens while the opposite position is still being closed.",
    ),
    test(
        "exposure_not_clamped",
        ("engine", "core_sizing", "the_users_exposure_clamps"),
        "The user's largest exposure is not looked at.",
    ),
    test(
        "bracket_cap_ignored",
        ("engine", "core_sizing", "case_l6_the_largest_notional_at_the_leverage_clamps"),
        "The largest notional that the exchange allows at a leverage is not looked at.",
    ),
    test(
        "open_rounded_up",
        ("engine", "core_sizing", "the_size_is_floored_to_the_step"),
        "The size of an open is rounded up to the step.",
    ),
    test(
        "unknown_order_taken_for_failed",
        ("engine", "core_reports", "an_unanswered_order_is_unknown"),
        "An order that the venue does not know yet counts as rejected.",
    ),
    test(
        "fill_told_twice_is_booked_twice",
        ("engine", "core_reports", "each_report_told_again"),
        "A fill that is told again is booked again.",
    ),
    test(
        "fill_overwrites_the_last",
        ("engine", "core_reports", "fills_add_up_to_what_was_asked"),
        "What an order has filled is the last fill and not the sum.",
    ),
    test(
        "reserved_margin_not_released",
        ("engine", "core_reports", "an_entry_filled_in_part_and_ended"),
        "An entry that ended in part keeps margin for the rest of it.",
    ),
    test(
        "liquidation_told_twice_is_booked_twice",
        ("engine", "core_money", "a_liquidation_told_again"),
        "A liquidation that is told again is booked again.",
    ),
    test(
        "funding_told_twice_is_booked_twice",
        ("engine", "core_money", "funding_is_booked_once"),
        "A settlement of funding that is told again is booked again.",
    ),
    test(
        "carried_loss_forgotten",
        ("engine", "core_money", "a_fee_is_not_paid_twice"),
        "Earlier losses are not set against a profit.",
    ),
    test(
        "share_charged_on_losses",
        ("engine", "core_money", "a_liquidation_closes_books_and_charges_nothing"),
        "A profit share is taken of a loss.",
    ),
    test(
        "share_charged_twice",
        ("engine", "core_money", "a_position_is_charged_once"),
        "A position's profit share is booked twice.",
    ),
    test(
        "rounding_remainder_lost",
        ("engine", "core_money", "however_it_is_filled"),
        "The profit of an exit in parts is computed from a rounded average price.",
    ),
    sim("fee_not_booked", "balance USDT-PAPER wallet:0: the model has", "The fee of a fill is not booked."),
    test(
        "fee_with_the_wrong_sign",
        ("engine", "core_money", "every_movement_is_a_balanced_entry"),
        "The fee of a fill is credited instead of charged.",
    ),
    test(
        "session_outlives_log_out",
        ("engine", "shard_callers", "a_session_ends"),
        "A session is alive after its log-out.",
    ),
    test(
        "session_outlives_its_end",
        ("engine", "shard_callers", "a_session_ends"),
        "A session is alive after its time.",
    ),
    sim(
        "only_the_newest_session_is_alive",
        "was turned away, and the session of",
        "A log-in ends the sessions before it for whoever asks, not in the state.",
    ),
];
