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
use crate::link::proxy::{LinkState, Proxy};

/// Carries `stream` to the node and back until both directions have ended.
pub(crate) async fn run(proxy: Arc<Proxy>, mut stream: TcpStream) {
    let mut state = proxy.subscribe();
    let born = state.borrow().resets;
    if admit(&proxy, &mut stream, &mut state, born).await.is_err() {
        return reset(&proxy, stream);
    }
    let Ok(node) = proxy.connect().await else {
        proxy.record(Count::NodeRefused, "the node refused the connection");
        let _ = stream.set_zero_linger();
        return;
    };
    let _ = (stream.set_nodelay(true), node.set_nodelay(true));
    carry(&proxy, stream, node, born).await;
}

/// Waits until the policy lets a new connection through to the node.
async fn admit(
    proxy: &Proxy,
    stream: &mut TcpStream,
    state: &mut watch::Receiver<LinkState>,
    born: u64,
) -> Result<(), Broken> {
    let policy = state.borrow_and_update().policy.clone();
    if policy == Policy::Mute {
        proxy.record(Count::Muted, "accepted a connection and will not answer it");
        return mute(stream, state).await;
    }
    if policy.withholds_connect() {
        proxy.record(Count::ConnectsWithheld, "withheld a new connection");
    }
    let open = state.wait_for(|now| now.resets != born || !now.policy.withholds_connect());
    match open.await {
        Ok(now) if now.resets == born => Ok(()),
        _ => Err(Broken),
    }
}

/// Swallows what arrives until the other side gives up or the policy changes.
async fn mute(
    stream: &mut TcpStream,
    state: &mut watch::Receiver<LinkState>,
) -> Result<(), Broken> {
    let swallow = async {
        let mut scrap = [0; 4096];
        while stream.read(&mut scrap).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        () = swallow => {}
        _ = state.wait_for(|now| now.policy != Policy::Mute) => {}
    }
    Err(Broken)
}

async fn carry(proxy: &Proxy, mut stream: TcpStream, mut node: TcpStream, born: u64) {
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

/// RST travels towards `stream` in `direction`, and a cut withholds it like anything else.
async fn reset_when_open(proxy: &Proxy, stream: TcpStream, direction: Direction, born: u64) {
    let mut state = proxy.subscribe();
    let open = state.wait_for(|now| now.resets != born || !now.policy.withholds(direction));
    let _ = open.await;
    reset(proxy, stream);
}

fn reset(proxy: &Proxy, stream: TcpStream) {
    let _ = stream.set_zero_linger();
    proxy.record(Count::Reset, "reset an end of a connection");
}
