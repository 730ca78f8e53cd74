//! What a configuration promises under the faults that happened.
//!
//! In: the settings of the run and the classes of its faults. Out: for each anomaly, forbidden or
//! allowed, and the sentence that says why. The words are those of the report.
//! Source: Kafka's replication protocol as in KIP-98, KIP-101, KIP-966.

mod disk;
mod group;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::anomaly::Kind;
use crate::contract::disk::{Durability, Struck};
use crate::history::{Acks, Action, FaultClass, GroupSettings, History, Phase, Settings};
use crate::log::Rules;

/// The promises that a run is judged by.
#[derive(Clone, Debug)]
pub struct Contract {
    /// What was configured.
    pub settings: Settings,
    /// What happened to it.
    pub faults: BTreeSet<FaultClass>,
    /// Which nodes they struck.
    struck: Struck,
    /// What the members of groups were configured with.
    pub(crate) group: GroupSettings,
    pub(crate) rules: Rules,
}

/// Whether an anomaly may happen, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// Whether it breaks the contract.
    pub forbidden: bool,
    /// A clause that follows "because".
    pub because: String,
}

impl Promise {
    fn forbidden(because: impl Into<String>) -> Self {
        Self {
            forbidden: true,
            because: because.into(),
        }
    }

    fn allowed(because: impl Into<String>) -> Self {
        Self {
            forbidden: false,
            because: because.into(),
        }
    }
}

impl Contract {
    /// The contract of these settings when nothing goes wrong.
    pub fn new(settings: Settings) -> Self {
        let rules = Rules {
            duplicates_allowed: !settings.idempotence,
            gaps_allowed: settings.offset_gaps,
            acks_early: settings.acks == Acks::One,
            ends_strict_from: 0,
        };
        let group = settings.group.clone().unwrap_or_default();
        Self {
            settings,
            faults: BTreeSet::new(),
            struck: Struck::default(),
            group,
            rules,
        }
    }

    /// The contract of a recorded run: its settings, and the faults that its nemesis injected.
    pub fn of(history: &History) -> Self {
        let mut contract = Self::new(history.header.settings.clone());
        contract.struck = Struck::of(history);
        for (position, op) in history.ops.iter().enumerate() {
            let Action::Nemesis(event) = &op.action else {
                continue;
            };
            if event.phase == Phase::Inject {
                contract.faults.insert(event.class);
            }
            if event.class != FaultClass::Client {
                // Until the last fault is over, a leader may not yet know of its successor.
                contract.rules.ends_strict_from = position as u32;
            }
        }
        contract
    }

    /// Whether this anomaly breaks the contract.
    pub fn promise(&self, kind: Kind) -> Promise {
        match kind {
            Kind::LostWrite => self.acknowledged(),
            Kind::InconsistentOffsets => self.given_acknowledged(
                "an offset keeps its record",
                "the offset of a lost record is given to another",
            ),
            Kind::Nonlinearizable => self.given_acknowledged(
                "a log without loss is linearizable",
                "a log that loses records goes back in time",
            ),
            Kind::Unseen => self.given_acknowledged(
                "all faults were healed, so the final readers must reach every record",
                "the record may be lost",
            ),
            Kind::Duplicate => self.duplicate(),
            Kind::NonmonotonicSend => self.nonmonotonic_send(),
            Kind::PollSkip | Kind::NonmonotonicPoll => self.committed(),
            Kind::Unavailable => self.available_while_faults_act(),
            Kind::Phantom => Promise::forbidden("no setting lets a log invent records"),
            Kind::FailedSendRead => {
                Promise::forbidden("the producer was told that the record was not appended")
            }
            Kind::IntPollSkip | Kind::IntNonmonotonicPoll => {
                Promise::forbidden("one poll returns consecutive records, whatever happens")
            }
            kind => self.of_group(kind),
        }
    }

    /// How many nodes may fail while the partitions stay available and durable:
    /// replication factor ≥ min.insync.replicas + tolerated failures.
    pub fn tolerated_failures(&self) -> u32 {
        self.settings
            .replication_factor
            .saturating_sub(self.settings.min_insync_replicas)
    }

