//! The whole cluster on what a loss of power of all nodes left: does the contract hold?
//!
//! In: the crash images of all nodes, one state of them, and the history of the run. Out: whether
//! the cluster came back, and what the contract says of what fresh clients read from it.
//! Invariant: judged is the history up to the moment at which all nodes were dead, what this state
//! lacks, and the final reads of this cluster; neither an answer that a client got later nor what
//! the disks lost in the run says anything about this state.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use checkers::anomaly::Kind;
use checkers::contract::Contract;
use checkers::history::{Action, History, Op, OpType};
use checkers::verdict::{Validity, Verdict};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::cluster::observer::Observer;
use crate::cluster::view::{Lack, Missing as Lacks, Silent};
use crate::crash::find::{SavedLoss, WholeLoss};
use crate::crash::result::{Finding, StateResult, UNDECIDED};
use crate::crash::stand::{Boot, Missing, Stand, total};
use crate::disk::journal::CrashState;
use crate::recorder::{Clock, Recorder};
use crate::run::judge::read_history;
use crate::workload::log::Clients;
use crate::workload::log::final_phase::Unfinished;
use crate::workload::session::{HARNESS_PROCESS, Session};

/// What became of the booted cluster.
enum Read {
    /// It is whole, and this is what fresh clients read.
    Whole(Vec<Op>),
    /// All that is missing is the leaders of these partitions.
    Silent(Lack),
    /// Anything else.
    Failed(String),
}

/// Boots the nodes of `losses` on `state`. An error is the harness's.
pub(super) async fn check(
    stand: &Stand,
    scratch: &Path,
    losses: &[&SavedLoss],
    whole: &WholeLoss,
    history: &History,
    state: CrashState,
) -> io::Result<StateResult> {
    let (boot, missing) = stand.prepare(scratch, losses, state)?;
    let read = read(stand, &boot, history).await;
    boot.end().await?;
    let (findings, allowed, verdict) = match read? {
        Read::Failed(reason) => (vec![Finding::NotRecovered(reason)], BTreeMap::new(), None),
        Read::Silent(lack) => {
            let (findings, allowed) = silence(&spliced(history, whole, &missing, vec![])?, lack);
            (findings, allowed, None)
        }
        Read::Whole(reads) => {
            let verdict = judge(&spliced(history, whole, &missing, reads)?);
            let (findings, allowed) = sort(&verdict);
            (findings, allowed, Some(word(verdict.validity)))
        }
    };
    Ok(StateResult {
        nodes: losses.iter().map(|loss| loss.node).collect(),
        loss: losses
            .first()
            .map_or(String::new(), |loss| loss.name.clone()),
        state,
        missing: total(&missing),
        killed: 0,
        findings,
        allowed,
        verdict,
    })
}

/// What fresh clients read once the cluster is whole; what kept it from that.
async fn read(stand: &Stand, boot: &Boot, history: &History) -> io::Result<Read> {
    let (plan, store) = (&stand.plan, &boot.store);
    let observer = Observer::new(plan);
    let cluster = Cluster::start(plan, &stand.sandbox, &boot.supervisor, store, &observer);
    let cluster = cluster.map_err(io::Error::other)?;
    let deadline = Instant::now() + stand.whole_within;
    let lacks = cluster.wait_until_whole(deadline).await;
    // A topic that only has no leaders says less than one that lacks more.
    if let Some(lack) = lacks.into_values().max_by_key(Lack::is_more_than_silence) {
        return Ok(match lack.silent.is_empty() {
            false => Read::Silent(lack),
            true => Read::Failed(lack.reason),
        });
    }
    let header = history.header.clone();
    let (recorder, writer) =
        Recorder::create(&store.history(), header, Clock::start()).map_err(io::Error::other)?;
    let session = Arc::new(Session::new(Arc::clone(plan), recorder));
    let clients = Clients::start(plan, &stand.sandbox, &boot.supervisor, &store.clients()).await;
    let clients = clients.map_err(io::Error::other)?;
    let hidden = cluster
        .wait_until_visible(&Lacks::new(), stand.whole_within)
        .await;
    let hidden = hidden.into_iter();
    let hidden = hidden.map(|hidden| Unfinished::hidden(hidden, stand.whole_within));
    let unfinished = clients
        .read_everything(&session, &Lacks::new(), hidden.collect())
        .await;
    drop(session);
    writer.finish().map_err(io::Error::other)?;
    if !unfinished.is_empty() {
        let unfinished: Vec<String> = unfinished.iter().map(ToString::to_string).collect();
        return Ok(Read::Failed(unfinished.join("; ")));
    }
    let reads = read_history(&store.history()).map_err(io::Error::other)?;
    Ok(Read::Whole(reads.ops))
}

