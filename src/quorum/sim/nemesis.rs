//! The faults of a simulated run, and the progress that is due after their healing.
//!
//! In: the plan's rates. Out: crashes, restarts, pauses, cut links, disk errors, shutdowns,
//! snapshots, proposals. Invariant: `heal` leaves a cluster that should work.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;

use crate::id::BrokerId;
use crate::quorum::Quorum;
use crate::quorum::sim::cluster::Cluster;
use crate::time::Time;

/// The longest that a healed cluster may take to elect, commit and catch everybody up. Links that
/// were late hold messages for up to 1.5 s more.
const RECOVERY: Duration = Duration::from_secs(8);

impl Cluster {
    /// Lets the cluster run under faults.
    pub(super) fn run_faults(&mut self) -> Result<(), String> {
        for step in 0..self.plan.steps {
            if !self.step()? {
                break;
            }
            if self.rng.random_range(0..1000) < self.plan.proposal_permille {
                let index = self.likely_leader();
                self.propose(index)?;
            }
            if self.rng.random_range(0..10_000) < self.plan.fault_permyriad {
                self.inject()?;
            }
            if step % 256 == 0 {
                self.check_logs()?;
            }
        }
        self.check_logs()
    }

    /// Heals everything, then requires that every node follows one active leader and applies a
    /// new proposal and all before it.
    pub(super) fn require_progress(&mut self) -> Result<(), String> {
        self.heal()?;
        let deadline = self.now().time + RECOVERY;
        let mut proposal = None;
        while self.now().time < deadline {
            self.step()?;
            let active = self.nodes.iter().enumerate().find_map(|(index, node)| {
                let core = node.core.as_ref().filter(|core| core.is_active())?;
                Some((index, core.epoch()))
            });
            let Some((leader, epoch)) = active else {
                continue;
            };
            match proposal {
                Some((proposed_in, upto)) if proposed_in == epoch => {
                    if self.nodes.iter().all(|node| node.applied.end >= upto) {
                        return self.check_logs();
                    }
                }
                _ => {
                    self.propose(leader)?;
                    let core = self.nodes[leader].core.as_ref();
                    proposal = core.map(|core| (epoch, core.log_end_offset()));
                }
            }
        }
        let ends: Vec<_> = self.nodes.iter().map(Self::describe).collect();
        Err(format!(
            "no progress within {RECOVERY:?} of healing: {ends:?}"
        ))
    }

    fn describe(node: &crate::quorum::sim::cluster::Node) -> String {
        let core = node.core.as_ref();
        let role = core.map(|core| (core.role(), core.epoch(), core.log_end(), core.leader()));
        format!("{} applied {} {role:?}", node.id, node.applied.end)
    }

    fn likely_leader(&mut self) -> usize {
        let leader = self
            .nodes
            .iter()
            .position(|node| node.core.as_ref().is_some_and(Quorum::is_leader));
        leader.unwrap_or_else(|| self.any_node())
    }

    fn any_node(&mut self) -> usize {
        self.rng.random_range(0..self.nodes.len())
    }

    fn inject(&mut self) -> Result<(), String> {
        let fault = self.rng.random_range(0..100);
        let index = if self.rng.random_bool(0.5) {
            self.likely_leader()
        } else {
            self.any_node()
        };
        match fault {
            0..25 => self.crash(index),
            25..55 => self.restart(index),
            55..60 => {
                let micros = self.rng.random_range(0..1_500_000);
                self.nodes[index].paused_until = self.now().time + Duration::from_micros(micros);
                Ok(())
            }
            60..75 => {
                self.cut(index);
                Ok(())
            }
            75..83 => {
                self.network.cut.clear();
                Ok(())
            }
            83..86 => self.fail_disk(index),
            86..88 => self.with_core(index, Quorum::handle_shutdown),
            88..90 => {
                let micros = self.rng.random_range(0..2_000_000);
                self.stall_disk(index, Duration::from_micros(micros));
                Ok(())
            }
            _ => self.snapshot(index),
        }
    }

    /// Restarts a process, killing it first if it runs; or starts whatever is down.
    pub(super) fn restart(&mut self, index: usize) -> Result<(), String> {
        let down = self.nodes.iter().position(|node| node.core.is_none());
        let index = down.unwrap_or(index);
        self.crash(index)?;
        self.start(index)
    }

    pub(super) fn fail_disk(&mut self, index: usize) -> Result<(), String> {
        self.with_core(index, Quorum::handle_storage_failed)
    }

    pub(super) fn stall_disk(&mut self, index: usize, pause: Duration) {
        let node = &mut self.nodes[index];
        node.disk_done = node.disk_done.map(|at| at + pause);
    }

    pub(super) fn snapshot(&mut self, index: usize) -> Result<(), String> {
        let applied = self.nodes[index].applied;
        let mut refused = None;
        self.with_core(index, |core, _| {
            if !core.is_halted() {
                let bytes: Bytes = applied.to_bytes();
                refused = core.handle_snapshot_taken(applied.end, bytes).err();
            }
        })?;
        refused.map_or(Ok(()), |error| {
            Err(format!("a snapshot was refused: {error}"))
        })
    }

    /// Cuts links: one node off, a minority off, one direction, or one link.
    pub(super) fn cut(&mut self, index: usize) {
        let ids: Vec<BrokerId> = self.nodes.iter().map(|node| node.id).collect();
        let one = self.nodes[index].id;
        let way = self.rng.random_range(0..4);
        let side = self.rng.random_range(1..1_u32 << ids.len());
        let other = ids[self.rng.random_range(0..ids.len())];
        let in_side = |id: BrokerId| side & (1 << (id.0 - 1)) != 0;
        for &from in &ids {
            for &to in &ids {
                let cut = match way {
                    0 => (from == one) != (to == one),
                    1 => from == one && to != one,
                    2 => in_side(from) != in_side(to),
                    _ => (from == one && to == other) || (from == other && to == one),
                };
                if cut {
                    self.network.cut.insert((from, to));
                }
            }
        }
    }

    /// Mends links, wakes and restarts nodes; halted and withdrawn ones are restarted too.
    fn heal(&mut self) -> Result<(), String> {
        self.network.cut.clear();
        self.network.is_calm = true;
        for index in 0..self.nodes.len() {
            self.nodes[index].paused_until = Time::ZERO;
            self.nodes[index].fate = None;
            let runs = self.nodes[index]
                .core
                .as_ref()
                .is_some_and(|core| !core.is_halted() && !core.withdrawn);
            if !runs {
                self.crash(index)?;
                self.start(index)?;
            }
        }
        Ok(())
    }
}
