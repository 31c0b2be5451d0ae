//! A machine that says what it likes, byte by byte.

use asa_framework::testing::Harness;
use grasp::hex;
use grasp::net::memory::FabricNode;
use grasp::net::{ByteStream, Network};
use grasp::wire::{EndOption, Flags, Limits, Message, decode};
use grasp::{Locator, Objective, Value};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// How long a stranger listens.
const PATIENCE: Duration = Duration::from_secs(120);

/// Flags of a live negotiation, and of a dry run.
pub(crate) const LIVE: Flags = Flags(3);
pub(crate) const DRY: Flags = Flags(11);

/// What is heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A proposal of this value, in hexadecimal digits.
    Offer(String),
    /// To wait so many milliseconds.
    Wait(u32),
    /// The end, with a reason.
    Declined(String),
    /// The end, with agreement.
    Accepted,
    /// That the last message was not understood.
    Invalid,
    /// The end of the connection.
    Closed,
    /// Nothing in time.
    Nothing,
}

/// One that knows where an objective is to be had.
pub(crate) struct Stranger {
    machine: FabricNode,
    to: SocketAddr,
    name: String,
    session: u32,
}

impl Stranger {
    pub(crate) async fn to(harness: &Harness, name: &str) -> Self {
        let finder = harness.peer(&format!("finder-{name}")).await;
        let found = finder.discover(&Objective::negotiation(name), Duration::from_secs(1), None).await.unwrap();
        let Locator::Ipv6 { address, port, .. } = found[0].locator else { panic!("{found:?}") };
        Self { machine: harness.machine(), to: (address, port).into(), name: name.to_owned(), session: 0x1000 }
    }

    /// The same on another machine.
    pub(crate) fn another(&self, harness: &Harness) -> Self {
        Self { machine: harness.machine(), name: self.name.clone(), session: self.session + 0x100_000, ..*self }
    }

    /// Asks for a value, given in hexadecimal digits.
    pub(crate) async fn ask(&mut self, flags: Flags, value: &str) -> Talk {
        self.session += 1;
        let value = Value::from_encoded(hex::decode(value).unwrap()).unwrap();
        let objective = Objective { flags, ..Objective::negotiation(self.name.clone()).with_value(value) };
        let stream = self.machine.connect(self.to).await.unwrap();
        let mut talk = Talk { stream, session: self.session, objective: objective.clone() };
        talk.say(&Message::RequestNegotiation { session_id: self.session, objective }).await;
        talk
    }

    /// Asks live, and hears the answer.
    pub(crate) async fn answer(&mut self, value: &str) -> (Talk, Heard) {
        let mut talk = self.ask(LIVE, value).await;
        let heard = talk.hear().await;
        (talk, heard)
    }
}

/// A connection of a stranger. Dropped, it is closed: in order if everything was read, else by a reset.
pub(crate) struct Talk {
    stream: ByteStream,
    session: u32,
    objective: Objective,
}

impl Talk {
    pub(crate) async fn say(&mut self, message: &Message) {
        // Whoever has been closed on is not heard.
        let _ = self.stream.write_all(&message.encode()).await;
    }

    pub(crate) async fn end(&mut self, option: EndOption) {
        self.say(&Message::End { session_id: self.session, option }).await;
    }

    /// Proposes a value in turn.
    pub(crate) async fn propose(&mut self, flags: Flags, value: &str) {
        let value = Value::from_encoded(hex::decode(value).unwrap()).unwrap();
        let objective = Objective { flags, loop_count: 4, ..self.objective.clone().with_value(value) };
        self.say(&Message::Negotiate { session_id: self.session, objective }).await;
    }

    pub(crate) async fn hear(&mut self) -> Heard {
        let mut bytes = vec![0; 4096];
        let Ok(read) = tokio::time::timeout(PATIENCE, self.stream.read(&mut bytes)).await else {
            return Heard::Nothing;
        };
        let Ok(length @ 1..) = read else { return Heard::Closed };
        match decode(&bytes[..length], &Limits::default()).unwrap() {
            Message::Negotiate { objective, .. } => Heard::Offer(hex::encode(objective.value.unwrap().as_bytes())),
            Message::Wait { waiting_time, .. } => Heard::Wait(waiting_time),
            Message::End { option: EndOption::Decline(reason), .. } => Heard::Declined(reason.unwrap_or_default()),
            Message::End { option: EndOption::Accept, .. } => Heard::Accepted,
            Message::Invalid { .. } => Heard::Invalid,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until there is something to read, and does not read it: a close is a reset then.
    pub(crate) async fn reset_after_an_answer(self) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
