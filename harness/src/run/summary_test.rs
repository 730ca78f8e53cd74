//! How the parts of a run make its conclusion.

use checkers::contract::{Contract, Promise};
use checkers::history::History;
use checkers::verdict::Verdict;

use crate::cli::exit::Exit;
use crate::nemesis::{Effect, FaultReport, FaultSpec, Target};
use crate::plan::Plan;
use crate::run::summary::{FaultSummary, Liveness, Parts, Summary};
use crate::workload::stats::Counts;

const SEND: &str = concat!(
    r#"{"index":0,"time":0,"process":1,"type":"invoke","f":"send","value":[["send","t-0",7]]}"#,
    "\n",
    r#"{"index":1,"time":0,"process":1,"type":"ok","f":"send","value":[["send","t-0",[0,7]]]}"#,
    "\n",
    r#"{"index":2,"time":0,"process":2,"type":"invoke","f":"poll","value":[["poll"]]}"#,
    "\n",
);
const READ: &str =
    r#"{"index":3,"time":0,"process":2,"type":"ok","f":"poll","value":[["poll",{"t-0":[[0,7]]}]]}"#;
const READ_PHANTOM: &str = concat!(
    r#"{"index":3,"time":0,"process":2,"type":"ok","f":"poll","#,
    r#""value":[["poll",{"t-0":[[0,7],[1,8]]}]]}"#
);

const UNOWNED: &str = include_str!("../../../checkers/testdata/unowned-partition/minimal.jsonl");
const WAITING: &str =
    include_str!("../../../checkers/testdata/unowned-partition/second-rebalance-cannot-come.jsonl");
const STUCK: &str = include_str!("../../../checkers/testdata/stuck-group/minimal.jsonl");

fn verdict(lines: &[&str]) -> Verdict {
    let end = if lines.is_empty() { "" } else { "\n" };
    judged(&format!(
        "{{\"verdict-history\":1}}\n{}{end}",
        lines.concat()
    ))
}

fn judged(text: &str) -> Verdict {
    let history = History::read(text.as_bytes()).expect("a history");
    checkers::check(&history, &Contract::of(&history))
}

fn fault(effect: Option<Effect>) -> FaultSummary {
    let spec = FaultSpec::Kill {
        target: Target::Random,
    };
    FaultSummary {
        number: 0,
        name: "kill".to_owned(),
        role: "a random node".to_owned(),
        at_ms: 1_000,
        for_ms: 1_000,
        report: effect.map(|effect| FaultReport {
            fault: spec,
            targets: vec!["n1".to_owned()],
            effect,
            not_recovered: None,
        }),
    }
}

#[test]
fn the_worst_part_decides_and_a_violation_outranks_everything() {
    let recovered = Liveness::Recovered { after_ms: 5 };
    let down = Liveness::NotRecovered {
        reason: "partition 1 has no leader".to_owned(),
    };
    let cut_short = Liveness::NotReached {
        reason: "interrupted".to_owned(),
    };
    let broken_harness = Liveness::NotReached {
        reason: "a worker does not start".to_owned(),
    };
    let seen = || fault(Some(Effect::Seen("gone".to_owned())));
    let vacuous = || fault(Some(Effect::Vacuous("nobody leads".to_owned())));
    let good = || verdict(&[SEND, READ]);
    let excused = || Verdict {
        available_after_heal: Some(Promise {
            forbidden: false,
            because: "every copy may be damaged".to_owned(),
        }),
        ..good()
    };
    let bad = || verdict(&[SEND, READ_PHANTOM]);
    let death = || vec!["node-1 ended by itself".to_owned()];
    for (verdict, deaths, liveness, faults, wanted) in [
        (good(), vec![], &recovered, vec![], Exit::Kept),
        (
            good(),
            vec![],
            &recovered,
            vec![seen(), vacuous()],
            Exit::Kept,
        ),
        (
            good(),
            vec![],
            &recovered,
            vec![vacuous(), fault(None)],
            Exit::Vacuous,
        ),
        (good(), vec![], &down, vec![seen()], Exit::Unavailable),
        (excused(), vec![], &down, vec![seen()], Exit::Kept),
        (good(), death(), &down, vec![seen()], Exit::Broken),
        (good(), vec![], &cut_short, vec![seen()], Exit::Inconclusive),
        (bad(), vec![], &recovered, vec![seen()], Exit::Broken),
        (bad(), vec![], &down, vec![vacuous()], Exit::Broken),
        (bad(), vec![], &cut_short, vec![], Exit::Broken),
        (judged(UNOWNED), vec![], &down, vec![], Exit::Broken),
        (judged(WAITING), vec![], &down, vec![], Exit::Unavailable),
        (judged(STUCK), vec![], &down, vec![], Exit::Unavailable),
        (good(), vec![], &broken_harness, vec![], Exit::HarnessFault),
        (
            verdict(&[]),
            vec![],
            &broken_harness,
            vec![],
            Exit::HarnessFault,
        ),
        (bad(), vec![], &broken_harness, vec![], Exit::Broken),
        (verdict(&[]), vec![], &recovered, vec![], Exit::Vacuous),
    ] {
        let summary = Summary::conclude(Parts {
            plan: &Plan::draw(7, &crate::plan::profile::PROFILES[0]),
            client: "test".to_owned(),
            duration_ms: 1,
            counts: Counts::default(),
            liveness: liveness.clone(),
            rows: vec![],
            is_harness_fault: *liveness == broken_harness,
            deaths,
            faults,
            verdict,
            reproduce: String::new(),
        });
        assert_eq!(summary.exit(), wanted, "{}", summary.sentence);
        let text = serde_json::to_string(&summary).expect("serializes");
        let read: Summary = serde_json::from_str(&text).expect("reads back");
        assert_eq!(read.sentence, summary.sentence);
    }
}

