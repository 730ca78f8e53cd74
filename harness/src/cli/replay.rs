//! `verdict replay`: the plan of an earlier run again; several times, to tell how often it fails.

use std::path::Path;

use crate::cli::exit::Exit;
use crate::cli::say::say;
use crate::cli::{Flush, Keep, ReplayArgs, RunArgs};
use crate::doctor;
use crate::minimize::process::ProcessTrial;
use crate::minimize::subject::Subject;
use crate::minimize::trial::{Rate, measure};
use crate::plan::Plan;

/// The arguments of the run that a single replay stands for.
pub fn as_run(arguments: &ReplayArgs) -> RunArgs {
    let plan = if arguments.run.is_dir() {
        arguments.run.join("plan.json")
    } else {
        arguments.run.clone()
    };
    RunArgs {
        seed: None,
        profile: None,
        time_limit: None,
        script: None,
        swarm: false,
        canary: None,
        column: None,
        pack: None,
        flush: Flush::Never,
        settings: Vec::new(),
        atlas: false,
        mode: None,
        sabotage: None,
        plan: Some(plan),
        results: arguments.results.clone(),
        keep: Keep::Always,
    }
}

/// The plan to run, for a single replay.
pub fn plans(arguments: &ReplayArgs) -> Result<Vec<Plan>, Exit> {
    crate::cli::run::plans(&as_run(arguments))
}

/// Runs the plan as often as asked, each time in a process of its own, and prints how often it
/// failed in the same way; the worst exit.
pub fn replay(arguments: &ReplayArgs) -> Exit {
    let prepared = subject(&arguments.run).and_then(|subject| {
        let trial = prepare(&subject, &arguments.results)?;
        Ok((subject, trial))
    });
    match prepared {
        Ok((subject, mut trial)) => {
            say!("looking for {}", wanted(&subject));
            let rate = measure(&mut trial, &subject.plan, arguments.times);
            say!("{}", conclusion(rate, trial.is_interrupted()));
            trial.worst
        }
        Err((exit, message)) => {
            eprintln!("verdict: {message}");
            exit
        }
    }
}

/// What is replayed.
pub(super) fn subject(run: &Path) -> Result<Subject, (Exit, String)> {
    Subject::read(run).map_err(|message| (Exit::Usage, message))
}

/// Who replays it: below a new directory of `results`.
pub(super) fn prepare(subject: &Subject, results: &Path) -> Result<ProcessTrial, (Exit, String)> {
    doctor::require_sandbox().map_err(|refusal| (Exit::MachineCannot, refusal.to_string()))?;
    let time = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S").to_string();
    let work = results.join(format!("{time}-replay-{}", subject.plan.seed));
    let broke = subject.broke.clone().unwrap_or_default();
    let trial = ProcessTrial::new(broke, work.clone());
    let refused = |error| {
        (
            Exit::Usage,
            format!("cannot write {}: {error}", work.display()),
        )
    };
    trial.map_err(refused)
}

/// The failure that is looked for, in words.
pub(super) fn wanted(subject: &Subject) -> String {
    match subject.broke.as_deref() {
        None => "any broken promise, for there is no verdict beside the plan".to_owned(),
        Some([]) => "any broken promise, for the run broke none".to_owned(),
        Some([first, others @ ..]) => {
            let others = match others.len() {
                0 => String::new(),
                count => format!(" or {count} more that it broke"),
            };
            format!("{} ({}){others}", first.anomaly, first.shape)
        }
    }
}

fn conclusion(rate: Rate, is_interrupted: bool) -> String {
    let early = if is_interrupted { ", interrupted" } else { "" };
    format!(
        "the same failure in {} of {} runs{early}: {rate}",
        rate.same, rate.runs
    )
}
