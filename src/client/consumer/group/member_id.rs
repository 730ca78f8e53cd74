//! The member id of a join, and what speaks for a static member that is fenced under it.
//!
//! In: ids that were told, requests without an answer, refusals. Out: whether the member may have
//! been fenced on account of itself. A coordinator tells an id before it stores it, so the next one
//! may know an earlier id only; and a JoinGroup without an id that was thought lost takes the place
//! of the one that was sent instead of it. Java's client ends there (KAFKA-20985).
//! Invariant: each piece of evidence counts once, so that two instances never fence each other in
//! turn; under a stored id there is none.

use crate::client::connection::CallError;
use crate::error::ErrorCode;

/// Answers of a broker that did not have the group when it was asked.
const HAS_NO_GROUP: &[ErrorCode] = &[
    ErrorCode::NotCoordinator,
    ErrorCode::CoordinatorNotAvailable,
    ErrorCode::CoordinatorLoadInProgress,
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Nothing,
    /// Nobody knows whether it is stored; in doubt once its coordinator did not answer as one.
    Told {
        id: String,
        in_doubt: bool,
    },
    /// It had an assignment, so every coordinator knows it.
    Stored(String),
}

/// Under which id a member joins.
#[derive(Clone, Debug)]
pub(super) struct MemberId {
    known: Known,
    /// JoinGroup requests without an id that may still arrive.
    unanswered_joins: u32,
}

impl MemberId {
    /// At the beginning of a join.
    pub(super) fn new(id: String, is_stored: bool) -> Self {
        let known = match id {
            id if id.is_empty() => Known::Nothing,
            id if is_stored => Known::Stored(id),
            id => Known::Told {
                id,
                in_doubt: false,
            },
        };
        Self {
            known,
            unanswered_joins: 0,
        }
    }

    /// What requests carry: empty if there is none.
    pub(super) fn as_str(&self) -> &str {
        match &self.known {
            Known::Nothing => "",
            Known::Told { id, .. } | Known::Stored(id) => id,
        }
    }

    /// A coordinator calls the member `id`.
    pub(super) fn tell(&mut self, id: &str) {
        if self.as_str() != id {
            self.known = Self::new(id.to_owned(), false).known;
        }
    }

    /// The coordinator does not know the id.
    pub(super) fn forget(&mut self) {
        self.known = Known::Nothing;
    }

    /// A request under this id has no answer: a JoinGroup if it carried none.
    pub(super) fn note_unanswered(&mut self, error: &CallError) {
        let may_have_left = matches!(error, CallError::Lost(_) | CallError::Malformed(_));
        match &mut self.known {
            Known::Nothing => self.unanswered_joins += u32::from(may_have_left),
            // Who told it cannot even be reached: another may coordinate by now.
            Known::Told { in_doubt, .. } => *in_doubt = true,
            Known::Stored(_) => {}
        }
    }

    /// A request under this id was refused.
    pub(super) fn note_refused(&mut self, code: ErrorCode) {
        if let Known::Told { in_doubt, .. } = &mut self.known {
            *in_doubt |= HAS_NO_GROUP.contains(&code);
        }
    }

    /// Whether a member that was just fenced may have been so on account of itself: then this was
    /// the evidence's only use, and the id is gone.
    pub(super) fn may_have_fenced_itself(&mut self) -> bool {
        let may = match self.known {
            Known::Stored(_) => false,
            Known::Told { in_doubt: true, .. } => true,
            Known::Told { .. } | Known::Nothing => {
                let left = self.unanswered_joins.checked_sub(1);
                self.unanswered_joins = left.unwrap_or(0);
                left.is_some()
            }
        };
        if may {
            self.forget();
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost() -> CallError {
        CallError::Lost("no answer".to_owned())
    }

    #[test]
    fn only_a_join_that_may_still_arrive_counts() {
        let mut member = MemberId::new(String::new(), false);
        for code in HAS_NO_GROUP {
            member.note_refused(*code);
        }
        member.note_unanswered(&CallError::NotSent("refused".to_owned()));
        assert!(!member.may_have_fenced_itself());
        member.note_unanswered(&lost());
        member.note_unanswered(&CallError::Malformed("cut".to_owned()));
        member.tell("m1");
        assert!(member.may_have_fenced_itself());
        assert_eq!(member.as_str(), "");
        assert!(member.may_have_fenced_itself(), "two were sent");
        assert!(!member.may_have_fenced_itself());
    }

    #[test]
    fn an_id_whose_coordinator_was_lost_counts_once() {
        let out_of_reach = CallError::NotSent("refused".to_owned());
        let doubts: [&dyn Fn(&mut MemberId); 5] = [
            &|member| member.note_unanswered(&lost()),
            &|member| member.note_unanswered(&out_of_reach),
            &|member| member.note_refused(ErrorCode::NotCoordinator),
            &|member| member.note_refused(ErrorCode::CoordinatorNotAvailable),
            &|member| member.note_refused(ErrorCode::CoordinatorLoadInProgress),
        ];
        for doubt in doubts {
            let mut member = MemberId::new(String::new(), false);
            member.tell("m1");
            member.note_refused(ErrorCode::RebalanceInProgress);
            assert!(!member.clone().may_have_fenced_itself());
            doubt(&mut member);
            doubt(&mut member);
            member.tell("m1");
            assert!(member.may_have_fenced_itself());
            member.tell("m2");
            assert!(!member.may_have_fenced_itself());
        }
    }

    #[test]
    fn nothing_speaks_for_a_stored_id() {
        let mut member = MemberId::new("m".to_owned(), true);
        member.note_unanswered(&lost());
        member.note_refused(ErrorCode::NotCoordinator);
        assert!(!member.may_have_fenced_itself());
        assert_eq!(member.as_str(), "m");
        let mut member = MemberId::new("m".to_owned(), false);
        member.note_unanswered(&lost());
        assert!(member.may_have_fenced_itself(), "an earlier join was told");
    }
}
