//! Kills a node in the middle of its recovery, however slow or busy the machine is.
//!
//! In: a state on faulty disks, and at which of its operations on segments the node is to die. Out:
//! whether it came to that operation. Invariant: the disk holds the operation until the node is
//! dead, so that recovery was under way and did not go on. Source: `faults.md` S15.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::crash::solo::{LOOK, RECOVERY_LIMIT, start};
use crate::crash::stand::{Boot, Stand};
use crate::disk::RuleId;
use crate::disk::rule::{DiskAction, DiskId, DiskPick, DiskRule, FileClass, RuleEffect};
use crate::link::{Probe, probe_locally};
use crate::sandbox::Endpoint;

/// How long an answer may take before it is looked again whether the disk holds something.
const BUSY_LIMIT: Duration = Duration::from_millis(50);

/// A rule on all disks that counts what it asks of its segments, and holds one of it.
pub(super) struct Watch<'a> {
    boot: &'a Boot,
    rules: Vec<(DiskId, RuleId)>,
}

impl<'a> Watch<'a> {
    /// Holds nothing.
    pub(super) fn counting(boot: &'a Boot, node: i32) -> io::Result<Self> {
        Self::holding(boot, node, u64::MAX)
    }

    /// Holds the `nth` operation on segments of each disk, counted from 1.
    fn holding(boot: &'a Boot, node: i32, nth: u64) -> io::Result<Self> {
        let rule = DiskRule {
            operations: Vec::new(),
            files: vec![FileClass::Segment],
            pick: DiskPick::Nth(nth),
            action: DiskAction::Stall,
        };
        let impose = |id: DiskId| {
            let imposed = boot.disks.impose(id, rule.clone());
            imposed.map(|rule| (id, rule)).map_err(io::Error::other)
        };
        let disks = boot.disks.of(node).into_iter();
        let rules = disks.map(impose).collect::<io::Result<_>>()?;
        Ok(Self { boot, rules })
    }

    /// The most operations on segments that one of the disks saw.
    pub(super) fn operations(&self) -> u64 {
        self.effects()
            .map(|effect| effect.matched)
            .max()
            .unwrap_or(0)
    }

    fn is_holding(&self) -> bool {
        self.effects().any(|effect| effect.held > 0)
    }

    fn effects(&self) -> impl Iterator<Item = RuleEffect> {
        let rules = self.rules.iter();
        rules.map(|(id, rule)| self.boot.disks.effect(*id, *rule))
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        for (id, rule) in &self.rules {
            self.boot.disks.lift(*id, *rule);
        }
    }
}

/// Starts the node and kills it at its `nth` operation on segments; whether it came there before
/// it had recovered.
pub(super) async fn kill_at(stand: &Stand, boot: &Boot, id: i32, nth: u64) -> io::Result<bool> {
    let watch = Watch::holding(boot, id, nth)?;
    let was_held = is_held(stand, boot, id, &watch).await;
    boot.end().await?;
    was_held
}

async fn is_held(stand: &Stand, boot: &Boot, id: i32, watch: &Watch<'_>) -> io::Result<bool> {
    start(stand, boot, id)?;
    let deadline = Instant::now() + RECOVERY_LIMIT;
    let broker = broker::id::BrokerId(id);
    while Instant::now() < deadline && boot.supervisor.pid(Endpoint::Node(id)).is_ok() {
        if watch.is_holding() {
            return Ok(true);
        }
        match probe_locally(&stand.sandbox, broker, BUSY_LIMIT).await? {
            Probe::Answered => return Ok(false),
            Probe::Silent | Probe::Refused | Probe::Closed => sleep(LOOK).await,
        }
    }
    Ok(false)
}
