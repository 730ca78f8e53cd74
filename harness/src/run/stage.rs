//! Everything that a run holds while it acts, built in one place and finished in one place.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use checkers::contract::Contract;
use checkers::history::{Action, Header, History, NemesisEvent, Op, OpType};
use serde_json::json;

use crate::cluster::node::LOG_FILE;
use crate::cluster::observer::Observer;
use crate::cluster::view::{Lack, Silent};
use crate::cluster::{Cluster, node_endpoints};
use crate::disk::{DiskOptions, Disks};
use crate::evidence::gather;
use crate::link::Links;
use crate::matrix::{RowOutcome, struck};
use crate::nemesis::{Arena, Atlas, FaultReport, NodeFiles, min_isr};
use crate::plan::{Plan, ScheduledFault, TopicPlan};
use crate::recorder::{Clock, LineWriter, Recorder};
use crate::report;
use crate::run::aftermath::Aftermath;
use crate::run::events::{EventLog, Phase, What};
use crate::run::failure::RunFailure;
use crate::run::faults::Faults;
use crate::run::judge::{Judged, JudgedTopic, judge_topics};
use crate::run::status::Status;
use crate::run::store::Store;
use crate::run::summary::{FaultSummary, Parts, Summary};
use crate::sandbox::{Endpoint, Sandbox, Supervisor};
use crate::tmpfs::TmpfsMounts;
use crate::workload::session::{HARNESS_PROCESS, Session};

/// What a run holds while it acts.
#[derive(Debug)]
pub struct Stage {
    /// What was decided before.
    pub plan: Arc<Plan>,
    /// The result directory.
    pub store: Store,
    /// What the display shows.
    pub status: Arc<Status>,
    /// The namespaces.
    pub sandbox: Sandbox,
    /// The processes.
    pub supervisor: Supervisor,
    /// The nodes.
    pub cluster: Cluster,
    /// The faults.
    pub nemesis: Faults,
    /// The history and the counters.
    pub session: Arc<Session>,
    /// The other file.
    pub events: EventLog,
    /// The client under test, by its own greeting.
    pub client: OnceLock<String>,
    deaths: Mutex<Vec<String>>,
    writers: Mutex<[Option<LineWriter>; 2]>,
}

impl Stage {
    /// Opens the files and starts the nodes, in the runtime and the namespace of the observer.
    pub fn set(
        plan: &Arc<Plan>,
        store: &Store,
        status: &Arc<Status>,
        sandbox: Sandbox,
        disks: &Disks,
        tmpfs: &TmpfsMounts,
    ) -> Result<Self, RunFailure> {
        let clock = Clock::start();
        store
            .create_log_dirs(&plan.cluster)
            .map_err(RunFailure::harness)?;
        store
            .write(&store.plan(), &plan.to_json())
            .map_err(RunFailure::harness)?;
        let (recorder, history) = Recorder::open(&store.history(), header(plan, clock), clock)
            .map_err(RunFailure::harness)?;
        let (lines, event_lines) =
            LineWriter::create(&store.events()).map_err(RunFailure::harness)?;
        let events = EventLog::new(clock, lines);
        let session = Arc::new(Session::new(Arc::clone(plan), recorder));
        status.attach(Arc::clone(&session));
        mount_disks(plan, store, disks)?;
        mount_tmpfs(plan, store, tmpfs)?;
        let supervisor = Supervisor::on(disks.clone());
        let links = Links::start(&sandbox, plan.seed).map_err(RunFailure::harness)?;
        let observer = Observer::new(plan);
        let arena = Arena {
            supervisor: supervisor.clone(),
            links,
            sandbox: sandbox.clone(),
            view: Arc::new(observer.clone()),
            files: node_files(plan, store),
            atlas: Atlas::new(plan.atlas),
            disks: disks.clone(),
            tmpfs: tmpfs.clone(),
            roster: session.roster.clone(),
            min_isr: min_isr::Changed::default(),
            stall_timeout: plan.cluster.stall_timeout(),
        };
        let nemesis = Faults::new(arena, &session, &events, status);
        let cluster = Cluster::start(plan, &sandbox, &supervisor, store, &observer)?;
        Ok(Self {
            plan: Arc::clone(plan),
            store: store.clone(),
            status: Arc::clone(status),
            sandbox,
            supervisor,
            cluster,
            nemesis,
            session,
            events,
            client: OnceLock::new(),
            deaths: Mutex::default(),
            writers: Mutex::new([Some(history), Some(event_lines)]),
        })
    }

    /// Writes down the nodes that have ended by themselves; healing would cover it up.
    pub fn note_deaths(&self) {
        let Some(death) = self.cluster.first_death() else {
            return;
        };
        let mut deaths = self.deaths.lock().unwrap_or_else(PoisonError::into_inner);
        if !deaths.contains(&death) {
            self.events.note(&death);
            deaths.push(death);
        }
    }

