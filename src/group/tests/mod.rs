//! Tests of the coordinator: synchronous calls that assert answers, state and effects.
//!
//! The fixture is one coordinator of partition 0 beside the log that its writes go to. Every
//! answer is checked to be the only one to its request.

mod admin_test;
mod commit_test;
mod expire_test;
mod join_test;
mod leave_test;
mod load_test;
mod order_test;
mod sabotage_test;
mod sim;
mod static_test;
mod sync_test;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use crate::error::ErrorCode;
use crate::group::{
    CommitOffset, CommitRequest, Coordinator, GroupCaller, GroupEffect, GroupRequest,
    GroupResponse, GroupSettings, JoinRequest, JoinResponse, LeaveRequest, MemberRequest,
    RecordBytes, RequestId, SyncRequest, SyncResponse,
};
use crate::id::TopicPartition;
use crate::record::{BatchBuilder, Compression};
use crate::time::{Now, Time};

const GROUP: &str = "g";
const SESSION: u64 = 10_000;
const REBALANCE: u64 = 60_000;

/// A write of the coordinator whose outcome is not told yet.
struct Unsettled {
    token: u64,
    records: Vec<RecordBytes>,
}

/// A coordinator, its log, its clock and the answers it gave.
struct Desk {
    coordinator: Coordinator,
    millis: u64,
    leader_epoch: i32,
    log: Vec<Vec<RecordBytes>>,
    writes: VecDeque<Unsettled>,
    answers: BTreeMap<RequestId, GroupResponse>,
    last_request: RequestId,
}

fn settings() -> GroupSettings {
    GroupSettings {
        initial_rebalance_delay: Duration::ZERO,
        ..GroupSettings::default()
    }
}

impl Desk {
    /// A coordinator that leads an empty partition 0.
    fn new() -> Self {
        Self::with(settings())
    }

    fn with(settings: GroupSettings) -> Self {
        let mut desk = Self {
            coordinator: Coordinator::new(settings, 1),
            millis: 1_000,
            leader_epoch: 0,
            log: Vec::new(),
            writes: VecDeque::new(),
            answers: BTreeMap::new(),
            last_request: 0,
        };
        desk.load();
        desk
    }

    fn now(&self) -> Now {
        Now {
            time: Time::from_millis(self.millis),
            wall_millis: self.millis as i64,
        }
    }

    /// Takes the effects: answers are kept, writes wait for their outcome.
    fn pump(&mut self) {
        for effect in self.coordinator.take_effects() {
            match effect {
                GroupEffect::Write {
                    partition,
                    leader_epoch,
                    token,
                    records,
                } => {
                    assert_eq!((partition, leader_epoch), (0, self.leader_epoch));
                    assert!(!records.is_empty(), "a write of nothing");
                    self.writes.push_back(Unsettled { token, records });
                }
                GroupEffect::Respond { request, response } => {
                    let earlier = self.answers.insert(request, response);
                    assert_eq!(earlier, None, "request {request} is answered twice");
                }
            }
        }
    }

    fn send(&mut self, request: GroupRequest) -> RequestId {
        self.last_request += 1;
        let id = self.last_request;
        let caller = GroupCaller {
            client_id: "client".into(),
            client_host: "/127.0.0.1".into(),
        };
        self.coordinator
            .handle_request(self.now(), 0, id, caller, request);
        self.pump();
        id
    }

    /// Tells the outcome of the oldest write; a committed one is in the log.
    fn settle(&mut self, result: Result<(), ErrorCode>) {
        let write = self.writes.pop_front().expect("no write is under way");
        if result.is_ok() {
            self.log.push(write.records);
        }
        self.coordinator
            .handle_written(self.now(), write.token, result);
        self.pump();
    }

    fn settle_all(&mut self) {
        while !self.writes.is_empty() {
            self.settle(Ok(()));
        }
    }

    /// Lets time pass, with every timeout at its time.
    fn pass(&mut self, millis: u64) {
        let until = self.millis + millis;
        let mut rings = 0;
        while let Some(at) = self.coordinator.next_timeout()
            && at <= Time::from_millis(until)
        {
            let at = u64::try_from(at.as_duration().as_millis()).unwrap();
            self.millis = self.millis.max(at);
            self.coordinator.handle_timeout(self.now());
            self.pump();
            rings += 1;
            assert!(rings < 10_000, "the alarm rings for ever");
        }
        self.millis = until;
    }

    fn batches(&self) -> Bytes {
        let mut bytes = Vec::new();
        for records in &self.log {
            let mut batch = BatchBuilder::new(Compression::None);
            for (key, value) in records {
                batch.append(0, Some(key), value.as_deref(), &[]);
            }
            bytes.extend_from_slice(&batch.build());
        }
        Bytes::from(bytes)
    }

    /// Loads partition 0 in the next epoch from the log.
    fn load(&mut self) {
        self.leader_epoch += 1;
        self.coordinator.begin_load(0, self.leader_epoch);
        let batches = self.batches();
        self.coordinator
            .load(0, self.leader_epoch, batches)
            .unwrap();
        let now = self.now();
        self.coordinator.finish_load(now, 0, self.leader_epoch);
        self.pump();
    }

    /// Another coordinator takes over: everything that is not in the log is gone.
    fn move_away(&mut self) {
        self.coordinator = Coordinator::new(settings(), 2);
        self.writes.clear();
        self.load();
    }

