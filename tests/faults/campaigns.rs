//! Campaigns of real runs: killed without warning, resumed, interrupted, merged.
//!
//! The command line runs in processes of its own: this program, told by [`AS_CLI`].

use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use harness::campaign::directory::Stored;
use harness::campaign::{CellState, UnitKind};
use harness::cli::exit::Exit;
use harness::cli::{self, Command as Asked};
use harness::roles::{Place, ROLE_VARIABLE};
use harness::sandbox::enter;
use libtest_mimic::{Failed, Trial};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Outcome, ensure};

/// The variable that makes this program the `verdict` command.
pub(crate) const AS_CLI: &str = "VERDICT_TEST_CLI";

/// Several runs on a loaded machine.
const LIMIT: Duration = Duration::from_mins(2);

pub(crate) fn trials() -> Vec<Trial> {
    vec![Trial::test(
        "campaigns::killed_resumed_interrupted_and_merged_every_run_counts_once",
        survives,
    )]
}

/// The commands that a campaign needs.
pub(crate) fn as_cli(place: Place) -> ExitCode {
    let exit = match cli::parse(std::env::args_os()).map(|cli| cli.command) {
        Ok(Asked::Matrix(arguments)) => cli::campaign::matrix(&arguments),
        Ok(Asked::Merge(arguments)) => cli::campaign::merge(&arguments),
        Ok(Asked::Run(arguments)) => match cli::run::plans(&arguments) {
            Ok(_) if place == Place::Host => {
                eprintln!("{}", enter::enter());
                Exit::MachineCannot
            }
            Ok(plans) => cli::run::run(&arguments, plans),
            Err(exit) => exit,
        },
        Ok(_) => Exit::Usage,
        Err(exit) => exit,
    };
    exit.into()
}

fn survives() -> Outcome {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("campaign");
    let mut killed = matrix(&out)?;
    wait_for("a history", || has_history(&out.join("work")))?;
    kill(pid(&killed), Signal::SIGKILL)?;
    killed.wait()?;
    wait_for("the end of everything that it started", || !is_named(&out))?;
    let stored = Stored::read(&out)?;
    ensure(stored.records.is_empty(), "nothing had ended")?;

    let mut resumed = matrix(&out)?;
    wait_for("a run", || {
        Stored::read(&out).is_ok_and(|stored| !stored.records.is_empty())
    })?;
    kill(pid(&resumed), Signal::SIGTERM)?;
    let code = resumed.wait()?.code();
    let stored = Stored::read(&out)?;
    let sentence = || {
        stored
            .records
            .iter()
            .map(|run| run.sentence.clone())
            .collect::<Vec<_>>()
    };
    ensure(code == Some(0), format!("{code:?} {:?}", sentence()))?;
    let begun = std::fs::read_to_string(out.join("events.jsonl"))?;
    for record in &stored.records {
        let cells = record.cells.iter().map(|cell| cell.state);
        ensure(record.kind == UnitKind::Matrix, "a unit of the matrix")?;
        ensure(cells.eq([CellState::Kept]), format!("{:?}", record.cells))?;
        ensure(begun.contains(&record.unit), "its begin was told")?;
    }
    let first = &stored.records[0].unit;
    let begins = begun
        .lines()
        .filter(|line| line.contains("unit-begun") && line.contains(first));
    ensure(begins.count() == 2, "the run that was killed was run again")?;
    ensure(!is_named(&out), "nothing is left running")?;
    ensure(
        !out.join("work").exists() || !has_history(&out.join("work")),
        "nothing half done",
    )?;
    merges(&out, &folder.path().join("merged"), &stored)
}

/// A part, merged with itself, is itself.
fn merges(part: &Path, out: &Path, stored: &Stored) -> Outcome {
    let mut child = command("merge")
        .arg(part)
        .arg(part)
        .arg("--force")
        .arg("--out")
        .arg(out)
        .spawn()?;
    ensure(child.wait()?.code() == Some(0), "merges")?;
    let merged = Stored::read(out)?;
    ensure(merged.records == stored.records, "every run once")?;
    for file in ["summary.md", "junit.xml", "index.html"] {
        let text = std::fs::read_to_string(out.join(file))?;
        ensure(
            text.contains("mode=sync-after"),
            format!("{file} names the row"),
        )?;
    }
    Ok(())
}

/// One run at a time of the cheapest cell.
fn matrix(out: &Path) -> Result<Child, Failed> {
    let mut command = command("matrix");
    command.args([
        "--rows",
        "mode=sync-after",
        "--columns",
        "none",
        "--seed",
        "7",
    ]);
    command
        .args(["--jobs", "1", "--budget", "1h", "--out"])
        .arg(out);
    Ok(command.spawn()?)
}

fn command(name: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg(name).env(AS_CLI, "1").env_remove(ROLE_VARIABLE);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32)
}

fn has_history(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    let mut paths = entries.flatten().map(|entry| entry.path());
    paths.any(|path| path.ends_with("history.jsonl") || path.is_dir() && has_history(&path))
}

/// Whether a process has the directory on its command line.
fn is_named(out: &Path) -> bool {
    let name = out.as_os_str().as_encoded_bytes();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| line.windows(name.len()).any(|part| part == name))
}

fn wait_for(what: &str, holds: impl Fn() -> bool) -> Outcome {
    let end = Instant::now() + LIMIT;
    while !holds() {
        ensure(Instant::now() < end, format!("waited in vain for {what}"))?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
