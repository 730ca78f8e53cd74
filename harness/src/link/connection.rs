//! One connection through a link, from its acceptance to its last byte.
//!
//! In: the accepted stream and the link's state. Out: bytes both ways.
//! Keeps: an end of the connection becomes visible on the other side as what it was, FIN or RST,
//! at once while the way there is open, and only at heal while it is cut.

use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::link::frame_filter::InFlight;
use crate::link::half::{Broken, Half};
use crate::link::journal::Count;
use crate::link::policy::{Direction, Policy};
use crate::link::proxy::{Age, LinkState, Proxy};

/// Carries `stream` to the node and back until both directions have ended.
pub(crate) async fn run(proxy: Arc<Proxy>, mut stream: TcpStream) {
    let mut state = proxy.subscribe();
    let born = state.borrow().age;
    let Ok(born) = admit(&proxy, &mut stream, &mut state, born).await else {
        return reset(&proxy, stream);
    };
    let Ok(node) = proxy.connect().await else {
        proxy.record(Count::NodeRefused, "the node refused the connection");
        // A cut that began after the node was asked withholds its answer.
        let open = state.wait_for(|now| !now.policy.withholds(Direction::Backward));
        let _held = open.await;
        let _ = stream.set_zero_linger();
        return drop(stream);
    };
    let _ = (stream.set_nodelay(true), node.set_nodelay(true));
    carry(&proxy, stream, node, born).await;
}

/// Waits until the policy lets a new connection through to the node; the age that it belongs to
/// then. What an end forgot meanwhile were other connections.
async fn admit(
    proxy: &Proxy,
    stream: &mut TcpStream,
    state: &mut watch::Receiver<LinkState>,
    born: Age,
) -> Result<Age, Broken> {
    let policy = state.borrow_and_update().policy.clone();
    if policy == Policy::Mute {
        proxy.record(Count::Muted, "accepted a connection and will not answer it");
        mute(stream, state).await;
        return Err(Broken);
    }
    if policy.withholds_connect() {
        proxy.record(Count::ConnectsWithheld, "withheld a new connection");
    }
    let is_reset = |now: &LinkState| now.age.resets != born.resets;
    let open = state.wait_for(|now| is_reset(now) || !now.policy.withholds_connect());
    match open.await {
        Ok(now) if !is_reset(&now) && now.age.reboots == born.reboots => Ok(now.age),
        _ => Err(Broken),
    }
}

/// Swallows what arrives until the other side gives up or the policy changes.
async fn mute(stream: &mut TcpStream, state: &mut watch::Receiver<LinkState>) {
    let swallow = async {
        let mut scrap = [0; 4096];
        while stream.read(&mut scrap).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        () = swallow => {}
        _ = state.wait_for(|now| now.policy != Policy::Mute) => {}
    }
}

async fn carry(proxy: &Proxy, mut stream: TcpStream, mut node: TcpStream, born: Age) {
    let in_flight = Arc::new(InFlight::default());
    let half = |direction| Half::new(proxy, direction, Arc::clone(&in_flight), born);
    let (from_peer, to_peer) = stream.split();
    let (from_node, to_node) = node.split();
    let ended = tokio::try_join!(
        half(Direction::Forward).run(from_peer, to_node),
        half(Direction::Backward).run(from_node, to_peer),
    );
    if ended.is_err() {
        tokio::join!(
            reset_when_open(proxy, stream, Direction::Backward, born),
            reset_when_open(proxy, node, Direction::Forward, born),
        );
    }
}

/// RST travels towards `stream` in `direction`, and a cut withholds it like anything else. Where
/// the other end has forgotten the connection, it is the answer to what `stream` sends next, and a
/// cut that begins meanwhile withholds both.
async fn reset_when_open(proxy: &Proxy, stream: TcpStream, direction: Direction, born: Age) {
    let mut state = proxy.subscribe();
    let is_reset = |now: &LinkState| now.age.resets != born.resets;
    let open = state.wait_for(|now| is_reset(now) || !now.policy.withholds(direction));
    let is_over = |now: &LinkState| is_reset(now) || now.age.reboots != born.reboots;
    let is_forgotten = open
        .await
        .is_ok_and(|now| !is_over(&now) && now.age.forgotten != born.forgotten);
    if is_forgotten {
        proxy.record(Count::HalfOpen, "one end has forgotten the connection");
        let mut byte = [0];
        tokio::select! {
            // The end of a process that is killed speaks, too: its kernel sends FIN.
            _ = stream.peek(&mut byte) => {}
            _ = state.wait_for(is_over) => {}
        }
    }
    let withholds = |policy: &Policy| match is_forgotten {
        true => policy.withholds_connect(),
        false => policy.withholds(direction),
    };
    let open = state.wait_for(|now| is_reset(now) || !withholds(&now.policy));
    // Whoever makes the link silent has to wait for this, and counts only what is reset later.
    let _held = open.await;
    reset(proxy, stream);
}

fn reset(proxy: &Proxy, stream: TcpStream) {
    let _ = stream.set_zero_linger();
    proxy.record(Count::Reset, "reset an end of a connection");
}
