//! The end: the group works off what is left, and fresh readers read everything.

use std::collections::BTreeMap;

use checkers::history::{
    Action, Bound, FaultClass, GROUP_DRAIN, ListOffset, NemesisEvent, OpType, Phase, Poll, Position,
};

use super::{Step, World};

impl World {
    /// No more sends, no more faults: until everything is committed; then the final reads.
    pub(super) fn drain(&mut self) {
        let drain = || Action::Admin(GROUP_DRAIN.into());
        if self.plan.stale {
            let event = NemesisEvent {
                fault: "pause".to_owned(),
                class: FaultClass::Pause,
                phase: Phase::Heal,
                target: "n1".into(),
                detail: serde_json::Value::Null,
            };
            let healed = Action::Nemesis(Box::new(event));
            self.event(2, OpType::Info, healed, None);
            self.plan.stale = false;
        }
        self.event(1, OpType::Invoke, drain(), None);
        self.plan.doubtful = 0;
        self.members
            .iter_mut()
            .for_each(|member| member.is_frozen = false);
        let mut rounds = 0;
        while !self.is_drained() && rounds < 400_000 {
            self.step(false);
            rounds += 1;
            // What was committed by the loop's last poll needs another one; async ones may be
            // overtaken, and then nobody commits again: somebody sends.
            if rounds % 20_000 == 0 {
                (0..self.plan.partitions).for_each(|_| self.send());
            }
        }
        let done = self.is_drained();
        self.event(
            1,
            if done { OpType::Ok } else { OpType::Info },
            drain(),
            None,
        );
        self.ask();
        for partition in 0..self.plan.partitions {
            self.read(partition);
        }
    }

    pub(super) fn is_drained(&self) -> bool {
        let logs = self.logs.iter().enumerate();
        let mut logs = logs.filter(|(_, log)| !log.is_empty());
        let committed = |p: usize| self.coordinator.committed.get(&p).copied().unwrap_or(0);
        let living = self.members.iter().filter(|member| !member.is_gone);
        logs.all(|(p, log)| committed(p) >= log.len() as i64)
            && living.into_iter().all(|m| {
                let busy = |s: &Step| matches!(s, Step::Process(..) | Step::Processed(..));
                !m.tasks.iter().any(busy) && !m.steps.iter().any(busy)
            })
    }

    pub(super) fn read(&mut self, partition: usize) {
        let (process, key) = (self.process(), Self::key(partition));
        let length = self.logs[partition].len() as i64;
        let end = |offset| {
            let (bound, key) = (Bound::End, key.clone());
            Action::ListOffsets(vec![ListOffset { bound, key, offset }])
        };
        let seek = || Action::Seek(BTreeMap::from([(key.clone(), Position::Beginning)]));
        let found = if length > 0 {
            self.records(partition, 0..length)
        } else {
            BTreeMap::new()
        };
        for (asked, answer) in [
            (end(None), end(Some(length))),
            (
                Action::Assign(vec![key.clone()]),
                Action::Assign(vec![key.clone()]),
            ),
            (seek(), seek()),
            (
                Action::Poll(Poll::default()),
                Action::Poll(Poll { records: found }),
            ),
        ] {
            self.event(process, OpType::Invoke, asked, None);
            self.event(process, OpType::Ok, answer, None);
        }
    }
}
