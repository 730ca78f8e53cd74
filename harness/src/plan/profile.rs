//! The profiles: mixes of faults by name, as data.

use crate::plan::script::Script;

/// A family of faults that the schedule draws from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// SIGKILL, and a restart after a while.
    Kill,
    /// SIGSTOP, and SIGCONT after a while.
    Pause,
    /// Cut links between nodes.
    Partition,
    /// Cut links between clients and a node.
    ClientPartition,
    /// Links that are slow, or that hold and release, or that refuse.
    SlowLink,
    /// SIGKILL of a member of the group, mostly of the owner of a partition.
    MemberKill,
    /// SIGSTOP of a member beyond its session, then SIGCONT: a zombie.
    MemberPause,
    /// A member leaves, and joins again.
    MemberLeave,
    /// The broker that coordinates the group is killed, frozen or cut off.
    Coordinator,
    /// Answers of the coordinator to its group get lost.
    LossyCoordinator,
    /// A log directory stops answering, answers by turns, or is slow.
    DiskStall,
    /// Operations on a log directory fail, or write a part of what they should.
    DiskError,
    /// A log directory has no space left, and later has some again.
    DiskFull,
    /// Always the same node loses its power.
    PowerLossOne,
    /// All nodes lose their power, at the same moment or one after the other.
    PowerLossAll,
    /// Always the same node comes back with damaged files.
    Corruption,
    /// Always the same node comes back with an empty, old or foreign directory.
    Wipe,
    /// Whoever it meets loses its power, or comes back with damaged or missing files.
    Loss,
    /// The file descriptors, the memory or the processor time of a node run short, or the room in
    /// its log directories if they are on a tmpfs.
    Resources,
}

impl Family {
    /// Whether it may kill or freeze a node, or take its disks.
    pub fn touches_node(self) -> bool {
        matches!(
            self,
            Self::Kill
                | Self::Pause
                | Self::Coordinator
                | Self::DiskStall
                | Self::DiskError
                | Self::DiskFull
                | Self::PowerLossOne
                | Self::PowerLossAll
                | Self::Corruption
                | Self::Wipe
                | Self::Loss
                | Self::Resources
        )
    }

    /// Whether a run has one node that all faults of the family strike, so that fewer nodes lose
    /// something than a commit needs.
    pub fn has_victim(self) -> bool {
        matches!(self, Self::PowerLossOne | Self::Corruption | Self::Wipe)
    }
}

/// A mix of faults.
#[derive(Debug)]
pub struct Profile {
    /// Its name, for `--profile`.
    pub name: &'static str,
    /// One line for people.
    pub description: &'static str,
    /// The scripts that every run plays once, if it is long enough.
    pub scripts: &'static [Script],
    /// Whether the consumers are members of a group.
    pub is_group: bool,
    /// Whether every node has two log directories on faulty disks.
    pub has_disks: bool,
    /// Whether faults that destroy data act only where a good copy of everything is left.
    pub is_atlas: bool,
    /// The families, each with its weight in the mix.
    pub families: &'static [(Family, u32)],
}

impl Profile {
    /// Whether log directories hang in the mix.
    pub fn makes_disks_hang(&self) -> bool {
        let mut families = self.families.iter();
        families.any(|(family, _)| *family == Family::DiskStall)
    }

    /// Whether nodes run short of something in the mix.
    pub fn takes_resources(&self) -> bool {
        let mut families = self.families.iter();
        families.any(|(family, _)| *family == Family::Resources)
    }
}

