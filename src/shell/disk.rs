//! The real disk: files of the operating system, and the thread that owns one log directory.
//!
//! In: `DiskRequest`s with a token, from the core's thread. Out: completions with that token, one
//! for each request. Invariant: requests of a directory are executed in the order of submission,
//! save that a flush may go on while records are appended and read after it; no other process uses
//! the directory meanwhile. A stalled disk stalls its own threads only.

mod files;
mod lock;
mod space;
mod syncs;
mod thread;

pub use files::{RealDisk, RealFile};
pub use lock::{DirectoryLock, LockError};
pub use thread::{
    Completion, DirectoryNews, DirectoryStartError, DirectoryThread, DiskToken, Job, QUEUE_DEPTH,
    Reopened, SubmitError,
};
