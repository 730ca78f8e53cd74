//! The high watermark of a leader: what every replica that may be elected has.
//!
//! In: the leader's own position, its followers, the ISR. Out: the offset below which everything
//! is committed, or nothing if the ISR is too small. Invariant: no member of the maximal ISR ends
//! below the answer.
//! Source: KIP-966 (strict min ISR, KAFKA-15583), Kafka's `maybeIncrementLeaderHW`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::BrokerId;
use crate::offset::Offset;
use crate::replica::EligibleBrokers;
use crate::replica::remote::RemoteReplica;
use crate::time::Time;

/// Whom the high watermark waits for.
pub(super) struct Electorate<'a> {
    pub(super) committed_isr_len: usize,
    pub(super) min_insync_replicas: usize,
    pub(super) maximal_isr: &'a BTreeSet<BrokerId>,
    pub(super) eligible: &'a EligibleBrokers,
    pub(super) lag_max: Duration,
}

impl Electorate<'_> {
    /// The committed end of the log; `None` while the committed ISR is below the minimum, or a
    /// member has not fetched yet.
    pub(super) fn high_watermark(
        &self,
        now: Time,
        own: Offset,
        remotes: &BTreeMap<BrokerId, RemoteReplica>,
    ) -> Option<Offset> {
        if self.committed_isr_len < self.min_insync_replicas {
            return None;
        }
        remotes
            .iter()
            .filter(|&(&id, remote)| self.waits_for(now, id, remote))
            .try_fold(own, |low, (_, remote)| {
                Some(low.min(remote.log_end_offset?))
            })
    }

    /// Members, and those who have kept up and are about to become members.
    fn waits_for(&self, now: Time, id: BrokerId, remote: &RemoteReplica) -> bool {
        let about_to_join = || {
            remote.log_end_offset.is_some()
                && remote.caught_up_within(now, self.lag_max)
                && self.eligible.contains_key(&id)
        };
        self.maximal_isr.contains(&id) || about_to_join()
    }
}
