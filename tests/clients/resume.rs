//! What a member was given that joined anew on the way, against what was sent and what it had
//! committed.
//!
//! In: all that the member printed, records, assignments and acknowledged commits in their order.
//! Invariant: from each of its assignments on, a partition is read without a gap, from a place no
//! earlier than the last acknowledged commit and no later than what was read; so nothing that was
//! committed comes again, and nothing is left out. A commit whose answer got lost may count or not.

use std::collections::BTreeMap;

use libtest_mimic::{Failed, Trial};

use crate::compare::{Pair, by_partition, fields};
use crate::member::is_record;
use crate::text::Line;

/// How far a partition was read.
#[derive(Default)]
struct Progress<'a> {
    /// All that was sent to it.
    sent: Vec<Pair<'a>>,
    /// Read since the last assignment.
    run: Vec<Pair<'a>>,
    /// The commit that was the last to be acknowledged before that assignment.
    resumes_at: usize,
    committed: usize,
    /// The end of what was read before that assignment.
    read_to: usize,
}

/// Checks the member's `output` against the lines `sent`.
///
/// # Errors
/// The first run of records that should not have been read there, or what was never read.
pub(crate) fn compare_resumed(sent: &[Line], output: &[Vec<u8>]) -> Result<(), Failed> {
    let records = output.iter().filter(|line| is_record(line));
    let sent = by_partition(sent, records)?;
    let mut partitions = BTreeMap::new();
    for (partition, sent) in sent {
        let progress = Progress {
            sent,
            ..Progress::default()
        };
        partitions.insert(partition, progress);
    }
    for line in output {
        if line.starts_with(b"=\t") {
            for (partition, progress) in &mut partitions {
                progress.end_run(*partition)?;
            }
        } else if let Some((partition, offset)) = commit(line) {
            let progress = partitions
                .get_mut(&partition)
                .ok_or("a commit of nothing")?;
            progress.committed = offset;
        } else {
            let (partition, key, value) = fields(line)?;
            let progress = partitions
                .get_mut(&partition)
                .ok_or("a record of nothing")?;
            progress.run.push((key, value));
        }
    }
    for (partition, progress) in &mut partitions {
        progress.end_run(*partition)?;
        let (read, sent) = (progress.read_to, progress.sent.len());
        if read != sent {
            return Err(format!("partition {partition}: {sent} sent, read to {read}").into());
        }
    }
    Ok(())
}

impl Progress<'_> {
    /// Finds where the records since the last assignment begin, and counts them as read.
    fn end_run(&mut self, partition: i32) -> Result<(), Failed> {
        let run = std::mem::take(&mut self.run);
        let (earliest, latest) = (self.resumes_at, self.read_to);
        let is_here = |at: &usize| {
            self.sent
                .get(*at..)
                .is_some_and(|rest| rest.starts_with(&run))
        };
        let Some(at) = (earliest..=latest).find(is_here) else {
            let first = run.first().map(|line| line.1.escape_ascii().to_string());
            let count = run.len();
            return Err(format!(
                "partition {partition}: {count} records from {first:?} on begin at no offset from \
                 {earliest}, the last acknowledged commit, to {latest}, which was read"
            )
            .into());
        };
        self.read_to = latest.max(at + run.len());
        self.resumes_at = self.committed;
        Ok(())
    }
}

/// The partition and the offset of an acknowledged commit.
fn commit(line: &[u8]) -> Option<(i32, usize)> {
    let line = std::str::from_utf8(line.strip_prefix(b"+\t")?).ok()?;
    let (partition, offset) = line.split_once('\t')?;
    Some((partition.parse().ok()?, offset.parse().ok()?))
}

/// The test that the judge sees what it is for.
pub(crate) fn trial() -> Trial {
    let cases = [
        ("a b c", true),
        ("a = a b c", true),
        ("a +1 b = b c", true),
        ("a b +1 = b c", true),
        ("a b +2 = c", true),
        // The answer to the commit of b was lost.
        ("a +1 b = c", true),
        ("a b +2 = b c", false),
        ("a +1 = c", false),
        ("a c", false),
        ("a b b c", false),
        ("a b", false),
        ("a b +2 = = a b c", false),
    ];
    Trial::test(
        "a_resumed_member_repeats_only_what_it_did_not_commit",
        move || {
            let line = |value: &str| Line {
                key: "key".to_owned(),
                value: value.into(),
            };
            let sent: Vec<_> = ["a", "b", "c"].map(line).into();
            for (story, is_right) in cases {
                let printed = |word: &str| match word.split_at(1) {
                    ("=", _) => "=\t0".to_owned(),
                    ("+", offset) => format!("+\t0\t{offset}"),
                    _ => format!("0\tkey\t{word}"),
                };
                let words = story.split(' ');
                let output: Vec<_> = words.map(|word| printed(word).into_bytes()).collect();
                let judged = compare_resumed(&sent, &output);
                if judged.is_ok() != is_right {
                    return Err(format!("{story}: {judged:?}").into());
                }
            }
            Ok(())
        },
    )
}
