//! Groups whose coordinator is killed: what was answered stands, what was not is not.

use broker::client::NewTopic;

use crate::cluster::Cluster;
use crate::group_wire::{Member, Wire, coordinator, join_alone, join_request, retry};

/// FENCED_INSTANCE_ID.
const FENCED: i16 = 82;
/// COORDINATOR_NOT_AVAILABLE and NOT_COORDINATOR: the outcome of a write is unknown.
const UNKNOWN: [i16; 2] = [15, 16];

async fn three_nodes(extra: &[&str]) -> Cluster {
    let mut settings = vec![
        "offsets.topic.num.partitions=5",
        "group.initial.rebalance.delay.ms=0",
        "min.insync.replicas=2",
    ];
    settings.extend(extra);
    let cluster = Cluster::start(3, &settings);
    cluster.serving().await;
    let topic = NewTopic {
        name: "t".to_owned(),
        partitions: 1,
        replication_factor: 3,
        configs: Vec::new(),
    };
    cluster.admin().await.create_topic(topic).await.unwrap();
    cluster
}

/// Commits as an administrator until that is answered by success.
async fn commit(cluster: &Cluster, group: &str, offset: i64) {
    let nobody = Member::nobody(group);
    let stores = |wire: &mut Wire| match wire.commit(&nobody, "t", offset) {
        0 => Ok(()),
        code => Err(code),
    };
    retry(cluster, group, stores).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_survive_their_coordinator() {
    let mut cluster = three_nodes(&[]).await;
    let mut offset = -1;
    for round in 0..3 {
        let seen = retry(&cluster, "g", |wire| wire.committed("g", "t")).await;
        assert_eq!(seen, offset, "round {round}");
        for step in 1..=10 {
            offset = i64::from(round * 100 + step);
            commit(&cluster, "g", offset).await;
        }
        let (id, _) = coordinator(&cluster, "g").await;
        cluster.kill(id);
        let seen = retry(&cluster, "g", |wire| wire.committed("g", "t")).await;
        assert_eq!(seen, offset, "after node {id} was killed");
        cluster.restart(id);
        cluster.serving().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kip345_a_fenced_static_member_stays_fenced_at_the_next_coordinator() {
    let mut cluster = three_nodes(&[]).await;
    retry(&cluster, "g", |wire| wire.committed("g", "t")).await;
    let (id, mut wire) = coordinator(&cluster, "g").await;
    let first = join_alone(&mut wire, "g", Some("instance"));
    let second = join_alone(&mut wire, "g", Some("instance"));
    assert_ne!(first.id, second.id);
    assert_eq!(
        first.generation, second.generation,
        "nobody had to rebalance"
    );
    assert_eq!(wire.heartbeat(&first), FENCED);
    let third = Member {
        id: String::new(),
        ..second.clone()
    };
    let joined = wire.join(9, join_request(&third));
    assert!(joined.skip_assignment, "KIP-814: {joined:?}");
    let second = Member {
        id: joined.member_id.to_string(),
        ..second
    };
    cluster.kill(id);
    let alive = |wire: &mut Wire| match wire.heartbeat(&second) {
        0 => Ok(()),
        code => Err(code),
    };
    retry(&cluster, "g", alive).await;
    let (_, mut wire) = coordinator(&cluster, "g").await;
    assert_eq!(wire.heartbeat(&first), FENCED);
    assert_eq!(wire.commit(&first, "t", 3), FENCED);
    assert_eq!(wire.commit(&second, "t", 4), 0);
    assert_eq!(wire.committed("g", "t"), Ok(4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_replicated_is_never_answered_by_success() {
    let mut cluster = three_nodes(&["offsets.commit.timeout.ms=500"]).await;
    commit(&cluster, "g", 1).await;
    let (id, mut wire) = coordinator(&cluster, "g").await;
    let others: Vec<i32> = (1..=3).filter(|other| *other != id).collect();
    for other in &others {
        cluster.kill(*other);
    }
    let code = wire.commit(&Member::nobody("g"), "t", 2);
    assert!(UNKNOWN.contains(&code), "{code}");
    // With a lease it tells what is committed, without one nothing.
    assert_ne!(wire.committed("g", "t"), Ok(2));
    for other in &others {
        cluster.restart(*other);
    }
    commit(&cluster, "g", 3).await;
    let seen = retry(&cluster, "g", |wire| wire.committed("g", "t")).await;
    assert_eq!(seen, 3);
}
