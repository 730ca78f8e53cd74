//! Real brokers behind real links: what an application sees when acknowledgements are lost and
//! leaders die.

use std::time::Duration;

use broker::client::{Admin, AdminConfig, NewTopic, Producer, ProducerConfig, ProducerRecord};
use broker::error::ErrorCode;
use broker::id::{BrokerId, TopicPartition};
use harness::link::{FrameAction, FramePick, FrameRule, FrameSide, LinkId, Links};
use harness::sandbox::{Endpoint, node_address};
use libtest_mimic::{Failed, Trial};

use crate::support::{C1, Cluster, N1, N2, N3, Outcome, SOON, ensure, soon, trial};

pub(crate) const TOPIC: &str = "t";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "brokers::a_lost_acknowledgement_makes_no_duplicate",
            lost_acknowledgement,
        ),
        trial(
            "brokers::a_killed_leader_takes_no_acknowledged_record",
            killed_leader,
        ),
    ]
}

async fn lost_acknowledgement() -> Outcome {
    let cluster = Cluster::start_brokers().await?;
    let links = cluster.arena.links.clone();
    cluster
        .as_client(move || async move {
            let admin = with_topic().await?;
            let producer = producer().await?;
            send(&producer, 3).await?;
            let lost = lose_one_acknowledgement(&links);
            send(&producer, 20).await?;
            let applied: u64 = lost.iter().map(|rule| rule.applied()).sum();
            ensure(
                applied == 1,
                format!("{applied} acknowledgements were lost"),
            )?;
            expect_end(&admin, 23).await
        })
        .await
}

/// Resets the connection instead of delivering the second Produce response of a link.
fn lose_one_acknowledgement(links: &Links) -> Vec<std::sync::Arc<harness::link::ActiveRule>> {
    let layer = links.layer();
    let rule = FrameRule {
        side: FrameSide::Response,
        api: Some(0),
        pick: FramePick::Nth(2),
        action: FrameAction::Reset,
    };
    let nodes = [N1, N2, N3].into_iter();
    nodes
        .filter_map(|to| links.add_rule(layer, LinkId { from: C1, to }, rule.clone()))
        .collect()
}

async fn killed_leader() -> Outcome {
    let cluster = Cluster::start_brokers().await?;
    let supervisor = cluster.arena.supervisor.clone();
    cluster
        .as_client(move || async move {
            let admin = with_topic().await?;
            let producer = producer().await?;
            send(&producer, 20).await?;
            let leader = leader(&admin).await?;
            supervisor.kill(Endpoint::of(leader)).await?;
            send(&producer, 20).await?;
            expect_end(&admin, 40).await
        })
        .await
}

/// An admin client of a cluster that has the topic, new or not: one partition on all three nodes.
pub(crate) async fn with_topic() -> Result<Admin, Failed> {
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
            partitions: 1,
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
pub(crate) async fn send(producer: &Producer, records: usize) -> Outcome {
    for number in 0..records {
        let record = ProducerRecord {
            topic: TOPIC.into(),
            partition: Some(0),
            key: None,
            value: Some(number.to_string().into()),
            headers: Vec::new(),
            timestamp: None,
        };
        soon("an acknowledgement", producer.send(record)).await??;
    }
    Ok(())
}

async fn leader(admin: &Admin) -> Result<BrokerId, Failed> {
    let topics = admin.describe_topics(&[TOPIC]).await?;
    let partition = topics.first().and_then(|topic| topic.partitions.first());
    Ok(partition
        .and_then(|partition| partition.leader)
        .ok_or("a leader")?)
}

/// The log ends exactly at `end`.
pub(crate) async fn expect_end(admin: &Admin, end: i64) -> Outcome {
    let partition = TopicPartition::new(TOPIC, 0);
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
