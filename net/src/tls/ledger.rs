//! Which plaintext the kernel has taken, told from how much ciphertext it took.
//!
//! **Invariants**: plaintext counts as handed as soon as one byte of its record was taken, because the peer may then
//! come to read it; a record of which nothing was taken does not count. The handshake's bytes never count.
//! **Bounds**: [`MARKS_MAX`] records are told apart; those beyond are taken for one, so that what is handed is never too
//! small.

use std::collections::VecDeque;

/// 256 records of 16 KiB are four times the output bound of 1 MiB; 6 KiB of memory.
const MARKS_MAX: usize = 256;

/// A record (or several), from its first ciphertext byte to its last, and how much plaintext ends with it.
#[derive(Clone, Copy, Debug)]
struct Mark {
    cipher_start: u64,
    cipher_end: u64,
    plain_end: u64,
}

/// The account of one connection.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    marks: VecDeque<Mark>,
    /// Ciphertext given to the inner wire, the handshake included.
    cipher_bytes: u64,
    /// Plaintext in it.
    plain_bytes: u64,
    /// Plaintext whose records were taken as a whole.
    settled_bytes: u64,
}

impl Ledger {
    /// Ciphertext that carries no plaintext of the consumer.
    pub(super) fn overhead(&mut self, cipher_bytes: usize) {
        self.cipher_bytes += cipher_bytes as u64;
    }

    /// A record.
    pub(super) fn record(&mut self, plain_bytes: usize, cipher_bytes: usize) {
        let cipher_start = self.cipher_bytes;
        self.cipher_bytes += cipher_bytes as u64;
        self.plain_bytes += plain_bytes as u64;
        let mark = Mark { cipher_start, cipher_end: self.cipher_bytes, plain_end: self.plain_bytes };
        let full = self.marks.len() >= MARKS_MAX;
        match self.marks.back_mut().filter(|_| full) {
            Some(last) => *last = Mark { cipher_start: last.cipher_start, ..mark },
            None => self.marks.push_back(mark),
        }
    }

    /// How much ciphertext the kernel took, when `cipher_queued` bytes of it still wait.
    pub(super) fn taken(&self, cipher_queued: usize) -> u64 {
        self.cipher_bytes.saturating_sub(cipher_queued as u64)
    }

    /// Forgets what was taken as a whole.
    pub(super) fn settle(&mut self, taken: u64) {
        while let Some(mark) = self.marks.front().filter(|mark| mark.cipher_end <= taken) {
            self.settled_bytes = mark.plain_end;
            self.marks.pop_front();
        }
        if self.marks.is_empty() {
            self.marks = VecDeque::new();
        }
    }

    /// Plaintext that may have left, when the kernel took `taken` bytes of ciphertext.
    pub(super) fn handed(&self, taken: u64) -> u64 {
        let begun = self.marks.iter().take_while(|mark| mark.cipher_start < taken).last();
        begun.map_or(self.settled_bytes, |mark| mark.plain_end)
    }

    /// Plaintext in records that were not taken as a whole.
    pub(super) fn unsettled(&self, taken: u64) -> usize {
        let whole = self.marks.iter().take_while(|mark| mark.cipher_end <= taken).last();
        let settled = whole.map_or(self.settled_bytes, |mark| mark.plain_end);
        usize::try_from(self.plain_bytes - settled).expect("what is queued is in memory")
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, MARKS_MAX};

    #[test]
    fn a_record_counts_from_its_first_byte_and_is_settled_with_its_last() {
        let mut ledger = Ledger::default();
        ledger.overhead(100);
        ledger.record(10, 32);
        ledger.record(5, 27);
        ledger.overhead(24);
        for (taken, handed, unsettled) in
            [(0, 0, 15), (100, 0, 15), (101, 10, 15), (132, 10, 5), (133, 15, 5), (159, 15, 0), (183, 15, 0)]
        {
            assert_eq!((ledger.handed(taken), ledger.unsettled(taken)), (handed, unsettled), "{taken} taken");
            let mut settled = Ledger { marks: ledger.marks.clone(), ..ledger };
            settled.settle(taken);
            assert_eq!(
                (settled.handed(taken), settled.unsettled(taken)),
                (handed, unsettled),
                "{taken} settled"
            );
        }
        assert_eq!(ledger.taken(183), 0);
        assert_eq!(ledger.taken(0), 183);
    }

    #[test]
    fn beyond_the_bound_nothing_handed_is_missed() {
        let mut ledger = Ledger::default();
        let records = MARKS_MAX + 50;
        (0..records).for_each(|_| ledger.record(1, 10));
        assert_eq!(ledger.marks.len(), MARKS_MAX);
        for taken in 0..=records as u64 * 10 {
            assert!(ledger.handed(taken) >= taken.div_ceil(10));
            assert!(ledger.unsettled(taken) as u64 >= records as u64 - taken / 10);
        }
    }
}
