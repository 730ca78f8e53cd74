//! The coordinator of one group: which broker it is, and calls that follow it when it moves.
//!
//! In: requests about the group. Out: the coordinator's answers, or errors that tell a refusal from
//! an unknown outcome. Invariant: an attempt whose answer was lost, or that the coordinator could
//! not say was committed, leaves the outcome in doubt until a later answer is a success.
//! Only requests that may be repeated are sent here.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::time::{Instant, sleep};

use crate::client::cluster::{Cluster, error_code};
use crate::client::connection::CallError;
use crate::client::error::ClientError;
use crate::error::ErrorCode;
use crate::id::BrokerId;

/// The last version that asks for one group and names one broker.
const FIND_COORDINATOR_VERSION_MAX: i16 = 3;
/// How long one broker may take to say who the coordinator is before the next is asked.
const ATTEMPT_MAX: Duration = Duration::from_secs(1);
/// The pause before a question is asked again.
const RETRY_BACKOFF: Duration = Duration::from_millis(50);

/// What a client knows of a group's coordinator.
#[derive(Debug)]
pub(crate) struct Coordinator {
    group_id: String,
    known: Mutex<Option<BrokerId>>,
}

impl Coordinator {
    pub(crate) fn new(group_id: impl Into<String>) -> Self {
        Self {
            group_id: group_id.into(),
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Option<BrokerId>> {
        // A panic elsewhere cannot leave an id half-written.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The coordinator; asks until `deadline` if it is not known.
    pub(crate) async fn find(
        &self,
        cluster: &Cluster,
        deadline: Instant,
    ) -> Result<BrokerId, ClientError> {
        loop {
            let known = *self.known();
            if let Some(broker) = known {
                return Ok(broker);
            }
            let error = match self.ask_all(cluster, deadline).await {
                Ok(()) => continue,
                Err(error) if !error.is_retriable() => {
                    return Err(error);
                }
                Err(error) => error,
            };
            pause(deadline, error).await?;
            // The broker that coordinates may be one that this client has not heard of.
            let seen = cluster.generation();
            if let Err(error) = cluster.refresh(Some(&[]), seen, false).await {
                tracing::debug!(%error, "no metadata");
            }
        }
    }

    /// Asks one broker after another, until one names a coordinator that this client can reach.
    async fn ask_all(&self, cluster: &Cluster, deadline: Instant) -> Result<(), ClientError> {
        let mut last = ClientError::retriable("no broker is known");
        let brokers: Vec<_> = cluster.brokers().into_iter().map(|b| b.0).collect();
        for broker in &brokers {
            let left = deadline.saturating_duration_since(Instant::now());
            let request =
                FindCoordinatorRequest::default().with_key(StrBytes::from(self.group_id.clone()));
            let answer = cluster
                .call(
                    *broker,
                    &request,
                    FIND_COORDINATOR_VERSION_MAX,
                    left.min(ATTEMPT_MAX),
                )
                .await;
            let what = format!("find the coordinator of group {}", self.group_id);
            last = match answer {
                Ok(response) => match error_code(response.error_code) {
                    None if brokers.contains(&BrokerId(response.node_id.0)) => {
                        *self.known() = Some(BrokerId(response.node_id.0));
                        return Ok(());
                    }
                    None => ClientError::retriable(format!(
                        "{what}: it is broker {}, which metadata does not name yet",
                        response.node_id.0
                    )),
                    Some(code) => ClientError::from_code(code, what),
                },
                Err(error @ CallError::Unsupported { .. }) => ClientError::invalid(error),
                Err(error) => ClientError::retriable(format!("{what}: {error}")),
            };
        }
        Err(last)
    }

    /// Looks for the coordinator again, unless somebody has found another one than `broker`.
    pub(crate) fn forget(&self, broker: BrokerId) {
        let mut known = self.known();
        if *known == Some(broker) {
            *known = None;
        }
    }

    /// Takes note of an answer of `broker`; true if the same request should go to the coordinator
    /// again, because this broker is not it or is not ready.
    pub(crate) fn should_ask_again(&self, broker: BrokerId, code: Option<ErrorCode>) -> bool {
        match code {
            Some(ErrorCode::NotCoordinator | ErrorCode::CoordinatorNotAvailable) => {
                self.forget(broker);
                true
            }
            Some(ErrorCode::CoordinatorLoadInProgress) => true,
            _ => false,
        }
    }

    /// Calls the coordinator once, wherever it was last.
    pub(crate) async fn call<R: Request>(
        &self,
        cluster: &Cluster,
        broker: BrokerId,
        request: &R,
        version_max: i16,
        limit: Duration,
    ) -> Result<R::Response, CallError> {
        let answer = cluster.call(broker, request, version_max, limit).await;
        if answer.is_err() {
            self.forget(broker);
        }
        answer
    }

    /// Calls the coordinator until it answers with something else than that it is not the one or
    /// not ready. `code_of` is the error of the whole answer, or of its part about the group.
    ///
    /// # Errors
    /// `UnknownOutcome` if an attempt of a request that `changes` something is in doubt and none
    /// succeeded; else `Retriable` or `Invalid`.
    pub(crate) async fn call_until<R: Request>(
        &self,
        cluster: &Cluster,
        request: &Repeatable<'_, R>,
        code_of: impl Fn(&R::Response) -> Option<ErrorCode>,
    ) -> Result<Answered<R::Response>, ClientError> {
        let deadline = Instant::now() + cluster.request_timeout();
        let mut in_doubt = false;
        let doubted = |error: ClientError, in_doubt| {
            if in_doubt { error.in_doubt() } else { error }
        };
        loop {
            let broker = self.find(cluster, deadline).await;
            let broker = broker.map_err(|error| doubted(error, in_doubt))?;
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = self
                .call(cluster, broker, request.request, request.version_max, left)
                .await;
            let error = match answer {
                Ok(response) => match code_of(&response) {
                    None => {
                        return Ok(Answered {
                            response,
                            broker,
                            in_doubt,
                        });
                    }
                    Some(code) if self.should_ask_again(broker, Some(code)) => {
                        in_doubt |= request.changes && may_follow_an_append(code);
                        ClientError::from_code(code, request)
                    }
                    Some(code) => {
                        let error = ClientError::from_code(code, request);
                        return Err(doubted(error, in_doubt));
                    }
                },
                Err(error @ CallError::Unsupported { .. }) => {
                    return Err(ClientError::invalid(format!("{request}: {error}")));
                }
                Err(error) => {
                    in_doubt |= request.changes && !matches!(error, CallError::NotSent(_));
                    ClientError::retriable(format!("{request}: {error}"))
                }
            };
            let paused = pause(deadline, error).await;
            paused.map_err(|error| doubted(error, in_doubt))?;
        }
    }
}

/// The coordinator's answer.
#[derive(Debug)]
pub(crate) struct Answered<T> {
    pub(crate) response: T,
    /// The coordinator.
    pub(crate) broker: BrokerId,
    /// Whether an earlier attempt may have done what a refusal in this answer says was not done.
    pub(crate) in_doubt: bool,
}

/// A request that does the same when it is done twice.
#[derive(Debug)]
pub(crate) struct Repeatable<'a, R> {
    pub(crate) request: &'a R,
    pub(crate) version_max: i16,
    /// Whether it changes anything, so that a lost answer leaves doubt.
    pub(crate) changes: bool,
    /// What it does, for errors.
    pub(crate) what: String,
}

impl<R> fmt::Display for Repeatable<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}

/// Whether a coordinator also answers so after its append: when that was not replicated in time, or
/// when another broker was to lead before. One that loads appends nothing.
/// Source: `CoordinatorOperationExceptionHelper`.
fn may_follow_an_append(code: ErrorCode) -> bool {
    code != ErrorCode::CoordinatorLoadInProgress
}

/// Waits before the next attempt; fails with `last` if there is no time for one.
async fn pause(deadline: Instant, last: ClientError) -> Result<(), ClientError> {
    if Instant::now() + RETRY_BACKOFF >= deadline {
        return Err(last);
    }
    sleep(RETRY_BACKOFF).await;
    Ok(())
}
