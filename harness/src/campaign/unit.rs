//! A work unit: one plan to run, with an id that is the same wherever it is drawn.
//!
//! In: a kind, a name, a pack and a plan. Out: the unit with its id.
//! Invariant: equal units have equal ids, on every machine and in every shard; the id depends on
//! nothing else, so that shards need no coordinator (reference/faults.md §4.2).

use sha2::{Digest, Sha256};

use crate::campaign::record::UnitKind;
use crate::matrix::Pack;
use crate::plan::Plan;

/// One plan to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    /// 16 hex digits.
    pub id: String,
    /// What sort of unit.
    pub kind: UnitKind,
    /// The column, profile, script or planted bug.
    pub name: String,
    /// The rows that it covers together, for units of the matrix.
    pub pack: Option<Pack>,
    /// What is run.
    pub plan: Plan,
}

impl Unit {
    /// The unit of `plan`.
    pub fn new(kind: UnitKind, name: &str, pack: Option<Pack>, plan: Plan) -> Self {
        Self {
            id: id(kind, name, pack, &plan),
            kind,
            name: name.to_owned(),
            pack,
            plan,
        }
    }

    /// What people call it: `matrix leader-kill × durability flush=never, seed 7`.
    pub fn label(&self) -> String {
        let seed = self.plan.seed;
        let name = &self.name;
        match self.pack {
            Some(pack) => format!("{} {name} × {pack}, seed {seed}", self.kind.word()),
            None => format!("{} {name}, seed {seed}", self.kind.word()),
        }
    }
}

impl UnitKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Matrix, Self::Swarm, Self::Script, Self::Canary];

    /// The kind as a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Matrix => "matrix",
            Self::Swarm => "swarm",
            Self::Script => "script",
            Self::Canary => "canary",
        }
    }
}

fn id(kind: UnitKind, name: &str, pack: Option<Pack>, plan: &Plan) -> String {
    let pack = pack.map(|pack| pack.to_string()).unwrap_or_default();
    let head = format!("{}\n{name}\n{pack}\n{}\n", kind.word(), plan.seed);
    let mut hash = Sha256::new();
    hash.update(head);
    hash.update(plan.to_json());
    short(&hash.finalize())
}

/// The first 16 hex digits of a digest.
pub fn short(digest: &[u8]) -> String {
    let bytes = digest.iter().take(8);
    let hex: Vec<String> = bytes.map(|byte| format!("{byte:02x}")).collect();
    hex.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::profile::PROFILES;
    use checkers::history::CommitMode;

    #[test]
    fn everything_that_makes_a_unit_another_one_changes_its_id() {
        let plan = |seed| Plan::draw(seed, &PROFILES[0]);
        let unit = |kind, name, pack, seed| Unit::new(kind, name, pack, plan(seed)).id;
        let first = unit(UnitKind::Swarm, "default", None, 1);
        assert_eq!(first, unit(UnitKind::Swarm, "default", None, 1));
        assert_eq!(first.len(), 16);
        let pack = Some(Pack::Mode(CommitMode::SyncAfter));
        for other in [
            unit(UnitKind::Swarm, "default", None, 2),
            unit(UnitKind::Script, "default", None, 1),
            unit(UnitKind::Swarm, "kill", None, 1),
            unit(UnitKind::Swarm, "default", pack, 1),
        ] {
            assert_ne!(first, other);
        }
        let mut sabotaged = plan(1);
        sabotaged.cluster.sabotage = Some("ack-before-replication".to_owned());
        assert_ne!(
            first,
            Unit::new(UnitKind::Swarm, "default", None, sabotaged).id
        );
    }
}
