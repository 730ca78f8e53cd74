//! Which operations a broker misses when they are gone.
//!
//! In: operations with what each changed. Out: whether it matters that one is lost.
//! Invariant: what is not known to be about files that a broker makes anew, or does without, is
//! missed. Source: `log-format.md` (indexes are never synced) and `durability.md`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::operation::{NameChange, Step};

/// What is appended to the name of a file that is not yet what it will be.
const TEMPORARY: &str = ".tmp";
/// Tells how far logs were flushed; without it the recovery points do.
const NOTE: &str = "flushed-offset-note";

/// For each of `steps`, which changed `paths`, whether a broker misses it.
pub(super) fn are_missed(steps: &[Step], paths: &[Option<PathBuf>]) -> Vec<bool> {
    let mut names: BTreeMap<u64, Vec<&Path>> = BTreeMap::new();
    for (step, path) in steps.iter().zip(paths) {
        let (Step::Name(change), Some(path)) = (step, path) else {
            continue;
        };
        // A file that was replaced has no name left but this one.
        let named = match change {
            NameChange::Create { inode, .. } | NameChange::Rename { inode, .. } => Some(*inode),
            NameChange::Remove { .. } | NameChange::Exchange { .. } => None,
        };
        for inode in named
            .into_iter()
            .chain(change.gone().map(|gone| gone.inode))
        {
            names.entry(inode).or_default().push(path);
        }
    }
    let is_missed = |(step, path): (&Step, &Option<PathBuf>)| match (step, path) {
        // Which of the two it is about is not told by one path.
        (Step::Name(NameChange::Exchange { .. }), _) | (Step::Name(_), None) => true,
        (_, Some(path)) => !is_spare(path),
        (Step::Write { inode, .. } | Step::SetLength { inode, .. }, None) => {
            let names = names.get(inode);
            names.is_none_or(|names| !names.iter().all(|name| is_spare(name)))
        }
    };
    steps.iter().zip(paths).map(is_missed).collect()
}

/// Whether nobody misses the file: it is made anew by a scan, or done without.
fn is_spare(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let name = name.strip_suffix(TEMPORARY).unwrap_or(name);
    let extension = Path::new(name).extension().and_then(OsStr::to_str);
    name == NOTE || matches!(extension, Some("index" | "timeindex"))
}
