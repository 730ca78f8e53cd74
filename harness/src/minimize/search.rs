//! The search for a smaller plan, over anything that can run plans.
//!
//! In: a plan that failed, and a [`Trial`]. Out: an [`Outcome`], whenever the time is over.
//! Invariant: the plan of the outcome has failed in the same way in a run, unless nothing smaller
//! did; only plans that pass `Plan::check` are run.

use std::path::Path;

use thiserror::Error;

use crate::minimize::ddmin::Answer;
use crate::minimize::reduce;
use crate::minimize::trial::{Rate, Seen, Trial};
use crate::plan::Plan;

/// How often the failure must come back before the search begins: it tells how often.
const BASELINE_SAME: u64 = 3;

/// Runs after which a failure that did not come back is given up.
const BASELINE_RUNS: u64 = 24;

/// Clean runs that say at least that a fault is needed.
const NEEDED_RUNS: u32 = 3;

/// Runs without a verdict, one after another, after which a plan cannot be judged.
const NOTHING_MAX: u32 = 3;

/// The failure did not come back.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the failure did not come back in {runs} runs{}; it may depend on chance, or on this \
         machine: try `verdict replay RUN --times 50`", .last.as_ref().map_or(String::new(),
         |why| format!(" (the last left no verdict: {why})")))]
pub struct NotReproduced {
    /// Runs that came to a verdict.
    pub runs: u64,
    /// Why the last run came to none, if so.
    pub last: Option<String>,
}

/// What the search came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The smallest plan that failed in the same way.
    pub plan: Plan,
    /// How often the plan that the search began with failed.
    pub before: Rate,
    /// How often the failure came back over all plans that showed it.
    pub rate: Rate,
    /// What was taken away, in order.
    pub removed: Vec<String>,
    /// One entry for each fault of the plan, in its order, as far as there was time.
    pub needed: Vec<Needed>,
    /// Runs of the whole search.
    pub runs: u64,
    /// Whether nothing was left to try.
    pub is_finished: bool,
}

/// How the plan runs without one of its faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Clean runs without it, none of which showed the failure.
    pub clean: u64,
}

/// Makes `plan` smaller while `trial` has time.
pub fn minimize(trial: &mut impl Trial, plan: &Plan) -> Result<Outcome, NotReproduced> {
    let mut search = Search {
        trial,
        best: plan.clone(),
        rate: Rate::default(),
        removed: Vec::new(),
        runs: 0,
        is_over: false,
    };
    let before = search.baseline()?;
    for phase in [
        reduce::config,
        reduce::clients,
        reduce::partitions,
        reduce::topics,
        reduce::faults,
        reduce::timing,
    ] {
        phase(&mut search);
    }
    let needed = search.needed();
    Ok(Outcome {
        before,
        rate: search.rate,
        runs: search.runs,
        is_finished: !search.is_over,
        plan: search.best,
        removed: search.removed,
        needed,
    })
}

/// A search on its way.
pub(super) struct Search<'a> {
    trial: &'a mut dyn Trial,
    /// The smallest plan that failed.
    pub(super) best: Plan,
    rate: Rate,
    removed: Vec<String>,
    runs: u64,
    is_over: bool,
}

impl Search<'_> {
    /// Asks whether `plan`, the best one without `what`, still fails; if so it is the best one.
    pub(super) fn ask(&mut self, plan: Plan, what: &str) -> Answer {
        if plan == self.best || plan.check(Path::new("candidate")).is_err() {
            return Answer::Passes;
        }
        let (answer, _) = self.repeat(&plan, self.rate.repeats());
        if answer == Answer::Fails {
            self.removed.push(what.to_owned());
            self.best = plan;
            self.trial.keep(&self.best);
        }
        answer
    }

    /// Runs `plan` until it fails in the same way, at most `times` times; how often it did not.
    fn repeat(&mut self, plan: &Plan, times: u32) -> (Answer, u64) {
        let (mut clean, mut nothing) = (Rate::default(), 0);
        while clean.runs < u64::from(times) && nothing < NOTHING_MAX {
            let Some(seen) = self.run(plan) else {
                return (Answer::NoTime, clean.runs);
            };
            match seen {
                Seen::Same => {
                    self.rate.same += 1;
                    self.rate.runs += clean.runs + 1;
                    return (Answer::Fails, clean.runs);
                }
                Seen::Other => nothing = 0,
                Seen::Nothing(_) => nothing += 1,
            }
            clean.count(&seen);
        }
        (Answer::Passes, clean.runs)
    }

    fn run(&mut self, plan: &Plan) -> Option<Seen> {
        if !self.trial.has_time() {
            self.is_over = true;
            return None;
        }
        self.runs += 1;
        Some(self.trial.run(plan))
    }

    /// How often the failure comes back before anything is taken away.
    fn baseline(&mut self) -> Result<Rate, NotReproduced> {
        let plan = self.best.clone();
        let (mut rate, mut last) = (Rate::default(), None);
        while rate.same < BASELINE_SAME && self.runs < BASELINE_RUNS {
            let Some(seen) = self.run(&plan) else { break };
            rate.count(&seen);
            last = match seen {
                Seen::Nothing(why) => Some(why),
                Seen::Same | Seen::Other => None,
            };
        }
        if rate.same == 0 {
            let runs = rate.runs;
            return Err(NotReproduced { runs, last });
        }
        self.rate = rate;
        self.trial.keep(&self.best);
        Ok(rate)
    }

    /// Runs the plan without each of its faults; one that turns out not to be needed goes.
    fn needed(&mut self) -> Vec<Needed> {
        let mut needed = Vec::new();
        while needed.len() < self.best.faults.len() {
            let mut plan = self.best.clone();
            let fault = plan.faults.remove(needed.len());
            if plan.check(Path::new("candidate")).is_err() {
                // Nothing runs without it.
                needed.push(Needed { clean: 0 });
                continue;
            }
            let times = self.rate.repeats().max(NEEDED_RUNS);
            match self.repeat(&plan, times) {
                (Answer::NoTime, _) => break,
                (Answer::Passes, clean) => needed.push(Needed { clean }),
                (Answer::Fails, _) => {
                    self.removed.push(reduce::words(&fault));
                    self.best = plan;
                    self.trial.keep(&self.best);
                    // What is known of the others is about a plan that had this one, too.
                    needed.clear();
                }
            }
        }
        needed
    }
}

#[cfg(test)]
#[path = "search_test.rs"]
mod search_test;
