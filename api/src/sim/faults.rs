//! The faults, the states they can strike in, and how often each struck in each: when it was felt first, not when it was armed.
//!
//! Which faults there are, how many at once and where they never strike is the contract at the head of [`super`].

use std::cell::RefCell;

use storage::sim_disk::SimRandom;

macro_rules! named {
    ($(#[$doc:meta])* $name:ident, $all:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name in tables and on the command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Its place in [`Self::ALL`].
            #[must_use]
            pub const fn place(self) -> usize {
                self as usize
            }

            /// The one of this name.
            #[must_use]
            pub fn of_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.name() == name)
            }
        }
    };
}

named! {
    /// A kind of fault.
    Fault, ALL {
        /// The process is killed; the machine goes on.
        Kill = "kill",
        /// The power fails: unsynced sectors are kept or lost each on its own.
        PowerLoss = "power-loss",
        /// The server is told to stop, and starts again.
        Stop = "stop",
        /// It starts again with another number of shards.
        Reshard = "reshard",
        /// A data sync fails.
        SyncFails = "sync-fails",
        /// A data sync takes seconds.
        SyncLate = "sync-late",
        /// A write fails after any of its pages.
        WriteFails = "write-fails",
        /// The disk is full for a while.
        DiskFull = "disk-full",
        /// Every operation of the disk waits for a while.
        DiskStalls = "disk-stalls",
        /// A bit of the log flips while the server is down.
        LogBit = "log-bit",
        /// A bit of the newest snapshot flips while the server is down.
        SnapshotBit = "snapshot-bit",
        /// A block of the log is found where another belongs, while the server is down.
        Misdirected = "misdirected",
        /// A client's connection is reset.
        Reset = "reset",
        /// A client stops reading for a while.
        StalledReader = "stalled-reader",
        /// Bytes of clients arrive late and in pieces.
        SlowNetwork = "slow-network",
        /// A client sends a request again over another connection.
        Resent = "resent",
        /// A request that is malformed or hostile.
        Hostile = "hostile",
        /// A shard's calendar is set.
        ClockSet = "clock-set",
        /// A shard gets no CPU for a while.
        Starved = "starved",
        /// The venue takes an order and its answers are lost.
        AnswerLost = "answer-lost",
        /// The order is lost before the venue sees it.
        OrderLost = "order-lost",
        /// The venue's answers come late.
        AnswerLate = "answer-late",
        /// The venue tells things twice.
        AnswerTwice = "answer-twice",
        /// The venue refuses an order.
        Refused = "refused",
        /// The venue takes no requests for a while.
        VenueBusy = "venue-busy",
        /// The database is not there for a while, or lets everybody wait.
        DatabaseDown = "database-down",
        /// The database loses a batch, or the answer to one that it has committed.
        DatabaseAnswer = "database-answer",
        /// A standby that misses up to three batches takes over.
        DatabaseFailOver = "database-fail-over",
        /// A request to an exchange is lost, with its connection.
        RequestLost = "request-lost",
        /// What an exchange sends is lost, with its connection, which breaks or, in runs that take no triggers away, falls silent.
        ReplyLost = "reply-lost",
        /// The way to the exchange and back takes seconds.
        ExchangeSlow = "exchange-slow",
        /// All connections to the exchange break, and none is made for a while.
        ExchangeCut = "exchange-cut",
        /// The exchange answers that it does not know what became of a request: it was done, or not.
        ExchangeUnknown = "exchange-unknown",
        /// The exchange is overloaded or unavailable: nothing was done.
        ExchangeRefuses = "exchange-refuses",
        /// The exchange answers seconds later, also after one has stopped waiting.
        ExchangeLate = "exchange-late",
        /// The exchange refuses for a limit that was not reached.
        ExchangeLimits = "exchange-limits",
        /// Events of a stream are lost or late, or the stream breaks off.
        StreamLost = "stream-lost",
        /// Events of a stream come twice or in another order.
        StreamTwice = "stream-twice",
        /// The exchange's clock is set.
        ExchangeClock = "exchange-clock",
        /// All listen keys end, or one of them at a request or an event of its account.
        ListenKeys = "listen-keys",
        /// The exchange shuts our address out: 418 and its end on Binance, 403 for ten minutes on Bybit.
        ExchangeBan = "exchange-ban",
        /// A trigger is taken away at the exchange, by its user or by the exchange, which calls its position gone.
        TriggerTaken = "trigger-taken",
        /// A trigger fires at the exchange, and no order comes of it.
        TriggerStuck = "trigger-stuck",
        /// The exchange refuses an order or a trigger for its price, its size, or the account's money.
        ExchangeSaysNo = "exchange-says-no",
        /// Requests are judged and stamped by a clock of the exchange that is off.
        ExchangeSkew = "exchange-skew",
        /// Questions are answered as if all orders that have ended were history.
        EndedForgotten = "ended-forgotten",
        /// Another program at our address asks all that Binance allows it in a minute.
        AddressSpent = "address-spent",
    }
}

