//! `coinbitclub log inspect` and `coinbitclub log digest`: a data directory from outside, without changing anything.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use engine::core::codec::{decode_record, decode_user};
use engine::core::state::{combine_digests, user_digest};
use engine::shard::runtime::{ExecutorOptions, GlommioDisk, run_pinned};
use storage::DataDirectory;
use storage::inspect::{Found, inspect as look};

use crate::server::recovery::recover_shard;

/// `log inspect`.
#[derive(Args)]
pub struct InspectArgs {
    /// A data directory, or the directory of one shard in it.
    dir: PathBuf,
    /// Leave the records out; verify and count only.
    #[arg(long)]
    summary: bool,
    /// Only records about this user.
    #[arg(long)]
    user: Option<String>,
}

fn line(found: &Found<'_>, args: &InspectArgs) -> Option<String> {
    let mut text = String::new();
    match found {
        Found::Shard { dir } => write!(text, "shard {}", dir.display()),
        Found::Snapshot(snapshot) => write!(
            text,
            "snapshot {} start {} sections {} bytes {}",
            snapshot.path().display(),
            snapshot.start(),
            snapshot.sections(),
            snapshot.bytes()
        ),
        Found::Section { file, offset, index, bytes } => match decode_user(bytes) {
            Ok((user, as_of)) if !args.summary && wanted(args, &user.id.to_string()) => write!(
                text,
                "  section {index} user {} as of record {as_of}, {} positions, {} orders",
                user.id,
                user.positions.len(),
                user.orders.len()
            ),
            Ok(_) => return None,
            Err(error) => write!(text, "DAMAGE {} offset {offset}: section {index}: {error}", file.display()),
        },
        Found::Segment { file, number, bytes, .. } => {
            write!(text, "segment {number} {} {bytes} bytes", file.display())
        }
        Found::Block { offset, header, .. } if !args.summary && args.user.is_none() => {
            write!(text, " block at {offset}: {header:?}")
        }
        Found::Block { .. } => return None,
        Found::Record { file, offset, lsn, bytes } => match decode_record(bytes) {
            Ok(record) if !args.summary && wanted(args, &record.user.to_string()) => write!(
                text,
                "  record {lsn} at {offset} {} bytes: user {} time {} {:?}",
                bytes.len(),
                record.user,
                record.at.0,
                record.events
            ),
            Ok(_) => return None,
            Err(error) => write!(text, "DAMAGE {} offset {offset}: record {lsn}: {error}", file.display()),
        },
        Found::Gap(torn) => write!(text, "gap (a torn write of an earlier run, stepped over): {torn:?}"),
        Found::Torn(torn) => write!(text, "torn tail (cut at the next start): {torn:?}"),
        Found::Damage(error) => write!(text, "DAMAGE {error}"),
    }
    .expect("writing into memory does not fail");
    Some(text)
}

fn wanted(args: &InspectArgs, user: &str) -> bool {
    args.user.as_ref().is_none_or(|wanted| wanted == user)
}

/// Runs a body that needs a disk on an executor of its own, and waits for it.
pub(crate) fn on_executor<T: Send + 'static, F>(
    body: impl FnOnce(engine::shard::runtime::GlommioRuntime) -> F + Send + 'static,
) -> Result<T, String>
where
    F: Future<Output = Result<T, String>> + 'static,
{
    let options = ExecutorOptions { name: "inspect".to_owned(), cpu: None, heartbeat: None };
    let thread = run_pinned(options, body).map_err(|error| error.to_string())?;
    thread.join().map_err(|_| "the inspection panicked".to_owned())?
}

/// Prints what a data directory holds.
///
/// # Errors
/// Damage, after everything that can be read was printed.
pub fn inspect(args: &InspectArgs) -> Result<(), String> {
    let args = InspectArgs { dir: args.dir.clone(), summary: args.summary, user: args.user.clone() };
    on_executor(move |runtime| async move {
        // Its server may run.
        let disk = GlommioDisk::reading(&runtime);
        let mut out = std::io::BufWriter::new(std::io::stdout());
        let mut damaged = 0_u64;
        let summary = look(&disk, &args.dir, |found| {
            if let Some(text) = line(&found, &args) {
                damaged += u64::from(text.starts_with("DAMAGE"));
                // A closed pipe (`| head`) ends the output, not the verification.
                let _ = writeln!(out, "{text}");
            }
            Ok::<(), Infallible>(())
        })
        .await
        .map_err(|error| error.to_string())?;
        let _ = writeln!(
            out,
            "{} shards, {} snapshots, {} segments, {} blocks, {} records, {} payload bytes, {} torn, {damaged} damaged",
            summary.shards,
            summary.snapshots,
            summary.segments,
            summary.blocks,
            summary.records,
            summary.payload_bytes,
            summary.torn
        );
        let _ = out.flush();
        if damaged > 0 { Err(format!("{damaged} places are damaged")) } else { Ok(()) }
    })
}

/// Prints the digest of the state in a data directory.
///
/// # Errors
/// What cannot be read.
pub fn digest(dir: &Path) -> Result<(), String> {
    if !dir.join("CURRENT").exists() {
        return Err(format!("{}: not a data directory (no CURRENT in it)", dir.display()));
    }
    let lock = storage::DirectoryLock::acquire(dir).map_err(|error| error.to_string())?;
    let dir = dir.to_owned();
    let (digest, users) = on_executor(move |runtime| async move {
        let disk = GlommioDisk::new(&runtime);
        let homes = DataDirectory::look(&disk, &dir).await.map_err(|error| error.to_string())?;
        let mut parts = Vec::new();
        for home in homes.ok_or("CURRENT has just been removed")? {
            let found = recover_shard(&disk, &home).await.map_err(|error| error.to_string())?;
            parts.extend(found.state.users().iter().map(|user| (user.id, user_digest(user))));
        }
        let users = parts.len();
        Ok((combine_digests(parts), users))
    })?;
    drop(lock);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{hex} {users} users");
    Ok(())
}
