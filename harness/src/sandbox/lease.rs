//! What a fault asks of the supervisor for a time: that a process stays down, that its end is no
//! surprise, or that no other fault changes its files.
//!
//! In: leases on one slot, given back when they are dropped. Out: whether a start is refused,
//! whether an exit is excused, and whether the files are another's.
//! Keeps: nothing of a fault outlives it, even one that is dropped half way.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sandbox::supervisor::Exit;

/// Says whether an exit is what a fault may cause, when it happens.
pub type Excuse = Box<dyn Fn(&Exit) -> bool + Send + Sync>;

/// The leases on one slot. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Leases(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    down: usize,
    claimed: bool,
    next: u64,
    excuses: BTreeMap<u64, Excuse>,
}

/// As long as it lives, the process cannot be started.
#[derive(Debug)]
pub struct Down(Leases);

/// As long as it lives, nobody else gets one for the same process.
#[derive(Debug)]
pub struct Claim(Leases);

/// As long as it lives, exits that its excuse covers count as asked for.
#[derive(Debug)]
pub struct Excused(Leases, u64);

impl Leases {
    pub(super) fn hold_down(&self) -> Down {
        self.lock().down += 1;
        Down(self.clone())
    }

    pub(super) fn claim(&self) -> Option<Claim> {
        let was_claimed = std::mem::replace(&mut self.lock().claimed, true);
        (!was_claimed).then(|| Claim(self.clone()))
    }

    pub(super) fn excuse(&self, excuse: Excuse) -> Excused {
        let mut held = self.lock();
        let number = held.next;
        held.next += 1;
        held.excuses.insert(number, excuse);
        Excused(self.clone(), number)
    }

    pub(super) fn refuses_start(&self) -> bool {
        self.lock().down > 0
    }

    pub(super) fn covers(&self, exit: &Exit) -> bool {
        self.lock().excuses.values().any(|excuse| excuse(exit))
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.lock().claimed = false;
    }
}

impl Drop for Down {
    fn drop(&mut self) {
        self.0.lock().down -= 1;
    }
}

impl Drop for Excused {
    fn drop(&mut self) {
        self.0.lock().excuses.remove(&self.1);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("down", &self.down)
            .field("excuses", &self.excuses.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_stays_down_until_every_fault_has_let_go_of_it() {
        let leases = Leases::default();
        let (first, second) = (leases.hold_down(), leases.hold_down());
        drop(first);
        assert!(leases.refuses_start());
        drop(second);
        assert!(!leases.refuses_start());
    }

    #[test]
    fn an_excuse_covers_what_it_names_and_ends_with_its_fault() {
        let exit = |code| Exit {
            code: Some(code),
            signal: None,
            asked: false,
        };
        let leases = Leases::default();
        let excused = leases.excuse(Box::new(|exit| exit.code == Some(1)));
        assert!(leases.covers(&exit(1)));
        assert!(!leases.covers(&exit(2)));
        drop(excused);
        assert!(!leases.covers(&exit(1)));
    }
}
