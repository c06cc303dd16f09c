//! Edits to the files of a shard, read from the fuzzer's bytes.
//!
//! Each edit is a byte that says which, then its arguments; what is missing at the end is zero. Places are taken modulo
//! what is there, so that every script means something.

use super::rig::{DIR, segment_path, snapshot_path};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) type Files = BTreeMap<PathBuf, Vec<u8>>;

const PAGE: usize = 4_096;
/// Edits of one script, at most: more only cost time.
const EDITS_MAX: usize = 24;
/// Pages of a file, at most.
const PAGES_MAX: usize = 96;
/// Numbers at which something might turn.
const NUMBERS: [u64; 12] = [
    0,
    1,
    2,
    0x7f,
    262_064,
    262_065,
    8 << 20,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    u64::MAX - 1,
    u64::MAX,
];

/// What a script did.
#[derive(Default)]
pub(super) struct Done {
    /// A checksum was made to match again, so the files may say what nobody wrote.
    pub(super) forged: bool,
}

struct Script<'a>(&'a [u8]);

impl Script<'_> {
    fn byte(&mut self) -> usize {
        self.0.split_off_first().copied().unwrap_or(0).into()
    }

    fn short(&mut self) -> usize {
        self.byte() | self.byte() << 8
    }
}

/// Runs a script on `files`. Only what is listed there can be edited; names of segments and snapshots can be added.
pub(super) fn run(bytes: &[u8], files: &mut Files) -> Done {
    let (mut script, mut done) = (Script(bytes), Done::default());
    for _ in 0..EDITS_MAX {
        if script.0.is_empty() || files.is_empty() {
            break;
        }
        edit(&mut script, files, &mut done);
    }
    done
}

fn edit(script: &mut Script<'_>, files: &mut Files, done: &mut Done) {
    let what = script.byte();
    let path = files.keys().nth(script.byte() % files.len()).expect("below the number of files").clone();
    let page = script.byte();
    let file = files.get_mut(&path).expect("it was just listed");
    let pages = (file.len() / PAGE).max(1);
    let at = page % pages * PAGE;
    match what % 12 {
        // A bit.
        0 => {
            let (byte, bit) = (script.short(), script.byte());
            if let Some(byte) = file.get_mut(at + byte % PAGE) {
                *byte ^= 1 << (bit % 8);
            }
        }
        // A few bytes as they come.
        1 => {
            let (from, length) = (at + script.short() % PAGE, 1 + script.byte() % 16);
            for at in from..from + length {
                let byte = script.byte();
                if let Some(place) = file.get_mut(at) {
                    *place = u8::try_from(byte).expect("it is one");
                }
            }
        }
        // A run of zeros.
        2 => {
            let (from, length) = (at + script.short() % PAGE, 1 + script.short());
            let end = file.len().min(from + length);
            file.get_mut(from..end).unwrap_or_default().fill(0);
        }
        // Pages, over others of any file.
        3 => {
            let (count, to, to_page) = (1 + script.byte() % 4, script.byte(), script.byte());
            let end = file.len().min(at + count * PAGE);
            let copy = file.get(at..end).unwrap_or_default().to_vec();
            let to = to % files.len();
            let to = files.values_mut().nth(to).expect("below the number of files");
            let to_at = to_page % (to.len() / PAGE).max(1) * PAGE;
            let length = copy.len().min(to.len() - to_at);
            to[to_at..to_at + length].copy_from_slice(&copy[..length]);
        }
        // The end, cut.
        4 => file.truncate(at + script.short() % PAGE),
        // The end, with pages after it.
        5 => {
            let length = (file.len() + (1 + page % 8) * PAGE).min(PAGES_MAX * PAGE);
            file.resize(length.max(file.len()), 0);
        }
        6 => {
            files.remove(&path);
        }
        // The file under another name, that was there or not.
        7 => {
            let content = file.clone();
            files.insert(name(script.byte()), content);
        }
        // The file's name, for another.
        8 => {
            let content = files.remove(&path).expect("it was just listed");
            files.insert(name(script.byte()), content);
        }
        // A number where numbers are, or one up or down.
        9 => {
            let (field, number) = (script.byte() % 16, script.byte());
            let Some(place) = file.get_mut(at + field * 8..at + field * 8 + 8) else { return };
            let old = u64::from_le_bytes(*place.first_chunk().expect("eight bytes"));
            let new = match number {
                0x80.. => old.wrapping_add(u64::try_from(number - 0x7f).expect("small")),
                0x60.. => old.wrapping_sub(u64::try_from(number - 0x5f).expect("small")),
                _ => NUMBERS[number % NUMBERS.len()],
            };
            place.copy_from_slice(&new.to_le_bytes());
        }
        // The checksum of a block, a head or what a snapshot holds, made to match again.
        10 => {
            done.forged = true;
            if at == 0 { seal_head(file) } else { seal_block(&mut file[at..]) }
        }
        _ => {
            done.forged = true;
            seal_head(file);
            seal_sections(file);
        }
    }
}

/// Names near those that are there, and at the ends of the range.
fn name(choice: usize) -> PathBuf {
    match choice % 12 {
        number @ 0..=4 => segment_path(number as u64),
        5 => segment_path(u64::MAX),
        6 => snapshot_path(0),
        7 => snapshot_path(1),
        8 => snapshot_path(u64::MAX),
        9 => Path::new(DIR).join("seg-0000000000000002.log.tmp"),
        10 => snapshot_path(8),
        _ => snapshot_path(11),
    }
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let number = u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
    usize::try_from(number).ok()
}

fn put(bytes: &mut [u8], at: usize, crc: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

fn seal_head(file: &mut [u8]) {
    if file.len() >= PAGE {
        let crc = crc32c::crc32c(&file[..PAGE - 4]);
        put(file, PAGE - 4, crc);
    }
}

/// See the table in `storage::block`.
fn seal_block(block: &mut [u8]) {
    let Some(length) = number(block, 60) else { return };
    let Some(end) = 80_usize.checked_add(length).filter(|end| *end <= block.len()) else { return };
    let crc = crc32c::crc32c_append(crc32c::crc32c(&block[..64]), &block[68..end]);
    put(block, 64, crc);
}

/// See the tables in `storage::snapshot_file`: sections as far as they can be followed, then the footer.
fn seal_sections(file: &mut [u8]) {
    let (mut at, mut all, mut sections, mut bytes) = (PAGE, 0_u32, 0_u64, 0_u64);
    while file.get(at..at + 4) == Some(b"SECT") {
        let Some(length) = number(file, at + 4) else { return };
        let Some(end) = (at + 32).checked_add(length).filter(|end| *end <= file.len()) else { return };
        file[at + 8..at + 16].copy_from_slice(&sections.to_le_bytes());
        let crc = crc32c::crc32c_append(crc32c::crc32c(&file[at..at + 16]), &file[at + 32..end]);
        put(file, at + 16, crc);
        all = crc32c::crc32c_append(all, &crc.to_le_bytes());
        (sections, bytes, at) = (sections + 1, bytes + length as u64, end.next_multiple_of(16));
    }
    if let Some(footer) = file.get_mut(at..at + 64)
        && footer[..4] == *b"DONE"
    {
        footer[8..16].copy_from_slice(&sections.to_le_bytes());
        footer[16..24].copy_from_slice(&bytes.to_le_bytes());
        put(footer, 40, all);
        let crc = crc32c::crc32c(&footer[..60]);
        put(footer, 60, crc);
    }
}
