//! The real disk: files of the operating system, and the thread that owns one log directory.
//!
//! In: `DiskRequest`s with a token, from the core's thread. Out: completions with that token, one
//! for each request. Invariant: requests of a directory are executed in the order of submission;
//! no other process uses the directory meanwhile. A stalled disk stalls its own thread only.

mod files;
mod group_commit;
mod lock;
mod space;
mod thread;

pub use files::{RealDisk, RealFile};
pub use lock::{DirectoryLock, LockError};
pub use thread::{
    Completion, DirectoryNews, DirectoryStartError, DirectoryThread, DiskToken, QUEUE_DEPTH,
    Reopened, SubmitError,
};
