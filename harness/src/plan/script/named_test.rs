//! Scripts by name: complete plans, and promises that are those of the contract.

use std::path::Path;

use checkers::anomaly::Kind;
use checkers::contract::Contract;
use checkers::history::{Action, Header, History, NemesisEvent, Op, OpType, Phase};
use serde_json::{Value, json};

use super::*;
use crate::nemesis::Target;
use crate::run::faults::class;

/// The nodes that play a role; which ones does not matter, only which are the same.
fn nodes(target: &Target, count: u32) -> Vec<String> {
    let ids: Vec<u32> = match target {
        Target::Node { id } => vec![*id as u32],
        Target::Leader { .. } | Target::Coordinator { .. } => vec![1],
        Target::Follower { .. } => vec![2],
        Target::Followers { .. } => (2..=count).collect(),
        Target::All => (1..=count).collect(),
        _ => vec![],
    };
    ids.iter().map(|id| format!("n{id}")).collect()
}

/// What the contract says of acknowledged records if all faults of the plan act and end as they
/// should: a disk that hung comes back without a restart of its node.
fn keeps(plan: &Plan) -> Keeps {
    let event = |fault: &crate::plan::ScheduledFault, phase| {
        Action::Nemesis(Box::new(NemesisEvent {
            fault: fault.what.name().to_owned(),
            class: class(&fault.what),
            phase,
            target: json!(nodes(fault.what.target(), plan.cluster.nodes)),
            detail: Value::Null,
        }))
    };
    let phases = |fault| [Phase::Inject, Phase::Recovered].map(|phase| event(fault, phase));
    let op = |(index, action)| Op {
        index: index as u64,
        time: 0,
        process: 0,
        kind: OpType::Info,
        action,
        error: None,
        node: None,
    };
    let actions = plan.faults.iter().flat_map(phases);
    let ops = actions.enumerate().map(op).collect();
    let header = Header::new(plan.settings(), Value::Null);
    let history = History::from_ops(header, ops).expect("a history");
    if Contract::of(&history).promise(Kind::LostWrite).forbidden {
        Keeps::All
    } else {
        Keeps::Some
    }
}

#[test]
fn the_table_says_what_the_contract_says() {
    for named in SCRIPTS {
        for seed in 1..20 {
            let mut plan = Plan::play(seed, named);
            assert_eq!(keeps(&plan), named.flush_never, "{} {seed}", named.name);
            plan.flush_every_message(true);
            assert_eq!(keeps(&plan), named.flush_every, "{} {seed}", named.name);
        }
    }
}

#[test]
fn every_script_gives_a_plan_that_can_be_run() {
    for named in SCRIPTS {
        for seed in 1..20 {
            let plan = Plan::play(seed, named);
            assert!(!plan.faults.is_empty(), "{}", named.name);
            assert_eq!(
                plan,
                Plan::play(seed, named),
                "the same seed, the same plan"
            );
            let read = Plan::parse(&plan.to_json(), Path::new("plan.json"));
            assert_eq!(read.as_ref(), Ok(&plan), "{} {seed}", named.name);
        }
    }
}

#[test]
fn names_are_unique_and_not_those_of_profiles() {
    for named in SCRIPTS {
        let same = SCRIPTS.iter().filter(|other| other.name == named.name);
        assert_eq!(same.count(), 1, "{}", named.name);
        assert!(
            crate::plan::profile::find(named.name).is_none(),
            "{}",
            named.name
        );
    }
}
