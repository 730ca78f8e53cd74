//! Who of the consumers shall be a member, and who owns what as far as the harness was last told.
//!
//! In: what the nemesis wants of a client, and what the clients' listeners were told. Out: answers
//! for targets such as the owner of a partition, and a sign for the driver of each client.
//! Invariant: a client that was sent away or taken down is not started again before somebody wants
//! it present; once the roster has ended nobody is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use checkers::history::{Key, RebalanceEvent};
use tokio::sync::watch;

use crate::plan::Plan;

/// What is wanted of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It shall be a member.
    Present,
    /// It shall leave in order, and stay away.
    Away,
    /// Somebody kills it: it lives until then, and is not started again.
    Down,
    /// The group's work is over: it shall leave for good.
    Ended,
}

/// The consumers of a run. Clones share it.
#[derive(Clone, Debug)]
pub struct Roster {
    seats: Arc<watch::Sender<BTreeMap<u32, Seat>>>,
    producers: Arc<[u32]>,
    /// Where the last owner that found no committed offset started.
    resets: Arc<Mutex<BTreeMap<Key, i64>>>,
}

/// What is known of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seat {
    wish: Wish,
    /// The broker's id of the member, while it is one.
    member: Option<String>,
    owned: BTreeSet<Key>,
}

impl Roster {
    /// The consumers of `plan`, all present; nobody if they are no members of a group.
    pub fn new(plan: &Plan) -> Self {
        let first = plan.workload.producers + 1;
        let consumers = match plan.workload.group {
            Some(_) => plan.workload.consumers,
            None => 0,
        };
        let seat = Seat {
            wish: Wish::Present,
            member: None,
            owned: BTreeSet::new(),
        };
        let seats = (first..first + consumers).map(|client| (client, seat.clone()));
        Self {
            seats: Arc::new(watch::Sender::new(seats.collect())),
            producers: (1..first).collect(),
            resets: Arc::default(),
        }
    }

    /// A roster without clients, for runs without groups.
    pub fn nobody() -> Self {
        Self {
            seats: Arc::new(watch::Sender::new(BTreeMap::new())),
            producers: Arc::default(),
            resets: Arc::default(),
        }
    }

    /// The numbers of all clients that may be members.
    pub fn clients(&self) -> Vec<u32> {
        self.seats.borrow().keys().copied().collect()
    }

    /// The numbers of all clients that send, members or not.
    pub fn producers(&self) -> &[u32] {
        &self.producers
    }

    /// The clients that own something or were told that they own nothing.
    pub fn members(&self) -> Vec<u32> {
        let seats = self.seats.borrow();
        let members = seats.iter().filter(|(_, seat)| seat.member.is_some());
        members.map(|(client, _)| *client).collect()
    }

    /// The client that was last told to own `key`.
    pub fn owner_of(&self, key: &Key) -> Option<u32> {
        let seats = self.seats.borrow();
        let owner = seats.iter().find(|(_, seat)| seat.owned.contains(key));
        owner.map(|(client, _)| *client)
    }

    /// Wants `client` to be a member, or to leave in order and stay away.
    pub fn set_present(&self, client: u32, is_present: bool) {
        let wish = if is_present {
            Wish::Present
        } else {
            Wish::Away
        };
        self.wish_for(client, wish);
    }

    /// Announces that the process of `client` is about to be killed: it stays down until
    /// `set_present`.
    pub fn set_down(&self, client: u32) {
        self.wish_for(client, Wish::Down);
    }

    /// Lets everybody leave for good.
    pub fn end(&self) {
        self.seats.send_modify(|seats| {
            for seat in seats.values_mut() {
                seat.wish = Wish::Ended;
            }
        });
    }

    /// Whether everybody was asked to leave for good.
    pub fn is_over(&self) -> bool {
        let seats = self.seats.borrow();
        seats.values().all(|seat| seat.wish == Wish::Ended)
    }

    /// Waits until every one of `keys` has an owner and every client is a member.
    pub async fn all_owned(&self, keys: &[Key]) {
        let mut seats = self.seats.subscribe();
        let is_owned = |seats: &BTreeMap<u32, Seat>| {
            let owns = |key: &Key| seats.values().any(|seat| seat.owned.contains(key));
            seats.values().all(|seat| seat.member.is_some()) && keys.iter().all(owns)
        };
        // The roster itself keeps the channel open.
        let _ = seats.wait_for(is_owned).await;
    }

    /// What is wanted of `client` now; nobody wants one that is not listed.
    pub fn wish(&self, client: u32) -> Wish {
        let seats = self.seats.borrow();
        seats.get(&client).map_or(Wish::Ended, |seat| seat.wish)
    }

