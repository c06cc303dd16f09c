//! Damaged files: the last write, torn, is cut and reported; damage to anything that was acknowledged stops the start with file
//! and place, and nothing is overwritten; a second server on the same directory is refused.

mod crash;

use std::path::{Path, PathBuf};

use crash::calls::{get, post, text};
use crash::people::{RULES, create_source, sign_up, signal_body};
use crash::server::Place;
use crash::{Random, Repeat, files, seed};
use net::http::client::Client;
use serde_json::Value;

/// Unit of placement in a segment.
const PAGE: usize = 4096;
/// How a block begins: magic, and where its length fields are.
const MAGIC: &[u8] = b"CBCBLOCK";
const HEADER_BYTES: usize = 80;
/// Signals of a run, each of them a block of its own, as they are sent one after another.
const SIGNALS: usize = 40;
/// As many as fill segments: a signal takes two blocks, its own and the end of its fan-out.
const SIGNALS_FOR_SEGMENTS: usize = 320;

/// A stopped server's directory with a few dozen blocks, one shard, and what was acknowledged: body and id.
struct Killed {
    place: Place,
    acknowledged: Vec<(String, String)>,
    _dir: tempfile::TempDir,
    _repeat: Repeat,
    random: Random,
}

fn killed(test: &str) -> Killed {
    killed_after(test, SIGNALS)
}

fn killed_after(test: &str, signals: usize) -> Killed {
    let seed = seed();
    let command =
        format!("COINBITCLUB_SEED={seed} cargo test -p coinbitclub --test crash_torn_and_damaged {test}");
    let dir = tempfile::tempdir().expect("a directory");
    let mut place = Place::new(dir.path(), RULES);
    // No snapshot, so that every block is needed.
    place.arguments.retain(|argument| !argument.starts_with("--snapshot-mib"));
    let mut server = place.start(1);
    let client = &mut server.client();
    let publisher = sign_up(client, "publisher@example.com".to_owned());
    let source = create_source(client, &publisher, "source");
    let acknowledged = (0..signals)
        .map(|n| {
            let body = signal_body(&source, &format!("signal {n}"), "buy", "BTCUSDT");
            let ((id, duplicate), _) = repeat(client, &body);
            assert!(!duplicate, "it is new: {body}");
            (body, id)
        })
        .collect();
    server.kill();
    // Reading it through the program waits for what the killed process still had under way to the disk.
    place.digest();
    Killed { place, acknowledged, _dir: dir, _repeat: Repeat { command }, random: Random::new(seed) }
}

/// A block of the log on the disk.
#[derive(Clone, Debug)]
struct Block {
    file: PathBuf,
    offset: usize,
    /// Header and payload.
    bytes: usize,
}

impl Killed {
    /// The blocks in their order, found by their magic at page boundaries.
    fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        for file in files::segments(&self.place.data()) {
            let content = std::fs::read(&file).expect("a segment is read");
            for (page, offset) in content.chunks(PAGE).zip((0..).step_by(PAGE)) {
                if page.starts_with(MAGIC) {
                    let payload = u32::from_le_bytes(page[60..64].try_into().expect("four bytes"));
                    let bytes = HEADER_BYTES + usize::try_from(payload).expect("shorter than a segment");
                    blocks.push(Block { file: file.clone(), offset, bytes });
                }
            }
        }
        assert!(blocks.len() > SIGNALS, "a block for each signal at least: {}", blocks.len());
        blocks
    }

    /// The server starts, says that a torn write was cut and where, and has every signal but perhaps the last one.
    fn starts_without(&self, block: &Block) {
        let server = self.place.start(1);
        let client = &mut server.client();
        let (last, others) = self.acknowledged.split_last().expect("there are signals");
        for (body, id) in others {
            let (answer, _) = repeat(client, body);
            assert_eq!(answer, (id.clone(), true), "{body}");
        }
        // Destroyed from outside after it was acknowledged, if it was in the block: then it is taken anew, once.
        let (_, document) = repeat(client, &last.0);
        assert_eq!(document["id"], Value::String(last.1.clone()));
        crash::settled::status(client);
        assert!(server.stop().success());
        let logged = self.place.logged();
        let line = logged.lines().find(|line| line.contains("torn")).unwrap_or_else(|| panic!("{logged}"));
        assert!(line.contains(&format!("file={} offset={}", block.file.display(), block.offset)), "{line}");
    }

    /// The server refuses to start, names file and place, exits with 1, and has changed nothing.
    fn refuses(&self, file: &Path, offset: usize) -> String {
        let before = files::contents(&self.place.data());
        for shards in [1, 2] {
            let message = refusal(&self.place, shards);
            assert!(message.contains(&file.display().to_string()), "it names the file: {message}");
            assert!(message.contains(&format!("byte {offset}:")), "it names the place {offset}: {message}");
            assert!(message.contains("restore"), "it says what to do: {message}");
            assert!(files::contents(&self.place.data()) == before, "nothing is overwritten: {message}");
        }
        let output = self.place.log_tool(&["inspect", "--summary"]);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "the inspection finds it: {printed}");
        assert!(printed.lines().any(|line| line.starts_with("DAMAGE")), "{printed}");
        assert!(files::contents(&self.place.data()) == before, "an inspection writes nothing");
        printed
    }
}

