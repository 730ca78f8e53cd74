//! Links: what the two ends of a real connection see under each policy.

use std::time::{Duration, Instant};

use broker::id::BrokerId;
use harness::link::{
    AtHeal, Count, Cut, Direction, FrameAction, FramePick, FrameRule, FrameSide, LinkId, Policy,
    Probe,
};
use harness::sandbox::node_address;
use libtest_mimic::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{
    C1, Cluster, N1, NEVER, Outcome, Pair, ensure, expect, never, pass, request, response, soon,
    trial, until,
};

const LINK: LinkId = LinkId { from: C1, to: N1 };
/// In `/proc/net/tcp`: the state of a socket, and the begin of its queue of a SYN.
const SYN_SENT: &str = " 02 0000000";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "links::a_link_carries_bytes_both_ways_and_fin",
            carries_bytes,
        ),
        trial("links::a_link_carries_tens_of_megabytes_a_second", is_fast),
        trial("links::a_one_way_cut_is_one_way", one_way_cut),
        trial("links::hold_releases_everything_in_order", hold_releases),
        trial(
            "links::a_connection_begun_in_a_cut_reaches_the_node_at_heal",
            connect_in_cut,
        ),
        trial("links::refuse_refuses_new_connections_only", refuse),
        trial("links::mute_accepts_and_never_answers", mute),
        trial("links::reset_reaches_both_ends", reset),
        trial("links::delay_lets_the_other_link_pass_first", delay),
        trial("links::bandwidth_slows_a_large_transfer", bandwidth),
        trial(
            "links::only_the_second_response_of_an_api_is_dropped",
            drop_second_response,
        ),
        trial(
            "links::an_acknowledgement_is_lost_with_its_connection",
            lose_acknowledgement,
        ),
        trial(
            "links::a_held_frame_goes_on_when_its_rule_is_lifted",
            hold_frame,
        ),
        trial(
            "links::a_reset_of_the_node_is_a_reset_at_the_client",
            node_resets,
        ),
        trial(
            "links::a_cut_hides_fin_and_rst_until_it_heals",
            cut_hides_goodbye,
        ),
        trial(
            "links::a_forgotten_connection_is_half_open_until_somebody_speaks",
            half_open,
        ),
        trial(
            "links::a_cut_hides_the_answer_to_a_half_open_end",
            half_open_in_cut,
        ),
        trial(
            "links::a_cut_hides_the_refusal_of_who_had_asked_before",
            refused_in_cut,
        ),
        trial(
            "links::a_cut_hides_the_resets_of_another_that_healed",
            reset_in_cut,
        ),
        trial("links::layers_of_two_faults_heal_one_by_one", layers),
    ]
}

async fn carries_bytes() -> Outcome {
    let pair = Pair::new()?;
    let (mut client, mut server) = pair.connected().await?;
    pass(&mut client, &mut server, b"ping").await?;
    pass(&mut server, &mut client, b"pong").await?;
    client.shutdown().await?;
    ensure(
        soon("FIN", server.read(&mut [0; 8])).await?? == 0,
        "bytes after the FIN",
    )?;
    pass(&mut server, &mut client, b"half-closed").await
}

async fn is_fast() -> Outcome {
    const BYTES: usize = 64 << 20;
    let pair = Pair::new()?;
    let (mut client, mut server) = pair.connected().await?;
    let begin = Instant::now();
    let send = tokio::spawn(async move {
        let chunk = vec![7; 256 << 10];
        for _ in 0..BYTES / chunk.len() {
            client.write_all(&chunk).await?;
        }
        client.shutdown().await
    });
    let mut buffer = vec![0; 256 << 10];
    let mut got = 0;
    loop {
        match soon("bytes", server.read(&mut buffer)).await?? {
            0 => break,
            read => got += read,
        }
    }
    send.await??;
    ensure(got == BYTES, format!("{got} of {BYTES} bytes arrived"))?;
    let rate = BYTES as f64 / begin.elapsed().as_secs_f64() / 1e6;
    println!("one link: {rate:.0} MB/s");
    ensure(rate > 20.0, format!("{rate:.0} MB/s"))
}

async fn one_way_cut() -> Outcome {
    let pair = Pair::new()?;
    let (mut client, mut server) = pair.connected().await?;
    let layer = pair.links.layer();
    pair.links.cut(layer, C1, N1, AtHeal::Release);
    client.write_all(b"lost?").await?;
    pass(&mut server, &mut client, b"still heard").await?;
    let withheld = || pair.links.counts(LINK).get(Count::BytesWithheld) == 5;
    until("the journal counts the withheld bytes", withheld).await?;
    never("bytes through the cut", server.read(&mut [0; 8])).await?;
    pair.links.lift(layer);
    expect(&mut server, b"lost?").await
}

