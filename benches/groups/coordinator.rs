//! Commits through the coordinator's core alone, in one thread.
//!
//! Each commit is one request of the stable group's member for one of 64 partitions. Its records
//! become a batch as the broker builds it, with its checksum; the batch counts as replicated at
//! once; then the answer comes. There is no disk and no socket.

use std::hint::black_box;
use std::time::Duration;

use broker::group::{
    CommitOffset, CommitRequest, Coordinator, GroupCaller, GroupEffect, GroupRequest,
    GroupResponse, GroupSettings, JoinRequest, MemberRequest, SyncRequest,
};
use broker::id::TopicPartition;
use broker::record::{BatchBuilder, Compression};
use broker::time::{Now, Time};
use bytes::Bytes;
use criterion::{Criterion, Throughput};

const COMMITS: u64 = 20_000;
const PARTITIONS: u64 = 64;
const NOW: Now = Now {
    time: Time::ZERO,
    wall_millis: 1_700_000_000_000,
};

/// Answers the coordinator's writes until it answers the request.
fn run(coordinator: &mut Coordinator) -> GroupResponse {
    loop {
        let effects = coordinator.take_effects();
        assert!(!effects.is_empty(), "the coordinator waits for nothing");
        for effect in effects {
            match effect {
                GroupEffect::Write { token, records, .. } => {
                    let mut batch = BatchBuilder::new(Compression::None);
                    for (key, value) in &records {
                        batch.append(NOW.wall_millis, Some(key), value.as_deref(), &[]);
                    }
                    black_box(batch.build());
                    coordinator.handle_written(NOW, token, Ok(()));
                }
                GroupEffect::Respond { response, .. } => return response,
            }
        }
    }
}

/// A coordinator with a stable group, and its only member.
fn stable() -> (Coordinator, MemberRequest) {
    let settings = GroupSettings {
        initial_rebalance_delay: Duration::ZERO,
        ..GroupSettings::default()
    };
    let mut coordinator = Coordinator::new(settings, 1);
    coordinator.begin_load(0, 0);
    coordinator.finish_load(NOW, 0, 0);
    let join = JoinRequest {
        group_id: "g".to_owned(),
        session_timeout: Duration::from_secs(45),
        rebalance_timeout: Duration::from_mins(1),
        protocol_type: "consumer".to_owned(),
        protocols: vec![("range".to_owned(), Bytes::new())],
        ..JoinRequest::default()
    };
    let caller = GroupCaller::default();
    coordinator.handle_request(NOW, 0, 1, caller, GroupRequest::Join(join));
    coordinator.handle_timeout(NOW);
    let GroupResponse::Join(joined) = run(&mut coordinator) else {
        panic!("no answer to the join");
    };
    let member = MemberRequest {
        group_id: "g".to_owned(),
        member_id: joined.member_id.clone(),
        instance_id: None,
        generation_id: joined.generation_id,
    };
    let sync = SyncRequest {
        member: member.clone(),
        assignments: vec![(joined.member_id, Bytes::from_static(b"all"))],
        ..SyncRequest::default()
    };
    let sync = GroupRequest::Sync(sync);
    coordinator.handle_request(NOW, 0, 2, GroupCaller::default(), sync);
    let GroupResponse::Sync(synced) = run(&mut coordinator) else {
        panic!("no answer to the sync");
    };
    assert_eq!(synced.error, None);
    (coordinator, member)
}

fn commit(coordinator: &mut Coordinator, member: &MemberRequest, id: u64) {
    let offset = CommitOffset {
        offset: id as i64,
        ..CommitOffset::default()
    };
    let partition = TopicPartition::new("topic", (id % PARTITIONS) as i32);
    let request = GroupRequest::Commit(CommitRequest {
        member: member.clone(),
        offsets: vec![(partition, offset)],
        ..CommitRequest::default()
    });
    coordinator.handle_request(NOW, 0, id, GroupCaller::default(), request);
    let GroupResponse::Commit(answers) = run(coordinator) else {
        panic!("no answer to the commit");
    };
    assert!(
        answers.iter().all(|(_, error)| error.is_none()),
        "{answers:?}"
    );
}

pub(crate) fn benches(criterion: &mut Criterion) {
    let (mut coordinator, member) = stable();
    let mut group = criterion.benchmark_group("groups");
    group.sample_size(10);
    group.throughput(Throughput::Elements(COMMITS));
    group.bench_function("coordinator: 20,000 commits", |bencher| {
        bencher.iter(|| {
            for id in 0..COMMITS {
                commit(&mut coordinator, &member, id);
            }
        });
    });
    group.finish();
}
