//! What an application does in the scenarios on real brokers: a topic, a producer, records.
//!
//! Everything here runs in the namespace of a client and waits on conditions.

use std::time::Duration;

use broker::client::{Admin, AdminConfig, NewTopic, Producer, ProducerConfig, ProducerRecord};
use broker::error::ErrorCode;
use broker::id::{BrokerId, TopicPartition};
use harness::sandbox::node_address;
use libtest_mimic::Failed;

use crate::support::{Outcome, SOON, soon};

pub(crate) const TOPIC: &str = "t";

/// An admin client of a cluster that has the topic, new or not, on all three nodes.
pub(crate) async fn with_topic(partitions: i32) -> Result<Admin, Failed> {
    let bootstrap = (1..=3).map(|id| node_address(BrokerId(id))).collect();
    let request_timeout = Duration::from_secs(5);
    let config = AdminConfig {
        bootstrap,
        client_id: "faults".into(),
        request_timeout,
    };
    let create = || async {
        let admin = Admin::start(config.clone()).await?;
        let topic = NewTopic {
            name: TOPIC.into(),
            partitions,
            replication_factor: 3,
            configs: vec![("min.insync.replicas".into(), "2".into())],
        };
        match admin.create_topic(topic).await {
            Err(error) if error.code == Some(ErrorCode::TopicAlreadyExists) => Ok(admin),
            created => created.map(|()| admin),
        }
    };
    soon("a topic on three brokers", async {
        loop {
            match create().await {
                Ok(admin) => return admin,
                Err(error) => eprintln!("not yet: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
}

/// A producer that waits for all in-sync replicas.
pub(crate) async fn producer() -> Result<Producer, Failed> {
    let bootstrap = (1..=3).map(|id| node_address(BrokerId(id))).collect();
    let request_timeout = Duration::from_secs(5);
    let config = ProducerConfig {
        bootstrap,
        request_timeout,
        ..ProducerConfig::default()
    };
    Ok(Producer::start(config).await?)
}

/// Sends records one by one; every one of them must be acknowledged.
pub(crate) async fn send(producer: &Producer, partition: i32, records: usize) -> Outcome {
    for number in 0..records {
        let record = ProducerRecord {
            topic: TOPIC.into(),
            partition: Some(partition),
            key: None,
            value: Some(number.to_string().into()),
            headers: Vec::new(),
            timestamp: None,
        };
        soon("an acknowledgement", producer.send(record)).await??;
    }
    Ok(())
}

/// The log ends exactly at `end`: nothing is lost, and nothing is there twice.
pub(crate) async fn expect_end(admin: &Admin, partition: i32, end: i64) -> Outcome {
    let partition = TopicPartition::new(TOPIC, partition);
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let ends = admin.end_offsets(std::slice::from_ref(&partition)).await;
        let found = ends
            .as_ref()
            .ok()
            .and_then(|ends| ends.get(&partition))
            .copied();
        if found == Some(end) {
            return Ok(());
        }
        // A high watermark may lag behind its acknowledgements after an election, never lead.
        let is_over = found.is_some_and(|found| found > end);
        if is_over || tokio::time::Instant::now() > deadline {
            return Err(format!("the log ends at {ends:?}, not at {end}").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
