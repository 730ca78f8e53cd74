//! Which polls had to send an auto commit, if the client commits by itself.
//!
//! In: the polls, commits and rebalances of each consumer. Out: `Consumer::due`.
//! Invariant: at such a poll the consumer had been in its generation for an interval, and no commit
//! was open from its begin to the end of the next poll: nothing that was asked for can be missing.
//! Source: `ConsumerCoordinator.maybeAutoCommitOffsetsAsync`; see `unbounded_duplicate`.

use crate::group::rows::{Consumer, Due, Groups, NEVER};
use crate::history::{CommitMode, History};

/// Fills `due` of every consumer.
pub(super) fn fill(groups: &mut Groups, history: &History) {
    let Some(settings) = &history.header.settings.group else {
        return;
    };
    if !matches!(
        settings.mode,
        CommitMode::AutoInLoop | CommitMode::AutoHandoff
    ) {
        return;
    }
    let interval = settings.auto_commit_interval_ms.saturating_mul(1_000_000);
    let time = |event: u32| history.op(event).map_or(0, |op| op.time);
    for consumer in &mut groups.consumers {
        consumer.due = of(consumer, interval, time);
    }
}

fn of(consumer: &Consumer, interval: u64, time: impl Fn(u32) -> u64) -> Vec<Due> {
    let mut told = consumer.events.iter().map(|told| told.at).peekable();
    let mut sent = consumer.sent.iter().peekable();
    let (mut last_told, mut open_until) = (None, 0);
    let pairs = consumer.polls.iter().zip(consumer.polls.iter().skip(1));
    let settled = pairs.filter_map(|(poll, next)| {
        while let Some(at) = told.next_if(|at| *at < next.completed) {
            last_told = Some(at);
        }
        while let Some(commit) = sent.next_if(|commit| commit.invoked < next.completed) {
            open_until = open_until.max(commit.completed);
        }
        let has_settled =
            last_told.is_some_and(|at| time(at).saturating_add(interval) <= time(poll.invoked));
        let ended_well = poll.completed != NEVER && next.completed != NEVER;
        (has_settled && ended_well && open_until < poll.invoked).then_some(Due {
            invoked: poll.invoked,
            by: next.completed,
        })
    });
    settled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::rows::{Span, Told};

    /// Due polls of a member that was told of a generation at `told` and sent these commits; its
    /// polls are invoked at 10, 20, 30, …, and each ends at once. The interval is 15.
    fn due(told: u32, sent: &[(u32, u32)]) -> Vec<u32> {
        let span = |(invoked, completed)| Span { invoked, completed };
        let consumer = Consumer {
            name: "c".into(),
            group: 0,
            instance: None,
            topics: Vec::new(),
            subscribed: 0,
            ended: NEVER,
            crashed: false,
            events: vec![Told {
                at: told,
                generation: 1,
                member: 0,
                assigned: true,
                lost: false,
                holds: 1,
            }],
            polls: (1..7).map(|n| span((10 * n, 10 * n + 1))).collect(),
            sent: sent.iter().copied().map(span).collect(),
            due: Vec::new(),
            acked: None,
            fenced: None,
        };
        let due = of(&consumer, 15, u64::from);
        due.iter().map(|due| due.invoked).collect()
    }

    #[test]
    fn a_poll_is_due_an_interval_after_the_rebalance_and_while_no_commit_is_open() {
        assert_eq!(due(12, &[]), [30, 40, 50], "the last has no next one");
        assert_eq!(due(31, &[]), [50]);
        assert_eq!(due(12, &[(25, 35)]), [40, 50], "30 waits for it");
        assert_eq!(due(12, &[(45, 46)]), [30, 50], "40 may have begun it");
        assert_eq!(due(12, &[(45, NEVER)]), [30], "nobody knows how it ended");
    }
}
