//! `verdict run`: draws or loads plans, runs them one after another, says how each ended.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::config::sabotage::Sabotage;
use checkers::history::CommitMode;

use crate::campaign::canary::{self, CANARIES};
use crate::campaign::swarm;
use crate::cli::exit::Exit;
use crate::cli::progress::Progress;
use crate::cli::result;
use crate::cli::seeds::Seeds;
use crate::cli::shown::Shown;
use crate::cli::{Flush, RunArgs};
use crate::matrix;
use crate::plan::Plan;
use crate::plan::draw::WORKLOAD_MS_MIN;
use crate::plan::profile;
use crate::plan::script::named;
use crate::run::failure::RunFailure;
use crate::run::launch::RunEnd;
use crate::run::status::Status;
use crate::run::{RunRequest, launch};

/// The longest workload that one run may have.
const WORKLOAD_MS_MAX: u64 = 24 * 3_600_000;

/// The most runs of one invocation: two nights of them.
pub const RUNS_MAX: u64 = 10_000;

/// Checks the arguments; what to run, or the exit. Also used on the host, where a mistake is
/// cheaper to report than inside the sandbox.
pub fn plans(arguments: &RunArgs) -> Result<Vec<Plan>, Exit> {
    draw_plans(arguments).map_err(|message| {
        eprintln!("verdict: {message}");
        Exit::Usage
    })
}

/// Runs all plans; the worst exit. Inside the sandbox.
pub fn run(arguments: &RunArgs, plans: Vec<Plan>) -> Exit {
    let several = plans.len() > 1;
    let mut worst = Exit::Kept;
    let mut ended = Vec::new();
    let mut shown = Shown::default();
    for plan in plans {
        let seed = plan.seed;
        let label = format!("{} seed {seed}", plan.profile);
        let request = RunRequest {
            plan,
            results: arguments.results.clone(),
            keep: arguments.keep,
        };
        let status = Arc::new(Status::default());
        let end = {
            let _progress = Progress::show(Arc::clone(&status), label);
            launch(&request, &status)
        };
        let exit = match &end {
            Ok(end) => exit_of(end),
            Err(failure) => failure.exit(),
        };
        result::print(&request.plan, &end, several);
        if let Ok(RunEnd {
            summary: Ok(summary),
            ..
        }) = &end
        {
            shown.add(&summary.verdict);
        }
        ended.push((seed, exit));
        worst = worst.worst(exit);
        // What stops this run for good would stop every other one.
        let is_last = match &end {
            Ok(end) => end.is_interrupted,
            Err(failure) => matches!(failure, RunFailure::Unusable(_)),
        };
        if is_last {
            break;
        }
    }
    if several {
        result::print_totals(&ended);
        shown.print();
    }
    worst
}

fn exit_of(end: &RunEnd) -> Exit {
    match &end.summary {
        Ok(summary) => summary.exit(),
        Err(failure) => failure.exit(),
    }
}

fn draw_plans(arguments: &RunArgs) -> Result<Vec<Plan>, String> {
    let mut plans = match &arguments.plan {
        Some(path) => vec![Plan::load(path).map_err(|error| error.to_string())?],
        None => draw(arguments)?,
    };
    if let Some(name) = &arguments.sabotage {
        let known: Vec<&str> = Sabotage::ALL.iter().map(|bug| bug.name()).collect();
        if Sabotage::from_name(name).is_none() {
            return Err(format!(
                "no planted bug is called `{name}`; there are {}",
                known.join(", ")
            ));
        }
        for plan in &mut plans {
            plan.cluster.sabotage = Some(name.clone());
        }
    }
    let is_sabotaged = plans.iter().any(|plan| plan.cluster.sabotage.is_some());
    if is_sabotaged && !cfg!(feature = "sabotage") {
        return Err("this build has no planted bugs; build with --features sabotage".to_owned());
    }
    Ok(plans)
}

fn draw(arguments: &RunArgs) -> Result<Vec<Plan>, String> {
    let seeds = arguments.seed.clone().unwrap_or_else(seed_of_the_clock);
    if seeds.count() > RUNS_MAX {
        return Err(format!(
            "--seed names {} runs; write a range of at most {RUNS_MAX}",
            seeds.count()
        ));
    }
    if let (Some(column), Some(pack)) = (&arguments.column, arguments.pack) {
        let plans: Result<Vec<Plan>, String> = seeds
            .0
            .map(|seed| matrix::plan(column, pack, seed))
            .collect();
        let mut plans = plans?;
        for plan in &mut plans {
            set(plan, &arguments.settings)?;
        }
        return Ok(plans);
    }
    let mut plans = match (&arguments.script, &arguments.canary) {
        _ if arguments.swarm => seeds.0.map(|seed| swarm::draw(seed).plan).collect(),
        (Some(name), _) => play(name, seeds)?,
        (None, Some(name)) => plant(name, seeds)?,
        (None, None) => draw_from_profile(arguments, seeds)?,
    };
    let mode = arguments.mode.as_deref().map(mode).transpose()?;
    for plan in &mut plans {
        if let Some(mode) = mode
            && !plan.commit_as(mode)
        {
            return Err(format!(
                "--mode needs a profile with a group or with disks, such as `group`; `{}` has \
                 neither",
                plan.profile
            ));
        }
        // The swarm and the canaries have a flush policy of their own.
        if !arguments.swarm && arguments.canary.is_none() {
            plan.flush_every_message(arguments.flush == Flush::Every);
        }
        if arguments.atlas {
            ask_atlas(plan)?;
        }
        set(plan, &arguments.settings)?;
    }
    Ok(plans)
}