    /// Whether clients may have to wait longer than the bound of the settings.
    fn available_while_faults_act(&self) -> Promise {
        let Some(within_ms) = self.settings.available_within_ms else {
            return Promise::allowed("nothing is promised about the time while faults act");
        };
        let harmless = [FaultClass::DiskStall, FaultClass::Client];
        if self.faults.iter().any(|class| !harmless.contains(class)) {
            return Promise::allowed("more happened than log directories that hang");
        }
        Promise::forbidden(format!(
            "a log directory that hangs is given up and another leads, within {within_ms} ms"
        ))
    }

    /// Whether every partition must serve again once all faults are healed.
    pub fn availability_after_heal(&self) -> Promise {
        let Settings {
            replication_factor,
            min_insync_replicas,
            ..
        } = self.settings;
        if min_insync_replicas > replication_factor {
            return Promise::allowed(format!(
                "min.insync.replicas={min_insync_replicas} exceeds the {replication_factor} copies"
            ));
        }
        if let Some(reason) = self.struck.silenced(Durability::of(&self.settings)) {
            return Promise::allowed(reason);
        }
        Promise::forbidden("all faults are healed and every copy can be in sync again")
    }

    /// Whether a record of the run's topic that some reader has seen may vanish.
    fn committed(&self) -> Promise {
        self.committed_to(Durability::of(&self.settings))
    }

    /// The same of a topic with these settings.
    fn committed_to(&self, log: Durability) -> Promise {
        if self.settings.unclean_leader_election && self.disturbed() {
            return Promise::allowed(
                "unclean.leader.election.enable=true lets a replica lead that lacks records",
            );
        }
        let kept = "a record that a reader may see is on every in-sync replica";
        self.struck.promise(log, kept)
    }

    /// Whether an acknowledged record may vanish.
    fn acknowledged(&self) -> Promise {
        let committed = self.committed();
        let copies = self.settings.replication_factor;
        match self.settings.acks {
            Acks::Zero => Promise::allowed("acks=0 does not wait for any broker"),
            _ if !committed.forbidden => committed,
            Acks::One if copies > 1 && self.disturbed() => Promise::allowed(
                "acks=1 does not wait for the followers, and leaders were disturbed",
            ),
            Acks::One => Promise::forbidden("no leader with an acknowledged record was replaced"),
            Acks::All => {
                let kept = format!(
                    "acks=all waits for all in-sync replicas, at least {} of {copies}",
                    self.settings.min_insync_replicas
                );
                self.struck.promise(Durability::of(&self.settings), &kept)
            }
        }
    }

    fn given_acknowledged(&self, kept: &str, lost: &str) -> Promise {
        let loss = self.acknowledged();
        let because = if loss.forbidden { kept } else { lost };
        Promise {
            because: format!("{because} ({})", loss.because),
            ..loss
        }
    }

    fn duplicate(&self) -> Promise {
        if self.settings.idempotence {
            let committed = self.committed();
            if !committed.forbidden {
                return Promise::allowed(format!(
                    "the retry of a record that was read and is lost appends it again ({})",
                    committed.because
                ));
            }
            return Promise::forbidden("enable.idempotence=true makes retries harmless");
        }
        Promise::allowed("without enable.idempotence a retry may append a record again")
    }

    fn nonmonotonic_send(&self) -> Promise {
        let Settings {
            idempotence,
            max_in_flight,
            ..
        } = self.settings;
        if !idempotence && max_in_flight > 1 {
            return Promise::allowed(format!(
                "without enable.idempotence a retry may overtake {max_in_flight} requests"
            ));
        }
        self.given_acknowledged(
            "a producer's records keep their order",
            "offsets are given again",
        )
    }

