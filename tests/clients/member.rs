//! A member of a group: a foreign client's process, and what it says of partitions and records.
//!
//! Scripts print `= TAB 0,2` to stdout whenever their partitions change, and may print
//! `+ TAB partition TAB offset` when a commit was acknowledged; kcat writes a line such as
//! `% Group g rebalanced (memberid m): assigned: topic [0], topic [2]` to stderr.

use std::collections::BTreeSet;

use libtest_mimic::Failed;

use crate::cluster::Cluster;
use crate::foreign::Client;
use crate::process::Process;

/// A member that runs.
pub(crate) struct Member {
    /// Its `client.id`.
    pub(crate) name: String,
    process: Process,
    /// How many of its records were taken.
    taken: usize,
}

impl Member {
    /// Starts `client` as the member `name` of `group`.
    pub(crate) fn start(
        client: &Client,
        cluster: &Cluster,
        topic: &str,
        group: &str,
        name: &str,
    ) -> Result<Self, Failed> {
        let command = client.member(&cluster.bootstrap(), topic, group, name);
        Ok(Self {
            name: name.to_owned(),
            process: Process::start(name, command)?,
            taken: 0,
        })
    }

    /// Checks that it has not ended.
    pub(crate) fn check_running(&mut self) -> Result<(), Failed> {
        self.process.check_running()
    }

    /// The partitions it has, by its own last word; it must be running.
    pub(crate) fn owned(&mut self) -> Result<BTreeSet<i32>, Failed> {
        self.check_running()?;
        let output = self.process.output();
        let of_script = output.iter().rev().find_map(|line| of_script(line));
        let complaints = self.process.complaints();
        let of_kcat = || complaints.iter().rev().find_map(|line| of_kcat(line));
        Ok(of_script.or_else(of_kcat).unwrap_or_default())
    }

    /// The records it was given so far and that were not taken.
    pub(crate) fn records(&self) -> Vec<Vec<u8>> {
        records(&self.process.output(), self.taken)
    }

    /// Takes these records.
    pub(crate) fn take_records(&mut self) -> Vec<Vec<u8>> {
        let records = self.records();
        self.taken += records.len();
        records
    }

    /// Has it commit, leave and end; the records that were not taken.
    pub(crate) async fn close(self) -> Result<Vec<Vec<u8>>, Failed> {
        let taken = self.taken;
        Ok(records(&self.close_and_tell().await?, taken))
    }

    /// Has it commit, leave and end; all that it ever printed.
    pub(crate) async fn close_and_tell(self) -> Result<Vec<Vec<u8>>, Failed> {
        self.process.terminate()?;
        self.process.finish().await
    }
}

/// The records in `output` after the first `taken`.
fn records(output: &[Vec<u8>], taken: usize) -> Vec<Vec<u8>> {
    let records = output.iter().filter(|line| is_record(line));
    records.skip(taken).cloned().collect()
}

/// Whether the line is a record, and no report of a script.
pub(crate) fn is_record(line: &[u8]) -> bool {
    !line.starts_with(b"=\t") && !line.starts_with(b"+\t")
}

/// The partitions of a script's report.
fn of_script(line: &[u8]) -> Option<BTreeSet<i32>> {
    let list = std::str::from_utf8(line.strip_prefix(b"=\t")?).ok()?;
    Some(list.split(',').filter_map(|one| one.parse().ok()).collect())
}

/// The partitions of kcat's report.
fn of_kcat(line: &[u8]) -> Option<BTreeSet<i32>> {
    let line = std::str::from_utf8(line).ok()?;
    let (_, change) = line.strip_prefix("% Group ")?.split_once("): ")?;
    let assigned = change.strip_prefix("assigned:").unwrap_or_default();
    let numbers = assigned.split('[').skip(1);
    let numbers = numbers.filter_map(|rest| rest.split(']').next()?.parse().ok());
    Some(numbers.collect())
}