/// All profiles; the first is the default.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "default",
        description: "leader kills, pauses and partitions in a seeded mix with quiet windows",
        scripts: &[Script::ReturnToLead, Script::AllDown],
        is_group: false,
        has_disks: false,
        is_atlas: false,
        families: &[
            (Family::Kill, 4),
            (Family::Pause, 3),
            (Family::Partition, 4),
            (Family::ClientPartition, 1),
        ],
    },
    Profile {
        name: "none",
        description: "no faults at all: the control",
        scripts: &[],
        is_group: false,
        has_disks: false,
        is_atlas: false,
        families: &[],
    },
    Profile {
        name: "kill",
        description: "SIGKILL of leaders, followers, the controller, all nodes, and restarts",
        scripts: &[Script::AllDown],
        is_group: false,
        has_disks: false,
        is_atlas: false,
        families: &[(Family::Kill, 1)],
    },
    Profile {
        name: "pause",
        description: "SIGSTOP of leaders, followers and the controller, and SIGCONT",
        scripts: &[],
        is_group: false,
        has_disks: false,
        is_atlas: false,
        families: &[(Family::Pause, 1)],
    },
    Profile {
        name: "partition",
        description: "cut links: isolated leaders and followers, one-way, partial, clients cut off",
        scripts: &[],
        is_group: false,
        has_disks: false,
        is_atlas: false,
        families: &[(Family::Partition, 4), (Family::ClientPartition, 1)],
    },
    Profile {
        name: "slow",
        description: "links that are slow, that hold and release, or that refuse",
        scripts: &[],
        is_group: false,
        has_disks: false,
        is_atlas: false,
        families: &[(Family::SlowLink, 1)],
    },
    Profile {
        name: "group",
        description: "a consumer group whose members and coordinator are killed, frozen, cut off",
        scripts: &[
            Script::Zombie,
            Script::CoordinatorReturns,
            Script::CoordinatorAlone,
            Script::EverybodyDown,
            Script::QuickReturn,
        ],
        is_group: true,
        has_disks: false,
        is_atlas: false,
        families: &[
            (Family::MemberKill, 3),
            (Family::MemberPause, 2),
            (Family::MemberLeave, 1),
            (Family::Coordinator, 2),
            (Family::LossyCoordinator, 2),
            (Family::Kill, 1),
        ],
    },
    Profile {
        name: "group-none",
        description: "a consumer group and no faults at all: the control",
        scripts: &[],
        is_group: true,
        has_disks: false,
        is_atlas: false,
        families: &[],
    },
    Profile {
        name: "disk-stall",
        description: "log directories that hang, hang by turns, or are slow: produce goes on",
        scripts: &[],
        is_group: false,
        has_disks: true,
        is_atlas: false,
        families: &[(Family::DiskStall, 1)],
    },
    Profile {
        name: "disk-error",
        description: "log directories that fail, or write a part of what they should, and kills",
        scripts: &[],
        is_group: false,
        has_disks: true,
        is_atlas: false,
        families: &[(Family::DiskError, 3), (Family::Kill, 1)],
    },
    Profile {
        name: "disk-full",
        description: "log directories that fill up and are freed: they serve again by themselves",
        scripts: &[],
        is_group: false,
        has_disks: true,
        is_atlas: false,
        families: &[(Family::DiskFull, 1)],
    },
    Profile {
        name: "power-loss-one",
        description: "one node loses its power again and again: nothing is lost",
        scripts: &[],
        is_group: false,
        has_disks: true,
        is_atlas: false,
        families: &[
            (Family::PowerLossOne, 3),
            (Family::Partition, 1),
            (Family::Pause, 1),
        ],
    },
    Profile {
        name: "power-loss-all",
        description: "all nodes lose their power: a loss, unless every message is flushed",
        scripts: &[],
        is_group: false,
        has_disks: true,
        is_atlas: false,
        families: &[
            (Family::PowerLossAll, 3),
            (Family::Partition, 1),
            (Family::Kill, 1),
        ],
    },
    Profile {
        name: "corruption",
        description: "one node comes back with flipped, cut or missing files: nothing is lost",
        scripts: &[],
        is_group: false,
        has_disks: true,
        is_atlas: false,
        families: &[(Family::Corruption, 3), (Family::Pause, 1)],
    },
    Profile {
        name: "wipe",
        description: "one node comes back with an empty, old or foreign log directory",
        scripts: &[],
        is_group: false,
        has_disks: true,
        is_atlas: false,
        families: &[(Family::Wipe, 1)],
    },
    Profile {
        name: "atlas",
        description: "any node loses power or files if a good copy of all is left: nothing is lost",
        scripts: &[],
        is_group: false,
        has_disks: true,
        is_atlas: true,
        families: &[(Family::Loss, 1)],
    },
    Profile {
        name: "resources",
        description: "nodes run short of descriptors, memory, processor time or room for logs",
        scripts: &[],
        is_group: false,
        has_disks: false,
        is_atlas: false,
        families: &[(Family::Resources, 1)],
    },
];

/// The profile called `name`.
pub fn find(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.name == name)
}

/// The names, for messages.
pub fn names() -> String {
    let names: Vec<&str> = PROFILES.iter().map(|profile| profile.name).collect();
    names.join(", ")
}
