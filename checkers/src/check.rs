//! `check(history, contract) -> Verdict`: runs every checker over every partition.
//!
//! Partition by partition, so that memory is that of the history and of one partition. A panic in
//! a checker is caught and becomes the reason of an inconclusive verdict.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::anomaly::{Class, Kind};
use crate::availability::availability;
use crate::below_min_isr;
use crate::contract::Contract;
use crate::counts::counts;
use crate::group::{self, Context, Groups, Share};
use crate::history::columns::Columns;
use crate::history::{Acks, Action, History, Key, Op, OpType};
use crate::log::{self, Finding, Findings, Log, is_linearizable};
use crate::unavailable;
use crate::verdict::{Anomaly, Check, Verdict, Witness};

/// How many anomalies of each kind are reported in full; all are counted.
pub const EXAMPLES_MAX: usize = 8;
/// How many records a witness shows of one poll.
const WITNESS_RECORDS_MAX: usize = 16;

/// A history in the form that the checkers read: rows by partition, everything interned.
#[derive(Debug)]
pub struct Prepared {
    columns: Columns,
    groups: Groups,
}

impl Prepared {
    /// One pass over the history; memory is linear in it.
    pub fn of(history: &History) -> Self {
        let columns = Columns::build(history);
        let groups = Groups::build(history, &columns);
        Self { columns, groups }
    }

    /// Whether every partition's log is linearizable under the contract's rules.
    pub fn is_linearizable(&self, contract: &Contract) -> bool {
        self.columns
            .partitions
            .iter()
            .all(|partition| is_linearizable(partition, contract.rules))
    }
}

/// Judges a history by a contract.
pub fn check(history: &History, contract: &Contract) -> Verdict {
    check_prepared(history, &Prepared::of(history), contract)
}

/// Judges a history that was prepared before; `prepared` must be of this history.
pub fn check_prepared(history: &History, prepared: &Prepared, contract: &Contract) -> Verdict {
    let Prepared { columns, groups } = prepared;
    let context = Context {
        history,
        columns,
        groups,
        settings: &contract.group,
    };
    let has_groups = !groups.all.is_empty();
    let kinds = Kind::ALL.into_iter();
    let kinds = kinds.filter(|kind| match kind {
        Kind::Unavailable => contract.settings.available_within_ms.is_some(),
        // With acks=all `inconsistent-offsets` and `nonlinearizable` say it.
        Kind::InconsistentReads => contract.settings.acks != Acks::All,
        kind => has_groups || !kind.is_of_groups(),
    });
    let results = run(
        context,
        contract,
        kinds.map(|kind| (kind, checker_of(kind))).collect(),
    );
    let keys: Vec<&Key> = columns
        .partitions
        .iter()
        .map(|partition| &partition.key)
        .collect();
    let check = |(kind, findings): (Kind, Findings)| {
        let problem = findings.problem.clone();
        let count = findings.count;
        let class = match findings.is_final {
            true => Class::Safety,
            false => kind.class(),
        };
        let kept = findings.into_kept().filter_map(|(number, finding)| {
            let key = keys.get(number)?;
            Some(anomaly(history, kind, key, finding))
        });
        let examples: Vec<Anomaly> = kept.collect();
        let promise = match examples.first() {
            Some(example) => contract.promise_in(&example.key, kind),
            None => contract.promise(kind),
        };
        Check {
            anomaly: kind,
            class,
            promise,
            count,
            problem,
            examples,
        }
    };
    let judged = results.into_iter().flat_map(|(kind, found)| {
        let parts = found.judged().into_iter();
        parts.map(move |findings| (kind, findings))
    });
    let checks: Vec<Check> = judged.map(check).collect();
    let counts = counts(history, columns, groups, &checks);
    Verdict::of(contract, counts, checks, history.final_reads())
}

/// A checker of one partition: of its log, of the work of one group in it, of how long its clients
/// had to wait, or of what was acknowledged while replicas were down.
#[derive(Clone, Copy)]
enum Checker {
    Log(log::Check),
    Group(group::Check),
    Waiting,
    Outage,
}

fn checker_of(kind: Kind) -> Checker {
    if kind == Kind::Unavailable {
        return Checker::Waiting;
    }
    if kind == Kind::AckedBelowMinIsr {
        return Checker::Outage;
    }
    let of_log = log::check_of(kind).map(Checker::Log);
    let checker = of_log.or_else(|| group::check_of(kind).map(Checker::Group));
    checker.expect("invariant: every kind is one of logs or one of groups")
}

/// What a checker found: a partition may have what another must not.
struct Found {
    /// In partitions where it breaks the contract.
    forbidden: Findings,
    /// In the others.
    allowed: Findings,
}

impl Found {
    fn nothing() -> Self {
        let [forbidden, allowed] = [(); 2].map(|()| Findings::new(EXAMPLES_MAX));
        Self { forbidden, allowed }
    }

    /// What is reported from here on belongs to this partition.
    fn enter(&mut self, partition: usize, is_forbidden: bool) -> &mut Findings {
        let findings = match is_forbidden {
            true => &mut self.forbidden,
            false => &mut self.allowed,
        };
        findings.enter(partition);
        findings
    }

