//! Every compression, written by kcat and read by this project's client, and the other way round.

use std::sync::Arc;
use std::time::Duration;

use broker::client::{
    AutoOffsetReset, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord,
};
use broker::id::TopicPartition;
use broker::record::Compression;
use bytes::Bytes;
use libtest_mimic::Failed;
use tokio::task::JoinSet;

use crate::cluster::{Cluster, create_topic};
use crate::foreign::Client;
use crate::process::Process;
use crate::text::{self, Line};
use crate::wait::until;

const CODECS: [(Compression, &str); 5] = [
    (Compression::None, "none"),
    (Compression::Gzip, "gzip"),
    (Compression::Snappy, "snappy"),
    (Compression::Lz4, "lz4"),
    (Compression::Zstd, "zstd"),
];
/// Lines for each codec and direction.
const LINES: usize = 400;

/// Runs every codec in both directions against one cluster.
pub(crate) async fn run(kcat: &Client) -> Result<(), Failed> {
    let cluster = Cluster::start()?;
    let admin = cluster.admin().await?;
    let mut lines = text::lines()?;
    lines.truncate(LINES);
    for (codec, name) in CODECS {
        let (to_us, to_kcat) = (format!("to-us-{name}"), format!("to-kcat-{name}"));
        create_topic(&admin, &to_us).await?;
        create_topic(&admin, &to_kcat).await?;
        let servers = cluster.bootstrap();
        let mut command = kcat.producer(&servers, &to_us);
        command.args(["-z", name]);
        let mut producer = Process::start("kcat", command)?;
        producer.feed(&text::input(&lines)).await?;
        producer.finish().await?;
        equal(name, &lines, read(&cluster, &to_us).await?)?;
        write(&cluster, &to_kcat, codec, &lines).await?;
        let consumer = kcat.consumer(&servers, &to_kcat, lines.len());
        let output = Process::start("kcat", consumer)?.finish().await?;
        crate::compare::compare(&lines, &output)?;
    }
    Ok(())
}

/// Sends `lines` with this project's producer, many in a batch.
pub(crate) async fn write(
    cluster: &Cluster,
    topic: &str,
    compression: Compression,
    lines: &[Line],
) -> Result<(), Failed> {
    let config = ProducerConfig {
        bootstrap: cluster.addresses(),
        compression,
        linger: Duration::from_millis(20),
        ..ProducerConfig::default()
    };
    let producer = Arc::new(Producer::start(config).await?);
    let mut records = lines.iter().map(|line| ProducerRecord {
        topic: topic.to_owned(),
        key: Some(Bytes::from(line.key.clone())),
        value: Some(Bytes::from(line.value.clone())),
        ..ProducerRecord::default()
    });
    // With the first acknowledged, the partitions are known and a send queues its record at once:
    // so the order of the tasks is that of the records.
    producer.send(records.next().ok_or("no text")?).await?;
    let mut sends = JoinSet::new();
    for record in records {
        let producer = Arc::clone(&producer);
        sends.spawn(async move { producer.send(record).await });
    }
    while let Some(sent) = sends.join_next().await {
        sent??;
    }
    Ok(())
}

/// Reads all of `topic` with this project's consumer: key and value, partition by partition.
async fn read(cluster: &Cluster, topic: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Failed> {
    let config = ConsumerConfig {
        bootstrap: cluster.addresses(),
        auto_offset_reset: AutoOffsetReset::Earliest,
        ..ConsumerConfig::default()
    };
    let mut consumer = Consumer::start(config).await?;
    consumer.assign((0..3).map(|p| TopicPartition::new(topic, p)).collect());
    let mut read = Vec::new();
    until("the last record", async || {
        for record in consumer.poll(Duration::from_millis(200)).await? {
            let bytes = |field: Option<Bytes>| field.unwrap_or_default().to_vec();
            read.push((bytes(record.key), bytes(record.value)));
        }
        Ok((read.len() >= LINES).then_some(()))
    })
    .await?;
    Ok(read)
}

/// The records of each key, in order: the partitions may come in any order.
fn equal(codec: &str, sent: &[Line], mut read: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), Failed> {
    let pair = |line: &Line| (line.key.clone().into_bytes(), line.value.clone());
    let mut sent: Vec<_> = sent.iter().map(pair).collect();
    sent.sort_by(|one, other| one.0.cmp(&other.0));
    read.sort_by(|one, other| one.0.cmp(&other.0));
    if sent == read {
        return Ok(());
    }
    Err(format!(
        "{codec}: {} sent, {} read, and they differ",
        sent.len(),
        read.len()
    )
    .into())
}
