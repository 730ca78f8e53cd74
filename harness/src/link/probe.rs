//! One question over a link, as the endpoint itself would ask it.
//!
//! In: a socket of the asking namespace and the node's address. Out: what came back in time.
//! Keeps: a probe counts as answered only when response bytes arrived, because a proxy accepts
//! connections on behalf of nodes that are silent.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// An ApiVersions v0 request: key 18, version 0, correlation id 1, null client id.
pub(crate) const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A response.
    Answered,
    /// Nothing within the limit.
    Silent,
    /// The connection was refused.
    Refused,
    /// The connection was closed or reset without a response.
    Closed,
}

/// Asks `address` from `socket`, and closes the connection in an orderly way, so that a probe
/// leaves nothing behind that a later fault could count as its effect.
///
/// # Errors
/// Those that say nothing about the other side.
pub(crate) async fn ask(
    socket: TcpSocket,
    address: SocketAddr,
    limit: Duration,
) -> io::Result<Probe> {
    let mut stream = match timeout(limit, socket.connect(address)).await {
        Err(_) => return Ok(Probe::Silent),
        Ok(Err(error)) => return meaning(error),
        Ok(Ok(stream)) => stream,
    };
    match timeout(limit, exchange(&mut stream)).await {
        Err(_) => Ok(Probe::Silent),
        Ok(Ok(0)) => Ok(Probe::Closed),
        Ok(Ok(_)) => {
            let _ = timeout(limit, close(stream)).await;
            Ok(Probe::Answered)
        }
        Ok(Err(error)) => meaning(error),
    }
}

async fn exchange(stream: &mut TcpStream) -> io::Result<usize> {
    stream.write_all(&API_VERSIONS).await?;
    stream.read(&mut [0; 64]).await
}

/// Sends FIN and waits for the other side's.
async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    while stream.read(&mut [0; 4096]).await? > 0 {}
    Ok(())
}

fn meaning(error: io::Error) -> io::Result<Probe> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Ok(Probe::Refused),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Ok(Probe::Closed),
        _ => Err(error),
    }
}
