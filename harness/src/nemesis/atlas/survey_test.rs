//! Made-up clusters: what a loss leaves in each, near misses included.

use super::*;
use crate::nemesis::PartitionState;

fn ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

/// Three nodes whose partitions `t-0`, `t-1` … have these ISRs.
fn view(isrs: &[&[i32]]) -> ClusterState {
    let held = |(index, isr): (usize, &&[i32])| PartitionState {
        topic: "t".into(),
        partition: index as i32,
        leader: isr.first().map(|id| BrokerId(*id)),
        replicas: ids(&[1, 2, 3]),
        isr: ids(isr),
        sure: ids(isr),
        offline: vec![],
    };
    ClusterState {
        nodes: ids(&[1, 2, 3]),
        controller: Some(BrokerId(1)),
        registered: ids(&[1, 2, 3]),
        partitions: isrs.iter().enumerate().map(held).collect(),
    }
}

fn all_of(node: i32) -> Loss {
    Loss {
        node: BrokerId(node),
        copies: Copies::All,
        vote: true,
    }
}

fn copy_of(node: i32, partition: &str) -> Loss {
    Loss {
        node: BrokerId(node),
        copies: Copies::Of([partition.to_owned()].into()),
        vote: false,
    }
}

fn left(views: &[ClusterState], running: &[i32], open: &[Loss], losses: &[Loss]) -> Left {
    let running: BTreeSet<BrokerId> = ids(running).into_iter().collect();
    let picture = Picture {
        views,
        running: &running,
        open,
    };
    survey(&picture, losses)
}

/// What the atlas says to a loss in a cluster where all run and nothing was lost before.
fn said(isrs: &[&[i32]], losses: &[Loss]) -> Result<(), String> {
    left(&[view(isrs)], &[1, 2, 3], &[], losses).is_enough()
}

#[test]
fn one_node_may_lose_all_while_another_is_in_sync_with_everything() {
    assert_eq!(said(&[&[1, 2, 3], &[2, 3]], &[all_of(3)]), Ok(()));
    let left = left(
        &[view(&[&[1, 2, 3], &[2, 3]])],
        &[1, 2, 3],
        &[],
        &[all_of(3)],
    );
    assert_eq!(left.copies.get("t-0"), Some(&vec![1, 2]));
    assert_eq!(left.copies.get("t-1"), Some(&vec![2]));
    assert_eq!(left.voters, [1, 2]);
}

#[test]
fn the_last_replica_in_sync_may_lose_only_what_it_does_not_hold_alone() {
    let isrs: &[&[i32]] = &[&[1, 2, 3], &[3]];
    let refused = said(isrs, &[all_of(3)]).unwrap_err();
    assert!(
        refused.contains("t-1") && !refused.contains("t-0"),
        "{refused}"
    );
    assert!(said(isrs, &[copy_of(3, "t-1")]).is_err());
    assert_eq!(said(isrs, &[copy_of(3, "t-0")]), Ok(()));
    assert_eq!(said(isrs, &[all_of(1)]), Ok(()));
}

#[test]
fn two_nodes_may_lose_the_same_partition_but_not_two_votes() {
    let isrs: &[&[i32]] = &[&[1, 2, 3]];
    assert_eq!(said(isrs, &[copy_of(1, "t-0"), copy_of(2, "t-0")]), Ok(()));
    let refused = said(isrs, &[all_of(1), all_of(2)]).unwrap_err();
    assert!(refused.contains("voters"), "{refused}");
    assert!(said(isrs, &[1, 2, 3].map(|node| copy_of(node, "t-0"))).is_err());
}

#[test]
fn what_was_lost_before_is_no_good_copy_until_it_is_back_in_sync() {
    let open = [copy_of(1, "t-0"), copy_of(2, "t-0")];
    let third = [copy_of(3, "t-0")];
    let views = [view(&[&[1, 2, 3]])];
    assert!(left(&views, &[1, 2, 3], &open, &third).is_enough().is_err());
    assert_eq!(
        left(&views, &[1, 2, 3], &open[..1], &third).is_enough(),
        Ok(())
    );
    assert!(
        left(&views, &[1, 2, 3], &[all_of(2)], &[all_of(3)])
            .is_enough()
            .is_err()
    );
}

#[test]
fn a_copy_counts_only_if_both_views_have_it_and_its_node_runs() {
    let (before, after) = (view(&[&[1, 2, 3]]), view(&[&[1, 3]]));
    let loss = [all_of(3)];
    let both = left(&[before.clone(), after.clone()], &[1, 2, 3], &[], &loss);
    assert_eq!(both.copies.get("t-0"), Some(&vec![1]));
    let stopped = left(&[before, after], &[2, 3], &[], &loss);
    assert!(
        stopped.is_enough().is_err(),
        "node 1 is down, 2 not in sync"
    );
}

#[test]
fn what_is_not_known_is_not_enough() {
    assert!(said(&[], &[all_of(3)]).is_err());
    let unseen = left(
        &[view(&[&[1, 2], &[1, 2]]), view(&[&[1, 2]])],
        &[1, 2, 3],
        &[],
        &[],
    );
    assert_eq!(unseen.copies.get("t-1"), Some(&vec![]), "one view lacks it");
}

