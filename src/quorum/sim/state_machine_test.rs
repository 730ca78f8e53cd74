//! The same cluster under proptest: generated operations, shrunk to the shortest that fails.
//!
//! The reference model knows which nodes run and which records are committed; committed records
//! may only be added.

use bytes::Bytes;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::Plan;
use super::cluster::Cluster;
use crate::offset::Offset;
use crate::quorum::{Batch, BatchBody, Quorum};

const NODES: usize = 4;

/// What the generator knows: the seed of timings, and which nodes run.
#[derive(Clone, Debug)]
struct Model {
    seed: u64,
    runs: [bool; NODES],
}

#[derive(Clone, Debug)]
enum Operation {
    /// Let so many events happen.
    Run(u32),
    Propose(usize),
    Crash(usize),
    Start(usize),
    /// Cut links around a node.
    Cut(usize),
    /// Mend all links.
    Mend,
    Snapshot(usize),
    FailDisk(usize),
    Shutdown(usize),
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Operation;

    fn init_state() -> BoxedStrategy<Self> {
        let model = |seed| Self {
            seed,
            runs: [true; NODES],
        };
        (0..1_000_000_u64).prop_map(model).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Operation> {
        let node = 0..NODES;
        prop_oneof![
            12 => (1..120_u32).prop_map(Operation::Run),
            6 => node.clone().prop_map(Operation::Propose),
            2 => node.clone().prop_map(Operation::Crash),
            3 => node.clone().prop_map(Operation::Start),
            2 => node.clone().prop_map(Operation::Cut),
            2 => Just(Operation::Mend),
            1 => node.clone().prop_map(Operation::Snapshot),
            1 => node.clone().prop_map(Operation::FailDisk),
            1 => node.prop_map(Operation::Shutdown),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, operation: &Operation) -> bool {
        match operation {
            Operation::Crash(node) | Operation::Propose(node) => state.runs[*node],
            Operation::Start(node) => !state.runs[*node],
            _ => true,
        }
    }

    fn apply(mut state: Self, operation: &Operation) -> Self {
        match operation {
            Operation::Crash(node) => state.runs[*node] = false,
            Operation::Start(node) => state.runs[*node] = true,
            _ => {}
        }
        state
    }
}

/// The cluster, and the committed records seen so far.
struct Subject {
    cluster: Cluster,
    committed: Vec<(Offset, Bytes)>,
}

impl Subject {
    fn committed_now(&self) -> Vec<(Offset, Bytes)> {
        let records = |batch: &Batch| match &batch.body {
            BatchBody::Records(bytes) => Some((batch.base_offset, bytes.clone())),
            BatchBody::LeaderChange { .. } => None,
        };
        self.cluster
            .oracle
            .committed
            .values()
            .filter_map(records)
            .collect()
    }

    fn operate(&mut self, operation: Operation) -> Result<(), String> {
        let cluster = &mut self.cluster;
        match operation {
            Operation::Run(events) => {
                for _ in 0..events {
                    cluster.step()?;
                }
                Ok(())
            }
            Operation::Propose(node) => cluster.propose(node),
            Operation::Crash(node) => cluster.crash(node),
            Operation::Start(node) => cluster.start(node),
            Operation::Cut(node) => {
                cluster.cut(node);
                Ok(())
            }
            Operation::Mend => {
                cluster.network.cut.clear();
                Ok(())
            }
            Operation::Snapshot(node) => cluster.snapshot(node),
            Operation::FailDisk(node) => cluster.fail_disk(node),
            Operation::Shutdown(node) => cluster.with_core(node, Quorum::handle_shutdown),
        }
    }
}

struct QuorumTest;

impl StateMachineTest for QuorumTest {
    type SystemUnderTest = Subject;
    type Reference = Model;

    fn init_test(model: &Model) -> Subject {
        Subject {
            cluster: Cluster::new(Plan {
                assassin_permille: 0,
                ..Plan::draw(model.seed, NODES as i32 - 1, 0)
            }),
            committed: Vec::new(),
        }
    }

    fn apply(mut subject: Subject, _: &Model, operation: Operation) -> Subject {
        subject
            .operate(operation)
            .unwrap_or_else(|violation| panic!("{violation}"));
        let committed = subject.committed_now();
        assert!(
            committed.starts_with(&subject.committed),
            "a committed record changed"
        );
        subject.committed = committed;
        subject
    }

    fn check_invariants(subject: &Subject, model: &Model) {
        for (node, runs) in subject.cluster.nodes.iter().zip(model.runs) {
            assert_eq!(node.core.is_some(), runs);
        }
    }

    fn teardown(mut subject: Subject, _: Model) {
        let healed = subject.cluster.require_progress();
        healed.unwrap_or_else(|violation| panic!("{violation}"));
        assert!(subject.committed_now().starts_with(&subject.committed));
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_faults_keeps_committed_records(sequential 1..80 => QuorumTest);
}
