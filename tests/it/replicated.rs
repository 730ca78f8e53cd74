//! Three nodes: start, replication, failover.

use broker::client::{Acks, Admin, NewTopic, PartitionDescription};
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, PATIENCE, record};

fn topic() -> NewTopic {
    NewTopic {
        name: "t".to_owned(),
        partitions: 1,
        replication_factor: 3,
        configs: vec![("min.insync.replicas".to_owned(), "2".to_owned())],
    }
}

async fn partition(admin: &Admin) -> Option<PartitionDescription> {
    let topics = admin.describe_topics(&["t"]).await.ok()?;
    topics.into_iter().next()?.partitions.into_iter().next()
}

/// Waits until the partition looks as it should.
async fn wait_for(
    admin: &Admin,
    what: &str,
    holds: impl Fn(&PartitionDescription) -> bool,
) -> PartitionDescription {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = partition(admin).await;
        if let Some(partition) = seen.as_ref().filter(|partition| holds(partition)) {
            return partition.clone();
        }
        assert!(Instant::now() < deadline, "no {what} in time: {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_acknowledge_a_record() {
    let started = Instant::now();
    let cluster = Cluster::start(3, &[]);
    cluster.serving().await;
    let served = started.elapsed();
    cluster.admin().await.create_topic(topic()).await.unwrap();
    let producer = cluster.producer(Acks::All).await;
    producer.send(record("t", 0, "first")).await.unwrap();
    let acknowledged = started.elapsed();
    println!("serving after {served:?}, first acks=all acknowledgement after {acknowledged:?}");
    assert_eq!(cluster.read_all("t", 0).await, ["first"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_records_survive_the_leader() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.serving().await;
    let admin = cluster.admin().await;
    admin.create_topic(topic()).await.unwrap();
    let producer = cluster.producer(Acks::All).await;
    let mut want = Vec::new();
    for round in 0..4 {
        let healthy = wait_for(&admin, "full ISR", |p| p.isr.len() == 3).await;
        let leader = healthy.leader.unwrap().0;
        for index in 0..10 {
            let value = format!("{round}-{index}");
            producer.send(record("t", 0, value.clone())).await.unwrap();
            want.push(value);
        }
        let ended = Instant::now();
        if round % 2 == 0 {
            cluster.kill(leader);
        } else {
            cluster.stop(leader);
        }
        let stopped = ended.elapsed();
        let value = format!("{round}-after");
        producer.send(record("t", 0, value.clone())).await.unwrap();
        want.push(value);
        println!(
            "round {round}: stopped in {stopped:?}, again after {:?}",
            ended.elapsed()
        );
        cluster.restart(leader);
    }
    wait_for(&admin, "full ISR", |p| p.isr.len() == 3).await;
    assert_eq!(cluster.read_all("t", 0).await, want);
}
