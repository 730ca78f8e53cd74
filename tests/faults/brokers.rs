//! Real brokers behind real links: what an application sees when acknowledgements are lost and
//! leaders die.

use broker::client::Admin;
use broker::id::BrokerId;
use harness::link::{FrameAction, FramePick, FrameRule, FrameSide, LinkId, Links};
use harness::sandbox::Endpoint;
use libtest_mimic::{Failed, Trial};

use crate::support::clients::{TOPIC, expect_end, producer, send, with_topic};
use crate::support::{C1, Cluster, N1, N2, N3, Outcome, ensure, trial};

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
            let admin = with_topic(1).await?;
            let producer = producer().await?;
            send(&producer, 0, 3).await?;
            let lost = lose_one_acknowledgement(&links);
            send(&producer, 0, 20).await?;
            let applied: u64 = lost.iter().map(|rule| rule.applied()).sum();
            ensure(
                applied == 1,
                format!("{applied} acknowledgements were lost"),
            )?;
            expect_end(&admin, 0, 23).await
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
            let admin = with_topic(1).await?;
            let producer = producer().await?;
            send(&producer, 0, 20).await?;
            let leader = leader(&admin).await?;
            supervisor.kill(Endpoint::of(leader)).await?;
            send(&producer, 0, 20).await?;
            expect_end(&admin, 0, 40).await
        })
        .await
}

async fn leader(admin: &Admin) -> Result<BrokerId, Failed> {
    let topics = admin.describe_topics(&[TOPIC]).await?;
    let partition = topics.first().and_then(|topic| topic.partitions.first());
    Ok(partition
        .and_then(|partition| partition.leader)
        .ok_or("a leader")?)
}
