//! Few file descriptors: the limit of the running process is lowered.
//!
//! Effect: the limit in `/proc`, and that the node has no descriptor left below it, or says so.
//! Healing: the old limit, and a restart if it halted for want of files, as Kafka's does.
//! Keeps: a limit is about descriptor numbers, so it is the first number that must stay unused.

use std::collections::BTreeSet;
use std::{fs, io};

use broker::id::BrokerId;
use nix::sys::resource::Resource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::link::API_VERSIONS;
use crate::nemesis::kill::{prove_serving, start_again};
use crate::nemesis::repair::HALTED;
use crate::nemesis::resources::{Lowered, running};
use crate::nemesis::{Arena, BoxFuture, Effect, Fault, PROBE_LIMIT, brokers};
use crate::sandbox::{Endpoint, Excused, Exit, Status, node_address};

/// Descriptors that the node may give back while it is asked.
const SLACK: usize = 8;

/// How a node's log tells EMFILE.
const COMPLAINT: &str = "os error 24";

/// The fault `file-limit`.
#[derive(Debug)]
pub(crate) struct FileLimit {
    files: usize,
    targets: Vec<BrokerId>,
    lowered: Vec<Lowered>,
    printed: Vec<u64>,
    excused: Vec<Excused>,
}

impl FileLimit {
    pub(crate) fn new(files: u32) -> Self {
        Self {
            files: files as usize,
            targets: Vec::new(),
            lowered: Vec::new(),
            printed: Vec::new(),
            excused: Vec::new(),
        }
    }

    async fn prove(&self, arena: &Arena) -> Effect {
        let mut told = Vec::new();
        for (lowered, printed) in self.lowered.iter().zip(&self.printed) {
            let node = lowered.node;
            let complaints = arena.files.printed_since(node, *printed);
            if let Some(Status::Exited(exit)) = arena.supervisor.status(Endpoint::of(node))
                && complaints.contains(COMPLAINT)
            {
                told.push(format!("node {node} ended: {exit:?}"));
                continue;
            }
            if let Err(reason) = lowered.is_in_force() {
                return Effect::Vacuous(reason);
            }
            let exhausted = match exhaust(arena, lowered).await {
                Ok(exhausted) => exhausted,
                Err(reason) => return Effect::Vacuous(reason),
            };
            let complaints = arena.files.printed_since(node, *printed);
            let complaints = complaints.matches(COMPLAINT).count();
            match exhausted.tell(complaints) {
                Ok(words) => told.push(format!(
                    "node {node} may use descriptors below {}: {words}",
                    lowered.soft
                )),
                Err(reason) => return Effect::Vacuous(format!("node {node}: {reason}")),
            }
        }
        Effect::Seen(told.join("; "))
    }
}

impl Fault for FileLimit {
    fn setup(&mut self, _arena: &Arena, targets: &[Endpoint]) {
        self.targets = brokers(targets);
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            for (node, pid) in running(arena, &self.targets)? {
                let told = |error: io::Error| format!("node {node}: {error}");
                let used = descriptors(pid).map_err(told)?;
                let limit = unused(&used).nth(self.files).unwrap_or(u64::MAX);
                let printed = arena.files.printed(node);
                let files = arena.files.clone();
                let excuse = Box::new(move |exit: &Exit| {
                    let words = || files.printed_since(node, printed);
                    exit.code == Some(HALTED) && words().contains(COMPLAINT)
                });
                let excused = arena.supervisor.excuse(Endpoint::of(node), excuse);
                self.excused
                    .push(excused.map_err(|error| error.to_string())?);
                let lowered = Lowered::to(arena, (node, pid), Resource::RLIMIT_NOFILE, limit);
                self.printed.push(printed);
                self.lowered.push(lowered.map_err(told)?);
            }
            Ok(())
        })
    }

    fn prove_effect<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Effect> {
        Box::pin(self.prove(arena))
    }

    fn heal<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            for lowered in &self.lowered {
                lowered.lift(arena);
                let endpoint = Endpoint::of(lowered.node);
                // Any other end stays for the run to notice.
                if let Some(Status::Exited(exit)) = arena.supervisor.status(endpoint)
                    && exit.asked
                {
                    start_again(arena, endpoint)?;
                }
            }
            self.excused.clear();
            Ok(())
        })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            let nodes: Vec<BrokerId> = self.lowered.iter().map(|lowered| lowered.node).collect();
            prove_serving(arena, &nodes).await
        })
    }
}

