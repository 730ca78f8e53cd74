//! Little address space: the limit of the running process is lowered to what it uses, and a bit.
//!
//! Effect: the limit in `/proc`, and the process at it, or its end by a failed allocation.
//! Healing: the old limit; a restart if it ended.
//! Keeps: only an abort that the process itself explains by a failed allocation is expected.

use std::fs;

use broker::id::BrokerId;
use nix::libc::SIGABRT;
use nix::sys::resource::Resource;

use crate::nemesis::kill::{prove_serving, start_again};
use crate::nemesis::resources::{Lowered, running};
use crate::nemesis::{Arena, BoxFuture, Effect, Fault, brokers};
use crate::sandbox::{Endpoint, Excused, Status};

/// What Rust's runtime prints before it aborts for want of memory: in an allocation, or as it
/// starts a thread.
const LAST_WORDS: [&str; 2] = [
    "memory allocation of ",
    "failed to allocate an alternative stack: ",
];
/// Closer to the limit than this, nothing of use can be mapped any more.
const NEAR_BYTES: u64 = 1 << 20;

/// The fault `address-space`.
#[derive(Debug)]
pub(crate) struct AddressSpace {
    bytes: u64,
    targets: Vec<BrokerId>,
    lowered: Vec<(Lowered, Excused)>,
    /// What each had printed before.
    printed: Vec<u64>,
    dead: Vec<BrokerId>,
}

impl AddressSpace {
    pub(crate) fn new(mebibytes: u64) -> Self {
        Self {
            bytes: mebibytes << 20,
            targets: Vec::new(),
            lowered: Vec::new(),
            printed: Vec::new(),
            dead: Vec::new(),
        }
    }

    /// What became of one node, if anything did.
    fn effect_on(&self, arena: &Arena, lowered: &Lowered, printed: u64) -> Result<String, String> {
        let node = lowered.node;
        if let Some(Status::Exited(exit)) = arena.supervisor.status(Endpoint::of(node)) {
            let words = arena.files.printed_since(node, printed);
            let last = last_words(&words);
            let told = last.filter(|_| exit.signal == Some(SIGABRT));
            let why = || format!("node {node} ended otherwise: {exit:?}");
            return told
                .map(|line| format!("node {node} aborted: {line}"))
                .ok_or_else(why);
        }
        lowered.is_in_force()?;
        let used = mapped(lowered.pid).unwrap_or(0);
        let words = format!("node {node} maps {used} of {} bytes", lowered.soft);
        if used + NEAR_BYTES > lowered.soft {
            Ok(words)
        } else {
            Err(format!("{words} and did not come near the limit"))
        }
    }
}

impl Fault for AddressSpace {
    fn setup(&mut self, _arena: &Arena, targets: &[Endpoint]) {
        self.targets = brokers(targets);
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            for (node, pid) in running(arena, &self.targets)? {
                let used = mapped(pid).ok_or_else(|| format!("node {node} has ended"))?;
                let printed = arena.files.printed(node);
                let files = arena.files.clone();
                let excuse = Box::new(move |exit: &crate::sandbox::Exit| {
                    let words = || files.printed_since(node, printed);
                    exit.signal == Some(SIGABRT) && last_words(&words()).is_some()
                });
                let excused = arena.supervisor.excuse(Endpoint::of(node), excuse);
                let excused = excused.map_err(|error| error.to_string())?;
                let lowered =
                    Lowered::to(arena, (node, pid), Resource::RLIMIT_AS, used + self.bytes);
                let lowered = lowered.map_err(|error| format!("node {node}: {error}"))?;
                self.lowered.push((lowered, excused));
                self.printed.push(printed);
            }
            Ok(())
        })
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        let (mut seen, mut not_seen) = (Vec::new(), Vec::new());
        for ((lowered, _), printed) in self.lowered.iter().zip(&self.printed) {
            match self.effect_on(arena, lowered, *printed) {
                Ok(effect) => seen.push(effect),
                Err(reason) => not_seen.push(reason),
            }
        }
        let effect = if seen.is_empty() {
            Effect::Vacuous(not_seen.join("; "))
        } else {
            Effect::Seen(seen.join("; "))
        };
        Box::pin(async { effect })
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            for (lowered, _excused) in self.lowered.drain(..) {
                lowered.lift(arena);
                let endpoint = Endpoint::of(lowered.node);
                // Any other end stays for the run to notice.
                if let Some(Status::Exited(exit)) = arena.supervisor.status(endpoint)
                    && exit.asked
                {
                    start_again(arena, endpoint)?;
                }
                self.dead.push(lowered.node);
            }
            Ok(())
        })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(prove_serving(arena, &self.dead))
    }
}

/// The size of a process's address space, in bytes.
fn mapped(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kibibytes << 10)
}

/// The line that says that memory was wanted.
fn last_words(printed: &str) -> Option<&str> {
    let is_last = |line: &&str| LAST_WORDS.iter().any(|words| line.contains(words));
    printed.lines().rev().find(is_last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_cannot_start_wants_memory_too() {
        let stack = "failed to allocate an alternative stack: Cannot allocate memory (os error 12)";
        let printed = format!("thread 'log-directory-sync' (36) panicked at std:\n{stack}\nfatal");
        assert_eq!(last_words(&printed), Some(stack));
        let allocation = "memory allocation of 1 bytes failed";
        assert_eq!(last_words(allocation), Some(allocation));
        let otherwise = "thread 'core-1' panicked at src/broker/mod.rs:\ninvariant: isr\nfatal";
        assert_eq!(last_words(otherwise), None);
    }
}
