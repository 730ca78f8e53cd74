//! Faults that take resources from a running process: descriptors, address space, processor time,
//! room in its log directories.
//!
//! In: a process. Out: what the kernel says of its limits and its use of them.
//! Invariant: only soft limits change, so that they can be raised again; a limit on a process does
//! not outlive it. Source: `faults.md` §1.5, R1, R2 and R4; prlimit(2).

use std::{fs, io};

use broker::id::BrokerId;
use nix::sys::resource::Resource;
use nix::unistd::Pid;

use crate::nemesis::Arena;
use crate::sandbox::{Claim, Endpoint, sys};

mod address_space;
mod cpu;
mod disk_quota;
mod file_limit;

pub(crate) use address_space::AddressSpace;
pub(crate) use cpu::Cpu;
pub(crate) use disk_quota::DiskQuota;
pub(crate) use file_limit::FileLimit;

/// A limit that was lowered on one process.
#[derive(Debug)]
struct Lowered {
    node: BrokerId,
    pid: i32,
    resource: Resource,
    soft: u64,
    before: u64,
    /// Until it is over no other fault lowers a limit: that one would take this one's limit for the
    /// process's own, and leave it behind.
    _claim: Claim,
}

impl Lowered {
    /// Lowers the soft limit of the running process of `node`.
    fn to(
        arena: &Arena,
        (node, pid): (BrokerId, i32),
        resource: Resource,
        soft: u64,
    ) -> io::Result<Self> {
        let claim = arena.supervisor.claim(Endpoint::of(node));
        let claim = claim.map_err(io::Error::other)?;
        let claim = claim.ok_or_else(|| io::Error::other("another fault still changes it"))?;
        let before = sys::limit_resource(Pid::from_raw(pid), resource, soft)?;
        Ok(Self {
            node,
            pid,
            resource,
            soft,
            before,
            _claim: claim,
        })
    }

    /// Raises it again, if the process still lives.
    fn lift(&self, arena: &Arena) {
        if arena.supervisor.pid(Endpoint::of(self.node)).ok() == Some(self.pid) {
            // It may die at this very moment; then there is nothing to raise.
            let _ = sys::limit_resource(Pid::from_raw(self.pid), self.resource, self.before);
        }
    }

    /// Whether `/proc` shows the lowered limit; what it shows, if not.
    fn is_in_force(&self) -> Result<(), String> {
        let line = match self.resource {
            Resource::RLIMIT_NOFILE => "Max open files",
            _ => "Max address space",
        };
        let limits = fs::read_to_string(format!("/proc/{}/limits", self.pid));
        let limits = limits.map_err(|error| format!("node {}: {error}", self.node))?;
        let found = limits.lines().find_map(|text| text.strip_prefix(line));
        let soft = found.and_then(|text| text.split_whitespace().next());
        if soft == Some(&self.soft.to_string()) {
            Ok(())
        } else {
            Err(format!(
                "node {}: {line} is {soft:?}, not {}",
                self.node, self.soft
            ))
        }
    }
}

/// The pids of those of `nodes` that run.
fn running(arena: &Arena, nodes: &[BrokerId]) -> Result<Vec<(BrokerId, i32)>, String> {
    let pid = |node: &BrokerId| {
        let pid = arena.supervisor.pid(Endpoint::of(*node)).ok()?;
        Some((*node, pid))
    };
    let running: Vec<_> = nodes.iter().filter_map(pid).collect();
    if running.is_empty() {
        return Err("none of the targets was running".to_owned());
    }
    Ok(running)
}