/// Sends a signal again: its id and whether it is a repeat, and the whole answer.
fn repeat(client: &mut Client, body: &str) -> ((String, bool), Value) {
    let document = post(client, "/api/signals", "", &serde_json::from_str(body).expect("JSON"), 200);
    let id = text(&document, "id").to_owned();
    ((id, document["duplicate"] == Value::Bool(true)), document)
}

/// What a server says that refuses to start, with exit code 1.
fn refusal(place: &Place, shards: u16) -> String {
    let (status, message) = place.refused(shards);
    assert_eq!(status.code(), Some(1), "{message}");
    message
}

#[test]
fn a_torn_last_write_is_cut_and_reported() {
    for tear in 0..4 {
        let mut killed = killed("a_torn_last_write_is_cut_and_reported");
        let last = killed.blocks().pop().expect("there are blocks");
        let inside = killed.random.below(last.bytes);
        match tear {
            // The end of it never reached the disk.
            0 => {
                files::overwrite(&last.file, last.offset + HEADER_BYTES, &vec![0; last.bytes - HEADER_BYTES])
            }
            // Its middle did not.
            1 => files::overwrite(&last.file, last.offset + inside, &vec![0x5a; last.bytes - inside]),
            // One bit is another one.
            2 => files::flip(&last.file, last.offset + inside),
            // Nothing of its beginning is left.
            _ => files::overwrite(&last.file, last.offset, &[0xff; 64]),
        }
        killed.starts_without(&last);
        // The cut is lasting: another start has nothing to cut, and another number of shards reads the same.
        let digest = killed.place.digest();
        for shards in [1, 2] {
            assert!(killed.place.start(shards).stop().success());
            assert!(!killed.place.logged().contains("torn"), "{}", killed.place.logged());
            assert_eq!(killed.place.digest(), digest);
        }
    }
}

#[test]
fn damage_before_the_last_write_stops_the_start_and_nothing_is_overwritten() {
    let mut killed = killed("damage_before_the_last_write_stops_the_start_and_nothing_is_overwritten");
    let blocks = killed.blocks();
    for place in [0, 1, 1 + killed.random.below(blocks.len() - 3), blocks.len() - 2] {
        let block = &blocks[place];
        let at = block.offset + killed.random.below(block.bytes);
        files::flip(&block.file, at);
        killed.refuses(&block.file, block.offset);
        files::flip(&block.file, at);
    }
    // A whole block that is gone is found as well.
    let block = &blocks[blocks.len() / 2];
    let content = std::fs::read(&block.file).expect("a segment is read");
    let start = block.offset;
    files::overwrite(&block.file, block.offset, &vec![0; block.bytes]);
    killed.refuses(&block.file, block.offset);
    files::overwrite(&block.file, block.offset, &content[start..start + block.bytes]);
    // The head page, too.
    files::flip(&block.file, 17);
    killed.refuses(&block.file, 0);
    files::flip(&block.file, 17);
    // Undone, everything is there: the refusals have changed nothing.
    let server = killed.place.start(1);
    for (body, id) in &killed.acknowledged {
        assert_eq!(repeat(&mut server.client(), body).0, (id.clone(), true));
    }
}

