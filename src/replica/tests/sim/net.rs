//! The network: messages that arrive late, out of order, twice, or not at all.
//!
//! A response reaches only the life of the process that asked: connections die with processes.

use crate::error::ErrorCode;
use crate::id::BrokerId;
use crate::offset::{BrokerEpoch, LeaderEpoch};
use crate::replica::tests::sim::Sim;
use crate::replica::tests::sim::oracle::Violation;
use crate::replica::{
    AlterPartitionAnswer, AlterPartitionRequest, AlterPartitionToken, FetchAnswer, FetchPosition,
    FetchedPartition, FollowerFetch, Isolation, LeaderOffsets, OffsetAnswer, OffsetAsker,
    OffsetQuery,
};

/// A message on its way.
#[derive(Clone)]
pub(super) struct Envelope {
    from: BrokerId,
    to: BrokerId,
    /// The life of the sender for a request, of the receiver for a response.
    life: BrokerEpoch,
    message: Message,
}

/// What travels. Messages to the controller go to the sender's own address.
#[derive(Clone)]
pub(super) enum Message {
    Fetch(FollowerFetch),
    Fetched(FetchPosition, FetchedPartition),
    AlterPartition {
        life: BrokerEpoch,
        request: AlterPartitionRequest,
    },
    AlterPartitionAnswered(AlterPartitionToken, Result<AlterPartitionAnswer, ErrorCode>),
    ListOffsets {
        leader_epoch: LeaderEpoch,
    },
    OffsetsListed(LeaderEpoch, Result<LeaderOffsets, ErrorCode>),
}

impl Sim {
    pub(super) fn send(&mut self, from: BrokerId, to: BrokerId, message: Message) {
        let life = self.nodes[&from].life;
        self.network.push(Envelope {
            from,
            to,
            life,
            message,
        });
    }

    fn answer(&mut self, request: &Envelope, message: Message) {
        let Envelope { from, to, life, .. } = *request;
        self.network.push(Envelope {
            from: to,
            to: from,
            life,
            message,
        });
    }

    pub(super) fn fetch(&mut self, id: BrokerId) -> Result<(), Violation> {
        let node = self.node(id);
        let next = node
            .replica
            .as_ref()
            .and_then(crate::replica::Replica::next_fetch);
        let Some(next) = next.filter(|_| !node.is_fetching) else {
            return Ok(());
        };
        node.is_fetching = true;
        let fetch = FollowerFetch {
            replica: id,
            broker_epoch: node.life,
            position: next.position,
        };
        self.send(id, next.leader, Message::Fetch(fetch));
        Ok(())
    }

    /// Delivers, loses or repeats a message, any of those under way.
    pub(super) fn network_step(&mut self) -> Result<(), Violation> {
        if self.network.is_empty() {
            return Ok(());
        }
        let which = self.dice.below(self.network.len() as u64) as usize;
        if self.dice.percent(2) {
            let again = self.network[which].clone();
            self.network.push(again);
            return Ok(());
        }
        if self.dice.percent(2) && !self.parked.is_empty() {
            let which = self.dice.below(self.parked.len() as u64) as usize;
            let late = self.parked.remove(which);
            return self.deliver(late);
        }
        let envelope = self.network.remove(which);
        if self.dice.percent(2) {
            // The asker gives up on it, and it arrives all the same, much later.
            self.parked.push(envelope.clone());
            return self.lost(&envelope);
        }
        let is_cut = self.cut.contains(&(envelope.from, envelope.to));
        if is_cut || self.dice.percent(4) {
            return self.lost(&envelope);
        }
        self.deliver(envelope)
    }

    /// The asker notices in the end: its connection times out.
    fn lost(&mut self, envelope: &Envelope) -> Result<(), Violation> {
        let lost = Err(ErrorCode::NetworkException);
        let (id, message) = match &envelope.message {
            Message::Fetch(fetch) => {
                let error = FetchedPartition::Error(ErrorCode::NetworkException);
                (envelope.from, Message::Fetched(fetch.position, error))
            }
            Message::Fetched(position, _) => {
                let error = FetchedPartition::Error(ErrorCode::NetworkException);
                (envelope.to, Message::Fetched(*position, error))
            }
            Message::AlterPartition { request, .. } => {
                let lost = Err(ErrorCode::NetworkException);
                (
                    envelope.from,
                    Message::AlterPartitionAnswered(request.token, lost),
                )
            }
            Message::AlterPartitionAnswered(token, _) => {
                let lost = Err(ErrorCode::NetworkException);
                (envelope.to, Message::AlterPartitionAnswered(*token, lost))
            }
            Message::ListOffsets { leader_epoch } => {
                (envelope.from, Message::OffsetsListed(*leader_epoch, lost))
            }
            Message::OffsetsListed(leader_epoch, _) => {
                (envelope.to, Message::OffsetsListed(*leader_epoch, lost))
            }
        };
        let life = envelope.life;
        self.deliver(Envelope {
            from: id,
            to: id,
            life,
            message,
        })
    }

