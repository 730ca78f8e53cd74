//! The seeded simulations: clean seeds pass, the same seed repeats itself, planted bugs are found.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::{Plan, Summary};
use crate::quorum::config::Mutation;

fn sweep(plans: impl Iterator<Item = Plan>) -> Summary {
    let mut total = Summary::default();
    for plan in plans {
        let summary = match catch_unwind(AssertUnwindSafe(|| plan.run())) {
            Ok(Ok(summary)) => summary,
            Ok(Err(violation)) => panic!("{violation}"),
            Err(panic) => {
                eprintln!("a core panicked under {plan:?}");
                resume_unwind(panic)
            }
        };
        total.events += summary.events;
        total.elections += summary.elections;
        total.committed += summary.committed;
        total.acknowledged += summary.acknowledged;
        total.crashes += summary.crashes;
        total.snapshots_loaded += summary.snapshots_loaded;
        total.truncations += summary.truncations;
    }
    println!("{total:?}");
    total
}

fn draws(voters: i32, seeds: Range<u64>, steps: u32) -> impl Iterator<Item = Plan> {
    seeds.map(move |seed| Plan::draw(seed, voters, steps))
}

fn churns(voters: i32, seeds: Range<u64>) -> impl Iterator<Item = Plan> {
    seeds.map(move |seed| Plan::churn(seed, voters, 2000))
}

/// A sweep that elected, crashed, truncated and loaded nothing would prove nothing.
fn assert_worth_something(total: Summary) {
    assert!(total.elections > 100, "{total:?}");
    assert!(total.acknowledged > 1000, "{total:?}");
    assert!(total.crashes > 100, "{total:?}");
    assert!(total.snapshots_loaded > 100, "{total:?}");
    assert!(total.truncations > 20, "{total:?}");
}

#[test]
fn three_voters_and_an_observer_keep_every_promise() {
    assert_worth_something(sweep(draws(3, 0..150, 3000)));
}

#[test]
fn five_voters_and_an_observer_keep_every_promise() {
    assert_worth_something(sweep(draws(5, 1000..1100, 3000)));
}

#[test]
fn leaders_that_die_young_keep_every_promise() {
    let total = sweep(churns(3, 0..250));
    assert!(total.elections > 1000, "{total:?}");
}

/// As many seeds as `QUORUM_SEEDS` says, for a night: none by default.
#[test]
fn more_seeds_keep_every_promise() {
    let seeds = std::env::var("QUORUM_SEEDS").map_or(0, |seeds| seeds.parse().unwrap());
    let range = 10_000..10_000 + seeds;
    for voters in [3, 5] {
        sweep(draws(voters, range.clone(), 4000));
        sweep(churns(voters, range.clone()));
    }
}

#[test]
fn one_or_two_voters_keep_every_promise() {
    sweep(draws(1, 2000..2010, 1000));
    sweep(draws(2, 2010..2020, 2000));
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 3000..3010 {
        let plan = Plan::draw(seed, 3, 2000);
        let first = plan.run().unwrap_or_else(|violation| panic!("{violation}"));
        let second = plan.run().unwrap_or_else(|violation| panic!("{violation}"));
        assert_eq!(first, second, "seed {seed}");
    }
}

/// Runs one plan named by the environment: the REPRODUCE line of a violation.
#[test]
fn reproduce() {
    let Ok(seed) = std::env::var("QUORUM_SEED") else {
        return;
    };
    let number = |name: &str| std::env::var(name).unwrap().parse().unwrap();
    let seed = seed.parse().unwrap();
    let mut plan = Plan::draw(seed, number("QUORUM_VOTERS"), number("QUORUM_STEPS") as u32);
    plan.mutation = std::env::var("QUORUM_MUTATION").ok().map(|name| {
        *ALL.iter()
            .find(|each| format!("{each:?}") == name)
            .expect("a known mutation")
    });
    match plan.run() {
        Ok(summary) => println!("{summary:?}"),
        Err(violation) => panic!("{violation}"),
    }
}

const ALL: [Mutation; 6] = [
    Mutation::VoteTwice,
    Mutation::AnswerBeforePersistence,
    Mutation::CommitEarlierEpochs,
    Mutation::KeepDivergingSuffix,
    Mutation::IgnoreLastFetchedEpoch,
    Mutation::IgnoreCandidateLog,
];

/// The first plan that finds the bug.
fn first_catch(mutation: Mutation, mut plans: impl Iterator<Item = Plan>) -> Option<u64> {
    plans.find_map(|plan| {
        let plan = plan.with(mutation);
        let what = match catch_unwind(AssertUnwindSafe(|| plan.run())) {
            Ok(Ok(_)) => return None,
            Ok(Err(violation)) => violation.what,
            Err(_) => "an invariant of the core".to_owned(),
        };
        println!("{mutation:?} caught by seed {}: {what}", plan.seed);
        Some(plan.seed)
    })
}

#[test]
fn planted_bugs_are_caught_by_the_seeds_that_are_run() {
    for mutation in ALL {
        let plans = draws(3, 0..20, 3000)
            .chain(churns(3, 0..250))
            .chain(draws(3, 20..150, 3000));
        assert!(
            first_catch(mutation, plans).is_some(),
            "no seed catches {mutation:?}"
        );
    }
}
