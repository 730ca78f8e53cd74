//! Syncs beside the requests of a directory, on a disk whose syncs end when the test says so.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use uuid::Uuid;

use super::SYNCS_MAX;
use crate::id::{BrokerId, TopicId, TopicPartition};
use crate::record::{BatchBuilder, Compression};
use crate::shell::disk::{DirectoryNews, DirectoryThread, DiskToken, Job};
use crate::storage::{
    DirectoryIdentity, Disk, DiskError, DiskFile, DiskReply, DiskRequest, LogOptions, MemoryDisk,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// Which syncs have begun, and how those that may end do.
#[derive(Debug, Default)]
struct Gate {
    is_closed: bool,
    begun: usize,
    ends: BTreeMap<usize, Result<(), io::ErrorKind>>,
}

#[derive(Clone, Debug, Default)]
struct GatedDisk {
    disk: MemoryDisk,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

#[derive(Debug)]
struct GatedFile {
    file: <MemoryDisk as Disk>::File,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

impl GatedDisk {
    fn change(&self, change: impl FnOnce(&mut Gate)) {
        change(&mut self.gate.0.lock().unwrap());
        self.gate.1.notify_all();
    }

    fn close(&self) {
        self.change(|gate| (gate.is_closed, gate.begun) = (true, 0));
    }

    /// Lets all syncs end that begin from now on.
    fn open(&self) {
        self.change(|gate| gate.is_closed = false);
    }

    /// Lets the sync that began as number `number` since the gate was closed end.
    fn end(&self, number: usize, how: Result<(), io::ErrorKind>) {
        self.change(|gate| _ = gate.ends.insert(number, how));
    }

    fn wait_for(&self, begun: usize) {
        let gate = self.gate.0.lock().unwrap();
        let waited = self
            .gate
            .1
            .wait_timeout_while(gate, PATIENCE, |gate| gate.begun < begun);
        assert!(!waited.unwrap().1.timed_out(), "{begun} syncs do not begin");
    }

    fn begun(&self) -> usize {
        self.gate.0.lock().unwrap().begun
    }

    fn file(&self, file: <MemoryDisk as Disk>::File) -> GatedFile {
        GatedFile {
            file,
            gate: Arc::clone(&self.gate),
        }
    }
}

impl Disk for GatedDisk {
    type File = GatedFile;

    fn open(&self, path: &Path) -> io::Result<GatedFile> {
        self.disk.open(path).map(|file| self.file(file))
    }

    fn create(&self, path: &Path) -> io::Result<GatedFile> {
        self.disk.create(path).map(|file| self.file(file))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.disk.is_dir(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
}

impl DiskFile for GatedFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }

    fn write_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_at(bytes, position)
    }

    fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut gate = self.gate.0.lock().unwrap();
        if gate.is_closed {
            let number = gate.begun;
            gate.begun += 1;
            self.gate.1.notify_all();
            let waited = self
                .gate
                .1
                .wait_while(gate, |gate| !gate.ends.contains_key(&number));
            let end = waited.unwrap().ends.get(&number).copied();
            end.unwrap_or(Ok(()))?;
        } else {
            drop(gate);
        }
        self.file.sync()
    }
}

fn log() -> TopicPartition {
    TopicPartition::new("t", 0)
}

fn flush() -> DiskRequest {
    DiskRequest::Flush { log: log() }
}

fn append(base: i64) -> DiskRequest {
    let mut builder = BatchBuilder::new(Compression::None).with_position(base, 1);
    builder.append(base, None, Some(&[7; 100]), &[]);
    DiskRequest::Append {
        log: log(),
        batches: builder.build(),
    }
}

/// A directory whose log has one durable record, on a disk whose syncs hang from now on.
struct Stand {
    disk: GatedDisk,
    thread: DirectoryThread,
    news: Receiver<DirectoryNews>,
    _path: tempfile::TempDir,
}

impl Stand {
    fn new() -> Self {
        let path = tempfile::tempdir().unwrap();
        let disk = GatedDisk::default();
        let (sender, news) = channel();
        let identity = DirectoryIdentity {
            cluster_id: "c".to_owned(),
            node_id: BrokerId(1),
            new_directory_id: Uuid::from_u128(5),
        };
        let tell = move |told| match told {
            DirectoryNews::Completed(completions) => {
                for completion in completions {
                    let _ = sender.send(DirectoryNews::Completed(vec![completion]));
                }
            }
            other => _ = sender.send(other),
        };
        let place = path.path().to_owned();
        let started = DirectoryThread::start_on(disk.clone(), place, identity, 1024, tell);
        let stand = Self {
            disk,
            thread: started.unwrap().0,
            news,
            _path: path,
        };
        let create = DiskRequest::CreateLog {
            log: log(),
            topic_id: TopicId(Uuid::from_u128(7)),
            options: LogOptions::default(),
        };
        stand.submit((100..).zip([create, append(0), flush()]));
        for token in 100..103 {
            let (told, result) = stand.completed();
            assert!(told == token && result.is_ok(), "{told} {result:?}");
        }
        stand.disk.close();
        stand
    }

    fn submit(&self, requests: impl IntoIterator<Item = (DiskToken, DiskRequest)>) {
        for (token, request) in requests {
            self.thread
                .try_submit(vec![Job { token, request }])
                .unwrap();
        }
    }

    fn completed(&self) -> (DiskToken, Result<DiskReply, DiskError>) {
        match self.news.recv_timeout(PATIENCE).unwrap() {
            DirectoryNews::Completed(told) => {
                let [told] = <[_; 1]>::try_from(told).unwrap();
                (told.token, told.result)
            }
            other => panic!("{other:?}"),
        }
    }

    /// Appends the record at `base` and flushes it, until its sync has begun as number `number`.
    fn begin(&self, base: i64, number: usize) {
        let token = 10 * base as u64;
        self.submit([(token, append(base)), (token + 1, flush())]);
        let log_end_offset = base + 1;
        let appended = Ok(DiskReply::Appended { log_end_offset });
        assert_eq!(self.completed(), (token, appended));
        self.disk.wait_for(number + 1);
    }
}

impl Drop for Stand {
    /// A test that fails must not wait for syncs that nobody ends.
    fn drop(&mut self) {
        self.disk.open();
        for number in 0..100 {
            self.disk.end(number, Ok(()));
        }
    }
}

fn flushed(token: DiskToken, upto: i64) -> (DiskToken, Result<DiskReply, DiskError>) {
    (token, Ok(DiskReply::Flushed { upto }))
}

#[test]
fn records_are_appended_and_read_while_a_sync_hangs() {
    let stand = Stand::new();
    stand.begin(1, 0);
    let read = DiskRequest::Read {
        log: log(),
        start: 0,
        end: 3,
        max_bytes: 1 << 20,
        minimum_one_batch: true,
    };
    stand.submit([(20, append(2)), (21, read)]);
    let appended = Ok(DiskReply::Appended { log_end_offset: 3 });
    assert_eq!(stand.completed(), (20, appended));
    let (token, result) = stand.completed();
    assert!(token == 21 && result.is_ok(), "{result:?}");
    stand.disk.end(0, Ok(()));
    assert_eq!(
        stand.completed(),
        flushed(11, 2),
        "record 2 came after the sync"
    );
}

#[test]
fn flushes_that_come_while_all_syncs_run_share_the_next_one() {
    let stand = Stand::new();
    for number in 0..SYNCS_MAX {
        stand.begin(1 + number as i64, number);
    }
    let first = 1 + SYNCS_MAX as i64;
    let requests = (first..first + 10).flat_map(|base| [append(base), flush()]);
    stand.submit((1000..).zip(requests));
    for place in 0..10 {
        assert_eq!(stand.completed().0, 1000 + 2 * place);
    }
    // What is executed after them finds them all waiting.
    stand.submit([(2000, append(first + 10))]);
    assert_eq!(stand.completed().0, 2000);
    for number in 0..=SYNCS_MAX {
        stand.disk.end(number, Ok(()));
    }
    for number in 1..=SYNCS_MAX as i64 {
        assert_eq!(
            stand.completed(),
            flushed(10 * number as u64 + 1, number + 1)
        );
    }
    for place in 0..10 {
        assert_eq!(stand.completed(), flushed(1001 + 2 * place, first + 10));
    }
    assert_eq!(stand.disk.begun(), SYNCS_MAX + 1);
}

/// The kernel tells a failed write back once: the sync that began later may know nothing of it.
#[test]
fn a_sync_that_succeeds_answers_nothing_before_an_earlier_one_that_fails() {
    let stand = Stand::new();
    stand.begin(1, 0);
    stand.begin(2, 1);
    stand.disk.end(1, Ok(()));
    stand.disk.end(0, Err(io::ErrorKind::Other));
    for token in [11, 21] {
        let (told, result) = stand.completed();
        assert_eq!(told, token);
        assert!(result.unwrap_err().is_fatal());
    }
    stand.submit([(30, append(3))]);
    let (told, result) = stand.completed();
    assert!(
        told == 30 && matches!(result, Err(DiskError::Offline { .. })),
        "{result:?}"
    );
}

#[test]
fn a_log_is_not_cut_while_it_is_synced() {
    let stand = Stand::new();
    stand.begin(1, 0);
    stand.begin(2, 1);
    stand.submit([
        (30, DiskRequest::Truncate { log: log(), to: 1 }),
        (31, append(1)),
    ]);
    for number in 0..3 {
        stand.disk.end(number, Ok(()));
    }
    assert_eq!(stand.completed(), flushed(11, 2));
    assert_eq!(stand.completed(), flushed(21, 3));
    let (told, result) = stand.completed();
    assert!(told == 30 && result.is_ok(), "{result:?}");
    let appended = Ok(DiskReply::Appended { log_end_offset: 2 });
    assert_eq!(stand.completed(), (31, appended));
}

#[test]
fn no_sync_begins_after_the_directory_was_abandoned() {
    let mut stand = Stand::new();
    for number in 0..SYNCS_MAX {
        stand.begin(1 + number as i64, number);
    }
    let base = 1 + SYNCS_MAX as i64;
    stand.submit([(500, append(base)), (501, flush()), (502, append(base + 1))]);
    assert_eq!([500, 502].map(|_| stand.completed().0), [500, 502]);
    stand.thread.abandon();
    stand.disk.open();
    for number in 0..SYNCS_MAX {
        stand.disk.end(number, Ok(()));
    }
    let mut told = Vec::new();
    let reopened = loop {
        match stand.news.recv_timeout(PATIENCE).unwrap() {
            DirectoryNews::Completed(completions) => {
                told.extend(completions.iter().map(|completion| completion.token));
            }
            DirectoryNews::Reopened(reopened) => break reopened,
            other => panic!("{other:?}"),
        }
    };
    let hung: Vec<_> = (1..=SYNCS_MAX as u64).map(|base| 10 * base + 1).collect();
    assert_eq!(told, hung);
    stand.thread.resume(*reopened);
}

#[test]
fn without_a_descriptor_for_it_a_flush_is_done_in_its_turn() {
    let stand = Stand::new();
    stand.disk.disk.set_descriptors(Some(0));
    stand.disk.end(0, Ok(()));
    stand.submit([(10, append(1)), (11, flush()), (12, append(2))]);
    assert_eq!(stand.completed().0, 10);
    assert_eq!(stand.completed(), flushed(11, 2));
    assert_eq!(stand.completed().0, 12);
}
