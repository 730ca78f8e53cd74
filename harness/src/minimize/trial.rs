//! One run of a plan as an experiment: does it show the same failure?
//!
//! In: a plan. Out: whether the failure came back; over several runs the reproduction rate.
//! Invariant: a run without a verdict says nothing and is not counted.

use std::fmt;

use crate::campaign::statistics::{interval, repeats_to_reject};
use crate::plan::Plan;

/// What a run showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The failure that is looked for.
    Same,
    /// Nothing, or another failure.
    Other,
    /// No verdict, and why.
    Nothing(String),
}

/// Whoever can run plans.
pub trait Trial {
    /// Runs `plan` once.
    fn run(&mut self, plan: &Plan) -> Seen;

    /// Whether another run may begin.
    fn has_time(&self) -> bool;

    /// Stores the smallest plan so far, so that it is there whenever the search ends.
    fn keep(&mut self, plan: &Plan);
}

/// How often a failure came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Runs that showed it.
    pub same: u64,
    /// Runs that came to a verdict.
    pub runs: u64,
}

impl Rate {
    /// Counts one run.
    pub fn count(&mut self, seen: &Seen) {
        self.same += u64::from(*seen == Seen::Same);
        self.runs += u64::from(!matches!(seen, Seen::Nothing(_)));
    }

    /// How many clean runs say that the failure is gone. Runs were counted until it showed, which
    /// flatters the rate: the last time counts half.
    pub fn repeats(self) -> u32 {
        if self.same == 0 {
            return u32::MAX;
        }
        repeats_to_reject((self.same as f64 - 0.5) / self.runs as f64)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { same, runs } = self;
        let (low, high) = interval(*same, *runs);
        write!(f, "r = {same}/{runs} (95 %: {low:.2} to {high:.2})")
    }
}

/// Runs `plan` up to `times` times while there is time; how often the failure came back.
pub fn measure(trial: &mut impl Trial, plan: &Plan, times: u64) -> Rate {
    let mut rate = Rate::default();
    for _ in 0..times {
        if !trial.has_time() {
            break;
        }
        rate.count(&trial.run(plan));
    }
    rate
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(same: u64, runs: u64) -> Rate {
        Rate { same, runs }
    }

    #[test]
    fn a_rate_is_told_with_its_interval_and_a_run_without_a_verdict_is_none() {
        let mut counted = Rate::default();
        let nothing = Seen::Nothing("killed".to_owned());
        for seen in [Seen::Same, Seen::Other, nothing, Seen::Same] {
            counted.count(&seen);
        }
        assert_eq!(counted, rate(2, 3));
        assert_eq!(rate(3, 5).to_string(), "r = 3/5 (95 %: 0.23 to 0.88)");
    }

    #[test]
    fn rarer_failures_need_more_clean_runs() {
        let repeats = [
            rate(30, 30),
            rate(3, 3),
            rate(6, 12),
            rate(3, 12),
            rate(0, 9),
        ];
        assert_eq!(repeats.map(Rate::repeats), [1, 2, 5, 13, u32::MAX]);
    }
}
