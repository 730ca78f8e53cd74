//! Runs a unit in a process of its own: `verdict run --plan`, which enters a sandbox of its own.
//!
//! In: a unit and an empty directory. Out: how it ended, and what it left.
//! Invariant: the process is gone when this returns, whatever happened; one that dies, hangs or
//! leaves no verdict is told apart from one that found something. The process also ends when this
//! one does, however that ends (`sandbox::enter`).

use std::fs;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::campaign::unit::Unit;
use crate::cli::exit::Exit;
use crate::evidence::Evidence;
use crate::plan::Plan;
use crate::roles::ROLE_VARIABLE;
use crate::run::interrupt::Interrupt;
use crate::run::summary::Summary;
use crate::sandbox::enter::PARENT_VARIABLE;

/// What a run may take beyond all its deadlines, for judging and writing on a loaded machine.
const MARGIN: Duration = Duration::from_mins(1);

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// When it began: RFC 3339.
    pub started: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// How it ended.
    pub ending: Ending,
    /// Its result directory, if there is one.
    pub result: Option<PathBuf>,
}

/// How a run's process ended.
#[derive(Clone, Debug)]
pub enum Ending {
    /// With a verdict.
    Finished {
        /// The verdict.
        summary: Box<Summary>,
        /// States of the ledger that it reached.
        reached: Vec<String>,
    },
    /// The machine does not allow what the plan needs.
    MachineCannot {
        /// What it said.
        why: String,
    },
    /// Without a verdict.
    NoVerdict {
        /// How it ended, and the last line that it printed.
        why: String,
    },
    /// Because this process was asked to end.
    Interrupted,
}

/// Whoever can run units.
pub trait Execute: Send + Sync + 'static {
    /// Runs `unit`, which may write below `work`, until it ends or `interrupt` comes.
    fn execute(
        &self,
        unit: Arc<Unit>,
        work: PathBuf,
        interrupt: Interrupt,
    ) -> impl Future<Output = Ran> + Send;
}

/// Runs units as processes of `program`.
#[derive(Clone, Debug)]
pub struct Processes {
    /// The binary; its `run` command is used.
    pub program: PathBuf,
}

impl Execute for Processes {
    async fn execute(&self, unit: Arc<Unit>, work: PathBuf, interrupt: Interrupt) -> Ran {
        let started = jiff::Zoned::now().timestamp().to_string();
        let begin = Instant::now();
        let (ended, was_stopped) = self.run(&unit.plan, &work, &interrupt).await;
        let result = fs::canonicalize(work.join(LATEST)).ok();
        Ran {
            started,
            duration_ms: begin.elapsed().as_millis() as u64,
            ending: ending(ended, &work, result.as_deref(), was_stopped),
            result,
        }
    }
}

/// How the process itself ended.
enum Ended {
    ByItself(ExitStatus),
    Late(Duration),
    NotStarted(io::Error),
}

impl Processes {
    /// Also tells whether it was this process that stopped it: a run that ended by itself counts,
    /// even if an interrupt came meanwhile.
    async fn run(&self, plan: &Plan, work: &Path, interrupt: &Interrupt) -> (Ended, bool) {
        let mut was_stopped = false;
        let mut child = match self.start(plan, work) {
            Ok(child) => child,
            Err(error) => return (Ended::NotStarted(error), was_stopped),
        };
        let limit = limit(plan);
        let waited = timeout(limit, interrupt.or(child.wait())).await;
        let ended = match waited {
            Ok(Ok(status)) => status.map_or_else(Ended::NotStarted, Ended::ByItself),
            // It stops what it started, and ends.
            Ok(Err(_)) => {
                was_stopped = true;
                signal(&child, Signal::SIGTERM);
                match timeout(MARGIN, child.wait()).await {
                    Ok(status) => status.map_or_else(Ended::NotStarted, Ended::ByItself),
                    Err(_) => Ended::Late(MARGIN),
                }
            }
            Err(_) => Ended::Late(limit),
        };
        if matches!(ended, Ended::Late(_)) {
            let _ = child.kill().await;
        }
        (ended, was_stopped)
    }

