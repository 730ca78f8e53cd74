//! What the coordinator answers, without API versions, and what it asks of the broker.

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::group::request::RequestId;
use crate::id::{TopicId, TopicPartition};
use crate::offset::{LeaderEpoch, Offset};

/// What the broker must do for the coordinator.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupEffect {
    /// Append these records to the partition of `__consumer_offsets` as one batch, with acks=all.
    /// Answer: `Coordinator::handle_written`, exactly once, when the high watermark covers the
    /// batch or it is known that it will not within `offsets.commit.timeout.ms`.
    Write {
        /// The partition of `__consumer_offsets`.
        partition: i32,
        /// The epoch in which this broker leads it; no other may append this.
        leader_epoch: LeaderEpoch,
        /// Comes back with the answer.
        token: u64,
        /// Key and value of each record; no value is a tombstone.
        records: Vec<RecordBytes>,
    },
    /// Answer a request. Unanswered.
    Respond {
        /// Which.
        request: RequestId,
        /// The answer.
        response: GroupResponse,
    },
}

/// A record of `__consumer_offsets`: its key, and its value unless it is a tombstone.
pub type RecordBytes = (Bytes, Option<Bytes>);

/// The answer to a [`crate::group::GroupRequest`], variant by variant.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupResponse {
    /// To a join.
    Join(JoinResponse),
    /// To a sync.
    Sync(SyncResponse),
    /// To a heartbeat.
    Heartbeat(Option<ErrorCode>),
    /// To a leave: an error of the whole, or one for each member.
    Leave(Result<Vec<Option<ErrorCode>>, ErrorCode>),
    /// To a commit: for each partition of the request, in its order.
    Commit(Vec<(TopicPartition, Option<ErrorCode>)>),
    /// To a deletion of offsets: an error of the whole, or one for each partition.
    DeleteOffsets(Result<Vec<(TopicPartition, Option<ErrorCode>)>, ErrorCode>),
    /// To a deletion of the group.
    DeleteGroup(Option<ErrorCode>),
}

/// JoinGroup's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JoinResponse {
    /// Why not.
    pub error: Option<ErrorCode>,
    /// The new generation, -1 if there is none.
    pub generation_id: i32,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The assignor that all members know.
    pub protocol_name: Option<String>,
    /// The member that decides the assignment.
    pub leader: String,
    /// The coordinator's name for the member that asked.
    pub member_id: String,
    /// For the leader: all members with their metadata.
    pub members: Vec<JoinedMember>,
    /// The leader came back and the assignment stands (KIP-814).
    pub skip_assignment: bool,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its id.
    pub member_id: String,
    /// `group.instance.id`.
    pub instance_id: Option<String>,
    /// Its metadata for the chosen protocol.
    pub metadata: Bytes,
}

/// SyncGroup's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SyncResponse {
    /// Why not.
    pub error: Option<ErrorCode>,
    /// The group's protocol type.
    pub protocol_type: Option<String>,
    /// The group's protocol.
    pub protocol_name: Option<String>,
    /// What the leader decided for the member.
    pub assignment: Bytes,
}

/// A committed offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch that was committed with it.
    pub leader_epoch: Option<LeaderEpoch>,
    /// Free text of the application.
    pub metadata: String,
    /// When, in milliseconds since the Unix epoch.
    pub commit_millis: i64,
    /// When it expires, where an old client said so (record version 1).
    pub expire_millis: Option<i64>,
    /// The incarnation of the topic that it belongs to, if known (record version 4).
    pub topic_id: Option<TopicId>,
}

/// A group as DescribeGroups shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribedGroup {
    /// The name of its state, `Dead` if there is no such group.
    pub state: &'static str,
    /// `consumer` for groups of consumers; empty for a group of offsets only.
    pub protocol_type: String,
    /// The assignor in use; empty unless the group is stable.
    pub protocol: String,
    /// Its members.
    pub members: Vec<DescribedMember>,
}

/// A member as DescribeGroups shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribedMember {
    /// Its id.
    pub member_id: String,
    /// `group.instance.id`.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// Its metadata for the protocol in use.
    pub metadata: Bytes,
    /// Its assignment.
    pub assignment: Bytes,
}

/// A group as ListGroups shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedGroup {
    /// `group.id`.
    pub group_id: String,
    /// `consumer` for groups of consumers.
    pub protocol_type: String,
    /// The name of its state.
    pub state: &'static str,
}
