//! Rules that single out Kafka frames on a link, as data, and their state while they act.
//!
//! In: the head of a frame. Out: what happens to it.
//! Keeps: the nth occurrence is counted over all connections of the link, in the order in which
//! heads arrive; a draw depends only on the rule's seed and that number.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Which frames, and what happens to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameRule {
    /// Requests or responses.
    pub side: FrameSide,
    /// The API key; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<i16>,
    /// Which of those.
    pub pick: FramePick,
    /// What happens.
    pub action: FrameAction,
}

/// Requests or responses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameSide {
    /// From the side that connected.
    Request,
    /// From the side that accepted; its API key is that of the request it answers.
    Response,
}

/// Which of the frames that match.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FramePick {
    /// Every one.
    All,
    /// Only the nth since the rule was set, from 1.
    Nth(u64),
    /// Each with this probability, 0 to 1.
    Probability(f64),
}

/// What happens to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameAction {
    /// It vanishes and the stream goes on; a client then sees a hole in the correlation ids.
    Drop,
    /// It vanishes and the connection is reset: a request or an acknowledgement lost on the way.
    Reset,
    /// It and all bytes behind it wait until the rule is removed.
    Hold,
    /// It and all bytes behind it wait this long, in milliseconds.
    Delay(u64),
}

/// The start of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// The API key; unknown for a response whose request was not seen.
    pub api: Option<i16>,
    /// The correlation id.
    pub correlation: i32,
}

/// A rule while it acts on one link.
#[derive(Debug)]
pub struct ActiveRule {
    /// The rule.
    pub rule: FrameRule,
    seed: u64,
    seen: AtomicU64,
    applied: AtomicU64,
    is_active: AtomicBool,
}

impl ActiveRule {
    /// A rule that has seen nothing yet.
    pub fn new(rule: FrameRule, seed: u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            rule,
            seed,
            seen: zero(),
            applied: zero(),
            is_active: AtomicBool::new(true),
        }
    }

    /// What to do with a frame, if it is one of this rule's.
    pub fn judge(&self, side: FrameSide, head: FrameHead) -> Option<FrameAction> {
        if side != self.rule.side || (self.rule.api.is_some() && self.rule.api != head.api) {
            return None;
        }
        let number = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        let picked = match self.rule.pick {
            FramePick::All => true,
            FramePick::Nth(nth) => number == nth,
            FramePick::Probability(chance) => unit_draw(self.seed, number) < chance,
        };
        picked.then(|| {
            self.applied.fetch_add(1, Ordering::Relaxed);
            self.rule.action
        })
    }

    /// How many frames matched side and API key.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// How many frames it acted on.
    pub fn applied(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// False once the rule was removed: held frames then go on.
    pub fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Acquire)
    }

    /// Lets held frames go on.
    pub fn retire(&self) {
        self.is_active.store(false, Ordering::Release);
    }
}

impl FrameAction {
    /// How long the frame waits, for a delay.
    pub fn delay(self) -> Option<Duration> {
        match self {
            Self::Delay(ms) => Some(Duration::from_millis(ms)),
            _ => None,
        }
    }
}

/// A number in [0, 1) that depends only on `seed` and `n` (SplitMix64).
pub(crate) fn unit_draw(seed: u64, n: u64) -> f64 {
    let mut z = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pick: FramePick) -> ActiveRule {
        let action = FrameAction::Drop;
        ActiveRule::new(
            FrameRule {
                side: FrameSide::Response,
                api: Some(0),
                pick,
                action,
            },
            7,
        )
    }

    #[test]
    fn only_the_nth_frame_of_the_api_and_side_is_picked() {
        let rule = rule(FramePick::Nth(2));
        let head = |api| FrameHead {
            api: Some(api),
            correlation: 1,
        };
        assert_eq!(rule.judge(FrameSide::Response, head(0)), None);
        assert_eq!(rule.judge(FrameSide::Request, head(0)), None);
        assert_eq!(rule.judge(FrameSide::Response, head(1)), None);
        assert_eq!(
            rule.judge(FrameSide::Response, head(0)),
            Some(FrameAction::Drop)
        );
        assert_eq!(rule.judge(FrameSide::Response, head(0)), None);
        assert_eq!((rule.seen(), rule.applied()), (3, 1));
    }

    #[test]
    fn a_probability_picks_about_that_share_and_the_same_ones_again() {
        let picks = || {
            let rule = rule(FramePick::Probability(0.25));
            let head = FrameHead {
                api: Some(0),
                correlation: 1,
            };
            (0..10_000)
                .map(|_| rule.judge(FrameSide::Response, head))
                .collect::<Vec<_>>()
        };
        let picked = picks().iter().flatten().count();
        assert!((2_300..2_700).contains(&picked), "{picked}");
        assert_eq!(picks(), picks());
    }
}
