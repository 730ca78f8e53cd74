//! One node alone on what a loss of power left it: does it recover its logs?
//!
//! In: the node's crash image and a state of it. Out: whether it recovered, and what is missing.
//! The node keeps its own configuration, so it waits for a quorum that never comes: a quorum of
//! itself alone would commit metadata that the cluster may never have committed, and act on it.
//! Recovery of the logs comes before, and once it is done the node answers. Then it is killed, and
//! the logs are read without it.
//! Invariant: what was durable and is in the image must be in the log afterwards, byte for byte,
//! and the log must end with a whole batch.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use broker::storage::METADATA_TOPIC;
use tokio::time::{Instant, sleep};

use crate::cluster::node;
use crate::crash::find::SavedLoss;
use crate::crash::kills::{Watch, kill_at};
use crate::crash::logs::{StoredLog, read_logs};
use crate::crash::result::{Finding, StateResult};
use crate::crash::stand::{Boot, Stand, total};
use crate::disk::journal::{CrashImage, CrashState};
use crate::link::{Probe, probe_locally};
use crate::sandbox::{Endpoint, Status};

/// How long a node may take to recover, on a loaded machine.
pub(super) const RECOVERY_LIMIT: Duration = Duration::from_secs(30);
const PROBE_LIMIT: Duration = Duration::from_millis(500);
pub(super) const LOOK: Duration = Duration::from_millis(10);

/// How often recovery is killed, at moments that are spread over its operations.
const KILLS: u64 = 3;

/// The logs of a loss before anything was booted on it.
pub(super) type Logs = BTreeMap<String, StoredLog>;

/// What was durable in the logs of `loss`.
pub(super) fn durable_logs(loss: &SavedLoss) -> io::Result<Logs> {
    let folders: Vec<PathBuf> = loss.disks.values().map(CrashImage::durable).collect();
    read_logs(folders.iter().map(PathBuf::as_path))
}

/// Boots the node of `loss` on `state`. An error is the harness's.
pub(super) async fn check(
    stand: &Stand,
    scratch: &Path,
    loss: &SavedLoss,
    durable: &Logs,
    state: CrashState,
) -> io::Result<StateResult> {
    let (boot, missing) = stand.prepare(scratch, &[loss], state)?;
    let image = logs_of(&boot, loss)?;
    let findings = match boot_and_read(stand, &boot, loss).await? {
        Err(reason) => vec![Finding::NotRecovered(reason)],
        Ok(after) => compare(durable, &image, &after),
    };
    Ok(StateResult {
        nodes: vec![loss.node],
        loss: loss.name.clone(),
        state,
        missing: total(&missing),
        killed: 0,
        findings,
        allowed: BTreeMap::new(),
        verdict: None,
    })
}

/// The same, and once more on a copy on which it is killed several times while it recovers: it
/// must come to the same logs. Source: `faults.md` S15.
pub(super) async fn check_killed(
    stand: &Stand,
    scratch: &Path,
    loss: &SavedLoss,
    durable: &Logs,
    state: CrashState,
) -> io::Result<StateResult> {
    let mut result = check(stand, scratch, loss, durable, state).await?;
    let undisturbed = stand.prepare(scratch, &[loss], state)?.0;
    let undisturbed = undisturbed.on_faulty_disks(loss)?;
    let disturbed = stand.prepare(scratch, &[loss], state)?.0;
    let disturbed = disturbed.on_faulty_disks(loss)?;
    let watch = Watch::counting(&undisturbed, loss.node)?;
    let wanted = boot_and_read(stand, &undisturbed, loss).await?;
    for kill in 0..KILLS {
        // The first time before anything is cut off.
        let nth = 1 + watch.operations() * kill / KILLS;
        let was_met = kill_at(stand, &disturbed, loss.node, nth).await?;
        result.killed += u64::from(was_met);
    }
    let found = boot_and_read(stand, &disturbed, loss).await?;
    result.findings.extend(match (wanted, found) {
        (Ok(_), Err(reason)) => vec![Finding::NotRecovered(format!("killed before: {reason}"))],
        (Ok(wanted), Ok(found)) => {
            let mut found = differences(&wanted, &found);
            found.retain(|finding| !is_of_own_quorum(stand, finding));
            found
        }
        // That it does not recover at all was found above.
        (Err(_), _) => Vec::new(),
    });
    Ok(result)
}

/// The logs after recovery, read when the node is dead again; or why it did not recover.
async fn boot_and_read(
    stand: &Stand,
    boot: &Boot,
    loss: &SavedLoss,
) -> io::Result<Result<Logs, String>> {
    let recovered = recover(stand, boot, loss.node).await;
    boot.end().await?;
    Ok(match recovered? {
        Ok(()) => Ok(logs_of(boot, loss)?),
        Err(reason) => Err(reason),
    })
}

/// Whether a node that is a quorum of its own wrote metadata in one of its lives more or less.
fn is_of_own_quorum(stand: &Stand, finding: &Finding) -> bool {
    let metadata = format!("{METADATA_TOPIC}-0");
    let is_metadata = |partition: &String| *partition == metadata;
    let is_alone = stand.plan.cluster.nodes == 1;
    is_alone
        && matches!(finding, Finding::DiffersAfterKills { partition } if is_metadata(partition))
}

