//! `coinbitclub backup`: a copy of a data directory, taken beside the running server and verified by restoring it.
//!
//! **Invariants**: only reads below the data directory. The shards are read one after another and yet the copy is of one
//! moment: each log is cut behind the last record that was decided by the time the backup began. Nothing leaves a shard before
//! the record it rests on is durable, so no shard's copy shows what another one's is missing. What has no `MANIFEST.json` is no
//! backup, and is named `….incomplete` until it has.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, Metadata, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use engine::core::codec::{CodecError, decode_record};
use engine::core::state::{combine_digests, user_digest};
use engine::shard::runtime::GlommioDisk;
use jiff::Timestamp;
use storage::backup::{Survey, TRIES_MAX, directories, needed, remove_copy, went_on};
use storage::{DataDirectory, Lsn, ShardNumber, StorageError};

use super::backup_manifest::{FORMAT, Manifest, ManifestKeys, ManifestLog, ManifestState, describe_all, hex};
use super::log::on_executor;
use crate::server::recovery::recover_shard;
use crate::vault::master::MasterId;
use crate::vault::sealed_under;

/// `backup`.
#[derive(Args, Clone)]
pub struct BackupArgs {
    /// The data directory; its server may run.
    #[arg(long, default_value = "data", env = "COINBITCLUB_DATA_DIR")]
    data: PathBuf,
    /// Where the backup goes: a directory that is empty or not there yet.
    #[arg(long)]
    to: PathBuf,
    /// Do not restore the copy for a test.
    #[arg(long)]
    no_verify: bool,
}

/// `path` with something added to its name.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.components().as_path().as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Refuses a directory that has anything in it.
pub(crate) fn must_be_empty(dir: &Path) -> Result<(), String> {
    match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{}: {error}", dir.display())),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(format!("{}: not empty: give a new directory", dir.display())),
        },
    }
}

/// Gives a finished directory its name, durably.
pub(crate) fn name(from: &Path, to: &Path) -> Result<(), String> {
    let parent = match to.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // An empty directory is replaced; one with anything in it is not.
    std::fs::rename(from, to)
        .and_then(|()| File::open(parent)?.sync_all())
        .map_err(|error| format!("{}: cannot be named {}: {error}", from.display(), to.display()))
}

/// A moment as it is printed.
pub(crate) fn time_text(micros: u64) -> String {
    let micros = i64::try_from(micros).unwrap_or(i64::MAX);
    Timestamp::from_microsecond(micros).map_or_else(|_| format!("{micros} µs"), |at| at.to_string())
}

fn now_micros() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// Cuts each shard's log behind the last record that was decided by a moment, and remembers when that was.
pub(crate) struct CutByTime {
    /// The moment, in microseconds since the epoch.
    pub(crate) at: u64,
    /// Time of the last record kept, by shard.
    pub(crate) last_at: Vec<Option<u64>>,
    /// A record that cannot be read.
    pub(crate) unreadable: Option<(ShardNumber, Lsn, CodecError)>,
}

impl CutByTime {
    pub(crate) fn new(at: u64) -> Self {
        Self { at, last_at: Vec::new(), unreadable: None }
    }

    /// Whether a record is kept.
    pub(crate) fn keeps(&mut self, shard: ShardNumber, lsn: Lsn, bytes: Option<&[u8]>) -> bool {
        let Some(bytes) = bytes else { return false };
        let record = match decode_record(bytes) {
            Ok(record) => record,
            Err(error) => {
                self.unreadable.get_or_insert((shard, lsn, error));
                return false;
            }
        };
        // Decided later than now: the clock was set back since, and the record is old.
        if record.at.0 > self.at && record.at.0 <= now_micros() {
            return false;
        }
        self.note(shard, record.at.0);
        true
    }

    /// Notes the time of a record that is kept.
    pub(crate) fn note(&mut self, shard: ShardNumber, at: u64) {
        let place = usize::from(shard.0);
        if self.last_at.len() <= place {
            self.last_at.resize(place + 1, None);
        }
        self.last_at[place] = Some(at);
    }

    /// The first record that could not be read, as an error.
    pub(crate) fn readable(&self) -> Result<(), String> {
        match &self.unreadable {
            None => Ok(()),
            Some((shard, lsn, error)) => Err(format!("shard {shard}, record {lsn}: {error}")),
        }
    }
}

/// What recovery makes of a shard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recovered {
    /// Its last record.
    pub(crate) last: u64,
    /// Its state.
    pub(crate) state: ManifestState,
    /// How many exchange keys are sealed under which master key.
    pub(crate) keys: BTreeMap<MasterId, u64>,
}

