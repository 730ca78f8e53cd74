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
use crate::campaign::adopt::{ReplayOf, replay_name};
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
            let replay_of = ReplayOf {
                unit: record.unit,
                signature: signature.id,
                number,
            };
            let ran = self.run_again(unit.clone(), &replay_of, interrupt).await?;
            if matches!(ran.ending, Ending::Interrupted) {
                break;
            }
            self.end_replay(&unit, &replay_of, &ran)?;
        }
        Ok(())
    }

    /// Stores what a replay came to; one of a sitting that was killed may be stored already.
    pub(super) fn end_replay(
        &mut self,
        unit: &Unit,
        replay_of: &ReplayOf,
        ran: &Ran,
    ) -> Result<(), DirectoryError> {
        let ReplayOf {
            unit: of,
            signature: id,
            number,
        } = replay_of;
        let is_stored = |known: &Replay| known.signature == *id && known.number == *number;
        let mut records = self.records.iter();
        let record = records.find(|record| record.unit == *of);
        let known = record.map(|record| record.findings.clone());
        let known = known.unwrap_or_default();
        let wanted = known.iter().find(|signature| signature.id == *id).cloned();
        let (Some(wanted), false) = (wanted, self.replays.iter().any(is_stored)) else {
            return self.directory.drop_work(&replay_name(unit));
        };
        let found = match &ran.ending {
            Ending::Finished { summary, .. } => Some(signatures(summary)),
            _ => None,
        };
        let others = others(found.as_deref().unwrap_or_default(), &known);
        if !others.is_empty() {
            self.store_other(unit, replay_of, &others, ran)?;
        }
        let same = |found: &Vec<_>| is_same_failure(found, std::slice::from_ref(&wanted));
        let replay = Replay {
            signature: id.clone(),
            unit: of.clone(),
            number: *number,
            started: ran.started.clone(),
            duration_ms: ran.duration_ms,
            came_back: found.as_ref().map(same),
        };
        self.directory.append_replay(&replay)?;
        self.replays.push(replay);
        self.directory.drop_work(&replay_name(unit))
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
        replay_of: &ReplayOf,
        interrupt: &Interrupt,
    ) -> Result<Ran, DirectoryError> {
        let name = replay_name(&unit);
        let work = self.directory.work(&name)?;
        self.say_begun(&work, &unit, Some(replay_of))?;
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

    /// Stores a replay as a run of its own, which says nothing of cells: it was chosen because its
    /// plan fails. Its id follows from what was replayed and what it found, so that it is there
    /// once though the campaign is killed before the line of the replay is.
    fn store_other(
        &mut self,
        unit: &Unit,
        replay_of: &ReplayOf,
        others: &[&Signature],
        ran: &Ran,
    ) -> Result<(), DirectoryError> {
        let ReplayOf {
            unit: of,
            signature,
            number,
        } = replay_of;
        let others: Vec<&str> = others.iter().map(|other| other.id.as_str()).collect();
        let key = format!(
            "replay\n{of}\n{signature}\n{number}\n{}\n",
            others.join(" ")
        );
        let id = short(&Sha256::digest(key));
        if self.done.contains(&id) {
            return Ok(());
        }
        let label = format!("replay of {}", unit.label());
        let again = Unit { id, ..unit.clone() };
        let Some(mut record) = conclude::record(&again, ran, &self.binary) else {
            return Ok(());
        };
        record.sentence = format!("In a replay of {of}: {}", record.sentence);
        record.replay_of = Some(of.clone());
        record.cells.clear();
        self.store(record, &label, ran)
    }
}

/// What a replay shows that is none of the failures that its run had shown.
fn others<'a>(found: &'a [Signature], known: &[Signature]) -> Vec<&'a Signature> {
    let found = found.iter();
    found
        .filter(|signature| !is_same_failure(std::slice::from_ref(*signature), known))
        .collect()
}
