//! One bit of every byte of a log of two segments, cuts of the newest one at every byte, and writes lost from every byte on:
//! recovery gives the same records, or those before the last write when that one is what was hit, or refuses with file and
//! offset. Never a panic, never a wrong record, and a refusal changes nothing.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::rig::{append_blocks, block_offsets, payloads, segment_path, shard, start, try_recover};
use storage::limits::PAGE_BYTES;
use storage::sim_disk::{SimDisk, SimRandom};
use storage::{ShardHome, StorageError};

/// A block and where it is. The first one of the log has no record.
#[derive(Clone, Copy, Debug)]
struct Block {
    segment: u64,
    from: usize,
    /// End of header and payload.
    used: usize,
    /// End of its last page.
    end: usize,
}

struct World {
    disk: SimDisk,
    home: ShardHome,
    blocks: Vec<Block>,
    /// One record per block but the first.
    records: Vec<Vec<u8>>,
    files: [Vec<u8>; 2],
}

impl World {
    /// Two segments: the first one full, with blocks of one page, of three, and a long one; a few more in the second.
    fn new() -> Self {
        let (disk, home) = shard(21);
        let (mut log, _) = start(&disk, &home);
        let mut records = payloads(12);
        records.insert(4, (0_u8..=250).cycle().take(2 * PAGE_BYTES + 100).collect());
        records.push((0_u8..=240).cycle().take(190_000).collect());
        records.extend(payloads(9).into_iter().skip(3));
        append_blocks(&mut log, records.clone());
        assert_eq!(log.position().segment.0, 2);
        drop(log);
        let files = [1, 2].map(|number| disk.read(&segment_path(number)).unwrap());
        let block = |segment: u64, from: u64| {
            let (file, from) =
                (&files[usize::try_from(segment).unwrap() - 1], usize::try_from(from).unwrap());
            let payload = u32::from_le_bytes(file[from + 60..from + 64].try_into().unwrap());
            let used = from + 80 + usize::try_from(payload).unwrap();
            Block { segment, from, used, end: used.next_multiple_of(PAGE_BYTES) }
        };
        let blocks: Vec<_> = [1, 2]
            .into_iter()
            .flat_map(|number| block_offsets(&disk, number).into_iter().map(move |at| (number, at)))
            .map(|(number, at)| block(number, at))
            .collect();
        assert_eq!(blocks.len(), records.len() + 1);
        Self { disk, home, blocks, records, files }
    }

    /// Recovery gives the records of the first `blocks` blocks, and says whether it found a torn end and torn writes before.
    fn gives(&self, blocks: usize, torn: bool, gaps: u64, what: &str) {
        let replay = try_recover(&self.disk, &self.home).unwrap_or_else(|error| panic!("{what}: {error}"));
        let records = &self.records[..blocks.saturating_sub(1)];
        assert!(
            replay.records.iter().map(|record| &record.1).eq(records),
            "{what}: {} records instead of {}",
            replay.records.len(),
            records.len()
        );
        assert_eq!((replay.recovered.torn.is_some(), replay.recovered.gaps), (torn, gaps), "{what}");
    }

    /// Recovery names this place, and has written nothing.
    fn refuses(&self, segment: u64, offset: usize, what: &str) {
        let operations = self.disk.operations();
        match try_recover(&self.disk, &self.home) {
            Err(StorageError::Corruption(found)) => {
                assert_eq!((found.file, found.offset), (segment_path(segment), offset as u64), "{what}");
            }
            other => {
                panic!("{what}: {} at {segment}:{offset}", if other.is_ok() { "taken" } else { "other" })
            }
        }
        assert!(self.disk.operations() - operations <= 2, "{what}: at most each segment was synced");
    }

    fn flip(&self, segment: u64, at: usize, bit: u8) {
        self.disk.flip_bit(&segment_path(segment), at as u64, bit);
    }

    /// One bit of this byte is another one.
    fn flipped(&self, segment: u64, at: usize, bit: u8) {
        let what = format!("bit {bit} of byte {at} of segment {segment}");
        self.flip(segment, at, bit);
        let hit = self.blocks.iter().position(|b| b.segment == segment && (b.from..b.end).contains(&at));
        let all = self.blocks.len();
        match hit.map(|index| (index, self.blocks[index])) {
            _ if at < PAGE_BYTES => self.refuses(segment, 0, &what),
            Some((_, block)) if at >= block.used => self.gives(all, false, 0, &what),
            Some((index, _)) if index + 1 == all => self.gives(all - 1, true, 0, &what),
            Some((_, block)) => self.refuses(segment, block.from, &what),
            None => self.gives(all, segment == 2, u64::from(segment == 1), &what),
        }
        self.flip(segment, at, bit);
    }
}

/// Runs `part` in two threads, each with a log of its own: the same one.
fn in_two(part: impl Fn(&World, usize) + Sync) {
    std::thread::scope(|scope| {
        for half in 0..2 {
            let part = &part;
            scope.spawn(move || part(&World::new(), half));
        }
    });
}

#[test]
fn one_bit_of_every_byte() {
    in_two(|world, half| {
        let mut random = SimRandom::new(half as u64);
        for segment in [1, 2] {
            for at in (half..world.files[0].len()).step_by(2) {
                world.flipped(segment, at, u8::try_from(random.below(8)).unwrap());
            }
        }
        world.gives(world.blocks.len(), false, 0, "all bits are back");
    });
}

#[test]
fn the_newest_segment_is_cut_at_every_byte() {
    in_two(|world, half| {
        let (newest, file) = (segment_path(2), &world.files[1]);
        let used = world.blocks.last().unwrap().end;
        for cut in (half..=used).step_by(2) {
            world.disk.put(&newest, &file[..cut]);
            let offset = if cut < PAGE_BYTES { 0 } else { cut };
            world.refuses(2, offset, &format!("cut at {cut}"));
            assert!(world.disk.read(&newest).unwrap() == file[..cut], "nothing was changed");
        }
    });
}

#[test]
fn what_was_written_from_every_byte_on_is_lost() {
    in_two(|world, half| {
        let (newest, file) = (segment_path(2), &world.files[1]);
        let used = world.blocks.last().unwrap().end;
        let mut lost = file.clone();
        for from in (PAGE_BYTES..=used).rev() {
            let was_zero = from == used || lost[from] == 0;
            lost[from..used].fill(0);
            // Half of them each, but every zero is put in both.
            if from % 2 != half || (was_zero && from != used) {
                continue;
            }
            world.disk.put(&newest, &lost);
            let whole = |b: &&Block| b.segment == 1 || file[b.from..b.end] == lost[b.from..b.end];
            let blocks = world.blocks.iter().take_while(whole).count();
            let rest = world.blocks.get(blocks).is_some_and(|b| from > b.from);
            world.gives(blocks, rest, 0, &format!("lost from {from} on"));
        }
    });
}