    /// Waits until `client` shall be present: true; or the work is over: false.
    pub async fn is_wanted(&self, client: u32) -> bool {
        let mut seats = self.seats.subscribe();
        let decided = |wish| matches!(wish, Wish::Present | Wish::Ended);
        let wish = |seats: &BTreeMap<u32, Seat>| seats.get(&client).map(|seat| seat.wish);
        let settled = seats
            .wait_for(|seats| wish(seats).is_none_or(decided))
            .await;
        settled.is_ok_and(|seats| wish(&seats) == Some(Wish::Present))
    }

    /// Takes in what the listener of `client` was told.
    pub fn told(&self, client: u32, event: RebalanceEvent, member: &str, partitions: &[Key]) {
        self.seats.send_modify(|seats| {
            let Some(seat) = seats.get_mut(&client) else {
                return;
            };
            seat.member = Some(member.to_owned());
            match event {
                RebalanceEvent::Assigned => seat.owned.extend(partitions.iter().cloned()),
                RebalanceEvent::Revoked | RebalanceEvent::Lost => {
                    seat.owned.retain(|key| !partitions.contains(key));
                }
            }
        });
    }

    /// Takes in that an owner found no committed offset of `key`, and started at `offset`.
    pub fn reset(&self, key: Key, offset: i64) {
        let mut resets = self.resets.lock().unwrap_or_else(PoisonError::into_inner);
        resets.insert(key, offset);
    }

    /// Where the group starts in `key` as long as it has committed nothing.
    pub fn start(&self, key: &Key) -> i64 {
        let resets = self.resets.lock().unwrap_or_else(PoisonError::into_inner);
        resets.get(key).copied().unwrap_or(0)
    }

    /// The present life of `client` is over: it owns nothing.
    pub fn over(&self, client: u32) {
        self.seats.send_modify(|seats| {
            if let Some(seat) = seats.get_mut(&client) {
                seat.member = None;
                seat.owned.clear();
            }
        });
    }

    fn wish_for(&self, client: u32, wish: Wish) {
        self.seats.send_modify(|seats| {
            // What has ended stays ended: a fault that heals late must not wake it.
            let seat = seats.get_mut(&client);
            if let Some(seat) = seat.filter(|seat| seat.wish != Wish::Ended) {
                seat.wish = wish;
            }
        });
    }
}

#[cfg(test)]
impl Roster {
    /// A roster of these clients.
    pub(crate) fn of(clients: &[u32]) -> Self {
        let seat = Seat {
            wish: Wish::Present,
            member: None,
            owned: BTreeSet::new(),
        };
        let seats = clients.iter().map(|client| (*client, seat.clone()));
        Self {
            seats: Arc::new(watch::Sender::new(seats.collect())),
            producers: Arc::default(),
            resets: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn ownership_follows_what_listeners_were_told() {
        let roster = Roster::of(&[3, 4]);
        let keys = [Key::new("t", 0), Key::new("t", 1)];
        roster.told(3, RebalanceEvent::Assigned, "m3", &keys);
        assert_eq!(roster.owner_of(&keys[1]), Some(3));
        roster.told(3, RebalanceEvent::Revoked, "m3", &keys[1..]);
        roster.told(4, RebalanceEvent::Assigned, "m4", &keys[1..]);
        assert_eq!(roster.owner_of(&keys[0]), Some(3));
        assert_eq!(roster.owner_of(&keys[1]), Some(4));
        assert_eq!(roster.members(), [3, 4]);
        let owned = roster.all_owned(&keys);
        assert!(
            tokio::time::timeout(Duration::from_secs(5), owned)
                .await
                .is_ok()
        );
        roster.over(3);
        assert_eq!(
            (roster.owner_of(&keys[0]), roster.members()),
            (None, vec![4])
        );
    }

    #[tokio::test]
    async fn nobody_comes_back_unless_wanted_and_never_after_the_end() {
        let roster = Roster::of(&[3]);
        assert!(roster.is_wanted(3).await);
        roster.set_down(3);
        let waiting = tokio::spawn({
            let roster = roster.clone();
            async move { roster.is_wanted(3).await }
        });
        roster.set_present(3, true);
        assert!(waiting.await.expect("no panic"));
        roster.set_present(3, false);
        assert_eq!(roster.wish(3), Wish::Away);
        roster.end();
        roster.set_present(3, true);
        assert_eq!(roster.wish(3), Wish::Ended);
        assert!(!roster.is_wanted(3).await);
        assert!(!roster.is_wanted(9).await, "nobody wants a stranger");
    }
}
