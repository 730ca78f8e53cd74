//! Directories that hang, or find no space, when they are to be opened.
//!
//! A directory hangs here because its lock is a named pipe: whoever opens that for writing waits
//! until somebody reads it.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::sync::mpsc::sync_channel;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

use super::super::disk::{DirectoryLock, RealDisk};
use super::super::node::{Node, Status};
use super::super::open::open_directories;
use super::super::signal::Stop;
use super::*;
use crate::broker::DirectoryStart;
use crate::id::{TopicId, TopicPartition};
use crate::record::{BatchBuilder, Compression};
use crate::storage::{DiskRequest, LogDirectory, LogOptions, MemoryDisk, Operation, RecoveredLog};

const PATIENCE: Duration = Duration::from_secs(30);

/// A root with the directories `a`, for the metadata log, and `b`.
fn two_directories() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        std::fs::create_dir(root.path().join(name)).unwrap();
    }
    root
}

fn settings(root: &Path, names: &[&str]) -> Arc<Settings> {
    let paths: Vec<_> = names
        .iter()
        .map(|name| root.join(name).display().to_string())
        .collect();
    let log_dirs = format!("log.dirs={}", paths.join(","));
    let pairs = ["node.id=1", &log_dirs, "log.dir.stall.timeout.ms=100"];
    Arc::new(Settings::parse("", &pairs).unwrap())
}

fn opener<D>(disk: &D, settings: &Arc<Settings>) -> Opener
where
    D: Disk<File: Send> + Clone + Send + 'static,
{
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    Opener::new(disk, settings, &events)
}

fn hang(root: &Path, name: &str) {
    mkfifo(&root.join(name).join(".lock"), Mode::S_IRWXU).unwrap();
}

/// Lets a directory that hangs go on; returns when it does.
fn release(root: &Path, name: &str) -> File {
    File::open(root.join(name).join(".lock")).unwrap()
}

