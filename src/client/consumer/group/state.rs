//! What the consumer, its heartbeats and its commits share of a membership.
//!
//! Invariant: an alarm raised for one generation never strikes a later one.

use std::sync::{Mutex, MutexGuard, PoisonError};

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
    alarm: Option<Alarm>,
    is_joining: bool,
    last_poll: Instant,
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
            alarm: None,
            is_joining: false,
            last_poll: Instant::now(),
        }))
    }

    pub(super) fn identity(&self) -> Identity {
        self.state().identity.clone()
    }

    /// The member whose heart beats: none while it joins or is no member.
    pub(super) fn beating(&self) -> Option<(Identity, Instant)> {
        let state = self.state();
        let beats = !state.is_joining && state.identity.generation_id != NO_GENERATION;
        beats.then(|| (state.identity.clone(), state.last_poll))
    }

    pub(super) fn note_poll(&self) {
        self.state().last_poll = Instant::now();
    }

    /// Raises `alarm` for `identity`; nothing if it is another one by now. The gravest stands.
    pub(super) fn raise(&self, identity: &Identity, alarm: Alarm) {
        let mut state = self.state();
        if state.identity == *identity {
            state.alarm = state.alarm.max(Some(alarm));
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
    pub(super) fn set_joining(&self, is_joining: bool) {
        self.state().is_joining = is_joining;
    }

    /// The member is in a new generation.
    pub(super) fn enter(&self, identity: Identity) {
        let mut state = self.state();
        state.identity = identity;
        state.alarm = None;
        state.is_joining = false;
    }

    /// The generation is over; the member id goes too if the coordinator does not know it.
    pub(super) fn reset(&self, forget_member: bool) {
        let mut state = self.state();
        state.identity.generation_id = NO_GENERATION;
        if forget_member {
            state.identity.member_id.clear();
        }
        state.alarm = None;
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
}