    pub(super) fn deliver(&mut self, envelope: Envelope) -> Result<(), Violation> {
        match envelope.message.clone() {
            Message::Fetch(fetch) => self.serve_fetch(&envelope, &fetch),
            Message::ListOffsets { leader_epoch } => self.serve_offsets(&envelope, leader_epoch),
            Message::AlterPartition { life, request } => {
                let answer = self
                    .controller
                    .alter_partition(envelope.from, life, &request);
                self.answer(
                    &envelope,
                    Message::AlterPartitionAnswered(request.token, answer),
                );
                self.check()
            }
            _ if envelope.life != self.nodes[&envelope.to].life => Ok(()),
            Message::Fetched(position, answer) => {
                self.node(envelope.to).is_fetching = false;
                self.drive(envelope.to, |replica, now| {
                    replica.handle_fetch_response(now, &position, answer);
                })
            }
            Message::AlterPartitionAnswered(token, answer) => {
                self.drive(envelope.to, |replica, now| {
                    replica.handle_alter_partition_response(now, token, answer);
                })
            }
            Message::OffsetsListed(epoch, answer) => self.drive(envelope.to, |replica, now| {
                replica.handle_leader_offsets(now, epoch, answer);
            }),
        }
    }

    fn serve_fetch(&mut self, envelope: &Envelope, fetch: &FollowerFetch) -> Result<(), Violation> {
        if self.nodes[&envelope.to].replica.is_none() {
            return self.lost(envelope);
        }
        let mut answer = FetchAnswer::Error(ErrorCode::NetworkException);
        self.drive(envelope.to, |replica, now| {
            answer = replica.handle_follower_fetch(now, fetch);
            // What a consumer may see never reaches beyond what followers may.
            let seen = replica.consumer_fetch(&fetch.position, Isolation::ReadUncommitted);
            if let (FetchAnswer::Read { upper, .. }, FetchAnswer::Read { upper: visible, .. }) =
                (answer, seen)
            {
                assert!(
                    visible <= upper,
                    "consumers see {visible}, followers {upper}"
                );
            }
        })?;
        let count = 1 + self.dice.below(3) as usize;
        let fetched = match answer {
            FetchAnswer::Error(code) => FetchedPartition::Error(code),
            FetchAnswer::Diverging { end, .. } => FetchedPartition::Diverging(end),
            FetchAnswer::Read {
                start,
                upper,
                bounds,
            } => FetchedPartition::Records {
                batches: self.nodes[&envelope.to].disk.read(start, upper, count),
                high_watermark: bounds.high_watermark,
                log_start_offset: bounds.log_start_offset,
            },
        };
        self.answer(envelope, Message::Fetched(fetch.position, fetched));
        Ok(())
    }

    fn serve_offsets(&mut self, envelope: &Envelope, epoch: LeaderEpoch) -> Result<(), Violation> {
        let Some(replica) = &self.nodes[&envelope.to].replica else {
            return self.lost(envelope);
        };
        let ask = |query| match replica.list_offset(epoch, query, OffsetAsker::Replica) {
            OffsetAnswer::Found { offset, .. } => Ok(offset),
            OffsetAnswer::Error(code) => Err(code),
            OffsetAnswer::LookUp { .. } => Err(ErrorCode::InvalidRequest),
        };
        let answer = ask(OffsetQuery::Earliest).and_then(|log_start_offset| {
            let log_end_offset = ask(OffsetQuery::Latest)?;
            Ok(LeaderOffsets {
                log_start_offset,
                log_end_offset,
            })
        });
        self.answer(envelope, Message::OffsetsListed(epoch, answer));
        Ok(())
    }
}
