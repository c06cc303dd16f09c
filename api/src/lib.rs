//! What people and programs talk to: HTTP routes, log-ins, signal parsing, the command line, and the wiring of all rooms.
//!
//! [`server`] starts and runs the shards, [`web`] turns requests into asks and answers into responses, [`reads`] is what
//! can be asked for, [`signal`] parses the bodies of signals, [`vault`] seals users' exchange keys, [`alerts`] tells an operator, [`cli`] is the command line with the [`cli::demo`].

pub mod alerts;
pub mod cli;
pub mod reads;
pub mod server;
pub mod signal;
pub mod sim;
pub mod sys;
pub mod vault;
pub mod web;
