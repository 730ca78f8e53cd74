//! Which states of the ledger a run reached.
//!
//! In: the looks at the nodes, the lines of the nodes, the operations, the verdict. Out: each
//! state with the first thing that shows it, in the order of the ledger.

use checkers::anomaly::Kind;
use checkers::history::{Acks, Action, NemesisEvent, Op};
use checkers::verdict::Check;

use crate::evidence::Reached;
use crate::evidence::ledger::{STATES, Sign, State};
use crate::evidence::looks::Look;
use crate::evidence::node_log::Line;
use crate::evidence::turns::Course;
use crate::run::summary::Summary;

/// Characters of a proof.
const PROOF_MAX: usize = 200;

/// What was found so far: a time and a proof for each state, by its place in the ledger.
#[derive(Debug)]
pub(super) struct Found(Vec<Option<(u64, String)>>);

impl Found {
    pub(super) fn nothing() -> Self {
        Self(STATES.iter().map(|_| None).collect())
    }

    /// What an operation shows; operations come in their order.
    pub(super) fn look_at(&mut self, op: &Op) {
        self.first(op.time / 1_000_000, |sign| match (sign, &op.action) {
            (Sign::Fault(shows), Action::Nemesis(fault)) => {
                shows(fault).then(|| fault_words(fault))
            }
            (Sign::Operation(shows), _) => shows(op).then(|| op_words(op)),
            (Sign::Error(what, codes), action) if action.name() == *what => {
                let error = op.error.as_ref()?;
                codes.contains(&&*error.code).then(|| op_words(op))
            }
            _ => None,
        });
    }

    /// What a line of a node shows.
    pub(super) fn look_at_line(&mut self, line: &Line) {
        let Some(at_ms) = line.at_ms else { return };
        let proof = || format!("n{}: {}", line.node, line.text);
        self.first(at_ms, |sign| match sign {
            Sign::Line(words) => {
                let has_all = words.iter().all(|word| line.text.contains(word));
                has_all.then(proof)
            }
            Sign::AtLeast(words, field, least) => {
                let is_such = line.text.contains(words);
                (is_such && line.number(field)? >= *least).then(proof)
            }
            _ => None,
        });
    }

    /// What the looks at the nodes show, of which topic they may be.
    pub(super) fn look_at_nodes(&mut self, looks: &[Look]) {
        for (state, found) in STATES.iter().zip(&mut self.0) {
            if let Sign::Nodes(rule) = state.sign
                && let Some(look) = rule(looks).and_then(|place| looks.get(place))
                && found
                    .as_ref()
                    .is_none_or(|(earlier, _)| look.time / 1_000_000 < *earlier)
            {
                *found = Some((look.time / 1_000_000, look.words()));
            }
        }
    }

    /// What the turns show that nodes took.
    pub(super) fn look_at_turns(&mut self, course: &Course<'_>) {
        for (state, found) in STATES.iter().zip(&mut self.0) {
            if let Sign::Turns(rule) = state.sign {
                *found = rule(course);
            }
        }
    }

    /// What the checkers found.
    pub(super) fn look_at_verdict(&mut self, summary: &Summary) {
        let rows = summary.rows.iter().map(|row| &row.verdict);
        for verdict in [&summary.verdict].into_iter().chain(rows) {
            // With acks=0 nobody has acknowledged what is gone.
            let is_acked = verdict.settings.acks != Acks::Zero;
            let may_show = |check: &&Check| is_acked || check.anomaly != Kind::LostWrite;
            for check in verdict.checks.iter().filter(may_show) {
                let Some(example) = check.examples.first() else {
                    continue;
                };
                let ops = example.witness.iter();
                let ops =
                    ops.filter_map(|step| step.completion.as_ref().or(step.invocation.as_ref()));
                let time = ops.map(|op| op.time).max().unwrap_or(0);
                self.first(time / 1_000_000, |sign| match sign {
                    Sign::Anomaly(kinds) => kinds
                        .contains(&check.anomaly)
                        .then(|| example.explanation.clone()),
                    _ => None,
                });
            }
        }
    }

    fn first(&mut self, at_ms: u64, proof: impl Fn(&Sign) -> Option<String>) {
        for (state, found) in STATES.iter().zip(&mut self.0) {
            if found.as_ref().is_none_or(|(earlier, _)| at_ms < *earlier)
                && let Some(proof) = proof(&state.sign)
            {
                *found = Some((at_ms, proof));
            }
        }
    }

    pub(super) fn reached(self) -> Vec<Reached> {
        let reached = |(state, found): (&State, Option<(u64, String)>)| {
            let (at_ms, proof) = found?;
            Some(Reached {
                name: state.name.to_owned(),
                at_ms,
                proof: proof.chars().take(PROOF_MAX).collect(),
            })
        };
        STATES.iter().zip(self.0).filter_map(reached).collect()
    }
}

fn op_words(op: &Op) -> String {
    let error = op.error.as_ref();
    let error = error.map(|error| format!(": {}: {}", error.code, error.message));
    format!(
        "process {}, operation {}: {}{}",
        op.process,
        op.index,
        op.action.name(),
        error.unwrap_or_default()
    )
}

fn fault_words(fault: &NemesisEvent) -> String {
    let nodes: Vec<&str> = fault.nodes().collect();
    format!("{} of {}", fault.fault, nodes.join(", "))
}
