//! The bytes of a simulated file: what readers see, and what a crash leaves.

use super::random::SimRandom;
use crate::limits::{PAGE_BYTES, in_memory};
use std::cell::RefCell;
use std::collections::BTreeSet;

#[derive(Default)]
pub(super) struct Inode {
    /// What readers see.
    pub(super) seen: RefCell<Vec<u8>>,
    /// What survives a crash for certain.
    pub(super) durable: RefCell<Vec<u8>>,
    /// Pages written since the last sync.
    pub(super) dirty: RefCell<BTreeSet<u64>>,
}

impl Inode {
    pub(super) fn crash(&self, random: &mut SimRandom, sector: usize, keep_all: bool) {
        let seen = std::mem::take(&mut *self.seen.borrow_mut());
        let mut survives = std::mem::take(&mut *self.durable.borrow_mut());
        for page in std::mem::take(&mut *self.dirty.borrow_mut()) {
            let from = in_memory(page) * PAGE_BYTES;
            for at in (from..from + PAGE_BYTES).step_by(sector) {
                if keep_all || random.one_in(2) {
                    if survives.len() < at + sector {
                        survives.resize((at + sector).next_multiple_of(PAGE_BYTES), 0);
                    }
                    survives[at..at + sector].copy_from_slice(&seen[at..at + sector]);
                }
            }
        }
        self.seen.borrow_mut().clone_from(&survives);
        *self.durable.borrow_mut() = survives;
    }

    pub(super) fn sync(&self) {
        let seen = self.seen.borrow();
        let mut durable = self.durable.borrow_mut();
        durable.resize(seen.len(), 0);
        for page in std::mem::take(&mut *self.dirty.borrow_mut()) {
            let at = in_memory(page) * PAGE_BYTES;
            durable[at..at + PAGE_BYTES].copy_from_slice(&seen[at..at + PAGE_BYTES]);
        }
    }

    /// Writes those pages of `bytes` that `keep` says, in order.
    pub(super) fn write(&self, bytes: &[u8], offset: u64, mut keep: impl FnMut() -> bool) {
        let mut seen = self.seen.borrow_mut();
        let mut at = in_memory(offset);
        if seen.len() < at + bytes.len() {
            seen.resize(at + bytes.len(), 0);
        }
        for page in bytes.chunks_exact(PAGE_BYTES) {
            if keep() {
                seen[at..at + PAGE_BYTES].copy_from_slice(page);
                self.dirty.borrow_mut().insert((at / PAGE_BYTES) as u64);
            }
            at += PAGE_BYTES;
        }
    }
}