    /// Whether anything happened that may have moved a leader.
    fn disturbed(&self) -> bool {
        self.faults.iter().any(|fault| *fault != FaultClass::Client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(settings: &Settings, faults: &[FaultClass], nodes: usize) -> Vec<Kind> {
        let mut contract = Contract::new(settings.clone());
        contract.faults.extend(faults);
        for class in faults {
            let names = (1..=nodes).map(|id| format!("n{id}"));
            contract.struck.add(*class, names);
        }
        let promised = |kind: &Kind| contract.promise(*kind).forbidden;
        let of_logs = kinds_of_logs();
        of_logs.filter(promised).collect()
    }

    /// Those that do not depend on time.
    fn kinds_of_logs() -> impl Iterator<Item = Kind> {
        let is_of_logs = |kind: &Kind| !kind.is_of_groups() && *kind != Kind::Unavailable;
        Kind::ALL.into_iter().filter(is_of_logs)
    }

    fn without(kinds: &[Kind]) -> Vec<Kind> {
        let others = kinds_of_logs().filter(|kind| !kinds.contains(kind));
        others.collect()
    }

    const LOSS: [Kind; 5] = [
        Kind::LostWrite,
        Kind::InconsistentOffsets,
        Kind::Nonlinearizable,
        Kind::NonmonotonicSend,
        Kind::Unseen,
    ];

    const LOSS_OF_COMMITTED: [Kind; 8] = [
        Kind::LostWrite,
        Kind::InconsistentOffsets,
        Kind::Duplicate,
        Kind::Nonlinearizable,
        Kind::NonmonotonicSend,
        Kind::PollSkip,
        Kind::NonmonotonicPoll,
        Kind::Unseen,
    ];

    #[test]
    fn acks_all_with_two_in_sync_promises_everything() {
        let safe = Settings::default();
        for faults in [
            &[][..],
            &[
                FaultClass::ProcessCrash,
                FaultClass::Pause,
                FaultClass::Network,
            ],
        ] {
            assert_eq!(forbidden(&safe, faults, 0), without(&[]));
        }
        assert_eq!(forbidden(&safe, &[FaultClass::PowerLoss], 1), without(&[]));
        assert_eq!(Contract::new(safe).tolerated_failures(), 1);
    }

    #[test]
    fn kip966_power_loss_of_enough_nodes_may_lose_records() {
        let forbidden = forbidden(&Settings::default(), &[FaultClass::PowerLoss], 2);
        assert_eq!(forbidden, without(&LOSS_OF_COMMITTED));
    }

    #[test]
    fn waiting_is_bounded_only_where_disks_hang_and_nothing_else_happens() {
        let bounded = Settings {
            available_within_ms: Some(3_000),
            ..Settings::default()
        };
        let promised = |settings: &Settings, faults: &[FaultClass]| {
            let mut contract = Contract::new(settings.clone());
            contract.faults.extend(faults);
            contract.promise(Kind::Unavailable).forbidden
        };
        assert!(promised(&bounded, &[FaultClass::DiskStall]));
        assert!(!promised(
            &bounded,
            &[FaultClass::DiskStall, FaultClass::Network]
        ));
        assert!(!promised(&Settings::default(), &[FaultClass::DiskStall]));
    }

    #[test]
    fn weaker_settings_promise_less() {
        let one = Settings {
            acks: Acks::One,
            ..Settings::default()
        };
        assert_eq!(
            forbidden(&one, &[FaultClass::ProcessCrash], 0),
            without(&LOSS)
        );
        assert_eq!(
            forbidden(&one, &[FaultClass::Client], 0),
            without(&[]),
            "nobody moved"
        );
        let zero = Settings {
            acks: Acks::Zero,
            ..Settings::default()
        };
        assert_eq!(forbidden(&zero, &[], 0), without(&LOSS));
        let plain = Settings {
            idempotence: false,
            ..Settings::default()
        };
        let retried = [Kind::Duplicate, Kind::NonmonotonicSend];
        assert_eq!(
            forbidden(&plain, &[FaultClass::Network], 0),
            without(&retried)
        );
        let unclean = Settings {
            unclean_leader_election: true,
            ..Settings::default()
        };
        assert_eq!(
            forbidden(&unclean, &[FaultClass::Network], 0),
            without(&LOSS_OF_COMMITTED)
        );
    }
}
