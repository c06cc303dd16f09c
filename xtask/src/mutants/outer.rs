//! Bugs in the rooms around them: `ringbuf`, `exchange`, `net`, `api`.

use super::{Mutant, loom, sim, test};

pub(super) const MUTANTS: &[Mutant] = &[
    loom(
        "ring_without_a_strike",
        ("loom_doorbell", "a_flag_set"),
        "A ringer takes the announcement and does not strike the bell.",
    ),
    loom(
        "announce_without_a_fence",
        ("loom_doorbell", "a_flag_set"),
        "The sleeper's look at the rings may come before its announcement.",
    ),
    loom(
        "ring_without_a_fence",
        ("loom_doorbell", "a_flag_set"),
        "The ringer's look at the announcement may come before its push.",
    ),
    loom(
        "item_published_relaxed",
        ("loom_doorbell", "a_consumer_that_parks"),
        "An item is published before its bytes are.",
    ),
    test(
        "memory_forgets_the_cursor",
        ("api", "history_routes", "case_z1_z2"),
        "The state answers every page of a history with the newest rows.",
    ),
    test(
        "another_history_is_told",
        ("api", "history_routes", "rows_that_never_happened_here"),
        "Reads go to a database that holds another history than the server's.",
    ),
    test(
        "fee_counted_for_each_position",
        ("api", "history_routes", "with_what_the_database_says"),
        "Performance by symbol counts a profit for each position that its entry had.",
    ),
    test(
        "newcomer_gets_the_first_figures",
        ("api", "lib", "case_s13"),
        "What is pushed to dashboards is not in what a new one begins with.",
    ),
    test(
        "percentage_of_the_margin",
        ("api", "history_routes", "case_f8"),
        "A profit in percent is of another base than the one that is stated.",
    ),
    test(
        "restore_takes_any_master_key",
        ("api", "exchange_keys", "a_backup_says_which_master_key"),
        "A backup is restored beside a master key that opens none of its exchange keys.",
    ),
    test(
        "page_beyond_what_a_connection_queues",
        ("api", "lib", "a_page_ends_at_its_bytes"),
        "A page of history is as large as was asked for, whatever a connection may have queued.",
    ),
    test(
        "part_of_an_export_is_called_whole",
        ("api", "history_routes", "a_part_is_never_taken_for_the_whole"),
        "An export whose database went away ends like a whole one.",
    ),
    test(
        "abort_looks_like_an_end",
        ("api", "history_routes", "a_part_is_never_taken_for_the_whole"),
        "A connection that is aborted once all is sent ends as one that was finished.",
    ),
    test(
        "telegram_window_half_as_long",
        ("api", "lib", "case_r7_what_comes_meanwhile"),
        "A chat gets another message half a second after the last, a group after half a minute of twenty.",
    ),
    test(
        "telegram_pause_made_shorter",
        ("api", "lib", "case_r8_ten_thousand_seconds"),
        "Of two answers that ask for a pause the later counts, not the longer.",
    ),
    test(
        "merged_lines_lost_uncounted",
        ("api", "lib", "what_does_not_fit_is_counted"),
        "A merged message does not say how many lines were left out of it.",
    ),
    test(
        "failed_alert_given_up",
        ("api", "lib", "case_r7_case_r8_whatever_comes"),
        "An alert that Telegram did not take is not sent again.",
    ),
    test(
        "alert_told_again_at_once",
        ("api", "lib", "one_that_comes_and_goes"),
        "An alert that comes and goes is told each time.",
    ),
    test(
        "token_told_with_an_answer",
        ("api", "lib", "an_answer_that_tells_the_token"),
        "What Telegram answers is logged also when it repeats the bot's token.",
    ),
    test(
        "one_id_makes_two_orders",
        ("exchange", "embedded_venue", "a_live_order"),
        "The paper venue makes a second order for an id it knows.",
    ),
    test(
        "venue_asks_for_no_margin",
        ("exchange", "embedded_venue", "margin_with_fee"),
        "The paper venue accepts an open without the margin for it.",
    ),
    test(
        "answer_overtakes_an_earlier_one",
        ("net", "http", "early_answers_wait_for_their_turn::any_order_of_answers"),
        "The answer to a pipelined request is written before those of earlier ones.",
    ),
    test(
        "handed_call_told_as_not_sent",
        ("net", "client", "outcomes_are_exact::wherever_the_server_stops_answering"),
        "A call whose bytes may have arrived is told as not sent, or sent again.",
    ),
    test(
        "repeats_forgotten_on_recovery",
        ("api", "crash_same_digest", "the_running_state_is"),
        "The keys of accepted signals are not taken from a snapshot.",
    ),
    test(
        "user_stays_when_shards_change",
        ("api", "crash_same_digest", "the_running_state_is"),
        "A change of the number of shards leaves users where they were.",
    ),
    sim(
        "failed_snapshot_stops_the_shard",
        "stopped, and nothing of its log was made to fail",
        "A shard stops when a snapshot fails.",
    ),
    sim(
        "account_not_connected_after_a_restart",
        "the exchange still differs",
        "After a restart nobody looks after the accounts on exchanges.",
    ),
    sim(
        "record_applied_though_the_snapshot_holds_it",
        "a crash took back what was promised",
        "Recovery applies records that a snapshot's user already holds.",
    ),
    sim(
        "finished_receipt_not_found",
        "was answered that it is not there, and it is",
        "The receipt of a signal is not found once it is finished.",
    ),
    sim(
        "follower_sees_every_line",
        "which is not for this reader",
        "A receipt shows a follower the lines of the others on their shard.",
    ),
    sim("receipt_row_forgotten", ": no line of", "A receipt leaves out the first subscriber of each shard."),
    sim(
        "available_with_what_is_bound",
        "available",
        "A page of balances calls the margin of positions available.",
    ),
    sim(
        "close_refused_beside_others",
        "was answered",
        "A close is answered busy while anything else is under way on its shard.",
    ),
    sim(
        "shards_change_before_their_history_is_kept",
        "s for the database to get everything",
        "Another number of shards begins while the history of the logs so far is not in the database.",
    ),
    sim(
        "last_fill_left_out_of_the_history",
        "rows of fills, and",
        "The history has an order's first fill and none of the others.",
    ),
    sim("statement_without_its_oldest", "entries shown: shown", "A statement leaves out its oldest entry."),
    sim(
        "reversal_told_as_the_signals_price",
        "fill_prices",
        "What closed the position before a reversal counts among the prices of the reversing signal.",
    ),
    sim(
        "reverse_not_read",
        "was decided otherwise than it was sent",
        "What a subscription says of reversals is not read.",
    ),
    sim("short_read_as_long", "and means", "One of the words for a short is read as a long."),
    sim(
        "spread_since_the_signals_own_time",
        ": shown",
        "The spreads of a receipt are counted from the time that the signal carries, not from its acceptance.",
    ),
    sim(
        "refusal_closes_the_connection",
        "a connection was closed",
        "What is refused is answered by closing the connection.",
    ),
    sim(
        "two_signals_of_a_second_are_one",
        "it counts as a repeat",
        "Of two signals without an id that carry the same second, the second counts as a repeat.",
    ),
    sim(
        "wrong_password_not_counted",
        "nothing like it was decided",
        "A log-in with a wrong password is refused and not counted.",
    ),
];
