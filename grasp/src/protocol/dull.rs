//! What holds on a link before anybody is authenticated (RFC 8990 §2.5.2, DULL).
//!
//! A DULL instance believes its link only, and of the link only what a sender says about itself: the transport source, the
//! initiator and every locator are one and the same link-local address. RFC 8994 §6.4 demands that of `AN_ACP`; it is asked of
//! every objective here, since the reason is the same for all: nobody shall be able to send others to a third party. It shuts out
//! nothing that is specified: the locator of `AN_Proxy` is the link-local address of the proxy that floods it (RFC 8995 §4.1.1;
//! the comment there that calls the initiator an ACP address is at odds with its own example).

use super::{Heard, LinkId};
use crate::error::{Error, ErrorCode};
use crate::wire::{Answer, Locator, Message, Objective};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// The loop count of everything that a DULL instance sends and believes (RFC 8990 §2.5.2).
pub const LOOP_COUNT: u8 = 1;
/// Flooded copies that one address of a hostile link can have in the cache of a DULL instance.
pub const COPIES_PER_SOURCE: usize = 8;
/// Flooded copies of all addresses of a link.
pub const COPIES: usize = 1_024;
/// Locators in the discovery cache of a DULL instance.
pub const LOCATORS: usize = 256;
/// Multicasts remembered by its once-only filter, which has no relaying to guard.
pub const SEEN: usize = 8_192;
/// Longest lifetime of what a stranger has flooded; a longer one, or one without end, would keep places taken for ever.
pub const LONGEST: Duration = Duration::from_secs(3_600);

/// The rules of a DULL instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dull {
    /// The objectives that need the insecure service; nothing is said or believed about any other.
    pub objectives: BTreeSet<String>,
}

/// The rule that a message broke; it is dropped in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It does not come from an IPv6 link-local address on the link.
    Source,
    /// It is neither a discovery, a response nor a flood.
    Kind,
    /// A loop count is not 1.
    LoopCount,
    /// An objective is not on the list.
    Objective,
    /// The initiator of a discovery or flood is not its source.
    Initiator,
    /// A locator is not the source.
    Locator,
    /// It tells of somebody else.
    Divert,
}

/// How often each rule was broken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "one for each reason above")]
pub struct Refused {
    pub dull_source: u64,
    pub dull_kind: u64,
    pub dull_loop_count: u64,
    pub dull_objective: u64,
    pub dull_initiator: u64,
    pub dull_locator: u64,
    pub dull_divert: u64,
}

impl Refused {
    /// Counts one.
    pub fn count(&mut self, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Source => &mut self.dull_source,
            Refusal::Kind => &mut self.dull_kind,
            Refusal::LoopCount => &mut self.dull_loop_count,
            Refusal::Objective => &mut self.dull_objective,
            Refusal::Initiator => &mut self.dull_initiator,
            Refusal::Locator => &mut self.dull_locator,
            Refusal::Divert => &mut self.dull_divert,
        };
        *counter += 1;
    }
}

impl Dull {
    /// Rules for these objectives.
    pub fn new<N: Into<String>>(objectives: impl IntoIterator<Item = N>) -> Self {
        Self { objectives: objectives.into_iter().map(Into::into).collect() }
    }

    /// Tells whether an objective belongs to the insecure service; names are compared byte by byte.
    #[must_use]
    pub fn serves(&self, name: &str) -> bool {
        self.objectives.contains(name)
    }

