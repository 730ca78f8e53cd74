//! The consumer-group coordinator of a broker, sans-IO, after Kafka's classic protocol.
//!
//! In: requests of members and administrators, the content of led partitions of
//! `__consumer_offsets`, outcomes of writes, time. Out: [`GroupEffect`]s.
//! Invariants: every request is answered exactly once; what is answered as stored is stored, and
//! nothing else is ever shown; a group is served only in the epoch in which its partition was
//! loaded to the end of the log. Source: `GroupMetadataManager`, `ClassicGroup`; KIP-345, 394, 814.

mod admin;
mod alarm;
mod commit;
mod expire;
mod hash;
mod heartbeat;
mod join;
mod leave;
mod load;
mod member;
mod rebalance;
mod records;
mod request;
mod response;
mod settings;
mod state;
mod static_member;
mod subscription;
mod sync;
#[cfg(test)]
mod tests;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use uuid::Builder;

use crate::error::ErrorCode;
use crate::offset::LeaderEpoch;
use crate::time::{Now, Time};

pub use hash::partition_for;
pub use records::RecordError;
pub use request::{
    CommitOffset, CommitRequest, DeleteOffsetsRequest, GroupCaller, GroupRequest, JoinRequest,
    LeaveRequest, MemberRequest, RequestId, SyncRequest,
};
pub use response::{
    CommittedOffset, DescribedGroup, DescribedMember, GroupEffect, GroupResponse, JoinResponse,
    JoinedMember, ListedGroup, RecordBytes, SyncResponse,
};
pub use settings::GroupSettings;

use load::Loading;
use state::Group;
use write::Pending;

/// The coordinator of all groups whose partition this broker leads.
#[derive(Debug)]
pub struct Coordinator {
    settings: GroupSettings,
    rng: ChaCha8Rng,
    shards: BTreeMap<i32, Shard>,
    groups: BTreeMap<String, Group>,
    /// Groups of partitions that were unloaded: always empty, but for a planted bug.
    stale: BTreeMap<String, Group>,
    writes: BTreeMap<u64, Pending>,
    last_token: u64,
    alarms: BTreeSet<(Time, String)>,
    expire_at: Option<Time>,
    effects: Vec<GroupEffect>,
}

/// A partition of `__consumer_offsets` that this broker leads.
#[derive(Debug)]
struct Shard {
    leader_epoch: LeaderEpoch,
    /// What was read so far; `None` once the end was reached.
    loading: Option<Loading>,
}

impl Coordinator {
    /// A coordinator that leads nothing yet. The seed decides the ids that it gives to members.
    pub fn new(settings: GroupSettings, seed: u64) -> Self {
        Self {
            settings,
            rng: ChaCha8Rng::seed_from_u64(seed),
            shards: BTreeMap::new(),
            groups: BTreeMap::new(),
            stale: BTreeMap::new(),
            writes: BTreeMap::new(),
            last_token: 0,
            alarms: BTreeSet::new(),
            expire_at: None,
            effects: Vec::new(),
        }
    }

    /// What must be done now, in order.
    pub fn take_effects(&mut self) -> Vec<GroupEffect> {
        std::mem::take(&mut self.effects)
    }

    /// A request for a group that lives in `partition` of `__consumer_offsets`.
    pub fn handle_request(
        &mut self,
        now: Now,
        partition: i32,
        id: RequestId,
        caller: GroupCaller,
        request: GroupRequest,
    ) {
        let group_id = request.group_id().to_owned();
        if let Err(error) = self.check_served(partition, &group_id) {
            return self.refuse(id, &request, error);
        }
        match request {
            GroupRequest::Join(request) => self.join(now, partition, id, caller, request),
            GroupRequest::Sync(request) => self.sync(now, id, request),
            GroupRequest::Heartbeat(request) => self.heartbeat(now, id, &request),
            GroupRequest::Leave(request) => self.leave(now, id, &request),
            GroupRequest::Commit(request) => self.commit(now, partition, id, request),
            GroupRequest::DeleteOffsets(request) => self.delete_offsets(id, request),
            GroupRequest::DeleteGroup { group_id } => self.delete_group(id, &group_id),
        }
        self.note_alarm(&group_id);
    }

    /// Whether requests for groups of `partition` are served here now.
    ///
    /// # Errors
    /// NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS or INVALID_GROUP_ID.
    pub fn check_served(&self, partition: i32, group_id: &str) -> Result<(), ErrorCode> {
        // A length that a record's key could not hold cannot be a group's name.
        if group_id.len() > i16::MAX as usize {
            return Err(ErrorCode::InvalidGroupId);
        }
        match self.shards.get(&partition) {
            None => Err(ErrorCode::NotCoordinator),
            Some(shard) if shard.loading.is_some() => Err(ErrorCode::CoordinatorLoadInProgress),
            Some(_) => Ok(()),
        }
    }

    fn respond(&mut self, request: RequestId, response: GroupResponse) {
        self.effects
            .push(GroupEffect::Respond { request, response });
    }

    /// Answers a request that cannot be served at all.
    fn refuse(&mut self, id: RequestId, request: &GroupRequest, error: ErrorCode) {
        let response = match request {
            GroupRequest::Join(request) => join::refusal(error, &request.member_id),
            GroupRequest::Sync(_) => sync::refusal(error),
            GroupRequest::Heartbeat(_) => GroupResponse::Heartbeat(Some(error)),
            GroupRequest::Leave(_) => GroupResponse::Leave(Err(error)),
            GroupRequest::Commit(request) => commit::refusal(error, request),
            GroupRequest::DeleteOffsets(_) => GroupResponse::DeleteOffsets(Err(error)),
            GroupRequest::DeleteGroup { .. } => GroupResponse::DeleteGroup(Some(error)),
        };
        self.respond(id, response);
    }

    /// A name for a new member: what it calls itself, and something that no other has.
    fn new_member_id(&mut self, prefix: &str) -> String {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        let unique = Builder::from_random_bytes(bytes).into_uuid();
        // The record that holds the id bounds its length.
        let prefix: String = prefix.chars().take(1_000).collect();
        format!("{prefix}-{unique}")
    }
}