fn differences(wanted: &Logs, found: &Logs) -> Vec<Finding> {
    let nothing = StoredLog::default();
    let partitions: BTreeSet<&String> = wanted.keys().chain(found.keys()).collect();
    let differs = |partition: &&String| {
        wanted.get(*partition).unwrap_or(&nothing) != found.get(*partition).unwrap_or(&nothing)
    };
    let finding = |partition: &String| Finding::DiffersAfterKills {
        partition: partition.clone(),
    };
    partitions
        .into_iter()
        .filter(differs)
        .map(finding)
        .collect()
}

fn logs_of(boot: &Boot, loss: &SavedLoss) -> io::Result<Logs> {
    let folders: Vec<PathBuf> = loss
        .disks
        .keys()
        .map(|id| boot.store.backing(*id))
        .collect();
    read_logs(folders.iter().map(PathBuf::as_path))
}

pub(super) fn start(stand: &Stand, boot: &Boot, id: i32) -> io::Result<()> {
    let endpoint = Endpoint::Node(id);
    let spec = node::prepare(&boot.plan, &stand.sandbox, &boot.store, endpoint);
    let started = boot
        .supervisor
        .start(endpoint, spec.map_err(io::Error::other)?);
    started.map(|_| ()).map_err(io::Error::other)
}

/// Starts the node and waits until it answers.
async fn recover(stand: &Stand, boot: &Boot, id: i32) -> io::Result<Result<(), String>> {
    start(stand, boot, id)?;
    let (endpoint, supervisor) = (Endpoint::Node(id), &boot.supervisor);
    let deadline = Instant::now() + RECOVERY_LIMIT;
    let broker = broker::id::BrokerId(id);
    loop {
        if let Some(Status::Exited(exit)) = supervisor.status(endpoint) {
            let last = node::last_words(&boot.store, endpoint);
            return Ok(Err(format!("n{id} ended with {:?}: {last}", exit.code)));
        }
        if probe_locally(&stand.sandbox, broker, PROBE_LIMIT).await? == Probe::Answered {
            return Ok(Ok(()));
        }
        if Instant::now() >= deadline {
            return Ok(Err(format!(
                "n{id} did not answer within {RECOVERY_LIMIT:?}"
            )));
        }
        sleep(LOOK).await;
    }
}

/// What the recovered logs lack of what they must hold.
fn compare(durable: &Logs, image: &Logs, after: &Logs) -> Vec<Finding> {
    let mut findings = Vec::new();
    let nothing = StoredLog::default();
    for (partition, before) in image {
        let found = after.get(partition).unwrap_or(&nothing);
        if let Some(damage) = &found.damage {
            findings.push(Finding::NotWhole {
                partition: partition.clone(),
                damage: damage.clone(),
            });
        }
        // What the broker itself had cut or removed is in the durable log and not in the image.
        let lost = before.missing_from(found);
        let durable = durable.get(partition).unwrap_or(&nothing);
        let was_durable = |batch: &&_| durable.batches.binary_search(batch).is_ok();
        if let Some(first) = lost.iter().find(was_durable) {
            findings.push(Finding::DurableLost {
                partition: partition.clone(),
                offset: first.base_offset,
                batches: lost.iter().filter(was_durable).count() as u64,
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crash::logs::StoredBatch;

    fn log(batches: &[(i64, u32)], damage: Option<&str>) -> Logs {
        let batch = |&(base_offset, crc): &(i64, u32)| StoredBatch {
            base_offset,
            next_offset: base_offset + 1,
            crc,
            leader_epoch: 0,
        };
        let log = StoredLog {
            batches: batches.iter().map(batch).collect(),
            damage: damage.map(str::to_owned),
        };
        [("t-0".to_owned(), log)].into()
    }

    #[test]
    fn only_what_was_durable_and_is_in_the_image_must_be_there() {
        let durable = log(&[(0, 1), (1, 2)], None);
        let image = log(&[(0, 1), (1, 2), (2, 3)], Some("torn"));
        assert_eq!(compare(&durable, &image, &image_recovered()), vec![]);
        // A follower had cut its log back, and the cut survived.
        assert_eq!(
            compare(&durable, &log(&[(0, 1)], None), &log(&[(0, 1)], None)),
            vec![]
        );
    }

    #[test]
    fn a_log_that_kills_change_is_found() {
        let wanted = log(&[(0, 1)], None);
        assert_eq!(differences(&wanted, &wanted), vec![]);
        for found in [
            log(&[(0, 2)], None),
            log(&[(0, 1)], Some("byte 7")),
            Logs::new(),
        ] {
            assert_eq!(differences(&wanted, &found).len(), 1);
        }
    }

    fn image_recovered() -> Logs {
        log(&[(0, 1), (1, 2)], None)
    }

    #[test]
    fn a_log_that_lacks_or_changes_durable_batches_is_found() {
        let durable = log(&[(0, 1), (1, 2)], None);
        let lost = Finding::DurableLost {
            partition: "t-0".to_owned(),
            offset: 1,
            batches: 1,
        };
        for after in [log(&[(0, 1)], None), log(&[(0, 1), (1, 7)], None)] {
            assert_eq!(compare(&durable, &durable, &after), vec![lost.clone()]);
        }
        assert_eq!(compare(&durable, &durable, &Logs::new()).len(), 1);
        let torn = compare(&durable, &durable, &log(&[(0, 1), (1, 2)], Some("byte 7")));
        assert!(matches!(torn.as_slice(), [Finding::NotWhole { .. }]));
    }
}