    /// Clients that die by themselves break no promise of the cluster, but deserve a line.
    pub fn note_lost_clients(&self) {
        let crashes = self.session.stats.crashes();
        if crashes > 0 {
            self.events.note(format!(
                "client processes ended by themselves under {crashes} logical processes; see {}",
                self.store.clients().display()
            ));
        }
    }

    /// Whether a topic may lack what it lacks for ever, by what the faults have told so far. Runs
    /// of one topic wait until the deadline: nobody is kept waiting by it.
    pub fn may_stay(&self, topic: &str, lack: &Lack) -> bool {
        if !self.plan.has_several_topics() || lack.is_more_than_silence() {
            return false;
        }
        let contracts = contracts(&self.plan, self.nemesis.told());
        let silenced = contracts.get(topic).and_then(Contract::silenced);
        let may_be = |silent: &Silent| {
            let silenced = silenced.as_ref();
            silenced.is_some_and(|silenced| silenced.covers(&silent.replicas))
        };
        lack.silent.iter().all(may_be)
    }

    /// Finishes the history, judges it, stores the verdict. Nothing runs any more.
    pub async fn conclude(
        &self,
        aftermath: Aftermath,
        is_harness_fault: bool,
        reports: &BTreeMap<usize, FaultReport>,
    ) -> Result<Summary, RunFailure> {
        self.enter(Phase::Check);
        let duration_ms = self.session.recorder.clock().elapsed().as_millis() as u64;
        let [history, events] = self.take_writers();
        // A run that ends before its topics exist has a history, too.
        self.session.recorder.begin(|_| ());
        finish(history).await?;
        let path = self.store.history();
        let judged = tokio::task::spawn_blocking(move || judge_topics(&path, None)).await;
        let mut judged = judged
            .map_err(RunFailure::harness)?
            .map_err(RunFailure::harness)?;
        let own = &self.plan.cluster.topic;
        for topic in &mut judged.topics {
            aftermath.weigh(topic.topic.as_ref().unwrap_or(own), &mut topic.verdict);
        }
        if !self.plan.has_several_topics() {
            aftermath.weigh(own, &mut judged.verdict);
        }
        self.enter(Phase::Report);
        finish(events).await?;
        let deaths = self
            .deaths
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let summary = Summary::conclude(Parts {
            plan: &self.plan,
            client: self.client.get().cloned().unwrap_or_default(),
            duration_ms,
            counts: self.session.stats.counts(),
            rows: rows(&self.plan, &judged, &aftermath, &self.struck()),
            liveness: aftermath.whole,
            is_harness_fault,
            deaths,
            faults: fault_summaries(&self.plan, reports),
            verdict: judged.verdict,
            reproduce: format!("cargo verdict run --plan {}", self.store.plan().display()),
        });
        let text = serde_json::to_string_pretty(&summary).map_err(RunFailure::harness)?;
        self.store
            .write(&self.store.verdict(), &text)
            .map_err(RunFailure::harness)?;
        self.store_evidence(&summary).await?;
        // A page that cannot be drawn must not change how a run ends.
        if let Err(error) = report::write(&self.store, &self.plan, &summary) {
            eprintln!("verdict: the run has no report: {error}");
        }
        Ok(summary)
    }

    /// The names of the faults that struck each topic by their own proofs.
    fn struck(&self) -> BTreeMap<String, Vec<String>> {
        let holders = struck::holders(&self.cluster.replicas());
        let mut faults: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for proof in self.nemesis.told() {
            for topic in struck::struck(&self.plan, &holders, &proof) {
                faults.entry(topic).or_default().push(proof.fault.clone());
            }
        }
        faults
    }

    /// Gathers what explains the verdict while the files of the nodes are still there.
    async fn store_evidence(&self, summary: &Summary) -> Result<(), RunFailure> {
        let (store, plan) = (self.store.clone(), Arc::clone(&self.plan));
        let summary = summary.clone();
        let gathered = tokio::task::spawn_blocking(move || gather(&store, &plan, &summary)).await;
        let text = gathered
            .map_err(|error| error.to_string())
            .and_then(|evidence| {
                serde_json::to_string_pretty(&evidence).map_err(|error| error.to_string())
            });
        match text {
            Ok(text) => self
                .store
                .write(&self.store.evidence(), &text)
                .map_err(RunFailure::harness),
            // What cannot be explained is judged all the same.
            Err(error) => {
                eprintln!("verdict: the run has no evidence: {error}");
                Ok(())
            }
        }
    }

    fn take_writers(&self) -> [Option<LineWriter>; 2] {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *writers)
    }

    /// A phase begins: for the display and for the report.
    pub fn enter(&self, phase: Phase) {
        self.status.enter(phase);
        self.events.append(What::Phase { phase });
    }
}

