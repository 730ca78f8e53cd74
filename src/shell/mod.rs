//! The shell: the only I/O of a node. Sockets, threads, clocks and signals around the core.
//!
//! In: settings. Out: a running node. Invariant: the core decides, the shell performs.

mod clock;
mod connections;
mod core;
mod directory;
mod disk;
mod event;
mod limits;
mod network;
mod node;
mod open;
mod opener;
mod peers;
mod post;
mod random;
mod signal;
mod up;

pub use clock::Clock;
pub use disk::{
    Completion, DirectoryLock, DirectoryNews, DirectoryStartError, DirectoryThread, DiskToken, Job,
    LockError, QUEUE_DEPTH, RealDisk, RealFile, Reopened, SubmitError,
};
pub use node::{Node, NodeError, Status, run, run_until_signal};
pub use signal::{Shutdown, Stop, Stopper};
pub use up::{FAST, UpError, UpOptions, cluster_settings, up};
