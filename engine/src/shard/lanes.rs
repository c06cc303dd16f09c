//! The lanes of a shard: what waits to be decided, by priority.
//!
//! **Runs on**: its shard. **Owns**: the waiting tasks.
//! **Invariants**: within a lane, first in, first out per user, and users take turns; between lanes 4:3:2:1 while they
//! contend, and an empty lane's turns go to the others. Closes come before everything.
//! **Bounds**: [`LANE_CAPACITY`]; a full lane gives the task back. Closes are merged by what they close, so they are
//! bounded by what can be closed, and never refused.

use std::collections::{BTreeMap, VecDeque};

use super::limits::{CLOSE_CALLERS_MAX, LANE_CAPACITY, LANE_TURNS, LANES};
use crate::core::ids::{SourceId, UserId};
use crate::core::instrument::Symbol;
use crate::core::signal::SignalKind;
use crate::core::state::IdMap;

/// A priority lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Trading.
    High,
    /// Money and settings.
    Medium,
    /// Reads, notices.
    Low,
    /// Maintenance.
    Background,
}

impl Lane {
    /// All of them, highest first.
    pub const ALL: [Self; LANES] = [Self::High, Self::Medium, Self::Low, Self::Background];

    /// Its place, 0 is the highest.
    #[must_use]
    pub const fn place(self) -> usize {
        match self {
            Self::High => 0,
            Self::Medium => 1,
            Self::Low => 2,
            Self::Background => 3,
        }
    }

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Background => "background",
        }
    }
}

#[derive(Debug)]
struct Node<T> {
    task: Option<T>,
    next: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    head: u32,
    tail: u32,
}

/// One lane: a line per user, and the users taking turns.
#[derive(Debug)]
pub struct FairLane<T> {
    capacity: usize,
    nodes: Vec<Node<T>>,
    free: Vec<u32>,
    lines: IdMap<UserId, Line>,
    turns: VecDeque<UserId>,
    len: usize,
}

impl<T> FairLane<T> {
    /// An empty lane. Memory grows up to `capacity` and is kept.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            nodes: Vec::new(),
            free: Vec::new(),
            lines: IdMap::default(),
            turns: VecDeque::new(),
            len: 0,
        }
    }

    /// Tasks waiting.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether none is.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a task to a user's line.
    ///
    /// # Errors
    /// The task, when the lane is full.
    pub fn push(&mut self, user: UserId, task: T) -> Result<(), T> {
        if self.len == self.capacity {
            return Err(task);
        }
        let node = Node { task: Some(task), next: None };
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                u32::try_from(self.nodes.len() - 1).expect("a lane's capacity fits 32 bits")
            }
        };
        match self.lines.get_mut(&user) {
            Some(line) if planted::planted!("two_commands_of_a_user_swapped") => {
                self.nodes[at as usize].next = Some(line.head);
                line.head = at;
            }
            Some(line) => {
                self.nodes[line.tail as usize].next = Some(at);
                line.tail = at;
            }
            None => {
                self.lines.insert(user, Line { head: at, tail: at });
                self.turns.push_back(user);
            }
        }
        self.len += 1;
        Ok(())
    }

    /// The next task: the oldest of the user whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let user = self.turns.pop_front()?;
        let line = self.lines.get_mut(&user).expect("a user with a turn has a line");
        let at = line.head;
        let node = &mut self.nodes[at as usize];
        let task = node.task.take().expect("a node in a line holds a task");
        match node.next.take() {
            Some(next) => {
                line.head = next;
                self.turns.push_back(user);
            }
            None => {
                self.lines.remove(&user);
            }
        }
        self.free.push(at);
        self.len -= usize::from(!planted::planted!("lane_place_leaked"));
        Some(task)
    }
}

/// What a queued close closes: two with the same key are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseKey {
    /// A closing signal: source, symbol, kind (as its word).
    Signal(SourceId, Symbol, &'static str),
    /// A user's close: user, account, symbol.
    Position(UserId, u8, Symbol),
}

impl CloseKey {
    /// The key of a closing signal.
    #[must_use]
    pub const fn signal(source: SourceId, symbol: Symbol, kind: SignalKind) -> Self {
        Self::Signal(source, symbol, kind.as_str())
    }
}

/// Closes of one thing that wait: decided one after the other, so that each is recognised when it is repeated.
#[derive(Debug)]
pub struct QueuedClose<T, C> {
    /// Each close with who is to be answered, in the order they came; at least one.
    pub tasks: Vec<(T, C)>,
}

/// The closes that wait: first in, first out, merged by key.
#[derive(Debug)]
pub struct Closes<T, C> {
    order: VecDeque<CloseKey>,
    queued: BTreeMap<CloseKey, QueuedClose<T, C>>,
}

impl<T, C> Default for Closes<T, C> {
    fn default() -> Self {
        Self { order: VecDeque::new(), queued: BTreeMap::new() }
    }
}

impl<T, C> Closes<T, C> {
    /// Closes waiting.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Queues a close, or joins the one that closes the same.
    ///
    /// # Errors
    /// The caller, when it joined one that has as many callers as it may: the close is queued all the same.
    pub fn push(&mut self, key: CloseKey, task: T, caller: C) -> Result<(), C> {
        match self.queued.get_mut(&key) {
            Some(queued) if queued.tasks.len() < CLOSE_CALLERS_MAX => queued.tasks.push((task, caller)),
            Some(_) => return Err(caller),
            None => {
                self.queued.insert(key, QueuedClose { tasks: vec![(task, caller)] });
                self.order.push_back(key);
            }
        }
        Ok(())
    }

