//! This broker as a member of the metadata quorum: the performance of the quorum's effects.
//!
//! In: the quorum's effects, requests and answers of other members. Out: disk requests, messages,
//! the image, the controller's activity. Invariant: what the quorum was told to be durable is.

use std::time::Duration;

use kafka_protocol::messages::{ApiKey, RequestKind, ResponseKind};
use tracing::{debug, info};

use super::disk_events::DiskPurpose;
use super::effects::{Channel, Effect, PeerError, RequestId};
use super::peer_events::PeerPurpose;
use super::{Broker, metadata_log, quorum_wire};
use crate::id::BrokerId;
use crate::metadata::MetadataImage;
use crate::protocol::versions;
use crate::quorum::{self, Batch, Request};
use crate::storage::{DiskRequest, QuorumElection, SnapshotId, metadata_partition};
use crate::time::Now;

impl Broker {
    /// Performs what the quorum asks for. Whether it asked for anything.
    pub(super) fn perform_quorum_effects(&mut self, now: Now) -> bool {
        let effects = self.quorum.take_effects();
        let acted = !effects.is_empty();
        for effect in effects {
            self.perform_quorum_effect(now, effect);
        }
        acted
    }

    fn perform_quorum_effect(&mut self, now: Now, effect: quorum::Effect) {
        let log = metadata_partition();
        match effect {
            quorum::Effect::PersistState { token, state } => {
                let quorum::ElectionState { epoch, voted_for } = state;
                let election = QuorumElection { epoch, voted_for };
                self.quorum_disk(DiskRequest::WriteElection { election }, Some(token));
            }
            quorum::Effect::AppendLog { token, batches } => {
                let mut bytes = bytes::BytesMut::new();
                for batch in batches {
                    bytes.extend_from_slice(&metadata_log::to_record_batch(batch));
                }
                let batches = bytes.freeze();
                let append = DiskRequest::Append {
                    log: log.clone(),
                    batches,
                };
                self.disk(self.metadata_directory(), append, DiskPurpose::QuorumStep);
                self.quorum_disk(DiskRequest::Flush { log }, Some(token));
            }
            quorum::Effect::TruncateLog { token, to } => {
                self.quorum_disk(DiskRequest::Truncate { log, to }, Some(token));
            }
            quorum::Effect::SaveSnapshot { token, snapshot } => {
                let id = storage_id(snapshot.id);
                let to = snapshot.id.end_offset;
                let bytes = snapshot.bytes;
                self.quorum_disk(DiskRequest::WriteSnapshot { id, bytes }, Some(token));
                // Only a log that reaches the snapshot may lose what precedes it.
                if self.quorum.log_start().end_offset == to && self.quorum.log_end_offset() > to {
                    self.quorum_disk(DiskRequest::AdvanceLogStart { log, to }, None);
                }
            }
            quorum::Effect::RestartLog { token, at } => {
                let request = DiskRequest::RestartAt {
                    log,
                    offset: at.end_offset,
                };
                self.quorum_disk(request, Some(token));
            }
            quorum::Effect::Send {
                to,
                correlation,
                request,
            } => {
                self.send_quorum_request(to, correlation, &request);
            }
            quorum::Effect::Reply { reply_to, response } => {
                self.respond(reply_to, quorum_wire::encode_response(response));
            }
            quorum::Effect::LoadSnapshot { snapshot } => self.load_snapshot(now, &snapshot),
            quorum::Effect::Committed { batches, .. } => self.apply_committed(now, &batches),
            quorum::Effect::LeaderChanged { leader, epoch } => {
                info!(?leader, epoch, "metadata quorum has a new leader or epoch");
                self.lifecycle_leader_changed(now);
                self.forwards_leader_changed(now);
            }
            quorum::Effect::BecameLeader { epoch, .. } => {
                debug!(epoch, "leads the metadata quorum");
            }
            quorum::Effect::LostLeadership { .. } => self.deactivate_controller(),
            quorum::Effect::Halted { reason } => self.say_farewell(now, reason.to_string()),
        }
    }

    fn quorum_disk(&mut self, request: DiskRequest, token: Option<quorum::Token>) {
        let purpose = token.map_or(DiskPurpose::Step, DiskPurpose::Quorum);
        self.disk(self.metadata_directory(), request, purpose);
    }

