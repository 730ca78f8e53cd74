//! `verdict minimize`: the smallest plan that fails in the same way, and what it needs.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::cli::MinimizeArgs;
use crate::cli::exit::Exit;
use crate::cli::replay;
use crate::cli::say::say;
use crate::minimize::subject::{Subject, one_of};
use crate::minimize::{Needed, Outcome, minimize as search, words};
use crate::plan::Plan;

/// Minimises the plan of a run; 12 if its failure does not come back.
pub fn minimize(arguments: &MinimizeArgs) -> Exit {
    match run(arguments) {
        Ok(exit) => exit,
        Err((exit, message)) => {
            eprintln!("verdict: {message}");
            exit
        }
    }
}

fn run(arguments: &MinimizeArgs) -> Result<Exit, (Exit, String)> {
    let mut subject = replay::subject(&arguments.run)?;
    let broke = subject.broke.take().unwrap_or_default();
    if broke.is_empty() {
        let directory = subject.directory.display();
        let message = format!("{directory}: no verdict.json with a broken promise to look for");
        return Err((Exit::Usage, message));
    }
    let one = one_of(&broke, arguments.signature.as_deref());
    subject.broke = Some(vec![one.map_err(|message| (Exit::Usage, message))?]);
    let trial = replay::prepare(&subject, &arguments.results)?;
    let out = arguments
        .out
        .clone()
        .unwrap_or_else(|| place(&subject, &arguments.run));
    let mut trial = trial.until(Instant::now() + arguments.budget, out.clone());
    say!("looking for {}", replay::wanted(&subject));
    match search(&mut trial, &subject.plan) {
        Ok(outcome) => {
            print(&subject.plan, &outcome);
            if let Some(latest) = &trial.latest {
                say!("a run that failed: {}", latest.display());
            }
            say!("plan: {}", out.display());
            say!(
                "REPRODUCE: verdict replay {} --times {}",
                out.display(),
                times(&outcome)
            );
            Ok(Exit::Kept)
        }
        Err(error) => Err((Exit::Vacuous, error.to_string())),
    }
}

/// `minimal.json` beside the plan, where the verdict is.
fn place(subject: &Subject, run: &Path) -> PathBuf {
    let stem = run.file_stem().filter(|_| run.is_file());
    let name = match stem.and_then(|stem| stem.to_str()) {
        None | Some("plan") => "minimal.json".to_owned(),
        Some(stem) => format!("{stem}-minimal.json"),
    };
    subject.directory.join(name)
}

/// So many runs that it should be seen again: smaller plans may fail less often than larger ones.
fn times(outcome: &Outcome) -> u32 {
    outcome.rate.repeats().clamp(10, 50)
}

fn print(before: &Plan, outcome: &Outcome) {
    let Outcome {
        plan,
        removed,
        needed,
        runs,
        is_finished,
        ..
    } = outcome;
    let end = if *is_finished {
        "nothing is left to try"
    } else {
        "the time is over"
    };
    say!("{runs} runs, and {end}");
    say!("before: {}; {}", size(before), outcome.before);
    say!(
        "after:  {}; over all plans that failed {}",
        size(plan),
        outcome.rate
    );
    for what in removed {
        say!("  not needed: {what}");
    }
    for (number, fault) in plan.faults.iter().enumerate() {
        let without = match needed.get(number) {
            Some(Needed { clean: 0 }) => "undecided: no run without it had a verdict".to_owned(),
            Some(needed) => format!("without it: 0/{}", needed.clean),
            None => "no time was left to run without it".to_owned(),
        };
        say!("  needed: {}; {without}", words(fault));
    }
}

fn size(plan: &Plan) -> String {
    let (cluster, workload) = (&plan.cluster, &plan.workload);
    format!(
        "{} faults, {} nodes, {} partitions of {} topics, {} producers × {}, {} consumers, \
         {:.1} s",
        plan.faults.len(),
        cluster.nodes,
        cluster.partitions,
        1 + cluster.further_topics.len(),
        workload.producers,
        workload.processes_per_producer,
        workload.consumers,
        plan.time.workload_ms as f64 / 1_000.0
    )
}
