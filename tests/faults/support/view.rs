//! What a client sees of the cluster, for a runtime that is in no client's namespace.
//!
//! In: a sandbox whose nodes are brokers. Out: what a run's observer tells, asked as client 1.

use harness::cluster::observer::Observer;
use harness::nemesis::{BoxFuture, ClusterState, ClusterView};
use harness::plan::{Plan, profile};
use harness::sandbox::Sandbox;
use libtest_mimic::Failed;

use crate::support::as_client;
use crate::support::clients::TOPIC;

/// The cluster as client 1 sees it.
pub(crate) struct SeenByClient {
    sandbox: Sandbox,
    plan: Plan,
}

impl SeenByClient {
    pub(crate) fn new(sandbox: &Sandbox) -> Result<Self, Failed> {
        let mut plan = Plan::draw(1, profile::find("none").ok_or("a profile")?);
        TOPIC.clone_into(&mut plan.cluster.topic);
        plan.cluster.nodes = 3;
        let sandbox = sandbox.clone();
        Ok(Self { sandbox, plan })
    }
}

impl ClusterView for SeenByClient {
    fn observe(&self) -> BoxFuture<'_, Result<ClusterState, String>> {
        Box::pin(async {
            let observer = Observer::new(&self.plan);
            let look = || async move { observer.observe().await };
            let seen = as_client(&self.sandbox, look).await;
            seen.map_err(|failed| format!("{failed:?}"))?
        })
    }
}
