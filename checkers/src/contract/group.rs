//! What a group of consumers promises, by its commit mode.
//!
//! Delivery: at least once where an offset is committed after processing, at most once where it is
//! committed before, neither where another task processes. The rest is the same in every mode, and
//! stands on two logs: that of the records, and that of `__consumer_offsets`. It holds as long as
//! neither loses anything: a commit is as durable as its topic, by its own min.insync.replicas and
//! flush.messages.

use crate::anomaly::Kind;
use crate::contract::disk::Durability;
use crate::contract::{Contract, Promise};
use crate::history::CommitMode;

impl Contract {
    /// The promise of an anomaly of groups.
    pub(crate) fn of_group(&self, kind: Kind) -> Promise {
        match kind {
            Kind::GroupLost => self.loss(),
            Kind::GroupDuplicate => self.repetition(),
            Kind::DualOwner => self.given_kept("a partition has one owner in a generation"),
            Kind::ZombieCommit => {
                self.given_kept("a coordinator refuses the commits of earlier generations")
            }
            Kind::WronglyFenced => {
                self.given_kept("a static member is fenced by the next life of its instance only")
            }
            Kind::CommitLost => self.given_kept(
                "a commit is acknowledged once it is on every in-sync replica of the coordinator",
            ),
            Kind::CommitRegressed => {
                self.given_kept("only a commit moves the committed offset back")
            }
            Kind::NonlinearizableCommit => {
                self.given_kept("the committed offset of a partition is one register")
            }
            Kind::ResumeWrong => {
                self.given_kept("a new owner starts where the group's committed offset is")
            }
            Kind::ResetWrong => {
                self.given_kept("auto.offset.reset is for groups without a committed offset")
            }
            Kind::CommitAhead => self.given_kept(match self.group.mode {
                CommitMode::AutoInLoop => {
                    "auto commit covers what earlier polls returned, and the loop processed that"
                }
                CommitMode::AutoHandoff => "auto commit covers what earlier polls returned",
                CommitMode::SyncAfter | CommitMode::AsyncAfter => {
                    "the application commits what it has processed"
                }
                CommitMode::SyncBefore => "the application commits what it has received",
            }),
            Kind::UnownedPartition => {
                Promise::forbidden("an assignment gives every partition to somebody")
            }
            Kind::SurplusOwner => Promise::forbidden(
                "a member owns what it subscribed to, and no more than an even share",
            ),
            _ => self.availability_of_group(),
        }
    }

    /// Whether a record may be skipped by the group for ever.
    fn loss(&self) -> Promise {
        match self.group.mode {
            CommitMode::SyncAfter | CommitMode::AsyncAfter => {
                self.given_kept("at least once: an offset is committed after its records")
            }
            CommitMode::AutoInLoop => self.given_kept(
                "at least once: auto commit follows the next poll, when the loop has processed all",
            ),
            CommitMode::AutoHandoff => Promise::allowed(
                "auto commit does not wait for the task that processes: what was handed to it is \
                 lost with its consumer",
            ),
            CommitMode::SyncBefore => Promise::allowed(
                "at most once: what was committed and not yet processed is lost with its consumer",
            ),
        }
    }

    /// Whether a record may be processed again.
    fn repetition(&self) -> Promise {
        match self.group.mode {
            CommitMode::SyncBefore => {
                self.given_kept("at most once: nothing is processed before its commit is known")
            }
            CommitMode::AutoInLoop => Promise::allowed(format!(
                "what was processed since the last auto commit, every {} ms, is repeated",
                self.group.auto_commit_interval_ms
            )),
            CommitMode::AutoHandoff => {
                Promise::allowed("what was processed since the last auto commit is repeated")
            }
            CommitMode::SyncAfter | CommitMode::AsyncAfter => {
                Promise::allowed("at least once: what was processed and not committed is repeated")
            }
        }
    }

    /// A promise that holds while neither the log of the records nor that of the commits loses
    /// anything that was seen.
    fn given_kept(&self, kept: &str) -> Promise {
        let offsets = self.committed_to(self.offsets_topic());
        if !offsets.forbidden {
            return Promise::allowed(format!(
                "the offsets topic may have lost commits ({})",
                offsets.because
            ));
        }
        let records = self.committed();
        if !records.forbidden {
            return Promise::allowed(format!(
                "the log may have lost records that were processed ({})",
                records.because
            ));
        }
        Promise::forbidden(kept)
    }

    fn offsets_topic(&self) -> Durability {
        let Some(topic) = &self.group.offsets_topic else {
            return Durability::of(&self.settings);
        };
        Durability {
            replication_factor: topic.replication_factor,
            min_insync_replicas: topic.min_insync_replicas,
            flush_every_message: topic.flush_every_message,
        }
    }

    fn availability_of_group(&self) -> Promise {
        let available = self.availability_after_heal();
        if available.forbidden {
            return Promise::forbidden("all faults are healed, so the group must get to the end");
        }
        available
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{FaultClass, GroupSettings, OffsetsTopic, Settings};

    #[test]
    fn each_mode_allows_what_it_must() {
        let of = |mode| {
            let group = Some(GroupSettings {
                mode,
                ..GroupSettings::default()
            });
            let contract = Contract::new(Settings {
                group,
                ..Settings::default()
            });
            let forbidden = |kind| contract.promise(kind).forbidden;
            (forbidden(Kind::GroupLost), forbidden(Kind::GroupDuplicate))
        };
        for (mode, wanted) in [
            (CommitMode::AutoInLoop, (true, false)),
            (CommitMode::AutoHandoff, (false, false)),
            (CommitMode::SyncAfter, (true, false)),
            (CommitMode::AsyncAfter, (true, false)),
            (CommitMode::SyncBefore, (false, true)),
        ] {
            assert_eq!(of(mode), wanted, "{}", mode.name());
        }
    }

    const ASSIGNMENTS_ONLY: [Kind; 3] =
        [Kind::UnownedPartition, Kind::SurplusOwner, Kind::StuckGroup];

    /// The promises of groups that hold after all three nodes lost power.
    fn after_power_loss(topic_flushes: bool, offsets_flush: bool) -> Vec<Kind> {
        let offsets_topic = Some(OffsetsTopic {
            replication_factor: 3,
            min_insync_replicas: 2,
            flush_every_message: offsets_flush,
        });
        let mut contract = Contract::new(Settings {
            flush_every_message: topic_flushes,
            group: Some(GroupSettings {
                offsets_topic,
                ..GroupSettings::default()
            }),
            ..Settings::default()
        });
        let nodes = (1..=3).map(|id| format!("n{id}"));
        contract.struck.add(FaultClass::PowerLoss, nodes);
        let groups = Kind::ALL.into_iter().filter(|kind| kind.is_of_groups());
        groups
            .filter(|kind| contract.promise(*kind).forbidden)
            .collect()
    }

    #[test]
    fn commits_are_as_durable_as_the_topic_that_stores_them() {
        for (topic_flushes, offsets_flush) in [(false, false), (true, false), (false, true)] {
            assert_eq!(
                after_power_loss(topic_flushes, offsets_flush),
                ASSIGNMENTS_ONLY,
                "topic {topic_flushes}, offsets {offsets_flush}"
            );
        }
        let kept = after_power_loss(true, true);
        assert!(kept.contains(&Kind::CommitLost) && kept.contains(&Kind::ZombieCommit));
    }
}
