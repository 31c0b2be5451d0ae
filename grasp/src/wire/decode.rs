//! Bytes to [`Message`]: tolerant where RFC 8990 §2.8.2 asks for it, strict where its CDDL (§4) leaves no room.

use super::error::{DecodeError, Rule};
use super::scan::{Element, Elements};
use super::{Answer, EndOption, Flags, Locator, Message, MessageType, Objective, TaggedObjective, Value};
use crate::constants::{GRASP_DEF_MAX_SIZE, MAX_DEPTH};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

pub(super) const DIVERT: u64 = 100;
pub(super) const ACCEPT: u64 = 101;
pub(super) const DECLINE: u64 = 102;

/// Bounds on what is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest message in bytes (RFC 8990 §2.8.3).
    pub size: usize,
    /// Deepest nesting of items, the message itself included.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: GRASP_DEF_MAX_SIZE, depth: MAX_DEPTH }
    }
}

/// Decodes exactly one message.
///
/// Options that do not belong to the message's type, unknown options and surplus elements are dropped in silence;
/// flags above bit 3 are kept (RFC 8990 §2.8.2).
///
/// # Errors
///
/// The broken rule and where. Never panics, never reads past the size limit, never recurses past the depth limit.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Message, DecodeError> {
    if bytes.len() > limits.size {
        return Err(DecodeError::new(Rule::TooLong, limits.size));
    }
    let whole = Element::parse(bytes, 0, limits.depth)?;
    if whole.end != bytes.len() {
        return Err(DecodeError::new(Rule::TrailingBytes, whole.end));
    }
    let mut elements = whole.elements().ok_or(DecodeError::new(Rule::NotAnArray, 0))?;
    let number = elements
        .next()
        .and_then(|first| u8::try_from(first.unsigned()?).ok())
        .ok_or(DecodeError::new(Rule::MessageType, 0))?;
    let Some(message_type) = MessageType::from_number(number.into()) else {
        let session_id = elements.next().and_then(|second| second.u32());
        let error = DecodeError::new(Rule::UnknownType, 0);
        return Err(DecodeError { message_type: Some(number), session_id, ..error });
    };
    if message_type == MessageType::Noop {
        return Ok(Message::Noop);
    }
    let mut reader = Reader { elements, end: bytes.len() };
    let mut session_id = None;
    body(message_type, &mut reader, &mut session_id).map_err(|error| DecodeError {
        message_type: Some(number),
        session_id,
        ..error
    })
}

struct Reader<'a> {
    elements: Elements<'a>,
    end: usize,
}

impl<'a> Reader<'a> {
    fn next<T>(&mut self, rule: Rule, read: impl FnOnce(Element<'a>) -> Option<T>) -> Result<T, DecodeError> {
        let element = self.elements.next().ok_or(DecodeError::new(rule, self.end))?;
        read(element).ok_or(DecodeError::new(rule, element.at))
    }

    fn objective_element(&mut self) -> Result<Element<'a>, DecodeError> {
        self.elements.next().ok_or(DecodeError::new(Rule::Objective, self.end))
    }

    fn objective(&mut self) -> Result<Objective, DecodeError> {
        objective(self.objective_element()?)
    }

    fn complete_objective(&mut self) -> Result<Objective, DecodeError> {
        let element = self.objective_element()?;
        let objective = objective(element)?;
        if objective.value.is_none() { Err(DecodeError::new(Rule::ValueMissing, element.at)) } else { Ok(objective) }
    }
}

fn body(
    message_type: MessageType,
    reader: &mut Reader<'_>,
    read_session_id: &mut Option<u32>,
) -> Result<Message, DecodeError> {
    let session_id = reader.next(Rule::SessionId, |e| e.u32())?;
    *read_session_id = Some(session_id);
    Ok(match message_type {
        MessageType::Noop => Message::Noop,
        MessageType::Discovery => Message::Discovery {
            session_id,
            initiator: reader.next(Rule::Initiator, initiator)?,
            objective: reader.objective()?,
        },
        MessageType::Response => {
            let initiator = reader.next(Rule::Initiator, initiator)?;
            let ttl = reader.next(Rule::Ttl, |e| e.u32())?;
            let (answer, objective) = response_options(reader)?;
            Message::Response { session_id, initiator, ttl, answer, objective }
        }
        MessageType::RequestNegotiation => {
            Message::RequestNegotiation { session_id, objective: reader.complete_objective()? }
        }
        MessageType::RequestSynchronization => {
            Message::RequestSynchronization { session_id, objective: reader.objective()? }
        }
        MessageType::Negotiate => Message::Negotiate { session_id, objective: reader.complete_objective()? },
        MessageType::End => Message::End { session_id, option: end_option(reader)? },
        MessageType::Wait => Message::Wait { session_id, waiting_time: reader.next(Rule::WaitingTime, |e| e.u32())? },
        MessageType::Synch => Message::Synch { session_id, objective: reader.complete_objective()? },
        MessageType::Flood => {
            let initiator = reader.next(Rule::Initiator, initiator)?;
            let ttl = reader.next(Rule::Ttl, |e| e.u32())?;
            let mut objectives = Vec::new();
            for element in reader.elements.by_ref().filter(|element| element.option_number().is_none()) {
                objectives.push(tagged(element)?);
            }
            if objectives.is_empty() {
                return Err(DecodeError::new(Rule::NoObjective, reader.end));
            }
            Message::Flood { session_id, initiator, ttl, objectives }
        }
        MessageType::Invalid => Message::Invalid {
            session_id,
            content: reader.elements.next().map(|element| Value::trusted(element.bytes())),
        },
    })
}

