//! The command line of `verdict`: arguments in, one command run, an exit code out.
//!
//! A command line that cannot be used ends with exit code 2 and one line that says what would be
//! right; everything longer is in `--help`.

use std::path::PathBuf;

use checkers::history::Acks;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::campaign::jobs;
use crate::campaign::retention::KeepRuns;
use crate::campaign::shard::Shard;
use crate::cli::exit::Exit;
use crate::cli::seeds::Seeds;
use crate::matrix::Pack;

pub mod campaign;
pub mod check;
pub mod compare;
pub mod contract;
pub mod crash_images;
pub mod exit;
pub mod list;
pub mod minimize;
pub mod progress;
pub mod replay;
pub mod report;
pub mod result;
pub mod run;
pub mod say;
pub mod seeds;
pub mod shown;
pub mod up;

/// Runs real clusters, breaks them on purpose, and says which promises held.
#[derive(Debug, Parser)]
#[command(name = "verdict", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a cluster, drive clients, inject faults, check the history, report
    Run(RunArgs),
    /// Run the plan of an earlier run again, and say how often it fails in the same way
    Replay(ReplayArgs),
    /// Make the plan of a failing run smaller: what is left is what the failure needs
    Minimize(MinimizeArgs),
    /// Say what settings promise under which faults, or how many replicas a promise takes
    Contract(ContractArgs),
    /// Cover the guarantee matrix: every promise under every class of faults
    Matrix(CampaignArgs),
    /// Cover the matrix, play a random swarm, the scripts and the canaries, for a night
    Campaign(CampaignArgs),
    /// Join the campaign directories of shards
    Merge(MergeArgs),
    /// Check a stored history
    Check(CheckArgs),
    /// Make the page of a finished run again, from its stored files
    Report(ReportArgs),
    /// Show finished runs beside each other: who waited how long for an acknowledgement
    Compare(CompareArgs),
    /// Show campaigns and runs in a browser on this machine, with a search
    Serve(crate::serve::ServeArgs),
    /// Boot every state that the losses of power of a finished run could have left
    CrashImages(CrashImagesArgs),
    /// Print the names that other commands take, one a line with a description
    List(ListArgs),
    /// Say which faults this machine can inject, and what would allow the others
    Doctor(DoctorArgs),
    /// Start a plain cluster on 127.0.0.1 for your own clients
    Up(UpArgs),
}

/// Arguments of `verdict run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// One seed, or several as FIRST..LAST, both included [default: from the clock]
    #[arg(long, value_name = "N|A..B")]
    pub seed: Option<Seeds>,
    /// Which faults; `verdict list profiles` names them [default: default]
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// How long the clients work, such as 13s
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub time_limit: Option<std::time::Duration>,
    /// Play one incident instead; `verdict list scripts` names them
    #[arg(long, value_name = "NAME", conflicts_with_all = ["profile", "time_limit"])]
    pub script: Option<String>,
    /// Draw every knob anew, as the swarm of a campaign does
    #[arg(long, conflicts_with_all = ["profile", "time_limit", "script", "column", "canary",
        "mode", "flush", "sabotage", "plan"])]
    pub swarm: bool,
    /// Plant a bug in the incident that shows it, as the canaries of a campaign do
    #[arg(long, value_name = "NAME", conflicts_with_all = ["profile", "time_limit", "script",
        "column", "mode", "flush", "sabotage", "plan"])]
    pub canary: Option<String>,
    /// Run a column of the matrix instead; `verdict list columns` names them
    #[arg(long, value_name = "NAME", requires = "pack",
        conflicts_with_all = ["profile", "time_limit", "script", "mode", "flush"])]
    pub column: Option<String>,
    /// The rows that the column is run for, such as "durability flush=never"
    #[arg(long, value_name = "ROWS", requires = "column")]
    pub pack: Option<Pack>,
    /// What the brokers fsync before they acknowledge it; never is Kafka's default
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Flush::Never)]
    pub flush: Flush,
    /// Lets faults that destroy data act only where a good copy of everything acknowledged is left,
    /// so that every loss is a bug
    #[arg(long, conflicts_with_all = ["plan", "column", "canary", "swarm"])]
    pub atlas: bool,
    /// A broker setting, repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// When members of a group commit; `verdict list modes` names them [default: drawn]. With a
    /// profile of disks it makes the consumers members
    #[arg(long, value_name = "NAME")]
    pub mode: Option<String>,
    /// Run brokers with a planted bug; `verdict list sabotage` names them
    #[arg(long, value_name = "NAME")]
    pub sabotage: Option<String>,
    /// Run this plan instead of drawing one
    #[arg(long, value_name = "FILE",
        conflicts_with_all = ["seed", "profile", "time_limit", "mode", "script", "flush",
            "settings", "column"])]
    pub plan: Option<PathBuf>,
    /// Where result directories are made
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results: PathBuf,
    /// Which nodes' data to keep in the result directory
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Keep::Always)]
    pub keep: Keep,
}

