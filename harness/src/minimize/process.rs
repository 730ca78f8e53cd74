//! Trials as processes of this program: `verdict run --plan` in a sandbox of its own.
//!
//! In: a failure to look for, and a place. Out: what each run showed.
//! Invariant: one run at a time, since a loaded machine reproduces other failures; of the runs
//! only the last one that failed in the same way stays, unless all are to stay.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Runtime;

use crate::campaign::UnitKind;
use crate::campaign::execute::{Ending, Execute, Processes, Ran};
use crate::campaign::signature::{Signature, is_same_failure, signatures};
use crate::campaign::unit::Unit;
use crate::cli::exit::Exit;
use crate::cli::say::say;
use crate::minimize::trial::{Seen, Trial};
use crate::plan::Plan;
use crate::run::interrupt::Interrupt;
use crate::run::summary::Summary;

/// Runs plans and looks for one failure.
#[derive(Debug)]
pub struct ProcessTrial {
    runtime: Runtime,
    processes: Processes,
    interrupt: Interrupt,
    /// What is looked for; without any, every broken promise is.
    wanted: Vec<Signature>,
    work: PathBuf,
    deadline: Option<Instant>,
    /// Where the smallest plan is stored, for a search.
    out: Option<PathBuf>,
    keeps_all: bool,
    runs: u64,
    /// The result directory of the last run that failed in the same way.
    pub latest: Option<PathBuf>,
    /// The worst exit of all runs.
    pub worst: Exit,
}

impl ProcessTrial {
    /// Looks for `wanted` by runs of this program below `work`, which is made.
    pub fn new(wanted: Vec<Signature>, work: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&work)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let interrupt = runtime.block_on(async { Interrupt::listen() })?;
        Ok(Self {
            runtime,
            processes: Processes {
                program: std::env::current_exe()?,
            },
            interrupt,
            wanted,
            work,
            deadline: None,
            out: None,
            keeps_all: true,
            runs: 0,
            latest: None,
            worst: Exit::Kept,
        })
    }

    /// For a search: no run begins after `deadline`, and the smallest plan is stored as `out`.
    pub fn until(mut self, deadline: Instant, out: PathBuf) -> Self {
        self.deadline = Some(deadline);
        self.out = Some(out);
        self.keeps_all = false;
        self
    }

    /// Whether somebody asked to end.
    pub fn is_interrupted(&self) -> bool {
        self.interrupt.has_come()
    }

    fn seen(&mut self, ending: Ending) -> Seen {
        let (exit, seen) = match ending {
            Ending::Finished { summary, .. } => {
                let shown = if self.is_wanted(&summary) {
                    Seen::Same
                } else {
                    Seen::Other
                };
                (summary.exit(), shown)
            }
            Ending::MachineCannot { why } => (Exit::MachineCannot, Seen::Nothing(why)),
            Ending::NoVerdict { why } => (Exit::HarnessFault, Seen::Nothing(why)),
            Ending::Interrupted => (Exit::Inconclusive, Seen::Nothing("interrupted".to_owned())),
        };
        self.worst = self.worst.worst(exit);
        seen
    }

    fn is_wanted(&self, summary: &Summary) -> bool {
        let found = signatures(summary);
        if self.wanted.is_empty() {
            return !found.is_empty();
        }
        is_same_failure(&found, &self.wanted)
    }

    /// Leaves of a run what is worth its place.
    fn tidy(&mut self, place: &Path, seen: &Seen, result: Option<PathBuf>) {
        if self.keeps_all {
            return;
        }
        let past = if *seen == Seen::Same {
            self.latest
                .replace(result.unwrap_or_else(|| place.to_owned()))
        } else {
            Some(place.to_owned())
        };
        let below = past.as_deref().and_then(|past| {
            let mut above = past.ancestors();
            above.find(|path| path.parent() == Some(self.work.as_path()))
        });
        if let Some(past) = below {
            // What cannot be removed is only disk space.
            let _ = fs::remove_dir_all(past);
        }
    }
}

impl Trial for ProcessTrial {
    fn run(&mut self, plan: &Plan) -> Seen {
        self.runs += 1;
        let place = self.work.join(format!("run-{}", self.runs));
        if let Err(error) = fs::create_dir_all(&place) {
            return Seen::Nothing(format!("cannot make {}: {error}", place.display()));
        }
        let unit = Arc::new(Unit::new(
            UnitKind::Swarm,
            &plan.profile,
            None,
            plan.clone(),
        ));
        let execute = self
            .processes
            .execute(unit, place.clone(), self.interrupt.clone());
        let Ran {
            ending,
            duration_ms,
            result,
            ..
        } = self.runtime.block_on(execute);
        let sentence = match &ending {
            Ending::Finished { summary, .. } => summary.sentence.clone(),
            _ => String::new(),
        };
        let seen = self.seen(ending);
        let words = match &seen {
            Seen::Same => "the same failure",
            Seen::Other => "not the failure",
            Seen::Nothing(why) => why.as_str(),
        };
        let number = self.runs;
        let seconds = duration_ms as f64 / 1_000.0;
        say!("run {number:<3} {seconds:5.1} s  {words:<16}  {sentence}");
        self.tidy(&place, &seen, result);
        seen
    }

    fn has_time(&self) -> bool {
        let is_over = self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        !is_over && !self.is_interrupted()
    }

    fn keep(&mut self, plan: &Plan) {
        let Some(out) = &self.out else { return };
        // Renamed into place, so that whoever reads it never sees half of it.
        let half = out.with_extension("json.part");
        let stored = fs::write(&half, plan.to_json()).and_then(|()| fs::rename(&half, out));
        if let Err(error) = stored {
            eprintln!("verdict: cannot write {}: {error}", out.display());
        }
    }
}
