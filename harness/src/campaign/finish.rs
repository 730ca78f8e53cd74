//! Everything that a campaign directory shows beside its runs: written anew from them.
//!
//! In: what is stored. Out: `summary.md`, `junit.xml`, `index.html`, and the outcome.
//! Invariant: the files are a function of `campaign.json`, `runs.jsonl` and `replays.jsonl`, so
//! that a merged campaign has the same ones whatever order its shards came in; the page also names
//! its directory, and compares with the campaigns beside it.

use std::path::Path;

use crate::campaign::directory::{DirectoryError, Stored, replace};
use crate::campaign::outcome::{Outcome, outcome};
use crate::campaign::{junit, summary_md};
use crate::report;

/// Writes the files below `root`; what they say.
pub fn finish(root: &Path, stored: &Stored) -> Result<Outcome, DirectoryError> {
    let outcome = outcome(stored);
    replace(
        &root.join("summary.md"),
        &summary_md::text(stored, &outcome),
    )?;
    replace(&root.join("junit.xml"), &junit::text(stored, &outcome))?;
    report::campaign::write(root, None)?;
    Ok(outcome)
}
