//! `verdict minimize`: the smallest plan that fails in the same way, and what it needs.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::cli::MinimizeArgs;
use crate::cli::exit::Exit;
use crate::cli::replay;
use crate::cli::say::say;
use crate::minimize::subject::{Subject, one_of};
use crate::minimize::{GivenUp, Needed, Outcome, minimize as search, words};
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
    let rate = match outcome.own {
        own if own.same > 0 => own,
        _ => outcome.rate,
    };
    rate.repeats().clamp(10, 50)
}

fn print(before: &Plan, outcome: &Outcome) {
    for line in lines(before, outcome) {
        say!("{line}");
    }
}

fn lines(before: &Plan, outcome: &Outcome) -> Vec<String> {
    let Outcome { plan, own, .. } = outcome;
    let end = if outcome.is_finished {
        "nothing is left to try"
    } else {
        "the time is over"
    };
    let after = match own.runs {
        0 => format!(
            "r was not measured; over all plans that failed {}",
            outcome.rate
        ),
        _ => own.to_string(),
    };
    let mut lines = vec![
        format!("{} runs, and {end}", outcome.runs),
        format!("before: {}; {}", size(before), outcome.before),
        format!("after:  {}; {after}", size(plan)),
    ];
    let removed = outcome.removed.iter();
    lines.extend(removed.map(|what| format!("  not needed: {what}")));
    for (number, fault) in plan.faults.iter().enumerate() {
        let (answer, why) = answer(outcome.needed.get(number).copied());
        lines.push(format!("  {answer}: {}; {why}", words(fault)));
    }
    let undecided = outcome.undecided.iter();
    lines.extend(undecided.map(|GivenUp { what, clean }| {
        format!("  undecided: {what}; too few clean runs without it: {clean}")
    }));
    lines
}

/// Whether a fault is needed, and why that is said.
fn answer(needed: Option<Needed>) -> (&'static str, String) {
    let Some(needed) = needed else {
        return ("undecided", "it was not run without it".to_owned());
    };
    let Needed { clean, asked } = needed;
    match needed.is_decided() {
        true => ("needed", format!("without it: 0/{clean}")),
        false => (
            "undecided",
            format!("without it: 0/{clean}, and {asked} would tell"),
        ),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::minimize::Rate;
    use crate::plan::script::named;

    #[test]
    fn what_is_said_has_the_rate_of_the_smallest_plan_and_tells_needed_from_undecided() {
        let plan = Plan::play(7, named::find("return-to-lead").expect("a script"));
        let rate = |same, runs| Rate { same, runs };
        let faults = plan.faults.len();
        let mut outcome = Outcome {
            plan: plan.clone(),
            before: rate(3, 4),
            own: rate(3, 9),
            rate: rate(20, 25),
            removed: vec!["compression".to_owned()],
            needed: vec![Needed { clean: 9, asked: 9 }, Needed { clean: 2, asked: 9 }],
            undecided: vec![GivenUp {
                what: "linger.ms".to_owned(),
                clean: 2,
            }],
            runs: 40,
            is_finished: true,
        };
        let text = lines(&plan, &outcome).join("\n");
        assert!(faults >= 2, "{faults}");
        for part in [
            "s; r = 3/9 (95 %: 0.12 to 0.65)",
            "; without it: 0/9\n",
            "; without it: 0/2, and 9 would tell",
            "undecided: linger.ms; too few clean runs without it: 2",
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        let is = |word: &str| {
            text.lines()
                .filter(|line| line.trim().starts_with(word))
                .count()
        };
        assert_eq!((is("needed:"), is("undecided:")), (1, faults), "{text}");
        assert_eq!(times(&outcome), 10);
        outcome.own = rate(0, 24);
        assert!(lines(&plan, &outcome).join("\n").contains("r = 0/24"));
        outcome.own = rate(0, 0);
        assert!(lines(&plan, &outcome)[2].contains("r was not measured"));
    }
}
