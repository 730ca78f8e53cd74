//! What settings promise under which faults.

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

const ALONE: [Kind; 2] = [Kind::Unavailable, Kind::AckedBelowMinIsr];

/// Those that do not depend on time, nor on acks alone.
fn kinds_of_logs() -> impl Iterator<Item = Kind> {
    let is_of_logs = |kind: &Kind| !kind.is_of_groups() && !ALONE.contains(kind);
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

const LOSS_OF_COMMITTED: [Kind; 9] = [
    Kind::LostWrite,
    Kind::InconsistentOffsets,
    Kind::InconsistentReads,
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
    assert!(promised(&bounded, &[FaultClass::DiskFull]));
    assert!(!promised(
        &bounded,
        &[FaultClass::DiskFull, FaultClass::Disk]
    ));
    assert!(!promised(
        &bounded,
        &[FaultClass::DiskStall, FaultClass::Network]
    ));
    assert!(!promised(&Settings::default(), &[FaultClass::DiskStall]));
}

#[test]
fn waiting_is_bounded_while_no_more_brokers_are_down_than_are_tolerated() {
    for copies in 1..=3_u32 {
        for in_sync in 1..=3_u32 {
            for down in 1..=3_u32 {
                let settings = Settings {
                    replication_factor: copies,
                    min_insync_replicas: in_sync,
                    available_within_ms: Some(5_000),
                    ..Settings::default()
                };
                let nodes = (1..=down).map(|id| format!("n{id}"));
                let contract = Contract::new(settings).after(FaultClass::ProcessCrash, nodes);
                let promised = contract.promise(Kind::Unavailable);
                let is_tolerated = down + in_sync <= copies;
                assert_eq!(
                    promised.forbidden, is_tolerated,
                    "{copies}, {in_sync}, {down} down"
                );
                assert!(contract.promise(Kind::AckedBelowMinIsr).forbidden);
                assert!(contract.promise(Kind::FailedSendRead).forbidden);
                let cut = contract.after(FaultClass::Network, ["n1".to_owned()]);
                assert!(!cut.promise(Kind::Unavailable).forbidden, "more happened");
            }
        }
    }
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
