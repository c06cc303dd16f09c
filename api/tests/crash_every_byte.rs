//! A small log that the real program wrote: one bit of every byte of its used part, cuts at every byte of it, and writes lost
//! from every byte on, through the library; a spread of them through `coinbitclub log digest` and `log inspect`, which say the
//! same. It is the same state, the state before the last write, or a refusal with file and place, and nothing has changed.

mod crash;

use std::path::{Path, PathBuf};

use api::server::recovery::{RecoveryError, recover_shard};
use crash::calls::post;
use crash::people::{RULES, create_source, sign_up, signal_body, subscription};
use crash::server::Place;
use crash::{Random, Repeat, files, seed, settled};
use engine::core::state::{combine_digests, user_digest};
use serde_json::json;
use storage::sim_disk::{SimDisk, block_on};
use storage::{DataDirectory, ShardHome, StorageError};

const PAGE: usize = 4096;
/// One in so many of the spread goes through the program.
const SPREAD: usize = 97;

/// What reading the directory comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// The state's digest as the program prints it.
    State(String),
    /// Where it is damaged.
    Refused(PathBuf, usize),
}

struct Written {
    place: Place,
    /// The segment in use, and its content.
    segment: PathBuf,
    bytes: Vec<u8>,
    /// Where each block begins, and the end of its header and payload.
    blocks: Vec<(usize, usize)>,
    /// The state after the first blocks: so many of them as the index says.
    states: Vec<String>,
    _dir: tempfile::TempDir,
}

impl Written {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut place = Place::new(dir.path(), RULES);
        place.arguments.retain(|argument| !argument.starts_with("--snapshot-mib"));
        let server = place.start(1);
        let client = &mut server.client();
        let publisher = sign_up(client, "publisher@example.com".to_owned());
        let source = create_source(client, &publisher, "source");
        let trader = sign_up(client, "trader@example.com".to_owned());
        post(client, "/api/accounts", &trader.token, &json!({ "venue": "paper" }), 201);
        post(client, "/api/subscriptions", &trader.token, &subscription(0, &source, 5), 200);
        for (n, action) in ["buy", "close"].into_iter().enumerate() {
            let body = signal_body(&source, &format!("signal {n}"), action, "BTCUSDT");
            post(client, "/api/signals", "", &serde_json::from_str(&body).expect("JSON"), 200);
            settled::settle(client, std::slice::from_ref(&trader));
        }
        assert!(server.stop().success());
        let segment = files::segments(&place.data()).remove(0);
        let bytes = std::fs::read(&segment).expect("a segment is read");
        let blocks: Vec<_> = (PAGE..bytes.len())
            .step_by(PAGE)
            .filter(|at| bytes[*at..].starts_with(b"CBCBLOCK"))
            .map(|at| {
                let payload = u32::from_le_bytes(bytes[at + 60..at + 64].try_into().expect("four bytes"));
                (at, at + 80 + usize::try_from(payload).expect("shorter than a segment"))
            })
            .collect();
        let mut written = Self { place, segment, bytes, blocks, states: Vec::new(), _dir: dir };
        let look = Look::new(&written);
        for count in 0..=written.blocks.len() {
            let mut bytes = written.bytes.clone();
            bytes[written.blocks.get(count).map_or(written.used(), |block| block.0)..].fill(0);
            look.disk.put(&written.segment, &bytes);
            let Outcome::State(state) = look.outcome() else { panic!("a shorter log is in order") };
            written.states.push(state);
        }
        assert_eq!(written.states.last(), Some(&written.place.digest()), "the program says the same");
        written
    }

    /// End of the last block's last page.
    fn used(&self) -> usize {
        self.blocks.last().expect("there are blocks").1.next_multiple_of(PAGE)
    }

    fn state(&self, blocks: usize) -> Outcome {
        Outcome::State(self.states[blocks].clone())
    }

    /// What must come of a changed byte.
    fn after_flip(&self, at: usize) -> Outcome {
        let all = self.blocks.len();
        match self.blocks.iter().rposition(|block| block.0 <= at) {
            None => Outcome::Refused(self.segment.clone(), 0),
            Some(index) if at >= self.blocks[index].1 => self.state(all),
            Some(index) if index + 1 == all => self.state(index),
            Some(index) => Outcome::Refused(self.segment.clone(), self.blocks[index].0),
        }
    }

    /// What must come of it when nothing from here on was written.
    fn after_loss(&self, from: usize) -> Outcome {
        let whole = |block: &&(usize, usize)| {
            from >= block.1 || (from > block.0 && self.bytes[from..block.1].iter().all(|byte| *byte == 0))
        };
        self.state(self.blocks.iter().take_while(whole).count())
    }

    /// The program on the changed file: both commands say what is expected, and change nothing.
    fn program(&self, what: &str, changed: &[u8], expected: &Outcome) {
        std::fs::write(&self.segment, changed).expect("the segment is changed");
        let before = files::contents(&self.place.data());
        let output = self.place.log_tool(&["digest"]);
        let said = String::from_utf8_lossy(&output.stderr);
        match expected {
            Outcome::State(state) => {
                assert!(output.status.success(), "{what}: {said}");
                assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), state, "{what}");
            }
            Outcome::Refused(file, offset) => {
                assert_eq!(output.status.code(), Some(1), "{what}: {said}");
                let place = (file.display().to_string(), format!("byte {offset}:"));
                assert!(said.contains(&place.0) && said.contains(&place.1), "{what}: {place:?} in {said}");
            }
        }
        let output = self.place.log_tool(&["inspect"]);
        let printed = String::from_utf8_lossy(&output.stdout);
        let damaged = matches!(expected, Outcome::Refused(..));
        assert_eq!(output.status.code(), Some(i32::from(damaged)), "{what}: {printed}");
        assert_eq!(printed.lines().any(|line| line.starts_with("DAMAGE")), damaged, "{what}: {printed}");
        assert!(files::contents(&self.place.data()) == before, "{what}: nothing was changed");
    }
}