    /// The oldest close.
    pub fn pop(&mut self) -> Option<QueuedClose<T, C>> {
        let key = self.order.pop_front()?;
        self.queued.remove(&key)
    }
}

/// The four lanes and whose turn it is.
#[derive(Debug)]
pub struct Lanes<T> {
    lanes: [FairLane<T>; LANES],
    turn: usize,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self { lanes: LANE_CAPACITY.map(FairLane::new), turn: 0 }
    }
}

impl<T> Lanes<T> {
    /// One lane.
    #[must_use]
    pub const fn lane(&self, lane: Lane) -> &FairLane<T> {
        &self.lanes[lane.place()]
    }

    /// Adds a task.
    ///
    /// # Errors
    /// The task, when its lane is full.
    pub fn push(&mut self, lane: Lane, user: UserId, task: T) -> Result<(), T> {
        self.lanes[lane.place()].push(user, task)
    }

    /// The lane whose turn it is. `also_high` says that the high lane has work outside of these queues (a fan-out).
    pub fn next_lane(&mut self, also_high: bool) -> Option<Lane> {
        for step in 0..LANE_TURNS.len() {
            let turn = (self.turn + step) % LANE_TURNS.len();
            let lane = Lane::ALL[LANE_TURNS[turn]];
            if !self.lane(lane).is_empty() || (also_high && lane == Lane::High) {
                self.turn = (turn + 1) % LANE_TURNS.len();
                return Some(lane);
            }
        }
        None
    }

    /// The next task of a lane.
    pub fn pop(&mut self, lane: Lane) -> Option<T> {
        self.lanes[lane.place()].pop()
    }

    /// Whether nothing waits in any lane.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(FairLane::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn users_take_turns_and_each_keeps_its_order() {
        let mut lane = FairLane::new(10);
        for (user, task) in [(1, 'a'), (1, 'b'), (1, 'c'), (2, 'x'), (3, 'p'), (2, 'y')] {
            lane.push(UserId(user), task).expect("there is room");
        }
        let order: String = std::iter::from_fn(|| lane.pop()).collect();
        assert_eq!(order, "axpbyc");
    }

    #[test]
    fn a_full_lane_gives_the_task_back() {
        let mut lane = FairLane::new(1);
        assert_eq!(lane.push(UserId(1), 1), Ok(()));
        assert_eq!(lane.push(UserId(2), 2), Err(2));
        assert_eq!(lane.pop(), Some(1));
        assert_eq!(lane.push(UserId(2), 2), Ok(()));
    }

    #[test]
    fn contending_lanes_share_four_to_one() {
        let mut lanes = Lanes::default();
        for lane in Lane::ALL {
            for n in 0..100 {
                lanes.push(lane, UserId(n), lane).expect("there is room");
            }
        }
        let mut counts = [0; LANES];
        for _ in 0..100 {
            let lane = lanes.next_lane(false).expect("there is work");
            counts[lanes.pop(lane).expect("the lane has work").place()] += 1;
        }
        assert_eq!(counts, [40, 30, 20, 10]);
    }

    #[test]
    fn an_empty_lane_leaves_its_turns_to_the_others() {
        let mut lanes = Lanes::default();
        for n in 0..5 {
            lanes.push(Lane::Background, UserId(n), n).expect("there is room");
        }
        for _ in 0..5 {
            assert_eq!(lanes.next_lane(false), Some(Lane::Background));
            lanes.pop(Lane::Background);
        }
        assert_eq!(lanes.next_lane(false), None);
        assert_eq!(lanes.next_lane(true), Some(Lane::High));
    }

    #[test]
    fn closes_of_the_same_thing_are_one() {
        let symbol = Symbol::new("BTCUSDT").expect("a symbol");
        let mut closes = Closes::default();
        for caller in 0..CLOSE_CALLERS_MAX {
            assert_eq!(closes.push(CloseKey::Position(UserId(1), 0, symbol), 'a', caller), Ok(()));
        }
        assert_eq!(closes.push(CloseKey::Position(UserId(1), 0, symbol), 'b', 999), Err(999));
        assert_eq!(closes.push(CloseKey::Position(UserId(2), 0, symbol), 'c', 7), Ok(()));
        let first = closes.pop().expect("one waits");
        assert_eq!((first.tasks[0].0, first.tasks.len()), ('a', CLOSE_CALLERS_MAX));
        assert_eq!(closes.pop().map(|c| c.tasks), Some(vec![('c', 7)]));
        assert!(closes.is_empty());
    }

    proptest! {
        #[test]
        fn each_user_is_first_in_first_out(tasks in prop::collection::vec((0_u64..5, any::<bool>()), 0..200)) {
            let mut lane = FairLane::new(64);
            let mut model: Vec<(u64, usize)> = Vec::new();
            let mut popped: Vec<(u64, usize)> = Vec::new();
            for (n, (user, push)) in tasks.into_iter().enumerate() {
                if push {
                    if lane.push(UserId(user), (user, n)).is_ok() {
                        model.push((user, n));
                    } else {
                        prop_assert_eq!(lane.len(), 64);
                    }
                } else if let Some(task) = lane.pop() {
                    popped.push(task);
                }
            }
            popped.extend(std::iter::from_fn(|| lane.pop()));
            prop_assert_eq!(popped.len(), model.len());
            for user in 0..5 {
                let of = |list: &[(u64, usize)]| -> Vec<usize> {
                    list.iter().filter(|(u, _)| *u == user).map(|(_, n)| *n).collect()
                };
                prop_assert_eq!(of(&popped), of(&model));
            }
        }
    }
}
