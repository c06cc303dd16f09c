//! `coinbitclub restore`: a data directory from a backup, whole or up to a point in time.
//!
//! **Invariants**: every checksum is looked at before anything is written. What is written is `….restoring` until it has
//! recovered to exactly the records that were wanted, so no server ever starts on half of it. With a master key that is not the
//! one which its exchange keys need, nothing is restored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use engine::core::codec::decode_record;
use engine::shard::runtime::GlommioDisk;
use storage::backup::Survey;
use storage::{DirectoryLock, Lsn, ShardNumber};

use super::backup::{CutByTime, Recovered, all_keys, beside, must_be_empty, name, states, time_text};
use super::backup_manifest::Manifest;
use super::log::on_executor;
use crate::vault::master::MasterKeys;

/// A shard's last record, `SHARD:LSN`.
#[derive(Clone, Copy, Debug)]
pub struct ShardPoint {
    shard: u16,
    lsn: u64,
}

impl FromStr for ShardPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts =
            text.split_once(':').and_then(|(shard, lsn)| Some((shard.parse().ok()?, lsn.parse().ok()?)));
        let (shard, lsn) = parts.ok_or("SHARD:LSN is wanted, such as 0:1200")?;
        Ok(Self { shard, lsn })
    }
}

/// `restore`.
#[derive(Args, Clone)]
pub struct RestoreArgs {
    /// The backup.
    #[arg(long)]
    from: PathBuf,
    /// The data directory to make: empty or not there yet.
    #[arg(long)]
    data: PathBuf,
    /// Leave out what a shard has recorded after this record; once for each shard.
    #[arg(long = "shard-lsn", value_name = "SHARD:LSN", conflicts_with = "at")]
    points: Vec<ShardPoint>,
    /// Leave out what was recorded after this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    /// The file with the master key that the server will have, to find out whether it opens the exchange keys; it may come from
    /// the other places too, see docs/keys.md. Without one, which are needed is only said.
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,
}

/// Says which master keys are needed for so many exchange keys; those that are `given` have to be among them.
fn needed(keys: &BTreeMap<String, u64>, given: Option<&MasterKeys>) -> Result<(), String> {
    let Some(given) = given else {
        for (id, sealed) in keys {
            println!("{sealed} exchange keys need the master key {id}: the server has to be given it");
        }
        return Ok(());
    };
    let given: Vec<String> = given.ids().map(|id| id.to_string()).collect();
    let missing: Vec<_> = keys.iter().filter(|(id, _)| !given.contains(id)).collect();
    if missing.is_empty() || planted::planted!("restore_takes_any_master_key") {
        return Ok(());
    }
    let (lost, all): (u64, u64) = (missing.iter().map(|(_, sealed)| **sealed).sum(), keys.values().sum());
    let ids: Vec<&str> = missing.iter().map(|(id, _)| id.as_str()).collect();
    Err(format!(
        "{lost} of {all} exchange keys would not open: they are sealed under the master key {} (given: {}). Give that one, behind          the current one if that is newer; without any, everything is restored and they stay sealed",
        ids.join(", "),
        given.join(", ")
    ))
}

/// Refuses a directory with anything in it, and says so when a server has it.
fn must_be_free(data: &Path) -> Result<(), String> {
    let lock = data.join("LOCK");
    if lock.exists() {
        let held = DirectoryLock::acquire(data).map_err(|error| error.to_string())?;
        drop(held);
    }
    must_be_empty(data)
}

fn points(args: &RestoreArgs, manifest: &Manifest) -> Result<BTreeMap<u16, u64>, String> {
    let mut points = BTreeMap::new();
    for ShardPoint { shard, lsn } in &args.points {
        let Some(log) = manifest.logs.iter().find(|log| log.shard == *shard) else {
            return Err(format!("--shard-lsn {shard}:{lsn}: the backup has {} shards", manifest.shards));
        };
        if !(log.first_lsn..=log.last_lsn).contains(lsn) {
            return Err(format!(
                "--shard-lsn {shard}:{lsn}: the backup reaches from record {}, the earliest possible, to {}",
                log.first_lsn, log.last_lsn
            ));
        }
        if points.insert(*shard, *lsn).is_some() {
            return Err(format!("--shard-lsn: shard {shard} is given twice"));
        }
    }
    Ok(points)
}

