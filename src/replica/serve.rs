//! How a leader serves readers: followers, consumers, and those who ask for offsets.
//!
//! In: fetches and offset questions. Out: what to read, or why not. Invariant: a fetch of another
//! epoch, of an earlier life of its broker, or from a diverging log moves nothing (KIP-320,
//! KAFKA-15221, KAFKA-13141); a consumer sees nothing at or after the high watermark.
//! Source: Kafka's `Partition.fetchRecords`, `updateFollowerFetchState`, `fetchOffsetForTimestamp`.

use crate::config::sabotage::{self, Sabotage};
use crate::error::ErrorCode;
use crate::log::EpochEnd;
use crate::offset::{BrokerEpoch, LeaderEpoch, NO_BROKER_EPOCH, NO_LEADER_EPOCH, Offset};
use crate::replica::core::Core;
use crate::replica::leader::LeaderState;
use crate::replica::{
    FetchAnswer, FetchPosition, FollowerFetch, Isolation, OffsetAnswer, OffsetAsker, OffsetQuery,
};
use crate::time::Time;

impl LeaderState {
    /// Answers a follower and takes note of how far it is.
    ///
    /// The bounds in the answer are those after this fetch: the read happens later and sees at
    /// least as much, so the follower learns one round trip earlier what its own fetch committed.
    pub(super) fn follower_fetch(
        &mut self,
        core: &mut Core,
        now: Time,
        fetch: &FollowerFetch,
    ) -> FetchAnswer {
        let answer = self.review_follower_fetch(core, fetch);
        let FetchAnswer::Read { start, upper, .. } = answer else {
            return answer;
        };
        let end = core.log.appended_offset();
        if let Some(remote) = self.remotes.get_mut(&fetch.replica) {
            let log_start_offset = fetch.position.log_start_offset;
            remote.fetched(now, start, end, fetch.broker_epoch, log_start_offset);
        }
        self.maybe_expand(core, now, fetch.replica);
        self.advance(core, now);
        FetchAnswer::Read {
            start,
            upper,
            bounds: core.bounds(),
        }
    }

    /// Answers a follower without taking note, as when its waiting fetch is looked at again.
    pub(super) fn review_follower_fetch(&self, core: &Core, fetch: &FollowerFetch) -> FetchAnswer {
        let epoch = fetch.position.current_leader_epoch;
        if let Err(code) = self.check_epoch(epoch) {
            return FetchAnswer::Error(code);
        }
        if !self.remotes.contains_key(&fetch.replica) {
            // Metadata of one of the two is behind.
            return FetchAnswer::Error(if epoch == NO_LEADER_EPOCH {
                ErrorCode::NotLeaderOrFollower
            } else {
                ErrorCode::UnknownLeaderEpoch
            });
        }
        if self.is_earlier_life(fetch) {
            return FetchAnswer::Error(ErrorCode::NotLeaderOrFollower);
        }
        locate(core, &fetch.position, core.log.appended_offset())
    }

    fn is_earlier_life(&self, fetch: &FollowerFetch) -> bool {
        let is_earlier = |&alive: &BrokerEpoch| alive > fetch.broker_epoch;
        fetch.broker_epoch != NO_BROKER_EPOCH
            && self.eligible.get(&fetch.replica).is_some_and(is_earlier)
    }

    /// Answers a consumer: an offset between the high watermark and the log end offset is no error
    /// but has nothing to read yet, so that a consumer ahead of a new leader does not reset.
    pub(super) fn consumer_fetch(
        &self,
        core: &Core,
        position: &FetchPosition,
        isolation: Isolation,
    ) -> FetchAnswer {
        match self.check_epoch(position.current_leader_epoch) {
            Err(code) => FetchAnswer::Error(code),
            Ok(()) => locate(core, position, visible_end(core, isolation)),
        }
    }

