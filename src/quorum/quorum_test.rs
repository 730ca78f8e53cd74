//! One member alone, fed by hand: votes, fetches, persistence, bad input.

use std::time::Duration;

use super::*;
use crate::error::ErrorCode;
use bytes::Bytes;

pub(super) const ME: BrokerId = BrokerId(1);
pub(super) const OTHER: BrokerId = BrokerId(2);
const THIRD: BrokerId = BrokerId(3);

pub(super) fn at(millis: u64) -> Now {
    Now {
        time: Time::from_millis(millis),
        wall_millis: 0,
    }
}

fn config() -> Config {
    Config::fast(ME, [ME, OTHER, THIRD].into())
}

fn marker(base_offset: Offset, epoch: i32, leader: BrokerId) -> Batch {
    Batch {
        base_offset,
        record_count: 1,
        epoch,
        body: BatchBody::LeaderChange { leader },
    }
}

pub(super) fn start(recovered: Recovered) -> Quorum {
    let mut quorum = Quorum::new(at(0), config(), 7, recovered).unwrap();
    quorum.take_effects();
    quorum
}

/// Reports every write among `effects` as durable and returns all effects, later ones included.
pub(super) fn persist(quorum: &mut Quorum, now: Now, mut effects: Vec<Effect>) -> Vec<Effect> {
    let token = effects.iter().filter_map(|effect| match effect {
        Effect::PersistState { token, .. }
        | Effect::AppendLog { token, .. }
        | Effect::TruncateLog { token, .. }
        | Effect::SaveSnapshot { token, .. }
        | Effect::RestartLog { token, .. } => Some(*token),
        _ => None,
    });
    if let Some(token) = token.max() {
        quorum.handle_persisted(now, token);
        effects.extend(quorum.take_effects());
    }
    effects
}

fn replies(effects: &[Effect]) -> Vec<&Response> {
    let mut replies = Vec::new();
    for effect in effects {
        if let Effect::Reply { response, .. } = effect {
            replies.push(response);
        }
    }
    replies
}

fn vote(candidate: BrokerId, epoch: i32, pre_vote: bool) -> Request {
    Request::Vote(VoteRequest {
        candidate,
        epoch,
        last_epoch: 0,
        last_offset: 0,
        pre_vote,
    })
}

fn ask(quorum: &mut Quorum, request: Request) -> (Vec<Effect>, Vec<Effect>) {
    quorum.handle_request(at(1), 1, request);
    let before = quorum.take_effects();
    let after = persist(quorum, at(2), before.clone());
    (before, after)
}

fn granted(effects: &[Effect]) -> Option<bool> {
    replies(effects).first().map(|response| match response {
        Response::Vote(response) => response.vote_granted,
        other => panic!("{other:?}"),
    })
}

#[test]
fn kip595_a_vote_leaves_only_after_it_is_durable() {
    let mut quorum = start(Recovered::default());
    let (before, after) = ask(&mut quorum, vote(OTHER, 1, false));
    assert_eq!(granted(&before), None);
    assert_eq!(granted(&after), Some(true));
}

#[test]
fn kip595_one_vote_an_epoch_even_across_a_restart() {
    let mut quorum = start(Recovered::default());
    assert_eq!(
        granted(&ask(&mut quorum, vote(OTHER, 1, false)).1),
        Some(true)
    );
    assert_eq!(
        granted(&ask(&mut quorum, vote(THIRD, 1, false)).1),
        Some(false)
    );
    let mut restarted = start(Recovered {
        state: ElectionState {
            epoch: 1,
            voted_for: Some(OTHER),
        },
        ..Recovered::default()
    });
    assert_eq!(
        granted(&ask(&mut restarted, vote(THIRD, 1, false)).1),
        Some(false)
    );
    assert_eq!(
        granted(&ask(&mut restarted, vote(OTHER, 1, false)).1),
        Some(true)
    );
}

#[test]
fn kip595_no_vote_for_a_log_that_is_behind() {
    let mut quorum = start(Recovered {
        state: ElectionState {
            epoch: 1,
            voted_for: None,
        },
        batches: vec![marker(0, 1, OTHER)],
        ..Recovered::default()
    });
    assert_eq!(
        granted(&ask(&mut quorum, vote(OTHER, 2, false)).1),
        Some(false)
    );
    assert_eq!(
        quorum.epoch(),
        2,
        "the epoch counts even if the vote is refused"
    );
}

