//! One question to a node, and its answer.

use std::io;
use std::path::Path;
use std::time::Duration;

use asa_framework::control::{Command, MAX_LINE, Reply, Request, VERSION};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Trouble;

/// How long it may take to get a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Asks the node on this socket.
pub(crate) async fn ask(path: &Path, command: Command, limit: Duration) -> Result<Value, Trouble> {
    let at = path.display();
    let failed = |what: &str| Trouble::Failed(format!("{at}: {what}"));
    let stream = match timeout(CONNECT_LIMIT, UnixStream::connect(path)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(not_connected(path, &error)),
        Err(_) => return Err(failed("the node takes no connection within 2 s")),
    };
    let mut line = serde_json::to_vec(&Request::new(command)).map_err(|error| failed(&error.to_string()))?;
    line.push(b'\n');
    let reply = match timeout(limit, exchange(stream, &line)).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(error)) => return Err(failed(&format!("the connection broke: {error}"))),
        Err(_) => {
            let seconds = limit.as_secs();
            return Err(failed(&format!("no answer within {seconds} s; what was asked for may still be done")));
        }
    };
    if reply.is_empty() {
        return Err(failed("the node closed the connection without an answer"));
    }
    if reply.last() != Some(&b'\n') {
        return Err(failed("the answer is cut off, or longer than the protocol allows"));
    }
    let reply: Reply =
        serde_json::from_slice(&reply).map_err(|error| failed(&format!("no answer of a node: {error}")))?;
    if reply.version != VERSION {
        let theirs = reply.version;
        return Err(failed(&format!("the node speaks version {theirs} of the protocol, this command {VERSION}")));
    }
    match reply.error {
        Some(failure) => Err(Trouble::Failed(failure.message)),
        None => Ok(reply.ok.unwrap_or_default()),
    }
}

async fn exchange(mut stream: UnixStream, line: &[u8]) -> io::Result<Vec<u8>> {
    // A node that refuses to listen may have said why before it closed.
    let written = stream.write_all(line).await;
    let mut reply = Vec::new();
    let read = BufReader::new(stream).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut reply).await;
    if reply.is_empty() {
        written?;
        read?;
    }
    Ok(reply)
}

fn not_connected(path: &Path, error: &io::Error) -> Trouble {
    let at = path.display();
    #[allow(clippy::wildcard_enum_match_arm, reason = "the list of kinds is open")]
    match error.kind() {
        io::ErrorKind::NotFound => Trouble::Nobody(format!("{at}: no node is running here: there is no such socket")),
        io::ErrorKind::ConnectionRefused => {
            Trouble::Nobody(format!("{at}: no node is running here: nobody answers on the socket"))
        }
        io::ErrorKind::PermissionDenied => {
            Trouble::Nobody(format!("{at}: only the node's own user and root may speak with it"))
        }
        io::ErrorKind::WouldBlock => Trouble::Failed(format!("{at}: the node takes no more connections at the moment")),
        _ => Trouble::Nobody(format!("{at}: cannot be reached: {error}")),
    }
}
