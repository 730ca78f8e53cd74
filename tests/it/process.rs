//! One broker in a process of its own, whose sockets and memory can be counted.
//!
//! Invariant: the process does not outlive its handle.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use broker::shell::FAST;
use tempfile::TempDir;

use crate::cluster::PATIENCE;

/// Becomes the broker, under the low soft limit of open files that a login shell may have.
const LAUNCH: &str = "ulimit -Sn 64; exec \"$0\" \"$@\"";

/// Distinguishes the processes of this test binary.
static PROCESSES: AtomicU8 = AtomicU8::new(1);

/// A broker process.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    _data: TempDir,
}

impl Process {
    /// Starts a broker with these settings on top of the fast ones, and waits until it listens.
    pub(crate) fn start(extra: &[&str]) -> Self {
        let data = TempDir::new().unwrap();
        let address = address();
        let own = [
            "node.id=1".to_owned(),
            format!("listeners=PLAINTEXT://{address}"),
            format!("log.dirs={}", data.path().display()),
        ];
        let shared = FAST.iter().chain(extra).map(ToString::to_string);
        let settings = shared.chain(own);
        let child = Command::new("sh")
            .args(["-c", LAUNCH, env!("CARGO_BIN_EXE_broker")])
            .args(settings.flat_map(|setting| ["--set".to_owned(), setting]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let process = Self {
            child,
            address,
            _data: data,
        };
        wait_until("the broker listens", || TcpStream::connect(address).is_ok());
        process
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// How many sockets it has open.
    pub(crate) fn sockets(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap();
        let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        targets
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// How many sockets it has open once their number rests, when no client is connected.
    pub(crate) fn settled_sockets(&self) -> usize {
        let mut last = self.sockets();
        let mut equal = 0;
        wait_until("the number of sockets rests", || {
            let now = self.sockets();
            equal = if now == last { equal + 1 } else { 0 };
            last = now;
            equal == 10
        });
        last
    }

    /// How much memory it has in use, in MiB.
    pub(crate) fn resident_mib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: u64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kib >> 10
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `holds`.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An address that nothing else on this machine uses: the process id is in it.
fn address() -> SocketAddr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let last = 100 + PROCESSES.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from(([127, 128 | high, low, last], 9092))
}