    fn is_answered(&self, id: RequestId) -> bool {
        self.answers.contains_key(&id)
    }

    fn joined(&self, id: RequestId) -> &JoinResponse {
        match self.answers.get(&id) {
            Some(GroupResponse::Join(response)) => response,
            other => panic!("not an answer to a join: {other:?}"),
        }
    }

    fn synced(&self, id: RequestId) -> &SyncResponse {
        match self.answers.get(&id) {
            Some(GroupResponse::Sync(response)) => response,
            other => panic!("not an answer to a sync: {other:?}"),
        }
    }

    /// The error that a request was answered with.
    fn error(&self, id: RequestId) -> Option<ErrorCode> {
        match self.answers.get(&id).expect("it is not answered") {
            GroupResponse::Join(response) => response.error,
            GroupResponse::Sync(response) => response.error,
            GroupResponse::Heartbeat(error) | GroupResponse::DeleteGroup(error) => *error,
            GroupResponse::Leave(Err(error)) | GroupResponse::DeleteOffsets(Err(error)) => {
                Some(*error)
            }
            GroupResponse::Leave(Ok(errors)) => errors[0],
            GroupResponse::Commit(answers) | GroupResponse::DeleteOffsets(Ok(answers)) => {
                answers[0].1
            }
        }
    }

    fn state(&self) -> &'static str {
        self.coordinator.describe(0, GROUP).unwrap().state
    }

    fn generation(&self) -> i32 {
        self.coordinator.groups[GROUP].generation_id
    }

    fn members(&self) -> Vec<String> {
        let group = self.coordinator.groups.get(GROUP);
        group.map_or(Vec::new(), |group| group.members.keys().cloned().collect())
    }

    fn committed(&self, name: &TopicPartition) -> Option<i64> {
        let offsets = self.coordinator.committed(0, GROUP).unwrap();
        offsets.get(name).map(|offset| offset.offset)
    }

    fn join(&mut self, member_id: &str) -> RequestId {
        self.send(GroupRequest::Join(join(member_id)))
    }

    /// A dynamic member that knows its name and has sent its first join.
    fn enter(&mut self) -> (String, RequestId) {
        let id = self.join("");
        let member_id = self.joined(id).member_id.clone();
        assert_eq!(self.error(id), Some(ErrorCode::MemberIdRequired));
        let id = self.join(&member_id);
        (member_id, id)
    }

    /// Members that have joined and synced together, the leader first.
    fn stable(&mut self, count: usize) -> Vec<String> {
        let mut members: Vec<String> = Vec::new();
        for _ in 0..count {
            let (member, _) = self.enter();
            for earlier in &members {
                self.join(earlier);
            }
            members.push(member);
        }
        self.sync_all(&members);
        members
    }

    /// Members sync in the present generation; each is assigned its own name.
    fn sync_all(&mut self, members: &[String]) {
        let all: Vec<_> = members.iter().map(String::as_str).collect();
        for member in members {
            self.sync(member, &all);
        }
        self.settle_all();
        assert_eq!(self.state(), "Stable");
    }

    fn sync(&mut self, member_id: &str, assigned: &[&str]) -> RequestId {
        let generation_id = self.generation();
        self.send(GroupRequest::Sync(SyncRequest {
            member: member(member_id, generation_id),
            assignments: assigned
                .iter()
                .map(|id| ((*id).to_owned(), Bytes::from((*id).to_owned())))
                .collect(),
            ..SyncRequest::default()
        }))
    }

    fn heartbeat(&mut self, member_id: &str, generation_id: i32) -> Option<ErrorCode> {
        let id = self.send(GroupRequest::Heartbeat(member(member_id, generation_id)));
        self.error(id)
    }

    fn commit(&mut self, member_id: &str, generation_id: i32, offset: i64) -> RequestId {
        self.send(GroupRequest::Commit(commit(
            member(member_id, generation_id),
            offset,
        )))
    }

    fn leave(&mut self, member_id: &str, instance: Option<&str>) -> RequestId {
        self.send(GroupRequest::Leave(LeaveRequest {
            group_id: GROUP.into(),
            members: vec![(member_id.into(), instance.map(str::to_owned))],
        }))
    }
}

fn member(member_id: &str, generation_id: i32) -> MemberRequest {
    MemberRequest {
        group_id: GROUP.into(),
        member_id: member_id.into(),
        instance_id: None,
        generation_id,
    }
}

/// A subscription to the topic `t` in version 0 of the consumer's protocol.
fn subscription() -> Bytes {
    Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\0\0\0\0")
}

fn join(member_id: &str) -> JoinRequest {
    JoinRequest {
        group_id: GROUP.into(),
        member_id: member_id.into(),
        instance_id: None,
        session_timeout: Duration::from_millis(SESSION),
        rebalance_timeout: Duration::from_millis(REBALANCE),
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), subscription())],
        can_be_told_member_id: true,
        can_skip_assignment: true,
    }
}

/// A join of the static member `instance`.
fn join_as(instance: &str, member_id: &str) -> JoinRequest {
    JoinRequest {
        instance_id: Some(instance.into()),
        ..join(member_id)
    }
}

fn t0() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn commit(member: MemberRequest, offset: i64) -> CommitRequest {
    let commit = CommitOffset {
        offset,
        ..CommitOffset::default()
    };
    CommitRequest {
        member,
        offsets: vec![(t0(), commit)],
        knows_group_id_not_found: true,
    }
}
