//! `verdict matrix` and `verdict campaign`: many runs under a budget.

use std::collections::BTreeSet;
use std::iter::Take;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::campaign::directory::{CAMPAIGN_FORMAT, Campaign, Directory, NotExercised, Stored};
use crate::campaign::drive::{Driver, Limits, now};
use crate::campaign::events::Event;
use crate::campaign::execute::Processes;
use crate::campaign::finish::finish;
use crate::campaign::merge::Merge;
use crate::campaign::outcome::{self, Outcome};
use crate::campaign::progress::Display;
use crate::campaign::selection::Selection;
use crate::campaign::sequence::{Gap, Sequence};
use crate::campaign::share::{self, Share};
use crate::campaign::signature::Signature;
use crate::campaign::{found, jobs, matrix_text, summary_md, unit};
use crate::cli::exit::Exit;
use crate::cli::say::say;
use crate::cli::{CampaignArgs, MergeArgs};
use crate::doctor;
use crate::run::interrupt::Interrupt;

/// The budget where nothing bounds a campaign.
const BUDGET: Duration = Duration::from_mins(10);

/// The most units that a campaign can be told to run: more than any reaches.
pub const UNITS_MAX: u64 = 10_000_000;

/// Covers the matrix.
pub fn matrix(arguments: &CampaignArgs) -> Exit {
    run("matrix", share::MATRIX, arguments)
}

/// Covers the matrix, and plays a random swarm, the named scripts and the canaries beside it.
pub fn campaign(arguments: &CampaignArgs) -> Exit {
    run("campaign", share::CAMPAIGN, arguments)
}

/// Joins the directories of shards.
pub fn merge(arguments: &MergeArgs) -> Exit {
    let merge = Merge {
        parts: &arguments.parts,
        out: &arguments.out,
        keep: arguments.keep,
        force: arguments.force,
    };
    match merge.merge() {
        Ok((stored, outcome)) => {
            print(&stored, &outcome, &arguments.out);
            outcome.exit
        }
        Err(error) => {
            eprintln!("verdict: {error}");
            Exit::Usage
        }
    }
}

fn run(command: &'static str, shares: &[Share], arguments: &CampaignArgs) -> Exit {
    let done = prepare(command, shares, arguments).and_then(Prepared::work);
    match done {
        Ok(outcome) => outcome.exit,
        Err((exit, message)) => {
            eprintln!("verdict: {message}");
            exit
        }
    }
}

/// Everything that is decided before the first run.
struct Prepared {
    campaign: Campaign,
    root: PathBuf,
    sequence: Take<Sequence>,
    limits: Limits,
}

type Refusal = (Exit, String);

fn usage(message: impl ToString) -> Refusal {
    (Exit::Usage, message.to_string())
}

fn fault(message: impl ToString) -> Refusal {
    (Exit::HarnessFault, message.to_string())
}

fn prepare(
    command: &'static str,
    shares: &[Share],
    arguments: &CampaignArgs,
) -> Result<Prepared, Refusal> {
    let selection = Selection::parse(&arguments.rows, &arguments.columns).map_err(usage)?;
    doctor::require_sandbox().map_err(|refusal| (Exit::MachineCannot, refusal.to_string()))?;
    let root = arguments.out.clone().unwrap_or_else(|| fresh(command));
    let base_seed = base_seed(arguments, &root)?;
    let (sequence, gaps) = Sequence::new(base_seed, &selection, shares);
    let campaign = Campaign {
        format: CAMPAIGN_FORMAT,
        command: command.to_owned(),
        base_seed,
        rows: selection.rows.iter().map(ToString::to_string).collect(),
        columns: selection
            .columns
            .iter()
            .map(|column| column.name.to_owned())
            .collect(),
        shard: arguments.shard,
        shards: BTreeSet::new(),
        unended: BTreeSet::new(),
        binary: digest_of_this_program().map_err(fault)?,
        has_sabotage: cfg!(feature = "sabotage"),
        started: now(),
        not_exercised: gaps.iter().flat_map(not_exercised).collect(),
    };
    let or_ten_minutes = arguments.max_runs.is_none().then_some(BUDGET);
    let limits = Limits {
        budget: arguments.budget.or(or_ten_minutes),
        jobs: arguments.jobs.map_or_else(jobs::default, usize::from),
        keep: arguments.keep,
    };
    Ok(Prepared {
        campaign,
        root,
        sequence: sequence.take(arguments.max_runs.map_or(usize::MAX, |max| max as usize)),
        limits,
    })
}

