//! The workload on a partitioned log: producers send, consumers read on, rewind and skip ahead,
//! ends are read; and a final phase in which fresh clients read everything.
//!
//! Ideas from Jepsen's kafka workload (jepsen.md §2): unique values, polls that prefer what is
//! unseen, final polls from the beginning. With a group in the plan its consumers are members of
//! it (`workload::group`) until the final phase.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::plan::Plan;
use crate::sandbox::{Endpoint, Sandbox, Supervisor, node_address};
use crate::worker::protocol::{ConsumerOptions, OpenOptions};
use crate::workload::group::{self, Members};
use crate::workload::session::Session;
use crate::workload::worker::{Worker, WorkerFailure};

pub mod consumer;
pub mod final_phase;
pub mod producer;
pub mod progress;

/// The client processes of a run.
#[derive(Debug)]
pub struct Clients {
    producers: Vec<Arc<Worker>>,
    consumers: Vec<Arc<Worker>>,
    /// The consumers as members of a group, if the plan has one.
    pub members: Option<Members>,
}

/// The endpoints of a plan's clients: producers first, then consumers, then the group's auditor.
pub fn client_endpoints(plan: &Plan) -> impl Iterator<Item = Endpoint> {
    (1..=plan.workload.producers + plan.workload.consumers)
        .map(Endpoint::Client)
        .chain(group::auditor_endpoint(plan))
}

impl Clients {
    /// Starts all client processes side by side.
    pub async fn start(
        plan: &Plan,
        sandbox: &Sandbox,
        supervisor: &Supervisor,
        logs: &Path,
    ) -> Result<Self, WorkerFailure> {
        let mut starting = JoinSet::new();
        for endpoint in client_endpoints(plan) {
            let options = open_options(plan, endpoint);
            let (sandbox, supervisor) = (sandbox.clone(), supervisor.clone());
            let logs = logs.to_owned();
            starting.spawn(async move {
                Worker::start(&sandbox, &supervisor, endpoint, options, &logs).await
            });
        }
        let mut workers = BTreeMap::new();
        while let Some(started) = starting.join_next().await {
            let worker = started.expect("invariant: starting a worker does not panic")?;
            workers.insert(worker.endpoint(), worker);
        }
        let mut producers: Vec<_> = workers.into_values().collect();
        let mut consumers = producers.split_off(plan.workload.producers as usize);
        let auditor = consumers.split_off(plan.workload.consumers as usize).pop();
        let members = auditor.map(|auditor| Members::new(consumers.clone(), auditor));
        Ok(Self {
            producers,
            consumers,
            members,
        })
    }

    /// Drives all logical processes until the session stops; returns when the last open operation
    /// has ended, which the clients' own timeouts bound. Members of a group go on beyond that.
    pub async fn work(&self, session: &Arc<Session>) {
        let mut tasks = JoinSet::new();
        let mut number = 0;
        for (worker, producer) in self.producers.iter().zip(0..) {
            let way = session.plan.way_of(producer);
            let partitions: Arc<[_]> = session.plan.partitions_of(&way).into();
            for _ in 0..session.plan.workload.processes_per_producer {
                number += 1;
                tasks.spawn(producer::produce(
                    Arc::clone(session),
                    Arc::clone(worker),
                    Arc::clone(&partitions),
                    number,
                ));
            }
        }
        let readers = match self.members {
            Some(_) => &[],
            None => self.consumers.as_slice(),
        };
        for worker in readers {
            number += 1;
            tasks.spawn(consumer::consume(
                Arc::clone(session),
                Arc::clone(worker),
                number,
            ));
        }
        tasks.join_all().await;
    }

    /// Ends all client processes.
    pub async fn kill(&self) {
        let auditor = self.members.iter().map(Members::auditor);
        for worker in self.producers.iter().chain(&self.consumers).chain(auditor) {
            worker.kill().await;
        }
    }
}

/// What the client at `endpoint` opens: producers have the lower numbers.
pub fn open_options(plan: &Plan, endpoint: Endpoint) -> OpenOptions {
    let producer = match endpoint {
        Endpoint::Client(number) if number <= plan.workload.producers => {
            Some(plan.way_of(number.saturating_sub(1)))
        }
        _ => None,
    };
    let is_producer = producer.is_some();
    let group = plan.workload.group.as_ref();
    OpenOptions {
        bootstrap: bootstrap(plan),
        client_id: endpoint.to_string(),
        request_timeout_ms: plan.workload.request_timeout_ms,
        producer,
        consumer: (!is_producer).then(|| ConsumerOptions {
            group: group.map(|group| group::options(group, endpoint)),
            ..plan.workload.consumer.clone()
        }),
        sabotage: plan.cluster.sabotage.clone(),
    }
}

/// The addresses of all nodes, as text.
pub fn bootstrap(plan: &Plan) -> Vec<String> {
    let nodes = 1..=plan.cluster.nodes as i32;
    nodes
        .map(|id| node_address(broker::id::BrokerId(id)).to_string())
        .collect()
}
