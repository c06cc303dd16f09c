//! The client of HTTP and WebSocket: one behaviour per file.

mod answers_never_cross;
mod bounds;
mod calls;
mod deadlines;
mod keeps_connections;
mod outcomes_are_exact;
#[path = "../support/mod.rs"]
mod support;
mod urgency;
