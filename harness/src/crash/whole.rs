//! The whole cluster on what a loss of power of all nodes left: does the contract hold?
//!
//! In: the crash images of all nodes, one state of them, and the history of the run. Out: whether
//! the cluster came back, and what the contract says of what fresh clients read from it.
//! Invariant: judged is the history up to the moment at which all nodes were dead, followed by the
//! final reads of this cluster; an answer that a client got later says nothing about this state.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use checkers::contract::Contract;
use checkers::history::{Action, FINAL_READS, History, Op, OpType};
use checkers::verdict::{Validity, Verdict};
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::cluster::observer::Observer;
use crate::crash::find::{SavedLoss, WholeLoss};
use crate::crash::result::{Finding, StateResult, UNDECIDED};
use crate::crash::stand::{Boot, Stand};
use crate::disk::journal::CrashState;
use crate::recorder::{Clock, Entry, Recorder};
use crate::run::judge::read_history;
use crate::workload::log::Clients;
use crate::workload::session::{HARNESS_PROCESS, Session};

/// How long the cluster may take to be whole, on a loaded machine.
const RECOVERY_LIMIT: Duration = Duration::from_secs(40);

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
        Err(reason) => (vec![Finding::NotRecovered(reason)], BTreeMap::new(), None),
        Ok(reads) => {
            let verdict = judge(history, whole, reads)?;
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
        missing,
        killed: 0,
        findings,
        allowed,
        verdict,
    })
}

/// What fresh clients read once the cluster is whole; what kept it from that.
async fn read(
    stand: &Stand,
    boot: &Boot,
    history: &History,
) -> io::Result<Result<Vec<Op>, String>> {
    let (plan, store) = (&stand.plan, &boot.store);
    let observer = Observer::new(plan);
    let cluster = Cluster::start(plan, &stand.sandbox, &boot.supervisor, store, &observer);
    let cluster = cluster.map_err(io::Error::other)?;
    if let Err(missing) = cluster
        .wait_until_whole(Instant::now() + RECOVERY_LIMIT)
        .await
    {
        return Ok(Err(missing));
    }
    let header = history.header.clone();
    let (recorder, writer) =
        Recorder::create(&store.history(), header, Clock::start()).map_err(io::Error::other)?;
    let session = Arc::new(Session::new(Arc::clone(plan), recorder));
    let clients = Clients::start(plan, &stand.sandbox, &boot.supervisor, &store.clients()).await;
    let clients = clients.map_err(io::Error::other)?;
    record_final_reads(&session, OpType::Invoke);
    let ended = clients.read_everything(&session).await;
    record_final_reads(&session, OpType::Ok);
    drop(session);
    writer.finish().map_err(io::Error::other)?;
    if let Err(unfinished) = ended {
        let unfinished: Vec<String> = unfinished.iter().map(ToString::to_string).collect();
        return Ok(Err(unfinished.join("; ")));
    }
    let reads = read_history(&store.history()).map_err(io::Error::other)?;
    Ok(Ok(reads.ops))
}

fn record_final_reads(session: &Session, kind: OpType) {
    session.recorder.record(Entry {
        process: HARNESS_PROCESS,
        kind,
        action: Action::Admin(FINAL_READS.into()),
        error: None,
        node: None,
    });
}

/// Judges the answers that were given before the loss, and `reads` after it.
fn judge(history: &History, whole: &WholeLoss, reads: Vec<Op>) -> io::Result<Verdict> {
    let ops = splice(&history.ops, whole, reads);
    let spliced = History::from_ops(history.header.clone(), ops).map_err(io::Error::other)?;
    Ok(checkers::check(&spliced, &Contract::of(&spliced)))
}

