//! Connections over TLS, served and called: one behaviour per file.

mod any_split_gives_the_same_bytes;
#[path = "../support/tls.rs"]
mod authority;
mod bursts_leave_room_for_others;
mod certificates_are_reloaded;
mod handed_bytes_are_exact;
mod openssl_agrees;
mod paused_connections_wait;
mod refusals_are_readable;
mod serves_and_calls;
mod sessions_are_resumed;
mod slow_readers_are_closed;
#[path = "../support/mod.rs"]
mod support;
mod unconsumed_input_is_bounded;
mod wrong_peers_are_refused;
