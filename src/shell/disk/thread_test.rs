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

#[test]
fn requests_are_completed_once_and_survive_a_restart() {
    let path = tempfile::tempdir().unwrap();
    let (sender, completions) = channel();
    let (thread, recovered) = DirectoryThread::start(
        path.path().to_owned(),
        &identity(),
        1024,
        move |completion| {
            sender.send(completion).unwrap();
        },
    )
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
        DirectoryThread::start(path.path().to_owned(), &identity(), 1, |_| ()).unwrap();
    assert!(recovered.was_clean);
    assert_eq!(recovered.logs.first().unwrap().state.log_end_offset, 100);
}

#[test]
fn a_full_queue_gives_the_request_back() {
    let path = tempfile::tempdir().unwrap();
    let (release, hold) = channel::<()>();
    let (entered, reached) = channel();
    let (thread, _) = DirectoryThread::start(path.path().to_owned(), &identity(), 1, move |_| {
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