#[test]
fn a_run_in_which_the_incident_did_not_come_is_vacuous() {
    let named = crate::plan::script::named::find("fault-during-recovery").expect("a script");
    let plan = Plan::play(1, named);
    let needs = |fault: &crate::plan::ScheduledFault| {
        fault.when.as_ref().is_some_and(|when| when.is_needed)
    };
    let needed = plan.faults.iter().position(needs).expect("it waits");
    for (targets, wanted) in [(vec![], Exit::Vacuous), (vec!["n1".to_owned()], Exit::Kept)] {
        let waited = fault(Some(Effect::Vacuous("it was not seen".to_owned())));
        let mut waited = FaultSummary {
            number: needed,
            ..waited
        };
        waited.report.as_mut().expect("a report").targets = targets;
        let power = FaultSummary {
            number: needed + 1,
            ..fault(Some(Effect::Seen("gone".to_owned())))
        };
        let summary = Summary::conclude(Parts {
            plan: &plan,
            client: "test".to_owned(),
            duration_ms: 1,
            counts: Counts::default(),
            liveness: Liveness::Recovered { after_ms: 5 },
            rows: vec![],
            is_harness_fault: false,
            deaths: vec![],
            faults: vec![power, waited],
            verdict: verdict(&[SEND, READ]),
            reproduce: String::new(),
        });
        assert_eq!(summary.exit(), wanted, "{}", summary.sentence);
    }
}

#[test]
fn a_script_whose_loss_of_power_took_nothing_is_vacuous() {
    let named = crate::plan::script::named::find("last-replica-standing").expect("a script");
    let plan = Plan::play(1, named);
    let is_power =
        |fault: &crate::plan::ScheduledFault| matches!(fault.what, FaultSpec::PowerLoss { .. });
    let power = plan.faults.iter().position(is_power).expect("a loss");
    let vacuous = Effect::Vacuous("it was no more than a crash".to_owned());
    let seen = Effect::Seen("3 operations are gone".to_owned());
    for (effect, wanted) in [(vacuous, Exit::Vacuous), (seen, Exit::Kept)] {
        let mut lost = FaultSummary {
            number: power,
            ..fault(Some(effect))
        };
        lost.report.as_mut().expect("a report").targets = vec!["n1".to_owned()];
        let hung = FaultSummary {
            number: plan.faults.len(),
            ..fault(Some(Effect::Seen("held".to_owned())))
        };
        let summary = Summary::conclude(Parts {
            plan: &plan,
            client: "test".to_owned(),
            duration_ms: 1,
            counts: Counts::default(),
            liveness: Liveness::Recovered { after_ms: 5 },
            rows: vec![],
            is_harness_fault: false,
            deaths: vec![],
            faults: vec![hung, lost],
            verdict: verdict(&[SEND, READ]),
            reproduce: String::new(),
        });
        assert_eq!(summary.exit(), wanted, "{}", summary.sentence);
    }
}
