//! Whether log directories hung on one node at a time.
//!
//! In: the faults of a run. Out: why the others could not be expected to go on, if so.
//! Invariant: a node counts as hanging until the nemesis has seen that it is whole again.

use std::collections::BTreeSet;

use crate::history::{Action, FaultClass, History, NemesisEvent, Phase};

/// Why more happened than that one node's log directories hung: another one's hung meanwhile, or a
/// node had to be started again.
pub(super) fn together(history: &History) -> Option<String> {
    let events = history.ops.iter().filter_map(|op| match &op.action {
        Action::Nemesis(event) if event.class == FaultClass::DiskStall => Some(&**event),
        _ => None,
    });
    let mut hanging: Vec<&NemesisEvent> = Vec::new();
    for event in events {
        if let Some(told) = event.repairs().next() {
            return Some(told.to_owned());
        }
        match event.phase {
            Phase::Inject => hanging.push(event),
            Phase::Recovered => {
                let same = |begun: &&NemesisEvent| begun.target == event.target;
                if let Some(over) = hanging.iter().position(same) {
                    hanging.remove(over);
                }
            }
            Phase::Act | Phase::End | Phase::Prove | Phase::Vacuous | Phase::Heal => {}
        }
        let nodes: BTreeSet<&str> = hanging.iter().flat_map(|event| event.nodes()).collect();
        if nodes.len() > 1 {
            let nodes: Vec<&str> = nodes.into_iter().collect();
            return Some(format!(
                "the log directories of {} hung together",
                nodes.join(" and ")
            ));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::anomaly::Kind;
    use crate::contract::Contract;
    use crate::history::{Header, Op, OpType, Settings};

    /// Whether waiting is bounded after these steps of hanging disks: phase, node, detail.
    fn is_bounded(steps: &[(Phase, &str, Value)], settings: Settings) -> bool {
        let op = |(index, (phase, node, detail)): (usize, &(Phase, &str, Value))| Op {
            index: index as u64,
            time: 0,
            process: 0,
            kind: OpType::Info,
            action: Action::Nemesis(Box::new(NemesisEvent {
                fault: "disk".to_owned(),
                class: FaultClass::DiskStall,
                phase: *phase,
                target: json!([node]),
                detail: detail.clone(),
            })),
            error: None,
            node: None,
        };
        let ops = steps.iter().enumerate().map(op).collect();
        let header = Header::new(settings, Value::Null);
        let history = History::from_ops(header, ops).expect("a history");
        let promise = Contract::of(&history).promise(Kind::Unavailable);
        promise.forbidden
    }

    #[test]
    fn waiting_is_bounded_while_one_node_hangs_at_a_time_and_no_longer() {
        let bounded = || Settings {
            available_within_ms: Some(3_000),
            ..Settings::default()
        };
        let step = |phase, node| (phase, node, Value::Null);
        let (begin, end) = (Phase::Inject, Phase::Recovered);
        let one_after_the_other = [
            step(begin, "n1"),
            step(Phase::Heal, "n1"),
            step(end, "n1"),
            step(begin, "n2"),
        ];
        assert!(is_bounded(&one_after_the_other, bounded()));
        let same_node = [step(begin, "n1"), step(begin, "n1")];
        assert!(is_bounded(&same_node, bounded()));
        let healed_only = [
            step(begin, "n1"),
            step(Phase::Heal, "n1"),
            step(begin, "n2"),
        ];
        assert!(!is_bounded(&healed_only, bounded()));
        let repaired =
            json!({ "repaired": ["node 1 had ended with code 1 and was started again"] });
        let restarted = [step(begin, "n1"), (end, "n1", repaired)];
        assert!(!is_bounded(&restarted, bounded()));
        let no_spare_copy = Settings {
            min_insync_replicas: 3,
            ..bounded()
        };
        assert!(!is_bounded(&[step(begin, "n1")], no_spare_copy));
    }
}
