//! `verdict crash-images`: one loss of power, every state that it could have left, each booted.
//!
//! In: a finished run whose losses of power were saved (`disk::journal`). Out: how many states
//! were booted, which did not come up, which lost what an fsync or the contract protects, and
//! which lost what nothing protects.
//! Invariant: the same run and the same number of states give the same states, in the same order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use checkers::history::History;
use nix::sched::{CloneFlags, setns};

use crate::crash::find::{SavedLoss, WholeLoss, saved_losses, told_losses, whole_losses};
use crate::crash::result::{CrashSummary, StateResult};
use crate::crash::solo::Logs;
use crate::crash::stand::{Stand, boot_plan, salted};
use crate::disk::journal::{CrashState, states};
use crate::plan::Plan;
use crate::run::failure::RunFailure;
use crate::run::judge::read_history;
use crate::run::launch::OBSERVER;
use crate::run::store::Store;

pub mod find;
mod kills;
pub mod logs;
pub mod page;
pub mod result;
pub mod save;
mod solo;
mod stand;
mod whole;

/// One state in so many is one of the whole cluster: it takes seconds, one node alone a fraction.
const WHOLE_EVERY: usize = 10;

/// One state of a single node in so many is one whose recovery is killed, unless it is told else.
const KILLED_EVERY: usize = 5;

/// Draws for each state that is wanted: some make a state that there is already.
const CANDIDATES: usize = 8;

/// How long a whole cluster may take to come up, on a loaded machine.
const WHOLE_WITHIN: Duration = Duration::from_secs(40);

/// More faults of the harness than this say nothing new.
const HARNESS_FAULTS_MAX: usize = 20;

/// A run whose losses of power were saved.
#[derive(Debug)]
pub struct Subject {
    plan: Arc<Plan>,
    history: History,
    losses: Vec<SavedLoss>,
    durable: Vec<Logs>,
    wholes: Vec<WholeLoss>,
    skipped: Vec<String>,
    whole_within: Duration,
    killed_every: usize,
}

/// One state to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    /// One node, by the position of its loss.
    Solo(usize, CrashState),
    /// The same, killed while it recovers.
    Killed(usize, CrashState),
    /// All nodes, by the position of the loss of all.
    Whole(usize, CrashState),
}

impl Subject {
    /// Reads what the run in `store` saved.
    pub fn open(store: &Store) -> Result<Self, RunFailure> {
        let plan = Plan::load(&store.plan()).map_err(|e| RunFailure::Unusable(e.to_string()))?;
        let history = read_history(&store.history());
        let history = history.map_err(|error| RunFailure::Unusable(error.to_string()))?;
        let saved = saved_losses(store, plan.cluster.nodes).map_err(RunFailure::harness)?;
        let (losses, mut skipped) = (saved.whole, saved.skipped);
        skipped.extend(unsaved(&told_losses(&history), &losses, skipped.len()));
        let durable: io::Result<_> = losses.iter().map(solo::durable_logs).collect();
        let mut wholes = whole_losses(&history, plan.cluster.nodes);
        if plan.workload.group.is_some() && !wholes.is_empty() {
            let why = "the run has a consumer group: its promises need more than final reads";
            skipped.push(format!("no whole cluster was booted: {why}"));
            wholes.clear();
        }
        let is_saved = |node: i32, name: &String| {
            let mut losses = losses.iter();
            losses.any(|loss| loss.node == node && loss.name == *name)
        };
        wholes.retain(|whole| whole.names.iter().all(|(node, name)| is_saved(*node, name)));
        Ok(Self {
            plan: Arc::new(boot_plan(&plan)),
            history,
            durable: durable.map_err(RunFailure::harness)?,
            losses,
            wholes,
            skipped,
            whole_within: WHOLE_WITHIN,
            killed_every: KILLED_EVERY,
        })
    }

    /// Gives a whole cluster up after `limit`, where it is known that it cannot come up.
    pub fn give_up_after(&mut self, limit: Duration) {
        self.whole_within = limit;
    }

    /// Kills the recovery of every single node that is booted.
    pub fn kill_every_recovery(&mut self) {
        self.killed_every = 1;
    }

    /// Boots at most `max` states, `jobs` at a time, below the directory `scratch`; tells
    /// `on_state` after each.
    pub fn check(
        &self,
        scratch: &Path,
        max: usize,
        jobs: usize,
        on_state: impl Fn(&CrashSummary, usize),
    ) -> Result<CrashSummary, RunFailure> {
        let begin = Instant::now();
        let queue = self.queue(max);
        let total = queue.len();
        let queue = Mutex::new(queue);
        let mut summary = CrashSummary {
            skipped: self.skipped.clone(),
            jobs,
            ..CrashSummary::default()
        };
        std::thread::scope(|scope| {
            let (sender, results) = channel();
            for number in 0..jobs {
                let (sender, queue) = (sender.clone(), &queue);
                let name = format!("crash-{number}");
                let worker = move || {
                    if let Err(error) = self.work(scratch, queue, &sender) {
                        let _ = sender.send(Err(error));
                    }
                };
                let thread = std::thread::Builder::new().name(name);
                thread.spawn_scoped(scope, worker)?;
            }
            drop(sender);
            for result in results {
                match result {
                    Ok(result) => summary.add(result),
                    Err(error) if summary.harness_faults.len() < HARNESS_FAULTS_MAX => {
                        summary.harness_faults.push(error.to_string());
                    }
                    Err(_) => {}
                }
                on_state(&summary, total);
            }
            Ok(())
        })
        .map_err(|error: io::Error| RunFailure::harness(error))?;
        summary.duration_ms = begin.elapsed().as_millis() as u64;
        Ok(summary)
    }