fn initiator(element: Element<'_>) -> Option<IpAddr> {
    let bytes = element.byte_string()?;
    if let Ok(v6) = <[u8; 16]>::try_from(&bytes[..]) {
        return Some(IpAddr::from(v6));
    }
    <[u8; 4]>::try_from(&bytes[..]).ok().map(IpAddr::from)
}

fn objective(element: Element<'_>) -> Result<Objective, DecodeError> {
    let broken = |rule| DecodeError::new(rule, element.at);
    let mut parts = element.elements().ok_or(broken(Rule::Objective))?;
    let name = parts.next().ok_or(broken(Rule::Objective))?;
    let flags = parts.next().ok_or(broken(Rule::Objective))?;
    let loop_count = parts.next().ok_or(broken(Rule::Objective))?;
    let value = parts.next().map(|value| Value::trusted(value.bytes()));
    if parts.next().is_some() {
        return Err(broken(Rule::Objective));
    }
    Ok(Objective {
        name: name.text().ok_or(DecodeError::new(Rule::ObjectiveName, name.at))?,
        flags: Flags(flags.unsigned().ok_or(DecodeError::new(Rule::ObjectiveFlags, flags.at))?),
        loop_count: loop_count
            .unsigned()
            .and_then(|n| u8::try_from(n).ok())
            .ok_or(DecodeError::new(Rule::LoopCount, loop_count.at))?,
        value,
    })
}

/// Locators, a divert and the objective follow each other in one flat array; the first usable kind of answer counts.
fn response_options(reader: &mut Reader<'_>) -> Result<(Answer, Option<Objective>), DecodeError> {
    let mut answer: Option<Answer> = None;
    let mut copy = None;
    for element in reader.elements.by_ref() {
        match element.option_number() {
            Some(DIVERT) if answer.is_none() => {
                let inside = element.elements().into_iter().flatten().skip(1).filter_map(Locator::read);
                let locators: Vec<_> = inside.collect();
                if !locators.is_empty() {
                    answer = Some(Answer::Divert(locators));
                }
            }
            Some(_) => {
                if let Some(locator) = Locator::read(element) {
                    match answer.get_or_insert_with(|| Answer::Locators(Vec::new())) {
                        Answer::Locators(locators) => locators.push(locator),
                        Answer::Divert(_) => {}
                    }
                }
            }
            None if copy.is_none() => copy = objective(element).ok(),
            None => {}
        }
    }
    Ok((answer.ok_or(DecodeError::new(Rule::NoLocator, reader.end))?, copy))
}

fn end_option(reader: &mut Reader<'_>) -> Result<EndOption, DecodeError> {
    let mut found = None;
    for element in reader.elements.by_ref() {
        let option = match element.option_number() {
            Some(ACCEPT) => EndOption::Accept,
            Some(DECLINE) => EndOption::Decline(element.elements().and_then(|mut e| e.nth(1)?.text())),
            _ => continue,
        };
        if found.replace(option).is_some() {
            return Err(DecodeError::new(Rule::EndOption, element.at));
        }
    }
    found.ok_or(DecodeError::new(Rule::EndOption, reader.end))
}

fn tagged(element: Element<'_>) -> Result<TaggedObjective, DecodeError> {
    let broken = DecodeError::new(Rule::FloodPair, element.at);
    let mut parts = element.elements().ok_or(broken.clone())?;
    let (Some(first), Some(tag), None) = (parts.next(), parts.next(), parts.next()) else { return Err(broken) };
    let mut tag_parts = tag.elements().ok_or(broken.clone())?;
    let locator = match tag_parts.next() {
        None => None,
        Some(_) => Some(Locator::read_tag(tag).ok_or(broken)?),
    };
    Ok(TaggedObjective { objective: objective(first)?, locator })
}
