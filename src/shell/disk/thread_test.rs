//! The directory's thread over real files.

use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::id::{BrokerId, TopicId};
use crate::record::{BatchBuilder, Compression};
use crate::storage::LogOptions;

const PATIENCE: Duration = Duration::from_secs(30);

fn identity() -> DirectoryIdentity {
    DirectoryIdentity {
        cluster_id: "c".to_owned(),
        node_id: BrokerId(1),
        new_directory_id: Uuid::from_u128(5),
    }
}

fn log() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn create() -> DiskRequest {
    DiskRequest::CreateLog {
        log: log(),
        topic_id: TopicId(Uuid::from_u128(7)),
        options: LogOptions {
            segment_bytes: 4096,
            ..LogOptions::default()
        },
    }
}

fn append(base: i64) -> DiskRequest {
    let mut builder = BatchBuilder::new(Compression::Lz4).with_position(base, 1);
    builder.append(base, Some(b"key"), Some(&[7; 300]), &[]);
    DiskRequest::Append {
        log: log(),
        batches: builder.build(),
    }
}

fn completed(news: DirectoryNews) -> Completion {
    match news {
        DirectoryNews::Completed(completion) => completion,
        other => panic!("{other:?}"),
    }
}

#[test]
fn requests_are_completed_once_and_survive_a_restart() {
    let path = tempfile::tempdir().unwrap();
    let (sender, completions) = channel();
    let (thread, recovered) =
        DirectoryThread::start(path.path().to_owned(), identity(), 1024, move |news| {
            sender.send(completed(news)).unwrap()
        })
        .unwrap();
    assert!(recovered.logs.is_empty());
    let mut requests = vec![create()];
    for base in 0..100 {
        requests.extend([append(base), DiskRequest::Flush { log: log() }]);
    }
    requests.push(DiskRequest::Close {
        broker_epoch: Some(4),
    });
    let count = requests.len();
    for (token, request) in requests.into_iter().enumerate() {
        thread.try_submit(token as u64, request).unwrap();
    }
    let mut seen = vec![false; count];
    for _ in 0..count {
        let completion = completions.recv_timeout(PATIENCE).unwrap();
        let reply = completion.result.unwrap();
        if let DiskReply::Flushed { upto } = reply {
            let appended_before = completion.token as i64 / 2;
            assert!(
                upto >= appended_before,
                "flush {} covers {upto}",
                completion.token
            );
        }
        assert!(!std::mem::replace(
            &mut seen[completion.token as usize],
            true
        ));
    }
    drop(thread);
    let (_thread, recovered) =
        DirectoryThread::start(path.path().to_owned(), identity(), 1, |_| ()).unwrap();
    assert!(recovered.was_clean);
    assert_eq!(recovered.logs.first().unwrap().state.log_end_offset, 100);
}

#[test]
fn a_full_queue_gives_the_request_back() {
    let path = tempfile::tempdir().unwrap();
    let (release, hold) = channel::<()>();
    let (entered, reached) = channel();
    let (thread, _) = DirectoryThread::start(path.path().to_owned(), identity(), 1, move |_| {
        entered.send(()).unwrap();
        let _ = hold.recv();
    })
    .unwrap();
    thread.try_submit(0, create()).unwrap();
    reached.recv_timeout(PATIENCE).unwrap();
    thread.try_submit(1, append(0)).unwrap();
    match thread.try_submit(2, append(1)) {
        Err(SubmitError::Full(2, DiskRequest::Append { batches, .. })) => {
            assert_ne!(batches, Bytes::new());
        }
        other => panic!("{other:?}"),
    }
    drop(release);
}

/// The operation that hangs ends, and so do the writes that waited behind it: nowhere.
#[test]
fn what_waited_behind_a_stalled_operation_is_never_executed() {
    let path = tempfile::tempdir().unwrap();
    let (release, hold) = channel::<()>();
    let (sender, news) = channel();
    let tell = move |told: DirectoryNews| {
        let hangs = matches!(&told, DirectoryNews::Completed(Completion { token: 1, .. }));
        sender.send(told).unwrap();
        if hangs {
            let _ = hold.recv();
        }
    };
    let start = DirectoryThread::start(path.path().to_owned(), identity(), 16, tell);
    let (mut thread, _) = start.unwrap();
    for (token, request) in [create(), append(0), append(1), append(2)]
        .into_iter()
        .enumerate()
    {
        thread.try_submit(token as u64, request).unwrap();
    }
    for token in 0..2 {
        let told = news.recv_timeout(PATIENCE).unwrap();
        assert_eq!(completed(told).token, token);
    }
    thread.abandon();
    assert!(matches!(
        thread.try_submit(9, append(1)),
        Err(SubmitError::Ended)
    ));
    drop(release);
    let reopened = match news.recv_timeout(PATIENCE).unwrap() {
        DirectoryNews::Reopened(reopened) => *reopened,
        other => panic!("{other:?}"),
    };
    assert!(!reopened.recovered.was_clean);
    let log = reopened.recovered.logs.first().unwrap();
    assert_eq!(log.state.log_end_offset, 1, "the queue is gone");
    thread.resume(reopened);
    thread.try_submit(10, append(1)).unwrap();
    let told = completed(news.recv_timeout(PATIENCE).unwrap());
    assert_eq!(told.token, 10);
    let reply = told.result.unwrap();
    assert_eq!(reply, DiskReply::Appended { log_end_offset: 2 });
}
