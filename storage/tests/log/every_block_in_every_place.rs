//! Blocks that are whole and in the wrong place: swapped, doubled, left from an earlier start, from another shard, another
//! generation, another data directory or another segment, put at every place of a small log. Recovery gives the same records,
//! or those before the last write when that one is gone and nothing valid follows, or refuses; it never takes one.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{
    IDENTITY, OPTIONS, append_blocks, block_offsets, payloads, segment_path, shard, start, try_recover,
};
use std::path::Path;
use storage::limits::{BLOCK_BYTES_MAX, PAGE_BYTES};
use storage::sim_disk::{SimDisk, block_on};
use storage::{Generation, Log, LogIdentity, Salt, ShardHome, ShardNumber, StorageError};

/// Pages of a segment.
const PAGES: usize = 1 + BLOCK_BYTES_MAX / PAGE_BYTES;

/// A log of two segments and two epochs, every block of one page.
struct World {
    disk: SimDisk,
    home: ShardHome,
    /// Segment and page of each block, in order.
    blocks: Vec<(u64, usize)>,
    records: Vec<Vec<u8>>,
    files: [Vec<u8>; 2],
}

/// Appends `first`, ends the process, and appends `second`.
fn two_epochs(home: &ShardHome, disk: &SimDisk, first: &[Vec<u8>], second: &[Vec<u8>]) {
    for records in [first, second] {
        let tail = try_recover(disk, home).unwrap().recovered.tail;
        let mut log = block_on(Log::start(disk.clone(), home.clone(), tail, OPTIONS)).unwrap();
        append_blocks(&mut log, records.to_vec());
        disk.kill_process();
    }
}

impl World {
    fn new() -> Self {
        let (disk, home) = shard(22);
        let records = payloads(PAGES + 4);
        two_epochs(&home, &disk, &records[..30], &records[30..]);
        let files = [1, 2].map(|number| disk.read(&segment_path(number)).unwrap());
        let blocks: Vec<_> = [1, 2]
            .into_iter()
            .flat_map(|n| block_offsets(&disk, n).into_iter().map(move |at| (n, at)))
            .map(|(number, at)| (number, usize::try_from(at).unwrap() / PAGE_BYTES))
            .collect();
        assert_eq!(blocks.len(), records.len() + 2, "one each, and the first one of each epoch");
        assert_eq!(
            blocks.iter().filter(|block| block.0 == 1).count(),
            PAGES - 1,
            "the first segment is full"
        );
        Self { disk, home, blocks, records, files }
    }

    fn page(&self, (segment, page): (u64, usize)) -> &[u8] {
        &self.files[usize::try_from(segment).unwrap() - 1][page * PAGE_BYTES..(page + 1) * PAGE_BYTES]
    }

    /// Puts these pages there, sees what recovery makes of it, and puts back what was there.
    fn with(&self, what: &str, pages: &[((u64, usize), &[u8])]) {
        let mut files = self.files.clone();
        for ((segment, page), bytes) in pages {
            let file = &mut files[usize::try_from(*segment).unwrap() - 1];
            file[page * PAGE_BYTES..(page + 1) * PAGE_BYTES].copy_from_slice(bytes);
        }
        for (number, file) in (1..).zip(&files) {
            self.disk.put(&segment_path(number), file);
        }
        // Where what belongs there is not there any more; the first such place decides.
        let changed =
            |place: &(u64, usize)| pages.iter().any(|(at, bytes)| at == place && *bytes != self.page(*place));
        let hit: Vec<_> = self.blocks.iter().copied().filter(changed).collect();
        let last = *self.blocks.last().unwrap();
        match try_recover(&self.disk, &self.home) {
            Ok(replay) => {
                // A place after the last block may hold anything that is no block of this log.
                let lost = usize::from(hit == [last]);
                assert!(hit.is_empty() || lost == 1, "{what}: taken, although {hit:?} is gone");
                let kept = &self.records[..self.records.len() - lost];
                assert!(replay.records.iter().map(|record| &record.1).eq(kept), "{what}: other records");
            }
            Err(StorageError::Corruption(found)) => {
                let (segment, page) = self.named(hit.first().copied(), pages);
                assert_eq!(
                    (found.file, found.offset),
                    (segment_path(segment), (page * PAGE_BYTES) as u64),
                    "{what}: {}",
                    found.reason
                );
            }
            // The log seems to begin later than at the first record, and nothing covers what is before.
            Err(StorageError::NoBase { dir, .. }) if hit.first() == Some(&(1, 1)) => {
                assert_eq!(dir, Path::new(crate::rig::DIR), "{what}");
            }
            Err(other) => panic!("{what}: {other}"),
        }
        for (number, file) in (1..).zip(&files) {
            assert!(
                self.disk.read(&segment_path(number)).as_ref() == Some(file),
                "{what}: nothing was changed"
            );
        }
    }

    /// The place that a refusal names: the first that was hit; the one after, when what was put there has the sequence and
    /// the record that belong there; the first blank one, when what is too much comes after the last block.
    fn named(&self, hit: Option<(u64, usize)>, pages: &[((u64, usize), &[u8])]) -> (u64, usize) {
        let Some(hit) = hit else {
            let (segment, page) = *self.blocks.last().unwrap();
            return (segment, page + 1);
        };
        let put = pages.iter().find(|(place, _)| *place == hit).unwrap().1;
        let fits = [8..24, 32..56].into_iter().all(|range| put[range.clone()] == self.page(hit)[range]);
        let after = self.blocks.iter().position(|block| *block == hit).unwrap() + 1;
        if fits { self.blocks[after] } else { hit }
    }

