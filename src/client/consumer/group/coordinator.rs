//! The broker that coordinates a group: found, remembered, and forgotten when it fails.
//!
//! In: requests for the coordinator. Out: responses, or why there are none.
//! It has connections of its own, because a join that waits for others would hold up every fetch
//! behind it. Source: the Java client's `AbstractCoordinator`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::{Request, StrBytes};

use crate::client::cluster::{Cluster, error_code};
use crate::client::connection::CallError;
use crate::error::ErrorCode;
use crate::id::BrokerId;

const FIND_COORDINATOR_VERSION_MAX: i16 = 3;
/// How long one broker may take to say who coordinates before the next is asked.
const ATTEMPT_MAX: Duration = Duration::from_secs(1);

/// The coordinator of one group.
#[derive(Debug)]
pub(super) struct Coordinator {
    cluster: Cluster,
    group_id: String,
    known: Mutex<Option<BrokerId>>,
}

impl Coordinator {
    pub(super) fn new(cluster: Cluster, group_id: &str) -> Self {
        Self {
            cluster,
            group_id: group_id.to_owned(),
            known: Mutex::default(),
        }
    }

    /// How long a request may take that waits for nobody.
    pub(super) fn request_timeout(&self) -> Duration {
        self.cluster.request_timeout()
    }

    /// Calls the coordinator, finding it first if it is not known.
    pub(super) async fn call<R: Request>(
        &self,
        request: &R,
        version_max: i16,
        limit: Duration,
    ) -> Result<R::Response, CallError> {
        let id = self.find().await?;
        let response = self.cluster.call(id, request, version_max, limit).await;
        if response.is_err() {
            self.forget(id);
        }
        response
    }

    /// Looks at the error of a response: a broker that does not coordinate any more is forgotten.
    pub(super) fn heed(&self, code: Option<ErrorCode>) {
        let moved = [
            ErrorCode::NotCoordinator,
            ErrorCode::CoordinatorNotAvailable,
        ];
        if code.is_some_and(|code| moved.contains(&code)) {
            *self.known() = None;
        }
    }

    fn forget(&self, id: BrokerId) {
        self.known().take_if(|known| *known == id);
    }

    async fn find(&self) -> Result<BrokerId, CallError> {
        if let Some(id) = *self.known() {
            return Ok(id);
        }
        let seen = self.cluster.generation();
        // Also to learn the addresses; any broker answers, in turn.
        let refreshed = self.cluster.refresh(Some(&[]), seen, false).await;
        refreshed.map_err(|error| CallError::NotSent(error.to_string()))?;
        let request = FindCoordinatorRequest::default()
            .with_key(StrBytes::from(self.group_id.clone()))
            .with_key_type(0);
        let mut reason = "no broker is known".to_owned();
        let limit = self.cluster.request_timeout().min(ATTEMPT_MAX);
        for (id, _, _) in self.cluster.brokers() {
            let asked = self
                .cluster
                .call(id, &request, FIND_COORDINATOR_VERSION_MAX, limit);
            match asked.await {
                Ok(response) => match error_code(response.error_code) {
                    None => {
                        let id = BrokerId(response.node_id.0);
                        *self.known() = Some(id);
                        return Ok(id);
                    }
                    Some(code) => reason = format!("broker {id} says {code}"),
                },
                Err(error) => reason = format!("broker {id}: {error}"),
            }
        }
        Err(CallError::NotSent(format!(
            "no coordinator of group {} is found: {reason}",
            self.group_id
        )))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<BrokerId>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
