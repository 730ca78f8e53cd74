//! What is printed when a run has ended: the verdict, what supports it, and how to see it again.

use crate::cli::exit::Exit;
use crate::cli::say::say;
use crate::nemesis::Effect;
use crate::plan::Plan;
use crate::run::failure::RunFailure;
use crate::run::launch::RunEnd;
use crate::run::store::Store;
use crate::run::summary::{FaultSummary, Liveness, Summary};

/// Prints how the run of `plan` ended; one line if it is one of several.
pub fn print(plan: &Plan, end: &Result<RunEnd, RunFailure>, brief: bool) {
    match end {
        Ok(RunEnd {
            store,
            summary: Ok(summary),
            ..
        }) if brief => print_line(summary, store),
        Ok(RunEnd {
            store,
            summary: Ok(summary),
            ..
        }) => print_all(summary, store),
        Ok(RunEnd {
            store,
            summary: Err(failure),
            ..
        }) => {
            print_failure(plan, failure);
            eprintln!("  kept in {}", store.root().display());
        }
        Err(failure) => print_failure(plan, failure),
    }
}

/// Prints how several runs ended together.
pub fn print_totals(ended: &[(u64, Exit)]) {
    let kept = ended.iter().filter(|(_, exit)| *exit == Exit::Kept).count();
    say!("{kept} of {} runs kept every promise", ended.len());
    for (seed, exit) in ended.iter().filter(|(_, exit)| *exit != Exit::Kept) {
        say!("  seed {seed}: {} (exit code {})", exit.word(), exit.code());
    }
}

fn print_failure(plan: &Plan, failure: &RunFailure) {
    eprintln!("verdict: seed {}: {failure}", plan.seed);
}

fn print_line(summary: &Summary, store: &Store) {
    let seen = summary
        .faults
        .iter()
        .filter(|fault| fault.was_seen())
        .count();
    say!(
        "seed {:<6} {:<12} {:4.1}s  {} of {} faults seen  {} acked  {} unknown  {}  {}",
        summary.seed,
        summary.outcome,
        summary.duration_ms as f64 / 1_000.0,
        seen,
        summary.faults.len(),
        summary.counts.acked,
        summary.counts.unknown,
        summary.sentence,
        store.root().display()
    );
}

fn print_all(summary: &Summary, store: &Store) {
    say!("{}", summary.sentence);
    crate::cli::check::print_findings(&summary.verdict);
    let counts = summary.counts;
    say!(
        "{} ops in {:.1} s: {} sends acknowledged, {} failed, {} unknown; {} records in {} polls",
        counts.invoked,
        summary.duration_ms as f64 / 1_000.0,
        counts.acked,
        counts.failed,
        counts.unknown,
        counts.records,
        counts.polls
    );
    for fault in &summary.faults {
        say!("  {}", fault_line(fault));
    }
    if let Liveness::Recovered { after_ms } = summary.liveness {
        say!(
            "whole again {:.1} s after healing",
            after_ms as f64 / 1_000.0
        );
    }
    say!("report: {}", store.report().display());
    say!("REPRODUCE: {}", summary.reproduce);
}

fn fault_line(fault: &FaultSummary) -> String {
    let at = fault.at_ms as f64 / 1_000.0;
    let length = fault.for_ms as f64 / 1_000.0;
    let begin = format!("{at:4.1}s +{length:.1}s {} ({})", fault.name, fault.role);
    match &fault.report {
        None => format!("{begin}: not over when the run ended"),
        Some(report) => match &report.effect {
            Effect::Seen(proof) => {
                format!("{begin} on {}: seen: {proof}", report.targets.join(", "))
            }
            Effect::Vacuous(reason) => format!("{begin}: vacuous: {reason}"),
        },
    }
}