/// The directory in memory, read by the library.
struct Look {
    disk: SimDisk,
    home: ShardHome,
}

impl Look {
    fn new(written: &Written) -> Self {
        let disk = SimDisk::new(1);
        let data = written.place.data();
        for (path, bytes) in files::contents(&data) {
            disk.put(&path, &bytes);
        }
        let homes = block_on(DataDirectory::look(&disk, &data)).expect("CURRENT is read");
        Self { home: homes.expect("there is one").remove(0), disk }
    }

    fn outcome(&self) -> Outcome {
        match block_on(recover_shard(&self.disk, &self.home)) {
            Ok(found) => {
                let users = found.state.users();
                let digest = combine_digests(users.iter().map(|user| (user.id, user_digest(user))).collect());
                let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                Outcome::State(format!("{hex} {} users", users.len()))
            }
            Err(RecoveryError::Storage(StorageError::Corruption(found))) => {
                Outcome::Refused(found.file, usize::try_from(found.offset).expect("a length"))
            }
            Err(other) => panic!("neither a state nor a place: {other}"),
        }
    }
}

/// Does `part` for the even and for the odd bytes, each on a directory in memory of its own.
fn in_two(written: &Written, part: impl Fn(&Look, usize) + Sync) {
    std::thread::scope(|scope| {
        for half in 0..2 {
            let part = &part;
            scope.spawn(move || part(&Look::new(written), half));
        }
    });
}

fn cut(segment: &Path, at: usize) -> Outcome {
    Outcome::Refused(segment.to_owned(), if at < PAGE { 0 } else { at })
}

#[test]
fn every_byte_of_a_log_that_the_program_wrote() {
    let seed = seed();
    let command = format!("COINBITCLUB_SEED={seed} cargo test -p coinbitclub --test crash_every_byte");
    let _repeat = Repeat { command };
    let written = Written::new();
    let (used, bit) = (written.used(), |at: usize| Random::new(seed ^ at as u64).below(8));
    in_two(&written, |look, half| {
        for at in (half..used).step_by(2) {
            let bit = u8::try_from(bit(at)).expect("below 8");
            look.disk.flip_bit(&written.segment, at as u64, bit);
            assert_eq!(look.outcome(), written.after_flip(at), "bit {bit} of byte {at}");
            look.disk.flip_bit(&written.segment, at as u64, bit);
        }
        let mut lost = written.bytes.clone();
        for from in (PAGE..used).rev() {
            // Where there was a zero, the file is the same as with the next byte lost.
            if std::mem::take(&mut lost[from]) != 0 && from % 2 == half {
                look.disk.put(&written.segment, &lost);
                assert_eq!(look.outcome(), written.after_loss(from), "lost from {from} on");
            }
        }
        for at in (half..used).step_by(2) {
            look.disk.put(&written.segment, &written.bytes[..at]);
            assert_eq!(look.outcome(), cut(&written.segment, at), "cut at {at}");
        }
    });
    let mut through_program = 0;
    let borders = (1..used / PAGE).flat_map(|page| [page * PAGE - 1, page * PAGE, page * PAGE + 1]);
    for (n, at) in borders.chain((0..used).step_by(used / SPREAD)).enumerate() {
        let mut changed = written.bytes.clone();
        match n % 3 {
            0 => {
                changed[at] ^= 1 << bit(at);
                written.program(&format!("bit {} of byte {at}", bit(at)), &changed, &written.after_flip(at));
            }
            1 => written.program(&format!("cut at {at}"), &changed[..at], &cut(&written.segment, at)),
            _ => {
                changed[at.max(PAGE)..].fill(0);
                written.program(&format!("lost from {at} on"), &changed, &written.after_loss(at.max(PAGE)));
            }
        }
        through_program += 1;
    }
    std::fs::write(&written.segment, &written.bytes).expect("the segment is as it was");
    assert_eq!(written.state(written.blocks.len()), Outcome::State(written.place.digest()));
    println!("{used} bytes in {} blocks; {through_program} through the program", written.blocks.len());
}
