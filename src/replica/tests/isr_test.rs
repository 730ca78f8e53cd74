//! Tests of the ISR: expansion, shrinking, the controller's answers.

use super::*;
use crate::replica::{AlterPartitionAnswer, AlterPartitionToken, LeaderRecoveryState};

/// A leader of epoch 5 whose epoch starts at offset 3, with broker 2 in sync and 3 not.
fn leader() -> Replica {
    let mut leader = replica(&[0, 0, 0], 1, &led_by(ONE, 5, &[ONE, TWO]));
    leader.handle_follower_fetch(at(1), &fetch_after(TWO, 5, 3, 0));
    leader.take_effects();
    leader
}

/// What the leader proposes when broker 3 fetches at `offset` in life `broker_epoch`.
fn proposal_for(
    leader: &mut Replica,
    offset: Offset,
    broker_epoch: BrokerEpoch,
) -> Option<AlterPartitionRequest> {
    let fetch = FollowerFetch {
        broker_epoch,
        ..fetch_after(THREE, 5, offset, 0)
    };
    leader.handle_follower_fetch(at(2), &fetch);
    proposed(&leader.take_effects())
}

fn answer(isr: &[BrokerId]) -> AlterPartitionAnswer {
    AlterPartitionAnswer {
        leader_epoch: 5,
        partition_epoch: 6,
        isr: isr.to_vec(),
        leader_recovery_state: LeaderRecoveryState::Recovered,
    }
}

#[test]
fn kafka7128_who_lacks_the_epoch_start_does_not_join() {
    let mut leader = replica(&[0, 0, 0], 1, &led_by(ONE, 5, &[ONE, TWO]));
    assert_eq!(
        proposal_for(&mut leader, 2, 103),
        None,
        "at the high watermark, not at the start"
    );
    let proposal = proposal_for(&mut leader, 3, 103);
    assert_eq!(
        proposal.map(|it| it.new_isr),
        Some(vec![(ONE, 101), (TWO, -1), (THREE, 103)])
    );
}

#[test]
fn kip903_an_earlier_or_unknown_life_does_not_join() {
    let mut leader = leader();
    assert_eq!(
        proposal_for(&mut leader, 3, 104),
        None,
        "a life that metadata does not know"
    );
    assert_eq!(
        proposal_for(&mut leader, 3, 99),
        None,
        "a life that is over"
    );
    assert!(proposal_for(&mut leader, 3, 103).is_some());
}

#[test]
fn kip841_a_fenced_broker_does_not_join() {
    let mut leader = leader();
    let without_three: EligibleBrokers = [(ONE, 101), (TWO, 102)].into();
    leader.handle_eligible_brokers(at(1), &Arc::new(without_three));
    assert_eq!(proposal_for(&mut leader, 3, 103), None);
    leader.handle_eligible_brokers(at(2), &eligible());
    assert!(proposal_for(&mut leader, 3, 103).is_some());
}

#[test]
fn kip497_a_joining_replica_counts_before_the_controller_says_so() {
    let mut leader = leader();
    assert!(proposal_for(&mut leader, 3, 103).is_some());
    assert_eq!(leader.maximal_isr(), Some([ONE, TWO, THREE].into()));
    assert_eq!(leader.isr(), Some(&[ONE, TWO].into()));
    assert_eq!(
        proposal_for(&mut leader, 3, 103),
        None,
        "one proposal at a time"
    );
}

#[test]
fn kip497_a_leaving_replica_counts_until_the_controller_says_so() {
    let mut leader = leader();
    produce(&mut leader, 1, Acks::One);
    leader.handle_timeout(at(10_000));
    let request = proposed(&leader.take_effects()).expect("broker 2 lags");
    assert_eq!(request.new_isr, [(ONE, 101)]);
    assert_eq!(leader.maximal_isr(), Some([ONE, TWO].into()));
    assert_eq!(leader.high_watermark(), 3);
}

#[test]
fn kafka13091_a_commit_of_the_controller_moves_the_high_watermark() {
    let mut leader = leader();
    leader.handle_min_insync_replicas(at(3), 1);
    produce(&mut leader, 1, Acks::One);
    leader.handle_timeout(at(10_000));
    let request = proposed(&leader.take_effects()).expect("broker 2 lags");
    leader.handle_alter_partition_response(at(10_001), request.token, Ok(answer(&[ONE])));
    assert_eq!(leader.high_watermark(), 4);
}

