//! A crash image holds every state that a roll-back can leave, and needs nothing but its folder.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;

use crate::disk::rule::Survival;

use super::image::{CrashImage, CrashState, Saved, states};
use super::model_test::{Pair, acts};
use super::rig_test::{Rig, listing};

const LARGE: u64 = 1 << 30;

fn drawn(survival: Survival, draw: u64) -> CrashState {
    CrashState::Drawn { survival, draw }
}

#[test]
fn one_loss_of_power_gives_every_prefix() {
    let mut rig = Rig::with(|root| fs::write(root.join("log"), "0").unwrap());
    for number in 1..=5 {
        rig.append("log", number.to_string().as_bytes());
    }
    rig.rename("log", "moved");
    let folder = tempfile::tempdir().unwrap();
    let saved = rig.journal.save(&folder.path().join("image"), LARGE);
    assert!(matches!(saved, Ok(Saved::Whole(1..))));
    rig.journal.roll_back(Survival::None, 0).unwrap();
    let image = CrashImage::open(&folder.path().join("image")).unwrap();
    drop(rig);
    let mut seen = BTreeSet::new();
    for (number, state) in states(image.unsynced(), 14, 1).take(14).enumerate() {
        let target = folder.path().join(number.to_string());
        let effect = image.materialize(state, &target).unwrap();
        assert_eq!(effect.unsynced, 6);
        seen.insert(listing(&target));
    }
    for end in 1..=6 {
        let content = Some("012345".as_bytes()[..end].to_vec());
        let names = if end == 6 {
            ["log", "moved"].to_vec()
        } else {
            vec!["log"]
        };
        for name in names {
            let state = [(name.to_owned(), content.clone())].into();
            assert!(seen.contains(&state), "{state:?} is missing");
        }
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 15);
}

#[test]
fn an_image_that_is_too_large_is_not_made() {
    let mut rig = Rig::with(|root| fs::write(root.join("log"), [0; 4000]).unwrap());
    rig.append("log", &[1; 1000]);
    let folder = rig.root.with_file_name("image");
    let saved = rig.journal.save(&folder, 4999).unwrap();
    assert!(matches!(saved, Saved::TooLarge(5000..)));
    assert!(!folder.exists());
    rig.journal.roll_back(Survival::Subset(1000), 0).unwrap();
    let expected = [vec![0; 4000], vec![1; 1000]].concat();
    assert_eq!(rig.listing()["log"], Some(expected));
}

#[test]
fn states_begin_with_nothing_and_everything_and_differ() {
    let first: Vec<_> = states(100_000, 10, 1).take(10).collect();
    assert_eq!(first[0], CrashState::Prefix { keep: 0, of: 4 });
    assert_eq!(first[4], CrashState::Prefix { keep: 4, of: 4 });
    let is_drawn = |state: &CrashState| matches!(state, CrashState::Drawn { .. });
    assert!(first[5..].iter().all(is_drawn));
    let different: BTreeSet<String> = first.iter().map(|state| format!("{state:?}")).collect();
    assert_eq!(different.len(), 10);
}

#[test]
fn every_prefix_is_a_state_where_they_are_few() {
    for (unsynced, count, wanted) in [(6, 14, 7), (74, 100, 75), (75, 100, 50), (0, 4, 2)] {
        let first = states(unsynced, count, 1).take(count);
        let prefixes = first.filter(|state| matches!(state, CrashState::Prefix { .. }));
        assert_eq!(prefixes.count(), wanted, "{unsynced} of {count}");
    }
}

#[test]
fn states_that_nothing_tells_apart_have_one_signature() {
    let mut rig = Rig::new();
    rig.create("log");
    rig.sync_directory("");
    rig.append("log", &[7; 100]);
    let folder = rig.root.with_file_name("saved");
    rig.journal.save(&folder, LARGE).unwrap();
    let image = CrashImage::open(&folder).unwrap();
    let mut by_signature = std::collections::BTreeMap::new();
    for (number, state) in states(image.unsynced(), 40, 1).take(40).enumerate() {
        let target = rig.root.with_file_name(number.to_string());
        image.materialize(state, &target).unwrap();
        let listings: &mut BTreeSet<_> = by_signature.entry(image.signature(state)).or_default();
        listings.insert(listing(&target));
    }
    // Nothing, everything, and torn with or without its length.
    assert_eq!(by_signature.len(), 4);
    assert!(by_signature.values().all(|listings| listings.len() == 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_image_is_what_a_roll_back_leaves(
        acts in acts(),
        survival in prop_oneof![
            Just(Survival::None), Just(Survival::Prefix), Just(Survival::Torn),
            Just(Survival::Subset(700)), Just(Survival::Subset(1000)),
        ],
        draw in any::<u64>(),
    ) {
        let mut pair = Pair::run(&acts);
        let folder = tempfile::tempdir().unwrap();
        let saved = folder.path().join("saved");
        pair.rig.journal.save(&saved, LARGE).unwrap();
        let effect = pair.rig.journal.roll_back(survival, draw).unwrap();
        let target = folder.path().join("image");
        let image = CrashImage::open(&saved).unwrap();
        let made = image.materialize(drawn(survival, draw), &target).unwrap();
        prop_assert_eq!(listing(&target), pair.rig.listing());
        prop_assert_eq!(made, effect);
        // Making one changes nothing for the next.
        let again = folder.path().join("again");
        image.materialize(drawn(survival, draw), &again).unwrap();
        prop_assert_eq!(listing(&again), listing(&target));
    }
}