/// Mounts the plan's faulty disks, if it has any.
fn mount_disks(plan: &Plan, store: &Store, disks: &Disks) -> Result<(), RunFailure> {
    let Some(disk) = &plan.cluster.disk else {
        return Ok(());
    };
    let options = DiskOptions {
        seed: plan.seed,
        fsync: Duration::from_millis(disk.fsync_ms),
        quota: disk.quota_mib.map(|mib| mib << 20),
        names: disk.names,
    };
    for id in plan.cluster.disks() {
        let (backing, mount_point) = (store.backing(id), store.mount_point(id));
        disks
            .mount(id, &backing, &mount_point, options)
            .map_err(|error| RunFailure::MachineCannot(error.to_string()))?;
    }
    Ok(())
}

/// Mounts a tmpfs over each log directory, if the plan wants it so.
fn mount_tmpfs(plan: &Plan, store: &Store, tmpfs: &TmpfsMounts) -> Result<(), RunFailure> {
    let Some(mib) = plan.cluster.tmpfs_mib else {
        return Ok(());
    };
    for id in plan.cluster.disks() {
        let path = store.backing(id);
        let at = |error| format!("mounting a tmpfs at {}: {error}", path.display());
        let mounted = tmpfs.mount(id, &path, mib << 20);
        mounted.map_err(|error| RunFailure::MachineCannot(at(error)))?;
    }
    Ok(())
}

/// The files of every node, for faults that change them.
fn node_files(plan: &Plan, store: &Store) -> NodeFiles {
    let directories = plan.cluster.disks().map(|disk| (disk, store.backing(disk)));
    let log = |endpoint: Endpoint| {
        let id = endpoint.broker()?.0;
        Some((id, store.node_log(id).join(LOG_FILE)))
    };
    NodeFiles::new(directories, node_endpoints(plan).filter_map(log))
}

/// The first line of the history: what contracts depend on, and what people want to know.
fn header(plan: &Plan, clock: Clock) -> Header {
    let run = json!({
        "seed": plan.seed,
        "profile": plan.profile,
        "sabotage": plan.cluster.sabotage,
        "started": clock.started().to_string(),
    });
    let mut header = Header::new(plan.settings(), run);
    header.final_reads = true;
    header.topics = plan.settings_by_topic();
    header
}

/// Waits until every line is in the file.
async fn finish(writer: Option<LineWriter>) -> Result<(), RunFailure> {
    let Some(writer) = writer else { return Ok(()) };
    let finished = tokio::task::spawn_blocking(|| writer.finish()).await;
    finished
        .map_err(RunFailure::harness)?
        .map_err(RunFailure::harness)?;
    Ok(())
}

/// What each topic is promised if these events were all.
fn contracts(plan: &Plan, told: Vec<NemesisEvent>) -> BTreeMap<String, Contract> {
    let op = |(index, event): (u64, NemesisEvent)| Op {
        index,
        time: 0,
        process: HARNESS_PROCESS,
        kind: OpType::Info,
        action: Action::Nemesis(Box::new(event)),
        error: None,
        node: None,
    };
    let ops = (0..).zip(told).map(op).collect();
    let mut header = Header::new(plan.settings(), serde_json::Value::Null);
    header.topics = plan.settings_by_topic();
    let history = History::from_ops(header, ops);
    let parts = history
        .map(|history| history.by_topic())
        .unwrap_or_default();
    let of = |(topic, history): (String, History)| (topic, Contract::of(&history));
    parts.into_iter().map(of).collect()
}

/// What the run says of each topic.
fn rows(
    plan: &Plan,
    judged: &Judged,
    aftermath: &Aftermath,
    struck: &BTreeMap<String, Vec<String>>,
) -> Vec<RowOutcome> {
    let row = |topic: TopicPlan| {
        let mut all = judged.topics.iter();
        let of_topic = |judged: &&JudgedTopic| match &judged.topic {
            Some(name) => *name == topic.name,
            None => true,
        };
        let judged = all.find(of_topic)?;
        Some(RowOutcome {
            row: plan.row_of(&topic).to_string(),
            liveness: aftermath.of(&topic.name),
            refused: judged.verdict.counts.failed,
            struck: struck.get(&topic.name).cloned().unwrap_or_default(),
            unavailable_ms: judged.unavailable_ms,
            verdict: judged.verdict.clone(),
            topic: topic.name,
        })
    };
    plan.topics().into_iter().filter_map(row).collect()
}

fn fault_summaries(plan: &Plan, reports: &BTreeMap<usize, FaultReport>) -> Vec<FaultSummary> {
    let summary = |(number, fault): (usize, &ScheduledFault)| FaultSummary {
        number,
        name: fault.what.name().to_owned(),
        role: fault.what.target().to_string(),
        at_ms: fault.at_ms,
        for_ms: fault.for_ms,
        report: reports.get(&number).cloned(),
    };
    plan.faults.iter().enumerate().map(summary).collect()
}
