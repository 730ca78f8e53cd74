//! An eighth member joins a group of seven that reads 64 partitions from three nodes.
//!
//! Measured from `subscribe` of the newcomer until all eight hold eight partitions each, heartbeats
//! every 200 ms and no initial delay. Between two measurements the newcomer leaves again and the
//! seven settle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use broker::client::group::{
    BoxFuture, Commits, GroupConfig, RebalanceEvent, RebalanceListener, Resumption,
};
use broker::client::{Admin, AdminConfig, AssignorKind, Consumer, ConsumerConfig, NewTopic};
use criterion::Criterion;
use tokio::sync::watch;

use crate::nodes::Nodes;

const MEMBERS: usize = 8;
const PARTITIONS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(30);

/// How many partitions each member holds.
type Held = watch::Sender<[usize; MEMBERS]>;

struct Quiet;

impl RebalanceListener for Quiet {
    fn assigned<'a>(&'a mut self, _: Commits<'a>, _: RebalanceEvent) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
    fn revoked<'a>(&'a mut self, _: Commits<'a>, _: RebalanceEvent) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
    fn lost(&mut self, _: RebalanceEvent) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
    fn resumed(&mut self, _: Resumption) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Member `place` polls until `stop` tells it to leave.
async fn member(nodes: Arc<Nodes>, place: usize, held: Arc<Held>, mut stop: watch::Receiver<bool>) {
    let config = ConsumerConfig {
        bootstrap: nodes.addresses.clone(),
        group: Some(GroupConfig {
            group_id: "g".to_owned(),
            heartbeat_interval: Duration::from_millis(200),
            assignors: vec![AssignorKind::Range],
            enable_auto_commit: false,
            ..GroupConfig::default()
        }),
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::start(config).await.unwrap();
    consumer
        .subscribe(vec!["t".to_owned()], Box::new(Quiet))
        .unwrap();
    while !*stop.borrow_and_update() {
        if let Err(error) = consumer.poll(Duration::from_millis(20)).await {
            assert_eq!(error.kind, broker::client::ErrorKind::Retriable, "{error}");
        }
        let count = consumer.assignment().len();
        held.send_if_modified(|held| {
            let place = held.get_mut(place).unwrap();
            std::mem::replace(place, count) != count
        });
    }
    consumer.close(PATIENCE).await;
    held.send_modify(|held| *held.get_mut(place).unwrap() = 0);
}

/// Waits until `members` members share the partitions as the range assignor does.
async fn settled(held: &Held, members: usize) {
    let mut receiver = held.subscribe();
    let is_settled = |held: &[usize; MEMBERS]| {
        let (every, extra) = (PARTITIONS / members, PARTITIONS % members);
        let mut counts: Vec<_> = held.iter().filter(|count| **count > 0).collect();
        counts.sort();
        counts.len() == members
            && counts
                .iter()
                .rev()
                .take(extra)
                .all(|count| **count == every + 1)
            && counts
                .iter()
                .rev()
                .skip(extra)
                .all(|count| **count == every)
    };
    let settled = tokio::time::timeout(PATIENCE, receiver.wait_for(is_settled)).await;
    assert!(
        settled.is_ok(),
        "{members} members do not settle: {:?}",
        *held.borrow()
    );
}

async fn create_topic(nodes: &Nodes) {
    let admin = Admin::start(AdminConfig {
        bootstrap: nodes.addresses.clone(),
        client_id: "bench".to_owned(),
        request_timeout: PATIENCE,
    });
    let topic = NewTopic {
        name: "t".to_owned(),
        partitions: PARTITIONS as i32,
        replication_factor: 3,
        configs: Vec::new(),
    };
    admin.await.unwrap().create_topic(topic).await.unwrap();
}

/// How long the newcomer's rebalance takes.
async fn join_and_leave(nodes: &Arc<Nodes>, held: &Arc<Held>) -> Duration {
    let (stop, stopped) = watch::channel(false);
    let begin = Instant::now();
    let place = MEMBERS - 1;
    let newcomer = tokio::spawn(member(Arc::clone(nodes), place, Arc::clone(held), stopped));
    settled(held, MEMBERS).await;
    let took = begin.elapsed();
    stop.send_replace(true);
    newcomer.await.unwrap();
    settled(held, MEMBERS - 1).await;
    took
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let nodes = Arc::new(Nodes::start(3));
    let held = Arc::new(watch::Sender::new([0; MEMBERS]));
    let (stop, stopped) = watch::channel(false);
    let members: Vec<_> = nodes.runtime.block_on(async {
        create_topic(&nodes).await;
        let start = |place| {
            member(
                Arc::clone(&nodes),
                place,
                Arc::clone(&held),
                stopped.clone(),
            )
        };
        let members = (0..MEMBERS - 1)
            .map(|place| tokio::spawn(start(place)))
            .collect();
        settled(&held, MEMBERS - 1).await;
        members
    });
    let mut group = criterion.benchmark_group("groups");
    group.sample_size(10);
    group.measurement_time(Duration::from_secs(20));
    group.bench_function("rebalance: 8 members, 64 partitions", |bencher| {
        bencher.iter_custom(|iterations| {
            nodes.runtime.block_on(async {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    total += join_and_leave(&nodes, &held).await;
                }
                total
            })
        });
    });
    group.finish();
    stop.send_replace(true);
    nodes.runtime.block_on(async {
        for member in members {
            member.await.unwrap();
        }
    });
}
