//! `verdict replay`: the plan of an earlier run again, as often as asked.

use crate::cli::exit::Exit;
use crate::cli::{Flush, Keep, ReplayArgs, RunArgs};

/// The arguments of the runs that a replay stands for.
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
        column: None,
        pack: None,
        flush: Flush::Never,
        settings: Vec::new(),
        mode: None,
        sabotage: None,
        plan: Some(plan),
        results: arguments.results.clone(),
        keep: Keep::Always,
    }
}

/// The plans to run: the same one `times` times.
pub fn plans(arguments: &ReplayArgs) -> Result<Vec<crate::plan::Plan>, Exit> {
    let plans = crate::cli::run::plans(&as_run(arguments))?;
    Ok(plans
        .into_iter()
        .cycle()
        .take(arguments.times as usize)
        .collect())
}
