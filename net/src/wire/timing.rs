//! Which time-out of a connection is due.

use super::{CloseReason, Patience, WireConfig};

/// Moments of one connection, in nanoseconds of the caller's clock, and how long it may take.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    pub(crate) patience: Patience,
    /// Bytes of a body that have arrived: they buy time at the least rate.
    pub(crate) body_bytes: u64,
    /// The last byte in either direction.
    pub(crate) active_ns: u64,
    /// When the oldest unconsumed input arrived; `None` without such input or while paused.
    pub(crate) partial_since_ns: Option<u64>,
    /// When output last made progress; `None` when nothing is being sent.
    pub(crate) sending_since_ns: Option<u64>,
}

impl Timing {
    /// Of a connection that begins now.
    pub(crate) fn begin(now_ns: u64, config: &WireConfig) -> Self {
        let patience = Patience { request_ns: config.request_ns, idle_ns: config.idle_ns };
        Self { patience, active_ns: now_ns, ..Self::default() }
    }

    /// How long the input that waits may take, in nanoseconds.
    fn request_ns(&self, config: &WireConfig) -> u64 {
        let earned_ns = self.body_bytes.saturating_mul(1_000_000_000) / config.body_bytes_per_second_min;
        self.patience.request_ns.saturating_add(earned_ns)
    }

    /// The reason to close the connection now, if any.
    pub(crate) fn due(&self, now_ns: u64, config: &WireConfig) -> Option<CloseReason> {
        let over = |since: Option<u64>, span| since.is_some_and(|since| now_ns.saturating_sub(since) > span);
        if over(self.sending_since_ns, config.send_ns) {
            Some(CloseReason::SlowReader)
        } else if over(self.partial_since_ns, self.request_ns(config)) {
            Some(CloseReason::SlowRequest)
        } else if over(Some(self.active_ns), self.patience.idle_ns) {
            Some(CloseReason::Idle)
        } else {
            None
        }
    }

    /// The earliest moment at which [`Timing::due`] names a reason.
    pub(crate) fn due_ns(&self, config: &WireConfig) -> u64 {
        let after = |since: u64, span: u64| since.saturating_add(span).saturating_add(1);
        let idle = after(self.active_ns, self.patience.idle_ns);
        let sending = self.sending_since_ns.map(|since| after(since, config.send_ns));
        let partial = self.partial_since_ns.map(|since| after(since, self.request_ns(config)));
        sending.into_iter().chain(partial).fold(idle, u64::min)
    }

    /// Notes a delivery that consumed some or none of the input and left `rest` bytes, of a body or not.
    pub(crate) fn delivered(&mut self, now_ns: u64, consumed: usize, rest: usize, paused: bool, body: bool) {
        self.body_bytes = if body { rest as u64 } else { 0 };
        if rest == 0 || paused {
            self.partial_since_ns = None;
        } else if consumed > 0 || self.partial_since_ns.is_none() {
            self.partial_since_ns = Some(now_ns);
        }
    }
}

/// A cursor that visits all slots within [`SWEEP_NS`], a bounded number at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sweep {
    next_slot: usize,
    next_ns: u64,
}

/// Each slot is looked at this often, in nanoseconds: time-outs are seconds long, half a second more does no harm.
const SWEEP_NS: u64 = 500_000_000;
/// Slots looked at in one go: about 2 µs of work.
const SLICE: usize = 256;

impl Sweep {
    /// The slots to look at now, empty when it is not time yet.
    pub(crate) fn slice(&mut self, now_ns: u64, slots: usize) -> std::ops::Range<usize> {
        if now_ns < self.next_ns || slots == 0 {
            return 0..0;
        }
        let start = if self.next_slot < slots { self.next_slot } else { 0 };
        let end = (start + SLICE).min(slots);
        self.next_slot = end;
        let slices = slots.div_ceil(SLICE) as u64;
        self.next_ns = now_ns.saturating_add(SWEEP_NS / slices);
        start..end
    }

    /// When the next slice is due.
    pub(crate) fn next_ns(&self) -> u64 {
        self.next_ns
    }
}

#[cfg(test)]
mod tests {
    use super::{SWEEP_NS, Sweep};

    #[test]
    fn a_sweep_visits_every_slot_within_its_period() {
        for slots in [1, 255, 256, 257, 10_000] {
            let mut sweep = Sweep::default();
            let mut seen = vec![false; slots];
            let mut now_ns = 0;
            while now_ns <= SWEEP_NS {
                sweep.slice(now_ns, slots).for_each(|slot| seen[slot] = true);
                now_ns = sweep.next_ns();
            }
            assert!(seen.iter().all(|&seen| seen), "{slots} slots");
        }
    }
}
