//! Flushes that are done while other requests are executed.
//!
//! In: a log to flush, then how that went. Out: what to sync, and the answer. Invariants: between
//! the two only appends and reads are executed; a failure takes the directory offline, as that of
//! any other request does.

use crate::id::TopicPartition;
use crate::storage::disk::Disk;
use crate::storage::error::DiskError;
use crate::storage::partition_store::PlainFlush;

use super::LogDirectory;

impl<D: Disk> LogDirectory<D> {
    /// What a flush of `log` has to sync, if that is all that it has to do; else it is to be
    /// executed like any other request.
    pub fn plain_flush(&self, log: &TopicPartition) -> Option<PlainFlush> {
        let store = self.logs.get(log)?;
        let is_in_use = self.offline.is_none() && store.damage.is_none();
        is_in_use.then(|| store.plain_flush()).flatten()
    }

    /// Takes note of how a plain flush went.
    pub fn plainly_flushed(
        &mut self,
        log: &TopicPartition,
        flush: &PlainFlush,
        result: &Result<(), DiskError>,
    ) {
        match (result, self.logs.get_mut(log)) {
            (Err(error), _) => {
                let cause = || error.to_string();
                self.offline.get_or_insert_with(cause);
            }
            (Ok(()), Some(store)) => store.plainly_flushed(flush),
            (Ok(()), None) => {}
        }
    }
}
