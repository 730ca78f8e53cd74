//! What can be taken away from a plan, in the order of reference/faults.md §2.3.
//!
//! In: a search with its best plan so far. Out: the search with a smaller one.
//! Invariant: what decides the promises (acks, copies, min.insync.replicas, the flush policy) and
//! how long faults have to act (timeouts) is not touched: another promise is another failure.

use serde_json::Value;

use crate::minimize::ddmin::{Answer, ddmin};
use crate::minimize::search::{PARTS, Search};
use crate::plan::{Plan, ScheduledFault};
use crate::worker::protocol::Compression;

/// What clients go on after the last fault, in milliseconds.
const AFTER_MS: u64 = 2_000;

/// The earliest fault: something should be there to be lost.
const FIRST_FAULT_MS: u64 = 1_000;

/// A drawn value, and the plain one that takes its place.
struct Knob {
    words: &'static str,
    turn: fn(&mut Plan),
}

/// Everything drawn that no promise depends on.
const KNOBS: [Knob; 10] = [
    Knob {
        words: "compression",
        turn: |plan| plan.workload.producer.compression = Compression::None,
    },
    Knob {
        words: "linger.ms",
        turn: |plan| plan.workload.producer.linger_ms = 0,
    },
    Knob {
        words: "more than one request in flight",
        turn: |plan| plan.workload.producer.max_in_flight = 1,
    },
    Knob {
        words: "payloads of different sizes",
        turn: |plan| plan.workload.payload_bytes[1] = plan.workload.payload_bytes[0],
    },
    Knob {
        words: "small segments",
        turn: |plan| {
            plan.cluster.broker_settings.remove("log.segment.bytes");
        },
    },
    Knob {
        words: "several log directories",
        turn: |plan| plan.cluster.log_dirs = 1,
    },
    Knob {
        words: "faulty disks",
        turn: |plan| plan.cluster.disk = None,
    },
    Knob {
        words: "log directories on a tmpfs",
        turn: |plan| plan.cluster.tmpfs_mib = None,
    },
    Knob {
        words: "slow fsync",
        turn: |plan| {
            if let Some(disk) = &mut plan.cluster.disk {
                disk.fsync_ms = 0;
            }
        },
    },
    Knob {
        words: "a bound on the size of disks",
        turn: |plan| {
            if let Some(disk) = &mut plan.cluster.disk {
                disk.quota_mib = None;
            }
        },
    },
];

/// Plain values for what was drawn, and no more nodes than copies.
pub(super) fn config(search: &mut Search<'_>) {
    let drawn = search.best.clone();
    let turned = |knob: &Knob| {
        let mut plan = drawn.clone();
        (knob.turn)(&mut plan);
        plan != drawn
    };
    let knobs: Vec<&Knob> = KNOBS.iter().filter(|knob| turned(knob)).collect();
    by_delta(
        search,
        &knobs,
        |knob| knob.words.to_owned(),
        |kept| {
            let mut plan = drawn.clone();
            let is_kept = |knob: &Knob| kept.iter().any(|kept| kept.words == knob.words);
            for knob in KNOBS.iter().filter(|knob| !is_kept(knob)) {
                (knob.turn)(&mut plan);
            }
            plan
        },
    );
    let copies = u64::try_from(search.best.cluster.replication_factor).unwrap_or(1);
    shrink(search, "nodes", copies, |plan| &mut plan.cluster.nodes);
}

/// As few clients as it takes; members of a group only where it takes a group.
pub(super) fn clients(search: &mut Search<'_>) {
    let mut plan = search.best.clone();
    if plan.workload.group.take().is_some() {
        search.ask(plan, "the consumer group");
    }
    shrink(search, "producers", 1, |plan| &mut plan.workload.producers);
    shrink(search, "consumers", 1, |plan| &mut plan.workload.consumers);
    shrink(search, "processes of a producer", 1, |plan| {
        &mut plan.workload.processes_per_producer
    });
}

/// As few partitions as it takes; faults that were aimed at one of the others take one that is
/// left.
pub(super) fn partitions(search: &mut Search<'_>) {
    let count = u64::try_from(search.best.cluster.partitions).unwrap_or(1);
    smallest(search, "partitions", 1, count, |plan, count| {
        let faults = serde_json::to_value(&plan.faults).unwrap_or_default();
        let folded = serde_json::from_value(fold(faults, count));
        let mut plan = plan.clone();
        plan.faults = folded.unwrap_or(plan.faults);
        plan.cluster.partitions = count as i32;
        plan
    });
}

