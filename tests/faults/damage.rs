//! Damage at rest on real brokers: each proves what it changed, and the cluster comes back with
//! everything that it had acknowledged.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::nemesis::{
    Atlas, Damage, DirectoryPick, Effect, FaultReport, FaultSpec, FileKind, Place, Step, Target,
    run_fault,
};
use libtest_mimic::Trial;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::support::clients::{TOPIC, expect_end, producer, send, with_topic};
use crate::support::view::SeenByClient;
use crate::support::{Cluster, Outcome, ensure, soon, trial};

const HOLD: Duration = Duration::from_millis(50);
const RECORDS: usize = 20;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("damage::without_files_to_damage_it_is_vacuous", vacuous),
        trial("damage::every_kind_proves_itself_and_takes_nothing", every),
        trial(
            "damage::directories_are_lost_exchanged_and_old",
            directories,
        ),
        trial(
            "damage::the_wrong_directory_is_refused_and_put_back",
            refused,
        ),
        trial(
            "damage::foreign_files_are_put_back_before_they_are_damaged",
            foreign,
        ),
        trial(
            "damage::the_atlas_permits_only_what_it_knows_to_be_elsewhere",
            atlas,
        ),
    ]
}

fn damage(damage: Damage, clean: bool) -> FaultSpec {
    FaultSpec::Damage {
        target: Target::Node { id: 2 },
        directory: DirectoryPick::All,
        damage,
        clean,
    }
}

fn delete(files: FileKind, clean: bool) -> FaultSpec {
    damage(Damage::Delete { files }, clean)
}

/// The report, and what was told at last.
async fn run(cluster: &Cluster, spec: &FaultSpec) -> (FaultReport, Map<String, Value>) {
    let told = Mutex::new(Map::new());
    let on_step = |step| {
        if let Step::Healed(_, detail) | Step::Recovered(_, detail) = step {
            *told.lock().expect("told") = detail;
        }
    };
    let report = run_fault(&cluster.arena, spec, HOLD, 7, &on_step).await;
    let told = told.into_inner().expect("told");
    println!("{report:?} {}", Value::Object(told.clone()));
    (report, told)
}

fn is_vacuous(report: &FaultReport) -> Outcome {
    let is_vacuous = matches!(report.effect, Effect::Vacuous(_)) && report.not_recovered.is_none();
    ensure(is_vacuous, format!("{report:?}"))
}

fn is_refused(report: &FaultReport, reason: &str) -> Outcome {
    is_vacuous(report)?;
    ensure(
        format!("{:?}", report.effect).contains(reason),
        format!("{report:?}"),
    )
}

fn is_seen(report: &FaultReport) -> Outcome {
    let is_seen = matches!(report.effect, Effect::Seen(_)) && report.not_recovered.is_none();
    ensure(is_seen, format!("{report:?}"))
}

/// Brokers with records on all three nodes.
async fn filled() -> Result<Cluster, libtest_mimic::Failed> {
    let cluster = Cluster::start_brokers().await?;
    let fill = || async {
        with_topic(1).await?;
        send(&producer().await?, 0, RECORDS).await
    };
    cluster.as_client(fill).await?;
    Ok(cluster)
}

