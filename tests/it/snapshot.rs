//! Metadata snapshots: a node that is behind the log's start catches up by one.

use std::time::Instant;

use broker::client::{Acks, NewTopic};

use crate::cluster::{Cluster, PATIENCE, record};

fn topic(name: String) -> NewTopic {
    NewTopic {
        name,
        partitions: 3,
        replication_factor: 2,
        configs: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_missed_the_log_catches_up_by_snapshot() {
    let every_few_topics = "metadata.log.max.record.bytes.between.snapshots=2000";
    let mut cluster = Cluster::start(3, &[every_few_topics]);
    cluster.serving().await;
    let admin = cluster.admin().await;
    cluster.kill(3);
    let started = Instant::now();
    for index in 0..20 {
        while let Err(error) = admin.create_topic(topic(format!("t{index}"))).await {
            // The controller may have been the node that was killed.
            assert!(started.elapsed() < PATIENCE, "no topic t{index}: {error}");
            if error.to_string().contains("exist") {
                break;
            }
        }
    }
    cluster.restart(3);
    cluster.serving().await;
    // Everybody loads a snapshot on the way, those that stayed at their next start.
    for id in [1, 2] {
        cluster.stop(id);
        cluster.restart(id);
        cluster.serving().await;
    }
    let producer = cluster.producer(Acks::All).await;
    for index in 0..20 {
        producer
            .send(record(&format!("t{index}"), 2, "x"))
            .await
            .unwrap();
        assert_eq!(cluster.read_all(&format!("t{index}"), 2).await, ["x"]);
    }
}
