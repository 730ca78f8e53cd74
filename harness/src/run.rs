//! The lifecycle of a run, readable in one screen.
//!
//! In: a plan, and where results go. Out: a result directory and how the run ended.
//! Invariant: whatever happens, everything that was started is stopped, the history is finished,
//! and a violation that it shows is reported; a failure of the harness never hides one.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::view::Lack;
use crate::run::aftermath::Aftermath;
use crate::run::events::Phase;
use crate::run::failure::RunFailure;
use crate::run::interrupt::Interrupt;
use crate::run::stage::Stage;
use crate::run::summary::{Liveness, Summary};
use crate::workload::log::Clients;
use crate::workload::log::final_phase::Unfinished;
use crate::workload::log::progress::Progress;

pub mod aftermath;
pub mod events;
pub mod failure;
pub mod faults;
pub mod interrupt;
pub mod judge;
pub mod launch;
pub mod sampler;
pub mod stage;
pub mod status;
pub mod store;
pub mod summary;
#[cfg(test)]
mod summary_test;

pub use launch::{RunRequest, launch};

/// The time that processes get to stop by themselves at the end.
const STOP_LIMIT: Duration = Duration::from_millis(1_500);

/// The time that high watermarks get to come to the ends of the logs once nobody sends any more.
const VISIBLE_LIMIT: Duration = Duration::from_secs(5);

/// Runs the stage's plan from the start of the cluster to the stored verdict.
async fn lifecycle(stage: &Stage, interrupt: &Interrupt) -> Result<Summary, RunFailure> {
    let acted = act(stage, interrupt).await;
    let aftermath = match &acted {
        Ok(aftermath) => aftermath.clone(),
        Err(failure) => Aftermath::of_all(Liveness::NotReached {
            reason: failure.to_string(),
        }),
    };
    let faults = stage.nemesis.reports().await;
    stage.supervisor.stop_all(STOP_LIMIT).await;
    let failure = acted.err();
    let is_harness_fault = matches!(failure, Some(RunFailure::Harness(_)));
    let summary = stage.conclude(aftermath, is_harness_fault, &faults).await?;
    match failure {
        Some(failure) if is_harness_fault && !summary.is_violation() => Err(failure),
        _ => Ok(summary),
    }
}

/// Everything that touches the cluster: up, workload beside nemesis, heal, recovery, final reads.
async fn act(stage: &Stage, interrupt: &Interrupt) -> Result<Aftermath, RunFailure> {
    let clients = interrupt.or(start(stage)).await??;
    let _sampler = sampler::start(stage);
    stage.enter(Phase::Workload);
    let limit = Duration::from_millis(stage.plan.time.workload_ms);
    let workload = clients.work(&stage.session);
    let faults = async {
        let end = Instant::now() + limit;
        if interrupt
            .or(stage.nemesis.run(&stage.plan, end))
            .await
            .is_err()
        {
            stage.nemesis.cancel().await;
        }
        stage.session.stop();
    };
    tokio::join!(workload, faults);
    stage.enter(Phase::Heal);
    stage.note_deaths();
    stage.note_lost_clients();
    stage.nemesis.heal_all().await;
    stage.session.resume();
    let aftermath = interrupt.or(settle(stage, &clients)).await;
    // A node that died since then need not have been missed by anybody.
    stage.note_deaths();
    aftermath
}

/// Starts the nodes, then the clients, and proves that what runs is what was planned.
async fn start(stage: &Stage) -> Result<Clients, RunFailure> {
    stage.enter(Phase::Start);
    stage.cluster.wait_until_serving().await?;
    let replicas = stage.cluster.replicas();
    let recorder = &stage.session.recorder;
    recorder.begin(|header| header.replicas = replicas);
    stage.enter(Phase::Assumptions);
    let logs = stage.store.clients();
    let clients = Clients::start(&stage.plan, &stage.sandbox, &stage.supervisor, &logs);
    let (clients, assumptions) = tokio::join!(clients, stage.cluster.check_assumptions());
    assumptions?;
    let clients = clients.map_err(RunFailure::harness)?;
    assemble(stage, &clients).await;
    Ok(clients)
}

