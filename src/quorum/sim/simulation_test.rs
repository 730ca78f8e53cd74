//! The seeded simulations: clean seeds pass, the same seed repeats itself, planted bugs are found.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Plan, Summary};
use crate::quorum::config::Mutation;

fn sweep(voters: i32, seeds: std::ops::Range<u64>, steps: u32) -> Summary {
    let mut total = Summary::default();
    for seed in seeds {
        let plan = Plan::draw(seed, voters, steps);
        let summary = match catch_unwind(AssertUnwindSafe(|| plan.run())) {
            Ok(Ok(summary)) => summary,
            Ok(Err(violation)) => panic!("{violation}"),
            Err(_) => panic!("a core panicked under {plan:?}"),
        };
        total.events += summary.events;
        total.elections += summary.elections;
        total.committed += summary.committed;
        total.acknowledged += summary.acknowledged;
        total.crashes += summary.crashes;
        total.snapshots_loaded += summary.snapshots_loaded;
        total.truncations += summary.truncations;
    }
    println!("{voters} voters: {total:?}");
    total
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
    assert_worth_something(sweep(3, 0..150, 3000));
}

#[test]
fn five_voters_and_an_observer_keep_every_promise() {
    assert_worth_something(sweep(5, 1000..1100, 3000));
}

#[test]
fn one_or_two_voters_keep_every_promise() {
    sweep(1, 2000..2010, 1000);
    sweep(2, 2010..2020, 2000);
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

/// The first of `seeds` that finds the bug.
fn first_catch(mutation: Mutation, voters: i32, seeds: std::ops::Range<u64>) -> Option<u64> {
    seeds.into_iter().find(|&seed| {
        let plan = Plan::draw(seed, voters, 3000).with(mutation);
        let caught = match catch_unwind(AssertUnwindSafe(|| plan.run())) {
            Ok(Ok(_)) => None,
            Ok(Err(violation)) => Some(violation.what),
            Err(_) => Some("an invariant of the core".to_owned()),
        };
        if let Some(what) = &caught {
            println!("{mutation:?} caught by seed {seed}: {what}");
        }
        caught.is_some()
    })
}

#[test]
fn planted_bugs_are_caught() {
    for mutation in ALL {
        let caught =
            first_catch(mutation, 3, 0..150).or_else(|| first_catch(mutation, 5, 1000..1100));
        assert!(caught.is_some(), "no seed catches {mutation:?}");
    }
}
