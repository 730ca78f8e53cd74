//! An administrator that sets and deletes the offsets of a group without members, and asks.
//!
//! What a group committed is never deleted by its members, so only this shows a coordinator that
//! overlooks deletions when it loads. The group lives in the same partition of
//! `__consumer_offsets` as that of the plan, so whatever strikes its coordinator strikes both.
//! Invariant: an answer that does not say "done" counts as unknown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker::client::{Admin, AdminConfig, ClientError};
use broker::id::{BrokerId, TopicPartition};
use checkers::history::{
    Action, Commit, CommitCall, Committed, DeleteOffsets, Key, OpError, OpType,
};
use tokio::sync::OnceCell;

use crate::recorder::Entry;
use crate::sandbox::node_address;
use crate::workload::session::Session;

/// The group; a test holds it together with the plan's.
const GROUP: &str = "verdict-clerk-164";
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(150);
/// Questions between two deletions: enough that some come after a fault is over. While one acts,
/// an answer of the past is no proof.
const QUESTIONS: usize = 40;

/// Sets, deletes and asks until the group's work is over.
pub async fn work(session: Arc<Session>) {
    let mut clerk = Clerk {
        process: session.new_process(),
        admin: OnceCell::new(),
        session,
    };
    while !clerk.session.roster.is_over() {
        clerk.set().await;
        clerk.delete().await;
        for _ in 0..QUESTIONS {
            if clerk.session.roster.is_over() {
                return;
            }
            clerk.ask().await;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

struct Clerk {
    session: Arc<Session>,
    process: u64,
    admin: OnceCell<Admin>,
}

impl Clerk {
    async fn set(&mut self) {
        let offsets: BTreeMap<_, _> = self.names().into_iter().map(|name| (name, 0)).collect();
        let action = Action::Commit(Box::new(Commit {
            consumer: "clerk".into(),
            group: GROUP.into(),
            mode: CommitCall::Sync,
            member: "".into(),
            generation: -1,
            offsets: offsets.iter().map(|(name, at)| (key(name), *at)).collect(),
        }));
        self.record(OpType::Invoke, action.clone(), None);
        let done = match self.admin().await {
            Ok(admin) => admin.alter_group_offsets(GROUP, &offsets).await,
            Err(error) => Err(error),
        };
        self.complete(
            action,
            done.and_then(|answers| answers.into_values().collect()),
        );
    }

    async fn delete(&mut self) {
        let names = self.names();
        let action = Action::DeleteOffsets(Box::new(DeleteOffsets {
            group: GROUP.into(),
            keys: names.iter().map(key).collect(),
        }));
        self.record(OpType::Invoke, action.clone(), None);
        let done = match self.admin().await {
            Ok(admin) => admin.delete_group_offsets(GROUP, &names).await,
            Err(error) => Err(error),
        };
        self.complete(
            action,
            done.and_then(|answers| answers.into_values().collect()),
        );
    }

    async fn ask(&mut self) {
        let names = self.names();
        let answer = |found: &BTreeMap<TopicPartition, i64>| {
            let one = |name: &TopicPartition| (key(name), found.get(name).copied());
            Action::Committed(Box::new(Committed {
                group: GROUP.into(),
                offsets: names.iter().map(one).collect(),
            }))
        };
        let asked = answer(&BTreeMap::new());
        self.record(OpType::Invoke, asked.clone(), None);
        let found = match self.admin().await {
            Ok(admin) => admin.group_offsets(GROUP, Some(&names)).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(found) => {
                let offsets = found.into_iter().map(|(name, found)| (name, found.offset));
                self.record(OpType::Ok, answer(&offsets.collect()), None);
            }
            Err(error) => self.record(OpType::Fail, asked, Some(op_error(&error))),
        }
    }

    fn complete(&mut self, action: Action, done: Result<Vec<()>, ClientError>) {
        match done {
            Ok(_) => self.record(OpType::Ok, action, None),
            Err(error) => {
                self.record(OpType::Info, action, Some(op_error(&error)));
                self.process = self.session.new_process();
            }
        }
    }

    fn record(&self, kind: OpType, action: Action, error: Option<OpError>) {
        self.session.recorder.record(Entry {
            process: self.process,
            kind,
            action,
            error,
            node: Some("clerk".into()),
        });
    }

    async fn admin(&self) -> Result<&Admin, ClientError> {
        let plan = &self.session.plan;
        let nodes = 1..=plan.cluster.nodes as i32;
        let config = AdminConfig {
            bootstrap: nodes.map(|id| node_address(BrokerId(id))).collect(),
            client_id: "verdict-clerk".to_owned(),
            request_timeout: Duration::from_millis(plan.workload.request_timeout_ms),
        };
        self.admin.get_or_try_init(|| Admin::start(config)).await
    }

    fn names(&self) -> Vec<TopicPartition> {
        let cluster = &self.session.plan.cluster;
        let partitions = 0..cluster.partitions;
        let topic = cluster.topic.as_str();
        partitions
            .map(|index| TopicPartition::new(topic, index))
            .collect()
    }
}

fn key(name: &TopicPartition) -> Key {
    Key::new(&name.topic, name.partition)
}

fn op_error(error: &ClientError) -> OpError {
    let code = error
        .code
        .map_or_else(|| format!("{:?}", error.kind), |code| format!("{code:?}"));
    OpError {
        code: code.into(),
        message: error.message.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use broker::group::partition_for;

    #[test]
    fn the_group_shares_its_coordinator_with_that_of_the_plan() {
        for partitions in [4, 10, 50] {
            let of_plan = partition_for(crate::plan::group::GROUP, partitions);
            assert_eq!(partition_for(GROUP, partitions), of_plan, "of {partitions}");
        }
    }
}
