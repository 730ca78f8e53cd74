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
}

impl Family {
    /// Whether it may kill or freeze a node.
    pub fn touches_node(self) -> bool {
        matches!(self, Self::Kill | Self::Pause | Self::Coordinator)
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
    /// The families, each with its weight in the mix.
    pub families: &'static [(Family, u32)],
}

/// All profiles; the first is the default.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "default",
        description: "leader kills, pauses and partitions in a seeded mix with quiet windows",
        scripts: &[Script::ReturnToLead, Script::AllDown],
        is_group: false,
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
        families: &[],
    },
    Profile {
        name: "kill",
        description: "SIGKILL of leaders, followers, the controller, all nodes, and restarts",
        scripts: &[Script::AllDown],
        is_group: false,
        families: &[(Family::Kill, 1)],
    },
    Profile {
        name: "pause",
        description: "SIGSTOP of leaders, followers and the controller, and SIGCONT",
        scripts: &[],
        is_group: false,
        families: &[(Family::Pause, 1)],
    },
    Profile {
        name: "partition",
        description: "cut links: isolated leaders and followers, one-way, partial, clients cut off",
        scripts: &[],
        is_group: false,
        families: &[(Family::Partition, 4), (Family::ClientPartition, 1)],
    },
    Profile {
        name: "slow",
        description: "links that are slow, that hold and release, or that refuse",
        scripts: &[],
        is_group: false,
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
        families: &[],
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
