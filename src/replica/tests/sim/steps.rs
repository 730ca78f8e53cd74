//! What may happen in one step of the simulated cluster.

use std::time::Duration;

use crate::id::BrokerId;
use crate::offset::{NO_PRODUCER_ID, Offset};
use crate::replica::tests::sim::controller::Snapshot;
use crate::replica::tests::sim::disk::DiskEvent;
use crate::replica::tests::sim::oracle::Violation;
use crate::replica::tests::sim::producer::new_batch;
use crate::replica::tests::sim::{BROKERS, Node, RETAINED_BATCHES, Sim};
use crate::replica::{Acks, ProduceRequest, ProduceToken, RoleName};

impl Sim {
    pub(super) fn random_step(&mut self) -> Result<(), Violation> {
        let id = self.dice.pick(&BROKERS).unwrap();
        match self.dice.below(1_000) {
            0..200 => self.produce(id),
            200..420 => self.disk_step(id),
            420..600 => self.fetch(id),
            600..850 => self.network_step(),
            850..920 => self.replay(id),
            920..960 => self.pass_time(),
            960..966 => self.fence_or_unfence(id),
            966..968 => self.elect(id),
            968..970 => {
                self.crash(id);
                Ok(())
            }
            970..982 => {
                self.restart(id);
                Ok(())
            }
            982..985 => {
                self.toggle_cut(id);
                Ok(())
            }
            985..990 => self.retain(id),
            990..993 => {
                let is_full = self.dice.percent(50);
                self.node(id).disk.is_full = is_full;
                Ok(())
            }
            _ => {
                self.checkpoint(id);
                Ok(())
            }
        }
    }

    pub(super) fn produce(&mut self, id: BrokerId) -> Result<(), Violation> {
        self.next_token += 1;
        let token = ProduceToken(self.next_token);
        let is_leader = |node: &Node| {
            node.replica
                .as_ref()
                .is_some_and(|replica| replica.role() == RoleName::Leader)
        };
        if !is_leader(&self.nodes[&id]) {
            return Ok(());
        }
        let (payload_id, count) = (self.next_payload, 1 + self.dice.below(3) as i32);
        self.next_payload += 1;
        let (acks, batch) = if self.dice.percent(20) {
            let acks = self.dice.pick(&[Acks::Zero, Acks::One, Acks::All]).unwrap();
            self.anonymous
                .insert(token, (payload_id, acks == Acks::All));
            (acks, Some(new_batch(payload_id, NO_PRODUCER_ID, -1, count)))
        } else {
            let which = self.dice.below(self.producers.len() as u64) as usize;
            let batch = self.producers[which].next_send(id, token, Some(payload_id), count);
            (Acks::All, batch)
        };
        let Some(batch) = batch else { return Ok(()) };
        let deadline = self.now + Duration::from_secs(2);
        let request = ProduceRequest {
            token,
            deadline,
            acks,
            batch,
        };
        self.drive(id, |replica, now| replica.handle_produce(now, request))
    }

    pub(super) fn disk_step(&mut self, id: BrokerId) -> Result<(), Violation> {
        let mut removed = Vec::new();
        let node = self.node(id);
        if node.replica.is_none() {
            return Ok(());
        }
        let Some(event) = node.disk.step(&mut removed) else {
            return Ok(());
        };
        self.oracle.truncated(id, &removed)?;
        if matches!(event, DiskEvent::Refused) {
            *self.seen.entry("append without space").or_default() += 1;
        }
        self.drive(id, |replica, now| match event {
            DiskEvent::Appended(upto) => replica.handle_append_completed(now, upto),
            DiskEvent::Flushed(upto) => replica.handle_flushed(now, upto),
            DiskEvent::Truncated(state) => replica.handle_truncated(now, state),
            DiskEvent::Refused => replica.handle_append_refused(now),
        })
    }

    /// Replays one version of the metadata, or all there are at once: a broker that was away sees
    /// only the last of several elections.
    pub(super) fn replay(&mut self, id: BrokerId) -> Result<(), Violation> {
        let skips = self.dice.percent(15);
        let node = &self.nodes[&id];
        let newest = self.controller.history.len() - 1;
        if node.replayed == newest {
            return self.first_replay(id);
        }
        if node.replica.is_none() {
            return Ok(());
        }
        let next = if skips { newest } else { node.replayed + 1 };
        let snapshot = self.controller.history[next].clone();
        self.node(id).replayed = next;
        self.apply(id, &snapshot)
    }

