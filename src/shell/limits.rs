//! The process's limit of open files, raised as far as it goes.
//!
//! Every partition keeps a file open, and a directory whose file cannot be opened is offline: the
//! usual soft limit of 1024 would end a node at its thousandth partition.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// Raises the soft limit to the hard one. Too low a limit shows later, with the name of the file
/// that could not be opened.
pub(super) fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!(%error, "cannot raise the limit of open files");
    }
}
