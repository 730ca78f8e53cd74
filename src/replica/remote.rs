//! What a leader knows of one follower.
//!
//! In: the follower's fetches. Out: how far it is, since when it keeps up, which life it is in.
//! Invariant: `log_end_offset` is known only from a fetch in the leader's own epoch that does not
//! diverge (KAFKA-13141). Source: Kafka's `Replica`, `ReplicaState`.

use std::time::Duration;

use crate::offset::{BrokerEpoch, NO_BROKER_EPOCH, Offset};
use crate::time::Time;

/// A follower in the eyes of its leader.
#[derive(Clone, Debug, Default)]
pub(super) struct RemoteReplica {
    /// The end of its log, unknown until it fetched in this leadership.
    pub(super) log_end_offset: Option<Offset>,
    /// The start of its log.
    pub(super) log_start_offset: Option<Offset>,
    /// The life that it fetched in.
    pub(super) broker_epoch: Option<BrokerEpoch>,
    /// When it had last read everything there was.
    last_caught_up: Option<Time>,
    last_fetch: Option<(Time, Offset)>,
}

impl RemoteReplica {
    /// A follower at the start of a leader epoch: nothing is known of its log, even if this broker
    /// led the epoch before. A broker that replays several elections at once may have missed one
    /// that it lost, in which the follower truncated.
    pub(super) fn at_epoch_start(now: Time, in_isr: bool) -> Self {
        Self {
            last_caught_up: in_isr.then_some(now),
            ..Self::default()
        }
    }

    /// Takes a fetch at `fetch_offset` while the leader could offer everything below `leader_end`.
    ///
    /// A follower under steady load never quite reaches the end: reaching what the end was at its
    /// previous fetch counts as having caught up then.
    pub(super) fn fetched(
        &mut self,
        now: Time,
        fetch_offset: Offset,
        leader_end: Offset,
        broker_epoch: BrokerEpoch,
        log_start_offset: Offset,
    ) {
        if fetch_offset >= leader_end {
            self.last_caught_up = self.last_caught_up.max(Some(now));
        } else if let Some((previous, end_then)) = self.last_fetch
            && fetch_offset >= end_then
        {
            self.last_caught_up = self.last_caught_up.max(Some(previous));
        }
        self.last_fetch = Some((now, leader_end));
        self.log_end_offset = Some(fetch_offset);
        self.log_start_offset = Some(log_start_offset);
        self.broker_epoch = (broker_epoch != NO_BROKER_EPOCH).then_some(broker_epoch);
    }

    /// Whether it kept up at some time in the last `lag_max`.
    pub(super) fn caught_up_within(&self, now: Time, lag_max: Duration) -> bool {
        self.last_caught_up
            .is_some_and(|time| now.since(time) <= lag_max)
    }
}
