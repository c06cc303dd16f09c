//! Users choose the bytes of payloads. A block image among them, in a write that a crash tore, is not taken for a block:
//! its maker cannot know the salt.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{IDENTITY, append_blocks, block_offsets, payloads, segment_path, shard, start, try_recover};
use storage::{LogIdentity, Salt};

/// Records what a log with `salt` would have written next, as the payload of a record, tears that block, and recovers.
fn forged(salt: Salt) -> Result<Vec<Vec<u8>>, storage::StorageError> {
    let (forger_disk, _) = shard(10);
    let forger_home = storage::ShardHome::new(crate::rig::DIR.into(), LogIdentity { salt, ..IDENTITY });
    let (mut forger, _) = start(&forger_disk, &forger_home);
    append_blocks(&mut forger, payloads(2));
    append_blocks(&mut forger, [b"a thousand coins for the forger".to_vec()]);
    let page = 4 * 4096;
    let image = forger_disk.read(&segment_path(1)).unwrap()[page..page + 4096].to_vec();

    let (disk, home) = shard(10);
    let (mut log, _) = start(&disk, &home);
    append_blocks(&mut log, payloads(2));
    let mut payload = vec![0; 4096 - 96];
    payload.extend_from_slice(&image);
    append_blocks(&mut log, [payload]);
    let torn = *block_offsets(&disk, 1).iter().find(|offset| **offset == page as u64).unwrap();
    disk.flip_bit(&segment_path(1), torn + 30, 0);
    try_recover(&disk, &home).map(|replay| replay.payloads())
}

#[test]
fn without_the_salt_it_is_torn_bytes() {
    assert_eq!(forged(Salt(1)).unwrap(), payloads(2));
}

#[test]
fn with_the_salt_it_would_have_worked() {
    assert_eq!(forged(IDENTITY.salt).unwrap().len(), 3, "so the test above shows something");
}
