//! A fault as plain data: what `plan.json` says about it.
//!
//! In: a plan. Out: a value from which `catalogue::build` makes the fault that acts.
//! Keeps: complete, so that a plan replays; only the target's name is resolved when it fires.

use serde::{Deserialize, Serialize};

use crate::disk::rule::{DiskRule, Survival};
use crate::link::FrameRule;
use crate::nemesis::damage::Damage;
use crate::nemesis::directory::DirectoryPick;
use crate::nemesis::target::Target;
use crate::tmpfs::Left;

/// A fault and its parameters; times in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FaultSpec {
    /// SIGKILL; healed by a restart.
    Kill {
        /// Whom.
        target: Target,
    },
    /// SIGTERM, a controlled shutdown; healed by a restart.
    Terminate {
        /// Whom.
        target: Target,
    },
    /// SIGSTOP; healed by SIGCONT.
    Pause {
        /// Whom.
        target: Target,
    },
    /// The links go silent, then SIGKILL: peers hear no goodbye. Healed by a restart.
    Crash {
        /// Whom.
        target: Target,
    },
    /// Links between nodes, and between clients and nodes, that carry nothing.
    Partition {
        /// Whom the partition is about.
        target: Target,
        /// Which links of it.
        shape: PartitionShape,
    },
    /// Every link to and from the target is slow.
    Delay {
        /// Whom.
        target: Target,
        /// Added to each direction.
        mean_ms: u64,
        /// Drawn evenly from `mean ± jitter`, order kept.
        jitter_ms: u64,
    },
    /// Every link to and from the target is narrow, in each direction.
    Bandwidth {
        /// Whom.
        target: Target,
        /// What passes a second.
        bytes_per_second: u64,
    },
    /// Every established connection to and from the target is reset once.
    Reset {
        /// Whom.
        target: Target,
    },
    /// New connections to the target are refused; established ones are reset.
    Refuse {
        /// Whom.
        target: Target,
    },
    /// New connections to the target are accepted and never answered; established ones are reset.
    Mute {
        /// Whom.
        target: Target,
    },
    /// Every link to and from the target holds its bytes and releases them at heal.
    Hold {
        /// Whom.
        target: Target,
    },
    /// SIGKILL of a member of the group; healed by another process that joins.
    ClientKill {
        /// Whom.
        target: Target,
    },
    /// SIGSTOP of a member of the group, then SIGCONT: a zombie.
    ClientPause {
        /// Whom.
        target: Target,
    },
    /// A member leaves the group in order; healed by another process that joins.
    ClientLeave {
        /// Whom.
        target: Target,
    },
    /// One kind of Kafka frame is singled out on every link to the target.
    Frame {
        /// Whom.
        target: Target,
        /// Which frames, and what happens to them.
        rule: FrameRule,
    },
    /// Some operations on some files of a log directory stall, fail, fill up, tear or lie.
    Disk {
        /// Whom.
        target: Target,
        /// Which of its log directories.
        directory: DirectoryPick,
        /// Which operations on which files, and what happens to them.
        rule: DiskRule,
    },
    /// The links go silent, then SIGKILL, and what was not fsynced is gone. Healed by a restart.
    PowerLoss {
        /// Whom; all nodes lose their power at the same moment.
        target: Target,
        /// What survives of the writes and names that were not fsynced.
        survival: Survival,
        /// Between one node and the next; 0 is all at once.
        stagger_ms: u64,
    },
    /// The node is stopped and its files change. Healed by a restart on what is left; a directory
    /// that the node refuses is first made its own again.
    Damage {
        /// Whom.
        target: Target,
        /// Which of its log directories.
        directory: DirectoryPick,
        /// What happens to the files.
        damage: Damage,
        /// Whether it is stopped by SIGTERM, so that recovery trusts its files; else by SIGKILL.
        #[serde(default)]
        clean: bool,
    },
    /// The running process may open few more files and connections.
    FileLimit {
        /// Whom.
        target: Target,
        /// How many descriptors it may open beyond those that it has when the fault fires.
        files: u32,
    },
    /// The running process may map little more memory. It may abort when an allocation fails,
    /// which is then proven to be the reason; healed by a restart if it did.
    AddressSpace {
        /// Whom.
        target: Target,
        /// How much it may map beyond what it has when the fault fires.
        mebibytes: u64,
    },
    /// A log directory may hold little more than it does: the size of its tmpfs is lowered while it
    /// is in use. Healed by its first size.
    DiskQuota {
        /// Whom.
        target: Target,
        /// Which of its log directories.
        directory: DirectoryPick,
        /// What is left when the fault fires.
        left: Left,
    },
    /// `min.insync.replicas` of every topic under test changes; healed by the values of before.
    MinIsr {
        /// All nodes, for it concerns every partition.
        target: Target,
        /// The value while the fault acts.
        replicas: i16,
    },
    /// The process runs a part of the time only: SIGSTOP and SIGCONT by turns, 50 ms a turn.
    Cpu {
        /// Whom.
        target: Target,
        /// The share of the time in which it runs.
        percent: u8,
    },
}

