//! What a link does with connections and bytes, as data.
//!
//! In: a policy set by the nemesis. Out: questions that the proxy asks for each direction.
//! Keeps: a byte stream cannot lose bytes in its middle, so a cut *withholds*: nothing is read
//! from the sender, whose kernel buffers fill as they would without acknowledgements, and neither
//! FIN nor RST passes. At heal the bytes flow on, as TCP's retransmissions would, or, after
//! [`AtHeal::Reset`] or [`AtHeal::Forget`], the connection is reset, as a rebooted machine would.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One of the two ways through a link `i → j`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the side that connected: requests.
    Forward,
    /// From the side that accepted: responses.
    Backward,
}

/// Which directions a cut takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Requests do not pass.
    pub forward: bool,
    /// Responses do not pass.
    pub backward: bool,
}

/// What becomes of connections that were established before a cut when it heals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtHeal {
    /// They carry on with every byte; the stream was only late.
    #[default]
    Release,
    /// They are reset once no other cut holds: both ends learn that the other no longer knows them.
    Reset,
    /// They stay silent and half-open: an end is reset only when it sends something, because a
    /// machine that lost its power answers what it does not know, and says nothing by itself.
    Forget,
}

/// What a link does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Everything passes at once.
    #[default]
    Open,
    /// The directions of `cut` are silent. New connections are accepted by the proxy's kernel
    /// (a user-space proxy cannot withhold the handshake) and reach the node only at heal.
    Cut(Cut, AtHeal),
    /// Nothing listens: new connections are refused; established ones live on.
    Refuse,
    /// New connections are accepted and never answered; established ones live on.
    Mute,
    /// Bytes arrive late, in order.
    Delay {
        /// Added to each direction.
        mean: Duration,
        /// Drawn evenly from `mean ± jitter`.
        jitter: Duration,
    },
    /// No more than this passes in each direction of each connection.
    Bandwidth {
        /// Bytes a second, at least 1.
        bytes_per_second: u64,
    },
}

impl Cut {
    /// Both directions.
    pub const BOTH: Self = Self {
        forward: true,
        backward: true,
    };

    /// True if `direction` is silent.
    pub fn takes(self, direction: Direction) -> bool {
        match direction {
            Direction::Forward => self.forward,
            Direction::Backward => self.backward,
        }
    }

    /// What either cuts.
    pub fn union(self, other: Self) -> Self {
        Self {
            forward: self.forward || other.forward,
            backward: self.backward || other.backward,
        }
    }

    /// The cut of one direction.
    pub fn only(direction: Direction) -> Self {
        Self {
            forward: direction == Direction::Forward,
            backward: direction == Direction::Backward,
        }
    }
}

impl Policy {
    /// True if bytes of `direction` must wait.
    pub fn withholds(&self, direction: Direction) -> bool {
        matches!(self, Self::Cut(cut, _) if cut.takes(direction))
    }

    /// True if a new connection must wait: its handshake needs both directions.
    pub fn withholds_connect(&self) -> bool {
        matches!(self, Self::Cut(cut, _) if *cut != Cut::default())
    }

    /// What a link does under several policies at once: cuts add up and hide the rest; nothing
    /// listening hides a mute listener; of slow links the last one counts.
    pub fn merged<'a>(policies: impl IntoIterator<Item = &'a Self>) -> Self {
        policies
            .into_iter()
            .fold(Self::Open, |below, above| match (below, above) {
                (Self::Cut(one, _), Self::Cut(two, end)) => Self::Cut(one.union(*two), *end),
                (below, Self::Open) => below,
                (below, above) if below.weight() > above.weight() => below,
                (_, above) => above.clone(),
            })
    }

    fn weight(&self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Delay { .. } | Self::Bandwidth { .. } => 1,
            Self::Mute => 2,
            Self::Refuse => 3,
            Self::Cut(..) => 4,
        }
    }

    /// What leaving this policy does to the connections that it held.
    pub fn at_heal(&self) -> AtHeal {
        match self {
            Self::Cut(_, at_heal) => *at_heal,
            _ => AtHeal::Release,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_one_way_cut_withholds_one_way_and_every_handshake() {
        let one_way = Policy::Cut(Cut::only(Direction::Backward), AtHeal::Release);
        assert!(!one_way.withholds(Direction::Forward));
        assert!(one_way.withholds(Direction::Backward));
        assert!(one_way.withholds_connect());
        let both = Cut::only(Direction::Forward).union(Cut::only(Direction::Backward));
        assert_eq!(both, Cut::BOTH);
        assert!(!Policy::Cut(Cut::default(), AtHeal::Release).withholds_connect());
    }

    #[test]
    fn policies_merge_by_what_hides_what() {
        let cut = |direction| Policy::Cut(Cut::only(direction), AtHeal::Release);
        let both = Policy::Cut(Cut::BOTH, AtHeal::Release);
        let slow = |bytes_per_second| Policy::Bandwidth { bytes_per_second };
        for (layers, expected) in [
            (vec![], Policy::Open),
            (
                vec![
                    cut(Direction::Forward),
                    Policy::Mute,
                    cut(Direction::Backward),
                ],
                both.clone(),
            ),
            (
                vec![Policy::Refuse, Policy::Mute, Policy::Open],
                Policy::Refuse,
            ),
            (vec![slow(1), slow(2)], slow(2)),
            (vec![both.clone(), slow(1)], both),
        ] {
            assert_eq!(Policy::merged(&layers), expected, "{layers:?}");
        }
    }
}