async fn hold_releases() -> Outcome {
    let pair = Pair::new()?;
    let (mut client, mut server) = pair.connected().await?;
    let layer = pair.links.layer();
    pair.links
        .impose(layer, LINK, Policy::Cut(Cut::BOTH, AtHeal::Release));
    for part in [b"one", b"two"] {
        client.write_all(part).await?;
        server.write_all(part).await?;
    }
    client.shutdown().await?;
    never("bytes through the hold", server.read(&mut [0; 8])).await?;
    pair.links.lift(layer);
    expect(&mut server, b"onetwo").await?;
    expect(&mut client, b"onetwo").await?;
    ensure(
        soon("FIN", server.read(&mut [0; 8])).await?? == 0,
        "bytes after the FIN",
    )
}

async fn connect_in_cut() -> Outcome {
    let pair = Pair::new()?;
    let layer = pair.links.layer();
    pair.links.cut(layer, N1, C1, AtHeal::Release);
    let mut client = pair.connect().await?;
    client.write_all(b"early").await?;
    never("a connection through the cut", pair.listener.accept()).await?;
    ensure(
        pair.links.counts(LINK).get(Count::ConnectsWithheld) == 1,
        "not counted",
    )?;
    pair.links.lift(layer);
    let (mut server, _) = soon("accept", pair.listener.accept()).await??;
    expect(&mut server, b"early").await
}

async fn refuse() -> Outcome {
    let pair = Pair::new()?;
    let (mut client, mut server) = pair.connected().await?;
    let layer = pair.links.layer();
    pair.links.impose(layer, LINK, Policy::Refuse);
    soon("a refused probe", async {
        while !matches!(pair.links.probe(LINK, NEVER).await, Ok(Probe::Refused)) {}
    })
    .await?;
    pass(&mut client, &mut server, b"established").await?;
    pair.links.lift(layer);
    soon("a connection after heal", async {
        while pair.connect().await.is_err() {}
    })
    .await
}

async fn mute() -> Outcome {
    let pair = Pair::new()?;
    let layer = pair.links.layer();
    pair.links.impose(layer, LINK, Policy::Mute);
    let mut client = pair.connect().await?;
    client.write_all(b"hello?").await?;
    never("an answer", client.read(&mut [0; 8])).await?;
    never("a connection at the node", pair.listener.accept()).await?;
    ensure(
        pair.links.counts(LINK).get(Count::Muted) == 1,
        "not counted",
    )?;
    pair.links.lift(layer);
    let ended = soon("the end of the mute connection", client.read(&mut [0; 8])).await?;
    ensure(!matches!(ended, Ok(1..)), "an answer from nobody")
}

async fn reset() -> Outcome {
    let pair = Pair::new()?;
    let (mut client, mut server) = pair.connected().await?;
    pair.links.reset(LINK);
    for end in [&mut client, &mut server] {
        is_reset(end).await?;
    }
    ensure(
        pair.links.counts(LINK).get(Count::Reset) == 2,
        "not counted",
    )?;
    let (mut client, mut server) = pair.connected().await?;
    pass(&mut client, &mut server, b"new").await
}

/// The stream ends with a RST.
async fn is_reset(stream: &mut TcpStream) -> Outcome {
    let read = soon("RST", stream.read(&mut [0; 8])).await?;
    let error = read.err().map(|error| error.kind());
    ensure(
        error == Some(std::io::ErrorKind::ConnectionReset),
        format!("got {error:?}"),
    )
}

async fn delay() -> Outcome {
    let cluster = Cluster::start().await?;
    let links = &cluster.arena.links;
    let layer = links.layer();
    let (mean, jitter) = (Duration::from_secs(2), Duration::from_millis(100));
    links.impose(layer, LINK, Policy::Delay { mean, jitter });
    let mut slow = cluster.connect(C1, 1).await?;
    let mut fast = cluster.connect(C1, 2).await?;
    slow.write_all(&request(18, 1, b"slow")).await?;
    slow.write_all(&request(18, 2, b"slow too")).await?;
    fast.write_all(&request(18, 1, b"fast")).await?;
    let (mut first, fast_response) = ([0; 1], response(1, b"fast"));
    tokio::select! {
        biased;
        _ = slow.read(&mut first) => return Err("the slow link answered first".into()),
        done = expect(&mut fast, &fast_response) => done?,
    }
    expect(&mut slow, &response(1, b"slow")).await?;
    expect(&mut slow, &response(2, b"slow too")).await?;
    ensure(
        links.counts(LINK).get(Count::BytesDelayed) > 0,
        "not counted",
    )
}