/// Which links a partition cuts. Cut bytes arrive late or never, and nothing says goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionShape {
    /// The target against all other nodes; clients still reach both sides.
    IsolateFromNodes,
    /// The target against all other nodes and all clients.
    IsolateFromAll,
    /// The target against the clients only; nodes still reach each other.
    IsolateFromClients,
    /// Nothing that the target sends arrives at other nodes; it still hears them.
    MuteTarget,
    /// Nothing that other nodes send arrives at the target; they still hear it.
    DeafTarget,
    /// The target with just under half of the nodes against the rest; the clients stay with the
    /// majority.
    MinorityWithTarget,
    /// The target and one other node do not reach each other; everyone else reaches both.
    Partial,
    /// Every node hears only its two neighbours in a ring; from four nodes on.
    Ring,
}

impl FaultSpec {
    /// The name in `verdict list faults` and in the plan.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kill { .. } => "kill",
            Self::Terminate { .. } => "terminate",
            Self::Pause { .. } => "pause",
            Self::Crash { .. } => "crash",
            Self::Partition { .. } => "partition",
            Self::Delay { .. } => "delay",
            Self::Bandwidth { .. } => "bandwidth",
            Self::Reset { .. } => "reset",
            Self::Refuse { .. } => "refuse",
            Self::Mute { .. } => "mute",
            Self::Hold { .. } => "hold",
            Self::ClientKill { .. } => "client-kill",
            Self::ClientPause { .. } => "client-pause",
            Self::ClientLeave { .. } => "client-leave",
            Self::Frame { .. } => "frame",
            Self::Disk { .. } => "disk",
            Self::PowerLoss { .. } => "power-loss",
            Self::Damage { .. } => "damage",
            Self::FileLimit { .. } => "file-limit",
            Self::AddressSpace { .. } => "address-space",
            Self::DiskQuota { .. } => "disk-quota",
            Self::MinIsr { .. } => "min-isr",
            Self::Cpu { .. } => "cpu",
        }
    }

    /// Whether it acts on a client instead of a node.
    pub fn acts_on_client(&self) -> bool {
        matches!(
            self,
            Self::ClientKill { .. } | Self::ClientPause { .. } | Self::ClientLeave { .. }
        )
    }

    /// Whom it is aimed at.
    pub fn target(&self) -> &Target {
        match self {
            Self::Kill { target }
            | Self::Terminate { target }
            | Self::Pause { target }
            | Self::Crash { target }
            | Self::Partition { target, .. }
            | Self::Delay { target, .. }
            | Self::Bandwidth { target, .. }
            | Self::Reset { target }
            | Self::Refuse { target }
            | Self::Mute { target }
            | Self::Hold { target }
            | Self::ClientKill { target }
            | Self::ClientPause { target }
            | Self::ClientLeave { target }
            | Self::Frame { target, .. }
            | Self::Disk { target, .. }
            | Self::PowerLoss { target, .. }
            | Self::Damage { target, .. }
            | Self::FileLimit { target, .. }
            | Self::AddressSpace { target, .. }
            | Self::DiskQuota { target, .. }
            | Self::MinIsr { target, .. }
            | Self::Cpu { target, .. } => target,
        }
    }

    /// Whether it acts only on log directories that are faulty disks.
    pub fn needs_disks(&self) -> bool {
        matches!(self, Self::Disk { .. } | Self::PowerLoss { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::rule::{DiskAction, DiskErrno, DiskPick, FileClass, OperationClass};
    use crate::link::{FrameAction, FramePick, FrameSide};

    #[test]
    fn specs_read_back_as_printed() {
        let rule = FrameRule {
            side: FrameSide::Response,
            api: Some(0),
            pick: FramePick::Nth(2),
            action: FrameAction::Reset,
        };
        let leader = Target::Leader {
            topic: "t".into(),
            partition: 3,
        };
        for spec in [
            FaultSpec::Kill {
                target: Target::Random,
            },
            FaultSpec::Pause {
                target: Target::Node { id: 2 },
            },
            FaultSpec::Partition {
                target: leader,
                shape: PartitionShape::Partial,
            },
            FaultSpec::Delay {
                target: Target::All,
                mean_ms: 50,
                jitter_ms: 10,
            },
            FaultSpec::Frame {
                target: Target::Controller,
                rule,
            },
            FaultSpec::Disk {
                target: Target::Random,
                directory: DirectoryPick::Holding {
                    topic: "t".into(),
                    partition: 3,
                },
                rule: DiskRule {
                    operations: vec![OperationClass::Sync],
                    files: vec![FileClass::QuorumState],
                    pick: DiskPick::From(2),
                    action: DiskAction::Error {
                        errno: DiskErrno::Eio,
                    },
                },
            },
            FaultSpec::PowerLoss {
                target: Target::All,
                survival: Survival::Subset(500),
                stagger_ms: 20,
            },
            FaultSpec::DiskQuota {
                target: Target::Random,
                directory: DirectoryPick::Data,
                left: Left::Bytes(4_096),
            },
        ] {
            let text = serde_json::to_string(&spec).unwrap();
            assert!(text.contains(spec.name()), "{text}");
            assert_eq!(serde_json::from_str::<FaultSpec>(&text).unwrap(), spec);
        }
    }
}
