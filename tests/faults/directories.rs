//! Real brokers with two log directories each on faulty disks: one directory stalls or fails, its
//! leaderships move, the other goes on, and what failed comes back.

use std::path::{Path, PathBuf};
use std::time::Duration;

use broker::client::{Admin, PartitionDescription, Producer};
use broker::id::BrokerId;
use harness::disk::Disks;
use harness::disk::rule::{
    DiskAction, DiskErrno, DiskId, DiskPick, DiskRule, FileClass, OperationClass,
};
use harness::sandbox::{Endpoint, Supervisor};
use libtest_mimic::{Failed, Trial};

use crate::support::clients::{TOPIC, expect_end, producer, send, with_topic};
use crate::support::{Cluster, Outcome, ensure, soon, trial};

/// Each broker puts them into its two directories by turns, and leads each third of them.
const PARTITIONS: i32 = 8;

const SETTINGS: &str = "log.dir.stall.timeout.ms=1500\n";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "directories::a_stalled_directory_moves_its_leaderships_and_rejoins",
            stalled,
        ),
        trial(
            "directories::a_failed_directory_is_offline_alone_until_a_restart",
            failed,
        ),
        trial(
            "directories::a_node_starts_over_a_directory_that_hangs_and_takes_it_back",
            started_over_a_stall,
        ),
    ]
}

/// A broker that leads a partition in each of its directories.
struct Chosen {
    leader: BrokerId,
    /// Lies in the second directory, which is about to fail.
    hurt: i32,
    /// Lies in the first directory.
    spared: i32,
    epoch: i32,
}

/// Plays `scenario` as a client of three brokers with two disks each, once they have records.
async fn play<F>(
    scenario: impl FnOnce((Disks, Supervisor), (Admin, Producer), Chosen) -> F + Send + 'static,
) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let cluster = Cluster::start_brokers_on_disks(SETTINGS).await?;
    let nodes = (
        cluster.arena.disks.clone(),
        cluster.arena.supervisor.clone(),
    );
    let folder = cluster.folder()?;
    cluster
        .as_client(move || async move {
            let (admin, producer, chosen) = prepare(&folder).await?;
            scenario(nodes, (admin, producer), chosen).await
        })
        .await
}

async fn stalled() -> Outcome {
    play(
        |(disks, supervisor), (admin, producer), chosen| async move {
            let node = Endpoint::of(chosen.leader);
            let process = supervisor.pid(node)?;
            let disk = second_disk(chosen.leader);
            let rule = disks.impose(disk, on_segments(DiskAction::Stall))?;
            send(&producer, chosen.hurt, 1).await?;
            let held = disks.effect(disk, rule).held;
            ensure(held > 0, "no write was held")?;
            others_go_on(&admin, &producer, &chosen).await?;
            disks.lift(disk, rule);
            rejoined(&admin, &chosen).await?;
            ensure(
                supervisor.pid(node)? == process,
                "the process was started anew",
            )?;
            send(&producer, chosen.hurt, 5).await?;
            expect_end(&admin, chosen.hurt, 11).await
        },
    )
    .await
}

async fn failed() -> Outcome {
    play(
        |(disks, supervisor), (admin, producer), chosen| async move {
            let disk = second_disk(chosen.leader);
            let errno = DiskErrno::Eio;
            let rule = disks.impose(disk, on_segments(DiskAction::Error { errno }))?;
            send(&producer, chosen.hurt, 1).await?;
            let hits = disks.lift(disk, rule).hits;
            ensure(hits == 1, format!("{hits} writes after the first failure"))?;
            others_go_on(&admin, &producer, &chosen).await?;
            let node = Endpoint::of(chosen.leader);
            supervisor.kill(node).await?;
            supervisor.restart(node)?;
            rejoined(&admin, &chosen).await?;
            send(&producer, chosen.hurt, 5).await?;
            expect_end(&admin, chosen.hurt, 11).await
        },
    )
    .await
}

async fn started_over_a_stall() -> Outcome {
    play(
        |(disks, supervisor), (admin, producer), chosen| async move {
            let (node, disk) = (Endpoint::of(chosen.leader), second_disk(chosen.leader));
            supervisor.kill(node).await?;
            let stall_all = DiskRule {
                operations: Vec::new(),
                files: Vec::new(),
                ..on_segments(DiskAction::Stall)
            };
            let rule = disks.impose(disk, stall_all)?;
            supervisor.restart(node)?;
            joined_without(&admin, &chosen).await?;
            let held = disks.effect(disk, rule).held;
            ensure(held > 0, "nothing was held")?;
            send(&producer, chosen.spared, 5).await?;
            disks.lift(disk, rule);
            rejoined(&admin, &chosen).await?;
            send(&producer, chosen.hurt, 5).await?;
            expect_end(&admin, chosen.hurt, 10).await
        },
    )
    .await
}

