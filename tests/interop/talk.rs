//! What customers and banks say about themselves, ours as events and the Python ones as lines.

use grasp::wire::SessionId;
use serde_json::Value;

use crate::lab::Child;

/// How a negotiation ended, according to one side.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// With this currency and amount.
    Accepted(String, i64),
    /// With this reason.
    Declined(String),
    /// Without a last word.
    Failed(Option<SessionId>, String),
}

/// The success and the text of every reading of an objective.
pub(super) type Readings = Vec<(bool, String)>;

/// Texts that come before a reason.
const REJECTIONS: [&str; 2] = ["Peer reject: ", "request_negotiate error: "];
/// The reasons with which banks decline.
const REASONS: [&str; 4] = ["Invalid currency", "Insufficient funds", "Недостаточно средств", "Loop count exhausted"];

/// The ends of negotiations that one of our agents reports.
pub(super) fn our_ends(child: &Child) -> Vec<End> {
    let events = child.lines().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line.text).ok());
    let ended = events.filter(|event| event["event"] == "negotiation_ended");
    ended
        .map(|event| {
            let reason = event["reason"].as_str().unwrap_or_default().to_owned();
            match event["outcome"].as_str().unwrap() {
                "accepted" => {
                    let value = &event["value"];
                    End::Accepted(value[0].as_str().unwrap().to_owned(), value[1].as_i64().unwrap())
                }
                "declined" => End::Declined(reason),
                _ => End::Failed(event["session_id"].as_u64().map(|id| id.try_into().unwrap()), reason),
            }
        })
        .collect()
}

/// What our customer reads of an objective.
pub(super) fn our_readings(child: &Child, name: &str) -> Readings {
    let events = child.lines().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line.text).ok());
    let said = events.filter_map(|event| event["text"].as_str().map(str::to_owned));
    let (good, bad) = (format!("Read {name}: "), format!("Cannot read {name}: "));
    readings(said, &good, &bad)
}

/// What the Python customer reads of an objective.
pub(super) fn python_readings(child: &Child, name: &str) -> Readings {
    let said = said(child).into_iter().map(|(_, text)| text);
    readings(said, &format!("Synchronized {name} "), &format!("Synch failed {name} "))
}

fn readings(said: impl Iterator<Item = String>, good: &str, bad: &str) -> Readings {
    said.filter_map(|text| {
        let read = text.strip_prefix(good).map(|value| (true, value.replace('\'', "\"")));
        read.or_else(|| text.strip_prefix(bad).map(|error| (false, error.to_owned())))
    })
    .collect()
}

/// The ends of negotiations that the Python customer reports.
pub(super) fn python_customer_ends(child: &Child) -> Vec<End> {
    let ends = said(child).into_iter().filter_map(|(_, text)| {
        if let Some(value) = text.strip_prefix("Negotiation succeeded ") {
            let (currency, amount) = value.trim_matches(['[', ']']).split_once(", ").unwrap();
            return Some(End::Accepted(currency.trim_matches('\'').to_owned(), amount.parse().unwrap()));
        }
        if text.starts_with("Rejecting unacceptable offer") {
            return Some(End::Declined("You are mean!".to_owned()));
        }
        let reason = REJECTIONS.into_iter().find_map(|prefix| text.strip_prefix(prefix))?.to_owned();
        Some(if REASONS.contains(&reason.as_str()) { End::Declined(reason) } else { End::Failed(None, reason) })
    });
    ends.collect()
}

/// The agreements that the Python bank reports. Each customer has a thread of his own.
pub(super) fn python_bank_agreements(child: &Child) -> Vec<End> {
    let said = said(child);
    let mut agreements = Vec::new();
    for (at, (thread, text)) in said.iter().enumerate() {
        let own = || said[..at].iter().rev().filter(|(other, _)| other == thread).map(|(_, text)| text.as_str());
        let amount = |prefix: &str| own().find_map(|text| text.strip_prefix(prefix)).unwrap().parse().unwrap();
        if text == "Request accepted" {
            agreements.push(End::Accepted("NZD".to_owned(), amount("Got request for NZD ")));
        } else if text == "Negotiation succeeded" {
            agreements.push(End::Accepted("NZD".to_owned(), amount("Offering NZD ")));
        }
    }
    agreements
}

/// Thread and text of every line of a Python program, which has the form `NAME NUMBER TEXT`.
pub(super) fn said(child: &Child) -> Vec<(String, String)> {
    let lines = child.lines().into_iter().filter_map(|line| {
        let (_, rest) = line.text.split_once(' ')?;
        let (thread, text) = rest.split_once(' ')?;
        thread.parse::<u64>().is_ok().then(|| (thread.to_owned(), text.trim_end().to_owned()))
    });
    lines.collect()
}

/// Lines that tell of something unexpected in a Python program.
pub(super) fn python_trouble(child: &Child) -> Vec<String> {
    let trouble = ["CBOR decode error", "Traceback", "Invalid message", "queue full", "overflow", "Session ID clash"];
    let lines = child.lines().into_iter().map(|line| line.text);
    lines.filter(|text| trouble.iter().any(|what| text.contains(what))).collect()
}