#[test]
fn kip996_a_pre_vote_binds_nobody_and_a_heard_leader_refuses_it() {
    let mut quorum = start(Recovered::default());
    assert_eq!(
        granted(&ask(&mut quorum, vote(OTHER, 0, true)).1),
        Some(true)
    );
    assert_eq!(
        granted(&ask(&mut quorum, vote(THIRD, 0, true)).1),
        Some(true)
    );
    assert_eq!(quorum.epoch(), 0);
    let (leader, fetch) = followed(&mut quorum, 1);
    assert_eq!(
        granted(&ask(&mut quorum, vote(THIRD, 1, true)).1),
        Some(true),
        "not fetched yet"
    );
    respond(&mut quorum, leader, fetch, Ok(batches(vec![], 0)));
    assert_eq!(
        granted(&ask(&mut quorum, vote(THIRD, 1, true)).1),
        Some(false)
    );
}

pub(super) fn batches(batches: Vec<Batch>, high_watermark: Offset) -> Fetched {
    Fetched::Batches {
        batches,
        high_watermark,
    }
}

/// Makes `quorum` follow `OTHER` in `epoch`; returns it and the correlation of the first fetch.
fn followed(quorum: &mut Quorum, epoch: i32) -> (BrokerId, Correlation) {
    let begin = BeginQuorumEpochRequest {
        leader: OTHER,
        epoch,
    };
    let (_, after) = ask(quorum, Request::BeginQuorumEpoch(begin));
    assert_eq!(quorum.leader(), Some(OTHER));
    (OTHER, last_fetch(&after).0)
}

fn last_fetch(effects: &[Effect]) -> (Correlation, FetchRequest) {
    let fetch = |effect: &Effect| match effect {
        Effect::Send {
            correlation,
            request: Request::Fetch(request),
            ..
        } => Some((*correlation, *request)),
        _ => None,
    };
    effects
        .iter()
        .rev()
        .find_map(fetch)
        .expect("a fetch was sent")
}

fn respond(
    quorum: &mut Quorum,
    leader: BrokerId,
    correlation: Correlation,
    outcome: Result<Fetched, ErrorCode>,
) -> Vec<Effect> {
    let leadership = Leadership {
        epoch: quorum.epoch(),
        leader: Some(leader),
    };
    let response = FetchResponse {
        leadership,
        outcome,
    };
    quorum.handle_response(at(3), leader, correlation, Response::Fetch(response));
    quorum.take_effects()
}

#[test]
fn kip595_a_follower_fetches_on_only_once_its_append_is_durable() {
    let mut quorum = start(Recovered::default());
    let (leader, correlation) = followed(&mut quorum, 1);
    let effects = respond(
        &mut quorum,
        leader,
        correlation,
        Ok(batches(vec![marker(0, 1, OTHER)], 1)),
    );
    assert!(
        !effects
            .iter()
            .any(|effect| matches!(effect, Effect::Send { .. }))
    );
    let committed = Effect::Committed {
        batches: vec![marker(0, 1, OTHER)],
        upto: 1,
    };
    assert!(effects.contains(&committed));
    let (_, fetch) = last_fetch(&persist(&mut quorum, at(4), effects));
    assert_eq!(
        (
            fetch.fetch_offset,
            fetch.last_fetched_epoch,
            fetch.high_watermark
        ),
        (1, 1, 1)
    );
}

#[test]
fn a_fetch_response_counts_once_and_only_from_the_leader_asked() {
    let mut quorum = start(Recovered::default());
    let (leader, correlation) = followed(&mut quorum, 1);
    let fetched = batches(vec![marker(0, 1, OTHER)], 0);
    respond(&mut quorum, THIRD, correlation, Ok(fetched.clone()));
    respond(&mut quorum, leader, correlation + 1, Ok(fetched.clone()));
    assert_eq!(quorum.log_end_offset(), 0);
    respond(&mut quorum, leader, correlation, Ok(fetched.clone()));
    respond(&mut quorum, leader, correlation, Ok(fetched));
    assert_eq!(quorum.log_end_offset(), 1);
}