/// The answers that were given before the loss, what it took in this state, and `reads` after it.
fn spliced(
    history: &History,
    whole: &WholeLoss,
    missing: &Missing,
    reads: Vec<Op>,
) -> io::Result<History> {
    let ops = splice(&history.ops, whole, proof(whole, missing), reads);
    History::from_ops(history.header.clone(), ops).map_err(io::Error::other)
}

fn judge(spliced: &History) -> Verdict {
    let by_topic = checkers::check_topics(spliced);
    let whole = checkers::worst_of(&by_topic);
    whole.unwrap_or_else(|| checkers::check(spliced, &Contract::of(spliced)))
}

/// What a cluster means that lacks the leaders of some partitions.
fn silence(spliced: &History, lack: Lack) -> (Vec<Finding>, BTreeMap<String, u64>) {
    let of_topic = |(topic, _): &(String, History)| {
        let mut silent = lack.silent.iter();
        silent.any(|silent| silent.topic == *topic)
    };
    let part = spliced.by_topic().into_iter().find(of_topic);
    let judged = part.as_ref().map_or(spliced, |(_, part)| part);
    let silenced = Contract::of(judged).silenced();
    let is_allowed = |silent: &Silent| {
        let silenced = silenced.as_ref();
        silenced.is_some_and(|silenced| silenced.covers(&silent.replicas))
    };
    if !lack.silent.iter().all(is_allowed) {
        return (vec![Finding::NotRecovered(lack.reason)], BTreeMap::new());
    }
    let unavailable = Kind::Unavailable.name().to_owned();
    (Vec::new(), [(unavailable, 1)].into())
}

/// The proof of the loss with what the disks lack in this state: in the run, another one, they
/// may have lost more or less.
fn proof(whole: &WholeLoss, missing: &Missing) -> Op {
    let disks = missing.iter().map(|(disk, effect)| {
        json!({
            "node": disk.node,
            "directory": disk.directory,
            "unsynced": effect.unsynced,
            "lost": effect.lost,
            "missed": effect.missed,
            "lost_bytes": effect.lost_bytes,
        })
    });
    let disks: Value = disks.collect();
    let mut proof = whole.proof.clone();
    if let Action::Nemesis(event) = &mut proof.action
        && let Value::Object(detail) = &mut event.detail
    {
        detail.insert("disks".to_owned(), disks);
    }
    proof
}

/// The lines up to the loss, its `proof`, and `reads` as processes that were never seen before.
fn splice(before: &[Op], whole: &WholeLoss, proof: Op, reads: Vec<Op>) -> Vec<Op> {
    let is_before = |op: &&Op| op.index <= whole.index;
    let mut ops: Vec<Op> = before.iter().filter(is_before).cloned().collect();
    let time = ops.last().map_or(0, |op| op.time);
    let mut fresh = before.iter().map(|op| op.process + 1).max().unwrap_or(1);
    // A node that was still dying may have stored them; what came of them is not known.
    let is_on_its_way = |op: &&Op| {
        let is_send = op.kind == OpType::Invoke && matches!(op.action, Action::Send(_));
        is_send && op.index > whole.index && op.index < whole.proof.index
    };
    let mut sends: Vec<Op> = before.iter().filter(is_on_its_way).cloned().collect();
    for send in &mut sends {
        send.process = fresh;
        fresh += 1;
    }
    let reads = reads.into_iter().map(|mut op| {
        if op.process != HARNESS_PROCESS {
            op.process += fresh;
        }
        op
    });
    for mut op in sends.into_iter().chain([proof]).chain(reads) {
        op.index = ops.last().map_or(0, |last| last.index + 1);
        op.time = op.time.max(time);
        ops.push(op);
    }
    ops
}

/// What the verdict forbids, and what it allows and has seen.
fn sort(verdict: &Verdict) -> (Vec<Finding>, BTreeMap<String, u64>) {
    let mut findings = Vec::new();
    let mut allowed = BTreeMap::new();
    for check in verdict.checks.iter().filter(|check| check.count > 0) {
        let anomaly = check.anomaly.name().to_owned();
        if check.promise.forbidden {
            let example = check.examples.first();
            findings.push(Finding::Forbidden {
                anomaly,
                count: check.count,
                example: example.map_or(String::new(), |example| example.explanation.clone()),
            });
        } else {
            allowed.insert(anomaly, check.count);
        }
    }
    (findings, allowed)
}

fn word(validity: Validity) -> String {
    let word = match validity {
        Validity::Valid => "valid",
        Validity::Invalid => "invalid",
        Validity::HarnessError | Validity::Inconclusive => UNDECIDED,
    };
    word.to_owned()
}

#[cfg(test)]
#[path = "whole_test.rs"]
mod whole_test;
