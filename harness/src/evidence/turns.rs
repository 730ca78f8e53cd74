//! States of the ledger that show in who took whose turn, by the nodes' own lines.
//!
//! In: the lines of all nodes, the sends that were acknowledged, the faults. Out: the first moment
//! that shows a state, with what shows it.
//! Invariant: a change is seen only against what was before it: the first leader, controller or
//! coordinator of a cluster has followed nobody, and one that goes on in a new epoch neither.

use std::collections::BTreeMap;

use broker::broker::OFFSETS_TOPIC;
use broker::group::partition_for;
use checkers::history::{Key, NemesisEvent, Phase};

use crate::evidence::node_log::Line;
use crate::plan::Plan;
use crate::worker::protocol::Acks;

/// The number of partitions of the offsets' topic where the plan does not say: Kafka's.
const OFFSETS_PARTITIONS: i32 = 50;

/// A send that was acknowledged, in milliseconds of the run.
#[derive(Clone, Debug)]
pub(super) struct Acked {
    pub(super) key: Key,
    pub(super) invoked_ms: u64,
    pub(super) done_ms: u64,
    /// The index of its completion.
    pub(super) index: u64,
}

/// What a run tells of turns.
#[derive(Debug)]
pub(super) struct Course<'a> {
    plan: &'a Plan,
    /// In the order of their times.
    lines: Vec<(u64, &'a Line)>,
    acked: &'a [Acked],
    /// With their times in nanoseconds.
    faults: &'a [(u64, NemesisEvent)],
    /// The workload and what follows, until the nodes are stopped.
    window: std::ops::RangeInclusive<u64>,
}

/// When a state shows, and what shows it.
pub(super) type Shown = (u64, String);

impl<'a> Course<'a> {
    pub(super) fn new(
        plan: &'a Plan,
        lines: &'a [Line],
        acked: &'a [Acked],
        faults: &'a [(u64, NemesisEvent)],
        window: std::ops::RangeInclusive<u64>,
    ) -> Self {
        let timed = lines.iter().filter_map(|line| Some((line.at_ms?, line)));
        let mut lines: Vec<_> = timed.collect();
        lines.sort_by_key(|(at_ms, _)| *at_ms);
        Self {
            plan,
            lines,
            acked,
            faults,
            window,
        }
    }

    /// Each time that a node takes over what another had: the line before and the line of it.
    /// `what` names what is had, of lines that tell who has it now.
    fn turns(&self, what: impl Fn(&Line) -> Option<String>) -> Vec<[(u64, &'a Line); 2]> {
        let mut last: BTreeMap<String, (u64, &Line)> = BTreeMap::new();
        let mut turns = Vec::new();
        for &(at_ms, line) in &self.lines {
            let Some(what) = what(line) else { continue };
            let before = last.insert(what, (at_ms, line));
            if let Some(before) = before.filter(|(_, before)| before.node != line.node) {
                turns.push([before, (at_ms, line)]);
            }
        }
        turns
    }

    fn first_turn(&self, what: impl Fn(&Line) -> Option<String>) -> Option<Shown> {
        let mut turns = self.turns(what).into_iter();
        let [(_, before), (at_ms, line)] =
            turns.find(|[_, (at_ms, _)]| self.window.contains(at_ms))?;
        let proof = format!("after n{}, n{}: {}", before.node, line.node, line.text);
        Some((at_ms, proof))
    }
}

pub(super) fn leader_changed(course: &Course<'_>) -> Option<Shown> {
    course.first_turn(led)
}

pub(super) fn controller_changed(course: &Course<'_>) -> Option<Shown> {
    let active = |line: &Line| line.text.contains("controller is active");
    course.first_turn(|line| active(line).then(String::new))
}

pub(super) fn coordinator_moved(course: &Course<'_>) -> Option<Shown> {
    let group = course.plan.workload.group.as_ref()?;
    let settings = &course.plan.cluster.broker_settings;
    let count = settings.get("offsets.topic.num.partitions");
    let count = count.and_then(|count| count.parse().ok());
    let index = partition_for(&group.group, count.unwrap_or(OFFSETS_PARTITIONS));
    let partition = format!("{OFFSETS_TOPIC}-{index}");
    let is_loaded = |line: &Line| {
        let is_its = line.word("partition=") == Some(partition.as_str());
        is_its && line.text.contains("groups are loaded partition=")
    };
    course.first_turn(|line| is_loaded(line).then(String::new))
}

/// A node that led when it was frozen, and of whose partition another began to lead meanwhile.
pub(super) fn leader_replaced_while_frozen(course: &Course<'_>) -> Option<Shown> {
    let frozen = frozen(course.faults);
    let mut turns = course.turns(led).into_iter();
    turns.find_map(|[(led_ms, before), (at_ms, line)]| {
        let mut spans = frozen.iter();
        spans.find(|(node, from_ms, until_ms)| {
            let is_frozen = (*from_ms..*until_ms).contains(&at_ms);
            *node == format!("n{}", before.node) && led_ms < *from_ms && is_frozen
        })?;
        let proof = format!("n{} is frozen, n{}: {}", before.node, line.node, line.text);
        Some((at_ms, proof))
    })
}

/// A partition with followers had one replica in sync, by its leader's own word, when a send to it
/// was begun and acknowledged.
pub(super) fn isr_of_one_while_producing(course: &Course<'_>) -> Option<Shown> {
    let has_answer = |key: &Key| {
        let topic = course.plan.topic(key.topic());
        topic.is_some_and(|topic| topic.replication_factor > 1 && topic.acks != Acks::Zero)
    };
    let shown = alone(&course.lines).into_iter().filter_map(|alone| {
        let mut acked = course.acked.iter();
        let acked = acked.find(|acked| {
            acked.invoked_ms > alone.from_ms
                && alone.until_ms.is_none_or(|until| acked.done_ms < until)
                && acked.key.to_string() == alone.partition
                && has_answer(&acked.key)
        })?;
        let (node, text) = (alone.line.node, &alone.line.text);
        let proof = format!("operation {}: send; n{node}: {text}", acked.index);
        Some((acked.done_ms, proof))
    });
    shown.min_by_key(|(at_ms, _)| *at_ms)
}

/// A span in which a partition's leader had nobody else in sync.
struct Alone<'a> {
    partition: String,
    from_ms: u64,
    /// Nothing if it lasted to the end.
    until_ms: Option<u64>,
    line: &'a Line,
}

