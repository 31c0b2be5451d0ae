//! The ways in which a node of the fabric goes down: with its power, or its process alone.

use super::pipe::End;
use super::{Fabric, FabricLink, FabricNode};
use std::io;
use std::sync::{Arc, Weak};

/// What of a node is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    /// Everything.
    On,
    /// The kernel: it answers for the process that is gone.
    Killed,
    /// Nothing.
    Off,
}

/// The state of one end's way to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Between {
    /// What is sent arrives.
    Open,
    /// What is sent is lost.
    Silent,
    /// The other node is up, but knows nothing of this connection: it resets it.
    Unknown,
    /// The process at this end is gone.
    Dead,
}

/// The way of a connection; end 0 has dialled, end 1 has accepted.
pub(super) struct Path {
    pub(super) fabric: Fabric,
    pub(super) link: Option<FabricLink>,
    pub(super) nodes: [usize; 2],
    pub(super) lives: [u64; 2],
}

impl Path {
    pub(super) fn between(&self, side: usize) -> Between {
        let state = self.fabric.lock();
        let lives = |side: usize| state.nodes[self.nodes[side]].life == self.lives[side];
        let wire = self.link.and_then(|link| state.links.get(&link));
        if !lives(side) {
            Between::Dead
        } else if wire.is_some_and(|wire| wire.is_cut(self.nodes[0], self.nodes[1]))
            || state.nodes[self.nodes[1 - side]].power == Power::Off
        {
            Between::Silent
        } else if lives(1 - side) {
            Between::Open
        } else {
            Between::Unknown
        }
    }

    /// Whether neither end has gone down since the connection was begun.
    pub(super) fn is_whole(&self) -> bool {
        let state = self.fabric.lock();
        self.nodes.iter().zip(self.lives).all(|(node, life)| state.nodes[*node].life == life)
    }
}

pub(super) fn down() -> io::Error {
    io::Error::new(io::ErrorKind::NetworkDown, "this node of the fabric is down: power_on() starts it anew")
}

impl FabricNode {
    /// Cuts the power. From now on the node sends and receives nothing: its datagrams and what it writes vanish, its reads
    /// fail, and so does whoever connects to it. Its peers' open connections fall silent; what they write vanishes too, until
    /// after [`FabricNode::power_on`] their next write is answered with a reset, as by a kernel that has just been booted.
    ///
    /// Every call of the instance that ran here fails; it should be dropped before the power comes back.
    pub fn power_off(&self) {
        for end in self.go_down(Power::Off) {
            end.wake();
        }
    }

    /// Kills the process, and lets the kernel live. That closes its connections: a peer reads the end if the process had
    /// read everything, and a reset if it had not or if more arrives later. Nobody listens any more, so connections are
    /// refused. What the dead process still tries is as after [`FabricNode::power_off`].
    ///
    /// A new one can be started after [`FabricNode::power_on`].
    pub fn kill_process(&self) {
        if self.power() != Power::On {
            return;
        }
        for end in self.ends() {
            end.close();
        }
        for end in self.go_down(Power::Killed) {
            end.wake();
        }
    }

    /// Lets a new instance be started here, with the same addresses; without effect on a node that is up.
    pub fn power_on(&self) {
        let mut state = self.fabric.lock();
        let host = &mut state.nodes[self.id];
        if host.power != Power::On {
            host.power = Power::On;
            // The dead instance must not be told what is meant for the new one.
            host.changed = Arc::default();
        }
    }

    fn power(&self) -> Power {
        self.fabric.lock().nodes[self.id].power
    }

    fn ends(&self) -> Vec<Arc<End>> {
        self.fabric.lock().nodes[self.id].ends.iter().filter_map(Weak::upgrade).collect()
    }

    /// Takes everything of the process off the network; returns its ends of connections.
    fn go_down(&self, power: Power) -> Vec<Arc<End>> {
        let ends = self.ends();
        let mut state = self.fabric.lock();
        let host = &mut state.nodes[self.id];
        host.power = power;
        host.life += 1;
        host.ends.clear();
        let listeners = std::mem::take(&mut host.listeners);
        for wire in state.links.values_mut() {
            wire.leave(self.id);
        }
        drop(state);
        drop(listeners);
        ends
    }
}
