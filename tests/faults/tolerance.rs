//! Both sides of replication factor ≥ min.insync.replicas + tolerated broker failures, on real
//! brokers: served with as many replicas down as are tolerated, refused with one more.
//!
//! In: the scripts by name, for several settings. Out: a test for each, and for the planted bug
//! that acknowledges below min.insync.replicas. Invariant: a run whose brokers were not down, or
//! in which nobody sent meanwhile, proves nothing and fails.

use std::fs;
use std::path::Path;

use checkers::anomaly::Kind;
use checkers::history::{Action, History, Op, OpType, Phase};
use harness::cli::exit::Exit;
use harness::plan::Plan;
use harness::plan::script::named;
use harness::run::summary::Summary;
use libtest_mimic::{Failed, Trial};

use crate::support::{self, Outcome, ensure};

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::test(
            "tolerance::three_copies_two_in_sync_serve_with_one_down",
            || serves((3, 2)),
        ),
        Trial::test(
            "tolerance::two_copies_two_in_sync_refuse_with_one_down",
            || refuses((2, 2)),
        ),
    ];
    if cfg!(feature = "sabotage") {
        trials.push(Trial::test(
            "tolerance::an_acknowledgement_below_min_isr_is_found",
            acknowledgement_is_found,
        ));
    }
    trials
}

/// What clients heard while the replicas were down.
struct Heard {
    acknowledged: usize,
    refused: usize,
}

fn serves(settings: (i16, i16)) -> Outcome {
    let (summary, heard) = run(plan("brokers-down-within-tolerance", settings, None)?)?;
    ensure(summary.exit() == Exit::Kept, &summary.sentence)?;
    let Heard {
        acknowledged,
        refused,
    } = heard;
    ensure(
        acknowledged > 100 && refused == 0,
        format!("{acknowledged} acknowledged and {refused} refused while tolerated"),
    )
}

fn refuses(settings: (i16, i16)) -> Outcome {
    let (summary, heard) = run(plan("brokers-down-beyond-tolerance", settings, None)?)?;
    // Kept: nothing acknowledged is lost, and nothing that was refused is in the log.
    ensure(summary.exit() == Exit::Kept, &summary.sentence)?;
    let Heard {
        acknowledged,
        refused,
    } = heard;
    ensure(
        acknowledged == 0 && refused > 0,
        format!("{acknowledged} acknowledged and {refused} refused beyond tolerance"),
    )
}

fn acknowledgement_is_found() -> Outcome {
    let bug = Some("ack-before-replication");
    let (summary, _) = run(plan("brokers-down-beyond-tolerance", (3, 2), bug)?)?;
    let mut checks = summary.verdict.checks.iter();
    let found = checks.any(|c| c.anomaly == Kind::AckedBelowMinIsr && c.is_broken());
    ensure(found, format!("not found: {}", summary.sentence))
}

fn plan(script: &str, (copies, in_sync): (i16, i16), bug: Option<&str>) -> Result<Plan, Failed> {
    let script = named::find(script).ok_or("no such script")?;
    let plan = Plan::play_on(1, script, |cluster| {
        cluster.replication_factor = copies;
        cluster.min_insync_replicas = in_sync;
        cluster.sabotage = bug.map(str::to_owned);
    });
    plan.check(Path::new(script.name))?;
    Ok(plan)
}

fn run(plan: Plan) -> Result<(Summary, Heard), Failed> {
    let results = tempfile::tempdir()?;
    let (store, summary) = support::runs::run(plan, results.path())?;
    let history = History::read(&fs::read(store.history())?[..])?;
    Ok((summary, heard(&history)?))
}

/// What sends that began while the replicas were down came to before that ended.
fn heard(history: &History) -> Result<Heard, Failed> {
    let at = |phase| {
        let mut ops = history.ops.iter();
        ops.position(|op| matches!(&op.action, Action::Nemesis(event) if event.phase == phase))
    };
    let from = at(Phase::Act).ok_or("no replica was down")?;
    let until = at(Phase::End).ok_or("the outage did not end")?;
    let began_inside = |position: usize| {
        let began = history.partner(position as u32);
        began.is_some_and(|began| (began as usize) > from)
    };
    let inside = history.ops.iter().enumerate().take(until).skip(from);
    let sends = inside.filter(|(position, op)| {
        matches!(op.action, Action::Send(_)) && op.kind != OpType::Invoke && began_inside(*position)
    });
    let sends: Vec<&Op> = sends.map(|(_, op)| op).collect();
    let refused = |op: &&&Op| {
        let code = op.error.as_ref().map(|error| &*error.code);
        code == Some("NOT_ENOUGH_REPLICAS")
    };
    Ok(Heard {
        acknowledged: sends.iter().filter(|op| op.kind == OpType::Ok).count(),
        refused: sends.iter().filter(refused).count(),
    })
}
