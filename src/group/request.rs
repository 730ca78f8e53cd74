//! What members and administrators ask of a group, without API versions.
//!
//! The broker's handlers translate the wire's requests into these; where versions differ in
//! behaviour, a field says so.

use std::time::Duration;

use bytes::Bytes;

use crate::id::{TopicId, TopicPartition};
use crate::offset::{LeaderEpoch, Offset};

/// Names a request between the broker and the coordinator; chosen by the broker.
pub type RequestId = u64;

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupCaller {
    /// `client.id`.
    pub client_id: String,
    /// The address, as Java prints it: `/127.0.0.1`.
    pub client_host: String,
}

/// A request for one group that is answered by an effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupRequest {
    /// A member joins or joins again.
    Join(JoinRequest),
    /// A member asks for its assignment; the leader brings those of all.
    Sync(SyncRequest),
    /// A member is alive.
    Heartbeat(MemberRequest),
    /// Members leave.
    Leave(LeaveRequest),
    /// A member or an administrator stores offsets.
    Commit(CommitRequest),
    /// An administrator deletes offsets.
    DeleteOffsets(DeleteOffsetsRequest),
    /// An administrator deletes the group.
    DeleteGroup {
        /// The group.
        group_id: String,
    },
}

impl GroupRequest {
    /// The group that the request is about.
    pub fn group_id(&self) -> &str {
        match self {
            Self::Join(request) => &request.group_id,
            Self::Sync(request) => &request.member.group_id,
            Self::Heartbeat(request) => &request.group_id,
            Self::Leave(request) => &request.group_id,
            Self::Commit(request) => &request.member.group_id,
            Self::DeleteOffsets(request) => &request.group_id,
            Self::DeleteGroup { group_id } => group_id,
        }
    }
}

/// A member as it names itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberRequest {
    /// `group.id`.
    pub group_id: String,
    /// The coordinator's name for the member; empty if it has none yet.
    pub member_id: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// The generation that it knows; negative outside any.
    pub generation_id: i32,
}

/// JoinGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinRequest {
    /// `group.id`.
    pub group_id: String,
    /// Empty at the first join.
    pub member_id: String,
    /// `group.instance.id`.
    pub instance_id: Option<String>,
    /// `session.timeout.ms`.
    pub session_timeout: Duration,
    /// `max.poll.interval.ms`: how long a rebalance waits for this member.
    pub rebalance_timeout: Duration,
    /// `consumer` for consumers.
    pub protocol_type: String,
    /// The assignors it knows, the best first, each with its metadata.
    pub protocols: Vec<(String, Bytes)>,
    /// Whether the client understands MEMBER_ID_REQUIRED (KIP-394, v4 and later).
    pub can_be_told_member_id: bool,
    /// Whether a returning static leader understands `skip_assignment` (KIP-814, v9).
    pub can_skip_assignment: bool,
}

/// SyncGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncRequest {
    /// Who.
    pub member: MemberRequest,
    /// What the member takes for the group's protocol type, if it says (KIP-559).
    pub protocol_type: Option<String>,
    /// What the member takes for the group's protocol, if it says.
    pub protocol_name: Option<String>,
    /// The leader's decision, by member.
    pub assignments: Vec<(String, Bytes)>,
}

/// LeaveGroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaveRequest {
    /// `group.id`.
    pub group_id: String,
    /// Pairs of member and instance id; a static member may leave the first empty.
    pub members: Vec<(String, Option<String>)>,
}

/// OffsetCommit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitRequest {
    /// Who; a generation below 0 and no member id for administrators.
    pub member: MemberRequest,
    /// What to store.
    pub offsets: Vec<(TopicPartition, CommitOffset)>,
    /// Whether an unknown group with a generation is GROUP_ID_NOT_FOUND (v9 and later).
    pub knows_group_id_not_found: bool,
}

/// One offset to commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitOffset {
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the record before it, if known.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Free text of the application.
    pub metadata: String,
    /// The incarnation of the topic that it belongs to, if known.
    pub topic_id: Option<TopicId>,
    /// When it expires in milliseconds since the Unix epoch, if the client says so (versions 2 to
    /// 4); by default as the group does (KIP-211).
    pub expire_millis: Option<i64>,
}

/// OffsetDelete (KIP-496).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOffsetsRequest {
    /// `group.id`.
    pub group_id: String,
    /// Of which partitions.
    pub partitions: Vec<TopicPartition>,
}