/// Every number of a partition, folded into the first `count`.
fn fold(value: Value, count: u64) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(key, value)| match value.as_u64() {
                Some(number) if key == "partition" => (key, Value::from(number % count)),
                _ => (key, fold(value, count)),
            });
            Value::Object(fields.collect())
        }
        Value::Array(items) => items.into_iter().map(|item| fold(item, count)).collect(),
        value => value,
    }
}

/// The topics beside the plan's own.
pub(super) fn topics(search: &mut Search<'_>) {
    let drawn = search.best.clone();
    let all = &drawn.cluster.further_topics;
    by_delta(
        search,
        all,
        |topic| format!("topic {}", topic.name),
        |kept| {
            let mut plan = drawn.clone();
            plan.cluster.further_topics = kept.to_vec();
            plan
        },
    );
}

/// The faults that it takes.
pub(super) fn faults(search: &mut Search<'_>) {
    let all = search.best.faults.clone();
    let drawn = search.best.clone();
    by_delta(search, &all, words, |kept| Plan {
        faults: kept.to_vec(),
        ..drawn.clone()
    });
}

/// Earlier and shorter faults, and no more time than they need.
pub(super) fn timing(search: &mut Search<'_>) {
    let mut plan = search.best.clone();
    let first = plan.faults.iter().map(|fault| fault.at_ms).min();
    let early = first.unwrap_or(0).saturating_sub(FIRST_FAULT_MS);
    for fault in &mut plan.faults {
        fault.at_ms -= early;
    }
    plan.time.workload_ms = plan.time.workload_ms.min(plan.last_heal_ms() + AFTER_MS);
    let what = format!("{early} ms before the first fault, and what came after the last");
    if matches!(search.ask(plan, &what), Answer::Passes | Answer::Undecided) {
        let mut plan = search.best.clone();
        plan.time.workload_ms = plan.time.workload_ms.min(plan.last_heal_ms() + AFTER_MS);
        search.ask(plan, "what came after the last fault");
    }
    for number in 0..search.best.faults.len() {
        halve(search, number);
    }
}

/// Half the length of a fault.
fn halve(search: &mut Search<'_>, number: usize) {
    let mut plan = search.best.clone();
    let Some(fault) = plan.faults.get_mut(number) else {
        return;
    };
    let whole = fault.for_ms;
    fault.for_ms /= 2;
    let what = format!("half of the {whole} ms of {}", fault.what.name());
    plan.time.workload_ms = plan.time.workload_ms.min(plan.last_heal_ms() + AFTER_MS);
    search.ask(plan, &what);
}

/// A fault in words.
pub fn words(fault: &ScheduledFault) -> String {
    let at = fault.at_ms as f64 / 1_000.0;
    let length = fault.for_ms as f64 / 1_000.0;
    let when = fault.when.as_ref();
    let when = when.map_or_else(String::new, |when| format!(" once {}", when.holds));
    let (name, target) = (fault.what.name(), fault.what.target());
    format!("{name} of {target} at {at:.1} s for {length:.1} s{when}")
}

/// Takes from a list what the failure does not need; `without` makes the plan with only some of
/// the items.
fn by_delta<T: Clone>(
    search: &mut Search<'_>,
    items: &[T],
    words: impl Fn(&T) -> String,
    with: impl Fn(&[T]) -> Plan,
) {
    let mut before: Vec<T> = items.to_vec();
    ddmin(items, |kept| {
        let names: Vec<String> = kept.iter().map(&words).collect();
        let taken = before
            .iter()
            .map(&words)
            .filter(|name| !names.contains(name));
        let what = taken.collect::<Vec<_>>().join(PARTS);
        let answer = search.ask(with(kept), &what);
        if answer == Answer::Fails {
            before = kept.to_vec();
        }
        answer
    });
}

/// The smallest value of a field that still fails.
fn shrink(search: &mut Search<'_>, what: &str, least: u64, field: fn(&mut Plan) -> &mut u32) {
    let value = u64::from(*field(&mut search.best.clone()));
    smallest(search, what, least, value, |plan, value| {
        let mut plan = plan.clone();
        *field(&mut plan) = value as u32;
        plan
    });
}

/// The smallest number that still fails: the least, or what halving finds.
fn smallest(
    search: &mut Search<'_>,
    what: &str,
    least: u64,
    value: u64,
    with: impl Fn(&Plan, u64) -> Plan,
) {
    let (mut passes, mut fails) = (least.saturating_sub(1), value);
    let mut next = least;
    while passes + 1 < fails {
        let plan = with(&search.best, next);
        match search.ask(plan, &format!("{what}: {fails} became {next}")) {
            Answer::Fails => fails = next,
            Answer::Passes | Answer::Undecided => passes = next,
            Answer::NoTime => return,
        }
        next = passes.midpoint(fails);
    }
}