/// Every such span, from the line that tells of it to the next that tells of the partition's ISR
/// or that its leader does not lead any more.
fn alone<'a>(lines: &[(u64, &'a Line)]) -> Vec<Alone<'a>> {
    let mut open: BTreeMap<String, (u64, &Line)> = BTreeMap::new();
    let mut spans = Vec::new();
    for &(at_ms, line) in lines {
        let tells = TELL_OF_ISR.iter().any(|words| line.text.contains(words));
        let Some(partition) = line.word("partition=").filter(|_| tells) else {
            continue;
        };
        if let Some((from_ms, told)) = open.remove(partition) {
            spans.push(Alone {
                partition: partition.to_owned(),
                from_ms,
                until_ms: Some(at_ms),
                line: told,
            });
        }
        if isr(line) == Some(1) {
            open.insert(partition.to_owned(), (at_ms, line));
        }
    }
    let to_the_end = open.into_iter().map(|(partition, (from_ms, line))| Alone {
        partition,
        from_ms,
        until_ms: None,
        line,
    });
    spans.extend(to_the_end);
    spans
}

/// Lines of a leader that tell its ISR, and of whoever does not lead any more.
const TELL_OF_ISR: &[&str] = &[
    "the isr shrank partition=",
    "the isr grew partition=",
    ": leads partition=",
    ": follows partition=",
];

/// How many replicas are in sync by that line.
fn isr(line: &Line) -> Option<usize> {
    let (_, rest) = line.text.split_once(" isr=[")?;
    let (ids, _) = rest.split_once(']')?;
    Some(ids.split(',').filter(|id| !id.trim().is_empty()).count())
}

/// The partition that a node leads from this line on.
fn led(line: &Line) -> Option<String> {
    let leads = line.text.contains(": leads partition=");
    let partition = line.word("partition=").filter(|_| leads);
    partition.map(str::to_owned)
}