    /// What broke the contract, if anything did, and then what was found beside it.
    fn judged(self) -> Vec<Findings> {
        let Self {
            mut forbidden,
            mut allowed,
        } = self;
        let problem = forbidden.problem.take().or_else(|| allowed.problem.take());
        let mut judged = match (forbidden.count, allowed.count) {
            (0, _) => vec![allowed],
            (_, 0) => vec![forbidden],
            _ => vec![forbidden, allowed],
        };
        if let Some(first) = judged.first_mut() {
            first.problem = problem;
        }
        judged
    }
}

/// Runs these checkers.
fn run(
    context: Context<'_>,
    contract: &Contract,
    checkers: Vec<(Kind, Checker)>,
) -> Vec<(Kind, Found)> {
    let columns = context.columns;
    let within_ms = contract.settings.available_within_ms;
    let availability = within_ms.map(|_| availability(context.history));
    let availability = availability.unwrap_or_default();
    let nemesis = below_min_isr::events(context.history, columns);
    let mut results: Vec<(Kind, Found)> = checkers
        .iter()
        .map(|(kind, _)| (*kind, Found::nothing()))
        .collect();
    for (number, partition) in columns.partitions.iter().enumerate() {
        let log = caught(|| Log::new(partition, &columns.foreign, contract.rules));
        let shares = match &log {
            Ok(log) => shares(context, log, number),
            Err(_) => Vec::new(),
        };
        for ((_, checker), (kind, found)) in checkers.iter().zip(&mut results) {
            let promise = contract.promise_in(&partition.key, *kind);
            let findings = found.enter(number, promise.forbidden);
            let done = log.as_ref().map_err(Clone::clone).and_then(|log| {
                caught(AssertUnwindSafe(|| match checker {
                    Checker::Log(check) => check(log, findings),
                    Checker::Group(check) => {
                        for share in &shares {
                            check(share, findings);
                        }
                    }
                    Checker::Outage => {
                        let replicas = context.history.header.replicas.get(&partition.key);
                        let run = (replicas, &contract.settings);
                        below_min_isr::check(partition, &nemesis, run, findings);
                    }
                    Checker::Waiting => {
                        let key = &partition.key;
                        if let (Some(found), Some(within_ms)) = (availability.get(key), within_ms) {
                            let history = context.history;
                            unavailable::check(history, (key, found), within_ms, findings);
                        }
                    }
                }))
            });
            if let Err(panic) = done {
                findings.give_up(format!("on {}: {panic}", partition.key));
            }
        }
    }
    results
}

/// What the groups have in one partition.
fn shares<'a>(context: Context<'a>, log: &'a Log<'a>, number: usize) -> Vec<Share<'a>> {
    let groups = 0..context.groups.all.len();
    groups
        .filter_map(|group| Share::of(context, group, log, number))
        .collect()
}

fn caught<T>(job: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(job)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("it panicked without a message").to_owned()
    })
}

/// Completes a finding with its operations.
fn anomaly(history: &History, kind: Kind, key: &Key, finding: Finding) -> Anomaly {
    let Finding {
        offsets,
        witness,
        explanation,
    } = finding;
    let witness = witness.into_iter().map(|seen| {
        let op = |position: u32| history.op(position).cloned();
        let other = history.partner(seen.event).and_then(op);
        let (mut invocation, mut completion) = match op(seen.event) {
            Some(event) if event.kind == OpType::Invoke => (Some(event), other),
            event => (other, event),
        };
        if let Some(op) = &mut invocation {
            shorten(op, key, offsets);
        }
        let records_left_out = completion
            .as_mut()
            .map_or(0, |op| shorten(op, key, offsets));
        Witness {
            shows: seen.shows,
            invocation,
            completion,
            records_left_out,
        }
    });
    Anomaly {
        kind,
        key: key.clone(),
        offsets,
        explanation,
        witness: witness.collect(),
    }
}

