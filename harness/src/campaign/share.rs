//! How a campaign divides its budget among the kinds of units: shares as data.
//!
//! In: what each kind has had so far. Out: the kind whose turn it is.
//! Invariant: the order is a function of the units alone, so that every shard and every resumed
//! campaign sees the same; each kind's part of the planned time tends to its share.
//! Source: reference/faults.md §4.2, the fair scheduler of §4.1.

use crate::campaign::record::UnitKind;

/// One kind's part of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The kind.
    pub kind: UnitKind,
    /// Its part, in percent.
    pub percent: u64,
}

/// Percent of the budget that are kept, once there are findings, to estimate how often each comes
/// back.
pub const REPLAY_PERCENT: u32 = 10;

/// What `verdict matrix` runs.
pub const MATRIX: &[Share] = &[Share {
    kind: UnitKind::Matrix,
    percent: 100,
}];

/// What `verdict campaign` runs.
pub const CAMPAIGN: &[Share] = &[
    Share {
        kind: UnitKind::Matrix,
        percent: 50,
    },
    Share {
        kind: UnitKind::Swarm,
        percent: 30,
    },
    Share {
        kind: UnitKind::Script,
        percent: 12,
    },
    Share {
        kind: UnitKind::Canary,
        percent: 8,
    },
];

/// Whose turn it is: the kind with the least planned time for its share.
#[derive(Clone, Debug)]
pub struct Turns {
    shares: Vec<(Share, u64)>,
}

impl Turns {
    /// Nobody has had anything yet.
    pub fn new(shares: &[Share]) -> Self {
        Self {
            shares: shares.iter().map(|&share| (share, 0)).collect(),
        }
    }

    /// The next kind; nothing if none is left.
    pub fn next(&self) -> Option<UnitKind> {
        let least = self.shares.iter().min_by_key(|(_, had)| *had);
        least.map(|(share, _)| share.kind)
    }

    /// A unit of `kind` is planned to take `planned_ms` milliseconds.
    pub fn had(&mut self, kind: UnitKind, planned_ms: u64) {
        for (share, had) in &mut self.shares {
            if share.kind == kind {
                *had += planned_ms * 100 / share.percent;
            }
        }
    }

    /// There are no more units of `kind`; the others share its part.
    pub fn drop_kind(&mut self, kind: UnitKind) {
        self.shares.retain(|(share, _)| share.kind != kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_gets_its_share_of_the_time_however_long_its_units_are() {
        let total: u64 = CAMPAIGN.iter().map(|share| share.percent).sum();
        assert_eq!(total, 100);
        let mut turns = Turns::new(CAMPAIGN);
        let mut had = [0_u64; 4];
        for _ in 0..2_000 {
            let kind = turns.next().expect("a kind");
            let planned_ms = 5_000 + 3_000 * kind as u64;
            had[kind as usize] += planned_ms;
            turns.had(kind, planned_ms);
        }
        let sum: u64 = had.iter().sum();
        for share in CAMPAIGN {
            let percent = had[share.kind as usize] * 100 / sum;
            assert!(percent.abs_diff(share.percent) <= 1, "{share:?}: {percent}");
        }
    }

    #[test]
    fn a_kind_without_units_leaves_its_part_to_the_others() {
        let mut turns = Turns::new(CAMPAIGN);
        for kind in UnitKind::ALL {
            assert!(turns.next().is_some());
            turns.drop_kind(kind);
        }
        assert_eq!(turns.next(), None);
    }
}
