//! An archive whose tree is a chain, as no writer makes it, is refused as damaged: reading it must not take a call for each
//! of its nodes, or the thread's stack ends before the chain does.

use engine::core::apply::apply_record;
use engine::core::codec::{CodecError, Encoder, HEADER_BYTES, decode_user};
use engine::core::event::{Event, Record};
use engine::core::ids::{Timestamp, UserId};
use engine::core::state::State;
use engine::core::user::{Seen, User};
use rkyv::util::AlignedVec;

/// Entries of the tree that the chain is made of: about as many as a section of a snapshot has room for.
const ENTRIES: u32 = 180_000;
/// Bytes of an inner node of the tree, its place for the pointers to its children, and how many there are.
const NODE_BYTES: usize = 232;
const POINTERS_AT: usize = 208;
const POINTERS: usize = 6;
/// A pointer to nothing.
const NOWHERE: i32 = 1;

/// A user with a source that remembers `entries` signals.
fn publisher(entries: u32) -> User {
    let (id, mut state) = (UserId(7), State::default());
    let at = Timestamp(1);
    let signed_up = Event::SignedUp {
        email: "a@b.c".to_owned(),
        password: "p".to_owned(),
        zone: "UTC".to_owned(),
        trial_ends_at: at,
    };
    let created = Event::SourceCreated { index: 0, name: "s".to_owned(), secret: [0; 32] };
    apply_record(&mut state, &Record { user: id, at, events: vec![signed_up, created] });
    let mut user = state.by_id(id).expect("it just signed up").clone();
    user.sources[0].seen =
        (0..entries).map(|n| (u128::from(n).to_be_bytes(), Seen { number: n, at, until: at })).collect();
    user
}

fn put(bytes: &mut [u8], at: usize, number: i32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

#[test]
fn a_chain_of_nodes_is_damage() {
    let mut encoder = Encoder::default();
    let mut bytes = AlignedVec::<16>::new();
    bytes.extend_from_slice(encoder.user(&publisher(ENTRIES), 1));
    assert!(decode_user(&bytes).is_ok(), "before");
    // The map: a pointer to its root, then its length. All of its nodes lie before the root.
    let length = ENTRIES.to_le_bytes();
    let map = bytes.windows(4).rposition(|part| part == length).expect("the map's length") - 4;
    let offset = i32::from_le_bytes(*bytes[map..].first_chunk().expect("four bytes"));
    let root = map.checked_add_signed(isize::try_from(offset).expect("fits")).expect("inside");
    let to_child = -i32::try_from(POINTERS_AT + NODE_BYTES).expect("small");
    let mut node = root;
    let mut nodes = 0;
    while node >= HEADER_BYTES + 2 * NODE_BYTES {
        bytes[node] = 1;
        for pointer in 0..POINTERS {
            put(&mut bytes, node + POINTERS_AT + pointer * 4, if pointer == 0 { to_child } else { NOWHERE });
        }
        (node, nodes) = (node - NODE_BYTES, nodes + 1);
    }
    assert!(nodes > 10_000, "{nodes}");
    assert!(matches!(decode_user(&bytes), Err(CodecError::Damaged(_))));
}

#[test]
fn the_largest_source_is_read() {
    let most = u32::try_from(engine::core::user::DEDUP_MAX).expect("small");
    let user = publisher(most);
    let mut bytes = AlignedVec::<16>::new();
    bytes.extend_from_slice(Encoder::default().user(&user, 9));
    assert!(decode_user(&bytes).is_ok_and(|read| read == (user, 9)));
}