/// Puts a plan that destroys data into atlas mode; there is nothing to ask about any other.
fn ask_atlas(plan: &mut Plan) -> Result<(), String> {
    if !plan.takes_data() {
        return Err(format!(
            "--atlas needs faults that destroy data, such as those of the profile `atlas`; seed \
             {} of `{}` has none",
            plan.seed, plan.profile
        ));
    }
    plan.atlas = true;
    Ok(())
}

fn play(name: &str, seeds: Seeds) -> Result<Vec<Plan>, String> {
    let named = named::find(name)
        .ok_or_else(|| format!("no script is called `{name}`; there are {}", named::names()))?;
    Ok(seeds.0.map(|seed| Plan::play(seed, named)).collect())
}

fn plant(name: &str, seeds: Seeds) -> Result<Vec<Plan>, String> {
    let names = || CANARIES.iter().map(|canary| canary.bug.name());
    let canary = canary::find(name).ok_or_else(|| {
        let names: Vec<&str> = names().collect();
        format!(
            "no canary is called `{name}`; there are {}",
            names.join(", ")
        )
    })?;
    Ok(seeds.0.map(|seed| canary.plan(seed)).collect())
}

fn draw_from_profile(arguments: &RunArgs, seeds: Seeds) -> Result<Vec<Plan>, String> {
    let name = arguments.profile.as_deref().unwrap_or("default");
    let profile = profile::find(name).ok_or_else(|| {
        format!(
            "no profile is called `{name}`; there are {}",
            profile::names()
        )
    })?;
    let workload_ms = arguments.time_limit.map(millis).transpose()?;
    let draw = |seed| match workload_ms {
        Some(workload_ms) => Plan::draw_with(seed, profile, workload_ms),
        None => Plan::draw(seed, profile),
    };
    Ok(seeds.0.map(draw).collect())
}

/// Changes settings of the brokers, if the plan can be run with them.
fn set(plan: &mut Plan, settings: &[String]) -> Result<(), String> {
    for setting in settings {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| format!("--set {setting} has no `=`; write --set KEY=VALUE"))?;
        let settings = &mut plan.cluster.broker_settings;
        settings.insert(key.to_owned(), value.to_owned());
    }
    plan.check(Path::new("--set"))
        .map_err(|error| error.to_string())
}

/// The commit mode called `name`.
pub(super) fn mode(name: &str) -> Result<CommitMode, String> {
    let names: Vec<&str> = CommitMode::ALL.iter().map(|mode| mode.name()).collect();
    let known = CommitMode::ALL.into_iter().find(|mode| mode.name() == name);
    known.ok_or_else(|| format!("no mode is called `{name}`; there are {}", names.join(", ")))
}

fn millis(limit: Duration) -> Result<u64, String> {
    let millis = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    if (WORKLOAD_MS_MIN..=WORKLOAD_MS_MAX).contains(&millis) {
        return Ok(millis);
    }
    Err(format!(
        "--time-limit {} is out of range; write 1s to 24h",
        humantime::format_duration(limit)
    ))
}

/// Six digits, so that people can type it again.
fn seed_of_the_clock() -> Seeds {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = now.unwrap_or_default().subsec_nanos() as u64 / 1_000;
    Seeds(seed..=seed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parse};

    fn refusal(line: &[&str]) -> String {
        let cli = parse(["verdict", "run"].iter().chain(line).map(Into::into)).expect("parses");
        let Command::Run(arguments) = cli.command else {
            panic!("not a run")
        };
        draw_plans(&arguments).expect_err("must be refused")
    }

    #[test]
    fn atlas_mode_is_a_flag_or_a_profile() {
        for (line, wanted) in [
            (&["--profile", "corruption", "--seed", "1"][..], false),
            (&["--profile", "corruption", "--seed", "1", "--atlas"], true),
            (
                &["--script", "wipe-majority", "--seed", "1", "--atlas"],
                true,
            ),
            (&["--profile", "atlas", "--seed", "1"], true),
        ] {
            let cli = parse(["verdict", "run"].iter().chain(line).map(Into::into));
            let Ok(Command::Run(arguments)) = cli.map(|cli| cli.command) else {
                panic!("{line:?} is no run")
            };
            let plans = draw_plans(&arguments).expect("plans");
            assert!(plans.iter().all(|plan| plan.atlas == wanted), "{line:?}");
        }
    }

    #[test]
    fn names_and_times_that_do_not_exist_are_refused_with_those_that_do() {
        for (line, wanted) in [
            (&["--profile", "chaos"][..], "there are default, none, kill"),
            (&["--script", "chaos"], "there are last-replica-standing"),
            (&["--set", "log.dirs"], "write --set KEY=VALUE"),
            (
                &["--set", "log.dirz=1"],
                "--set: cluster.broker_settings is",
            ),
            (&["--sabotage", "all"], "there are ack-before-replication"),
            (&["--canary", "all"], "there are ack-before-replication"),
            (&["--mode", "sync-after"], "needs a profile with a group"),
            (&["--atlas", "--profile", "kill"], "has none"),
            (
                &["--profile", "group", "--mode", "x"],
                "there are auto-in-loop",
            ),
            (
                &["--column", "chaos", "--pack", "mode=sync-after"],
                "there are none, client-kill",
            ),
            (
                &["--column", "reassignment", "--pack", "mode=sync-after"],
                "no partition reassignment yet",
            ),
            (&["--time-limit", "1ms"], "write 1s to 24h"),
            (&["--seed", "0..18446744073709551615"], "at most 10000"),
            (&["--plan", "/nowhere.json"], "/nowhere.json: cannot read"),
        ] {
            let message = refusal(line);
            assert!(message.contains(wanted), "{line:?}: {message}");
            assert!(!message.contains('\n'), "{message}");
        }
    }
}
