//! Foreign clients as members of groups: alone, mixed, and while the group's coordinator dies.

use std::collections::{BTreeMap, BTreeSet};

use broker::client::{Admin, GroupDescription};
use broker::group::partition_for;
use broker::id::{BrokerId, TopicPartition};
use broker::record::Compression;
use libtest_mimic::Failed;

use crate::cluster::{Cluster, create_topic, partitions};
use crate::codecs::write;
use crate::compare::compare;
use crate::foreign::Client;
use crate::member::Member;
use crate::resume::compare_resumed;
use crate::text::{self, Line};
use crate::wait::until;

const TOPIC: &str = "licences";
const GROUP: &str = "readers";
const OFFSETS: &str = "__consumer_offsets";
/// Lines that are sent at a time.
const LINES: usize = 400;

/// Two members of one kind share the partitions, and two others go on where they ended.
pub(crate) async fn alone(clients: &[Client]) -> Result<(), Failed> {
    let client = clients.first().ok_or("no client")?;
    on_cluster(async |cluster| {
        let admin = prepare(cluster).await?;
        for lines in pieces()?.into_iter().take(2) {
            let mut members = vec![
                join(cluster, client, "first")?,
                join(cluster, client, "second")?,
            ];
            settled(&admin, &mut members).await?;
            write(cluster, TOPIC, Compression::None, &lines).await?;
            delivered(&mut members, &lines).await?;
            close(members).await?;
            expect_all_committed(&admin).await?;
        }
        Ok(())
    })
    .await
}

/// Members of different kinds share the partitions; then the first leaves.
pub(crate) async fn mixed(clients: &[Client]) -> Result<(), Failed> {
    on_cluster(async |cluster| {
        let admin = prepare(cluster).await?;
        let [first, second, _] = pieces()?;
        let mut members = Vec::new();
        for (index, client) in clients.iter().enumerate() {
            members.push(join(cluster, client, &format!("member-{index}"))?);
        }
        let group = settled(&admin, &mut members).await?;
        if group.assignor != "roundrobin" {
            return Err(format!("all know roundrobin, the group uses {}", group.assignor).into());
        }
        write(cluster, TOPIC, Compression::None, &first).await?;
        delivered(&mut members, &first).await?;
        let stay = members.split_off(1);
        close(std::mem::replace(&mut members, stay)).await?;
        settled(&admin, &mut members).await?;
        write(cluster, TOPIC, Compression::None, &second).await?;
        delivered(&mut members, &second).await?;
        close(members).await?;
        expect_all_committed(&admin).await
    })
    .await
}

/// A member consumes and commits while its coordinator is killed.
pub(crate) async fn coordinator_killed(clients: &[Client]) -> Result<(), Failed> {
    let client = clients.first().ok_or("no client")?;
    on_cluster(async |cluster| {
        let admin = prepare(cluster).await?;
        let [first, second, third] = pieces()?;
        let mut members = vec![join(cluster, client, "member")?];
        let before = settled(&admin, &mut members).await?;
        write(cluster, TOPIC, Compression::None, &first).await?;
        until("a commit", async || {
            let committed = admin.group_offsets(GROUP, None).await.unwrap_or_default();
            Ok((!committed.is_empty()).then_some(()))
        })
        .await?;
        let killed = offsets_leader(&admin).await?;
        if killed != before.coordinator {
            return Err(format!("{killed:?} leads, {:?} coordinates", before.coordinator).into());
        }
        cluster.kill(killed);
        write(cluster, TOPIC, Compression::None, &second).await?;
        delivered(&mut members, &[first, second].concat()).await?;
        let after = settled(&admin, &mut members).await?;
        if after.coordinator == killed || ids(&after) != ids(&before) {
            return Err(format!("the group did not go on: {before:?}, {after:?}").into());
        }
        all_committed(&admin, &mut members).await?;
        cluster.launch(killed)?;
        write(cluster, TOPIC, Compression::None, &third).await?;
        delivered(&mut members, &third).await?;
        close(members).await?;
        expect_all_committed(&admin).await
    })
    .await
}

/// The same for a client that gives up and joins anew, and may then read again what it had not
/// committed.
///
/// KafkaJS asks for the coordinator only when it joins (`consumerGroup.js`), and tries one that is
/// down until its retries are used up; then it starts again as a new member, without the positions
/// it had (`onCrash` in `consumer/index.js`). What it had read and not committed comes again: what
/// is under way when the coordinator dies, and what it handles between its tries.
pub(crate) async fn coordinator_killed_and_joined_anew(clients: &[Client]) -> Result<(), Failed> {
    let client = clients.first().ok_or("no client")?;
    on_cluster(async |cluster| {
        let admin = prepare(cluster).await?;
        let pieces = pieces()?;
        let [first, second, third] = &pieces;
        let mut members = vec![join(cluster, client, "member")?];
        let before = settled(&admin, &mut members).await?;
        write(cluster, TOPIC, Compression::None, first).await?;
        all_committed(&admin, &mut members).await?;
        write(cluster, TOPIC, Compression::None, second).await?;
        cluster.kill(before.coordinator);
        all_committed(&admin, &mut members).await?;
        let after = settled(&admin, &mut members).await?;
        if after.coordinator == before.coordinator {
            return Err(format!("the coordinator did not move: {before:?}, {after:?}").into());
        }
        cluster.launch(before.coordinator)?;
        write(cluster, TOPIC, Compression::None, third).await?;
        all_committed(&admin, &mut members).await?;
        for member in members {
            compare_resumed(&pieces.concat(), &member.close_and_tell().await?)?;
        }
        expect_all_committed(&admin).await
    })
    .await
}

