//! The directory's thread over real files.

use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::id::{BrokerId, TopicId, TopicPartition};
use crate::record::{BatchBuilder, Compression};
use crate::storage::{LogOptions, MemoryDisk, QuorumElection, metadata_partition};

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

fn job(token: DiskToken, request: DiskRequest) -> Job {
    Job { token, request }
}

/// The completion of news as [`telling`] hands them on.
fn completed(news: DirectoryNews) -> Completion {
    match news {
        DirectoryNews::Completed(mut completions) if completions.len() == 1 => {
            completions.remove(0)
        }
        other => panic!("{other:?}"),
    }
}

/// Whether it is the completion of `token`.
fn completes(news: &DirectoryNews, token: DiskToken) -> bool {
    matches!(news, DirectoryNews::Completed(completions) if
        completions.iter().any(|completion| completion.token == token))
}

/// Hands on each completion by itself, and after news that `holds` waits until the sender of `hold`
/// is gone.
fn telling(
    sender: Sender<DirectoryNews>,
    hold: Receiver<()>,
    holds: impl Fn(&DirectoryNews) -> bool + Send + Sync + 'static,
) -> impl Fn(DirectoryNews) + Send + Sync + 'static {
    let hold = Mutex::new(hold);
    move |told| {
        let holds = holds(&told);
        match told {
            DirectoryNews::Completed(completions) => {
                for completion in completions {
                    let _ = sender.send(DirectoryNews::Completed(vec![completion]));
                }
            }
            other => _ = sender.send(other),
        }
        if holds {
            let _ = hold.lock().unwrap().recv();
        }
    }
}

/// Hands on each completion by itself.
fn telling_at_once(
    sender: Sender<DirectoryNews>,
) -> impl Fn(DirectoryNews) + Send + Sync + 'static {
    telling(sender, channel().1, |_| false)
}

