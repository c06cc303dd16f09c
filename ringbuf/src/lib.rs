//! Lock-free rings between pinned threads, and the doorbell that wakes a parked one.
//!
//! [`spsc`] is the ring itself; [`lanes`] puts several of them side by side and drains them by weight; [`mesh`]
//! joins every shard with every other; [`doorbell`] wakes a shard that has announced that it parks.
//!
//! **Runs on**: any thread; every end belongs to exactly one thread at a time (`Send`, not `Sync`).
//! **Owns**: the memory of the slots and the eventfd of a doorbell.
//! **Invariants**: one ring is first in, first out; an item that was accepted is received or dropped exactly once;
//! a consumer that parks by the doorbell's protocol is woken by every push that its last look missed.
//! **Bounds**: every ring has the capacity it was made with; a full ring gives the item back ([`Full`]) and nobody
//! waits.
//! **Never**: allocates after construction, locks, blocks (except `Doorbell::park`, which says so), or knows what it
//! carries.
//!
//! `unsafe` lives in `spsc` (the slots) and in `doorbell` (two system calls). Three commands stand behind it:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p coinbitclub-ringbuf --release --test 'loom_*' --target-dir target/loom
//! RUSTFLAGS="--cfg shuttle" cargo test -p coinbitclub-ringbuf --release --test 'shuttle_*' --target-dir target/shuttle
//! RUSTFLAGS=-Zsanitizer=address cargo +nightly test -p coinbitclub-ringbuf \
//!     --target x86_64-unknown-linux-gnu --target-dir target/asan
//! ```

pub mod doorbell;
pub mod lanes;
pub mod mesh;
pub mod spsc;
mod sync;
mod turns;

pub use doorbell::{Doorbell, Ringer, doorbell};
pub use lanes::{LaneConsumer, LaneFull, LaneProducer, lanes};
pub use mesh::{Inbox, LANES, Outbox, Port, WEIGHTS, mesh};
pub use spsc::{Consumer, Full, Producer, ring};
