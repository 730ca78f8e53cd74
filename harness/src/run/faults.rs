//! The faults of a plan, acting at their times, and the records that they leave.
//!
//! In: a plan and what faults act on. Out: lines in the history and in the events, and a report
//! for each fault.
//! Invariant: after `heal_all` no fault acts, whatever became of it; a fault that was never
//! injected, or had no effect, is reported as such.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker::id::BrokerId;
use checkers::history::{Action, FaultClass, NemesisEvent, OpType, Phase as FaultPhase};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::disk::rule::{DiskAction, DiskErrno};
use crate::nemesis::{
    Arena, Effect, FaultReport, FaultSpec, Step, run_fault, short_names, undo_everything,
};
use crate::plan::{Plan, ScheduledFault, When};
use crate::recorder::Entry;
use crate::run::events::{EventLog, What};
use crate::run::status::Status;
use crate::sandbox::Endpoint;
use crate::workload::session::{HARNESS_PROCESS, Session};

/// How long a fault may still be busy proving its effect after the end of the workload.
const PROOF_LIMIT: Duration = Duration::from_secs(3);

/// How long the last proofs of recovery are waited for once the cluster is whole.
const REPORT_LIMIT: Duration = Duration::from_secs(5);

/// Between two looks for what a fault waits for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Between two looks at what nodes print: a recovery does not take long.
const READ_AGAIN: Duration = Duration::from_millis(10);

/// The faults of a run.
pub struct Faults {
    arena: Arena,
    log: FaultLog,
    tasks: tokio::sync::Mutex<JoinSet<()>>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

impl Faults {
    /// Faults that have not begun.
    pub fn new(
        arena: Arena,
        session: &Arc<Session>,
        events: &EventLog,
        status: &Arc<Status>,
    ) -> Self {
        let log = FaultLog {
            session: Arc::clone(session),
            events: events.clone(),
            status: Arc::clone(status),
            acting: watch::Sender::new(0),
            reports: Arc::default(),
            told: Arc::default(),
        };
        Self {
            arena,
            log,
            tasks: tokio::sync::Mutex::default(),
        }
    }

    /// Lets every fault of `plan` act at its time; returns at `end`.
    pub async fn run(&self, plan: &Plan, end: Instant) {
        let begin = Instant::now();
        {
            let mut tasks = self.tasks.lock().await;
            for (number, fault) in plan.faults.iter().cloned().enumerate() {
                let (arena, log) = (self.arena.clone(), self.log.clone());
                let at = begin + Duration::from_millis(fault.at_ms);
                tasks.spawn(async move {
                    sleep_until(at).await;
                    act(&arena, &log, number, &fault).await;
                });
            }
        }
        sleep_until(end).await;
    }

    /// Lets no further fault begin and drops those that act; `heal_all` undoes what they did.
    pub async fn cancel(&self) {
        self.tasks.lock().await.shutdown().await;
        self.log.acting.send_replace(0);
        self.log.status.faults_end();
    }

    /// Ends every fault. Those that are about to end by themselves may prove their effect first.
    pub async fn heal_all(&self) {
        let mut acting = self.log.acting.subscribe();
        let over = timeout(PROOF_LIMIT, acting.wait_for(|acting| *acting == 0)).await;
        if over.is_err() {
            // What is still looking for its target must not strike a cluster that is healed.
            self.log
                .events
                .note("a fault was not over in time and is dropped");
            self.cancel().await;
        }
        // From here on it is the cluster's turn: its time to come back counts.
        let undone = undo_everything(&self.arena);
        let restored = self.arena.min_isr.restore(self.arena.view.as_ref()).await;
        for reason in [undone, restored].into_iter().filter_map(Result::err) {
            self.log.events.note(format!("healing: {reason}"));
        }
    }

