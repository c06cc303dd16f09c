//! Every seed of the fuzzer's corpus passes the check of its target. The corpora are folders of `fuzz/corpus`, named for
//! their targets; without nightly and cargo-fuzz this is what remains of fuzzing.

mod fuzz_checks;

use std::path::Path;

/// Files of the corpus, and their bytes together, at most: the repository is no archive.
const FILES_MAX: usize = 100;
const BYTES_MAX: usize = 200 << 10;

#[test]
fn every_seed_of_codec_passes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/codec");
    let (mut files, mut bytes_sum) = (0, 0);
    for entry in std::fs::read_dir(folder).expect("the corpus is there") {
        let path = entry.expect("a folder's entry can be read").path();
        let bytes = std::fs::read(&path).expect("a seed can be read");
        files += 1;
        bytes_sum += bytes.len();
        // Captured, and shown when the check fails.
        println!("{}", path.display());
        fuzz_checks::codec::check(&bytes);
    }
    assert!(
        (1..=FILES_MAX).contains(&files) && bytes_sum <= BYTES_MAX,
        "{files} files, {bytes_sum} bytes: minimise, see fuzz/Cargo.toml"
    );
}