    /// Every place a block can be at.
    fn places(&self) -> impl Iterator<Item = (u64, usize)> + use<> {
        [1, 2].into_iter().flat_map(|segment| (1..PAGES).map(move |page| (segment, page)))
    }

    /// Puts the blocks of another log at every place, one at a time.
    fn stale(&self, what: &str, other: &SimDisk, path: &Path) {
        let file = other.read(path).unwrap();
        let blocks: Vec<_> = file.chunks(PAGE_BYTES).filter(|page| page.starts_with(b"CBCBLOCK")).collect();
        assert!(blocks.len() > 20, "there are blocks: {}", blocks.len());
        for (n, place) in self.places().enumerate() {
            // The one that was written at this very place, and others all through.
            let same = file.chunks(PAGE_BYTES).nth(place.1).filter(|page| page.starts_with(b"CBCBLOCK"));
            for block in
                same.into_iter().chain([blocks[n % blocks.len()], blocks[(7 * n + 3) % blocks.len()]])
            {
                self.with(&format!("{what} at {place:?}"), &[(place, block)]);
            }
        }
    }
}

#[test]
fn two_blocks_swapped() {
    let world = World::new();
    for (n, a) in world.blocks.iter().enumerate() {
        for b in world.blocks[n + 1..].iter().step_by(3) {
            world.with(&format!("{a:?} and {b:?}"), &[(*a, world.page(*b)), (*b, world.page(*a))]);
        }
    }
    for pair in world.blocks.windows(2) {
        world.with(&format!("{pair:?}"), &[(pair[0], world.page(pair[1])), (pair[1], world.page(pair[0]))]);
    }
}

#[test]
fn a_block_twice() {
    let world = World::new();
    for place in world.places() {
        for block in world.blocks.iter().step_by(4).chain(world.blocks.last()) {
            world.with(&format!("{block:?} also at {place:?}"), &[(place, world.page(*block))]);
        }
    }
}

/// A log like the world's, of another identity, with other records.
fn other(change: impl Fn(&mut LogIdentity)) -> SimDisk {
    let (disk, home) = shard(23);
    let mut identity = IDENTITY;
    change(&mut identity);
    let home = ShardHome::new(home.dir().to_owned(), identity);
    let mut records = payloads(PAGES + 4);
    records.rotate_left(7);
    two_epochs(&home, &disk, &records[..30], &records[30..]);
    disk
}

#[test]
fn blocks_of_another_log() {
    let world = World::new();
    let others = [
        ("another shard's", other(|identity| identity.shard = ShardNumber(1))),
        ("an earlier data directory's", other(|identity| identity.salt = Salt(4))),
        ("another generation's", generation_two()),
    ];
    for (what, disk) in others {
        world.stale(what, &disk, &segment_path(1));
    }
}

/// Blocks of a later generation, which needs a snapshot to begin with.
fn generation_two() -> SimDisk {
    let (disk, home) = shard(24);
    let home = ShardHome::new(home.dir().to_owned(), LogIdentity { generation: Generation(2), ..IDENTITY });
    block_on(async {
        let writer =
            storage::SnapshotWriter::begin(disk.clone(), home.clone(), storage::Lsn(1)).await.unwrap();
        writer.finish_seed().await.unwrap();
    });
    let records = payloads(40);
    two_epochs(&home, &disk, &records[..20], &records[20..]);
    disk
}

#[test]
fn blocks_of_an_earlier_epoch_of_a_copy() {
    // The copy went on from the first epoch: sequence and records continue in it as well, and differ.
    let world = World::new();
    let (copy, home) = shard(25);
    let records = payloads(PAGES + 4);
    let mut further: Vec<_> = payloads(40);
    further.reverse();
    {
        let (mut log, _) = start(&copy, &home);
        append_blocks(&mut log, records[..30].to_vec());
        append_blocks(&mut log, further);
    }
    for place in world.places().filter(|place| *place < (1, 32)) {
        // What both logs share is the same to the byte.
        assert_eq!(
            copy.read(&segment_path(1)).unwrap()[place.1 * PAGE_BYTES..][..PAGE_BYTES],
            *world.page(place)
        );
    }
    let file = copy.read(&segment_path(1)).unwrap();
    for (page, block) in file.chunks(PAGE_BYTES).enumerate().skip(32) {
        if block.starts_with(b"CBCBLOCK") {
            world.with(&format!("an earlier epoch's at its own page {page}"), &[((1, page), block)]);
        }
    }
    world.stale("an earlier epoch's", &copy, &segment_path(1));
}

#[test]
fn blocks_of_an_earlier_segment_in_its_successor() {
    // As if the file of a segment that was removed had been used again without being blanked.
    let world = World::new();
    world.stale("the first segment's", &world.disk, &segment_path(1));
    let used = world.blocks.iter().filter(|block| block.0 == 2).count();
    let rest: Vec<_> = (used + 1..PAGES).map(|page| ((2, page), world.page((1, page)))).collect();
    world.with("all that follows is the first segment's", &rest);
}
