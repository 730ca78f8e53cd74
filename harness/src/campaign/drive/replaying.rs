//! The last part of a campaign: its findings are run again, to say how often each comes back.
//!
//! In: the records, and the rest of the budget. Out: lines of `replays.jsonl`, and a record for
//! each replay that broke something that its run had not.
//! Invariant: what a replay finds beside what it looks for is a finding like any other.
//! Source: reference/faults.md §4.5.

use std::pin::pin;

use sha2::{Digest, Sha256};

use super::{
    Arc, BTreeSet, DirectoryError, Driver, Duration, Ending, Execute, Interrupt, LOOK, Ran, Replay,
    RunRecord, Unit, conclude, interval,
};
use crate::campaign::replays::next;
use crate::campaign::signature::{Signature, is_same_failure, signatures};
use crate::campaign::unit::short;
use crate::plan::Plan;

impl<E: Execute> Driver<E> {
    /// Estimates with the rest of the budget how often each finding comes back.
    pub(super) async fn replay(&mut self, interrupt: &Interrupt) -> Result<(), DirectoryError> {
        let mut unreadable = BTreeSet::new();
        while let Some(subject) = next(&self.records, &self.replays, &unreadable) {
            let (record, signature) = (subject.record.clone(), subject.signature.clone());
            let number = subject.number;
            let length = Duration::from_millis(record.duration_ms);
            let budget = self.limits.budget;
            let has_time = budget.is_none_or(|budget| self.used() + length <= budget);
            if interrupt.has_come() || !has_time {
                break;
            }
            let Some(unit) = self.unit_of(&record) else {
                unreadable.insert(record.unit);
                continue;
            };
            let ran = self.run_again(unit.clone(), interrupt).await?;
            let found = match &ran.ending {
                Ending::Interrupted => break,
                Ending::Finished { summary, .. } => Some(signatures(summary)),
                Ending::MachineCannot { .. } | Ending::NoVerdict { .. } => None,
            };
            if has_others(found.as_deref(), &record.findings) {
                self.store_other(&unit, &signature, number, &ran)?;
            }
            let same = |found: &Vec<_>| is_same_failure(found, std::slice::from_ref(&signature));
            let replay = Replay {
                came_back: found.as_ref().map(same),
                signature: signature.id,
                unit: record.unit,
                number,
                started: ran.started,
                duration_ms: ran.duration_ms,
            };
            self.directory.append_replay(&replay)?;
            self.replays.push(replay);
            self.directory.drop_work(&place(&unit))?;
        }
        Ok(())
    }

    /// The unit of a run that was kept; nothing if its plan cannot be read.
    fn unit_of(&self, record: &RunRecord) -> Option<Unit> {
        let plan = self.directory.kept(&record.unit).join("plan.json");
        let plan = Plan::load(&plan).ok()?;
        let pack = record.pack.as_ref().and_then(|pack| pack.parse().ok());
        Some(Unit::new(record.kind, &record.name, pack, plan))
    }

    async fn run_again(
        &mut self,
        unit: Unit,
        interrupt: &Interrupt,
    ) -> Result<Ran, DirectoryError> {
        let name = place(&unit);
        let work = self.directory.work(&name)?;
        self.say_running(&name, &format!("replay of {}", unit.label()));
        let executor = Arc::clone(&self.executor);
        let mut run = pin!(executor.execute(Arc::new(unit), work, interrupt.clone()));
        let mut look = interval(LOOK);
        let ran = loop {
            tokio::select! {
                ran = &mut run => break ran,
                _ = look.tick() => self.progress(true),
            }
        };
        self.running.remove(&name);
        Ok(ran)
    }

    /// Stores a replay as a run of its own. Its id follows from what was replayed, so that it is
    /// there once though the campaign is killed before the line of the replay is.
    fn store_other(
        &mut self,
        unit: &Unit,
        signature: &Signature,
        number: u64,
        ran: &Ran,
    ) -> Result<(), DirectoryError> {
        let key = format!("replay\n{}\n{}\n{number}\n", unit.id, signature.id);
        let id = short(&Sha256::digest(key));
        if self.done.contains(&id) {
            return Ok(());
        }
        let label = format!("replay of {}", unit.label());
        let again = Unit { id, ..unit.clone() };
        let Some(mut record) = conclude::record(&again, ran, &self.binary) else {
            return Ok(());
        };
        record.sentence = format!("In a replay of {}: {}", unit.id, record.sentence);
        self.store(record, &label, ran)
    }
}

/// Whether a replay shows a failure that is none of those that its run had shown.
fn has_others(found: Option<&[Signature]>, known: &[Signature]) -> bool {
    let mut found = found.unwrap_or_default().iter();
    found.any(|signature| !is_same_failure(std::slice::from_ref(signature), known))
}

/// The name of its directory at work.
fn place(unit: &Unit) -> String {
    format!("replay-{}", unit.id)
}
