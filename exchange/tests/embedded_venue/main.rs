//! The venue inside the server: fills, stops, funding and liquidation on known candles.

mod candle_path_orders_events;
mod closing_orders_end_when_flat;
mod core_orders;
mod csv_errors;
mod filters;
mod funding_once;
mod funding_sign;
mod gate_and_pace;
mod liquidation_takes_the_margin_at_most;
mod one_id_makes_one_order;
mod partial_fills;
mod poll_is_bounded;
mod real_files;
mod reduce_only_never_flips;
mod restore_equals_continuing;
mod results_do_not_depend_on_shards;
mod same_seed_same_path;
mod stop_fills_at_trigger_or_gap;
mod support;
mod wallet_is_conserved;