/// A node that was asked until it did not answer.
#[derive(Debug)]
struct Exhausted {
    /// Connections that it answered before.
    answered: usize,
    /// Whether it then had no descriptor left below its limit.
    is_full: bool,
}

impl Exhausted {
    /// What shows that files ran out, beside the connection that was not answered: that alone may
    /// be the silence of a slow node.
    fn tell(&self, complaints: usize) -> Result<String, String> {
        let words = format!(
            "{} more connections were answered and the next was not",
            self.answered
        );
        match (self.is_full, complaints) {
            (false, 0) => Err(format!("{words}, but descriptors were left")),
            (true, 0) => Ok(format!("{words}; no descriptor was left")),
            (_, lines) => Ok(format!("{words}; it printed {lines} lines about it")),
        }
    }
}

/// Connects until one connection is not answered.
async fn exhaust(arena: &Arena, lowered: &Lowered) -> Result<Exhausted, String> {
    let (node, told) = (lowered.node, |error: io::Error| error.to_string());
    let used = descriptors(lowered.pid).map_err(told)?;
    let left = unused(&used)
        .take_while(|number| *number < lowered.soft)
        .count();
    let namespace = arena.sandbox.namespace(Endpoint::of(node)).map_err(told)?;
    let mut held = Vec::new();
    while held.len() <= left + SLACK {
        let socket = namespace.tcp_socket().map_err(told)?;
        let asked = timeout(PROBE_LIMIT, async {
            let mut stream = socket.connect(node_address(node)).await?;
            stream.write_all(&API_VERSIONS).await?;
            let read = stream.read(&mut [0; 64]).await?;
            Ok::<(TcpStream, usize), io::Error>((stream, read))
        });
        match asked.await {
            Ok(Ok((stream, 1..))) => held.push(stream),
            Ok(Ok((_, 0)) | Err(_)) | Err(_) => {
                let used = descriptors(lowered.pid).map_err(told)?;
                return Ok(Exhausted {
                    answered: held.len(),
                    is_full: unused(&used).next().is_none_or(|free| free >= lowered.soft),
                });
            }
        }
    }
    Err(format!(
        "node {node} accepted {} more connections",
        held.len()
    ))
}

/// The numbers of the open descriptors of a process.
fn descriptors(pid: i32) -> io::Result<BTreeSet<u64>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let number = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u64>().ok());
        found.extend(number);
    }
    Ok(found)
}

/// The numbers that are free, from the lowest on, as the system gives them out.
fn unused(used: &BTreeSet<u64>) -> impl Iterator<Item = u64> {
    (0..u64::MAX).filter(|number| !used.contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_alone_is_no_proof_that_files_ran_out() {
        for (is_full, complaints, is_proof) in [
            (false, 0, false),
            (true, 0, true),
            (false, 2, true),
            (true, 2, true),
        ] {
            let answered = 3;
            let exhausted = Exhausted { answered, is_full };
            assert_eq!(
                exhausted.tell(complaints).is_ok(),
                is_proof,
                "{exhausted:?}"
            );
        }
    }

    #[test]
    fn a_limit_leaves_as_many_numbers_as_it_says() {
        let used = BTreeSet::from([0, 1, 2, 5, 9]);
        for (files, limit) in [(0, 3), (1, 4), (2, 6), (5, 10)] {
            assert_eq!(unused(&used).nth(files), Some(limit));
            assert_eq!(
                unused(&used).take_while(|number| *number < limit).count(),
                files
            );
        }
    }
}
