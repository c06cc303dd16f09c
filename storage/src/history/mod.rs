//! History in Postgres: what the logs say, as rows.
//!
//! A shard never waits for any of this. Its log is the queue; [`Projection`] turns records into rows, [`Projector`] brings
//! them into a database behind the [`History`] seam, in transactions that also say how far the log is with them. So each
//! event arrives exactly once, whatever breaks in between.

mod batch;
mod bring_all;
mod ended_logs;
mod middle;
mod month;
mod progress;
mod projection;
mod projector;
mod rows;
mod seam;
pub mod sim_database;
mod tables;
pub mod tuple;

pub use batch::{Batch, TableRows};
pub use bring_all::{bring_all, last_record, run_all};
pub use ended_logs::EndedLogs;
pub use month::Month;
pub use progress::{FAR_BEHIND, Fault, KEPT, Progress, ProgressReport, Whose};
pub use projection::Projection;
pub use projector::{Projector, ROW_BYTES_MAX, Sizes};
pub use seam::{History, HistoryError, Mark, Pause, Reached, Standing};
pub use tables::{Growth, Table};