/// A disk that gives a whole block in the place of another: one further on, one twice, one of an earlier segment.
#[test]
fn whole_blocks_in_wrong_places_stop_the_start() {
    let mut killed = killed_after("whole_blocks_in_wrong_places_stop_the_start", SIGNALS_FOR_SEGMENTS);
    let blocks = killed.blocks();
    let [first, second] = [0, 1].map(|n| files::segments(&killed.place.data())[n].clone());
    let content = |block: &Block| {
        let file = std::fs::read(&block.file).expect("a segment is read");
        file[block.offset..block.offset + PAGE].to_vec()
    };
    // Those of one page, as most are. Not the last, which a torn write may have been.
    let [old, here] = [first, second].map(|file| {
        let of = |block: &&Block| block.file == file && block.bytes <= PAGE;
        blocks[..blocks.len() - 1].iter().filter(of).collect::<Vec<_>>()
    });
    for _ in 0..4 {
        let at = killed.random.below(here.len());
        let (place, whole) = (here[at], content(here[at]));
        let other = here[(at + 1 + killed.random.below(here.len() - 1)) % here.len()];
        let stale = old[killed.random.below(old.len())];
        // One in the place of another, which is there twice then.
        files::overwrite(&place.file, place.offset, &content(other));
        killed.refuses(&place.file, place.offset);
        // The other in its place: two have changed places.
        let theirs = content(other);
        files::overwrite(&other.file, other.offset, &whole);
        let earlier = if other.offset < place.offset { other } else { place };
        killed.refuses(&earlier.file, earlier.offset);
        files::overwrite(&other.file, other.offset, &theirs);
        // One that an earlier segment holds at this place or another.
        files::overwrite(&place.file, place.offset, &content(stale));
        killed.refuses(&place.file, place.offset);
        files::overwrite(&place.file, place.offset, &whole);
    }
    let server = killed.place.start(1);
    for (body, id) in &killed.acknowledged {
        assert_eq!(repeat(&mut server.client(), body).0, (id.clone(), true));
    }
}

#[test]
fn a_missing_segment_stops_the_start() {
    let killed = killed_after("a_missing_segment_stops_the_start", SIGNALS_FOR_SEGMENTS);
    let segments = files::segments(&killed.place.data());
    assert!(segments.len() > 1, "the log has gone on to another segment: {segments:?}");
    let aside = killed.place.root.join("aside");
    for missing in &segments[..1] {
        std::fs::rename(missing, &aside).expect("a segment is moved");
        let before = files::contents(&killed.place.data());
        let message = refusal(&killed.place, 1);
        assert!(message.contains("restore"), "it says what to do: {message}");
        assert!(files::contents(&killed.place.data()) == before, "nothing is overwritten: {message}");
        std::fs::rename(&aside, missing).expect("a segment is moved back");
    }
    let server = killed.place.start(1);
    for (body, id) in &killed.acknowledged {
        assert_eq!(repeat(&mut server.client(), body).0, (id.clone(), true));
    }
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let killed = killed("a_second_server_on_the_same_directory_is_refused");
    let mut server = killed.place.start(1);
    for shards in [1, 3] {
        let message = refusal(&killed.place, shards);
        assert!(message.contains("in use by another coinbitclub"), "{message}");
        assert!(message.contains(&format!("process {}", server.pid())), "it says by which: {message}");
    }
    let digest = killed.place.log_tool(&["digest"]);
    assert_eq!(digest.status.code(), Some(1), "a digest would read what is being written");
    assert_eq!(get(&mut server.client(), "/health", "")["status"], "live");
    server.kill();
    // A lock file that nobody holds locks nothing.
    assert_eq!(get(&mut killed.place.start(2).client(), "/health", "")["status"], "live");
}

#[test]
fn a_digest_changes_nothing() {
    let killed = killed("a_digest_changes_nothing");
    // What a switch to another number of shards leaves that was interrupted: a start removes it.
    let left = killed.place.data().join("gen-00000002/shard-000");
    std::fs::create_dir_all(&left).expect("a directory is made");
    std::fs::write(left.join("snap-00000000000000000001.snap"), "interrupted").expect("a file is written");
    let before = files::contents(&killed.place.data());
    killed.place.digest();
    assert!(files::contents(&killed.place.data()) == before, "it only looks");
    assert!(killed.place.start(1).stop().success());
    assert!(!left.join("snap-00000000000000000001.snap").exists(), "a start removes it");
}