#[test]
fn requests_are_completed_once_and_survive_a_restart() {
    let path = tempfile::tempdir().unwrap();
    let (sender, completions) = channel();
    let (thread, recovered) = DirectoryThread::start(
        path.path().to_owned(),
        identity(),
        1024,
        telling_at_once(sender),
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
        thread.try_submit(vec![job(token as u64, request)]).unwrap();
    }
    let mut seen = vec![false; count];
    for _ in 0..count {
        let completion = completed(completions.recv_timeout(PATIENCE).unwrap());
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
    let tell = telling(entered, hold, |_| true);
    let (thread, _) = DirectoryThread::start(path.path().to_owned(), identity(), 1, tell).unwrap();
    thread.try_submit(vec![job(0, create())]).unwrap();
    reached.recv_timeout(PATIENCE).unwrap();
    thread.try_submit(vec![job(1, append(0))]).unwrap();
    match thread.try_submit(vec![job(2, append(1))]) {
        Err(SubmitError::Full(jobs)) => match jobs.as_slice() {
            [
                Job {
                    token: 2,
                    request: DiskRequest::Append { batches, .. },
                },
            ] => assert_ne!(batches, &Bytes::new()),
            other => panic!("{other:?}"),
        },
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
    let tell = telling(sender, hold, |told| completes(told, 0));
    let start = DirectoryThread::start(path.path().to_owned(), identity(), 16, tell);
    let (mut thread, _) = start.unwrap();
    for (token, request) in [create(), append(0), append(1), append(2)]
        .into_iter()
        .enumerate()
    {
        thread.try_submit(vec![job(token as u64, request)]).unwrap();
    }
    let told = news.recv_timeout(PATIENCE).unwrap();
    assert_eq!(completed(told).token, 0);
    thread.abandon();
    assert!(matches!(
        thread.try_submit(vec![job(9, append(1))]),
        Err(SubmitError::Ended)
    ));
    drop(release);
    let reopened = match news.recv_timeout(PATIENCE).unwrap() {
        DirectoryNews::Reopened(reopened) => *reopened,
        other => panic!("{other:?}"),
    };
    assert!(!reopened.recovered.was_clean);
    let log = reopened.recovered.logs.first().unwrap();
    assert_eq!(log.state.log_end_offset, 0, "the queue is gone");
    thread.resume(reopened);
    thread.try_submit(vec![job(10, append(0))]).unwrap();
    let told = completed(news.recv_timeout(PATIENCE).unwrap());
    assert_eq!(told.token, 10);
    let reply = told.result.unwrap();
    assert_eq!(reply, DiskReply::Appended { log_end_offset: 1 });
}

/// A thread over `disk` whose log has a batch, and what it tells from then on.
fn with_a_batch(disk: &MemoryDisk, place: &Path) -> (DirectoryThread, Receiver<DirectoryNews>) {
    let (sender, news) = channel();
    let tell = telling_at_once(sender);
    let start = DirectoryThread::start_on(disk.clone(), place.to_owned(), identity(), 64, tell);
    let (thread, _) = start.unwrap();
    submit_all(&thread, [(0, create()), (1, append(0))]);
    for token in 0..2 {
        let told = completed(news.recv_timeout(PATIENCE).unwrap());
        assert!(told.token == token && told.result.is_ok(), "{told:?}");
    }
    (thread, news)
}

/// What the sync could not write is in the page cache yet, and would pass for durable.
#[test]
fn a_stalled_sync_that_fails_in_the_end_keeps_the_directory_offline() {
    let path = tempfile::tempdir().unwrap();
    let disk = MemoryDisk::default();
    let (mut thread, news) = with_a_batch(&disk, path.path());
    let (release, hold) = channel::<()>();
    let (entered, reached) = channel();
    let mut has_failed = false;
    disk.set_fault(move |operation, _| {
        if operation != Operation::Sync || std::mem::replace(&mut has_failed, true) {
            return None;
        }
        entered.send(()).unwrap();
        let _ = hold.recv();
        Some(std::io::ErrorKind::Other)
    });
    submit_all(&thread, [(2, DiskRequest::Flush { log: log() })]);
    reached.recv_timeout(PATIENCE).unwrap();
    thread.abandon();
    drop(release);
    let told = completed(news.recv_timeout(PATIENCE).unwrap());
    assert!(told.result.unwrap_err().is_fatal());
    let told = news.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(told, DirectoryNews::ReopenFailed(_)), "{told:?}");
}

fn submit_all(thread: &DirectoryThread, requests: impl IntoIterator<Item = (u64, DiskRequest)>) {
    for (token, request) in requests {
        thread.try_submit(vec![job(token, request)]).unwrap();
    }
}

/// Appends are refused at once, reads pass, and what nobody would ask for again waits, in order.
#[test]
fn a_full_disk_holds_up_the_quorum_and_nothing_else() {
    let path = tempfile::tempdir().unwrap();
    let disk = MemoryDisk::default();
    let (thread, news) = with_a_batch(&disk, path.path());
    disk.set_space(Some(0));
    let vote = |epoch| DiskRequest::WriteElection {
        election: QuorumElection {
            epoch,
            voted_for: None,
        },
    };
    let read = DiskRequest::Read {
        log: log(),
        start: 0,
        end: 1,
        max_bytes: 1,
        minimum_one_batch: true,
    };
    let requests = [vote(1), append(1), vote(2), append(2), read];
    submit_all(&thread, (2..).zip(requests));
    let mut waiting = Vec::new();
    let mut done = Vec::new();
    while done.len() < 3 {
        match news.recv_timeout(PATIENCE).unwrap() {
            DirectoryNews::WaitsForSpace(token) => waiting.push(token),
            told => {
                let Completion { token, result } = completed(told);
                done.push((token, result.map_err(|error| error.is_no_space())));
            }
        }
    }
    assert_eq!(waiting.first(), Some(&2));
    assert!(waiting.contains(&4));
    let refused: Vec<_> = done
        .iter()
        .filter(|(_, result)| *result == Err(true))
        .collect();
    assert_eq!(refused.len(), 2, "{done:?}");
    let (read, Ok(DiskReply::Read { batches })) = done.last().unwrap() else {
        panic!("{done:?}");
    };
    assert!(*read == 6 && !batches.is_empty());
    disk.set_space(None);
    let mut order = Vec::new();
    while order.len() < 2 {
        let told = news.recv_timeout(PATIENCE).unwrap();
        if matches!(told, DirectoryNews::Completed(_)) {
            let told = completed(told);
            assert_eq!(told.result.unwrap(), DiskReply::Done);
            order.push(told.token);
        }
    }
    assert_eq!(order, [2, 4]);
    submit_all(&thread, [(7, append(1))]);
    let told = completed(news.recv_timeout(PATIENCE).unwrap());
    assert_eq!(
        told.result.unwrap(),
        DiskReply::Appended { log_end_offset: 2 }
    );
}

/// The flush of what was appended first must not answer for what waits behind it.
#[test]
fn a_flush_behind_an_append_that_waits_for_space_is_not_done_before_it() {
    let path = tempfile::tempdir().unwrap();
    let disk = MemoryDisk::default();
    let (release, hold) = channel::<()>();
    let (sender, news) = channel();
    let holds = |told: &DirectoryNews| matches!(told, DirectoryNews::WaitsForSpace(2));
    let tell = telling(sender, hold, holds);
    let place = path.path().to_owned();
    let start = DirectoryThread::start_on(disk.clone(), place, identity(), 64, tell);
    let (thread, _) = start.unwrap();
    let log = metadata_partition;
    let create = DiskRequest::CreateLog {
        log: log(),
        topic_id: TopicId(Uuid::from_u128(7)),
        options: LogOptions::default(),
    };
    let append = |base| match append(base) {
        DiskRequest::Append { batches, .. } => DiskRequest::Append {
            log: log(),
            batches,
        },
        other => panic!("{other:?}"),
    };
    let flush = || DiskRequest::Flush { log: log() };
    submit_all(&thread, [(0, create)]);
    let told = completed(news.recv_timeout(PATIENCE).unwrap());
    assert_eq!(told.token, 0);
    disk.set_space(Some(0));
    submit_all(&thread, [(1, append(0)), (2, flush())]);
    let wait_for = |last| loop {
        match news.recv_timeout(PATIENCE).unwrap() {
            DirectoryNews::WaitsForSpace(token) if token == last => return,
            DirectoryNews::WaitsForSpace(_) => {}
            other => panic!("{other:?}"),
        }
    };
    wait_for(2);
    let together = [append(1), flush(), append(2), flush()];
    submit_all(&thread, (3..).zip(together));
    drop(release);
    wait_for(6);
    disk.set_space(None);
    let mut order = Vec::new();
    while order.len() < 6 {
        let told = news.recv_timeout(PATIENCE).unwrap();
        if matches!(told, DirectoryNews::Completed(_)) {
            let told = completed(told);
            assert!(told.result.is_ok(), "{told:?}");
            order.push(told.token);
        }
    }
    let place = |token| order.iter().position(|told| *told == token);
    let in_order = [(1, 3), (3, 5), (2, 4), (4, 6), (1, 2), (3, 4), (5, 6)];
    for (first, then) in in_order {
        assert!(place(first) < place(then), "{order:?}");
    }
}

/// While what is read is not taken, nothing but the threads for it can sync.
#[test]
fn a_flush_does_not_wait_for_the_reads_behind_it_in_its_submission() {
    let path = tempfile::tempdir().unwrap();
    let (release, hold) = channel::<()>();
    let (sender, news) = channel();
    let tell = telling(sender, hold, |told| completes(told, 5));
    let start = DirectoryThread::start(path.path().to_owned(), identity(), 64, tell);
    let (thread, _) = start.unwrap();
    let flush = || DiskRequest::Flush { log: log() };
    submit_all(&thread, (0..).zip([create(), append(0), flush()]));
    for token in 0..3 {
        let told = completed(news.recv_timeout(PATIENCE).unwrap());
        assert!(told.token == token && told.result.is_ok(), "{told:?}");
    }
    let read = DiskRequest::Read {
        log: log(),
        start: 0,
        end: 1,
        max_bytes: 1,
        minimum_one_batch: true,
    };
    let together = [append(1), flush(), read];
    let jobs = (3..).zip(together);
    let jobs = jobs.map(|(token, request)| job(token, request)).collect();
    thread.try_submit(jobs).unwrap();
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(completed(news.recv_timeout(PATIENCE).unwrap()).token);
    }
    told.sort_unstable();
    assert_eq!(told, [3, 4, 5]);
    drop(release);
}

