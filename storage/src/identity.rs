//! The numbers a log is addressed by, each its own type.

use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl $name {
            /// The one after this. Panics at the end of the type's range, which no log reaches.
            #[must_use]
            pub const fn next(self) -> Self {
                match self.0.checked_add(1) {
                    Some(n) => Self(n),
                    None => panic!("a log number ran out"),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Position of a record in a shard's log: 1 is the first, each record takes the next, and a new generation goes on
    /// above every number its predecessor used. 0 means "before any record".
    Lsn(u64)
);
number!(
    /// A set of shards that was started together; changes only with the number of shards. From 1.
    Generation(u32)
);
number!(
    /// A shard of a generation, from 0.
    ShardNumber(u16)
);
number!(
    /// A start of the log of one shard, from 1; grows with each start, and its first block is empty and durable before
    /// any record of it.
    Epoch(u64)
);
number!(
    /// A segment file of one shard's log, from 1, without gaps from the oldest needed on.
    SegmentNumber(u64)
);
number!(
    /// A block of one shard's log in one generation, from 1, without gaps whatever happens.
    BlockSequence(u64)
);

/// A random number per generation that each block repeats. Payloads hold bytes that users chose; without knowing the
/// salt none can contain something that a search for blocks after a torn write would take for one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Salt(pub u64);

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(…)")
    }
}

/// Which log a file belongs to; repeated in every segment, block and snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogIdentity {
    /// The generation.
    pub generation: Generation,
    /// The shard in it.
    pub shard: ShardNumber,
    /// The generation's salt.
    pub salt: Salt,
}