/// Lets the members of a group come together, so that faults meet a group that works.
async fn assemble(stage: &Stage, clients: &Clients) {
    let Some(members) = &clients.members else {
        return;
    };
    members.begin(&stage.session).await;
    let limit = Duration::from_millis(stage.plan.time.start_deadline_ms);
    if !members
        .assembled(&stage.session, Instant::now() + limit)
        .await
    {
        // Whose fault that is the checkers say, once the run is over.
        stage
            .events
            .note(format!("the group was not complete within {limit:?}"));
    }
}

/// After healing: the cluster has to be whole and to make progress, and fresh clients read all.
async fn settle(stage: &Stage, clients: &Clients) -> Aftermath {
    stage.enter(Phase::Recovery);
    let Progress {
        after_ms,
        mut missing,
        ..
    } = recover(stage, clients).await;
    if missing.len() < stage.plan.topics().len() {
        stage.enter(Phase::Final);
        if let Err(reason) = drain(stage, clients).await {
            missing.insert(stage.plan.cluster.topic.clone(), reason.into());
        }
    } else if let Some(members) = &clients.members {
        members.end(&stage.session).await;
    }
    // What can still be read is read: a violation outranks unavailability.
    let hidden = stage
        .cluster
        .wait_until_visible(&missing, VISIBLE_LIMIT)
        .await;
    let hidden = hidden.into_iter();
    let hidden = hidden.map(|hidden| Unfinished::hidden(hidden, VISIBLE_LIMIT));
    let unread = clients
        .read_everything(&stage.session, &missing, hidden.collect())
        .await;
    if !unread.is_empty() {
        // Damage shows when it is read, and takes the leader of a partition whose only copy it is.
        let now = stage.cluster.lacks().await;
        for unfinished in unread {
            let silent = now.get(&unfinished.topic);
            let silent = silent.and_then(|lack| lack.silent(unfinished.partition));
            let lack = missing.entry(unfinished.topic.clone());
            let lack = lack.or_insert_with(|| String::new().into());
            match silent {
                Some(silent) => lack.add_silence(&unfinished.to_string(), silent.clone()),
                None => lack.add(&unfinished.to_string()),
            }
        }
    }
    Aftermath::of_topics(after_ms, missing)
}

/// Waits until each topic is whole and makes progress, all within the same time. Where all that a
/// topic lacks is the leaders of some partitions, the others have to.
async fn recover(stage: &Stage, clients: &Clients) -> Progress {
    let limit = Duration::from_millis(stage.plan.time.recovery_deadline_ms);
    let deadline = Instant::now() + limit;
    let (tell, stands) = watch::channel(BTreeMap::new());
    let may_stay = |topic: &str, lack: &Lack| stage.may_stay(topic, lack);
    let watched = stage.cluster.watch(deadline, may_stay, |stands| {
        tell.send_if_modified(|told| {
            let is_news = told != stands;
            told.clone_from(stands);
            is_news
        });
    });
    let proven = clients.prove_progress(&stage.session, &stands, deadline);
    let ((), mut progress) = tokio::join!(watched, proven);
    if !progress.stuck.is_empty() {
        progress.take_in(&stage.cluster.lacks().await);
    }
    // What the final readers are told counts as an answer of a cluster without faults.
    stage.nemesis.finish().await;
    progress
}

/// Lets the members of a group work off what is left; what is missing at the deadline.
async fn drain(stage: &Stage, clients: &Clients) -> Result<(), String> {
    let Some(members) = &clients.members else {
        return Ok(());
    };
    let limit = Duration::from_millis(stage.plan.time.final_deadline_ms);
    members.drain(&stage.session, Instant::now() + limit).await
}
