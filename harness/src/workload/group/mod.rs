//! The workload of a consumer group: members that poll, process and commit as their mode says,
//! leave, crash and come back; and the drain that shows what the group did in the end.
//!
//! `roster` says who shall be a member and who owns what, `member` leads one client from life to
//! life, `life` is what one life does, `ledger` writes down what its worker tells unasked, `acts`
//! are its operations, `audit` asks what is committed, `clerk` deletes offsets of a group without
//! members, and `drain` is the end.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use checkers::history::{CommitMode, Key};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::plan::{GroupPlan, Plan};
use crate::sandbox::Endpoint;
use crate::worker::protocol::GroupOptions;
use crate::workload::session::Session;
use crate::workload::worker::Worker;

pub mod acts;
pub mod audit;
pub mod clerk;
pub mod drain;
pub mod ledger;
pub mod life;
pub mod member;
pub mod roster;

#[cfg(test)]
mod life_test;

pub use roster::Roster;

/// The consumers of a run that are members of a group.
#[derive(Debug)]
pub struct Members {
    workers: Vec<Arc<Worker>>,
    /// Asks for committed offsets; never a member.
    auditor: Arc<Worker>,
    /// Polls whose records are not processed yet.
    pending: Arc<AtomicUsize>,
    tasks: Mutex<JoinSet<()>>,
}

impl Members {
    /// Members that have not begun.
    pub fn new(workers: Vec<Arc<Worker>>, auditor: Arc<Worker>) -> Self {
        Self {
            workers,
            auditor,
            pending: Arc::default(),
            tasks: Mutex::default(),
        }
    }

    /// Lets them begin; they go on until `drain` or `end`, also while faults heal.
    pub async fn begin(&self, session: &Arc<Session>) {
        let mut tasks = self.tasks.lock().await;
        for worker in &self.workers {
            tasks.spawn(member::attend(
                Arc::clone(session),
                Arc::clone(worker),
                Arc::clone(&self.pending),
            ));
        }
        tasks.spawn(clerk::work(Arc::clone(session)));
        tasks.spawn(audit::audit(Arc::clone(session), Arc::clone(&self.auditor)));
    }

    /// Waits until every partition has an owner and everybody is a member; whether that came in
    /// time.
    pub async fn assembled(&self, session: &Session, deadline: Instant) -> bool {
        let topic = &session.plan.cluster.topic;
        let keys = 0..session.plan.cluster.partitions;
        let keys: Vec<Key> = keys.map(|index| Key::new(topic, index)).collect();
        timeout_at(deadline, session.roster.all_owned(&keys))
            .await
            .is_ok()
    }

    /// The client that asks for committed offsets.
    pub fn auditor(&self) -> &Arc<Worker> {
        &self.auditor
    }
}

/// The endpoint of the client that asks for committed offsets: after producers and consumers.
pub fn auditor_endpoint(plan: &Plan) -> Option<Endpoint> {
    let number = plan.workload.producers + plan.workload.consumers + 1;
    plan.workload.group.as_ref()?;
    Some(Endpoint::Client(number))
}

/// What the consumer at `endpoint` opens as a member of its group.
pub fn options(plan: &GroupPlan, endpoint: Endpoint) -> GroupOptions {
    let is_auto = matches!(plan.mode, CommitMode::AutoInLoop | CommitMode::AutoHandoff);
    GroupOptions {
        group: plan.group.clone(),
        instance: member::instance(plan, endpoint),
        reset: plan.reset,
        assignors: plan.assignors.clone(),
        session_timeout_ms: plan.session_timeout_ms,
        heartbeat_interval_ms: plan.heartbeat_interval_ms,
        max_poll_interval_ms: plan.max_poll_interval_ms,
        auto_commit_interval_ms: is_auto.then_some(plan.auto_commit_interval_ms),
        commit_on_revocation: plan.commit_on_revocation,
    }
}