/// All three replicas are in sync and hold every record.
async fn whole(cluster: &Cluster) -> Outcome {
    let check = || async {
        let admin = with_topic(1).await?;
        let in_sync = async {
            loop {
                let topics = admin.describe_topics(&[TOPIC]).await.unwrap_or_default();
                let partition = topics.first().and_then(|topic| topic.partitions.first());
                if partition.is_some_and(|partition| partition.isr.len() == 3) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        soon("three replicas in sync", in_sync).await?;
        expect_end(&admin, 0, RECORDS as i64).await
    };
    cluster.as_client(check).await
}

async fn vacuous() -> Outcome {
    let cluster = filled().await?;
    let no_middle = Damage::FlipBits {
        files: FileKind::QuorumState,
        files_max: 1,
        bits: 1,
        place: Place::Middle,
    };
    for spec in [
        delete(FileKind::ShutdownMarker, false),
        delete(FileKind::MetadataSnapshot, true),
        damage(no_middle, false),
        FaultSpec::Damage {
            target: Target::Node { id: 9 },
            directory: DirectoryPick::All,
            damage: Damage::Wipe,
            clean: false,
        },
    ] {
        is_vacuous(&run(&cluster, &spec).await.0)?;
    }
    whole(&cluster).await
}

async fn every() -> Outcome {
    let cluster = filled().await?;
    let flips = |place| Damage::FlipBits {
        files: FileKind::Segment,
        files_max: 1,
        bits: 2,
        place,
    };
    let tail = |bytes| Damage::Truncate {
        files: FileKind::Segment,
        files_max: 1,
        bytes,
    };
    let zeroes = Damage::ZeroTail {
        files: FileKind::Segment,
        files_max: 1,
        bytes: 30,
    };
    // A running node has no such mark, so that rolling it back removes it.
    let roll_back = Damage::RollBack {
        files: FileKind::ShutdownMarker,
        age_ms: 50,
    };
    for spec in [
        damage(flips(Place::LastBatch), false),
        damage(tail(40), false),
        damage(zeroes, false),
        delete(FileKind::EpochCheckpoint, true),
        delete(FileKind::RecoveryPointCheckpoint, true),
        delete(FileKind::ProducerSnapshot, true),
        delete(FileKind::ShutdownMarker, true),
        delete(FileKind::Index, false),
        damage(roll_back, true),
    ] {
        let (report, told) = run(&cluster, &spec).await;
        is_seen(&report)?;
        let named = told
            .get("damaged")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        ensure(named > 0, format!("the files are named: {told:?}"))?;
        whole(&cluster).await?;
    }
    Ok(())
}

async fn directories() -> Outcome {
    let cluster = filled().await?;
    let backup = |at_rest| Damage::Backup {
        age_ms: 100,
        at_rest,
    };
    for spec in [
        damage(Damage::Wipe, false),
        // Only one of copy and original has the mark of a clean shutdown, so that they differ.
        damage(backup(false), true),
        damage(backup(true), false),
    ] {
        is_seen(&run(&cluster, &spec).await.0)?;
        whole(&cluster).await?;
    }
    Ok(())
}

async fn refused() -> Outcome {
    let cluster = filled().await?;
    let swap = Damage::Swap {
        keep_identity: false,
    };
    let (report, told) = run(&cluster, &damage(swap, false)).await;
    is_seen(&report)?;
    let noticed = told
        .get("noticed")
        .map(Value::to_string)
        .unwrap_or_default();
    ensure(noticed.contains("got its own files back"), &noticed)?;
    ensure(
        cluster.arena.supervisor.unexpected_exits().is_empty(),
        "an unexpected exit",
    )?;
    whole(&cluster).await
}

/// A second fault strikes while the node finds out that its files are another's.
async fn foreign() -> Outcome {
    let cluster = filled().await?;
    let swap = |keep_identity| damage(Damage::Swap { keep_identity }, false);
    let starts = Notify::new();
    let on_step = |step| {
        if let Step::Healed(..) = step {
            starts.notify_one();
        }
    };
    let spec = swap(false);
    let first = run_fault(&cluster.arena, &spec, HOLD, 7, &on_step);
    let second = async {
        starts.notified().await;
        run(&cluster, &swap(true)).await.0
    };
    let (first, second) = tokio::join!(first, second);
    is_seen(&first)?;
    is_vacuous(&second)?;
    whole(&cluster).await
}

async fn atlas() -> Outcome {
    let mut cluster = filled().await?;
    cluster.arena.atlas = Atlas::new(true);
    let wipe = |target| FaultSpec::Damage {
        target,
        directory: DirectoryPick::All,
        damage: Damage::Wipe,
        clean: false,
    };
    let one = wipe(Target::Node { id: 2 });
    // Nobody misses an index, but the node may be the only one in sync, and would be stopped.
    let indexes = delete(FileKind::Index, false);
    for spec in [&one, &indexes] {
        let unknown = "no majority told what the cluster looks like";
        is_refused(&run(&cluster, spec).await.0, unknown)?;
    }
    cluster.arena.view = Arc::new(SeenByClient::new(&cluster.arena.sandbox)?);
    let bare = "no good copy would be left of t-0";
    is_refused(&run(&cluster, &wipe(Target::All)).await.0, bare)?;
    for spec in [&one, &indexes] {
        whole(&cluster).await?;
        let (report, told) = run(&cluster, spec).await;
        is_seen(&report)?;
        let words = "a good copy of everything acknowledged is left";
        ensure(format!("{report:?}").contains(words), format!("{report:?}"))?;
        ensure(left_of(&told) == [1, 3], format!("{told:?}"))?;
    }
    whole(&cluster).await
}

/// The nodes with a good copy of the topic's partition, by what a fault told.
fn left_of(told: &Map<String, Value>) -> Vec<i64> {
    let left = told
        .get("left")
        .and_then(|left| left.pointer("/copies/t-0"));
    let left = left.and_then(Value::as_array).into_iter().flatten();
    let mut left: Vec<i64> = left.filter_map(Value::as_i64).collect();
    left.sort_unstable();
    left
}
