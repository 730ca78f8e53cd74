//! Operations that wait: for a moment, or for the end of a rule.
//!
//! In: an operation that is not to be answered yet. Out: it is done and answered when its time has
//! come, when its rule is lifted, or refused with EIO when its caller has to go.
//! Invariant: whoever serves the kernel never waits; each operation is answered exactly once, those
//! of one rule in the order in which they came. Source: `sandbox.md` §4, pitfall 1.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::disk::RuleId;
use crate::disk::rules::Rules;

/// Whether a held operation may still be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It is done now.
    Done,
    /// It is refused; its caller is dead or the disk is gone.
    Refused,
}

/// Does an operation and answers it.
pub(super) type Finish = Box<dyn FnOnce(Ending) + Send>;

struct Waiting {
    /// Not before this; for ever if absent.
    due: Option<Instant>,
    rule: Option<RuleId>,
    finish: Finish,
}

#[derive(Default)]
struct Queue {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    is_closed: bool,
}

/// The operations of one mounted disk that wait.
pub(super) struct Held {
    rules: Arc<Rules>,
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Held from taking operations out until they are done, so that nobody overtakes them.
    finishing: Mutex<()>,
}

impl Held {
    /// Nothing waits.
    pub(super) fn new(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            queue: Mutex::default(),
            changed: Condvar::new(),
            finishing: Mutex::new(()),
        }
    }

    /// Lets an operation wait until `due`, or until `rule` is lifted.
    pub(super) fn hold(&self, due: Option<Instant>, rule: Option<RuleId>, finish: Finish) {
        let mut queue = self.lock();
        if queue.is_closed {
            drop(queue);
            return finish(Ending::Refused);
        }
        let number = queue.next;
        queue.next += 1;
        // A rule that was lifted since it hit this operation comes for it no more.
        let due = if self.rules.hold(rule, number) {
            due
        } else {
            due.or_else(|| Some(Instant::now()))
        };
        let waiting = Waiting { due, rule, finish };
        queue.waiting.insert(number, waiting);
        self.changed.notify_one();
    }

    /// Does and answers everything that `rule` holds.
    pub(super) fn lift(&self, rule: RuleId) {
        self.finish_where(Ending::Done, |waiting| waiting.rule == Some(rule));
    }

    /// Refuses everything that waits; the number of operations.
    pub(super) fn release(&self) -> usize {
        self.finish_where(Ending::Refused, |_| true)
    }

    /// Refuses everything that waits and that will come, and ends [`Held::keep_time`].
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
        self.release();
    }

    /// Does and answers what is due until the queue is closed: a thread's work.
    pub(super) fn keep_time(&self) {
        let mut queue = self.lock();
        while !queue.is_closed {
            let now = Instant::now();
            let is_due = |waiting: &Waiting| waiting.due.is_some_and(|due| due <= now);
            if queue.waiting.values().any(is_due) {
                drop(queue);
                self.finish_where(Ending::Done, is_due);
                queue = self.lock();
                continue;
            }
            let next = queue
                .waiting
                .values()
                .filter_map(|waiting| waiting.due)
                .min();
            queue = match next {
                Some(next) => {
                    let left = next.saturating_duration_since(now);
                    let waited = self.changed.wait_timeout(queue, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(queue);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    fn finish_where(&self, ending: Ending, which: impl Fn(&Waiting) -> bool) -> usize {
        let _in_turn = self
            .finishing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Finished without its lock: what is done may take a while, and others come meanwhile.
        let mut queue = self.lock();
        let taken = queue.waiting.extract_if(.., |_, waiting| which(waiting));
        let taken: Vec<(u64, Waiting)> = taken.collect();
        drop(queue);
        let count = taken.len();
        for (number, waiting) in taken {
            // First, so that whoever sees the answer finds it counted.
            self.rules.let_go(waiting.rule, number);
            (waiting.finish)(ending);
        }
        count
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};
    use std::time::Duration;

    use super::*;
    use crate::disk::rule::{DiskAction, DiskPick, DiskRule};

    fn stalled() -> (Arc<Rules>, RuleId) {
        let rules = Arc::new(Rules::new(7));
        let rule = DiskRule {
            operations: vec![],
            files: vec![],
            pick: DiskPick::Every,
            action: DiskAction::Stall,
        };
        let id = rules.impose(rule, 0);
        (rules, id)
    }

    fn hold_three(held: &Held, rule: RuleId) -> Receiver<(u32, Ending)> {
        let (sender, receiver) = channel();
        for number in 0..3 {
            let sender = sender.clone();
            let finish = move |ending| sender.send((number, ending)).expect("is received");
            held.hold(None, Some(rule), Box::new(finish));
        }
        receiver
    }

    #[test]
    fn what_a_rule_holds_is_done_in_order_when_it_is_lifted() {
        let (rules, rule) = stalled();
        let held = Held::new(Arc::clone(&rules));
        let finished = hold_three(&held, rule);
        assert!(finished.try_recv().is_err());
        assert_eq!(rules.effect(rule).held, 3);
        held.lift(rule);
        let ended: Vec<_> = finished.try_iter().collect();
        assert_eq!(ended, [0, 1, 2].map(|number| (number, Ending::Done)));
        assert_eq!(rules.effect(rule).held, 0);
    }

    #[test]
    fn what_waits_is_refused_when_its_caller_has_to_go_and_later_ones_may_wait_again() {
        let (rules, rule) = stalled();
        let held = Held::new(rules);
        let finished = hold_three(&held, rule);
        assert_eq!(held.release(), 3);
        assert!(
            finished
                .try_iter()
                .all(|(_, ending)| ending == Ending::Refused)
        );
        let finished = hold_three(&held, rule);
        assert!(finished.try_recv().is_err());
        held.close();
        assert_eq!(finished.try_iter().count(), 3);
        let finished = hold_three(&held, rule);
        assert!(
            finished
                .try_iter()
                .all(|(_, ending)| ending == Ending::Refused)
        );
    }

    #[test]
    fn what_comes_too_late_for_a_lifted_rule_is_done_all_the_same() {
        let (rules, rule) = stalled();
        let held = Arc::new(Held::new(Arc::clone(&rules)));
        let keeper = Arc::clone(&held);
        let thread = std::thread::spawn(move || keeper.keep_time());
        rules.lift(rule);
        held.lift(rule);
        let finished = hold_three(&held, rule);
        for number in 0..3 {
            assert_eq!(finished.recv(), Ok((number, Ending::Done)));
        }
        held.close();
        thread.join().expect("it ends");
    }

    #[test]
    fn what_is_lifted_does_not_overtake_what_is_due() {
        let (rules, rule) = stalled();
        let held = Arc::new(Held::new(rules));
        let keeper = Arc::clone(&held);
        let thread = std::thread::spawn(move || keeper.keep_time());
        let (begins, begun) = channel();
        let (second_ends, second_ended) = channel();
        let (overtakes, overtaken) = channel();
        let first = move |_| {
            begins.send(()).expect("is received");
            // Returns at once only if the second is done while this one still is under way.
            let second = second_ended.recv_timeout(Duration::from_millis(300));
            overtakes.send(second.is_ok()).expect("is received");
        };
        held.hold(Some(Instant::now()), Some(rule), Box::new(first));
        begun.recv().expect("it is under way");
        // Whether the first still listens then does not matter.
        let second = move |_| _ = second_ends.send(());
        held.hold(None, Some(rule), Box::new(second));
        held.lift(rule);
        assert_eq!(overtaken.try_recv(), Ok(false));
        held.close();
        thread.join().expect("it ends");
    }

    #[test]
    fn what_is_due_is_done_by_the_time_keeper_and_nothing_before() {
        let held = Arc::new(Held::new(Arc::new(Rules::new(7))));
        let keeper = Arc::clone(&held);
        let thread = std::thread::spawn(move || keeper.keep_time());
        let (sender, receiver) = channel();
        let due = Instant::now() + Duration::from_millis(30);
        let finish = move |_| sender.send(Instant::now()).expect("is received");
        held.hold(Some(due), None, Box::new(finish));
        assert!(receiver.recv().expect("it is done") >= due);
        held.close();
        thread.join().expect("it ends");
    }
}
