//! How long whoever looks at the cluster waits for elections to end.
//!
//! In: what each look has found. Out: whether there is no point in another one.
//! Invariant: each lack has a patience of its own, counted from the first of the looks in a row
//! that found it, so that a leader is still waited for after a controller was; all together they
//! end within `PATIENCE_MAX`, whatever comes and goes.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::view::View;

/// How long a controller is waited for that a majority names: on a loaded machine an election
/// takes that long.
const QUORUM_PATIENCE: Duration = Duration::from_secs(2);
/// How long leaders of partitions are waited for that a controller may name.
const ELECTION_PATIENCE: Duration = Duration::from_secs(1);
/// How long everything is waited for: one after the other, and the looks that find it.
pub(crate) const PATIENCE_MAX: Duration = Duration::from_secs(4);

/// What a look has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// No majority names a controller.
    NoController,
    /// A controller, and partitions without a leader.
    NoLeader,
    /// All that is looked for.
    All,
}

impl From<&Result<View, String>> for Found {
    fn from(look: &Result<View, String>) -> Self {
        match look {
            Ok(view) if view.has_all_leaders() => Self::All,
            Ok(_) => Self::NoLeader,
            Err(_) => Self::NoController,
        }
    }
}

/// The patience of one who looks again and again.
#[derive(Debug)]
pub struct Patience {
    begin: Instant,
    /// What the last look found, and since when looks find just that.
    found: Option<(Found, Instant)>,
}

impl Patience {
    /// Before the first look.
    pub fn new(now: Instant) -> Self {
        let (begin, found) = (now, None);
        Self { begin, found }
    }

    /// Whether it is over after a look that has ended `now`.
    pub fn is_over(&mut self, found: Found, now: Instant) -> bool {
        let since = match self.found {
            Some((before, since)) if before == found => since,
            _ => now,
        };
        self.found = Some((found, since));
        let patience = match found {
            Found::NoController => QUORUM_PATIENCE,
            Found::NoLeader => ELECTION_PATIENCE,
            Found::All => Duration::ZERO,
        };
        now >= since + patience || now >= self.begin + PATIENCE_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After which of the looks the patience is over, each at its milliseconds.
    fn over(looks: &[(u64, Found)]) -> Option<u64> {
        let begin = Instant::now();
        let mut patience = Patience::new(begin);
        let mut looks = looks.iter();
        let at = |ms| begin + Duration::from_millis(ms);
        looks
            .find(|&&(ms, found)| patience.is_over(found, at(ms)))
            .map(|look| look.0)
    }

    #[test]
    fn a_leader_is_waited_for_from_when_it_was_first_missed() {
        use Found::{All, NoController, NoLeader};
        for (looks, wanted) in [
            (&[(10, All)][..], Some(10)),
            (&[(400, NoLeader), (1_390, NoLeader)], None),
            (&[(400, NoLeader), (1_400, NoLeader)], Some(1_400)),
            (&[(500, NoController), (2_490, NoController)], None),
            (&[(500, NoController), (2_500, NoController)], Some(2_500)),
            // Two elections, one after the other.
            (
                &[
                    (20, NoController),
                    (1_900, NoController),
                    (1_950, NoLeader),
                    (2_900, NoLeader),
                    (2_940, All),
                ],
                Some(2_940),
            ),
            (
                &[
                    (20, NoLeader),
                    (900, NoController),
                    (1_500, NoLeader),
                    (2_500, NoLeader),
                ],
                Some(2_500),
            ),
        ] {
            assert_eq!(over(looks), wanted, "{looks:?}");
        }
    }

    #[test]
    fn what_comes_and_goes_is_not_waited_for_for_ever() {
        let change = |turn: u64| {
            let found = [Found::NoController, Found::NoLeader];
            (turn * 500, found[turn as usize % 2])
        };
        let looks: Vec<_> = (1..20).map(change).collect();
        assert_eq!(over(&looks), Some(4_000));
    }
}
