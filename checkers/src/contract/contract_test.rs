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