/// The lines up to the loss, its proof, and `reads` as processes that were never seen before.
fn splice(before: &[Op], whole: &WholeLoss, reads: Vec<Op>) -> Vec<Op> {
    let is_before = |op: &&Op| op.index <= whole.index;
    let mut ops: Vec<Op> = before.iter().filter(is_before).cloned().collect();
    let fresh = ops.iter().map(|op| op.process + 1).max().unwrap_or(1);
    let time = ops.last().map_or(0, |op| op.time);
    for mut op in std::iter::once(whole.proof.clone()).chain(reads) {
        op.index = ops.last().map_or(0, |last| last.index + 1);
        op.time = op.time.max(time);
        if op.process != HARNESS_PROCESS {
            op.process += fresh;
        }
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
mod tests {
    use super::*;
    use checkers::history::{Header, Key, Poll, Record, RecordValue, Send, Settings};
    use serde_json::{Value, json};

    fn op(index: u64, process: u64, kind: OpType, action: Action) -> Op {
        Op {
            index,
            time: index,
            process,
            kind,
            action,
            error: None,
            node: None,
        }
    }

    fn power_loss(index: u64, phase: &str) -> Op {
        let event = json!({
            "fault": "power-loss", "class": "power-loss", "phase": phase,
            "target": ["n1", "n2", "n3"],
            "detail": {
                "spec": { "stagger_ms": 0 },
                "images": { "1": "crash-1", "2": "crash-1", "3": "crash-2" },
            },
        });
        let event = serde_json::from_value(event).unwrap();
        op(index, 0, OpType::Info, Action::Nemesis(Box::new(event)))
    }

    fn send(value: u64, offset: Option<i64>) -> Action {
        let key = Key::new("t", 0);
        Action::Send(vec![Send { key, value, offset }])
    }

    /// Two sends are acknowledged before the loss, one after it.
    fn history(flush_every_message: bool) -> History {
        let settings = Settings {
            replication_factor: 3,
            min_insync_replicas: 2,
            flush_every_message,
            ..Settings::default()
        };
        let mut header = Header::new(settings, Value::Null);
        header.final_reads = true;
        let mut ops = Vec::new();
        for value in 0..3 {
            if value == 2 {
                ops.push(power_loss(4, "inject"));
                ops.push(power_loss(5, "prove"));
            }
            let index = ops.len() as u64;
            ops.push(op(index, 1, OpType::Invoke, send(value, None)));
            ops.push(op(
                index + 1,
                1,
                OpType::Ok,
                send(value, Some(value as i64)),
            ));
        }
        History::from_ops(header, ops).unwrap()
    }

    fn reads(values: std::ops::Range<u64>) -> Vec<Op> {
        let record = |value: u64| Record(value as i64, RecordValue::Unique(value));
        let end = values.end as i64;
        let poll = Poll {
            records: [(Key::new("t", 0), values.map(record).collect())].into(),
        };
        let list = |offset| {
            Action::ListOffsets(vec![checkers::history::ListOffset {
                bound: checkers::history::Bound::End,
                key: Key::new("t", 0),
                offset,
            }])
        };
        let assign = || Action::Assign(vec![Key::new("t", 0)]);
        let seek = || {
            let beginning = checkers::history::Position::Beginning;
            Action::Seek([(Key::new("t", 0), beginning)].into())
        };
        let admin = || Action::Admin(FINAL_READS.into());
        let steps = [
            (0, OpType::Invoke, admin()),
            (1, OpType::Invoke, list(None)),
            (1, OpType::Ok, list(Some(end))),
            (1, OpType::Invoke, assign()),
            (1, OpType::Ok, assign()),
            (1, OpType::Invoke, seek()),
            (1, OpType::Ok, seek()),
            (1, OpType::Invoke, Action::Poll(Poll::default())),
            (1, OpType::Ok, Action::Poll(poll)),
            (0, OpType::Ok, admin()),
        ];
        let steps = steps.into_iter().zip(0..);
        steps
            .map(|((process, kind, action), index)| op(index, process, kind, action))
            .collect()
    }

    fn found(flush_every_message: bool, values: std::ops::Range<u64>) -> Verdict {
        let history = history(flush_every_message);
        let losses = crate::crash::find::whole_losses(&history, 3);
        assert_eq!(losses.len(), 1);
        judge(&history, &losses[0], reads(values)).unwrap()
    }

    #[test]
    fn a_send_that_was_acknowledged_before_the_loss_must_be_read() {
        let (findings, _) = sort(&found(true, 0..2));
        assert_eq!(findings, vec![]);
        let (findings, _) = sort(&found(true, 0..1));
        let is_lost = |finding: &Finding| match finding {
            Finding::Forbidden { anomaly, .. } => anomaly == "lost-write",
            _ => false,
        };
        assert!(findings.iter().any(is_lost), "{findings:?}");
    }

    #[test]
    fn without_flush_the_same_loss_is_allowed_and_told() {
        let (findings, allowed) = sort(&found(false, 0..1));
        assert_eq!(findings, vec![]);
        assert_eq!(allowed.get("lost-write"), Some(&1), "{allowed:?}");
    }
}