#[test]
fn sixty_four_durable_appends_that_wait_together_cost_one_sync() {
    let path = tempfile::tempdir().unwrap();
    let disk = MemoryDisk::default();
    let (release, hold) = channel::<()>();
    let (sender, news) = channel();
    let tell = telling(sender, hold, |told| completes(told, 2));
    let place = path.path().to_owned();
    let start = DirectoryThread::start_on(disk.clone(), place, identity(), 1024, tell);
    let (thread, _) = start.unwrap();
    let flush = || DiskRequest::Flush { log: log() };
    let create = DiskRequest::CreateLog {
        log: log(),
        topic_id: TopicId(Uuid::from_u128(7)),
        options: LogOptions::default(),
    };
    submit_all(&thread, (0..).zip([create, append(0), flush()]));
    for token in 0..3 {
        let told = completed(news.recv_timeout(PATIENCE).unwrap());
        assert!(told.token == token && told.result.is_ok(), "{told:?}");
    }
    let before = disk.sync_count();
    let requests = (1..=64).flat_map(|base| [append(base), flush()]);
    let jobs = (3..)
        .zip(requests)
        .map(|(token, request)| job(token, request));
    thread.try_submit(jobs.collect()).unwrap();
    drop(release);
    for _ in 0..128 {
        let told = completed(news.recv_timeout(PATIENCE).unwrap());
        let flushed = matches!(told.result, Ok(DiskReply::Flushed { upto: 65 }));
        let appended = matches!(told.result, Ok(DiskReply::Appended { .. }));
        assert!(flushed || appended, "{told:?}");
    }
    assert_eq!(disk.sync_count() - before, 1);
}