async fn bandwidth() -> Outcome {
    let pair = Pair::new()?;
    let (mut client, mut server) = pair.connected().await?;
    let layer = pair.links.layer();
    let bytes_per_second = 1 << 20;
    pair.links
        .impose(layer, LINK, Policy::Bandwidth { bytes_per_second });
    let begin = Instant::now();
    let bytes = vec![3; 512 << 10];
    let send = bytes.clone();
    let sender = tokio::spawn(async move { client.write_all(&send).await.map(|()| client) });
    expect(&mut server, &bytes).await?;
    drop(sender.await??);
    // Half a second's worth; the first and the last chunk need not wait.
    ensure(
        begin.elapsed() > Duration::from_millis(200),
        format!("{:?}", begin.elapsed()),
    )
}

fn rule(pick: FramePick, action: FrameAction) -> FrameRule {
    FrameRule {
        side: FrameSide::Response,
        api: Some(0),
        pick,
        action,
    }
}

async fn drop_second_response() -> Outcome {
    let cluster = Cluster::start().await?;
    let links = &cluster.arena.links;
    let layer = links.layer();
    let rule = links.add_rule(layer, LINK, rule(FramePick::Nth(2), FrameAction::Drop));
    let mut client = cluster.connect(C1, 1).await?;
    for (correlation, api) in (1..).zip([0, 3, 0, 0, 3]) {
        client
            .write_all(&request(api, correlation, &[api as u8; 100]))
            .await?;
    }
    for (correlation, api) in [(1, 0), (2, 3), (4, 0), (5, 3)] {
        expect(&mut client, &response(correlation, &[api; 100])).await?;
    }
    ensure(
        rule.is_some_and(|rule| (rule.seen(), rule.applied()) == (3, 1)),
        "wrong counts",
    )?;
    ensure(
        links.counts(LINK).get(Count::FramesDropped) == 1,
        "not counted",
    )
}

async fn lose_acknowledgement() -> Outcome {
    let cluster = Cluster::start().await?;
    let links = &cluster.arena.links;
    let layer = links.layer();
    links.add_rule(layer, LINK, rule(FramePick::Nth(2), FrameAction::Reset));
    let mut client = cluster.connect(C1, 1).await?;
    client.write_all(&request(0, 1, b"kept")).await?;
    expect(&mut client, &response(1, b"kept")).await?;
    client.write_all(&request(0, 2, b"lost")).await?;
    let ended = soon("RST", client.read(&mut [0; 8])).await?;
    ensure(ended.is_err(), format!("got {ended:?}"))
}

async fn hold_frame() -> Outcome {
    let cluster = Cluster::start().await?;
    let links = &cluster.arena.links;
    let layer = links.layer();
    links.add_rule(layer, LINK, rule(FramePick::Nth(1), FrameAction::Hold));
    let mut client = cluster.connect(C1, 1).await?;
    client.write_all(&request(0, 1, b"held")).await?;
    client.write_all(&request(3, 2, b"behind it")).await?;
    never("a response", client.read(&mut [0; 1])).await?;
    links.lift(layer);
    expect(&mut client, &response(1, b"held")).await?;
    expect(&mut client, &response(2, b"behind it")).await
}

async fn node_resets() -> Outcome {
    let pair = Pair::new()?;
    let (mut client, server) = pair.connected().await?;
    server.set_zero_linger()?;
    drop(server);
    is_reset(&mut client).await?;
    drop(pair.listener);
    let links = &pair.links;
    ensure(
        links.probe(LINK, NEVER * 10).await? == Probe::Closed,
        "nobody listens",
    )
}

async fn cut_hides_goodbye() -> Outcome {
    for at_heal in [AtHeal::Release, AtHeal::Reset] {
        let pair = Pair::new()?;
        let (mut client, server) = pair.connected().await?;
        let layer = pair.links.layer();
        pair.links
            .impose(layer, LINK, Policy::Cut(Cut::BOTH, at_heal));
        drop(server);
        client.write_all(b"anybody?").await?;
        never("a goodbye", client.read(&mut [0; 8])).await?;
        pair.links.lift(layer);
        let ended = soon("the goodbye", client.read(&mut [0; 8])).await?;
        ensure(!matches!(ended, Ok(1..)), format!("got {ended:?}"))?;
    }
    Ok(())
}

