//! From the coordinator's answers to those on the wire.
//!
//! Invariant: each answer that the coordinator gives ends exactly one job; only what the version
//! of the request carries is set.

use kafka_protocol::messages::{
    DeleteGroupsResponse, GroupId, HeartbeatResponse, delete_groups_response::DeletableGroupResult,
};

use crate::broker::Broker;
use crate::broker::effects::RequestId;
use crate::broker::handle::{
    join_response, leave_response, offset_commit_response, offset_delete_response, sync_response,
};
use crate::error::ErrorCode;
use crate::group::GroupResponse;
use crate::id::TopicPartition;

/// How the answer to a request of the coordinator is written.
#[derive(Debug)]
pub(in crate::broker) enum Job {
    /// Join, sync, heartbeat or deletion of offsets: the answer says it all.
    Plain { request: RequestId, version: i16 },
    Leave {
        request: RequestId,
        version: i16,
        /// As the request named them.
        members: Vec<(String, Option<String>)>,
    },
    Commit {
        request: RequestId,
        /// Partitions in the order of the request; those that were refused before, with why.
        partitions: Vec<(TopicPartition, Option<ErrorCode>)>,
    },
    /// One group of a DeleteGroups request.
    DeleteGroup { request: RequestId, index: usize },
}

/// A DeleteGroups request until all its groups are answered.
#[derive(Debug)]
pub(in crate::broker) struct Gather {
    pub(in crate::broker) groups: Vec<(GroupId, Option<ErrorCode>)>,
    pub(in crate::broker) pending: usize,
}

impl Broker {
    pub(in crate::broker) fn answer_group_request(&mut self, id: u64, response: GroupResponse) {
        let Some(job) = self.groups.jobs.remove(&id) else {
            return;
        };
        match (job, response) {
            (Job::Plain { request, version }, GroupResponse::Join(answer)) => {
                self.respond(request, join_response(answer, version));
            }
            (Job::Plain { request, version }, GroupResponse::Sync(answer)) => {
                self.respond(request, sync_response(answer, version));
            }
            (Job::Plain { request, .. }, GroupResponse::Heartbeat(error)) => {
                let response = HeartbeatResponse::default().with_error_code(code(error));
                self.respond(request, response);
            }
            (Job::Plain { request, .. }, GroupResponse::DeleteOffsets(answer)) => {
                self.respond(request, offset_delete_response(answer));
            }
            (
                Job::Leave {
                    request,
                    version,
                    members,
                },
                GroupResponse::Leave(answer),
            ) => {
                self.respond(request, leave_response(answer, &members, version));
            }
            (
                Job::Commit {
                    request,
                    partitions,
                },
                GroupResponse::Commit(answers),
            ) => {
                let merged = merged(partitions, answers);
                self.respond(request, offset_commit_response(merged));
            }
            (Job::DeleteGroup { request, index }, GroupResponse::DeleteGroup(error)) => {
                self.gather_deletion(request, index, error);
            }
            (job, response) => {
                unreachable!("invariant: {response:?} is not the answer to {job:?}");
            }
        }
    }

    /// Begins to gather; answers at once if there is nothing to wait for.
    pub(in crate::broker) fn begin_gather(&mut self, request: RequestId, gather: Gather) {
        self.groups.gathers.insert(request, gather);
        self.end_gather(request);
    }

    fn gather_deletion(&mut self, request: RequestId, index: usize, error: Option<ErrorCode>) {
        if let Some(gather) = self.groups.gathers.get_mut(&request) {
            gather.pending -= 1;
            if let Some((_, answer)) = gather.groups.get_mut(index) {
                *answer = error;
            }
        }
        self.end_gather(request);
    }

    fn end_gather(&mut self, request: RequestId) {
        let is_done = |gather: &Gather| gather.pending == 0;
        if !self.groups.gathers.get(&request).is_some_and(is_done) {
            return;
        }
        let Some(gather) = self.groups.gathers.remove(&request) else {
            return;
        };
        let results = gather.groups.into_iter().map(|(group_id, error)| {
            DeletableGroupResult::default()
                .with_group_id(group_id)
                .with_error_code(code(error))
        });
        let response = DeleteGroupsResponse::default().with_results(results.collect());
        self.respond(request, response);
    }
}

/// The answers of a commit in the order of its request, those of the coordinator, which keeps
/// that order, where nothing was refused before. A partition may be named twice.
fn merged(
    partitions: Vec<(TopicPartition, Option<ErrorCode>)>,
    answers: Vec<(TopicPartition, Option<ErrorCode>)>,
) -> Vec<(TopicPartition, Option<ErrorCode>)> {
    let mut answers = answers.into_iter();
    let partitions = partitions.into_iter();
    let merged = partitions.map(|(name, refused)| {
        let unanswered = Some(ErrorCode::UnknownServerError);
        let answer = match refused {
            Some(_) => refused,
            None => answers.next().map_or(unanswered, |(_, answer)| answer),
        };
        (name, answer)
    });
    merged.collect()
}

fn code(error: Option<ErrorCode>) -> i16 {
    error.map_or(0, |error| error.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_answered_in_its_order_and_only_by_what_was_said() {
        let name = |partition| TopicPartition::new("t", partition);
        let unknown = Some(ErrorCode::UnknownTopicOrPartition);
        let failed = Some(ErrorCode::CoordinatorNotAvailable);
        let asked = vec![
            (name(0), None),
            (name(9), unknown),
            (name(0), None),
            (name(1), None),
        ];
        let told = vec![(name(0), failed), (name(0), failed)];
        let errors = merged(asked, told).into_iter().map(|(_, error)| error);
        let unanswered = Some(ErrorCode::UnknownServerError);
        assert_eq!(
            errors.collect::<Vec<_>>(),
            [failed, unknown, failed, unanswered]
        );
    }
}
