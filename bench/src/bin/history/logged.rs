//! A real server under a load of orders, whose log is then there to be read.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bench_support::child::Server;
use bench_support::load::{self, Load, Run};
use bench_support::orders::Requests;
use bench_support::sys;
use futures_lite::future::block_on;
use storage::history::last_record;
use storage::{DataDirectory, Lsn, ReadOnlyDisk, ShardHome};

use crate::{LOAD_CPU, SERVER_CPU};

/// Users who trade, each by signals of a source of their own.
pub(crate) const USERS: u32 = 1_000;

/// Starts the server on its CPU, with its log in `data`.
pub(crate) fn start(data: &Path, url: Option<&str>) -> Result<Server, String> {
    let data = data.to_str().ok_or("the directory has a name of UTF-8")?;
    let words: Vec<&str> = [data].into_iter().chain(url).collect();
    Server::start(&words, SERVER_CPU)
}

/// The log of a server's only shard after orders of all users for so long, and its last record.
pub(crate) fn made(data: &Path, span: Duration) -> Result<(ShardHome, Lsn), String> {
    let server = start(data, None)?;
    trade(&server, 1, USERS, span)?;
    drop(server);
    let homes = block_on(DataDirectory::look(&ReadOnlyDisk, data)).map_err(|error| error.to_string())?;
    let home = homes.ok_or("the server left no log")?.into_iter().next().ok_or("the server left no shard")?;
    let end = block_on(last_record(&ReadOnlyDisk, &home))?;
    Ok((home, end))
}

/// Orders over so many connections, as fast as they are answered, from the load's CPU. Ids of different rounds differ.
pub(crate) fn trade(server: &Server, round: u32, connections: u32, span: Duration) -> Result<Run, String> {
    // A thread of its own: what this one starts later is not to stay on that CPU.
    let work = || {
        sys::run_on(LOAD_CPU).map_err(|error| error.to_string())?;
        orders(server, round, connections, span)
    };
    std::thread::scope(|scope| scope.spawn(work).join()).map_err(|_| "the load ended early")?
}

fn orders(server: &Server, round: u32, connections: u32, span: Duration) -> Result<Run, String> {
    let mut callers: HashMap<u32, Requests> = HashMap::new();
    let mut request = |number: u32, out: &mut Vec<u8>| {
        let secret = &server.lines[number as usize % server.lines.len()];
        callers.entry(number).or_insert_with(|| Requests::new(secret, round)).next(out);
    };
    let mut load = Load { address: server.address, connections, span, request: &mut request };
    let run = load::run(&mut load, |_| {}).map_err(|error| error.to_string())?;
    if let Some(refusal) = &run.refusal {
        eprintln!("{} answers were refusals, the first: {refusal}", run.refused);
    }
    Ok(run)
}