async fn half_open() -> Outcome {
    let pair = Pair::new()?;
    let (mut idle, server) = pair.connected().await?;
    let layer = pair.links.layer();
    let cut = Policy::Cut(Cut::BOTH, AtHeal::Forget);
    pair.links.impose(layer, LINK, cut);
    drop(server);
    pair.links.lift(layer);
    never("a goodbye", idle.read(&mut [0; 8])).await?;
    idle.write_all(b"anybody?").await?;
    let ended = soon("the answer", idle.read(&mut [0; 8])).await?;
    ensure(ended.is_err(), format!("not a reset, but {ended:?}"))?;
    let (mut fresh, mut server) = pair.connected().await?;
    pass(&mut fresh, &mut server, b"a new connection works").await
}

/// One end speaks and one is closed, as those of a killed process are: neither hears anything.
async fn half_open_in_cut() -> Outcome {
    let pair = Pair::new()?;
    let links = &pair.links;
    let (mut speaks, first) = pair.connected().await?;
    let (closes, second) = pair.connected().await?;
    let forgets = links.layer();
    links.impose(forgets, LINK, Policy::Cut(Cut::BOTH, AtHeal::Forget));
    drop((first, second));
    links.lift(forgets);
    let counts = || [Count::HalfOpen, Count::Reset].map(|what| links.counts(LINK).get(what));
    // The ends at the node were closed, which is answered.
    until("two half-open ends", || counts() == [4, 2]).await?;
    let hides = links.layer();
    links.impose(hides, LINK, Policy::Cut(Cut::BOTH, AtHeal::Release));
    drop(closes);
    speaks.write_all(b"anybody?").await?;
    never("an answer", speaks.read(&mut [0; 8])).await?;
    ensure(counts() == [4, 2], format!("{:?}", counts()))?;
    links.lift(hides);
    is_reset(&mut speaks).await?;
    until("both answers", || counts() == [4, 4]).await
}

async fn reset_in_cut() -> Outcome {
    let pair = Pair::new()?;
    let (mut client, _server) = pair.connected().await?;
    let (heals, holds) = (pair.links.layer(), pair.links.layer());
    for (layer, at_heal) in [(heals, AtHeal::Reset), (holds, AtHeal::Forget)] {
        let cut = Policy::Cut(Cut::BOTH, at_heal);
        pair.links.impose(layer, LINK, cut);
    }
    let mut withheld = pair.connect().await?;
    let counted = |what, number| pair.links.counts(LINK).get(what) == number;
    until("a connection", || counted(Count::ConnectsWithheld, 1)).await?;
    pair.links.lift(heals);
    for end in [&mut client, &mut withheld] {
        never("a goodbye", end.read(&mut [0; 8])).await?;
    }
    ensure(counted(Count::Reset, 0), "a reset passed the cut")?;
    pair.links.lift(holds);
    is_reset(&mut client).await?;
    is_reset(&mut withheld).await
}

/// The node hears the retransmitted SYN when the cut has begun and nothing listens any more.
async fn refused_in_cut() -> Outcome {
    let Pair {
        sandbox,
        links,
        listener,
    } = Pair::new()?;
    drop(listener);
    let (address, node) = (node_address(BrokerId(1)), sandbox.namespace(N1)?);
    let socket = node.tcp_socket()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(1)?;
    let mut fills_backlog = Vec::new();
    for _ in 0..2 {
        fills_backlog.push(soon("connect", node.tcp_socket()?.connect(address)).await??);
    }
    let client = sandbox.namespace(C1)?.tcp_socket()?;
    let mut client = soon("connect", client.connect(address)).await??;
    let table = || node.run(|| std::fs::read_to_string("/proc/thread-self/net/tcp"));
    let is_asked = || matches!(table(), Ok(Ok(table)) if table.contains(SYN_SENT));
    until("a SYN to the node", is_asked).await?;
    let layer = links.layer();
    links.impose(layer, LINK, Policy::Cut(Cut::BOTH, AtHeal::Forget));
    drop(listener);
    let refused = || links.counts(LINK).get(Count::NodeRefused) == 1;
    until("the refusal", refused).await?;
    never("a goodbye", client.read(&mut [0; 8])).await?;
    links.lift(layer);
    is_reset(&mut client).await
}

async fn layers() -> Outcome {
    let pair = Pair::new()?;
    let (mut client, mut server) = pair.connected().await?;
    let (one, two) = (pair.links.layer(), pair.links.layer());
    pair.links.cut(one, C1, N1, AtHeal::Release);
    pair.links.impose(
        two,
        LINK,
        Policy::Cut(Cut::only(Direction::Backward), AtHeal::Release),
    );
    ensure(pair.links.policy(LINK).withholds_connect(), "cut")?;
    pair.links.lift(one);
    pass(&mut client, &mut server, b"forward is open again").await?;
    server.write_all(b"late").await?;
    never("bytes through the second cut", client.read(&mut [0; 8])).await?;
    pair.links.heal_all();
    expect(&mut client, b"late").await
}
