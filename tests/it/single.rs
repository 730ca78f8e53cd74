//! One node: topics, records, restarts.

use std::sync::Arc;

use broker::client::{Acks, NewTopic};
use tokio::task::JoinSet;

use crate::cluster::{Cluster, record};

fn topic(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: 2,
        replication_factor: 1,
        configs: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_survive_a_kill_and_a_stop() {
    let mut cluster = Cluster::start(1, &[]);
    cluster.serving().await;
    cluster
        .admin()
        .await
        .create_topic(topic("t"))
        .await
        .unwrap();
    let mut want = Vec::new();
    for round in 0..3 {
        let producer = cluster.producer(Acks::All).await;
        for index in 0..20 {
            let value = format!("{round}-{index}");
            producer.send(record("t", 1, value.clone())).await.unwrap();
            want.push(value);
        }
        producer.close().await;
        assert_eq!(cluster.read_all("t", 1).await, want);
        if round == 0 {
            cluster.kill(1);
        } else {
            cluster.stop(1);
        }
        cluster.restart(1);
        cluster.serving().await;
    }
    assert_eq!(cluster.read_all("t", 1).await, want);
    assert!(cluster.read_all("t", 0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_comes_back_empty() {
    let cluster = Cluster::start(1, &[]);
    cluster.serving().await;
    let admin = cluster.admin().await;
    admin.create_topic(topic("t")).await.unwrap();
    let producer = cluster.producer(Acks::One).await;
    producer.send(record("t", 0, "old")).await.unwrap();
    producer.close().await;
    admin.delete_topic("t").await.unwrap();
    admin.create_topic(topic("t")).await.unwrap();
    let producer = cluster.producer(Acks::One).await;
    producer.send(record("t", 0, "new")).await.unwrap();
    assert_eq!(cluster.read_all("t", 0).await, ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_brokers_refuse_a_topic_with_both_numbers() {
    let cluster = Cluster::start(1, &[]);
    cluster.serving().await;
    let wanted = NewTopic {
        replication_factor: 3,
        ..topic("t")
    };
    let error = cluster
        .admin()
        .await
        .create_topic(wanted)
        .await
        .unwrap_err();
    let message = error.to_string();
    assert!(message.contains('3') && message.contains('1'), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_batches_of_a_new_topic_do_not_overtake_each_other() {
    let cluster = Cluster::start(1, &[]);
    cluster.serving().await;
    let admin = cluster.admin().await;
    for round in 0..5 {
        let name = format!("t{round}");
        admin.create_topic(topic(&name)).await.unwrap();
        let producer = Arc::new(cluster.producer(Acks::All).await);
        let mut sends = JoinSet::new();
        for index in 0..64 {
            // Two of them are more than a batch.
            let record = record(&name, 0, format!("{index:0>9000}"));
            let producer = Arc::clone(&producer);
            sends.spawn(async move { producer.send(record).await });
        }
        for sent in sends.join_all().await {
            sent.unwrap();
        }
        assert_eq!(cluster.read_all(&name, 0).await.len(), 64);
    }
}