    /// Answers a question for one offset.
    ///
    /// A new leader does not know the high watermark before its followers have fetched: it would
    /// answer with an earlier one than its predecessor (KIP-207).
    pub(super) fn list_offset(
        &self,
        core: &Core,
        current_leader_epoch: LeaderEpoch,
        query: OffsetQuery,
        asker: OffsetAsker,
    ) -> OffsetAnswer {
        if let Err(code) = self.check_epoch(current_leader_epoch) {
            return OffsetAnswer::Error(code);
        }
        let upper = match asker {
            OffsetAsker::Replica => core.log.log_end_offset(),
            OffsetAsker::Client(isolation) => visible_end(core, isolation),
        };
        if query == OffsetQuery::Earliest {
            return found(core, core.log.log_start_offset());
        }
        let is_client = matches!(asker, OffsetAsker::Client(_));
        if is_client && self.epoch_start_offset > core.high_watermark() {
            return OffsetAnswer::Error(ErrorCode::OffsetNotAvailable);
        }
        match query {
            OffsetQuery::Latest => OffsetAnswer::Found {
                offset: upper,
                leader_epoch: self.leader_epoch,
            },
            _ => OffsetAnswer::LookUp { upper },
        }
    }

    /// Where `epoch` ends in this log; epoch -1 and offset -1 if it knows nothing of it (KIP-320).
    pub(super) fn offset_for_leader_epoch(
        &self,
        core: &Core,
        current_leader_epoch: LeaderEpoch,
        epoch: LeaderEpoch,
    ) -> Result<EpochEnd, ErrorCode> {
        self.check_epoch(current_leader_epoch)?;
        let end = core
            .log
            .epochs()
            .end_offset_for(epoch, core.log.log_end_offset());
        Ok(end.unwrap_or(EpochEnd {
            epoch: NO_LEADER_EPOCH,
            end_offset: -1,
        }))
    }

    fn check_epoch(&self, epoch: LeaderEpoch) -> Result<(), ErrorCode> {
        if epoch == NO_LEADER_EPOCH || sabotage::planted(Sabotage::IgnoreLeaderEpochInFetch) {
            Ok(())
        } else if epoch < self.leader_epoch {
            Err(ErrorCode::FencedLeaderEpoch)
        } else if epoch > self.leader_epoch {
            Err(ErrorCode::UnknownLeaderEpoch)
        } else {
            Ok(())
        }
    }
}

/// Finds `position` in the log: what may be read from there, or where the logs part.
fn locate(core: &Core, position: &FetchPosition, upper: Offset) -> FetchAnswer {
    let log = &core.log;
    let start = position.fetch_offset;
    // Before the divergence check: below the log's start no epoch can be compared (KAFKA-12996).
    if start < log.log_start_offset() {
        return FetchAnswer::Error(ErrorCode::OffsetOutOfRange);
    }
    let fetched_epoch = position.last_fetched_epoch;
    let ignores_epochs = sabotage::planted(Sabotage::IgnoreLeaderEpochInFetch);
    if fetched_epoch != NO_LEADER_EPOCH && !ignores_epochs {
        let Some(end) = log
            .epochs()
            .end_offset_for(fetched_epoch, log.log_end_offset())
        else {
            return FetchAnswer::Error(ErrorCode::OffsetOutOfRange);
        };
        if end.epoch < fetched_epoch || end.end_offset < start {
            return FetchAnswer::Diverging {
                end,
                bounds: core.bounds(),
            };
        }
    }
    if start > log.log_end_offset() {
        return FetchAnswer::Error(ErrorCode::OffsetOutOfRange);
    }
    FetchAnswer::Read {
        start,
        upper: upper.max(start),
        bounds: core.bounds(),
    }
}

/// The end of what a consumer may see, and the disk has.
fn visible_end(core: &Core, isolation: Isolation) -> Offset {
    let bounds = core.bounds();
    let end = match isolation {
        Isolation::ReadUncommitted => bounds.high_watermark,
        Isolation::ReadCommitted => bounds.last_stable_offset,
    };
    end.min(core.log.appended_offset())
}

fn found(core: &Core, offset: Offset) -> OffsetAnswer {
    let leader_epoch = core
        .log
        .epochs()
        .epoch_of(offset)
        .unwrap_or(NO_LEADER_EPOCH);
    OffsetAnswer::Found {
        offset,
        leader_epoch,
    }
}