/// Nobody would hear any more of a flush that counts on another one, which finds no space.
#[test]
fn a_flush_without_space_is_completed_with_all_that_it_answers_when_the_directory_closes() {
    let path = tempfile::tempdir().unwrap();
    let disk = MemoryDisk::default();
    let (release, hold) = channel::<()>();
    let (sender, news) = channel();
    let tell = telling(sender, hold, |_| true);
    let place = path.path().to_owned();
    let start = DirectoryThread::start_on(disk.clone(), place, identity(), 64, tell);
    let (thread, _) = start.unwrap();
    let flush = || DiskRequest::Flush { log: log() };
    submit_all(&thread, (0..).zip([create(), flush(), flush()]));
    let told = completed(news.recv_timeout(PATIENCE).unwrap());
    assert_eq!(told.token, 0);
    disk.set_descriptors(Some(0));
    drop(release);
    drop(thread);
    let mut refused = Vec::new();
    for told in news {
        if matches!(told, DirectoryNews::Completed(_)) {
            let Completion { token, result } = completed(told);
            refused.push((token, result.is_err_and(|error| error.is_no_space())));
        }
    }
    assert_eq!(refused, [(1, true), (2, true)]);
}

#[test]
fn what_one_submission_appends_is_told_together_and_so_is_what_one_sync_answers() {
    let path = tempfile::tempdir().unwrap();
    let (sender, news) = channel();
    let tell = move |told| sender.send(told).unwrap();
    let start = DirectoryThread::start(path.path().to_owned(), identity(), 64, tell);
    let (thread, _) = start.unwrap();
    let flush = || DiskRequest::Flush { log: log() };
    // The first flush of a log is more than a sync of one file.
    let first = vec![create(), append(0), append(1), append(2), flush()];
    let second = vec![append(3), flush(), flush()];
    for (token, requests) in [(0, first), (5, second)] {
        let jobs = (token..).zip(requests);
        let jobs = jobs.map(|(token, request)| job(token, request));
        thread.try_submit(jobs.collect()).unwrap();
    }
    for expected in [vec![0], vec![1, 2, 3], vec![4], vec![5], vec![6, 7]] {
        match news.recv_timeout(PATIENCE).unwrap() {
            DirectoryNews::Completed(told) => {
                let tokens: Vec<_> = told.iter().map(|told| told.token).collect();
                assert_eq!(tokens, expected);
                assert!(told.iter().all(|told| told.result.is_ok()), "{told:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Whoever waits for a slow disk would take it for one that hangs.
#[test]
fn the_appends_of_a_long_submission_are_told_before_its_end() {
    let path = tempfile::tempdir().unwrap();
    let (sender, news) = channel();
    let tell = move |told| sender.send(told).unwrap();
    let start = DirectoryThread::start(path.path().to_owned(), identity(), 64, tell);
    let (thread, _) = start.unwrap();
    let count = APPENDED_MAX as i64 + 1;
    let requests = std::iter::once(create()).chain((0..count).map(append));
    let jobs = (0..).zip(requests);
    let jobs = jobs.map(|(token, request)| job(token, request));
    thread.try_submit(jobs.collect()).unwrap();
    for expected in [1, APPENDED_MAX, 1] {
        match news.recv_timeout(PATIENCE).unwrap() {
            DirectoryNews::Completed(told) => assert_eq!(told.len(), expected),
            other => panic!("{other:?}"),
        }
    }
}
