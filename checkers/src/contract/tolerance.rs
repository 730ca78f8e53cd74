//! How many brokers may fail: replication factor ≥ min.insync.replicas + tolerated failures.
//!
//! In: copies and min.insync.replicas, or how many failures must be survived. Out: who may be
//! down, or the smallest setting that does, derived by asking the table of promises.
//! Source: Kafka's min.insync.replicas; KIP-966 (more than there are copies count as all copies).

use crate::anomaly::Kind;
use crate::contract::Contract;
use crate::history::{FaultClass, Settings};

/// The most failures that the planner answers for: nine copies.
pub const SURVIVED_MAX: u32 = 4;

/// Replicas of a partition that may be down while acks=all is served.
pub fn tolerated(replication_factor: u32, min_insync_replicas: u32) -> u32 {
    replication_factor
        - min_insync_replicas
            .clamp(1, replication_factor.max(1))
            .min(replication_factor)
}

/// The smallest copies and min.insync.replicas with which acknowledged records survive that
/// `failures` brokers are lost for ever; with `availability`, acks=all is served meanwhile, too.
/// Nothing beyond [`SURVIVED_MAX`].
pub fn smallest(failures: u32, availability: bool) -> Option<Settings> {
    let most = 2 * SURVIVED_MAX + 1;
    let sizes = (1..=most).flat_map(|copies| (1..=copies).map(move |in_sync| (copies, in_sync)));
    let settings = sizes.map(|(replication_factor, min_insync_replicas)| Settings {
        replication_factor,
        min_insync_replicas,
        ..Settings::default()
    });
    let survives = |settings: &Settings| {
        let lost = (1..=failures).map(|id| format!("n{id}"));
        let contract = Contract::new(settings.clone()).after(FaultClass::Wipe, lost);
        let is_durable = contract.promise(Kind::LostWrite).forbidden;
        is_durable && (!availability || contract.tolerated_failures() >= failures)
    };
    let mut fitting = settings.into_iter().filter(survives);
    fitting.next().filter(|_| failures <= SURVIVED_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kip966_the_rule_holds_for_every_setting() {
        for copies in 1..=3_u32 {
            for in_sync in 1..=3_u32 {
                let tolerated = tolerated(copies, in_sync);
                assert_eq!(
                    tolerated,
                    copies.saturating_sub(in_sync),
                    "rf {copies}, {in_sync}"
                );
                assert!(copies >= in_sync.min(copies) + tolerated);
                let one_more = tolerated + 1;
                assert!(
                    copies < in_sync.min(copies) + one_more,
                    "one more is too many"
                );
            }
        }
    }

    #[test]
    fn the_smallest_setting_for_f_failures() {
        let answer = |failures, availability| {
            let settings = smallest(failures, availability)?;
            Some((settings.replication_factor, settings.min_insync_replicas))
        };
        for failures in 0..=SURVIVED_MAX {
            let (copies, in_sync) = (failures + 1, failures + 1);
            assert_eq!(answer(failures, false), Some((copies, in_sync)));
            assert_eq!(answer(failures, true), Some((2 * failures + 1, in_sync)));
        }
        assert_eq!(answer(SURVIVED_MAX + 1, false), None);
    }
}