    /// Checks a message that was heard.
    ///
    /// # Errors
    ///
    /// The first rule that it breaks.
    pub fn admits(&self, heard: &Heard) -> Result<(), Refusal> {
        let source = source(&heard.source, heard.link).ok_or(Refusal::Source)?;
        match &heard.message {
            Message::Discovery { initiator, objective, .. } => {
                self.objective(objective)?;
                is_source(*initiator, source)
            }
            Message::Flood { initiator, objectives, .. } => {
                objectives.iter().try_for_each(|tagged| self.objective(&tagged.objective))?;
                is_source(*initiator, source)?;
                objectives.iter().filter_map(|tagged| tagged.locator.as_ref()).try_for_each(|tag| locator(tag, source))
            }
            // The initiator is the one that has asked: whether that was this node is for its questions to say.
            Message::Response { answer, objective, .. } => {
                let Answer::Locators(locators) = answer else { return Err(Refusal::Divert) };
                objective.iter().try_for_each(|objective| self.objective(objective))?;
                locators.iter().try_for_each(|found| locator(found, source))
            }
            Message::Noop
            | Message::RequestNegotiation { .. }
            | Message::RequestSynchronization { .. }
            | Message::Negotiate { .. }
            | Message::End { .. }
            | Message::Wait { .. }
            | Message::Synch { .. }
            | Message::Invalid { .. } => Err(Refusal::Kind),
        }
    }

    /// Checks what an ASA wants to flood on a link where this node has `own`; `::` stands for that.
    ///
    /// # Errors
    ///
    /// `#03` for an objective that is not on the list, `#38` for a locator that is not this node's on that link.
    pub fn may_flood(&self, objectives: &[(Objective, Option<Locator>)], own: Option<Ipv6Addr>) -> Result<(), Error> {
        for (objective, tag) in objectives {
            self.may_use(&objective.name)?;
            let Some(tag) = tag else { continue };
            let address = match tag {
                Locator::Ipv6 { address, .. } | Locator::Other { address: IpAddr::V6(address), .. } => Some(*address),
                Locator::Ipv4 { .. } | Locator::Fqdn { .. } | Locator::Uri { .. } | Locator::Other { .. } => None,
            };
            if !address.is_some_and(|address| address.is_unspecified() || Some(address) == own) {
                let detail = format!(
                    "{}: {tag} is not this node's link-local address; give :: for that (RFC 8994 section 6.4)",
                    objective.name
                );
                return Err(Error::new(ErrorCode::InvalidLocator, detail));
            }
        }
        Ok(())
    }

    /// Checks that an ASA may do anything with an objective.
    ///
    /// # Errors
    ///
    /// `#03` for one that is not on the list.
    pub fn may_use(&self, name: &str) -> Result<(), Error> {
        if self.serves(name) {
            return Ok(());
        }
        let detail = format!("{name} is not an objective of this DULL instance (RFC 8990 section 2.5.2)");
        Err(Error::new(ErrorCode::Unspecified, detail))
    }

    fn objective(&self, objective: &Objective) -> Result<(), Refusal> {
        if objective.loop_count != LOOP_COUNT {
            return Err(Refusal::LoopCount);
        }
        if self.serves(&objective.name) { Ok(()) } else { Err(Refusal::Objective) }
    }
}

/// The refusal of every call that needs a negotiation or a synchronization, which a DULL instance has not (RFC 8990 §3).
///
/// `#16`: what is missing is a secure substrate; graspy gives the same code.
#[must_use]
pub fn no_unicast() -> Error {
    let detail = "a DULL instance neither negotiates nor synchronizes, since nobody on the link is authenticated (RFC 8990 \
         section 2.5.2); use the secured instance";
    Error::new(ErrorCode::NoSecurity, detail)
}

/// The address of a sender that is on the link; one with the zone of another link is not.
#[must_use]
pub fn source(source: &SocketAddr, link: LinkId) -> Option<Ipv6Addr> {
    let SocketAddr::V6(source) = source else { return None };
    let here = [0, link].contains(&source.scope_id());
    Some(*source.ip()).filter(|address| address.is_unicast_link_local() && here)
}

fn is_source(initiator: IpAddr, source: Ipv6Addr) -> Result<(), Refusal> {
    if initiator == source { Ok(()) } else { Err(Refusal::Initiator) }
}

fn locator(locator: &Locator, source: Ipv6Addr) -> Result<(), Refusal> {
    if locator.address() == Some(source.into()) { Ok(()) } else { Err(Refusal::Locator) }
}
