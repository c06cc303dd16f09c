//! Bugs in `engine::shard`: what waits, what leaves, and what passes between shards.

use super::{Mutant, sim, test};

pub(super) const MUTANTS: &[Mutant] = &[
    test(
        "answer_before_the_flush",
        ("engine", "shard_worker", "answers_and_orders_wait"),
        "An answer is given before its record is durable.",
    ),
    test(
        "order_before_the_flush",
        ("engine", "shard_worker", "answers_and_orders_wait"),
        "An order leaves before its intent is durable.",
    ),
    sim(
        "fan_out_done_before_the_flush",
        "was not decided on",
        "A shard tells that its part of a fan-out is done before that is durable: a crash loses subscribers for good.",
    ),
    test(
        "fan_out_before_the_flush",
        ("engine", "shard_worker", "answers_and_orders_wait"),
        "A fan-out begins before its signal is durable.",
    ),
    test(
        "read_of_what_is_not_durable",
        ("engine", "shard_worker", "answers_and_orders_wait"),
        "A read is answered from state that a crash could take back.",
    ),
    test(
        "close_refused_on_a_full_lane",
        ("engine", "shard_worker", "a_full_lane_answers_busy"),
        "A close is refused when the high lane is full.",
    ),
    test(
        "lane_deadline_ignored",
        ("engine", "shard_worker", "what_waited_longer"),
        "A command that waited too long is decided all the same.",
    ),
    test(
        "order_overtakes_those_that_wait",
        ("engine", "shard_worker", "a_busy_venue_gets"),
        "An order overtakes those that wait for a busy venue.",
    ),
    test(
        "busy_venue_holds_up_the_others",
        ("engine", "shard_orders", "a_busy_venue_holds_up"),
        "What is for an exchange waits behind what another venue has no room for.",
    ),
    test(
        "fan_out_forgets_the_last",
        ("engine", "shard_worker", "answers_and_orders_wait"),
        "A fan-out leaves out its last subscriber.",
    ),
    test(
        "close_overtakes_without_a_mark",
        ("engine", "shard_worker", "a_close_overtakes"),
        "A close overtakes an opening fan-out without marking it.",
    ),
    test(
        "two_commands_of_a_user_swapped",
        ("engine", "lib", "users_take_turns"),
        "A user's newest command goes to the head of the line.",
    )
    .and_sim("was decided before one that was sent before it"),
    test(
        "lane_place_leaked",
        ("engine", "lib", "a_full_lane_gives_the_task_back"),
        "A place in a lane is not given back.",
    ),
    test(
        "mesh_ticket_leaked",
        ("engine", "shard_mesh", "places_of_answers_come_back"),
        "The place of an answer is not given back.",
    ),
    test(
        "close_finds_no_mesh_ticket",
        ("engine", "shard_mesh", "opens_leave_places_for_closes"),
        "The places kept for closes are kept from closes too.",
    ),
    test(
        "mesh_note_dropped_when_full",
        ("engine", "shard_mesh", "notes_wait_for_room"),
        "A note that finds a full ring is dropped.",
    ),
    test(
        "mesh_done_note_dropped",
        ("engine", "shard_mesh", "a_fan_out_reaches_every_shard"),
        "A shard's word that its part of a fan-out is done is not sent.",
    ),
    test(
        "mesh_fan_out_begun_twice",
        ("engine", "shard_mesh", "a_fan_out_reaches_every_shard"),
        "A fan-out that came through the mesh is begun twice.",
    ),
    test(
        "mesh_done_counted_twice",
        ("engine", "shard_mesh", "a_fan_out_reaches_every_shard"),
        "A shard's part of a fan-out is counted twice.",
    ),
    test(
        "unknown_order_never_queried",
        ("engine", "shard_orders", "an_order_without_an_answer"),
        "Nobody asks what became of an order without an answer.",
    ),
    test(
        "resend_with_a_new_id",
        ("engine", "shard_orders", "an_order_without_an_answer"),
        "An order without an answer is sent again under another id.",
    ),
    test(
        "end_of_a_stop_not_watched",
        ("engine", "shard_orders", "a_stop_that_ended_is_missed"),
        "A stop that ended with its position open is not looked for, where the venue says that the position is gone.",
    ),
    test(
        "refused_close_not_tried_again",
        ("engine", "shard_orders", "a_refused_close_is_tried_again"),
        "A close that the venue refused is given up.",
    ),
    test(
        "durable_order_not_sent_after_recovery",
        ("engine", "shard_orders", "a_recovered_shard"),
        "An order that was durable at a crash is not sent after it.",
    ),
    test(
        "protection_check_lost_on_recovery",
        ("engine", "shard_orders", "a_recovered_shard"),
        "After a recovery nobody looks whether a position has a live stop.",
    ),
    test(
        "secret_of_another_source",
        ("engine", "shard_callers", "a_secret_opens_its_own_source"),
        "The secret of one source opens every other of its publisher.",
    ),
    sim(
        "cancel_before_the_flush",
        "a crash took back what was promised",
        "A cancel leaves before it is durable that the order is to be taken back.",
    ),
    sim(
        "cancel_of_an_entry_names_its_stop",
        "a cancel of order",
        "Whatever order of a position is taken back, the cancel names its stop.",
    ),
    sim(
        "order_leaves_for_the_other_side",
        "went to the venue and was decided as",
        "An order leaves for the other side than the one that was decided.",
    ),
    sim(
        "entry_leaves_with_its_stop_for_a_target",
        "went to the venue and was decided as",
        "An entry leaves with its stop where its target belongs, and its target where its stop does.",
    ),
    sim(
        "snapshot_as_of_one_too_late",
        "a crash took back what was promised",
        "A snapshot claims one record more for a user than it holds, so that one is lost.",
    ),
    sim(
        "snapshot_as_of_one_too_early",
        "a crash took back what was promised",
        "A snapshot claims one record less for a user than it holds, so that one is applied twice.",
    ),
    sim(
        "slow_flush_told_as_stopped",
        "no log has failed",
        "Who asks while a flush takes its time is told that the shard has stopped.",
    ),
];