#[test]
fn a_loss_is_made_good_by_registration_and_every_isr() {
    let loss = all_of(3);
    assert!(is_made_good(&loss, &view(&[&[1, 3], &[3]])));
    assert!(!is_made_good(&loss, &view(&[&[1, 3], &[1]])));
    assert!(is_made_good(&copy_of(3, "t-0"), &view(&[&[1, 3], &[1]])));
    let mut fenced = view(&[&[1, 3]]);
    fenced.registered = ids(&[1, 2]);
    assert!(!is_made_good(&loss, &fenced));
}

#[test]
fn a_node_is_out_once_it_left_one_isr_of_what_it_lost() {
    for (isrs, wanted) in [
        ([&[1, 2, 3][..], &[1, 3]], false),
        ([&[1, 2, 3], &[1, 2]], true),
        ([&[1, 2], &[1, 2]], true),
    ] {
        assert_eq!(is_out(&all_of(3), &view(&isrs)), wanted, "{isrs:?}");
    }
    assert!(!is_out(&copy_of(3, "t-0"), &view(&[&[1, 3], &[1]])));
}

#[test]
fn a_copy_that_one_of_the_majority_does_not_have_in_sync_is_neither_good_nor_out() {
    let mut unsure = view(&[&[1, 2, 3]]);
    unsure.partitions[0].sure = ids(&[1, 3]);
    let views = std::slice::from_ref(&unsure);
    let left = left(views, &[1, 2, 3], &[], &[all_of(3)]);
    assert_eq!(left.copies.get("t-0"), Some(&vec![1]));
    assert!(!is_made_good(&all_of(2), &unsure));
    // What it tells may be of before the loss.
    assert!(!is_out(&all_of(2), &unsure));
}

#[test]
fn what_was_in_sync_before_is_not_known_to_be_now() {
    let before = [view(&[&[1, 2, 3], &[1]])];
    let one = |losses: &[Loss]| left(&before, &[1, 2, 3], &[], losses);
    // Nodes 1 and 3 may have left the ISR of t-0 before the last of those that stopped.
    let (unknown, enough) = known(one(&[copy_of(2, "t-0")]), 1, 2);
    assert_eq!(unknown, None);
    assert!(enough.unwrap_err().contains("no majority told"));
    let (bare, enough) = known(one(&[copy_of(1, "t-1")]), 1, 2);
    let bare: Vec<String> = bare.unwrap().copies.into_keys().collect();
    assert_eq!(bare, ["t-1"]);
    assert!(enough.unwrap_err().contains("left of t-1"));
    let (all, enough) = known(one(&[copy_of(2, "t-0")]), 1, 1);
    assert_eq!((all.unwrap().copies.len(), enough), (2, Ok(())));
    let (nothing, enough) = known(left(&[], &[1, 2, 3], &[], &[]), 0, 1);
    assert_eq!(nothing, None);
    assert!(enough.is_err());
}

#[test]
fn a_voter_that_is_fenced_or_down_may_not_know_what_was_decided() {
    let whole = view(&[&[1, 2]]);
    let mut fenced = whole.clone();
    fenced.registered = ids(&[1, 3]);
    let lose = [all_of(3)];
    let said = |view: &ClusterState, running: &[i32]| {
        left(std::slice::from_ref(view), running, &[], &lose).voters
    };
    assert_eq!(said(&whole, &[1, 2, 3]), [1, 2]);
    assert_eq!(said(&fenced, &[1, 2, 3]), [1]);
    assert_eq!(said(&whole, &[1, 3]), [1]);
    let copies_only = left(&[fenced], &[1, 2, 3], &[], &[copy_of(3, "t-0")]);
    assert_eq!(
        (copies_only.is_enough(), copies_only.voters),
        (Ok(()), vec![1, 3])
    );
}

#[test]
fn nobody_is_stopped_if_those_left_are_no_majority_to_tell_what_is() {
    let may_stop = |nodes: i32, down: i32, stopped: i32| {
        let all: Vec<i32> = (1..=nodes).collect();
        let mut view = view(&[&all]);
        view.nodes = ids(&all);
        view.registered = ids(&all);
        let running: BTreeSet<BrokerId> = ids(&all[down as usize..]).into_iter().collect();
        let losses: Vec<Loss> = (1..=stopped).map(|at| copy_of(down + at, "t-0")).collect();
        let atlas = Atlas::new(true);
        atlas.may_stop_while(running, &[view], &losses)
    };
    let most = |nodes, down| (0..=nodes - down).rfind(|&n| may_stop(nodes, down, n).is_ok());
    assert_eq!(
        (1..=5).map(|nodes| most(nodes, 0)).collect::<Vec<_>>(),
        [Some(0), Some(0), Some(1), Some(1), Some(2)]
    );
    assert_eq!(most(5, 1), Some(1), "who is down tells nothing");
    let refused = may_stop(5, 0, 3).unwrap_err();
    assert!(refused.contains("majority"), "copies are left: {refused}");
    let refused = may_stop(5, 0, 5).unwrap_err();
    assert!(refused.contains("no good copy"), "what is worse: {refused}");
}

#[tokio::test]
async fn a_look_that_ends_after_the_last_may_begin_is_heard() {
    let atlas = Atlas::default();
    let node = BrokerId(3);
    atlas.lock().push(Taken {
        loss: all_of(3),
        is_back: false,
        was_out: false,
    });
    let look = || async {
        sleep(Duration::from_millis(10)).await;
        Some(view(&[&[1, 2]]))
    };
    atlas.watch_by(look, Duration::ZERO, node).await;
    assert!(!atlas.awaits(node), "it is out of sync");
}
