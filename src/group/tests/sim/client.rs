//! A member as a client library drives it: join, sync, heartbeat and commit, and what follows
//! from each error.

use std::fmt;

use super::super::*;

/// What a request was about, for the oracle and for who asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) client: usize,
    /// The instance id of a static member, the member id of others.
    pub(super) owner: String,
    pub(super) generation_id: i32,
    /// The latest generation that anybody knew an assignment of when this was asked.
    pub(super) latest: i32,
    /// The offset of a commit.
    pub(super) offset: Option<i64>,
}

#[derive(Debug, PartialEq)]
enum Step {
    Join,
    /// With the members to assign to, for a leader.
    Sync(Vec<String>),
    Stable,
}

pub(super) struct Client {
    instance: Option<String>,
    member_id: String,
    generation_id: i32,
    step: Step,
    pub(super) waiting: Option<RequestId>,
}

impl Client {
    /// Two of five are static.
    pub(super) fn new(index: usize) -> Self {
        Self {
            instance: (index < 2).then(|| format!("i{index}")),
            member_id: String::new(),
            generation_id: -1,
            step: Step::Join,
            waiting: None,
        }
    }

    pub(super) fn is_stable_in(&self, generation_id: i32) -> bool {
        self.step == Step::Stable && self.generation_id == generation_id
    }

    /// It forgets everything but its instance id, and comes back.
    pub(super) fn die(&mut self) {
        self.reset();
        self.waiting = None;
    }

    pub(super) fn disconnected(&mut self) {
        self.waiting = None;
        self.step = Step::Join;
    }

    fn reset(&mut self) {
        self.member_id.clear();
        self.generation_id = -1;
        self.step = Step::Join;
    }

    /// What it asks next; nothing while it waits, unless it gives up on that.
    pub(super) fn next_request(
        &mut self,
        whim: u64,
        gives_up: bool,
        offset: i64,
    ) -> Option<(GroupRequest, Asked)> {
        if self.waiting.is_some() {
            if !gives_up {
                return None;
            }
            self.disconnected();
        }
        let who = MemberRequest {
            instance_id: self.instance.clone(),
            ..member(&self.member_id, self.generation_id)
        };
        let owner = self.instance.clone().unwrap_or(self.member_id.clone());
        let mut asked = Asked {
            client: 0,
            owner,
            generation_id: self.generation_id,
            latest: 0,
            offset: None,
        };
        let request = match &self.step {
            Step::Join => GroupRequest::Join(JoinRequest {
                instance_id: self.instance.clone(),
                rebalance_timeout: Duration::from_secs(15),
                ..join(&self.member_id)
            }),
            Step::Sync(members) => GroupRequest::Sync(SyncRequest {
                member: who,
                assignments: super::oracle::assign(members),
                ..SyncRequest::default()
            }),
            Step::Stable if whim < 8 => GroupRequest::Join(JoinRequest {
                instance_id: self.instance.clone(),
                ..join(&self.member_id)
            }),
            Step::Stable if whim < 12 && self.instance.is_none() => {
                let members = vec![(self.member_id.clone(), None)];
                let group_id = GROUP.into();
                self.reset();
                GroupRequest::Leave(LeaveRequest { group_id, members })
            }
            Step::Stable if whim < 50 => {
                asked.offset = Some(offset);
                GroupRequest::Commit(commit(who, offset))
            }
            Step::Stable => GroupRequest::Heartbeat(who),
        };
        Some((request, asked))
    }

    pub(super) fn answered(&mut self, answer: &GroupResponse) {
        self.waiting = None;
        let error = match answer {
            GroupResponse::Join(response) => {
                if response.error == Some(ErrorCode::MemberIdRequired) {
                    self.member_id.clone_from(&response.member_id);
                }
                if response.error.is_none() {
                    self.joined(response);
                }
                response.error
            }
            GroupResponse::Sync(response) => {
                if response.error.is_none() {
                    self.step = Step::Stable;
                }
                response.error
            }
            GroupResponse::Heartbeat(error) => *error,
            GroupResponse::Commit(answers) => answers[0].1,
            _ => None,
        };
        match error {
            None | Some(ErrorCode::MemberIdRequired) => {}
            Some(
                ErrorCode::UnknownMemberId
                | ErrorCode::FencedInstanceId
                | ErrorCode::IllegalGeneration,
            ) => self.reset(),
            Some(
                ErrorCode::RebalanceInProgress
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::NotCoordinator
                | ErrorCode::UnknownServerError,
            ) => self.step = Step::Join,
            Some(other) => panic!("nothing that was asked earns {other:?}"),
        }
    }

    fn joined(&mut self, response: &JoinResponse) {
        self.member_id.clone_from(&response.member_id);
        self.generation_id = response.generation_id;
        let leads = response.leader == response.member_id && !response.skip_assignment;
        let members = response.members.iter().filter(|_| leads);
        self.step = Step::Sync(members.map(|member| member.member_id.clone()).collect());
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, generation) = (&self.member_id, self.generation_id);
        write!(
            f,
            "{id} {generation} {:?} waits {:?}",
            self.step, self.waiting
        )
    }
}
