//! The deterministic simulator: the whole server against faults, on virtual time, everything random from one seed.
//!
//! What runs is the product: the shards with their mesh, doorbells, lanes, timers and fan-outs, the log, snapshots, recovery and
//! the change of the number of shards, HTTP parsing and the desk, the paper venue; in a third of the seeds also the connectors to
//! Binance and Bybit, as `server::venues` puts them together, down to the bytes of HTTP and WebSocket, and the paper exchange behind
//! the server that `coinbitclub paper` is. Simulated are what stands behind the seams: [`engine::seam`] (tasks, clocks, disk,
//! randomness), `net::wire` (the network), `exchange::venue` (faults around the paper venue), and the password workers (their
//! queue is real, their hash is made up, keys are sealed for real).
//!
//! **Checked**: see `judge` (each decision and state against the [`model`], each answer, page and receipt against the decisions:
//! every field of it, but what the heads of `model::pages` and `model::histories` name; who is served has a session that is alive, and who is turned away has none; nothing
//! promised is taken back), `intent` (what was decided is what was sent, field by field, in whichever of the promised ways it came), `unavailable`
//! (a 503 has its reason, nothing came of it unless its log failed, and no close gets one), `client` (every request is answered or its connection lost; without faults, promptly), `director`
//! (a start fails only for a reason that it was given, after the faults everything settles within a bound, the database gets everything,
//! an orderly stop loses nothing), `disk_check` (a shard stops when its log failed, at once, and for nothing else), `history` (the database's rows
//! and sums are the engine's), `bare` (a position without a live stop is closed in time; no disturbance sets its clock back), `limit_check`
//! (we keep within the exchange's limits by ourselves, and stop when we are told to; a restart forgets what was spent, so for as long as
//! the exchange counts nothing is held against anybody after one), `live_check` (what the exchange holds is what we say), `masters` (a
//! master key that was taken out of its file after a rotation is needed by nothing), `paper_check` (the same of the paper venue), `judged` (of all this enough was judged, and the judge refuses what was spoilt), `executor` (nobody waits for ever, nobody spins).
//!
//! Of accounts on exchanges the model predicts every decision too; what the exchange does it takes from the reports, as the product
//! does. That the reports are true is what `live_check` holds against the exchange itself.
//!
//! # The fault model
//!
//! Each seed has its own mix: of [`faults::Fault`] each is on in half of the mixes, with its own weight; one mix in eight has none.
//! One fault strikes every 150 ms to 3 s on average, in whatever situation the server is; several can be in force at once.
//!
//! - **Process**: killed, or told to stop, at any await; started again with the same or another number of shards (1 to 4); where
//!   there are exchanges, with a fresh master key in front in a third of the starts, and without those that are no longer needed.
//! - **Power**: each sector that was not synced, and each name whose directory was not, is kept or lost on its own
//!   (`storage::sim_disk`). *Never*: what was synced, without damage at rest.
//! - **Disk**: a sync of a file or a directory fails and has synced nothing; a write fails after any of its pages, a file is not made
//!   or not renamed; a sync takes seconds; everything stalls; it is full for up to 8 s. *Never*: reads, lists and removals fail, a
//!   disk that says it synced and has not.
//! - **At rest**, while the server is down: one flipped bit or one misdirected block in a shard's log, or a flipped bit in its newest
//!   snapshot. It is mended after the start that met it, which either refuses, naming the file, or comes to the right state.
//!   *Never*: the last intact block of a log (see `damage`), two at once.
//! - **Network**: connections reset before, within and after a request; readers that stop for up to 4 s; bytes late and in
//!   pieces; requests sent again, also while the first is under way; hostile bytes, as known and with bytes changed, also in
//!   sessions. *Never*: bytes changed, lost or swapped
//!   within a connection: TCP does not.
//! - **Clocks**: a shard's calendar is set by up to 3 s either way and half of what it was off before (6 s in all), and each goes up
//!   to 1,000 ppm too fast or too slow. *Never*: the monotonic clock.
//! - **CPU**: a shard gets no turn for up to 3 s; the order of turns is drawn.
//! - **Venue**: an order is lost, its answers are lost, it is refused; reports come up to 8 s late (overtaking those of other accounts)
//!   or twice; requests are not taken for up to 6 s. *Never*: reports of one account out of order; a report lost of an order
//!   that was confirmed (the venue's contract; finding those is the reconciliation of real venues), cancels and answers to questions.
//!
//! - **Exchange** (in a third of the seeds, a third of which have a single life until the load is over: [`exchange`]; Binance and Bybit, one address for all shards): connections lose what is on its
//!   way and break or fall silent, all of them break and none is made for up to 5 s, the way takes up to 2.5 s; requests are
//!   answered with "unknown" (done or not), refused as overloaded or unavailable, for a limit of the account or the address, or
//!   answered up to 9.5 s later, or judged by a clock that is off by up to 8 s; an order or a trigger is refused for its price, its size or
//!   the account's money (one of each kind of request in 30 s); questions of Bybit's are answered as if all that has ended were history;
//!   events of streams are lost, late, twice or out of order, streams break off; listen keys end, all at once or one in the middle of what
//!   is asked or told; the clock is set by up to 8 s either way; our address is banned (Binance: up to 31 s, told with the end; Bybit: 10 minutes,
//!   untold, once a run and not where calendars are set), or another program there has asked all that Binance allows it in a minute; a live trigger is taken away, or one of Binance's fires and becomes nothing (neither
//!   where events of streams are lost by themselves: the comparison in rotation, after minutes, finds that). It goes on while the server is
//!   down, and what the server sent still arrives, and is struck. *Never*: an account that others trade in too, keys that end (tests of the
//!   connectors have both); an order forgotten.
//!
//! - **Database** (in half of the seeds: `history`): it is not there, or answers nobody, for up to 8 s; a batch is lost, or the answer to one that it
//!   has; a standby that misses up to three batches takes over. *Never*: a committed batch in part; rows that it refuses (those
//!   are a test of storage's).
//!
//! **Runs on**: the caller's thread alone; children of one process each run seeds side by side ([`fleet`]).
//! **Bounds**: a run has at most 40 s of load; then clients get 400 s to finish and the server 400 s to settle, in
//! virtual time and after the last ban.

mod bare;
mod client;
mod damage;
mod decimals;
mod director;
mod disk;
mod disk_check;
mod exchange;
mod executor;
pub mod faults;
pub mod fleet;
mod gateway;
mod history;
mod intent;
mod internet;
mod judge;
pub mod judged;
mod limit_check;
mod live_check;
mod masters;
pub mod model;
mod paper_check;
mod people;
mod plan;
mod run;
mod seams;
mod server;
mod situation;
mod spoil;
mod unavailable;
mod venue;
mod world;

pub use bare::BareTime;
pub use judged::Judged;
pub use plan::Overrides;
pub use run::{Outcome, run};