#[test]
fn a_follower_at_the_end_does_not_leave_however_long_ago_it_fetched() {
    let mut leader = leader();
    leader.handle_timeout(at(60_000));
    assert_eq!(proposed(&leader.take_effects()), None);
}

#[test]
fn kafka12686_an_answer_to_an_older_proposal_changes_nothing() {
    let mut leader = leader();
    let request = proposal_for(&mut leader, 3, 103).expect("it may join");
    let mut newer = led_by(ONE, 5, &[ONE, TWO]);
    newer.partition_epoch = 7;
    leader.handle_registration(at(3), &newer, &eligible());
    leader.handle_alter_partition_response(at(4), request.token, Ok(answer(&[ONE, TWO, THREE])));
    assert_eq!(
        (leader.partition_epoch(), leader.isr()),
        (7, Some(&[ONE, TWO].into()))
    );
}

#[test]
fn a_registration_that_is_known_already_leaves_the_next_proposal_alone() {
    let mut leader = leader();
    let request = proposal_for(&mut leader, 3, 103).expect("it may join");
    leader.handle_alter_partition_response(at(3), request.token, Ok(answer(&[ONE, TWO, THREE])));
    produce(&mut leader, 1, Acks::One);
    leader.handle_timeout(at(10_000));
    assert!(proposed(&leader.take_effects()).is_some());
    let mut known = led_by(ONE, 5, &[ONE, TWO, THREE]);
    known.partition_epoch = 6;
    leader.handle_registration(at(10_001), &known, &eligible());
    leader.handle_timeout(at(20_000));
    assert_eq!(
        proposed(&leader.take_effects()),
        None,
        "S9: the first is still under way"
    );
}

#[test]
fn errors_of_alter_partition_follow_the_table() {
    let check = |code, repeats: bool, keeps_pending: bool| {
        let mut leader = leader();
        let AlterPartitionRequest { token, .. } = proposal_for(&mut leader, 3, 103).expect("joins");
        leader.handle_alter_partition_response(at(3), token, Err(code));
        let is_pending = leader.maximal_isr() == Some([ONE, TWO, THREE].into());
        leader.handle_timeout(at(53));
        let is_repeated = proposed(&leader.take_effects()).is_some_and(|it| it.token == token);
        assert_eq!(
            (is_repeated, is_pending),
            (repeats, keeps_pending),
            "{code:?}"
        );
    };
    check(ErrorCode::NetworkException, true, true);
    check(ErrorCode::NotController, true, true);
    check(ErrorCode::RequestTimedOut, true, true);
    check(ErrorCode::IneligibleReplica, false, false);
    check(ErrorCode::OperationNotAttempted, false, false);
    check(ErrorCode::FencedLeaderEpoch, false, true);
    check(ErrorCode::InvalidUpdateVersion, false, true);
    check(ErrorCode::InvalidRequest, false, true);
    check(ErrorCode::UnknownTopicId, false, true);
    check(ErrorCode::NewLeaderElected, false, true);
}

#[test]
fn kafka14144_a_refused_proposal_is_made_again_later() {
    let mut leader = leader();
    let request = proposal_for(&mut leader, 3, 103).expect("it may join");
    leader.handle_alter_partition_response(at(3), request.token, Err(ErrorCode::IneligibleReplica));
    assert_eq!(proposal_for(&mut leader, 3, 103), None, "not at once");
    leader.handle_follower_fetch(at(60), &fetch_after(THREE, 5, 3, 0));
    let again = proposed(&leader.take_effects()).expect("the ISR is not frozen");
    assert_ne!(again.token, request.token);
}

#[test]
fn an_unclean_leader_declares_its_log_before_anyone_joins() {
    let mut registration = led_by(ONE, 5, &[ONE]);
    registration.leader_recovery_state = LeaderRecoveryState::Recovering;
    let mut leader = Replica::recovered(settings(), log_of(&[0, 0, 0]), 1);
    leader.handle_registration(at(0), &registration, &eligible());
    let request = proposed(&leader.take_effects()).expect("it declares itself recovered");
    assert_eq!(request.new_isr, [(ONE, 101)]);
    assert_eq!(proposal_for(&mut leader, 3, 103), None);
    leader.handle_alter_partition_response(at(3), request.token, Ok(answer(&[ONE])));
    assert!(proposal_for(&mut leader, 3, 103).is_some());
    assert_eq!(request.token, AlterPartitionToken(1));
}