    pub(super) fn first_replay(&mut self, id: BrokerId) -> Result<(), Violation> {
        let node = &self.nodes[&id];
        let is_new = node
            .replica
            .as_ref()
            .is_some_and(|it| it.role() == RoleName::Unassigned);
        if !is_new {
            return Ok(());
        }
        let snapshot = self.controller.history[node.replayed].clone();
        self.apply(id, &snapshot)
    }

    pub(super) fn apply(&mut self, id: BrokerId, snapshot: &Snapshot) -> Result<(), Violation> {
        self.drive(id, |replica, now| {
            replica.handle_registration(now, &snapshot.registration, &snapshot.eligible);
            replica.handle_eligible_brokers(now, &snapshot.eligible);
        })
    }

    pub(super) fn pass_time(&mut self) -> Result<(), Violation> {
        self.now = self.now + Duration::from_millis(self.dice.below(400));
        for id in BROKERS {
            self.drive(id, crate::replica::Replica::handle_timeout)?;
        }
        Ok(())
    }

    pub(super) fn fence_or_unfence(&mut self, id: BrokerId) -> Result<(), Violation> {
        let node = &self.nodes[&id];
        let is_alive = node.replica.is_some() && node.replayed >= node.registered_at;
        if self.controller.is_fenced(id) {
            if is_alive {
                self.controller.unfence(id);
            }
        } else if node.replica.is_none() || self.dice.percent(25) {
            self.controller.fence(id);
        }
        self.check()
    }

    pub(super) fn elect(&mut self, id: BrokerId) -> Result<(), Violation> {
        self.controller.elect(id);
        self.check()
    }

    pub(super) fn crash(&mut self, id: BrokerId) {
        let node = self.node(id);
        node.replica = None;
        node.disk.crash();
        for producer in &mut self.producers {
            producer.disconnected(id);
        }
    }

    /// A crash of the machine may take what was not flushed, where that is legal: everywhere if
    /// acknowledgements are durable, else only on a replica that the controller does not count on.
    pub(super) fn restart(&mut self, id: BrokerId) {
        if self.nodes[&id].replica.is_some() {
            return;
        }
        let is_durable = self.settings.flush_messages == 1;
        let is_counted_on = self.controller.partition.isr.contains(&id);
        let (life, registered_at) = self.controller.register(id);
        let (cut_short, chance) = (self.dice.percent(50), self.dice.below(1_000));
        let node = self.node(id);
        if cut_short && is_durable {
            let survives = node.disk.flushed_offset;
            node.disk.lose_tail(survives);
        } else if cut_short && !is_counted_on {
            let span = (node.disk.end() - node.disk.log_start_offset) as u64;
            node.disk
                .lose_tail(node.disk.log_start_offset + (span * chance / 1_000) as Offset);
        }
        (node.life, node.registered_at, node.replayed) = (life, registered_at, registered_at);
        self.boot(id);
        let effects = self.node(id).replica.as_mut().unwrap().take_effects();
        self.perform(id, effects);
    }

    pub(super) fn toggle_cut(&mut self, id: BrokerId) {
        let other = self.dice.pick(&BROKERS).unwrap();
        if !self.cut.remove(&(id, other)) {
            self.cut.insert((id, other));
        }
        if self.dice.percent(50) {
            self.cut.clear();
        }
    }

    /// Retention on a leader: a whole batch below the high watermark goes.
    pub(super) fn retain(&mut self, id: BrokerId) -> Result<(), Violation> {
        let node = &self.nodes[&id];
        let Some(replica) = &node.replica else {
            return Ok(());
        };
        let spare = node.disk.batches.len().saturating_sub(RETAINED_BATCHES);
        let visible = node.disk.read(0, replica.high_watermark(), spare);
        let Some(offset) = visible.last().map(|batch| batch.summary.next_offset()) else {
            return Ok(());
        };
        if replica.role() != RoleName::Leader {
            return Ok(());
        }
        self.drive(id, |replica, now| {
            replica.handle_log_start_advanced(now, offset);
        })
    }

    pub(super) fn checkpoint(&mut self, id: BrokerId) {
        let node = self.node(id);
        if let Some(replica) = &node.replica {
            node.disk.high_watermark_checkpoint = replica.high_watermark();
        }
    }
}