    /// What all faults have told the history so far.
    pub fn told(&self) -> Vec<NemesisEvent> {
        let told = self.log.told.lock();
        told.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the last proofs of recovery; after it no fault leaves a line any more.
    pub async fn finish(&self) {
        let mut tasks = self.tasks.lock().await;
        let _ = timeout(REPORT_LIMIT, async {
            while tasks.join_next().await.is_some() {}
        })
        .await;
        tasks.shutdown().await;
        // What could not be restored amid faults can be by now.
        if let Err(reason) = self.arena.min_isr.restore(self.arena.view.as_ref()).await {
            self.log.events.note(format!("healing: {reason}"));
        }
    }

    /// The reports by the number of the fault in the plan.
    pub async fn reports(&self) -> BTreeMap<usize, FaultReport> {
        self.finish().await;
        self.log
            .reports
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Where the steps of faults go.
#[derive(Clone, Debug)]
struct FaultLog {
    session: Arc<Session>,
    events: EventLog,
    status: Arc<Status>,
    acting: watch::Sender<usize>,
    reports: Arc<Mutex<BTreeMap<usize, FaultReport>>>,
    told: Arc<Mutex<Vec<NemesisEvent>>>,
}

async fn act(arena: &Arena, log: &FaultLog, number: usize, fault: &ScheduledFault) {
    log.acting.send_modify(|acting| *acting += 1);
    if let Some(when) = &fault.when {
        match until_it_holds(arena, when).await {
            Ok(waited) => log.events.note(format!(
                "fault {} ({}) waited {:.1} s until {}",
                number + 1,
                fault.what.name(),
                waited.as_secs_f64(),
                when.holds
            )),
            Err(reason) => {
                let report = FaultReport {
                    fault: fault.what.clone(),
                    targets: Vec::new(),
                    effect: Effect::Vacuous(reason),
                    not_recovered: None,
                };
                log.never_injected(number, report);
                return;
            }
        }
    }
    let targets = Mutex::new(Vec::new());
    let on_step = |step| log.step(number, &fault.what, &targets, step);
    let hold = Duration::from_millis(fault.for_ms);
    let report = run_fault(arena, &fault.what, hold, u64::from(fault.draw), &on_step).await;
    if report.targets.is_empty() {
        log.never_injected(number, report);
    } else {
        log.report(number, report);
    }
}

/// Waits until the cluster looks as a fault wants it, and a while longer; how long it took until
/// it did.
async fn until_it_holds(arena: &Arena, when: &When) -> Result<Duration, String> {
    let begin = Instant::now();
    let limit = Duration::from_millis(when.within_ms);
    let holds = async {
        loop {
            let printed = |node| arena.files.printed_since(BrokerId(node), 0);
            if let Some(holds) = when.holds.is_printed(printed) {
                if holds {
                    return;
                }
                sleep(READ_AGAIN).await;
                continue;
            }
            let state = arena.view.observe().await;
            if state.is_ok_and(|state| when.holds.holds(&state) == Some(true)) {
                return;
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    let late = |_| format!("it was not seen within {limit:?} that {}", when.holds);
    timeout(limit, holds).await.map_err(late)?;
    let waited = begin.elapsed();
    sleep(Duration::from_millis(when.after_ms)).await;
    Ok(waited)
}

impl FaultLog {
    fn step(&self, number: usize, spec: &FaultSpec, nodes: &Mutex<Vec<Endpoint>>, step: Step) {
        let mut nodes = nodes.lock().unwrap_or_else(PoisonError::into_inner);
        match step {
            Step::Injected(resolved) => {
                let role = resolved.role(spec.target());
                *nodes = resolved.targets;
                let name = format!("{} {}", spec.name(), short_names(&nodes).join(" "));
                self.status.fault_begins(number, name);
                let detail = json!({ "spec": spec, "role": role });
                self.record(
                    number,
                    spec,
                    FaultPhase::Inject,
                    json!(short_names(&nodes)),
                    detail,
                );
            }
            Step::Acting => self.outage(number, spec, FaultPhase::Act, &nodes),
            Step::Ending => self.outage(number, spec, FaultPhase::End, &nodes),
            Step::Acts(disks) => self.events.append(What::Disks { number, disks }),
            Step::Healed(effect, more) => {
                let phase = match effect {
                    Effect::Seen(_) => FaultPhase::Prove,
                    Effect::Vacuous(_) => FaultPhase::Vacuous,
                };
                let target = json!(short_names(&nodes));
                self.record(number, spec, phase, target.clone(), detail(&effect, more));
                self.record(number, spec, FaultPhase::Heal, target, Value::Null);
                let report = FaultReport {
                    fault: spec.clone(),
                    targets: short_names(&nodes),
                    effect,
                    not_recovered: Some("the run went on before".to_owned()),
                };
                self.report(number, report);
                self.ended(number);
            }
            Step::Recovered(Ok(()), more) => {
                let target = json!(short_names(&nodes));
                let did = Some(more)
                    .filter(|more| !more.is_empty())
                    .map(Value::Object);
                let did = did.unwrap_or_default();
                self.record(number, spec, FaultPhase::Recovered, target, did);
            }
            Step::Recovered(Err(reason), _) => {
                self.events
                    .note(format!("fault {number} ({}): {reason}", spec.name()));
            }
        }
    }

    /// Tells between which lines of the history killed nodes were gone, and with them the replicas
    /// that the header says they have.
    fn outage(&self, number: usize, spec: &FaultSpec, phase: FaultPhase, nodes: &[Endpoint]) {
        if class(spec) == FaultClass::ProcessCrash {
            self.record(number, spec, phase, json!(short_names(nodes)), Value::Null);
        }
    }

    /// No step has told anybody.
    fn never_injected(&self, number: usize, report: FaultReport) {
        self.record(
            number,
            &report.fault,
            FaultPhase::Vacuous,
            Value::Null,
            detail(&report.effect, Map::new()),
        );
        self.report(number, report);
        self.ended(number);
    }

    /// Until a better one comes: a fault may be dropped while it waits for its recovery.
    fn report(&self, number: usize, report: FaultReport) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.insert(number, report);
    }

    fn ended(&self, number: usize) {
        self.status.fault_ends(number);
        self.acting
            .send_modify(|acting| *acting = acting.saturating_sub(1));
    }

    fn record(
        &self,
        number: usize,
        spec: &FaultSpec,
        phase: FaultPhase,
        target: Value,
        detail: Value,
    ) {
        let fault = NemesisEvent {
            fault: spec.name().to_owned(),
            class: class(spec),
            phase,
            target,
            detail,
        };
        self.events.append(What::Fault {
            number,
            fault: fault.clone(),
        });
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(fault.clone());
        drop(told);
        self.session.recorder.record(Entry {
            process: HARNESS_PROCESS,
            kind: OpType::Info,
            action: Action::Nemesis(Box::new(fault)),
            error: None,
            node: None,
        });
    }
}

/// The evidence alone, or with what else is known.
fn detail(effect: &Effect, mut more: Map<String, Value>) -> Value {
    let (Effect::Seen(evidence) | Effect::Vacuous(evidence)) = effect;
    if more.is_empty() {
        return json!(evidence);
    }
    more.insert("evidence".to_owned(), json!(evidence));
    Value::Object(more)
}

/// What a fault can do to the promises.
pub(crate) fn class(spec: &FaultSpec) -> FaultClass {
    match spec {
        FaultSpec::Kill { .. } | FaultSpec::Crash { .. } => FaultClass::ProcessCrash,
        FaultSpec::Terminate { .. } => FaultClass::Stop,
        FaultSpec::ClientKill { .. }
        | FaultSpec::ClientPause { .. }
        | FaultSpec::ClientLeave { .. } => FaultClass::Client,
        FaultSpec::Pause { .. } => FaultClass::Pause,
        FaultSpec::Damage { damage, .. } if damage.is_of_directory() => FaultClass::Wipe,
        FaultSpec::Damage { .. } => FaultClass::Corruption,
        FaultSpec::FileLimit { .. } | FaultSpec::AddressSpace { .. } | FaultSpec::Cpu { .. } => {
            FaultClass::Resource
        }
        FaultSpec::Partition { .. }
        | FaultSpec::Delay { .. }
        | FaultSpec::Bandwidth { .. }
        | FaultSpec::Reset { .. }
        | FaultSpec::Refuse { .. }
        | FaultSpec::Mute { .. }
        | FaultSpec::Hold { .. }
        | FaultSpec::Frame { .. } => FaultClass::Network,
        FaultSpec::Disk { rule, .. } => match rule.action {
            DiskAction::FlipOnRead => FaultClass::Corruption,
            DiskAction::Lie => FaultClass::LyingDisk,
            DiskAction::Full { .. }
            | DiskAction::Error {
                errno: DiskErrno::Enospc | DiskErrno::Edquot,
            } => FaultClass::DiskFull,
            DiskAction::Stall | DiskAction::OnOff { .. } | DiskAction::Slow { .. } => {
                FaultClass::DiskStall
            }
            _ => FaultClass::Disk,
        },
        FaultSpec::DiskQuota { .. } => FaultClass::DiskFull,
        FaultSpec::PowerLoss { .. } => FaultClass::PowerLoss,
        FaultSpec::MinIsr { .. } => FaultClass::Membership,
    }
}