    fn start(&self, plan: &Plan, work: &Path) -> io::Result<Child> {
        let file = work.join("plan.json");
        fs::write(&file, plan.to_json())?;
        Command::new(&self.program)
            .args(["run", "--keep", "failed", "--plan"])
            .arg(&file)
            .arg("--results")
            .arg(work)
            .env_remove(ROLE_VARIABLE)
            .env(PARENT_VARIABLE, std::process::id().to_string())
            // The terminal's Ctrl-C is for this process, which passes it on once.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(work.join(STDERR))?)
            .kill_on_drop(true)
            .spawn()
    }
}

/// Leads to the result directory of the run.
pub(super) const LATEST: &str = "latest";

/// What the process prints for people.
const STDERR: &str = "stderr";

/// The longest that a run of `plan` can take.
fn limit(plan: &Plan) -> Duration {
    let time = &plan.time;
    let deadlines = [
        time.start_deadline_ms,
        time.workload_ms,
        time.recovery_deadline_ms,
        // Members of a group work off what is left, then all is read.
        2 * time.final_deadline_ms,
    ];
    Duration::from_millis(deadlines.into_iter().sum()) + MARGIN
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = child.id() {
        // It may have ended meanwhile.
        let _ = kill(Pid::from_raw(pid as i32), signal);
    }
}

fn ending(ended: Ended, work: &Path, result: Option<&Path>, was_stopped: bool) -> Ending {
    let found = result.and_then(read);
    let last = last_line(&work.join(STDERR));
    // A verdict that is there counts, however the process ended after it; one of a run that was
    // asked to end, only if it is a violation.
    if let Some((summary, reached)) = found
        && (!was_stopped || summary.is_violation())
    {
        return Ending::Finished { summary, reached };
    }
    let how = match ended {
        Ended::NotStarted(error) => format!("the process could not be run: {error}"),
        Ended::Late(limit) => format!("it did not end within {} s", limit.as_secs()),
        Ended::ByItself(status) => {
            let exit = status.code().map(Exit::from_code);
            if exit == Some(Exit::MachineCannot) {
                return Ending::MachineCannot { why: last };
            }
            format!("it left no verdict ({status})")
        }
    };
    if was_stopped {
        return Ending::Interrupted;
    }
    let why = if last.is_empty() {
        how
    } else {
        format!("{how}: {last}")
    };
    Ending::NoVerdict { why }
}

/// The verdict in a result directory, and the states of the ledger that it reached.
pub(super) fn read(result: &Path) -> Option<(Box<Summary>, Vec<String>)> {
    let text = fs::read_to_string(result.join("verdict.json")).ok()?;
    let summary = serde_json::from_str(&text).ok()?;
    let evidence = fs::read_to_string(result.join("evidence.json")).ok();
    let evidence = evidence.and_then(|text| serde_json::from_str::<Evidence>(&text).ok());
    let reached = evidence.unwrap_or_default().reached;
    let names = reached.into_iter().map(|state| state.name).collect();
    Some((Box::new(summary), names))
}

/// The last line of a file that says something, shortened.
fn last_line(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines().rev().map(str::trim);
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::fixture;

    #[test]
    fn a_verdict_that_was_written_counts_though_the_process_was_killed_at_the_limit() {
        let work = tempfile::tempdir().expect("a place");
        let late = || Ended::Late(MARGIN);
        let end = |was_stopped| ending(late(), work.path(), Some(work.path()), was_stopped);
        let verdict = work.path().join("verdict.json");
        fs::write(&verdict, "{\"format\":").expect("written");
        assert!(matches!(end(false), Ending::NoVerdict { .. }), "half a one");
        let mut summary = fixture::summary();
        for (exit, is_kept) in [(Exit::Broken, true), (Exit::Kept, false)] {
            summary.exit_code = exit.code();
            let text = serde_json::to_string(&summary).expect("plain data");
            fs::write(&verdict, text).expect("written");
            assert!(matches!(end(false), Ending::Finished { .. }), "{exit:?}");
            let is_there = matches!(end(true), Ending::Finished { .. });
            assert_eq!(is_there, is_kept, "asked to end, {exit:?}");
        }
    }
}