/// What is fsynced before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Flush {
    /// Nothing.
    Never,
    /// Every message: `log.flush.interval.messages=1`.
    Every,
}

/// When the data directories of the nodes stay in the result directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Keep {
    /// After every run.
    Always,
    /// Only when the run did not end with exit code 0.
    Failed,
    /// Never; logs and configurations stay.
    Never,
}

/// Arguments of `verdict replay`.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// A result directory, or its plan.json
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// How often
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = run_count())]
    pub times: u64,
    /// Where result directories are made
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results: PathBuf,
}

/// Arguments of `verdict minimize`.
#[derive(Clone, Debug, Args)]
pub struct MinimizeArgs {
    /// A result directory with a broken promise, or its plan.json
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// After this time no further run begins; the smallest plan so far is the answer
    #[arg(long, value_name = "TIME", default_value = "30m",
        value_parser = humantime::parse_duration)]
    pub budget: std::time::Duration,
    /// Which failure to look for, of several [default: the first that is no silence]
    #[arg(long, value_name = "ID")]
    pub signature: Option<String>,
    /// Where the smallest plan is stored, at any time [default: minimal.json in RUN]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Where result directories are made
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub results: PathBuf,
}

/// Arguments of `verdict contract`.
#[derive(Clone, Debug, Args)]
pub struct ContractArgs {
    /// When a send counts as acknowledged
    #[arg(long, value_enum, default_value_t = AcksWord::All)]
    pub acks: AcksWord,
    /// Copies of each partition
    #[arg(long = "rf", value_name = "N", default_value_t = 3, value_parser = copy_count())]
    pub replication_factor: u32,
    /// min.insync.replicas
    #[arg(long = "min-isr", value_name = "N", default_value_t = 2, value_parser = copy_count())]
    pub min_insync_replicas: u32,
    /// What is fsynced before it is acknowledged
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Flush::Never)]
    pub flush: Flush,
    /// Lets replicas lead that are not in sync: unclean.leader.election.enable=true
    #[arg(long)]
    pub unclean: bool,
    /// When members of a group commit; `verdict list modes` names them [default: no group]
    #[arg(long, value_name = "NAME")]
    pub mode: Option<String>,
    /// What happened, by its name in the matrix; repeatable, each time to another node
    #[arg(long = "fault", value_name = "NAME")]
    pub faults: Vec<String>,
    /// Ask instead for the smallest settings that survive the loss of so many brokers
    #[arg(long, value_name = "FAILURES", conflicts_with_all = ["replication_factor",
        "min_insync_replicas", "acks", "flush", "unclean", "mode", "faults"])]
    pub survive: Option<u32>,
    /// With --survive: acks=all is to be served meanwhile
    #[arg(long, requires = "survive")]
    pub availability: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `acks` as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AcksWord {
    /// As soon as it was sent.
    #[value(name = "0")]
    Zero,
    /// As soon as the leader has it.
    #[value(name = "1")]
    One,
    /// As soon as every in-sync replica has it.
    All,
}