/// The node is back with its first directory, and the second one counts as offline.
async fn joined_without(admin: &Admin, chosen: &Chosen) -> Outcome {
    soon("the other directory serves", async {
        loop {
            let spared = describe(admin, chosen.spared).await?;
            let hurt = describe(admin, chosen.hurt).await?;
            if spared.isr.len() == 3 && hurt.offline == [chosen.leader] {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await?
}

/// A topic with records in the two partitions that matter.
async fn prepare(folder: &Path) -> Result<(Admin, Producer, Chosen), Failed> {
    let (admin, producer) = (with_topic(PARTITIONS).await?, producer().await?);
    for partition in 0..PARTITIONS {
        send(&producer, partition, 5).await?;
    }
    let chosen = choose(&admin, folder).await?;
    Ok((admin, producer, chosen))
}

async fn choose(admin: &Admin, folder: &Path) -> Result<Chosen, Failed> {
    let mut partitions = Vec::new();
    for partition in 0..PARTITIONS {
        partitions.push(describe(admin, partition).await?);
    }
    let lies_in = |directory, partition: &PartitionDescription| {
        let node = partition.leader?;
        let log = format!("n{node}/data/d{directory}/{TOPIC}-{}", partition.partition);
        folder.join(log).is_dir().then_some(node)
    };
    for hurt in &partitions {
        let Some(leader) = lies_in(1, hurt) else {
            continue;
        };
        let mut others = partitions.iter();
        if let Some(spared) = others.find(|spared| lies_in(0, spared) == Some(leader)) {
            return Ok(Chosen {
                leader,
                hurt: hurt.partition,
                spared: spared.partition,
                epoch: spared.leader_epoch,
            });
        }
    }
    Err(format!("nobody leads in both of his directories: {partitions:?}").into())
}

/// The leadership of the hurt directory has moved, that of the other one has not.
async fn others_go_on(admin: &Admin, producer: &Producer, chosen: &Chosen) -> Outcome {
    let hurt = describe(admin, chosen.hurt).await?;
    ensure(hurt.leader != Some(chosen.leader), format!("{hurt:?}"))?;
    ensure(hurt.offline == [chosen.leader], format!("{hurt:?}"))?;
    ensure(!hurt.isr.contains(&chosen.leader), format!("{hurt:?}"))?;
    send(producer, chosen.spared, 5).await?;
    let spared = describe(admin, chosen.spared).await?;
    let led = (spared.leader, spared.leader_epoch);
    ensure(
        led == (Some(chosen.leader), chosen.epoch),
        format!("{spared:?}"),
    )
}

async fn rejoined(admin: &Admin, chosen: &Chosen) -> Outcome {
    soon("the replica is in sync again", async {
        loop {
            let partition = describe(admin, chosen.hurt).await?;
            if partition.isr.len() == 3 && partition.offline.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await?
}

async fn describe(admin: &Admin, partition: i32) -> Result<PartitionDescription, Failed> {
    let described = soon("a description", async {
        loop {
            match admin.describe_topics(&[TOPIC]).await {
                Ok(topics) => return topics,
                Err(error) => eprintln!("not yet: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await?;
    let topic = described.into_iter().next().ok_or("the topic")?;
    let mut partitions = topic.partitions.into_iter();
    let found = partitions.find(|found| found.partition == partition);
    Ok(found.ok_or("the partition")?)
}

fn second_disk(node: BrokerId) -> DiskId {
    DiskId {
        node: node.0,
        directory: 1,
    }
}

/// All writes of records.
fn on_segments(action: DiskAction) -> DiskRule {
    DiskRule {
        operations: vec![OperationClass::Write],
        files: vec![FileClass::Segment],
        pick: DiskPick::Every,
        action,
    }
}

impl Cluster {
    /// Where its nodes keep their files.
    fn folder(&self) -> Result<PathBuf, Failed> {
        let folder = self.data.as_ref().ok_or("a folder")?;
        Ok(folder.path().to_owned())
    }
}