    fn send_quorum_request(
        &mut self,
        to: BrokerId,
        correlation: quorum::Correlation,
        request: &Request,
    ) {
        let Some(endpoint) = self.voter_endpoint(to) else {
            return;
        };
        let (api, body) = quorum_wire::encode_request(request, &self.settings.cluster_id, to);
        let timeout = self.settings.millis("controller.quorum.request.timeout.ms");
        let (channel, timeout) = match request {
            Request::Fetch(fetch) => {
                let wait = Duration::from_millis(u64::from(fetch.max_wait_millis));
                (Channel::QuorumFetch, wait + timeout)
            }
            Request::FetchSnapshot(_) => (Channel::QuorumFetch, timeout),
            Request::Vote(_) | Request::BeginQuorumEpoch(_) | Request::EndQuorumEpoch(_) => {
                (Channel::Quorum, timeout)
            }
        };
        let purpose = PeerPurpose::Quorum { to, correlation };
        let message = (api, versions::newest(api), body);
        self.send((to, endpoint), channel, message, timeout, purpose);
    }

    /// A request of another member of the quorum.
    pub(super) fn handle_quorum_request(
        &mut self,
        now: Now,
        request: RequestId,
        api: ApiKey,
        body: RequestKind,
    ) {
        match quorum_wire::decode_request(body, &self.settings.cluster_id) {
            Ok(decoded) => self.quorum.handle_request(now, request, decoded),
            Err(error) => self.respond(request, quorum_wire::refusal(api, error)),
        }
    }

    pub(super) fn handle_quorum_answer(
        &mut self,
        now: Now,
        from: BrokerId,
        correlation: quorum::Correlation,
        result: Result<Box<ResponseKind>, PeerError>,
    ) {
        let decoded = match result {
            Ok(body) => quorum_wire::decode_response(*body).map_err(|error| format!("{error:?}")),
            Err(error) => Err(error.to_string()),
        };
        match decoded {
            Ok(response) => self
                .quorum
                .handle_response(now, from, correlation, response),
            Err(reason) => {
                debug!(%from, reason, "a quorum request failed");
                self.quorum.handle_request_failed(now, from, correlation);
            }
        }
    }

    fn load_snapshot(&mut self, now: Now, snapshot: &quorum::Snapshot) {
        let last_offset = snapshot.id.end_offset - 1;
        match MetadataImage::from_snapshot(&snapshot.bytes, last_offset) {
            Ok(image) => self.apply_image(now, image),
            Err(error) => {
                let reason = format!("the metadata snapshot at {last_offset} is damaged: {error}");
                self.effects.push(Effect::Halt { reason });
            }
        }
    }

    fn apply_committed(&mut self, now: Now, batches: &[Batch]) {
        let mut image = self.image.clone();
        for batch in batches {
            if let Err(reason) = apply_batch(&mut image, batch) {
                self.effects.push(Effect::Halt { reason });
                return;
            }
        }
        self.apply_image(now, image);
        self.release_answers(self.image.last_offset() + 1);
        self.maybe_snapshot(batches);
    }

    /// Takes a snapshot of the image once enough bytes of log have come since the last one.
    fn maybe_snapshot(&mut self, batches: &[Batch]) {
        let bytes: usize = batches.iter().map(Batch::size_bytes).sum();
        self.timers.metadata_bytes += bytes as u64;
        let limit = self
            .settings
            .long("metadata.log.max.record.bytes.between.snapshots");
        if self.timers.metadata_bytes < limit as u64 {
            return;
        }
        self.timers.metadata_bytes = 0;
        let end_offset = self.image.last_offset() + 1;
        let bytes = self.image.to_snapshot().into();
        match self.quorum.handle_snapshot_taken(end_offset, bytes) {
            Ok(id) => info!(?id, "metadata snapshot taken"),
            Err(error) => debug!(%error, "no metadata snapshot"),
        }
    }
}

fn apply_batch(image: &mut MetadataImage, batch: &Batch) -> Result<(), String> {
    let records = metadata_log::records_of(batch).map_err(|error| error.to_string())?;
    for (offset, record) in records {
        image
            .apply(&record, offset)
            .map_err(|error| error.to_string())?;
    }
    image.advance_to(batch.end_offset() - 1);
    Ok(())
}

fn storage_id(id: quorum::SnapshotId) -> SnapshotId {
    SnapshotId {
        end_offset: id.end_offset,
        epoch: id.epoch,
    }
}
