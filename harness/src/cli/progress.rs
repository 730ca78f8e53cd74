//! The progress of a run: one live line on a terminal, plain lines elsewhere.
//!
//! It goes to stderr, so that stdout holds the result alone.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::run::events::Phase;
use crate::run::status::{Snapshot, Status};

/// Between two looks at the status.
const LOOK: Duration = Duration::from_millis(200);

/// Between two plain lines of the same phase.
const PLAIN_LINE_EVERY: Duration = Duration::from_secs(2);

/// Shows a run's status from a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Progress {
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Starts to show `status`; `label` begins every line.
    pub fn show(status: Arc<Status>, label: String) -> Self {
        let (done, ended) = channel::<()>();
        let thread = std::thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || {
                let mut display = Display::new(label);
                while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    display.update(&status.snapshot());
                }
                display.clear();
            });
        // Without a thread there is no display; the run matters more.
        Self {
            done: Some(done),
            thread: thread.ok(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.done = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

enum Display {
    Live {
        bar: ProgressBar,
        label: String,
    },
    Plain {
        label: String,
        begin: Instant,
        last: Option<(Option<Phase>, Instant)>,
    },
}

impl Display {
    fn new(label: String) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Plain {
                label,
                begin: Instant::now(),
                last: None,
            };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {elapsed:>3} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self::Live { bar, label }
    }

    fn update(&mut self, snapshot: &Snapshot) {
        match self {
            Self::Live { bar, label } => {
                bar.set_message(line(label, snapshot));
                bar.tick();
            }
            Self::Plain { label, begin, last } => {
                let is_due = last.is_none_or(|(phase, at)| {
                    phase != snapshot.phase || at.elapsed() >= PLAIN_LINE_EVERY
                });
                if is_due && snapshot.phase.is_some() {
                    *last = Some((snapshot.phase, Instant::now()));
                    let seconds = begin.elapsed().as_secs_f64();
                    // A closed stderr must not end the run.
                    let _ = writeln!(
                        std::io::stderr(),
                        "{seconds:5.1}s {}",
                        line(label, snapshot)
                    );
                }
            }
        }
    }

    fn clear(&self) {
        if let Self::Live { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

fn line(label: &str, snapshot: &Snapshot) -> String {
    let phase = snapshot.phase.map_or("", Phase::word);
    let counts = snapshot.counts;
    let faults = if snapshot.faults.is_empty() {
        "no fault acts".to_owned()
    } else {
        snapshot.faults.join(", ")
    };
    let group = if counts.rebalances == 0 {
        String::new()
    } else {
        format!(
            " · {} processed · {} commits · {} rebalances",
            counts.processed, counts.commits, counts.rebalances
        )
    };
    format!(
        "{label} · {phase} · {} ops · {} acked · {} unknown{group} · {faults}",
        counts.invoked, counts.acked, counts.unknown
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::stats::Counts;

    #[test]
    fn the_line_says_phase_counts_and_faults() {
        let counts = Counts {
            invoked: 12,
            acked: 7,
            unknown: 2,
            ..Counts::default()
        };
        let phase = Some(Phase::Workload);
        let quiet = Snapshot {
            phase,
            faults: vec![],
            counts,
        };
        assert_eq!(
            line("seed 7", &quiet),
            "seed 7 · workload · 12 ops · 7 acked · 2 unknown · no fault acts"
        );
        let faults = vec!["kill n1".to_owned(), "isolate n2".to_owned()];
        let busy = Snapshot { faults, ..quiet };
        assert!(line("seed 7", &busy).ends_with("kill n1, isolate n2"));
    }
}
