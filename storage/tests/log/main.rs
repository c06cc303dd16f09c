//! The log, its snapshots and what follows them, on a simulated disk and on the real one: one behaviour per file.

mod a_backup_restores_to_its_record;
mod a_follower_reads_what_is_durable;
mod a_killed_start_leaves_nothing_that_power_takes;
mod a_log_tells_how_much_it_holds;
mod a_new_snapshot_reads_little_of_older_ones;
mod a_refusal_of_the_disk_is_not_an_absence;
mod a_snapshot_is_right_to_the_byte;
mod a_whole_snapshot_proves_its_records;
mod acknowledged_records_survive_any_crash;
mod any_bytes_can_be_parsed;
mod changing_the_number_of_shards_survives_a_crash_at_every_step;
mod damage_in_the_middle_is_refused;
mod damaged_snapshot_gives_way;
mod each_number_of_a_block_has_its_range;
mod each_start_has_its_own_epoch;
mod every_block_in_every_place;
mod every_bound_has_a_typed_answer;
mod every_byte_of_a_log;
mod failed_write_or_sync_ends_the_log;
mod full_disk_loses_nothing;
mod golden_logs_stay_readable;
mod inspection_reads_all_and_changes_nothing;
mod missing_segment_is_refused;
mod newer_formats_are_refused_by_name;
mod one_process_per_directory;
mod payload_bytes_cannot_pose_as_a_block;
mod recovered_records_cannot_be_lost_later;
#[path = "../rig/mod.rs"]
mod rig;
mod segments_rotate;
mod snapshots_read_back;
mod snapshots_survive_a_crash_at_every_step;
mod the_real_disk_does_what_the_simulated_one_does;
mod torn_tail_is_cut;
mod what_waits_is_the_next_batch;