impl Fault {
    /// Whether it is one of an exchange, or of the way there.
    #[must_use]
    pub const fn is_of_exchange(self) -> bool {
        self.place() >= Self::RequestLost.place()
    }
}

named! {
    /// A state the server can be in. Several hold at once.
    Situation, ALL {
        /// No process runs.
        Down = "down",
        /// It recovers and is not serving yet.
        Starting = "starting",
        /// It serves and nothing of the rest holds.
        Quiet = "quiet",
        /// A flush of the log is under way.
        Flushing = "flushing",
        /// The next segment is being made.
        Segment = "segment",
        /// A snapshot is being written.
        Snapshot = "snapshot",
        /// A signal is on its way to its subscribers.
        FanOut = "fan-out",
        /// An order is not confirmed.
        OrderOpen = "order-open",
        /// An order's outcome is unknown.
        OrderUnknown = "order-unknown",
        /// A position has no live stop.
        Unprotected = "unprotected",
        /// A position is being closed.
        Closing = "closing",
        /// It was told to stop and has not ended.
        Stopping = "stopping",
        /// A shard's log has failed.
        Failed = "failed",
    }
}

/// Why a fault cannot strike in a situation; `None` when it can.
#[must_use]
pub fn unreachable(fault: Fault, situation: Situation) -> Option<&'static str> {
    use Fault::*;
    use Situation::*;
    let at_rest = matches!(fault, LogBit | SnapshotBit | Misdirected | Reshard);
    let venue = matches!(fault, AnswerLost | OrderLost | AnswerLate | AnswerTwice | Refused | VenueBusy);
    let process = matches!(fault, Kill | Stop);
    let disk = matches!(fault, SyncFails | SyncLate | WriteFails | DiskFull | DiskStalls);
    // The exchange is asked whenever a process runs that has an account there, and goes on when none does.
    let on_its_own = matches!(
        fault,
        ExchangeSlow
            | ExchangeCut
            | ExchangeClock
            | ListenKeys
            | ExchangeBan
            | TriggerTaken
            | TriggerStuck
            | AddressSpent
    );
    // What a process that has ended had on its way still arrives.
    let on_arrival = matches!(
        fault,
        RequestLost
            | ExchangeUnknown
            | ExchangeRefuses
            | ExchangeLate
            | ExchangeSaysNo
            | ExchangeSkew
            | EndedForgotten
    );
    let client = matches!(fault, Reset | StalledReader | SlowNetwork | Resent | Hostile);
    match situation {
        Down if at_rest || matches!(fault, PowerLoss | ClockSet | DatabaseFailOver) => None,
        Down if matches!(fault, DatabaseDown | DatabaseAnswer) => Some("nobody asks the database"),
        Down if on_its_own || on_arrival => None,
        Down if fault.is_of_exchange() => Some("nobody is there to be told"),
        Down => Some("there is no process"),
        _ if at_rest => Some("only while the server is down"),
        Quiet if matches!(fault, SyncFails | SyncLate | WriteFails | DiskFull) => {
            Some("a write is under way then")
        }
        Quiet if matches!(fault, AnswerLost | OrderLost | Refused | ExchangeSaysNo) => {
            Some("an order is under way then")
        }
        Starting if fault.is_of_exchange() && !on_its_own => Some("nobody asks the exchange yet"),
        Starting if venue => Some("there is no venue before the shards are back"),
        Starting if client => Some("nothing listens before the shards are back"),
        Starting if matches!(fault, Stop) => Some("the stop flag is looked at once it serves"),
        Stopping if matches!(fault, Stop) => Some("it stops already"),
        _ if process || disk || client || venue => None,
        _ => None,
    }
}

/// How often each fault struck in each situation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    counts: [[u64; Situation::ALL.len()]; Fault::ALL.len()],
}

impl Default for Coverage {
    fn default() -> Self {
        Self { counts: [[0; Situation::ALL.len()]; Fault::ALL.len()] }
    }
}

impl Coverage {
    /// Notes that the fault struck while these held.
    pub fn strike(&mut self, fault: Fault, situations: &[Situation]) {
        for situation in situations {
            self.counts[fault.place()][situation.place()] += 1;
        }
    }

    /// How often it did.
    #[must_use]
    pub const fn count(&self, fault: Fault, situation: Situation) -> u64 {
        self.counts[fault.place()][situation.place()]
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().flatten().zip(other.counts.iter().flatten()) {
            *mine += theirs;
        }
    }

