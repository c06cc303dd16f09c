//! HTTP at the edge of a shard: requests become asks, answers become responses.
//!
//! **Runs on**: each shard, for the connections that landed there. **Owns**: per connection the pipeline of unanswered
//! requests, and the table of what is under way.
//! **Invariants**: each request gets exactly one response, in the order of the requests of its connection, and never
//! before what it tells is durable. Secrets are hashed where they are read and never logged or echoed.
//! **Bounds**: connections and bytes by `net::wire`; [`desk::PENDING_MAX`] requests under way per shard,
//! those of [`net::server`] per connection; password work by `server::hashing`.

pub mod accounts;
pub mod alerts;
pub mod bodies;
pub mod desk;
pub mod fill_prices;
pub mod flows;
pub mod gauges;
pub mod history;
pub mod keys;
pub mod live_stats;
pub mod metrics_text;
pub mod network;
pub mod receipt;
pub mod render;
pub mod routes;
pub mod token;
pub mod venues;