async fn run(
    disk: GlommioDisk,
    source: GlommioDisk,
    args: RestoreArgs,
    manifest: Manifest,
    masters: Option<MasterKeys>,
    work: PathBuf,
) -> Result<CutByTime, String> {
    let points = points(&args, &manifest)?;
    let until = args.at.map(|at| u64::try_from(at.as_microsecond()).unwrap_or(0));
    let mut cut = CutByTime::new(until.unwrap_or(u64::MAX));
    let wanted = |shard: ShardNumber, lsn: Lsn| points.get(&shard.0).is_none_or(|last| lsn.0 <= *last);
    let mut keep = |shard: ShardNumber, lsn: Lsn, bytes: Option<&[u8]>| match bytes.map(decode_record) {
        None => until.is_none() && wanted(shard, lsn),
        Some(Ok(record)) => {
            let kept = record.at.0 <= until.unwrap_or(u64::MAX) && wanted(shard, lsn);
            if kept {
                cut.note(shard, record.at.0);
            }
            kept
        }
        Some(Err(error)) => {
            cut.unreadable.get_or_insert((shard, lsn, error));
            false
        }
    };
    let surveyed = Survey::take(&source, &args.from, &mut keep).await;
    cut.readable()?;
    let survey = surveyed.map_err(|error| error.to_string())?;
    // Only now is anything written.
    std::fs::create_dir_all(work.parent().unwrap_or(Path::new("."))).map_err(|error| error.to_string())?;
    std::fs::create_dir(&work).map_err(|error| {
        format!("{}: {error}: another restore is writing to it or has failed: remove it then", work.display())
    })?;
    let lock = DirectoryLock::acquire(&work).map_err(|error| error.to_string())?;
    survey.copy(&source, &args.from, &disk, &work).await.map_err(|error| error.to_string())?;
    for file in &manifest.extra {
        copy_extra(&args.from, &work, &file.path)?;
    }
    let found = states(&disk, &work).await?;
    let keys = all_keys(&found).into_iter().map(|(id, sealed)| (id.to_string(), sealed)).collect();
    for ((shard, log), Recovered { last, state, .. }) in survey.shards().iter().zip(&manifest.logs).zip(found)
    {
        let wanted = points.get(&log.shard).copied().unwrap_or(shard.range().last.0);
        if last != wanted {
            return Err(format!("shard {}: recovers to record {last}, not {wanted}", log.shard));
        }
        if last == log.last_lsn && log.state.as_ref().is_some_and(|before| *before != state) {
            return Err(format!("shard {}: its state is not the one that was backed up", log.shard));
        }
        let at = cut.last_at.get(usize::from(log.shard)).copied().flatten().map(time_text);
        println!(
            "shard {} to record {last} of {}, {} users",
            log.shard,
            at.as_deref().unwrap_or("-"),
            state.users
        );
    }
    // Of an earlier point, others may be needed than the manifest says.
    needed(&keys, masters.as_ref())?;
    name(&work, &args.data)?;
    drop(lock);
    Ok(cut)
}

fn copy_extra(from: &Path, to: &Path, path: &str) -> Result<(), String> {
    let (from, to) = (from.join(path), to.join(path));
    let copy = || -> std::io::Result<()> {
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::copy(&from, &to)?;
        std::fs::File::open(&to)?.sync_all()
    };
    copy().map_err(|error| format!("{}: {error}", to.display()))
}

/// Restores a backup.
///
/// # Errors
/// What failed first. The data directory is not there then; what was written, if anything was, is in `….restoring`.
pub fn restore(args: &RestoreArgs) -> Result<(), String> {
    must_be_free(&args.data)?;
    let manifest = Manifest::read(&args.from)?;
    manifest.check_files(&args.from)?;
    let masters = MasterKeys::find(args.master_key_file.as_deref()).map_err(|error| error.to_string())?;
    if let (Some(keys), Some(_), true) =
        (&manifest.keys, &masters, args.points.is_empty() && args.at.is_none())
    {
        // Before anything is written.
        let keys = keys.iter().map(|keys| (keys.master_key.clone(), keys.sealed)).collect();
        needed(&keys, masters.as_ref()).map_err(|error| format!("nothing was restored: {error}"))?;
    }
    let work = beside(&args.data, ".restoring");
    let (body_args, body_work) = (args.clone(), work.clone());
    on_executor(move |runtime| async move {
        let (source, disk) = (GlommioDisk::reading(&runtime), GlommioDisk::new(&runtime));
        run(disk, source, body_args, manifest, masters, body_work).await.map(drop)
    })
    .map_err(|error| format!("nothing was restored: {error}"))?;
    println!("restored {} from {}", args.data.display(), args.from.display());
    Ok(())
}
