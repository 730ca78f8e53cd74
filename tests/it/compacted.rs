//! Compacted topics on real nodes: the last value of each key stays readable, a group's offsets
//! survive a restart that loads what compaction left, and the log shrinks.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use broker::client::{Acks, NewTopic, ProducerRecord};
use broker::id::TopicPartition;
use bytes::Bytes;

use crate::cluster::{Cluster, PATIENCE, record};

const SETTINGS: &[&str] = &[
    "offsets.topic.num.partitions=1",
    "offsets.topic.segment.bytes=1024",
    "log.retention.check.interval.ms=100",
];

/// The bytes of the log of `partition` on node 1.
fn log_bytes(cluster: &Cluster, partition: &str) -> u64 {
    let directory = cluster.data_of(1).join(partition);
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let logs = files.filter(|file| file.path().extension().is_some_and(|ext| ext == "log"));
    logs.map(|file| size(&file.path())).sum()
}

async fn shrinks_below(cluster: &Cluster, partition: &str, bytes: u64) {
    let deadline = Instant::now() + PATIENCE;
    while log_bytes(cluster, partition) >= bytes {
        assert!(
            Instant::now() < deadline,
            "{partition} stays at {bytes} bytes and more"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn committed_offsets_survive_compaction_and_a_restart() {
    let mut cluster = Cluster::start(1, SETTINGS);
    cluster.serving().await;
    let admin = cluster.admin().await;
    let topic = NewTopic {
        name: "t".to_owned(),
        partitions: 1,
        replication_factor: 1,
        configs: Vec::new(),
    };
    admin.create_topic(topic).await.unwrap();
    let name = TopicPartition::new("t", 0);
    for offset in 0..200 {
        let offsets = BTreeMap::from([(name.clone(), offset)]);
        let results = admin.alter_group_offsets("g", &offsets).await.unwrap();
        assert!(results.values().all(Result::is_ok), "{results:?}");
    }
    // 200 commits of more than 100 bytes each were written.
    shrinks_below(&cluster, "__consumer_offsets-0", 12_000).await;
    cluster.stop(1);
    cluster.restart(1);
    cluster.serving().await;
    let admin = cluster.admin().await;
    let found = admin.group_offsets("g", None).await.unwrap();
    assert_eq!(found.get(&name).map(|found| found.offset), Some(199));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_topic_keeps_the_last_value_of_each_key() {
    let cluster = Cluster::start(1, SETTINGS);
    cluster.serving().await;
    let configs = [("cleanup.policy", "compact"), ("segment.bytes", "1024")];
    let topic = NewTopic {
        name: "t".to_owned(),
        partitions: 1,
        replication_factor: 1,
        configs: configs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
    };
    cluster.admin().await.create_topic(topic).await.unwrap();
    let producer = cluster.producer(Acks::All).await;
    let refused = producer.send(record("t", 0, "without a key")).await;
    assert!(refused.is_err(), "{refused:?}");
    for round in 0..100 {
        for key in ["a", "b"] {
            let record = ProducerRecord {
                key: Some(Bytes::from(key)),
                ..record("t", 0, format!("{key}{round}"))
            };
            producer.send(record).await.unwrap();
        }
    }
    producer.close().await;
    shrinks_below(&cluster, "t-0", 14_000).await;
    let values = cluster.read_all("t", 0).await;
    for last in ["a99", "b99"] {
        assert!(
            values.iter().any(|value| value == last),
            "{last} is not in {values:?}"
        );
    }
}
