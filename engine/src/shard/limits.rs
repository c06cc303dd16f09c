//! The shard's bounds, each with the reason for its number, and the relations between them.

use crate::seam::Nanos;

/// Priority lanes: high, medium, low, background.
pub const LANES: usize = 4;

/// Tasks a lane holds. DOMAIN.md §2, Priority.
pub const LANE_CAPACITY: [usize; LANES] = [10_000, 15_000, 20_000, 50_000];

/// How long a task may wait in its lane before it is refused. DOMAIN.md §2, Priority. Closes have none.
pub const LANE_DEADLINE: [Nanos; LANES] = [
    Nanos::from_millis(5_000),
    Nanos::from_millis(10_000),
    Nanos::from_millis(30_000),
    Nanos::from_millis(60_000),
];

/// Turns of the lanes under contention, 4:3:2:1, spread so that no lane waits longer than it must.
pub const LANE_TURNS: [usize; 10] = [0, 1, 0, 2, 0, 1, 3, 0, 1, 2];

/// Asks of one shard that another may have unanswered. Each has a reserved place for its answer.
pub const REMOTE_ASKS_MAX: usize = 2_048;

/// Of these, the last ones are kept for closes.
pub const REMOTE_ASKS_FOR_CLOSES: usize = 512;

/// Slots of the mesh's rings: answers and fan-outs, then high, medium, and low with background.
pub const MESH_CAPACITY: [usize; 4] = [4_096, 2_048, 1_024, 1_024];

/// Fan-outs one shard may have waiting in another's ring: what the first lane holds beyond the answers.
pub const MESH_FAN_OUTS_MAX: usize = MESH_CAPACITY[0] - REMOTE_ASKS_MAX;

/// Units of work in one turn of the loop: about a quarter of a millisecond, so that sockets and flushes are never kept
/// waiting for longer.
pub const TURN_UNITS: usize = 192;

/// Venue reports taken in one turn.
pub const TURN_REPORTS: usize = 192;

/// Messages taken from the mesh in one turn.
pub const TURN_MESSAGES: usize = 512;

/// Callers that one queued close answers; later ones are told to ask again while the close itself stays queued.
pub const CLOSE_CALLERS_MAX: usize = 64;

/// Room in the log below which no further work is begun: the largest decision has to fit several times over.
pub const JOURNAL_ROOM_MIN: usize = 1 << 20;

/// A sent order without any answer for this long is queried. EXCHANGES.md §2.8.
pub const ORDER_ANSWER_MAX_MICROS: u64 = 10_000_000;

/// From this round on a close was refused for an hour: 1 + 2 + … + 32 retry spans, and 64 after each of the others. It is tried
/// less often then: every 5 minutes, 15 minutes and at last every hour, with the default span.
pub const CLOSE_SLOW_ROUND: u8 = 62;

/// How often sent orders are looked over for that.
pub const ORDER_SWEEP_SPAN: Nanos = Nanos::from_millis(1_000);

const _: () = assert!(MESH_CAPACITY[0] >= 2 * REMOTE_ASKS_MAX, "answers and fan-outs share the first lane");
const _: () = assert!(REMOTE_ASKS_FOR_CLOSES < REMOTE_ASKS_MAX, "other asks need places too");
const _: () = assert!(LANE_TURNS.len() == 4 + 3 + 2 + 1, "the weights are 4:3:2:1");
