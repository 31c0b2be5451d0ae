//! [`Message`] to bytes: shortest encodings, definite lengths, exactly the arrays of RFC 8990 §4.

use super::decode::{ACCEPT, DECLINE, DIVERT};
use super::{Answer, EndOption, Locator, Message, Objective, TaggedObjective, Transport, Value, locator};
use ciborium_ll::{Encoder, Header};
use std::net::IpAddr;

impl Message {
    /// Encodes the message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(96));
        let number = self.message_type() as u64;
        match self {
            Self::Noop => out.array(1).unsigned(number),
            Self::Discovery { session_id, initiator, objective } => {
                out.array(4).unsigned(number).unsigned((*session_id).into()).address(*initiator).objective(objective)
            }
            Self::Response { session_id, initiator, ttl, answer, objective } => {
                let options = match answer {
                    Answer::Locators(locators) => locators.len(),
                    Answer::Divert(_) => 1,
                };
                out.array(4 + options + usize::from(objective.is_some())).unsigned(number);
                out.unsigned((*session_id).into()).address(*initiator).unsigned((*ttl).into());
                match answer {
                    Answer::Locators(locators) => out.locators(locators),
                    Answer::Divert(locators) => out.array(1 + locators.len()).unsigned(DIVERT).locators(locators),
                };
                if let Some(objective) = objective {
                    out.objective(objective);
                }
                &mut out
            }
            Self::RequestNegotiation { session_id, objective }
            | Self::RequestSynchronization { session_id, objective }
            | Self::Negotiate { session_id, objective }
            | Self::Synch { session_id, objective } => {
                out.array(3).unsigned(number).unsigned((*session_id).into()).objective(objective)
            }
            Self::End { session_id, option } => {
                out.array(3).unsigned(number).unsigned((*session_id).into());
                match option {
                    EndOption::Accept => out.array(1).unsigned(ACCEPT),
                    EndOption::Decline(None) => out.array(1).unsigned(DECLINE),
                    EndOption::Decline(Some(reason)) => out.array(2).unsigned(DECLINE).text(reason),
                }
            }
            Self::Wait { session_id, waiting_time } => {
                out.array(3).unsigned(number).unsigned((*session_id).into()).unsigned((*waiting_time).into())
            }
            Self::Flood { session_id, initiator, ttl, objectives } => {
                out.array(4 + objectives.len()).unsigned(number).unsigned((*session_id).into());
                out.address(*initiator).unsigned((*ttl).into());
                objectives.iter().for_each(|tagged| {
                    out.tagged(tagged);
                });
                &mut out
            }
            Self::Invalid { session_id, content } => {
                out.array(2 + usize::from(content.is_some())).unsigned(number).unsigned((*session_id).into());
                if let Some(content) = content {
                    out.value(content);
                }
                &mut out
            }
        };
        out.0
    }
}

impl Locator {
    /// Encodes the locator option, as it stands in a message; two equal locators give equal bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(32));
        out.locators(std::slice::from_ref(self));
        out.0
    }
}

/// Writing into a `Vec` does not fail, so the encoder's results carry nothing.
struct Writer(Vec<u8>);

impl Writer {
    fn push(&mut self, header: Header) -> &mut Self {
        let _ = Encoder::from(&mut self.0).push(header);
        self
    }

    fn array(&mut self, len: usize) -> &mut Self {
        self.push(Header::Array(Some(len)))
    }

    fn unsigned(&mut self, n: u64) -> &mut Self {
        self.push(Header::Positive(n))
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.push(Header::Bytes(Some(bytes.len())));
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.push(Header::Text(Some(text.len())));
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    fn null(&mut self) -> &mut Self {
        self.0.push(0xf6);
        self
    }

    fn address(&mut self, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V6(v6) => self.bytes(&v6.octets()),
            IpAddr::V4(v4) => self.bytes(&v4.octets()),
        }
    }

    fn value(&mut self, value: &Value) -> &mut Self {
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    fn objective(&mut self, objective: &Objective) -> &mut Self {
        self.array(3 + usize::from(objective.value.is_some())).text(&objective.name);
        self.unsigned(objective.flags.0).unsigned(objective.loop_count.into());
        if let Some(value) = &objective.value {
            self.value(value);
        }
        self
    }

    fn tagged(&mut self, tagged: &TaggedObjective) -> &mut Self {
        self.array(2).objective(&tagged.objective);
        match &tagged.locator {
            Some(locator) => self.locators(std::slice::from_ref(locator)),
            None => self.array(0),
        }
    }

    fn transport(&mut self, transport: Transport) -> &mut Self {
        self.unsigned(transport.number().into())
    }

    fn locators(&mut self, locators: &[Locator]) -> &mut Self {
        for one in locators {
            self.array(4);
            match one {
                Locator::Ipv6 { address, transport, port } => {
                    self.unsigned(locator::IPV6).bytes(&address.octets()).transport(*transport).unsigned((*port).into())
                }
                Locator::Ipv4 { address, transport, port } => {
                    self.unsigned(locator::IPV4).bytes(&address.octets()).transport(*transport).unsigned((*port).into())
                }
                Locator::Fqdn { name, transport, port } => {
                    self.unsigned(locator::FQDN).text(name).transport(*transport).unsigned((*port).into())
                }
                Locator::Uri { uri, transport, port } => {
                    self.unsigned(locator::URI).text(uri);
                    match transport {
                        Some(transport) => self.transport(*transport),
                        None => self.null(),
                    };
                    match port {
                        Some(port) => self.unsigned((*port).into()),
                        None => self.null(),
                    }
                }
                Locator::Other { address, protocol, port } => {
                    match address {
                        IpAddr::V6(address) => self.unsigned(locator::IPV6).bytes(&address.octets()),
                        IpAddr::V4(address) => self.unsigned(locator::IPV4).bytes(&address.octets()),
                    };
                    self.unsigned((*protocol).into());
                    match port {
                        Some(port) => self.unsigned((*port).into()),
                        None => self.null(),
                    }
                }
            };
        }
        self
    }
}