/// Which node was frozen from when to when, in milliseconds.
fn frozen(faults: &[(u64, NemesisEvent)]) -> Vec<(String, u64, u64)> {
    let mut spans = Vec::new();
    let pauses = faults.iter().filter(|(_, fault)| fault.fault == "pause");
    for (time, proof) in pauses.clone() {
        let injected = |(_, fault): &&(u64, NemesisEvent)| {
            fault.phase == Phase::Inject && fault.target == proof.target
        };
        let mut before = pauses.clone().filter(|(begin, _)| begin <= time);
        if proof.phase == Phase::Prove
            && let Some((begin, _)) = before.rfind(injected)
        {
            let nodes = proof.nodes();
            spans.extend(nodes.map(|node| (node.to_owned(), begin / 1_000_000, time / 1_000_000)));
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::profile;
    use checkers::history::FaultClass;
    use serde_json::json;

    fn line(node: i32, at_ms: u64, text: &str) -> Line {
        Line {
            node,
            at_ms: Some(at_ms),
            is_timed: true,
            text: text.to_owned(),
        }
    }

    fn acked(key: &str, invoked_ms: u64, done_ms: u64) -> Acked {
        Acked {
            key: Key::parse(key).expect("a key"),
            invoked_ms,
            done_ms,
            index: invoked_ms,
        }
    }

    fn shown(
        rule: fn(&Course<'_>) -> Option<Shown>,
        plan: &Plan,
        lines: &[Line],
        acked: &[Acked],
        faults: &[(u64, NemesisEvent)],
    ) -> Option<u64> {
        let course = Course::new(plan, lines, acked, faults, 1_000..=9_000);
        rule(&course).map(|(at_ms, _)| at_ms)
    }

    fn drawn(profile: &str) -> Plan {
        Plan::draw(1, profile::find(profile).expect("a profile"))
    }

    #[test]
    fn an_isr_of_one_needs_a_send_to_that_partition_begun_and_acknowledged_within_it() {
        let plan = drawn("none");
        let lines = [
            line(
                2,
                5_000,
                "INFO b: the isr grew partition=verdict-0 new=[1] isr=[1, 2]",
            ),
            line(
                2,
                3_000,
                "INFO b: the isr shrank partition=verdict-0 gone=[1] isr=[2]",
            ),
            line(
                1,
                1_500,
                "INFO b: leads partition=verdict-1 leader_epoch=3 isr=[1, 3] end=7",
            ),
        ];
        for (sent, wanted) in [
            (acked("verdict-0", 3_100, 3_200), Some(3_200)),
            (acked("verdict-0", 2_900, 3_200), None),
            (acked("verdict-0", 4_900, 5_100), None),
            (acked("verdict-0", 6_000, 6_100), None),
            (acked("verdict-1", 3_100, 3_200), None),
        ] {
            let found = shown(
                isr_of_one_while_producing,
                &plan,
                &lines,
                std::slice::from_ref(&sent),
                &[],
            );
            assert_eq!(found, wanted, "{sent:?}");
        }
        let sent = [acked("verdict-0", 3_100, 3_200)];
        for (acks, replication_factor) in [(Acks::Zero, 3), (Acks::One, 1)] {
            let mut plan = plan.clone();
            plan.workload.producer.acks = acks;
            plan.cluster.replication_factor = replication_factor;
            let found = shown(isr_of_one_while_producing, &plan, &lines, &sent, &[]);
            assert_eq!(found, None, "{acks:?} {replication_factor}");
        }
    }

    #[test]
    fn who_goes_on_in_a_new_epoch_has_taken_over_from_nobody() {
        let plan = drawn("none");
        let leads = |node, at_ms, epoch: u64| {
            let text = format!("INFO b: leads partition=verdict-0 leader_epoch={epoch} isr=[1]");
            line(node, at_ms, &text)
        };
        let active = |node, at_ms| line(node, at_ms, "INFO b: controller is active epoch=3");
        let changed = |lines: &[Line]| shown(leader_changed, &plan, lines, &[], &[]);
        assert_eq!(changed(&[leads(1, 2_000, 0)]), None, "the first");
        assert_eq!(
            changed(&[leads(1, 500, 0), leads(1, 2_000, 1)]),
            None,
            "the same"
        );
        assert_eq!(
            changed(&[leads(1, 500, 0), leads(2, 2_000, 1)]),
            Some(2_000)
        );
        assert_eq!(
            changed(&[leads(1, 400, 0), leads(2, 500, 1)]),
            None,
            "before the run"
        );
        let changed = |lines: &[Line]| shown(controller_changed, &plan, lines, &[], &[]);
        assert_eq!(
            changed(&[active(1, 500), active(1, 2_000)]),
            None,
            "the same"
        );
        assert_eq!(changed(&[active(1, 500), active(3, 2_000)]), Some(2_000));
    }

    #[test]
    fn only_the_partition_of_the_group_moves_its_coordinator() {
        let plan = drawn("group");
        let count = &plan.cluster.broker_settings["offsets.topic.num.partitions"];
        let own = partition_for("verdict-group", count.parse().expect("a number"));
        let loaded = |node, at_ms, index: i32| {
            let text = format!("INFO b: groups are loaded partition=__consumer_offsets-{index}");
            line(node, at_ms, &text)
        };
        let moved = |index| {
            let lines = [loaded(1, 500, index), loaded(2, 2_000, index)];
            shown(coordinator_moved, &plan, &lines, &[], &[])
        };
        assert_eq!((moved(own), moved(own + 1)), (Some(2_000), None));
    }

    #[test]
    fn a_leader_is_replaced_while_frozen_only_if_it_led_when_it_was_frozen() {
        let plan = drawn("none");
        let leads = |node, at_ms| line(node, at_ms, "INFO b: leads partition=verdict-0 isr=[1]");
        let event = |at_ms: u64, phase| {
            let event = NemesisEvent {
                fault: "pause".to_owned(),
                class: FaultClass::Pause,
                phase,
                target: json!(["n1"]),
                detail: json!(null),
            };
            (at_ms * 1_000_000, event)
        };
        let faults = [event(2_000, Phase::Inject), event(4_000, Phase::Prove)];
        for (lines, wanted) in [
            ([leads(1, 500), leads(2, 3_000)], Some(3_000)),
            ([leads(1, 500), leads(2, 1_900)], None),
            ([leads(1, 500), leads(2, 4_500)], None),
            ([leads(3, 500), leads(2, 3_000)], None),
        ] {
            let found = shown(leader_replaced_while_frozen, &plan, &lines, &[], &faults);
            assert_eq!(found, wanted, "{lines:?}");
        }
    }
}
