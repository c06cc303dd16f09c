//! The log of `storage` as the shard sees it.

use engine::seam::Disk;
use engine::shard::ports::{Journal, JournalFailed, Lsn};
use storage::Log;

/// See the module's head.
pub struct LogJournal<D: Disk> {
    /// The log.
    pub log: Log<D>,
}

impl<D: Disk> Journal for LogJournal<D> {
    fn room_bytes(&self) -> usize {
        self.log.room_bytes()
    }

    fn append(&mut self, record: &[u8]) -> Result<Lsn, JournalFailed> {
        match self.log.append(record) {
            Ok(lsn) => Ok(Lsn(lsn.0)),
            Err(error) => Err(JournalFailed(error.to_string())),
        }
    }

    fn last(&self) -> Lsn {
        Lsn(self.log.next_lsn().0 - 1)
    }

    fn durable(&self) -> Lsn {
        Lsn(self.log.durable().0)
    }
}