#[test]
fn kip595_a_diverging_follower_truncates_and_never_below_its_high_watermark() {
    let recovered = Recovered {
        state: ElectionState {
            epoch: 2,
            voted_for: None,
        },
        batches: vec![
            marker(0, 1, OTHER),
            marker(1, 2, THIRD),
            marker(2, 2, THIRD),
        ],
        ..Recovered::default()
    };
    let diverging = |epoch, end_offset| Ok(Fetched::Diverging { epoch, end_offset });
    let mut quorum = start(recovered);
    let (leader, correlation) = followed(&mut quorum, 3);
    let effects = respond(&mut quorum, leader, correlation, diverging(1, 1));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::TruncateLog { to: 1, .. }))
    );
    let (correlation, fetch) = last_fetch(&persist(&mut quorum, at(4), effects));
    assert_eq!((fetch.fetch_offset, fetch.last_fetched_epoch), (1, 1));
    let effects = respond(&mut quorum, leader, correlation, Ok(batches(vec![], 1)));
    let (correlation, _) = last_fetch(&effects);
    let effects = respond(&mut quorum, leader, correlation, diverging(0, 0));
    let halted = Effect::Halted {
        reason: HaltReason::CommittedRecordsDiverge {
            leader_end: 0,
            high_watermark: 1,
        },
    };
    assert!(effects.contains(&halted));
}

/// A leader of epoch 1 over two silent voters, its marker flushed.
pub(super) fn leader() -> Quorum {
    let mut quorum = start(Recovered::default());
    quorum.handle_timeout(at(150));
    for granting in ["pre-vote", "vote"] {
        let effects = quorum.take_effects();
        let effects = persist(&mut quorum, at(150), effects);
        let round = effects.iter().rev().find_map(|effect| match effect {
            Effect::Send { correlation, .. } => Some(*correlation),
            _ => None,
        });
        let response = VoteResponse {
            error: None,
            leadership: quorum.leadership(),
            vote_granted: true,
        };
        let round = round.expect(granting);
        quorum.handle_response(at(151), OTHER, round, Response::Vote(response));
    }
    let effects = quorum.take_effects();
    persist(&mut quorum, at(152), effects);
    assert!(quorum.is_leader());
    quorum
}

fn fetch(replica: BrokerId, fetch_offset: Offset, last_fetched_epoch: i32) -> FetchRequest {
    FetchRequest {
        replica,
        epoch: 1,
        fetch_offset,
        last_fetched_epoch,
        high_watermark: 0,
        max_wait_millis: 100,
    }
}

fn fetch_outcome(quorum: &mut Quorum, request: FetchRequest) -> Option<Result<Fetched, ErrorCode>> {
    quorum.handle_request(at(160), 9, Request::Fetch(request));
    let effects = quorum.take_effects();
    replies(&effects).first().map(|response| match response {
        Response::Fetch(response) => response.outcome.clone(),
        other => panic!("{other:?}"),
    })
}

#[test]
fn kip595_a_leader_shows_only_flushed_records_and_commits_by_majority() {
    let mut quorum = leader();
    assert_eq!((quorum.log_end_offset(), quorum.high_watermark()), (1, 0));
    let proposed = quorum
        .propose(at(155), Bytes::from_static(b"a"), 2)
        .unwrap();
    assert_eq!(
        (proposed.base_offset, proposed.end_offset, proposed.epoch),
        (1, 3, 1)
    );
    let append = quorum.take_effects();
    let outcome = fetch_outcome(&mut quorum, fetch(OTHER, 0, 0));
    assert_eq!(
        outcome,
        Some(Ok(batches(vec![marker(0, 1, ME)], 0))),
        "the rest is not flushed"
    );
    assert_eq!(
        fetch_outcome(&mut quorum, fetch(OTHER, 1, 1)),
        Some(Ok(batches(vec![], 1)))
    );
    assert!(quorum.is_active());
    let unchanged = FetchRequest {
        high_watermark: 1,
        ..fetch(OTHER, 1, 1)
    };
    assert_eq!(
        fetch_outcome(&mut quorum, unchanged),
        None,
        "parked: there is no news"
    );
    let effects = persist(&mut quorum, at(161), append);
    assert_eq!(replies(&effects).len(), 1, "the flush is news");
    assert_eq!(
        fetch_outcome(&mut quorum, fetch(OTHER, 3, 1)),
        Some(Ok(batches(vec![], 3)))
    );
    assert_eq!(quorum.high_watermark(), 3);
    fetch_outcome(&mut quorum, fetch(OTHER, 0, 0));
    assert_eq!(
        quorum.high_watermark(),
        3,
        "a late duplicate takes nothing back"
    );
}