    /// What is booted, the whole clusters first: they take longest.
    fn queue(&self, max: usize) -> VecDeque<Job> {
        let of_whole = if self.wholes.is_empty() {
            0
        } else {
            max.div_ceil(WHOLE_EVERY)
        };
        let mut queue = VecDeque::new();
        for at in 0..self.wholes.len() {
            let share = share(of_whole, self.wholes.len(), at);
            let states = self.states(&self.losses_of(at), share);
            queue.extend(states.into_iter().map(|state| Job::Whole(at, state)));
        }
        let of_solo = max - queue.len().min(max);
        for (at, loss) in self.losses.iter().enumerate() {
            let share = share(of_solo, self.losses.len(), at);
            let states = self.states(&[loss], share).into_iter().enumerate();
            queue.extend(
                states.map(|(number, state)| match number % self.killed_every {
                    0 => Job::Killed(at, state),
                    _ => Job::Solo(at, state),
                }),
            );
        }
        queue
    }

    /// At most `count` states of `losses`, no two of which are the same.
    fn states(&self, losses: &[&SavedLoss], count: usize) -> Vec<CrashState> {
        let unsynced = losses.iter().map(|loss| loss.unsynced()).max();
        let candidates = states(unsynced.unwrap_or(0), count, self.plan.seed);
        let mut seen = BTreeSet::new();
        let is_new = |state: &CrashState| seen.insert(signature(losses, *state));
        let tried = candidates.take(count.saturating_mul(CANDIDATES));
        tried.filter(is_new).take(count).collect()
    }

    /// The losses of the nodes in the loss of all nodes at position `at`.
    fn losses_of(&self, at: usize) -> Vec<&SavedLoss> {
        let whole = self.wholes.get(at);
        let name = |loss: &SavedLoss| whole.and_then(|whole| whole.names.get(&loss.node));
        let mine = |loss: &&SavedLoss| name(loss) == Some(&loss.name);
        self.losses.iter().filter(mine).collect()
    }

    /// Boots states until none is left, in a namespace of this thread's own.
    fn work(
        &self,
        scratch: &Path,
        queue: &Mutex<VecDeque<Job>>,
        results: &Sender<io::Result<StateResult>>,
    ) -> io::Result<()> {
        let stand = Stand::new(&self.plan, self.whole_within)?;
        let namespace = stand.sandbox.namespace(OBSERVER)?.descriptor()?;
        setns(namespace, CloneFlags::CLONE_NEWNET)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        loop {
            let job = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop_front();
            let Some(job) = job else { return Ok(()) };
            let result = runtime.block_on(self.boot(&stand, scratch, job));
            if results.send(result).is_err() {
                return Ok(());
            }
        }
    }

    async fn boot(&self, stand: &Stand, scratch: &Path, job: Job) -> io::Result<StateResult> {
        let unknown = || io::Error::other("a job names a loss that does not exist");
        match job {
            Job::Solo(at, state) => {
                let loss = self.losses.get(at).ok_or_else(unknown)?;
                let durable = self.durable.get(at).ok_or_else(unknown)?;
                solo::check(stand, scratch, loss, durable, state).await
            }
            Job::Killed(at, state) => {
                let loss = self.losses.get(at).ok_or_else(unknown)?;
                let durable = self.durable.get(at).ok_or_else(unknown)?;
                solo::check_killed(stand, scratch, loss, durable, state).await
            }
            Job::Whole(at, state) => {
                let whole = self.wholes.get(at).ok_or_else(unknown)?;
                let losses = self.losses_of(at);
                whole::check(stand, scratch, &losses, whole, &self.history, state).await
            }
        }
    }

    /// How many losses of how many nodes were saved.
    pub fn saved(&self) -> BTreeMap<i32, usize> {
        let mut saved = BTreeMap::new();
        for loss in &self.losses {
            *saved.entry(loss.node).or_default() += 1;
        }
        saved
    }
}

/// Losses of which no image was kept at all: of each node only the first few are.
fn unsaved(told: &BTreeMap<i32, usize>, losses: &[SavedLoss], incomplete: usize) -> Option<String> {
    let told: usize = told.values().sum();
    let left_out = told.saturating_sub(losses.len() + incomplete);
    (left_out > 0).then(|| {
        format!("{left_out} of {told} losses of single nodes: only the first few of each are kept")
    })
}

/// A number that two states share if the disks of `losses` show the same in both.
fn signature(losses: &[&SavedLoss], state: CrashState) -> Vec<u64> {
    let disks = losses.iter().flat_map(|loss| &loss.disks);
    disks
        .map(|(disk, image)| image.signature(salted(state, *disk)))
        .collect()
}

/// The part of `total` that the one at `position` of `count` gets.
fn share(total: usize, count: usize, position: usize) -> usize {
    total / count.max(1) + usize::from(position < total % count.max(1))
}
