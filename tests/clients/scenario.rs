//! One client produces and consumes real text while a leader is killed and restarted.

use broker::client::{Admin, PartitionDescription};
use broker::id::{BrokerId, TopicPartition};
use libtest_mimic::Failed;

use crate::cluster::{Cluster, create_topic, partitions};
use crate::compare::{compare, fields};
use crate::foreign::Client;
use crate::process::Process;
use crate::text::{self, Line};
use crate::wait::until;

const TOPIC: &str = "licences";

/// Runs the scenario for `client` on a cluster of its own.
pub(crate) async fn run(client: &Client) -> Result<(), Failed> {
    let mut cluster = Cluster::start()?;
    match on(&mut cluster, client).await {
        Ok(()) => Ok(()),
        Err(failed) => {
            let message = failed.message().unwrap_or("failed").to_owned();
            Err(format!("{message}; {}", cluster.keep()).into())
        }
    }
}

async fn on(cluster: &mut Cluster, client: &Client) -> Result<(), Failed> {
    let admin = cluster.admin().await?;
    create_topic(&admin, TOPIC).await?;
    let lines = text::lines()?;
    let servers = cluster.bootstrap();
    let mut consumer = Process::start(
        "the consumer",
        client.consumer(&servers, TOPIC, lines.len()),
    )?;
    let mut producer = Process::start("the producer", client.producer(&servers, TOPIC))?;
    let [first, second, third] = thirds(&lines);
    producer.feed(&first).await?;
    let (partition, ..) = fields(&consumer.first_line().await?)?;
    let before = leader_of(&admin, partition).await?;
    cluster.kill(before.0);
    producer.feed(&second).await?;
    until("another leader", async || {
        let now = leader_of(&admin, partition).await;
        Ok(now.ok().filter(|now| now.0 != before.0 && now.1 > before.1))
    })
    .await?;
    cluster.launch(before.0)?;
    producer.feed(&third).await?;
    producer.finish().await?;
    compare(&lines, &consumer.finish().await?)?;
    expect_records(&admin, lines.len()).await?;
    until("the killed node back in every ISR", async || {
        let partitions = partitions(&admin, TOPIC).await.unwrap_or_default();
        let whole = |partition: &PartitionDescription| partition.isr.len() == 3;
        Ok(partitions.iter().all(whole).then_some(()))
    })
    .await
}

/// The input of a producer in three pieces, cut between lines.
fn thirds(lines: &[Line]) -> [Vec<u8>; 3] {
    let third = lines.len().div_ceil(3).max(1);
    let mut pieces = lines.chunks(third).map(text::input);
    std::array::from_fn(|_| pieces.next().unwrap_or_default())
}

/// The leader of a partition, and its epoch.
async fn leader_of(admin: &Admin, partition: i32) -> Result<(BrokerId, i32), Failed> {
    let partitions = partitions(admin, TOPIC).await?;
    let found = partitions.iter().find(|found| found.partition == partition);
    let found = found.ok_or("no such partition")?;
    Ok((found.leader.ok_or("no leader")?, found.leader_epoch))
}

/// Checks that the partitions hold `count` records and not one more.
async fn expect_records(admin: &Admin, count: usize) -> Result<(), Failed> {
    let names: Vec<_> = (0..3)
        .map(|partition| TopicPartition::new(TOPIC, partition))
        .collect();
    let ends = until("the ends of the partitions", async || {
        Ok(admin.end_offsets(&names).await.ok())
    })
    .await?;
    let held: i64 = ends.values().sum();
    if held == count as i64 {
        return Ok(());
    }
    Err(format!("{count} records were sent, the partitions hold {held}").into())
}
