//! Bugs in `storage`: what is on the disk, and when.

use super::{Mutant, test};

pub(super) const MUTANTS: &[Mutant] = &[
    test(
        "checksum_not_looked_at",
        ("storage", "log", "torn_tail_is_cut::a_changed_byte"),
        "The checksum of a block is not looked at.",
    ),
    test(
        "block_of_another_log",
        ("storage", "log", "payload_bytes_cannot_pose_as_a_block::without_the_salt"),
        "A block of another log is taken for one of this.",
    ),
    test(
        "block_of_a_recycled_segment",
        ("storage", "log", "damage_in_the_middle_is_refused::a_block_written_for_another_segment"),
        "A block that was written for another segment is accepted.",
    ),
    test(
        "block_of_an_earlier_epoch",
        ("storage", "log", "damage_in_the_middle_is_refused::a_block_of_an_earlier_epoch"),
        "A block of an earlier epoch is accepted after one of a later.",
    ),
    test(
        "lsn_gap_accepted",
        ("storage", "log", "damage_in_the_middle_is_refused::a_block_of_a_copy"),
        "A block whose first record is not the next one is accepted.",
    ),
    test(
        "hole_in_the_middle_accepted",
        ("storage", "log", "damage_in_the_middle_is_refused::a_block_that_was_never_written"),
        "Recovery steps over a damaged block to the next valid one.",
    ),
    test(
        "torn_tail_not_cut",
        ("storage", "log", "torn_tail_is_cut::a_changed_byte"),
        "The log goes on inside the torn bytes of the last run.",
    ),
    test(
        "recovered_log_not_synced",
        ("storage", "log", "recovered_records_cannot_be_lost_later::a_block_written_but_not_synced"),
        "What recovery reads is not synced first, and can be lost later.",
    ),
    test(
        "failed_sync_ignored",
        ("storage", "log", "failed_write_or_sync_ends_the_log::a_failed_sync"),
        "A block whose sync failed counts as durable.",
    ),
    test(
        "sync_left_out_now_and_then",
        ("storage", "log", "acknowledged_records_survive_any_crash::acknowledged"),
        "One block in seven is not synced.",
    ),
    test(
        "epoch_used_again",
        ("storage", "log", "each_start_has_its_own_epoch::it_grows_by_one"),
        "A start goes on in the epoch of the last one.",
    ),
    test(
        "durable_as_soon_as_appended",
        ("storage", "log", "what_waits_is_the_next_batch::one_in_flight"),
        "The end of a flush counts for what was appended after it began.",
    ),
    test(
        "one_segment_too_many_pruned",
        ("storage", "log", "snapshots_survive_a_crash_at_every_step::pruning_keeps_exactly"),
        "The segment that recovery begins at is pruned too.",
    ),
    test(
        "snapshot_named_before_it_is_synced",
        ("storage", "log", "acknowledged_records_survive_any_crash::acknowledged"),
        "A snapshot gets its name before its bytes are durable.",
    ),
    test(
        "snapshot_name_not_synced",
        ("storage", "log", "snapshots_survive_a_crash_at_every_step::a_finished_snapshot_stays"),
        "The directory is not synced after a snapshot got its name.",
    ),
    test(
        "segment_name_not_synced",
        ("storage", "log", "acknowledged_records_survive_any_crash::acknowledged"),
        "The directory is not synced after a segment got its name.",
    ),
    test(
        "generation_switched_before_its_snapshots_are_synced",
        ("storage", "log", "changing_the_number_of_shards_survives_a_crash_at_every_step::every_crash_point"),
        "The generation is switched before its snapshots are durable.",
    ),
    test(
        "names_of_a_killed_start_not_synced",
        ("storage", "log", "a_killed_start_leaves_nothing_that_power_takes::whatever_step"),
        "A start goes on with a segment whose name an earlier, killed start has not made durable.",
    ),
    test(
        "history_gets_what_is_not_durable",
        ("storage", "history_holds_nothing_that_power_takes", "whatever_step"),
        "The history of ended logs gets what a killed process wrote and nobody has synced.",
    ),
    test(
        "replica_of_unknown_lag_is_read",
        ("storage", "postgres_readers", "was_paused_before_the_readers_began"),
        "A replica is read from before anybody knows how far behind it is.",
    ),
    test(
        "another_history_is_grown_over",
        ("storage", "history_tells_what_the_engine_holds", "a_log_that_was_put_back_and_went_on"),
        "A projector goes on after the database's place, whatever the record there is.",
    ),
    test(
        "beginning_added_to_an_earlier_one",
        ("storage", "history_tells_what_the_engine_holds", "that_is_made_again"),
        "A history that begins in the middle leaves what an earlier try has written of its users.",
    ),
    test(
        "missing_block_not_seen",
        ("storage", "lib", "a_block_is_left_out_when_no_buffer_is_left"),
        "What the log hands over through memory is taken for all of it, though blocks were left out.",
    ),
    test(
        "slow_batch_not_made_smaller",
        ("storage", "history_tells_what_the_engine_holds", "a_database_that_is_too_slow_for_a_batch"),
        "A batch that took longer than it may is written again as it was, for ever.",
    ),
    test(
        "switch_not_synced",
        ("storage", "log", "changing_the_number_of_shards_survives_a_crash_at_every_step::every_crash_point"),
        "The old generation is removed before the switch is durable.",
    ),
];