/// The exchange keys of all shards.
pub(crate) fn all_keys(shards: &[Recovered]) -> BTreeMap<MasterId, u64> {
    let mut all = BTreeMap::new();
    for (id, count) in shards.iter().flat_map(|shard| &shard.keys) {
        *all.entry(*id).or_default() += count;
    }
    all
}

/// What recovery makes of each shard of a directory.
pub(crate) async fn states(disk: &GlommioDisk, dir: &Path) -> Result<Vec<Recovered>, String> {
    let homes = DataDirectory::look(disk, dir).await.map_err(|error| error.to_string())?;
    let mut states = Vec::new();
    for home in homes.ok_or_else(|| format!("{}: no CURRENT in it", dir.display()))? {
        let found = recover_shard(disk, &home).await.map_err(|error| error.to_string())?;
        let parts: Vec<_> = found.state.users().iter().map(|user| (user.id, user_digest(user))).collect();
        let (users, digest) = (parts.len() as u64, hex(&combine_digests(parts)));
        let (last, keys) = (found.found.tail.next_lsn().0 - 1, sealed_under(found.state.users()));
        states.push(Recovered { last, state: ManifestState { users, digest }, keys });
    }
    Ok(states)
}

/// Tries, of whatever cause, after which a directory without a base is given up.
const BASELESS_TRIES_MAX: u32 = 3;

/// Holds the files of all shards open, so that however long they are read, nothing of them is pruned away meanwhile.
async fn hold(source: &GlommioDisk, data: &Path) -> Result<(), StorageError> {
    source.let_go();
    for dir in directories(source, data).await? {
        source.hold(&dir, needed).await.map_err(|source| StorageError::Io {
            operation: "hold the files of",
            path: dir,
            source,
        })?;
    }
    Ok(())
}

/// Copies, beginning anew when the server has pruned or switched its generation before its files were held.
async fn copy(
    source: &GlommioDisk,
    data: &Path,
    disk: &GlommioDisk,
    work: &Path,
) -> Result<(Survey, CutByTime), String> {
    let mut tries = 1;
    loop {
        let mut cut = CutByTime::new(now_micros());
        let mut keep = |shard, lsn, bytes: Option<&[u8]>| cut.keeps(shard, lsn, bytes);
        // After the moment was chosen: all that was durable by then is in what is held.
        let surveyed = match hold(source, data).await {
            Ok(()) => Survey::take(source, data, &mut keep).await,
            Err(error) => Err(error),
        };
        let error = match surveyed {
            Ok(survey) => {
                cut.readable()?;
                match survey.copy(source, data, disk, work).await {
                    Ok(()) => return Ok((survey, cut)),
                    Err(error) => {
                        remove_copy(disk, work, &survey).await.map_err(|error| error.to_string())?;
                        error
                    }
                }
            }
            Err(error) => error,
        };
        cut.readable()?;
        // Snapshots that are all newer than the cut, or a list with a snapshot whose log was pruned meanwhile, are the other
        // things that a later moment mends. The second is rare; a directory that has no whole snapshot says so soon.
        let newer = match &error {
            StorageError::Setting { .. } => true,
            StorageError::NoBase { .. } => tries < BASELESS_TRIES_MAX,
            _ => false,
        };
        if tries == TRIES_MAX || !(went_on(&error) || newer) {
            return Err(error.to_string());
        }
        tries += 1;
    }
}

async fn run(
    source: GlommioDisk,
    disk: GlommioDisk,
    args: BackupArgs,
    work: PathBuf,
) -> Result<Manifest, String> {
    let (survey, cut) = copy(&source, &args.data, &disk, &work).await?;
    // What the server has removed meanwhile is room for it from now on.
    source.let_go();
    remove_empty_generations(&work, survey.generation().0)?;
    let mut logs: Vec<ManifestLog> = survey
        .shards()
        .iter()
        .map(|shard| {
            let number = shard.home().identity().shard.0;
            ManifestLog {
                shard: number,
                first_lsn: shard.range().earliest.0,
                last_lsn: shard.range().last.0,
                last_at: cut.last_at.get(usize::from(number)).copied().flatten().map(time_text),
                state: None,
            }
        })
        .collect();
    let mut keys = None;
    if !args.no_verify {
        let found = states(&disk, &work).await?;
        let scratch = beside(&args.to, ".verify");
        let wrong = |error: std::io::Error| format!("{}: {error}", scratch.display());
        if scratch.exists() {
            // Of one that was killed: whoever is at work has the lock.
            std::fs::remove_dir_all(&scratch).map_err(wrong)?;
        }
        std::fs::create_dir(&scratch).map_err(wrong)?;
        let again = restored_states(&disk, &work, &scratch).await;
        std::fs::remove_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
        let again = again?;
        let sealed = all_keys(&found).into_iter();
        keys = Some(sealed.map(|(id, sealed)| ManifestKeys { master_key: id.to_string(), sealed }).collect());
        for (log, (found, again)) in logs.iter_mut().zip(found.into_iter().zip(again)) {
            if found != again || found.last != log.last_lsn {
                return Err(format!(
                    "shard {}: the copy ends at record {} and recovers to {found:?}, its restoration to {again:?}",
                    log.shard, log.last_lsn
                ));
            }
            log.state = Some(found.state);
        }
    }
    let manifest = Manifest {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at: time_text(cut.at),
        generation: survey.generation().0,
        shards: u16::try_from(logs.len()).expect("as many as in CURRENT"),
        salt: format!("{:016x}", survey.salt().0),
        logs,
        files: describe_all(&work)?,
        extra: Vec::new(),
        keys,
    };
    manifest.write(&work)?;
    Ok(manifest)
}

