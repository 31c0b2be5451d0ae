//! The machine that keeps the neighbours of a link, fed with bytes.

use grasp::protocol::adjacency::{Adjacency, AdjacencyConfig, Input, Output};
use grasp::protocol::{Machine, Time};
use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::time::Duration;

/// What an actor would keep beside the core.
#[derive(Default)]
struct Shell {
    now: Duration,
    dialling: BTreeSet<SocketAddrV6>,
    open: BTreeSet<u64>,
    last: u64,
}

impl Shell {
    /// Does what the core wants, and holds it to what an actor relies on.
    fn drain(&mut self, core: &mut Adjacency) {
        while let Some(output) = core.poll() {
            match output {
                Output::Announce => {}
                Output::Dial(at) => assert!(self.dialling.insert(at), "{at} is dialled twice at once"),
                Output::KeepAlive(connection) => assert!(self.open.contains(&connection)),
                Output::Close(connection) => assert!(self.open.remove(&connection), "closed twice"),
            }
        }
    }

    fn open(&mut self) -> u64 {
        self.last += 1;
        self.open.insert(self.last);
        self.last
    }
}

fn place(byte: u8) -> SocketAddrV6 {
    // A few hosts with a few ports each; some addresses are no link-local ones.
    let prefix = if byte & 0x80 == 0 { 0xfe80 } else { 0xfd00 };
    SocketAddrV6::new(Ipv6Addr::new(prefix, 0, 0, 0, 0, 0, 0, u16::from(byte >> 2 & 0x1f)), u16::from(byte & 3), 0, 1)
}

/// Three bytes are one step: what happens, to whom, and how much time has passed. Bounds hold, nobody is dialled twice at once,
/// every connection is closed once, and the core neither sleeps for ever nor wants to be woken without end.
pub(crate) fn adjacency_body(input: &[u8]) {
    let config =
        AdjacencyConfig { candidates: 9, dials: 3, connections: 7, per_address: 2, ..AdjacencyConfig::default() };
    let mut core = Adjacency::new(config.clone(), place(0x22), 7, Time::default());
    let mut shell = Shell::default();
    for step in input.chunks_exact(3).take(4096) {
        let [what, whom, pause] = [step[0], step[1], step[2]];
        let end = shell.now + Duration::from_millis(u64::from(pause) * u64::from(pause));
        for _ in 0..1000 {
            let Some(due) = core.deadline().filter(|due| due.0 <= end) else { break };
            shell.now = shell.now.max(due.0);
            core.wake(Time(shell.now));
            shell.drain(&mut core);
        }
        assert!(core.deadline().is_some_and(|due| due.0 > end), "asleep, or woken without end");
        shell.now = end;
        let some = |open: &BTreeSet<u64>| open.iter().copied().nth(usize::from(whom) % open.len().max(1));
        let wanted = shell.dialling.iter().copied().nth(usize::from(whom) % shell.dialling.len().max(1));
        let input = match what % 8 {
            0 | 1 => Some(Input::Announced { at: place(whom), lifetime: Some(Duration::from_secs(pause.into())) }),
            2 => Some(Input::Announced { at: place(whom), lifetime: None }),
            3 => wanted.map(|at| {
                shell.dialling.remove(&at);
                Input::Dialled { at, connection: shell.open() }
            }),
            4 => wanted.map(|at| {
                shell.dialling.remove(&at);
                Input::Refused { at }
            }),
            5 => Some(Input::Accepted { from: *place(whom).ip(), connection: shell.open() }),
            6 => some(&shell.open).map(|connection| Input::Heard { connection }),
            _ => some(&shell.open).map(|connection| {
                shell.open.remove(&connection);
                Input::Closed { connection }
            }),
        };
        if let Some(input) = input {
            core.handle(Time(shell.now), input);
            shell.drain(&mut core);
        }
        assert!(core.candidates() <= config.candidates && core.connections() <= config.connections);
        assert!(shell.dialling.len() <= config.dials && core.connections() == shell.open.len());
    }
}