/// Leaves of an operation what belongs to the proof, and counts the records that it leaves out.
fn shorten(op: &mut Op, key: &Key, (first, last): (i64, i64)) -> u64 {
    let records = match &mut op.action {
        Action::Poll(poll) => &mut poll.records,
        Action::Process(process) => &mut process.records,
        Action::Commit(commit) => {
            commit.offsets.retain(|k, _| k == key);
            return 0;
        }
        Action::Committed(committed) => {
            committed.offsets.retain(|k, _| k == key);
            return 0;
        }
        _ => return 0,
    };
    let all: usize = records.values().map(Vec::len).sum();
    records.retain(|k, _| k == key);
    let near = first.saturating_sub(1)..=last.saturating_add(1);
    for records in records.values_mut() {
        records.retain(|record| near.contains(&record.0));
        if records.len() > WITNESS_RECORDS_MAX {
            let tail = records.split_off(records.len() - WITNESS_RECORDS_MAX / 2);
            records.truncate(WITNESS_RECORDS_MAX / 2);
            records.extend(tail);
        }
    }
    let kept: usize = records.values().map(Vec::len).sum();
    (all - kept) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Header, Settings};
    use crate::verdict::Validity;

    fn final_reads(kind: OpType) -> Op {
        Op {
            index: 1_000,
            time: 0,
            process: 1_000,
            kind,
            action: Action::Admin(crate::history::FINAL_READS.into()),
            error: None,
            node: None,
        }
    }

    #[test]
    fn a_checker_that_panics_is_inconclusive_and_the_others_still_count() {
        let text = include_str!("../testdata/unseen/minimal.jsonl");
        let history = History::read(text.as_bytes()).expect("reads");
        let contract = Contract::of(&history);
        let broken: Checker = Checker::Log(|_, _| panic!("an unexpected shape"));
        let checkers = vec![
            (Kind::Phantom, broken),
            (Kind::Unseen, checker_of(Kind::Unseen)),
        ];
        let Prepared { columns, groups } = &Prepared::of(&history);
        let settings = &contract.group;
        let context = Context {
            history: &history,
            columns,
            groups,
            settings,
        };
        let results = run(context, &contract, checkers);
        let problems: Vec<_> = results
            .into_iter()
            .flat_map(|(_, found)| found.judged())
            .map(|findings| (findings.count, findings.problem))
            .collect();
        let problem = "on t-0: an unexpected shape".to_owned();
        assert_eq!(problems, [(0, Some(problem)), (1, None)]);
    }

    #[test]
    fn a_run_that_ends_before_its_final_reads_accuses_nobody_of_what_was_not_read() {
        let text = include_str!("../testdata/unseen/minimal.jsonl");
        let mut history = History::read(text.as_bytes()).expect("reads");
        let judge = |history: &History| {
            let verdict = check(history, &Contract::of(history));
            (verdict.validity, verdict.exit_code())
        };
        assert_eq!(judge(&history), (Validity::Invalid, 11));
        history.header.final_reads = true;
        assert_eq!(judge(&history).0, Validity::Inconclusive, "killed before");
        history.ops.push(final_reads(OpType::Invoke));
        assert_eq!(judge(&history).0, Validity::Inconclusive, "killed amid");
        history.ops.push(final_reads(OpType::Ok));
        assert_eq!(judge(&history), (Validity::Invalid, 11));
    }

    #[test]
    fn final_reads_that_did_not_come_to_an_end_prove_nothing_and_excuse_nothing() {
        let judge = |text: &str, kind| {
            let mut history = History::read(text.as_bytes()).expect("reads");
            history.header.final_reads = true;
            history.ops.push(final_reads(kind));
            let verdict = check(&history, &Contract::of(&history));
            (verdict.validity, verdict.exit_code())
        };
        let all_read = include_str!("../testdata/phantom/legal.jsonl");
        assert_eq!(judge(all_read, OpType::Ok), (Validity::Valid, 0));
        assert_eq!(judge(all_read, OpType::Info), (Validity::Inconclusive, 13));
        let unread = include_str!("../testdata/unseen/minimal.jsonl");
        assert_eq!(judge(unread, OpType::Info), (Validity::Invalid, 11));
    }

    #[test]
    fn an_acknowledgement_of_the_leader_alone_may_come_before_the_record_is_visible() {
        let line = |index, kind, f, value: &str| {
            let head = format!(r#"{{"index":{index},"time":0,"process":1,"type":"{kind}""#);
            format!(r#"{head},"f":"{f}","value":{value}}}"#)
        };
        let text = [
            r#"{"verdict-history":1}"#.to_owned(),
            line(0, "invoke", "send", r#"[["send","t-0",7]]"#),
            line(1, "ok", "send", r#"[["send","t-0",[0,7]]]"#),
            line(2, "invoke", "list-offsets", r#"[["end","t-0"]]"#),
            line(3, "ok", "list-offsets", r#"[["end","t-0",0]]"#),
            line(4, "invoke", "poll", r#"[["poll"]]"#),
            line(5, "ok", "poll", r#"[["poll",{"t-0":[[0,7]]}]]"#),
        ];
        let mut history = History::read(text.join("\n").as_bytes()).expect("reads");
        let judge = |history: &History| check(history, &Contract::of(history)).exit_code();
        assert_eq!(judge(&history), 10, "acks=all waits until it is visible");
        for acks in [Acks::One, Acks::Zero] {
            history.header.settings.acks = acks;
            let verdict = check(&history, &Contract::of(&history));
            let found: Vec<u64> = verdict.checks.iter().map(|check| check.count).collect();
            assert!(found.iter().all(|count| *count == 0), "{acks:?}: {found:?}");
        }
    }

    #[test]
    fn an_empty_history_proves_nothing() {
        let header = Header::new(Settings::default(), serde_json::Value::Null);
        let history = History::from_ops(header, vec![]).expect("empty");
        let verdict = check(&history, &Contract::of(&history));
        assert_eq!(
            (verdict.validity, verdict.exit_code()),
            (Validity::Inconclusive, 12)
        );
    }
}