async fn on_cluster(
    run: impl AsyncFnOnce(&mut Cluster) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let mut cluster = Cluster::start()?;
    match run(&mut cluster).await {
        Ok(()) => Ok(()),
        Err(failed) => {
            let message = failed.message().unwrap_or("failed").to_owned();
            Err(format!("{message}; {}", cluster.keep()).into())
        }
    }
}

async fn prepare(cluster: &Cluster) -> Result<Admin, Failed> {
    let admin = cluster.admin().await?;
    create_topic(&admin, TOPIC).await?;
    Ok(admin)
}

/// The text in three pieces.
fn pieces() -> Result<[Vec<Line>; 3], Failed> {
    let lines = text::lines()?;
    let mut pieces = lines.chunks(LINES).map(<[Line]>::to_vec);
    Ok(std::array::from_fn(|_| pieces.next().unwrap_or_default()))
}

fn join(cluster: &Cluster, client: &Client, name: &str) -> Result<Member, Failed> {
    Member::start(client, cluster, TOPIC, GROUP, name)
}

/// Waits until the group is stable, the members have each partition exactly once and none is
/// idle without need, and the coordinator says of everyone what it says itself.
async fn settled(admin: &Admin, members: &mut [Member]) -> Result<GroupDescription, Failed> {
    let mut last = String::new();
    let settled = until("a settled group", async || {
        let mut owned = BTreeMap::new();
        for member in &mut *members {
            owned.insert(member.name.clone(), member.owned()?);
        }
        let groups = admin.describe_groups(&[GROUP]).await.unwrap_or_default();
        last = format!("the members say {owned:?}, the coordinator says {groups:?}");
        let Some(group) = groups.into_iter().next() else {
            return Ok(None);
        };
        let mut all: Vec<_> = owned.values().flatten().copied().collect();
        all.sort_unstable();
        let shared = all == [0, 1, 2] && owned.values().all(|of_one| !of_one.is_empty());
        let agreed = group.state == "Stable" && told(&group) == Some(owned);
        Ok((shared && agreed).then_some(group))
    })
    .await;
    settled.map_err(|failed| format!("{}: {last}", failed.message().unwrap_or_default()).into())
}

/// What the coordinator says that each member has, by `client.id`.
fn told(group: &GroupDescription) -> Option<BTreeMap<String, BTreeSet<i32>>> {
    let mut told = BTreeMap::new();
    for member in &group.members {
        let partitions = member.assignment.as_ref().ok()?;
        if partitions.iter().any(|one| &*one.topic != TOPIC) {
            return None;
        }
        let indexes = partitions.iter().map(|one| one.partition).collect();
        told.insert(member.client_id.clone(), indexes);
    }
    (told.len() == group.members.len()).then_some(told)
}

fn ids(group: &GroupDescription) -> Vec<&str> {
    let ids = group.members.iter().map(|member| &*member.member_id);
    ids.collect()
}

/// Waits until the members were given as many new records as `lines`, and checks that these are
/// the ones.
async fn delivered(members: &mut [Member], lines: &[Line]) -> Result<(), Failed> {
    let count = lines.len();
    until(&format!("delivery of {count} records"), async || {
        let mut given = 0;
        for member in &mut *members {
            member.check_running()?;
            given += member.records().len();
        }
        Ok((given >= count).then_some(()))
    })
    .await?;
    let taken = members.iter_mut().flat_map(Member::take_records);
    compare(lines, &taken.collect::<Vec<_>>())
}

/// Closes the members, who must not have been given anything more.
async fn close(members: Vec<Member>) -> Result<(), Failed> {
    for member in members {
        let name = member.name.clone();
        let more = member.close().await?.len();
        if more > 0 {
            return Err(format!("{name} was given {more} records too many").into());
        }
    }
    Ok(())
}

/// Waits until the members, who all run, have committed the end of every partition.
async fn all_committed(admin: &Admin, members: &mut [Member]) -> Result<(), Failed> {
    let mut last = String::new();
    let committed = until("the last commit", async || {
        for member in &mut *members {
            member.check_running()?;
        }
        let checked = expect_all_committed(admin).await;
        if let Err(failed) = &checked {
            failed.message().unwrap_or_default().clone_into(&mut last);
        }
        Ok(checked.ok())
    })
    .await;
    committed.map_err(|failed| format!("{}: {last}", failed.message().unwrap_or_default()).into())
}

/// Checks that the group has committed the end of every partition.
async fn expect_all_committed(admin: &Admin) -> Result<(), Failed> {
    let names: Vec<_> = (0..3)
        .map(|partition| TopicPartition::new(TOPIC, partition))
        .collect();
    let mut ends = until("the ends of the partitions", async || {
        Ok(admin.end_offsets(&names).await.ok())
    })
    .await?;
    // Nobody commits where nothing was read.
    ends.retain(|_, end| *end > 0);
    let committed = until("the committed offsets", async || {
        Ok(admin.group_offsets(GROUP, Some(&names)).await.ok())
    })
    .await?;
    let committed: BTreeMap<_, _> = committed
        .into_iter()
        .map(|(name, committed)| (name, committed.offset))
        .filter(|(_, offset)| *offset > 0)
        .collect();
    if committed.iter().eq(ends.iter()) {
        return Ok(());
    }
    Err(format!("the partitions end at {ends:?}, committed are {committed:?}").into())
}

/// Who leads the group's partition of the offsets topic.
async fn offsets_leader(admin: &Admin) -> Result<BrokerId, Failed> {
    until("the leader of the group's offsets", async || {
        let partitions = partitions(admin, OFFSETS).await.unwrap_or_default();
        let index = partition_for(GROUP, partitions.len() as i32);
        let found = partitions.iter().find(|found| found.partition == index);
        Ok(found.and_then(|found| found.leader))
    })
    .await
}