impl From<AcksWord> for Acks {
    fn from(word: AcksWord) -> Self {
        match word {
            AcksWord::Zero => Self::Zero,
            AcksWord::One => Self::One,
            AcksWord::All => Self::All,
        }
    }
}

/// Arguments of `verdict matrix` and `verdict campaign`.
#[derive(Clone, Debug, Args)]
pub struct CampaignArgs {
    /// Wall-clock time over all sittings, such as 10m or 8h [default: 10m, or as long as it takes
    /// with --max-runs]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub budget: Option<std::time::Duration>,
    /// Only the first N units of the whole sequence, of which a shard takes its part; findings are
    /// replayed beside them
    #[arg(long, value_name = "N", value_parser = unit_count())]
    pub max_runs: Option<u64>,
    /// Only rows that have all these words, such as `acks=all rf=3`; repeatable
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    pub rows: Vec<String>,
    /// Only these columns, and the control without faults; repeatable
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// Runs at the same time [default: as cores and memory allow]
    #[arg(long, value_name = "N", value_parser = campaign_jobs())]
    pub jobs: Option<u16>,
    /// Which part of the units this machine takes: 0/4, or env for a Kubernetes Indexed Job
    #[arg(long, value_name = "I/N", default_value_t = Shard::WHOLE)]
    pub shard: Shard,
    /// Where the seeds begin [default: that of the resumed campaign, or from the clock]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// The campaign directory; one that exists is resumed [default: results/<time>-<command>]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Which runs are kept whole
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = KeepRuns::Findings)]
    pub keep: KeepRuns,
}

/// Arguments of `verdict merge`.
#[derive(Clone, Debug, Args)]
pub struct MergeArgs {
    /// Campaign directories, in any order
    #[arg(value_name = "DIR", required = true)]
    pub parts: Vec<PathBuf>,
    /// The campaign directory to make
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Which of the runs that the parts kept whole are kept
    #[arg(long, value_name = "WHICH", value_enum, default_value_t = KeepRuns::Findings)]
    pub keep: KeepRuns,
    /// Merge campaigns of different arguments or binaries, or a shard twice; of two results of a
    /// unit the worse one counts
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `verdict check`.
#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// A history.jsonl, or a result directory
    #[arg(value_name = "HISTORY")]
    pub history: PathBuf,
    /// Settings that decide what was promised, as JSON [default: those in the history]
    #[arg(long, value_name = "FILE")]
    pub contract: Option<PathBuf>,
    /// Print the verdict as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `verdict report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// A result directory
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
}

/// Arguments of `verdict compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareArgs {
    /// Result directories
    #[arg(value_name = "RUN", required = true, num_args = 2..)]
    pub runs: Vec<PathBuf>,
    /// The page [default: compare.html beside the first run]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `verdict crash-images`.
#[derive(Clone, Debug, Args)]
pub struct CrashImagesArgs {
    /// A result directory with saved losses of power
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// How many states, at most; one in ten is one of the whole cluster
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = state_count())]
    pub max: u32,
    /// How many at the same time [default: one for each core]
    #[arg(long, value_name = "N", value_parser = job_count())]
    pub jobs: Option<u16>,
}

/// Arguments of `verdict list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// Which names
    #[arg(value_enum)]
    pub what: Listed,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Listed {
    /// Mixes of faults for `--profile`.
    Profiles,
    /// Incidents for `--script`.
    Scripts,
    /// Faults that plans can name.
    Faults,
    /// What the checkers find.
    Anomalies,
    /// Planted bugs for `--sabotage`.
    Sabotage,
    /// When members of a group commit, for `--mode`.
    Modes,
    /// States of a cluster that runs are watched for.
    Ledger,
    /// Classes of faults, for `--column`.
    Columns,
    /// Rows of the matrix: what is promised something.
    Rows,
    /// Rows that one run covers together, for `--pack`.
    Packs,
}

