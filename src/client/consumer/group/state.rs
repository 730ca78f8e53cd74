//! What the consumer, its heartbeats and its commits share of a membership.
//!
//! Invariants: an alarm raised for one generation never strikes a later one, and that a generation
//! is over is no alarm while its successor is being joined; a membership of which the coordinator
//! has said nothing for the session timeout is in doubt until it says something.
//! Source: Java's `OffsetCommitResponseHandler`, `HeartbeatResponseHandler`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::ErrorCode;

/// The generation of who is no member.
pub(super) const NO_GENERATION: i32 = -1;

/// Why the consumer has to act at its next poll, from mild to grave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// The group rebalances: join again.
    Rejoin,
    /// The generation is over: what is owned may be another's.
    Lost,
    /// The coordinator does not know the member any more.
    Forgotten,
    /// Another instance has taken this one's place.
    Fenced,
}

/// The alarm that an error of heartbeat, commit, join or sync means.
pub(super) fn alarm_of(code: ErrorCode) -> Option<Alarm> {
    match code {
        ErrorCode::RebalanceInProgress => Some(Alarm::Rejoin),
        ErrorCode::IllegalGeneration => Some(Alarm::Lost),
        ErrorCode::UnknownMemberId => Some(Alarm::Forgotten),
        ErrorCode::FencedInstanceId => Some(Alarm::Fenced),
        _ => None,
    }
}

/// Who the member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) member_id: String,
    /// `NO_GENERATION` while it is no member.
    pub(super) generation_id: i32,
}

#[derive(Debug)]
struct State {
    identity: Identity,
    /// The last id under which it was given an assignment: every coordinator knows that one.
    stored: Option<String>,
    alarm: Option<Alarm>,
    joining: Joining,
    /// It reads as a member, or will at its next poll; else it may commit without being one.
    is_subscribed: bool,
    last_poll: Instant,
    /// When the last request was sent that the coordinator took for a member's.
    confirmed: Instant,
}

/// How far a join is.
#[derive(Debug)]
enum Joining {
    No,
    /// The coordinator knows that it joins: no heartbeats.
    Asked,
    /// It is a member of this generation, which the consumer learns at its next poll.
    Done(Identity, Option<Alarm>),
}