    /// The reachable pairs that never struck.
    pub fn missing(&self) -> impl Iterator<Item = (Fault, Situation)> + '_ {
        let pairs = Fault::ALL.iter().flat_map(|fault| Situation::ALL.iter().map(|s| (*fault, *s)));
        pairs.filter(|(fault, situation)| {
            unreachable(*fault, *situation).is_none() && self.count(*fault, *situation) == 0
        })
    }

    /// The faults that never struck.
    pub fn never(&self) -> impl Iterator<Item = Fault> + '_ {
        let struck = |fault: &Fault| self.counts[fault.place()].iter().any(|count| *count > 0);
        Fault::ALL.iter().copied().filter(move |fault| !struck(fault))
    }

    /// One line of numbers, for passing it between processes.
    #[must_use]
    pub fn to_line(&self) -> String {
        let numbers: Vec<String> = self.counts.iter().flatten().map(u64::to_string).collect();
        numbers.join(" ")
    }

    /// Reads such a line.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let mut coverage = Self::default();
        let mut numbers = line.split(' ');
        for count in coverage.counts.iter_mut().flatten() {
            *count = numbers.next()?.parse().ok()?;
        }
        numbers.next().is_none().then_some(coverage)
    }
}

/// The faults of one run: which are on, and how often each is drawn.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    weights: [u32; Fault::ALL.len()],
}

impl Mix {
    /// Swarm testing: each seed has its own mix; about one in eight has none at all. Those of exchanges are drawn by
    /// themselves from `of_exchanges`, where the seed has accounts there, so that they move nothing of the other seeds.
    pub(super) fn draw(random: &mut SimRandom, of_exchanges: Option<&mut SimRandom>) -> Self {
        let mut weights = [0; Fault::ALL.len()];
        let drawn = |random: &mut SimRandom| match random.one_in(2) {
            true => u32::try_from(random.below(8)).expect("below 8") + 1,
            false => 0,
        };
        let (ours, exchanges) = weights.split_at_mut(Fault::RequestLost.place());
        if !random.one_in(8) {
            ours.iter_mut().for_each(|weight| *weight = drawn(random));
        }
        if let Some(random) = of_exchanges
            && !random.one_in(8)
        {
            exchanges.iter_mut().for_each(|weight| *weight = drawn(random));
        }
        Self { weights }
    }

    pub(super) fn without(&mut self, fault: Fault) {
        self.weights[fault.place()] = 0;
    }

    pub(super) const fn has(&self, fault: Fault) -> bool {
        self.weights[fault.place()] > 0
    }

    pub(super) fn is_calm(&self) -> bool {
        self.weights.iter().all(|weight| *weight == 0)
    }

    /// The next fault of those that `may` strike now.
    pub(super) fn pick(&self, random: &mut SimRandom, may: impl Fn(Fault) -> bool) -> Option<Fault> {
        let weight = |fault: &Fault| if may(*fault) { self.weights[fault.place()] } else { 0 };
        let total: u32 = Fault::ALL.iter().map(weight).sum();
        if total == 0 {
            return None;
        }
        let mut left = u32::try_from(random.below(u64::from(total))).expect("below a u32");
        Fault::ALL.iter().copied().find(|fault| {
            let weight = weight(fault);
            let hit = left < weight;
            left = left.saturating_sub(weight);
            hit
        })
    }
}

/// The coverage of a run that is going on.
#[derive(Default)]
pub(super) struct Strikes(pub(super) RefCell<Coverage>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coverage_survives_its_line() {
        let mut coverage = Coverage::default();
        coverage.strike(Fault::Kill, &[Situation::Flushing, Situation::FanOut]);
        coverage.strike(Fault::VenueBusy, &[Situation::Quiet]);
        assert_eq!(Coverage::from_line(&coverage.to_line()), Some(coverage.clone()));
        assert_eq!(Coverage::from_line("1 2"), None);
        assert!(!coverage.missing().any(|pair| pair == (Fault::Kill, Situation::FanOut)));
        assert!(coverage.missing().any(|pair| pair == (Fault::Kill, Situation::Quiet)));
    }

    #[test]
    fn a_mix_gives_only_what_it_has() {
        let mut random = SimRandom::new(3);
        let mut mix = Mix { weights: [0; Fault::ALL.len()] };
        assert!(mix.is_calm() && mix.pick(&mut random, |_| true).is_none());
        mix.weights[Fault::Reset.place()] = 1;
        mix.weights[Fault::Kill.place()] = 3;
        for _ in 0..100 {
            assert!(matches!(mix.pick(&mut random, |_| true), Some(Fault::Reset | Fault::Kill)));
        }
        assert_eq!(mix.pick(&mut random, |fault| fault != Fault::Kill), Some(Fault::Reset));
    }
}
