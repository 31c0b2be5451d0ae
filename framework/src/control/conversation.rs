//! One connection: a request, its reply, the next request.

use super::message::{Failure, FailureCode, MAX_LINE, MAX_REQUEST, Reply, Request};
use super::parse::malformed;
use super::server::{Ask, Counters};
use actix::Recipient;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long a client may take for a full request.
pub const IDLE_LIMIT: Duration = Duration::from_secs(60);
/// How long a client may take to read a reply.
pub const WRITE_LIMIT: Duration = Duration::from_secs(20);

/// What came from a client.
enum Heard {
    Line(Vec<u8>),
    /// It has nothing more to say, or is gone.
    End,
    /// Something is wrong with what it said, and what follows cannot be told apart.
    Wrong(Failure),
}

/// Answers the requests of a client until it ends, breaks a bound, or does not read.
pub(super) async fn converse(mut stream: UnixStream, desk: Recipient<Ask>, counters: Arc<Counters>) {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let (result, last) = match hear(&mut reader, &counters).await {
            Heard::End => return,
            Heard::Wrong(failure) => (Err(failure), true),
            Heard::Line(line) => match Request::from_line(&line) {
                Err(failure) => {
                    counters.malformed.add();
                    (Err(failure), false)
                }
                Ok(request) => {
                    drop(line);
                    counters.requests.add();
                    let stopping = |_| Err(Failure::new(FailureCode::Failed, "the node is stopping"));
                    (desk.send(Ask(request.command)).await.unwrap_or_else(stopping), false)
                }
            },
        };
        let told = tell(&mut writer, result, &counters).await;
        if last || !told {
            return;
        }
    }
}

async fn hear(reader: &mut (impl AsyncBufRead + Unpin), counters: &Counters) -> Heard {
    let mut line = Vec::new();
    let mut bounded = reader.take(MAX_REQUEST as u64 + 1);
    match timeout(IDLE_LIMIT, bounded.read_until(b'\n', &mut line)).await {
        Err(_) => {
            counters.idle.add();
            Heard::Wrong(malformed(&format!("no full line within {} s", IDLE_LIMIT.as_secs())))
        }
        Ok(Err(_) | Ok(0)) => Heard::End,
        Ok(Ok(_)) if line.last() == Some(&b'\n') => {
            line.pop();
            Heard::Line(line)
        }
        Ok(Ok(_)) => {
            counters.malformed.add();
            let too_long = line.len() > MAX_REQUEST;
            Heard::Wrong(if too_long {
                malformed(&format!("longer than {MAX_REQUEST} bytes"))
            } else {
                malformed("it does not end with a line end")
            })
        }
    }
}

/// Writes a reply; tells whether the client has taken it.
async fn tell(
    writer: &mut (impl AsyncWrite + Unpin),
    result: Result<serde_json::Value, Failure>,
    counters: &Counters,
) -> bool {
    match timeout(WRITE_LIMIT, writer.write_all(&line(result))).await {
        Ok(written) => written.is_ok(),
        Err(_) => {
            counters.stalled.add();
            false
        }
    }
}

/// A reply as it is written, with its line end.
pub(super) fn line(result: Result<serde_json::Value, Failure>) -> Vec<u8> {
    let bytes = |reply: &Reply| serde_json::to_vec(reply);
    let failure = match bytes(&Reply::new(result)) {
        Ok(mut line) if line.len() <= MAX_LINE => {
            line.push(b'\n');
            return line;
        }
        Ok(line) => format!("the reply is {} bytes long; {MAX_LINE} are allowed", line.len()),
        Err(error) => format!("the reply cannot be written: {error}"),
    };
    let mut line = bytes(&Reply::new(Err(Failure::new(FailureCode::Failed, failure)))).unwrap_or_default();
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_beyond_its_bound_becomes_a_failure() {
        let all = String::from_utf8(line(Ok("x".repeat(MAX_LINE).into()))).unwrap();
        let reply: Reply = serde_json::from_str(&all).unwrap();
        assert_eq!(reply.error.unwrap().code, FailureCode::Failed);
        let most = MAX_LINE - r#"{"version":1,"ok":""}"#.len();
        assert_eq!(line(Ok("x".repeat(most).into())).len(), MAX_LINE + 1);
    }
}
