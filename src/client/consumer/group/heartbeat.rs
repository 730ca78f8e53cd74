//! Heartbeats: on their own timer, so that a consumer that processes stays a member.
//!
//! In: the membership. Out: alarms for the next poll. A consumer that does not poll for
//! `max_poll_interval` leaves by itself: it is alive but does not work. A static member only stops
//! to beat, as in Java (KIP-345): its place is kept until its session expires.

use std::sync::Arc;

use kafka_protocol::messages::{GroupId, HeartbeatRequest};
use kafka_protocol::protocol::StrBytes;
use tokio::time::{Instant, sleep};

use crate::client::cluster::error_code;
use crate::client::consumer::group::GroupConfig;
use crate::client::consumer::group::coordinator::Coordinator;
use crate::client::consumer::group::join::leave;
use crate::client::consumer::group::state::{Alarm, Identity, Shared, alarm_of};
use crate::error::ErrorCode;

const HEARTBEAT_VERSION_MAX: i16 = 4;
/// How many heartbeats without an answer fit into a session.
const TRIES: u32 = 3;

/// Beats until it is aborted.
pub(super) async fn beat(coordinator: Arc<Coordinator>, shared: Arc<Shared>, config: GroupConfig) {
    loop {
        sleep(config.heartbeat_interval).await;
        let Some((identity, last_poll)) = shared.beating() else {
            continue;
        };
        if Instant::now().saturating_duration_since(last_poll) > config.max_poll_interval {
            tracing::warn!("no poll for max.poll.interval.ms: leaving the group");
            shared.raise(&identity, Alarm::Forgotten);
            if config.group_instance_id.is_none() {
                // Whether it is heard or not, the membership is over.
                let _ = leave(&coordinator, &config, &identity).await;
            }
            continue;
        }
        beat_once(&coordinator, &shared, &config, &identity).await;
    }
}

/// Asks the coordinator whether `identity` is still a member; alarms if not.
pub(super) async fn beat_once(
    coordinator: &Coordinator,
    shared: &Shared,
    config: &GroupConfig,
    identity: &Identity,
) {
    let request = HeartbeatRequest::default()
        .with_group_id(GroupId(StrBytes::from(config.group_id.clone())))
        .with_generation_id(identity.generation_id)
        .with_member_id(StrBytes::from(identity.member_id.clone()))
        .with_group_instance_id(config.group_instance_id.clone().map(StrBytes::from));
    // An answer that is lost must not cost the session.
    let limit = coordinator
        .request_timeout()
        .min(config.session_timeout / TRIES);
    let sent = Instant::now();
    match coordinator
        .call(&request, HEARTBEAT_VERSION_MAX, limit)
        .await
    {
        Ok(response) => {
            let code = error_code(response.error_code);
            coordinator.heed(code);
            if matches!(code, None | Some(ErrorCode::RebalanceInProgress)) {
                shared.confirm(sent);
            }
            if let Some(alarm) = code.and_then(alarm_of) {
                shared.raise(identity, alarm);
            }
        }
        Err(error) => tracing::debug!(%error, "no heartbeat"),
    }
}