/// Shared by the tasks of one consumer.
#[derive(Debug)]
pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            identity: Identity {
                member_id: String::new(),
                generation_id: NO_GENERATION,
            },
            stored: None,
            alarm: None,
            joining: Joining::No,
            is_subscribed: false,
            last_poll: Instant::now(),
            confirmed: Instant::now(),
        }))
    }

    pub(super) fn identity(&self) -> Identity {
        self.state().identity.clone()
    }

    /// The member whose heart beats: none while it joins, is no member, or has lost its membership.
    pub(super) fn beating(&self) -> Option<(Identity, Instant)> {
        let state = self.state();
        let (identity, alarm) = match &state.joining {
            Joining::No => (&state.identity, state.alarm),
            Joining::Asked => return None,
            Joining::Done(identity, alarm) => (identity, *alarm),
        };
        let is_member = identity.generation_id != NO_GENERATION && alarm < Some(Alarm::Lost);
        is_member.then(|| (identity.clone(), state.last_poll))
    }

    /// The coordinator has answered what was sent at `sent` as one answers a member.
    pub(super) fn confirm(&self, sent: Instant) {
        let mut state = self.state();
        state.confirmed = state.confirmed.max(sent);
    }

    /// Whether the session may have expired: the consumer was frozen or cut off for so long.
    pub(super) fn is_in_doubt(&self, now: Instant, session_timeout: Duration) -> bool {
        let state = self.state();
        state.identity.generation_id != NO_GENERATION
            && now.saturating_duration_since(state.confirmed) > session_timeout
    }

    pub(super) fn note_poll(&self) {
        self.state().last_poll = Instant::now();
    }

    /// Raises `alarm` for `identity`; nothing if it is another one by now. The gravest stands.
    pub(super) fn raise(&self, identity: &Identity, alarm: Alarm) {
        let mut state = self.state();
        // Whether it has a place in the next generation says the join, and nothing before it.
        let is_succeeded = alarm == Alarm::Lost && !matches!(state.joining, Joining::No);
        if state.identity == *identity && !is_succeeded {
            state.alarm = state.alarm.max(Some(alarm));
        }
        if let Joining::Done(next, for_next) = &mut state.joining
            && next == identity
        {
            *for_next = (*for_next).max(Some(alarm));
        }
    }

    pub(super) fn alarm(&self) -> Option<Alarm> {
        self.state().alarm
    }

    /// The coordinator has chosen a member id.
    pub(super) fn set_member_id(&self, member_id: String) {
        self.state().identity.member_id = member_id;
    }

    /// A join is on its way: no heartbeats until it has ended.
    pub(super) fn begin_join(&self) {
        self.state().joining = Joining::Asked;
    }

    /// The coordinator has made it a member: its heart beats, whenever the next poll is.
    pub(super) fn end_join(&self, identity: Identity) {
        let mut state = self.state();
        state.stored = Some(identity.member_id.clone());
        state.joining = Joining::Done(identity, None);
    }

    /// Whether `member_id` was given an assignment; else it was told, and may be stored nowhere.
    pub(super) fn is_stored(&self, member_id: &str) -> bool {
        self.state().stored.as_deref() == Some(member_id)
    }

    pub(super) fn is_subscribed(&self) -> bool {
        self.state().is_subscribed
    }

    pub(super) fn set_subscribed(&self, is_subscribed: bool) {
        self.state().is_subscribed = is_subscribed;
    }

    /// Whether a join is on its way, or has ended and the consumer has not polled since.
    pub(super) fn is_joining(&self) -> bool {
        !matches!(self.state().joining, Joining::No)
    }

    /// Whether the coordinator has it in a generation that the consumer has not entered yet.
    pub(super) fn is_between_generations(&self) -> bool {
        matches!(self.state().joining, Joining::Done(..))
    }

    /// The consumer learns that it is in a new generation.
    pub(super) fn enter(&self, identity: Identity) {
        let mut state = self.state();
        state.alarm = match std::mem::replace(&mut state.joining, Joining::No) {
            Joining::Done(next, alarm) if next == identity => alarm,
            _ => None,
        };
        state.identity = identity;
    }

    /// The generation is over; the member id goes too if the coordinator does not know it.
    pub(super) fn reset(&self, forget_member: bool) {
        let mut state = self.state();
        state.identity.generation_id = NO_GENERATION;
        if forget_member {
            state.identity.member_id.clear();
        }
        state.alarm = None;
        state.joining = Joining::No;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_gravest_alarm_stands_and_only_for_its_own_generation() {
        let shared = Shared::new();
        let in_generation = |generation_id| Identity {
            member_id: "m".to_owned(),
            generation_id,
        };
        shared.enter(in_generation(1));
        shared.raise(&in_generation(1), Alarm::Lost);
        shared.raise(&in_generation(1), Alarm::Rejoin);
        assert_eq!(shared.alarm(), Some(Alarm::Lost));
        shared.enter(in_generation(2));
        shared.raise(&in_generation(1), Alarm::Forgotten);
        assert_eq!(shared.alarm(), None);
    }

    #[tokio::test]
    async fn a_generation_beats_and_is_alarmed_before_the_poll_that_adopts_it() {
        let shared = Shared::new();
        let next = Identity {
            member_id: "m".to_owned(),
            generation_id: 3,
        };
        shared.begin_join();
        assert_eq!(shared.beating(), None);
        shared.end_join(next.clone());
        assert_eq!(shared.beating().map(|(beats, _)| beats), Some(next.clone()));
        shared.raise(&next, Alarm::Rejoin);
        assert_eq!(shared.alarm(), None, "the old generation has none");
        shared.raise(&next, Alarm::Forgotten);
        assert_eq!(shared.beating(), None, "what is over does not beat");
        shared.enter(next);
        assert_eq!(shared.alarm(), Some(Alarm::Forgotten));
    }

    #[tokio::test]
    async fn that_the_old_generation_is_over_is_no_news_while_it_joins() {
        let shared = Shared::new();
        let in_generation = |generation_id| Identity {
            member_id: "m".to_owned(),
            generation_id,
        };
        let (old, next) = (in_generation(5), in_generation(6));
        shared.enter(old.clone());
        shared.begin_join();
        shared.raise(&old, Alarm::Lost);
        assert_eq!(shared.alarm(), None);
        shared.end_join(next.clone());
        shared.raise(&old, Alarm::Lost);
        assert_eq!(shared.alarm(), None);
        shared.raise(&old, Alarm::Forgotten);
        assert_eq!(shared.alarm(), Some(Alarm::Forgotten));
        shared.enter(next.clone());
        shared.raise(&next, Alarm::Lost);
        assert_eq!(shared.alarm(), Some(Alarm::Lost));
    }

    #[tokio::test]
    async fn a_session_without_an_answer_is_in_doubt() {
        let shared = Shared::new();
        let timeout = Duration::from_secs(1);
        let later = Instant::now() + timeout * 2;
        assert!(!shared.is_in_doubt(later, timeout), "it is no member");
        shared.enter(Identity {
            member_id: "m".to_owned(),
            generation_id: 1,
        });
        assert!(shared.is_in_doubt(later, timeout));
        shared.confirm(later);
        assert!(!shared.is_in_doubt(later, timeout));
    }
}