impl Prepared {
    /// Runs until the budget is used, then says what came of it.
    fn work(self) -> Result<Outcome, Refusal> {
        let program = std::env::current_exe().map_err(fault)?;
        let (directory, stored) = Directory::open(&self.root, &self.campaign).map_err(usage)?;
        eprintln!(
            "verdict: {} runs at a time, seed {}, in {}",
            self.limits.jobs,
            self.campaign.base_seed,
            self.root.display()
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(fault)?;
        let shard = self.campaign.shard;
        let units = self.sequence.filter(move |unit| shard.takes(&unit.id));
        let driver = Driver::new(
            directory,
            stored,
            Processes { program },
            self.limits,
            Display::on_stderr(),
        )
        .map_err(usage)?;
        let driven = runtime.block_on(async {
            let interrupt = Interrupt::listen().map_err(fault)?;
            driver.run(units, &interrupt).await.map_err(fault)
        });
        let (stored, mut directory) = match driven {
            Ok(driven) => driven,
            Err(refusal) => return conclude_stored(&self.root, refusal),
        };
        let outcome = finish(directory.root(), &stored).map_err(fault)?;
        let event = Event::Ended {
            runs: stored.records.len(),
            exit_code: outcome.exit.code(),
            sentence: &outcome.sentence,
        };
        directory.event(&event.line(&now())).map_err(fault)?;
        print(&stored, &outcome, directory.root());
        Ok(outcome)
    }
}

/// The end of a campaign that could not go on: what it has stored counts all the same.
fn conclude_stored(root: &Path, (exit, message): Refusal) -> Result<Outcome, Refusal> {
    let also = |error: &dyn std::fmt::Display| (exit, format!("{message}; {error}"));
    let stored = Stored::read(root).map_err(|error| also(&error))?;
    let mut outcome = outcome::outcome(&stored);
    outcome.exit = outcome.exit.worst(exit);
    eprintln!("verdict: {message}");
    if let Err(error) = finish(root, &stored) {
        eprintln!("verdict: {error}");
    }
    print(&stored, &outcome, root);
    Ok(outcome)
}

fn print(stored: &Stored, outcome: &Outcome, root: &Path) {
    for line in matrix_text::lines(&stored.campaign, &outcome.cells) {
        say!("{line}");
    }
    if stored.campaign.command == "campaign" && !stored.campaign.has_sabotage {
        say!("{}", summary_md::NO_SABOTAGE);
    }
    for found in found::findings(stored) {
        let Signature { id, anomaly, .. } = found.signature;
        say!("finding {id} {anomaly}: {}", found.rate());
        say!("  {}", found.what());
        say!("  {}", found.first.command());
    }
    if let Some(missing) = stored.campaign.lacks() {
        say!("Merged in part: {missing}.");
    }
    say!("{}", outcome.sentence);
    say!("{}", root.join("index.html").display());
}

/// `results/<time>-<command>`.
fn fresh(command: &str) -> PathBuf {
    let time = jiff::Zoned::now().strftime("%Y%m%d-%H%M%S");
    PathBuf::from("results").join(format!("{time}-{command}"))
}

/// The seed that was asked for, else that of the campaign that is resumed, else six digits of the
/// clock.
fn base_seed(arguments: &CampaignArgs, root: &Path) -> Result<u64, Refusal> {
    if let Some(seed) = arguments.seed {
        return Ok(seed);
    }
    if root.join("campaign.json").exists() {
        return Ok(Stored::read(root).map_err(usage)?.campaign.base_seed);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Ok(u64::from(now.unwrap_or_default().subsec_micros()))
}

fn not_exercised(gap: &Gap) -> Vec<NotExercised> {
    let rows = gap.pack.rows().into_iter();
    rows.map(|row| NotExercised {
        row: row.to_string(),
        column: gap.column.to_owned(),
        because: gap.because.clone(),
    })
    .collect()
}

fn digest_of_this_program() -> std::io::Result<String> {
    let mut hash = Sha256::new();
    std::io::copy(&mut std::fs::File::open("/proc/self/exe")?, &mut hash)?;
    Ok(unit::short(&hash.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::directory::{lines_of, to_json};
    use crate::campaign::fixture;

    #[test]
    fn a_violation_that_is_stored_outranks_the_failure_that_ended_the_campaign() {
        for (ended, wanted) in [
            (Exit::Broken, Exit::Broken),
            (Exit::Kept, Exit::HarnessFault),
        ] {
            let root = tempfile::tempdir().expect("a place");
            let write = |name: &str, text: String| {
                std::fs::write(root.path().join(name), text).expect("written");
            };
            write("campaign.json", to_json(&fixture::campaign()));
            write("runs.jsonl", lines_of(&[fixture::record(1, ended)]));
            let outcome = conclude_stored(root.path(), fault("the disk is full"));
            assert_eq!(outcome.expect("an outcome").exit, wanted);
            assert!(root.path().join("summary.md").is_file());
        }
    }
}
