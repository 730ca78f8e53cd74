//! What groups are promised, by commit mode and by the topic of their commits.

use super::*;
use crate::history::{CommitMode, GroupSettings, OffsetsTopic};

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

const ASSIGNMENTS_ONLY: [Kind; 3] = [Kind::UnownedPartition, Kind::SurplusOwner, Kind::StuckGroup];

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
    // What was sent counts there, so only the log of the records decides it.
    let bound = contract.promise(Kind::UnboundedDuplicate);
    assert_eq!(bound.forbidden, topic_flushes);
    let groups = Kind::ALL.into_iter();
    let groups = groups.filter(|kind| kind.is_of_groups() && *kind != Kind::UnboundedDuplicate);
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
