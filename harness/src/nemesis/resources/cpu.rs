//! Little processor time: SIGSTOP and SIGCONT by turns.
//!
//! Effect: state T in `/proc`, turn after turn, and the CPU time that was used against the clock.
//! Healing: the last SIGCONT.
//! Keeps: a node that another fault paused is not woken; whatever becomes of the fault, the node is
//! not left stopped by it.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker::id::BrokerId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::nemesis::kill::prove_serving;
use crate::nemesis::pause::state_of;
use crate::nemesis::resources::running;
use crate::nemesis::{Arena, BoxFuture, Effect, Fault, brokers};
use crate::sandbox::{Endpoint, Status, Supervisor};

/// One stop and one run.
const TURN: Duration = Duration::from_millis(50);
/// The kernel counts CPU time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// The fault `cpu`.
#[derive(Debug)]
pub(crate) struct Cpu {
    percent: u8,
    targets: Vec<BrokerId>,
    throttled: Vec<Throttled>,
}

/// A process that is stopped and continued until this is dropped.
#[derive(Debug)]
struct Throttled {
    node: BrokerId,
    pid: i32,
    supervisor: Supervisor,
    turns: JoinHandle<()>,
    counts: Arc<Mutex<Counts>>,
    begin: Instant,
    used_before: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    turns: u64,
    /// Those at whose end the process was seen in state T.
    stops: u64,
    stopped: Duration,
}

impl Cpu {
    pub(crate) fn new(percent: u8) -> Self {
        Self {
            percent,
            targets: Vec::new(),
            throttled: Vec::new(),
        }
    }

    fn prove(&self) -> Effect {
        let share = u32::from(self.percent);
        let mut told = Vec::new();
        for throttled in &self.throttled {
            let node = throttled.node;
            let counts = *throttled.lock();
            let wall = throttled.begin.elapsed();
            let used = cpu_time(throttled.pid).unwrap_or_default();
            let used = used.saturating_sub(throttled.used_before);
            let words = format!(
                "node {node} was in state T at {} of {} turns, for {} of {} ms, and used {} ms of \
                 CPU",
                counts.stops,
                counts.turns,
                counts.stopped.as_millis(),
                wall.as_millis(),
                used.as_millis()
            );
            // Half of what was asked for, because turns are late on a busy machine.
            let wanted = wall * (100 - share) / 200;
            let could_use = wall.saturating_sub(counts.stopped) * cores() + TICK;
            if counts.stops == 0 || counts.stopped < wanted || used > could_use {
                return Effect::Vacuous(words);
            }
            told.push(words);
        }
        Effect::Seen(told.join("; "))
    }
}

impl Fault for Cpu {
    fn setup(&mut self, _arena: &Arena, targets: &[Endpoint]) {
        self.targets = brokers(targets);
    }

    fn inject<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            for (node, pid) in running(arena, &self.targets)? {
                self.throttled
                    .push(throttle(arena, node, pid, self.percent));
            }
            Ok(())
        })
    }

    fn prove_effect<'a>(&'a mut self, _arena: &'a Arena) -> BoxFuture<'a, Effect> {
        let effect = self.prove();
        Box::pin(async { effect })
    }

    fn heal<'a>(&'a mut self, _arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async {
            self.throttled.clear();
            Ok(())
        })
    }

    fn prove_recovered<'a>(&'a mut self, arena: &'a Arena) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(prove_serving(arena, &self.targets))
    }
}

fn throttle(arena: &Arena, node: BrokerId, pid: i32, percent: u8) -> Throttled {
    let run = TURN * u32::from(percent) / 100;
    let counts = Arc::new(Mutex::new(Counts::default()));
    let (arena, shared) = (arena.clone(), Arc::clone(&counts));
    let supervisor = arena.supervisor.clone();
    let turns = tokio::spawn(async move {
        let endpoint = Endpoint::of(node);
        while arena.supervisor.pid(endpoint).ok() == Some(pid) {
            let begin = Instant::now();
            let sent = kill(Pid::from_raw(pid), Signal::SIGSTOP).is_ok();
            sleep(TURN.saturating_sub(run)).await;
            let is_stopped = sent && state_of(&arena, endpoint) == Some('T');
            resume(&arena.supervisor, node, pid);
            {
                let mut counts = shared.lock().unwrap_or_else(PoisonError::into_inner);
                counts.turns += 1;
                counts.stops += u64::from(is_stopped);
                counts.stopped += if is_stopped {
                    begin.elapsed()
                } else {
                    Duration::ZERO
                };
            }
            sleep(run).await;
        }
    });
    Throttled {
        node,
        pid,
        supervisor,
        turns,
        counts,
        begin: Instant::now(),
        used_before: cpu_time(pid).unwrap_or_default(),
    }
}

/// SIGCONT, unless another fault has paused it.
fn resume(supervisor: &Supervisor, node: BrokerId, pid: i32) {
    if supervisor.status(Endpoint::of(node)) == Some(Status::Running(pid)) {
        // It may have ended meanwhile.
        let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
    }
}

impl Throttled {
    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Throttled {
    fn drop(&mut self) {
        self.turns.abort();
        resume(&self.supervisor, self.node, self.pid);
    }
}

/// User and system time of a process: fields 14 and 15 of `/proc/PID/stat`.
fn cpu_time(pid: i32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u32>().ok();
    Some(TICK * (ticks(11)? + ticks(12)?))
}

fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}