/// Removes the directories that an attempt has left which another generation overtook.
fn remove_empty_generations(work: &Path, generation: u32) -> Result<(), String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", work.display());
    for entry in std::fs::read_dir(work).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| *name != *format!("gen-{generation:08}")) {
            std::fs::remove_dir_all(&path).map_err(wrong)?;
        }
    }
    Ok(())
}

async fn restored_states(disk: &GlommioDisk, work: &Path, scratch: &Path) -> Result<Vec<Recovered>, String> {
    let survey = Survey::take(disk, work, &mut |_, _, _: Option<&[u8]>| true)
        .await
        .map_err(|error| error.to_string())?;
    survey.copy(disk, work, disk, scratch).await.map_err(|error| error.to_string())?;
    states(disk, scratch).await
}

/// Makes the directory that is written to, and locks it for as long as the file is open. What a failed backup has left in one of the
/// same name is removed.
fn claim(work: &Path) -> Result<File, String> {
    let wrong = |error: std::io::Error| format!("{}: {error}", work.display());
    let busy = || format!("{}: another backup is writing to it", work.display());
    let is_new = match std::fs::create_dir(work) {
        Ok(()) => true,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(wrong(error)),
    };
    let directory = File::open(work).map_err(wrong)?;
    match directory.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(busy()),
        // Where directories cannot be locked (NFS), nobody knows whether one that was there is written to.
        Err(TryLockError::Error(_)) if is_new => return Ok(directory),
        Err(TryLockError::Error(error)) => return Err(format!("{}: remove it", wrong(error))),
    }
    // Between the two it may have been finished and named: what is locked then is a backup.
    let place = |found: &Metadata| (found.dev(), found.ino());
    let locked = directory.metadata().map_err(wrong)?;
    if !std::fs::metadata(work).is_ok_and(|there| place(&there) == place(&locked)) {
        return Err(busy());
    }
    for entry in std::fs::read_dir(work).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) }
            .map_err(wrong)?;
    }
    Ok(directory)
}

/// Takes a backup.
///
/// # Errors
/// What failed first. What was written is in `….incomplete` then.
pub fn backup(args: &BackupArgs) -> Result<(), String> {
    must_be_empty(&args.to)?;
    let work = beside(&args.to, ".incomplete");
    std::fs::create_dir_all(work.parent().unwrap_or(Path::new("."))).map_err(|error| error.to_string())?;
    let _claim = claim(&work)?;
    // The files of all shards are held open at once.
    let _ = tuning::raise_soft_limits();
    let (body_args, body_work) = (args.clone(), work.clone());
    let result = on_executor(move |runtime| async move {
        let (source, disk) = (GlommioDisk::reading(&runtime), GlommioDisk::new(&runtime));
        run(source, disk, body_args, body_work).await
    });
    let manifest = result.and_then(|manifest| name(&work, &args.to).map(|()| manifest)).map_err(|error| {
        format!(
            "no backup was made: {error}. What was written is in {}; the next try takes its place",
            work.display()
        )
    })?;
    let bytes: u64 = manifest.every_file().map(|file| file.bytes).sum();
    println!(
        "{}: {} files, {bytes} bytes, taken at {}, {}",
        args.to.display(),
        manifest.files.len(),
        manifest.taken_at,
        if args.no_verify { "not verified" } else { "verified" }
    );
    for log in &manifest.logs {
        let at = log.last_at.as_deref().unwrap_or("-");
        println!("shard {} from record {} to {} of {at}", log.shard, log.first_lsn, log.last_lsn);
    }
    for keys in manifest.keys.iter().flatten() {
        println!("{} exchange keys need the master key {}, which is not in it", keys.sealed, keys.master_key);
    }
    Ok(())
}
