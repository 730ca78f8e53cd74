//! Every fault by name: what `verdict list faults` prints, and how a spec becomes a fault.
//!
//! Keeps: each variant of [`FaultSpec`] has exactly one line here.

use std::time::Duration;

use crate::nemesis::client::{Act, ClientFault};
use crate::nemesis::crash::Crash;
use crate::nemesis::damage::DamageFault;
use crate::nemesis::disk::DiskFault;
use crate::nemesis::frame::Frame;
use crate::nemesis::kill::Kill;
use crate::nemesis::link_faults::{Kind, LinkFault};
use crate::nemesis::min_isr::MinIsrFault;
use crate::nemesis::partition::Partition;
use crate::nemesis::pause::Pause;
use crate::nemesis::power_loss::PowerLoss;
use crate::nemesis::resources::{AddressSpace, Cpu, DiskQuota, FileLimit};
use crate::nemesis::terminate::Terminate;
use crate::nemesis::{Fault, FaultSpec};

/// Names and descriptions, in the order in which people should read them.
pub const FAULTS: &[(&str, &str)] = &[
    (
        "kill",
        "SIGKILL, then a restart: the peers see the connections close",
    ),
    (
        "terminate",
        "SIGTERM, a controlled shutdown, then a restart",
    ),
    (
        "pause",
        "SIGSTOP, then SIGCONT: a zombie that neither answers nor dies",
    ),
    (
        "crash",
        "the links go silent, then SIGKILL: a machine that lost power without a goodbye",
    ),
    (
        "partition",
        "cut links: isolated, one-way, partial, minority against majority, ring",
    ),
    ("hold", "links queue everything and release it at once"),
    ("delay", "links add latency with jitter, order kept"),
    ("bandwidth", "links pass a limited number of bytes a second"),
    ("reset", "established connections are reset once"),
    (
        "refuse",
        "established connections are reset and new ones refused",
    ),
    (
        "mute",
        "established connections are reset and new ones accepted but never answered",
    ),
    (
        "client-kill",
        "SIGKILL of a member of the group, then another process that joins",
    ),
    (
        "client-pause",
        "SIGSTOP of a member of the group, then SIGCONT: a zombie that believes what it knew",
    ),
    (
        "client-leave",
        "a member leaves the group in order, and joins again later",
    ),
    (
        "frame",
        "one kind of Kafka frame is dropped, held, delayed or answered with a reset",
    ),
    (
        "disk",
        "operations on a log directory stall, are slow, fail, fill up, tear, lie or flip bits",
    ),
    (
        "power-loss",
        "as crash, and what was not fsynced is gone: on one node, or on all at once",
    ),
    (
        "damage",
        "stopped, its files flipped, cut, deleted, rolled back, wiped or exchanged, and restarted",
    ),
    (
        "file-limit",
        "the running process may open few more files and connections",
    ),
    (
        "address-space",
        "the running process may map little more memory",
    ),
    (
        "disk-quota",
        "a log directory on a tmpfs may hold little more than it does, in bytes or in files",
    ),
    (
        "min-isr",
        "min.insync.replicas of all topics changes under load, and changes back",
    ),
    (
        "cpu",
        "SIGSTOP and SIGCONT by turns: the process runs a part of the time",
    ),
];

/// The fault that a spec describes; `draw` decides what the spec leaves open.
pub fn build(spec: &FaultSpec, draw: u64) -> Box<dyn Fault> {
    let link = |kind| Box::new(LinkFault::new(kind));
    let ms = Duration::from_millis;
    match spec {
        FaultSpec::Kill { .. } => Box::<Kill>::default(),
        FaultSpec::Terminate { .. } => Box::<Terminate>::default(),
        FaultSpec::Pause { .. } => Box::<Pause>::default(),
        FaultSpec::Crash { .. } => Box::<Crash>::default(),
        FaultSpec::Partition { shape, .. } => Box::new(Partition::new(*shape)),
        FaultSpec::Delay {
            mean_ms, jitter_ms, ..
        } => link(Kind::Delay {
            mean: ms(*mean_ms),
            jitter: ms(*jitter_ms),
        }),
        FaultSpec::Bandwidth {
            bytes_per_second, ..
        } => link(Kind::Bandwidth {
            bytes_per_second: *bytes_per_second,
        }),
        FaultSpec::Reset { .. } => link(Kind::Reset),
        FaultSpec::Refuse { .. } => link(Kind::Refuse),
        FaultSpec::Mute { .. } => link(Kind::Mute),
        FaultSpec::Hold { .. } => link(Kind::Hold),
        FaultSpec::ClientKill { .. } => Box::new(ClientFault::new(Act::Kill)),
        FaultSpec::ClientPause { .. } => Box::new(ClientFault::new(Act::Pause)),
        FaultSpec::ClientLeave { .. } => Box::new(ClientFault::new(Act::Leave)),
        FaultSpec::Frame { rule, .. } => Box::new(Frame::new(rule.clone())),
        FaultSpec::Disk {
            directory, rule, ..
        } => Box::new(DiskFault::new(directory.clone(), rule.clone(), draw)),
        FaultSpec::PowerLoss {
            survival,
            stagger_ms,
            ..
        } => Box::new(PowerLoss::new(*survival, ms(*stagger_ms), draw)),
        FaultSpec::Damage {
            directory,
            damage,
            clean,
            ..
        } => Box::new(DamageFault::new(
            directory.clone(),
            damage.clone(),
            *clean,
            draw,
        )),
        FaultSpec::FileLimit { files, .. } => Box::new(FileLimit::new(*files)),
        FaultSpec::AddressSpace { mebibytes, .. } => Box::new(AddressSpace::new(*mebibytes)),
        FaultSpec::DiskQuota {
            directory, left, ..
        } => Box::new(DiskQuota::new(directory.clone(), *left, draw)),
        FaultSpec::MinIsr { replicas, .. } => Box::new(MinIsrFault::new(*replicas)),
        FaultSpec::Cpu { percent, .. } => Box::new(Cpu::new(*percent)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nemesis::Target;

    #[test]
    fn names_are_unique_and_specs_use_them() {
        let mut names: Vec<_> = FAULTS.iter().map(|(name, _)| *name).collect();
        let spec = FaultSpec::Kill {
            target: Target::Random,
        };
        assert!(names.contains(&spec.name()));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), FAULTS.len());
    }
}
