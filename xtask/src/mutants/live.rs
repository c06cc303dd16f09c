//! Bugs on the way to an exchange: `exchange::live`, and the paper exchange that its promises are tested against.

use super::{Mutant, live_sim, sim, test};

pub(super) const MUTANTS: &[Mutant] = &[
    // Unknown outcomes.
    test(
        "lost_answer_sends_the_order_again",
        ("exchange", "live_cases", "case_u1_case_u9"),
        "An order whose answer was lost is sent again without a question.",
    ),
    test(
        "lost_answer_taken_for_not_placed",
        ("exchange", "live_cases", "case_u1_case_u9"),
        "An order whose answer was lost counts as not placed, and nobody asks.",
    ),
    test(
        "unknown_order_sent_again_with_another_id",
        ("exchange", "live_cases", "case_u1_case_u9"),
        "An order of unknown outcome is sent again under another client id.",
    )
    .and_live_sim(
        "s for everything to settle|is on the exchange without a live stop|the exchange still differs",
    ),
    test(
        "duplicate_id_taken_for_a_refusal",
        ("exchange", "live_cases", "case_u2_a_duplicate_id"),
        "That the exchange has the id already counts as a refusal of the order.",
    ),
    test(
        "recovered_order_sent_without_asking",
        ("exchange", "live_cases", "case_u10_an_order_that_arrived"),
        "After a restart an order that may have been sent is sent without asking for it first.",
    ),
    test(
        "lost_answer_to_a_cancel_taken_for_done",
        ("exchange", "live_cases", "case_u11_a_cancel"),
        "A cancel whose answer was lost counts as the end of its order.",
    ),
    test(
        "cancel_of_what_is_not_there_taken_for_done",
        ("exchange", "live_cases", "case_u11_a_cancel"),
        "A cancel of an order that is filled, or not there yet, counts as its end.",
    ),
    test(
        "unknown_503_taken_for_a_failure",
        ("exchange", "live_binance", "case_u1_a_503"),
        "The 503 that says that the outcome is unknown counts as a sure failure.",
    ),
    // Fills and what others do.
    test(
        "missed_fills_not_asked_for",
        ("exchange", "live_cases", "case_u1_case_u9"),
        "Fills that an order has and no stream told are not asked for.",
    )
    .and_live_sim(
        "s for everything to settle|is on the exchange without a live stop|the exchange still differs",
    ),
    test(
        "fills_of_a_fired_trigger_not_asked_for",
        ("exchange", "live_cases", "case_p8_what_a_fired_trigger_did"),
        "Fills of a position's own trigger, of which its end was told, are not asked for.",
    ),
    test(
        "lost_position_event_not_missed",
        ("exchange", "live_cases", "case_p8_a_position_that_only_its_fills_tell"),
        "A position that the fills told and no event counts as not there, until the accounts' turn comes.",
    ),
    test(
        "difference_believed_by_an_old_list",
        ("exchange", "live_cases", "case_p4_case_p6"),
        "A position is closed in the books because a list does not have it that is older than its fill.",
    ),
    test(
        "fill_told_twice",
        ("exchange", "lib", "each_fill_is_told_once"),
        "A fill that the exchange tells again is told again, as another one.",
    ),
    test(
        "end_told_before_the_last_fills",
        ("exchange", "lib", "case_p3_a_cancelled_order"),
        "The end of an order is told while fills of it are still missing.",
    )
    .and_live_sim(
        "s for everything to settle|is on the exchange without a live stop|the exchange still differs",
    ),
    test(
        "gap_of_a_stream_not_compared",
        ("exchange", "live_cases", "case_s9_what_happens"),
        "Nothing is compared when a stream begins.",
    ),
    test(
        "event_taken_for_another_accounts",
        ("exchange", "live_cases", "an_event_of_a_shared_stream"),
        "An event of a shared stream goes to the first account on it, whoever it is for.",
    ),
    test(
        "dead_key_asked_with_again_and_again",
        ("exchange", "live_cases", "a_key_that_was_deleted_costs"),
        "An account whose key was deleted asks on every two seconds and opens sockets that cannot log in.",
    ),
    test(
        "refused_log_in_silences_the_account",
        ("exchange", "live_cases", "an_account_whose_stream_is_refused"),
        "An account whose log-in to a socket is refused asks nothing by HTTP either.",
    ),
    test(
        "held_position_not_looked_at",
        ("exchange", "live_cases", "a_key_that_was_deleted_costs"),
        "A position of an account that is refused is looked for as seldom as accounts that hold nothing.",
    ),
    test(
        "refused_cancel_repeated_at_once",
        ("exchange", "live_cases", "a_cancel_that_is_refused"),
        "A cancel that the exchange refuses goes again as soon as its order is seen to be live.",
    ),
    test(
        "unreadable_funding_asked_for_again_and_again",
        ("exchange", "live_cases", "funding_that_cannot_be_read"),
        "Funding that cannot be read is asked for every two seconds, for ever.",
    ),
    test(
        "funding_from_before_a_position_is_its",
        ("exchange", "lib", "funding_from_before_a_position"),
        "After a restart, funding that the user's own position of the symbol paid before is booked to ours.",
    ),
    test(
        "mended_fault_stays",
        ("exchange", "live_cases", "a_fault_that_its_user_has_mended"),
        "An account that was refused once is not looked at again before its nightly check.",
    ),
    test(
        "exit_waits_for_the_answers_to_entries",
        ("exchange", "live_fan_out", "closes_overtake_the_entries_whose_answers"),
        "Entries may use every place of a request that is under way.",
    ),
    test(
        "exit_waits_for_connections_behind_entries",
        ("exchange", "lib", "an_exit_by_http_finds_a_connection"),
        "An exit by HTTP waits for a connection like everything else.",
    ),
    test(
        "one_address_has_two_budgets",
        ("api", "lib", "an_account_that_chose_no_address"),
        "Accounts that chose no address have a budget of their own for the address that others chose.",
    ),
    test(
        "listen_key_not_kept",
        ("exchange", "live_cases", "case_s5_the_listen_key"),
        "A listen key is not kept before its hour ends.",
    ),
    test(
        "word_of_one_symbol_hides_another",
        ("exchange", "live_cases", "case_p6_what_a_hand_does"),
        "While others trade on one symbol, nothing is found out about another.",
    ),
    test(
        "wallet_believed_at_once",
        ("exchange", "live_cases", "a_stop_that_fires_while_the_wallet"),
        "A balance is believed without a look at what is open after it.",
    ),
    test(
        "last_question_keeps_the_wallet_from_counting",
        ("exchange", "live_cases", "case_f5_a_fee_in_another_asset"),
        "While a trigger rests on Binance, no balance is believed: the last question of a comparison counts as under way.",
    ),
    test(
        "trade_of_others_booked_twice",
        ("exchange", "lib", "an_execution_by_the_exchange"),
        "An execution by the exchange or the user that is told twice is booked twice.",
    ),
    test(
        "funding_known_by_its_exact_time",
        ("exchange", "lib", "case_f1_funding_that_stream_and_list"),
        "Funding that stream and list tell with times some milliseconds apart is booked twice.",
    ),
    test(
        "executions_of_a_downtime_not_read",
        ("exchange", "live_cases", "case_p8_case_p9_what_closed"),
        "What closed a position more than ten minutes before a start is booked at the price of now.",
    ),
    test(
        "funding_of_a_downtime_not_read",
        ("exchange", "live_cases", "case_f1_case_x18_funding_of_a_long_downtime"),
        "Funding older than nine hours at a start is money that came from nowhere.",
    ),
    test(
        "funding_read_to_its_first_page",
        ("exchange", "live_cases", "case_f1_case_x18_funding_of_a_long_downtime"),
        "The list of funding is read to its first page.",
    ),
    test(
        "funding_told_before_older_is_read",
        ("exchange", "live_cases", "case_f1_funding_that_a_stream_tells_first"),
        "Funding that a stream tells before the list is read hides what was settled earlier.",
    ),
    test(
        "fill_after_its_orders_end_dropped",
        ("exchange", "lib", "case_p10_a_fill_after_its_orders_end"),
        "A fill of an order whose end was told is dropped.",
    ),
    test(
        "late_entry_taken_for_foreign",
        ("exchange", "live_cases", "case_u3_an_entry_that_fills_after"),
        "What an entry that is over has opened counts as somebody else's, unread its fills.",
    ),
    test(
        "entry_given_up_beside_what_it_opened",
        ("exchange", "live_cases", "case_u6_case_u8_an_entry_is_not_given_up"),
        "An entry counts as never arrived while a position of its symbol is held that nothing explains.",
    ),
    test(
        "questions_without_a_key_wait_for_ever",
        ("exchange", "live_cases", "case_u3_what_was_asked_without_a_key"),
        "What was asked while an account had no key waits for an answer that never comes.",
    ),
    test(
        "entry_beside_a_foreign_position",
        ("exchange", "live_cases", "case_p6_what_was_opened_by_hand"),
        "An entry is sent to a symbol on which the user holds a position by hand.",
    ),
    test(
        "close_takes_the_foreign_part_too",
        ("exchange", "live_cases", "case_p6_a_close_of_ours"),
        "A close takes the whole position on the exchange, also what a hand added to ours.",
    ),
    // Protection and exits.
    live_sim(
        "stop_told_live_and_never_set",
        "is on the exchange without a live stop",
        "A stop counts as live and is never sent to Binance.",
    ),
    test(
        "lost_stop_of_a_position_not_set_again",
        ("exchange", "live_cases", "case_o9_an_open_position"),
        "A stop that is gone from a position on Bybit is not set again.",
    ),
    test(
        "listen_keys_that_come_alone_stay_alone",
        ("exchange", "live_cases", "accounts_that_come_one_by_one"),
        "Each account that is connected by itself has a connection of its own for good.",
    ),
    test(
        "kept_key_gets_a_second_stream",
        ("exchange", "live_cases", "a_listen_key_that_cannot_be_kept"),
        "A listen key whose renewal failed gets a second stream beside the one that tells.",
    ),
    test(
        "answer_about_the_clock_paired_with_the_last_question",
        ("exchange", "live_cases", "case_t1_an_answer_about_the_time"),
        "An answer about the exchange's clock is measured from a question that was asked after its own.",
    ),
    test(
        "mistyped_secret_taken_for_a_mistake_of_ours",
        ("exchange", "live_cases", "a_mistyped_secret_is_named"),
        "A user whose secret is not that of the key is never told.",
    ),
    test(
        "unjudged_key_not_asked_about_again",
        ("exchange", "live_cases", "a_key_that_could_not_be_judged_at_once"),
        "A new key whose question had no answer is never asked about again when something else was wanted sooner.",
    ),
    test(
        "fills_asked_for_behind_comparisons",
        ("exchange", "live_cases", "fills_that_no_stream_told_are_read"),
        "What an unprotected entry was filled is asked for only while comparisons may be made.",
    ),
    test(
        "refused_comparison_asked_again_at_once",
        ("exchange", "live_cases", "a_question_that_is_refused_for_no_reason"),
        "A question about an account that is refused is asked again every two seconds for ever.",
    ),
    test(
        "expired_stop_taken_for_a_closed_position",
        ("exchange", "live_cases", "case_o9_a_trigger_that_the_exchange"),
        "A stop that the exchange took back by itself counts as ended with its position, which is open.",
    ),
    test(
        "refused_stop_left_to_the_next_comparison",
        ("exchange", "live_cases", "case_o9_a_lost_stop_whose_price"),
        "A stop that is gone and is refused because its price was passed is not told to the engine.",
    ),
    test(
        "position_without_a_stop_left_open",
        ("engine", "core_protection", "without_a_live_stop_after_five_seconds"),
        "A position without a live stop for 5 s is not closed.",
    ),
    test(
        "exit_without_reduce_only",
        ("exchange", "live_binance", "case_h8_case_o4_an_exit"),
        "An exit does not say that it may only reduce.",
    ),
    test(
        "leverage_on_its_way_not_doubted",
        ("exchange", "live_cases", "case_l5_an_entry_does_not_go_by_a_leverage"),
        "An entry goes by the leverage that was, while another one's is on its way.",
    ),
    test(
        "entry_sent_before_its_leverage",
        ("exchange", "live_cases", "case_l5_the_leverage"),
        "An entry is sent without waiting for leverage and margin type.",
    ),
    test(
        "no_change_needed_taken_for_a_failure",
        ("exchange", "live_binance", "case_l1_what_is_so_already"),
        "That a setting needs no change counts as a failure to set it.",
    ),
    // What is sent, and when.
    test(
        "signed_body_written_another_time",
        ("exchange", "live_bybit", "case_t8_the_bytes"),
        "The body that is signed is written a second time, with blanks, to be sent.",
    ),
    test(
        "signed_in_another_order_than_the_exchange_checks",
        ("exchange", "live_binance", "every_message_is_signed"),
        "Parameters of a socket's request are signed in the order of sending and not in that of their names.",
    ),
    test(
        "signed_with_the_time_of_queueing",
        ("exchange", "live_cases", "case_t4_an_order_that_had_to_wait"),
        "An order carries the time at which it was queued, however long it waited.",
    ),
    test(
        "refused_time_not_measured_again",
        ("exchange", "live_cases", "case_t1_case_t2_case_t3"),
        "The exchange's clock is not measured again when it refuses a time.",
    ),
    test(
        "quantity_in_scientific_form",
        ("exchange", "live_binance", "case_x5"),
        "Quantities are written with an exponent.",
    ),
    test(
        "two_readings_of_brackets_at_once",
        ("exchange", "live_cases", "brackets_are_read_once"),
        "Every account that is ready asks for the brackets, whether or not they are asked for already.",
    ),
    test(
        "only_the_first_page_of_brackets_read",
        ("exchange", "live_cases", "case_l6_brackets_are_read"),
        "The risk limits of all symbols end with their first page.",
    ),
    test(
        "only_the_first_page_of_instruments_read",
        ("exchange", "live_cases", "case_x18_case_x19"),
        "The list of instruments ends with its first page.",
    ),
    test(
        "withdrawal_right_not_looked_at",
        ("exchange", "lib", "case_n12_a_key_trades"),
        "A key that may withdraw is taken.",
    ),
    live_sim(
        "entry_leaves_without_its_stop",
        "and is there as",
        "An entry of Bybit leaves without the stop and the target that are to come with it.",
    ),
    // Limits.
    test("sending_goes_on_after_a_429", ("exchange", "lib", "case_r1_a_429"), "A 429 stops nothing."),
    test(
        "limit_told_after_failures_not_obeyed",
        ("exchange", "lib", "case_r1_a_limit_that_is_told_after_failures"),
        "A 429 that comes after failures had opened the circuit is taken for one of them: exits and sockets are tried on.",
    ),
    test(
        "limit_of_an_account_not_obeyed",
        ("exchange", "lib", "case_r4_a_limit_of_an_account"),
        "A limit of one account does not stop it.",
    ),
    test(
        "what_was_under_way_refused_again",
        ("exchange", "lib", "case_r4_orders_that_left_together"),
        "Two orders that left together and were refused together stop an account to the end of the minute.",
    ),
    test(
        "ban_shortened_by_a_later_limit",
        ("exchange", "lib", "a_ban_is_not_shortened"),
        "A limit that is told during a ban ends the ban with itself.",
    ),
    test(
        "no_share_kept_for_closes",
        ("exchange", "lib", "closes_in_the_middle_of_a_fan_out"),
        "Opens may use the whole budget of an address.",
    ),
    test(
        "spent_lease_never_given_back",
        ("exchange", "lib", "bybit_over_sockets_uses_95_percent"),
        "Units of an address that no longer count at the exchange are not given back.",
    ),
    test(
        "close_waits_behind_opens",
        ("exchange", "live_fan_out", "closes_overtake_the_entries_that_wait"),
        "Closes wait behind everything else that is queued.",
    ),
    test(
        "burst_over_a_socket_ends_it",
        ("exchange", "lib", "a_burst_larger_than_the_network"),
        "A fan-out of more than the network takes at once ends the socket that it goes over.",
    ),
    test(
        "stream_replaced_with_a_gap",
        ("exchange", "live_cases", "case_s4_a_connection"),
        "A private stream that has to be replaced is ended before another one tells.",
    ),
    test(
        "entries_signed_into_a_crowded_socket",
        ("exchange", "live_fan_out", "closes_overtake_the_entries_that_a_crowded"),
        "Entries are signed and queued in a socket that takes no more, with closes behind them.",
    ),
    test(
        "fan_out_in_the_order_of_accounts",
        ("exchange", "live_fan_out", "no_account_is_always_the_first"),
        "The orders of a fan-out leave in the same order each time.",
    ),
    // What arrives.
    live_sim(
        "order_a_step_smaller_on_the_wire",
        "and is there as|s for everything to settle|the exchange still differs|is on the exchange without a live stop",
        "An order is sent a step smaller than it was decided, and counts as filled when that is.",
    ),
    live_sim(
        "target_of_a_position_taken_for_set",
        "no TakeProfit at",
        "Bybit: nobody looks whether a position has its target at our price.",
    ),
    live_sim(
        "stop_of_half_the_position",
        "and is there as|is on the exchange without a live stop",
        "A stop on Binance is sent for half of the position.",
    ),
    // The paper exchange.
    sim(
        "paper_fee_told_and_not_taken",
        "the paper venue still differs",
        "The paper venue tells a fee and does not take it from the wallet.",
    ),
    test(
        "paper_signature_not_looked_at",
        ("exchange", "paper_binance", "case_t6_t7"),
        "The paper exchange takes any signature.",
    ),
    test(
        "paper_takes_the_id_of_a_live_order_again",
        ("exchange", "paper_binance", "case_u13_a_client_id_is_unique"),
        "The paper exchange makes a second order for the id of one that is live.",
    ),
    test(
        "paper_listen_key_lives_a_day",
        ("exchange", "paper_binance", "case_s2_s5"),
        "A listen key of the paper exchange lives a day.",
    ),
    test(
        "sockets_opened_while_banned",
        ("exchange", "live_cases", "case_r2_while_the_address_is_banned"),
        "Sockets are opened while the exchange has shut the address out.",
    )
    .and_live_sim("after it had said that the address is banned"),
    test(
        "answer_after_the_end_dropped",
        ("exchange", "lib", "an_answer_to_a_question_of_before_the_end"),
        "The answer about an entry that ended meanwhile is dropped, though its fills are looked for: its symbol is never quiet again.",
    ),
    test(
        "fill_that_was_made_up_booked_after_a_restart",
        ("exchange", "lib", "what_was_booked_without_its_name"),
        "After a restart an entry's fill is booked that was booked as somebody else's trade before.",
    ),
    test(
        "record_of_a_forgotten_entry_taken_for_whole",
        ("exchange", "lib", "entries_that_never_left"),
        "The record of an entry that was forgotten between two fills is handed to the next process as if it had all of them.",
    ),
    test(
        "fired_trigger_without_a_quantity_taken_for_filled",
        ("exchange", "live_cases", "case_p8_case_o14"),
        "A stop that is over counts as filled with nothing, because the answer about it leaves the quantity out.",
    ),
    test(
        "filled_order_without_a_last_fill_not_ended",
        ("exchange", "lib", "case_p8_a_filled_stop_whose_last_fill"),
        "An order is filled, no fill of it was told as the last, and the engine is not told that it is over.",
    ),
    test(
        "trigger_that_never_ends_firing_counts_as_live",
        ("exchange", "live_cases", "case_o9_a_stop_that_never_ends_firing"),
        "A stop that has fired and becomes no order counts as protection for ever.",
    ),
    test(
        "ended_orders_asked_for_among_the_live_ones_alone",
        ("exchange", "live_cases", "case_u3_an_order_that_bybit_knows"),
        "An order that Bybit knows as history alone counts as unknown.",
    ),
    test(
        "exit_of_a_part_sent_again_unseen",
        ("exchange", "live_cases", "case_u2_case_u8_a_second_copy"),
        "An exit is sent a second time though more is open than it closes and nobody has looked what the first did.",
    ),
    test(
        "questions_about_an_order_multiply",
        ("exchange", "lib", "what_goes_on_by_itself_is_there_once"),
        "Each comparison of an order of unknown outcome begins another chain of questions about it.",
    ),
    test(
        "second_copy_of_an_exit_refused_for_the_first",
        ("exchange", "live_cases", "case_u2_an_exit_whose_second_copy"),
        "An exit that was sent twice counts as refused when its second copy is, though the first closed the position.",
    ),
    test(
        "ban_told_at_a_dial_not_heard",
        ("exchange", "lib", "case_r2_a_ban_that_a_refused_dial_tells_of"),
        "A ban that a refused socket tells of is not heard: sockets are dialled on.",
    ),
    test(
        "probe_of_a_ban_taken_back",
        ("exchange", "lib", "a_ban_is_not_shortened"),
        "The request that finds out whether a ban is over is taken back while it waits for a connection.",
    ),
    test(
        "questions_about_orders_stand_among_exits",
        ("exchange", "live_cases", "an_exit_does_not_wait_behind_questions"),
        "What became of an order is asked for in the line of the exits.",
    ),
    test(
        "calls_wait_through_a_ban",
        ("exchange", "lib", "case_r2_calls_that_wait_for_a_connection"),
        "What waits for a connection when a ban is told is asked in the middle of it.",
    ),
    test(
        "told_end_of_a_ban_not_believed",
        ("exchange", "lib", "a_ban_is_not_shortened"),
        "A ban whose told end is over by our clock and not by the exchange's is waited for as if no end had been told.",
    ),
    test(
        "limits_of_accounts_not_counted",
        ("exchange", "lib", "case_r3_each_account_and_group"),
        "What an account may ask is not kept within its limit.",
    ),
    test(
        "paper_never_bans",
        ("exchange", "lib", "case_r2_who_goes_on_after_a_429"),
        "Who goes on after a 429 of the paper exchange is not banned.",
    ),
    // The Market Pulse.
    test(
        "zero_change_counted_as_positive",
        ("exchange", "lib", "zero_is_not_positive"),
        "A contract whose price is that of 24 hours ago counts as one that rose.",
    ),
    test(
        "any_contract_in_the_pulse",
        ("exchange", "lib", "case_f9_case_y5_what_does_not_trade"),
        "Contracts in other currencies, or with a date of delivery, are in the Market Pulse too.",
    ),
    test(
        "percent_taken_for_a_fraction",
        ("exchange", "live_binance", "a_percentage_is_an_exact_fraction"),
        "Binance's percentages are read as fractions: a hundred times as much.",
    ),
];
