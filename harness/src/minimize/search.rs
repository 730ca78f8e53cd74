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

/// Passes over everything that could be taken away: what the first gave up with too few clean runs
/// for the rate of the smaller plan, the second asks again.
const ROUNDS: usize = 2;

/// Between the parts of what is taken away together.
pub(super) const PARTS: &str = ", ";

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
    /// How often the smallest plan itself failed, measured once nothing more could be taken away;
    /// no runs if there was no time to.
    pub own: Rate,
    /// How often the failure came back over all plans that showed it.
    pub rate: Rate,
    /// What was taken away, in order.
    pub removed: Vec<String>,
    /// One entry for each fault of the plan, in its order, as far as there was time.
    pub needed: Vec<Needed>,
    /// What was given up after fewer clean runs than the rate of the smallest plan asks for.
    pub undecided: Vec<GivenUp>,
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
    /// So many say that it is needed, at the rate of the plan.
    pub asked: u32,
}

impl Needed {
    /// Whether enough runs say that it is needed.
    pub fn is_decided(self) -> bool {
        self.clean >= u64::from(self.asked)
    }
}

/// Something that stayed, because the failure was not seen without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// What it is.
    pub what: String,
    /// Clean runs without it.
    pub clean: u64,
}

/// Makes `plan` smaller while `trial` has time.
pub fn minimize(trial: &mut impl Trial, plan: &Plan) -> Result<Outcome, NotReproduced> {
    let mut search = Search {
        trial,
        best: plan.clone(),
        rate: Rate::default(),
        removed: Vec::new(),
        given_up: Vec::new(),
        runs: 0,
        is_over: false,
    };
    let before = search.baseline()?;
    let mut own = Rate::default();
    for _ in 0..ROUNDS {
        search.given_up.clear();
        search.take_away();
        own = search.measure();
        if own.same == 0 || search.undecided(own).is_empty() {
            break;
        }
        // From here on as many clean runs are asked for as this plan takes.
        search.rate = own;
    }
    let needed = search.needed(&mut own);
    Ok(Outcome {
        before,
        own,
        rate: search.rate,
        runs: search.runs,
        is_finished: !search.is_over,
        undecided: search.undecided(own),
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
    given_up: Vec<GivenUp>,
    runs: u64,
    is_over: bool,
}

impl Search<'_> {
    /// Asks whether `plan`, the best one without `what`, still fails; if so it is the best one.
    pub(super) fn ask(&mut self, plan: Plan, what: &str) -> Answer {
        if plan == self.best || plan.check(Path::new("candidate")).is_err() {
            return Answer::Passes;
        }
        let (answer, clean) = self.repeat(&plan, self.rate.repeats());
        let what = what.to_owned();
        if answer == Answer::Fails {
            self.removed.push(what);
            self.best = plan;
            self.trial.keep(&self.best);
        } else {
            self.given_up.push(GivenUp { what, clean });
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
        let is_decided = clean.runs >= u64::from(times);
        let answer = if is_decided {
            Answer::Passes
        } else {
            Answer::Undecided
        };
        (answer, clean.runs)
    }

    /// One pass over everything that could be taken away.
    fn take_away(&mut self) {
        for phase in [
            reduce::config,
            reduce::clients,
            reduce::partitions,
            reduce::topics,
            reduce::faults,
            reduce::timing,
        ] {
            phase(self);
        }
    }

    /// What was given up with too few clean runs for a plan that fails at this rate; where that is
    /// not known, for the rate of all plans that failed.
    fn undecided(&self, own: Rate) -> Vec<GivenUp> {
        let rate = if own.same > 0 { own } else { self.rate };
        let asked = u64::from(rate.repeats());
        let is_decided = |part: &str| {
            let is_it = |one: &&GivenUp| one.what == part && one.clean >= asked;
            self.removed.iter().any(|gone| gone.split(PARTS).any(|gone| gone == part))
                || self.given_up.iter().any(|one| is_it(&one))
                // The pass without each fault speaks of them.
                || self.best.faults.iter().any(|fault| reduce::words(fault) == part)
        };
        let is_open = |one: &&GivenUp| one.clean < asked && !one.what.split(PARTS).all(is_decided);
        self.given_up.iter().filter(is_open).cloned().collect()
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
        let (rate, last) = self.rate_of_best();
        if rate.same == 0 {
            let runs = rate.runs;
            return Err(NotReproduced { runs, last });
        }
        self.rate = rate;
        self.trial.keep(&self.best);
        Ok(rate)
    }

    /// How often the best plan fails, by runs of its own.
    fn measure(&mut self) -> Rate {
        self.rate_of_best().0
    }

    /// Also why the last run came to no verdict, if so.
    fn rate_of_best(&mut self) -> (Rate, Option<String>) {
        let plan = self.best.clone();
        let (mut rate, mut last, mut runs) = (Rate::default(), None, 0);
        while rate.same < BASELINE_SAME && runs < BASELINE_RUNS {
            let Some(seen) = self.run(&plan) else { break };
            runs += 1;
            rate.count(&seen);
            last = match seen {
                Seen::Nothing(why) => Some(why),
                Seen::Same | Seen::Other => None,
            };
        }
        (rate, last)
    }

    /// Runs the plan, which fails at the rate `own`, without each of its faults; one that turns out
    /// not to be needed goes, and what is left is measured anew.
    fn needed(&mut self, own: &mut Rate) -> Vec<Needed> {
        let mut needed = Vec::new();
        // No number of clean runs says anything of a plan that did not fail again.
        while own.same > 0 && needed.len() < self.best.faults.len() {
            let mut plan = self.best.clone();
            let fault = plan.faults.remove(needed.len());
            let asked = own.repeats().max(NEEDED_RUNS);
            if plan.check(Path::new("candidate")).is_err() {
                // Nothing runs without it.
                needed.push(Needed { clean: 0, asked });
                continue;
            }
            let (answer, clean) = self.repeat(&plan, asked);
            match answer {
                Answer::Passes | Answer::Undecided => needed.push(Needed { clean, asked }),
                Answer::NoTime => {
                    needed.push(Needed { clean, asked });
                    break;
                }
                Answer::Fails => {
                    self.removed.push(reduce::words(&fault));
                    self.best = plan;
                    self.trial.keep(&self.best);
                    // What is known of the others is about a plan that had this one, too.
                    needed.clear();
                    *own = self.measure();
                }
            }
        }
        needed
    }
}

#[cfg(test)]
#[path = "search_test.rs"]
mod search_test;
