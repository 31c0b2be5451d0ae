//! Which members may do what with which objective, on top of membership in the group (RFC 8990 §3 leaves this to others).

use crate::wire::Message;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A member of the group as its certificate names it. Cloning is cheap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its names, the one for logs first; never empty.
    names: Arc<[String]>,
}

impl Member {
    /// A member with these names; one without any is called by the empty name.
    #[must_use]
    pub fn new(names: Vec<String>) -> Self {
        let names = if names.is_empty() { vec![String::new()] } else { names };
        Self { names: names.into() }
    }

    /// The name for logs and status.
    #[must_use]
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// All its names.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

/// What a peer does with an objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Asks who supports it. What a neighbour passes on counts as asked by the neighbour.
    Discover,
    /// Requests a negotiation or a synchronization.
    Request,
    /// Is the one that is asked, at the locator that a discovery gave.
    Answer,
    /// Floods it. What a neighbour passes on counts as flooded by the neighbour.
    Flood,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Discover, Self::Request, Self::Answer, Self::Flood];

    /// Its name, as in a manifest.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Request => "request",
            Self::Answer => "answer",
            Self::Flood => "flood",
        }
    }
}

/// The members that may do something: names, in which `*` stands for any characters.
pub type Names = Vec<String>;

/// For some objectives and acts, who is allowed; everything else is allowed to every member.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    /// By objective, in which `*` stands for any characters, and by act. The longest pattern that fits decides.
    pub rules: BTreeMap<String, BTreeMap<Act, Names>>,
}

impl Authorization {
    /// Tells whether the peer may; a peer that is not known by name has no right that is given to some only.
    #[must_use]
    pub fn permits(&self, act: Act, objective: &str, member: Option<&Member>) -> bool {
        let fitting = self.rules.iter().filter(|(pattern, acts)| acts.contains_key(&act) && fits(pattern, objective));
        let decisive = fitting.max_by_key(|(pattern, _)| pattern.len()).and_then(|(_, acts)| acts.get(&act));
        let Some(allowed) = decisive else { return true };
        member.is_some_and(|member| member.names().iter().any(|name| allowed.iter().any(|one| fits(one, name))))
    }
}

/// What the sender of a message does with which objectives by it; nothing for a message that is part of a session.
#[must_use]
pub fn acts(message: &Message) -> (Act, Vec<&str>) {
    match message {
        Message::Discovery { objective, .. } => (Act::Discover, vec![&objective.name]),
        Message::RequestNegotiation { objective, .. } | Message::RequestSynchronization { objective, .. } => {
            (Act::Request, vec![&objective.name])
        }
        // A value in place of a session (RFC 8990 §2.5.6.3) is the sender's own answer; a locator is held against who answers
        // there.
        Message::Synch { objective, .. } | Message::Response { objective: Some(objective), .. } => {
            (Act::Answer, vec![&objective.name])
        }
        Message::Flood { objectives, .. } => {
            (Act::Flood, objectives.iter().map(|tagged| tagged.objective.name.as_str()).collect())
        }
        Message::Response { objective: None, .. }
        | Message::Noop
        | Message::Negotiate { .. }
        | Message::End { .. }
        | Message::Wait { .. }
        | Message::Invalid { .. } => (Act::Answer, Vec::new()),
    }
}

/// What to call a peer that may not be known by name.
#[must_use]
pub fn member_name(member: Option<&Member>) -> &str {
    member.map_or("a peer without a name", Member::name)
}

/// Tells whether a text fits a pattern in which `*` stands for any characters; takes time linear in both lengths' product.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            (p, t) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|rest| *rest == b'*')
}