#[test]
fn kip595_a_leader_refuses_other_epochs_and_names_divergence() {
    let mut quorum = leader();
    let of_epoch = |epoch| FetchRequest {
        epoch,
        ..fetch(OTHER, 0, 0)
    };
    let outcome = fetch_outcome(&mut quorum, of_epoch(0));
    assert_eq!(outcome, Some(Err(ErrorCode::FencedLeaderEpoch)));
    let outcome = fetch_outcome(&mut quorum, of_epoch(2));
    assert_eq!(outcome, Some(Err(ErrorCode::UnknownLeaderEpoch)));
    let diverging = Fetched::Diverging {
        epoch: 1,
        end_offset: 1,
    };
    let outcome = fetch_outcome(&mut quorum, fetch(OTHER, 5, 1));
    assert_eq!(outcome, Some(Ok(diverging)));
    assert_eq!(
        quorum.high_watermark(),
        0,
        "a diverging fetch acknowledges nothing"
    );
}

#[test]
fn an_observer_that_fetches_commits_nothing() {
    let mut quorum = leader();
    fetch_outcome(&mut quorum, fetch(BrokerId(9), 1, 1));
    assert_eq!(quorum.high_watermark(), 0);
}

#[test]
fn a_failed_write_silences_the_node_for_good() {
    let mut quorum = leader();
    quorum.handle_storage_failed(at(160));
    let effects = quorum.take_effects();
    let halted = Effect::Halted {
        reason: HaltReason::StorageFailed,
    };
    assert!(effects.contains(&halted));
    assert!(effects.contains(&Effect::LostLeadership { epoch: 1 }));
    quorum.handle_request(at(161), 1, vote(OTHER, 5, false));
    quorum.handle_persisted(at(161), 1);
    quorum.handle_timeout(at(99_999));
    assert_eq!(quorum.take_effects(), []);
    assert!(quorum.propose(at(161), Bytes::new(), 1).is_err());
    assert_eq!(quorum.next_timeout(), None);
}

#[test]
fn a_single_voter_elects_itself_and_commits_what_it_flushed() {
    let config = Config::fast(ME, [ME].into());
    let mut quorum = Quorum::new(at(0), config, 1, Recovered::default()).unwrap();
    let effects = quorum.take_effects();
    assert!(quorum.is_leader());
    assert_eq!(quorum.high_watermark(), 0);
    persist(&mut quorum, at(1), effects);
    assert!(quorum.is_active());
}

#[test]
fn a_snapshot_must_be_of_committed_batches() {
    let mut quorum = leader();
    let error = quorum.handle_snapshot_taken(1, Bytes::new());
    assert_eq!(
        error,
        Err(SnapshotError::NotCommitted {
            end_offset: 1,
            applied: 0
        })
    );
    fetch_outcome(&mut quorum, fetch(OTHER, 1, 1));
    let id = quorum
        .handle_snapshot_taken(1, Bytes::from_static(b"s"))
        .unwrap();
    assert_eq!((id.end_offset, id.epoch), (1, 1));
    let outcome = fetch_outcome(&mut quorum, fetch(THIRD, 0, 0));
    assert_eq!(outcome, Some(Ok(Fetched::Snapshot(id))));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let check = |config: Config| Quorum::new(at(0), config, 1, Recovered::default()).err();
    let none = Config::new(ME, [].into());
    assert_eq!(check(none), Some(StartError::Config(ConfigError::NoVoters)));
    let long = Config {
        fetch_max_wait: Duration::from_secs(9),
        ..config()
    };
    assert!(matches!(
        check(long),
        Some(StartError::Config(ConfigError::FetchWaitTooLong { .. }))
    ));
}