fn next(opener: &Opener) -> (DirectoryIndex, Outcome) {
    opener.outcomes.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_directory_that_hangs_at_the_start_comes_later() {
    let root = two_directories();
    hang(root.path(), "b");
    let settings = settings(root.path(), &["a", "b"]);
    let opener = opener(&RealDisk, &settings);
    let nobody = Shutdown::new().1;
    let opened = open_directories(&opener, &settings, &nobody).unwrap();
    let is_open = |start: &DirectoryStart| matches!(start, DirectoryStart::Open(_));
    let starts: Vec<_> = opened.iter().map(|(start, _)| start.clone()).collect();
    assert!(is_open(&starts[0]), "{starts:?}");
    assert!(matches!(starts[1], DirectoryStart::Late(_)), "{starts:?}");
    let _reader = release(root.path(), "b");
    let late = next(&opener);
    assert!(matches!(late, (1, Outcome::Open(_))), "{late:?}");
}

#[test]
fn a_start_that_waits_for_the_metadata_directory_can_be_stopped() {
    let root = two_directories();
    hang(root.path(), "a");
    let settings = settings(root.path(), &["a", "b"]);
    let opener = opener(&RealDisk, &settings);
    let (stopper, shutdown) = Shutdown::new();
    let ended = thread::scope(|scope| {
        scope.spawn(|| stopper.stop(Stop::Controlled));
        open_directories(&opener, &settings, &shutdown).map(drop)
    });
    assert!(matches!(ended, Err(NodeError::StoppedEarly)), "{ended:?}");
    let _reader = release(root.path(), "a");
}

#[test]
fn a_node_serves_and_ends_while_one_of_its_directories_hangs() {
    let root = two_directories();
    hang(root.path(), "b");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = settings(root.path(), &["a", "b"]);
    let settings = Arc::into_inner(settings).unwrap();
    let port = listener.local_addr().unwrap().port();
    let node = Node::start_on(settings.with_listener_port(port), listener).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let mut status = node.status();
    runtime.block_on(async {
        let serves = status.wait_for(|status| *status == Status::Serving);
        tokio::time::timeout(PATIENCE, serves)
            .await
            .unwrap()
            .unwrap();
    });
    node.stopper().stop(Stop::Controlled);
    node.join().unwrap();
    let _reader = release(root.path(), "b");
}

#[test]
fn a_data_directory_without_space_is_opened_when_there_is_some() {
    let root = two_directories();
    let disk = MemoryDisk::default();
    let nobody = Shutdown::new().1;
    let first = settings(root.path(), &["a"]);
    drop(open_directories(&opener(&disk, &first), &first, &nobody).unwrap());
    disk.set_space(Some(0));
    let both = settings(root.path(), &["a", "b"]);
    let opener = opener(&disk, &both);
    let opened = open_directories(&opener, &both, &nobody).unwrap();
    let (start, _) = &opened[1];
    assert!(matches!(start, DirectoryStart::Late(_)), "{start:?}");
    disk.set_space(None);
    let mut late = next(&opener);
    if matches!(late, (1, Outcome::Waits(_))) {
        late = next(&opener);
    }
    assert!(matches!(late, (1, Outcome::Open(_))), "{late:?}");
}

#[test]
fn a_metadata_directory_without_space_ends_the_start() {
    let root = two_directories();
    let disk = MemoryDisk::default();
    disk.set_space(Some(0));
    let settings = settings(root.path(), &["a", "b"]);
    let nobody = Shutdown::new().1;
    let refused = open_directories(&opener(&disk, &settings), &settings, &nobody);
    assert!(refused.unwrap_err().to_string().contains("no space"));
}

#[test]
fn a_directory_that_is_opened_again_waits_for_the_end_of_its_thread() {
    let root = two_directories();
    let settings = settings(root.path(), &["a"]);
    let opener = opener(&RealDisk, &settings);
    let held = DirectoryLock::acquire(&root.path().join("a")).unwrap();
    opener.open_again(0).unwrap();
    let waits = next(&opener);
    assert!(matches!(waits, (0, Outcome::Waits(_))), "{waits:?}");
    drop(held);
    let open = next(&opener);
    assert!(matches!(open, (0, Outcome::Open(_))), "{open:?}");
}

/// Directories on disks of their own, so that one can be held up alone.
#[derive(Clone)]
struct TwoDisks {
    a: MemoryDisk,
    b: MemoryDisk,
}

impl TwoDisks {
    fn of(&self, path: &Path) -> &MemoryDisk {
        let is_b = path.iter().any(|part| part == "b");
        if is_b { &self.b } else { &self.a }
    }
}

impl Disk for TwoDisks {
    type File = <MemoryDisk as Disk>::File;

    fn open(&self, path: &Path) -> io::Result<Self::File> {
        self.of(path).open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Self::File> {
        self.of(path).create(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.of(path).list(path)
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.of(path).is_dir(path)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.of(path).create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.of(from).rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.of(path).remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.of(path).remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.of(path).sync_dir(path)
    }
}

/// Leaves a log of so many segments, of one batch each, as a crash does.
fn leave_log(disk: &MemoryDisk, path: &Path, segments: i64) {
    let identity = DirectoryIdentity {
        cluster_id: Settings::parse("", &["node.id=1", "log.dirs=/d"])
            .unwrap()
            .cluster_id,
        node_id: crate::id::BrokerId(1),
        new_directory_id: uuid::Uuid::from_u128(5),
    };
    let (mut directory, _) = LogDirectory::open(disk.clone(), path.to_owned(), &identity).unwrap();
    let log = TopicPartition::new("t", 0);
    let options = LogOptions {
        segment_bytes: 1,
        ..LogOptions::default()
    };
    let create = DiskRequest::CreateLog {
        log: log.clone(),
        topic_id: TopicId(uuid::Uuid::from_u128(7)),
        options,
    };
    directory.execute(create).unwrap();
    for base in 0..segments {
        let mut builder = BatchBuilder::new(Compression::None).with_position(base, 1);
        builder.append(base, None, Some(b"v"), &[]);
        let (log, batches) = (log.clone(), builder.build());
        directory
            .execute(DiskRequest::Append { log, batches })
            .unwrap();
    }
}

/// Each read of the recovery takes as long as the node may wait for all of it.
#[test]
fn a_recovery_that_is_slow_but_goes_on_is_waited_for_without_limit_while_the_node_starts() {
    const SEGMENTS: i64 = 12;
    let root = two_directories();
    let disks = TwoDisks {
        a: MemoryDisk::default(),
        b: MemoryDisk::default(),
    };
    leave_log(&disks.b, &root.path().join("b"), SEGMENTS);
    let (asks, asked) = channel();
    let (go_on, may_go_on) = sync_channel::<()>(0);
    disks.b.set_fault(move |operation, path| {
        if operation == Operation::Read && path.iter().any(|part| part == "t-0") {
            let _ = asks.send(());
            let _ = may_go_on.recv();
        }
        None
    });
    let settings = settings(root.path(), &["a", "b"]);
    let opener = opener(&disks, &settings);
    let limit = settings.millis("log.dir.stall.timeout.ms");
    let opened = open_directories(&opener, &settings, &Shutdown::new().1).unwrap();
    let starts: Vec<_> = opened.iter().map(|(start, _)| start.clone()).collect();
    assert!(matches!(starts[0], DirectoryStart::Open(_)), "{starts:?}");
    assert!(matches!(starts[1], DirectoryStart::Late(_)), "{starts:?}");
    let mut reads = 0;
    let found = loop {
        if asked.recv_timeout(limit).is_ok() {
            assert!(
                opener.next().is_none(),
                "it is not over after {reads} reads"
            );
            go_on.send(()).unwrap();
            reads += 1;
        } else if let Some(outcome) = opener.next() {
            break outcome;
        }
    };
    assert!(reads >= SEGMENTS, "{reads}");
    let (1, Outcome::Open(open)) = found else {
        panic!("{found:?}");
    };
    let (_, found) = *open;
    let [
        RecoveredLog {
            state,
            cut_bytes,
            damage,
            ..
        },
    ] = found.logs.as_slice()
    else {
        panic!("{found:?}");
    };
    assert_eq!((state.log_end_offset, *cut_bytes), (SEGMENTS, 0));
    assert!(damage.is_none() && !found.was_clean);
}
