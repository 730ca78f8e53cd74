//! `verdict crash-images`: boots every state that the losses of power of a run could have left.

use std::io::IsTerminal;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use nix::mount::{MsFlags, mount};

use crate::cli::CrashImagesArgs;
use crate::cli::exit::Exit;
use crate::cli::say::say;
use crate::crash::result::CrashSummary;
use crate::crash::{Subject, page};
use crate::run::failure::RunFailure;
use crate::run::store::Store;

/// The most states of one run: each takes a good part of a second.
pub const STATES_MAX: i64 = 100_000;

/// The most at the same time: each has a network namespace and up to a whole cluster.
pub const JOBS_MAX: i64 = 64;

/// Between two plain lines of progress where there is no terminal, in states.
const PLAIN_LINE_EVERY: u64 = 100;

/// Checks that there is something to boot. Also used on the host, before the sandbox is entered.
pub fn subject(arguments: &CrashImagesArgs) -> Result<Subject, Exit> {
    let subject = Subject::open(&Store::open(&arguments.run));
    let subject = subject.map_err(|failure| complain(&failure))?;
    if subject.saved().is_empty() {
        eprintln!(
            "verdict: {} has no saved loss of power; run a profile with one, such as \
             power-loss-all, and keep its data",
            arguments.run.display()
        );
        return Err(Exit::Vacuous);
    }
    Ok(subject)
}

/// Boots the states and prints what came of them. Inside the sandbox.
pub fn crash_images(arguments: &CrashImagesArgs, subject: &Subject) -> Exit {
    match check(arguments, subject) {
        Ok(summary) => {
            for line in page::lines(&summary) {
                say!("{line}");
            }
            for state in summary
                .states
                .iter()
                .filter(|state| !state.findings.is_empty())
                .take(5)
            {
                for finding in &state.findings {
                    say!("  {}: {finding}", page::words(state.state));
                }
            }
            say!("{}", arguments.run.join(PAGE).display());
            summary.exit()
        }
        Err(failure) => complain(&failure),
    }
}

/// The page for people, and the file for programs, beside the run's report.
const PAGE: &str = "crash-images.md";
const FILE: &str = "crash-images.json";

fn check(arguments: &CrashImagesArgs, subject: &Subject) -> Result<CrashSummary, RunFailure> {
    let scratch = tempfile::Builder::new()
        .prefix(".crash-images-")
        .tempdir_in(&arguments.run)
        .map_err(RunFailure::harness)?;
    in_memory(scratch.path());
    let jobs = arguments.jobs.map_or_else(cores, usize::from);
    let bar = progress(u64::from(arguments.max));
    let max = arguments.max as usize;
    let checked = subject.check(scratch.path(), max, jobs, |summary, total| {
        let bad = summary.unrecoverable + summary.forbidden_losses;
        bar.set_length(total as u64);
        bar.set_position(summary.checked);
        bar.set_message(format!("{bad} bad"));
        if bar.is_hidden() && summary.checked % PLAIN_LINE_EVERY == 0 {
            eprintln!("crash images: {} of {total}, {bad} bad", summary.checked);
        }
    });
    bar.finish_and_clear();
    let _ = nix::mount::umount(scratch.path());
    let summary = checked?;
    let store = Store::open(&arguments.run);
    let text = serde_json::to_string_pretty(&summary).map_err(RunFailure::harness)?;
    let name = arguments.run.file_name().unwrap_or_default();
    let page = page::page(&summary, &name.to_string_lossy());
    for (file, text) in [(FILE, text), (PAGE, page)] {
        let written = store.write(&arguments.run.join(file), &text);
        written.map_err(RunFailure::harness)?;
    }
    Ok(summary)
}

/// Keeps the images in memory, where that is allowed: they vanish with the sandbox.
fn in_memory(folder: &Path) {
    let safe = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let none = None::<&str>;
    // Without it they are on the disk, which is slower and else the same.
    let _ = mount(Some("tmpfs"), folder, Some("tmpfs"), safe, none);
}

fn progress(states: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("crash images {pos} of {len} {bar:30} {eta} {msg}");
    let bar = ProgressBar::new(states);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn complain(failure: &RunFailure) -> Exit {
    eprintln!("verdict: {failure}");
    failure.exit()
}