/// Arguments of `verdict doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `verdict up`.
#[derive(Clone, Debug, Args)]
pub struct UpArgs {
    /// Broker processes
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = node_count())]
    pub nodes: u16,
    /// Port of the first broker; the others follow
    #[arg(long, default_value_t = 19092, value_name = "PORT")]
    pub base_port: u16,
    /// Where data stays [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A broker setting, repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

fn copy_count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=9)
}

fn run_count() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(1..=run::RUNS_MAX)
}

fn unit_count() -> clap::builder::RangedU64ValueParser<u64> {
    clap::value_parser!(u64).range(1..=campaign::UNITS_MAX)
}

fn campaign_jobs() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=jobs::JOBS_MAX)
}

fn node_count() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=9)
}

fn state_count() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=crash_images::STATES_MAX)
}

fn job_count() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=crash_images::JOBS_MAX)
}

/// Reads the command line; on help, version or an error, the exit to end with.
pub fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Cli, Exit> {
    Cli::try_parse_from(arguments).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            print!("{error}");
            Exit::Kept
        }
        _ => {
            eprintln!("{}", one_line(&error.to_string()));
            Exit::Usage
        }
    })
}

/// Clap's message without its paragraphs: the error, its tips, and where help is.
fn one_line(message: &str) -> String {
    let lines = message.lines().map(str::trim);
    let parts: Vec<&str> = lines
        .take_while(|line| !line.starts_with("Usage:"))
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .collect();
    format!(
        "verdict: {}; try --help",
        parts.join(" ").trim_start_matches("error: ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(arguments: &[&str]) -> String {
        let arguments = std::iter::once("verdict").chain(arguments.iter().copied());
        let error = Cli::try_parse_from(arguments).expect_err("must be refused");
        one_line(&error.to_string())
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_command_line_is_refused_in_one_line_that_says_what_would_be_right() {
        for (arguments, wanted) in [
            (&["run", "--sed", "7"][..], "'--sed'"),
            (&["run", "--seed", "5..2"], "write the smaller seed first"),
            (&["run", "--time-limit", "soon"], "--time-limit"),
            (&["run", "--keep", "some"], "always, failed, never"),
            (
                &["run", "--plan", "p.json", "--seed", "1"],
                "cannot be used with",
            ),
            (&["lst"], "list"),
            (
                &["list", "bugs"],
                "profiles, scripts, faults, anomalies, sabotage",
            ),
            (&["check"], "<HISTORY>"),
            (&["compare", "one"], "2 values required"),
            (&["up", "--nodes", "0"], "1..=9"),
            (&["crash-images", "r", "--max", "0"], "1..=100000"),
            (&["crash-images", "r", "--max", "100001"], "1..=100000"),
            (&["crash-images", "r", "--jobs", "0"], "1..=64"),
            (&["crash-images", "r", "--jobs", "65"], "1..=64"),
            (&["replay", "r", "--times", "0"], "1..=10000"),
            (&["minimize", "r", "--budget", "soon"], "--budget"),
            (&["campaign", "--max-runs", "0"], "1..=10000000"),
            (
                &["run", "--swarm", "--profile", "kill"],
                "cannot be used with",
            ),
            (&["contract", "--acks", "2"], "0, 1, all"),
            (&["contract", "--rf", "0"], "1..=9"),
            (
                &["contract", "--survive", "1", "--rf", "3"],
                "cannot be used with",
            ),
            (&["contract", "--availability"], "--survive"),
        ] {
            let message = refuse(arguments);
            assert!(message.contains(wanted), "{arguments:?}: {message}");
            assert!(!message.contains('\n'), "{arguments:?}: {message}");
        }
    }

    #[test]
    fn exit_codes_of_parsing() {
        let parse = |arguments: &[&str]| parse(arguments.iter().map(Into::into)).err();
        assert_eq!(parse(&["verdict", "--version"]), Some(Exit::Kept));
        assert_eq!(parse(&["verdict", "fly"]), Some(Exit::Usage));
        assert_eq!(parse(&["verdict", "run", "--seed", "1..50"]), None);
    }
}
