//! Blocks and their states in words.

use asa_prefix::pool::record::{Dealt, Lease, Source, State, Way};

use crate::control::text::moment;
use crate::output::{Look, wrapped};

fn session(dealt: &Dealt) -> String {
    format!("{} (session {:08x})", dealt.deal.peer, dealt.deal.session)
}

fn client(lease: &Lease) -> String {
    let valid = lease.valid.map(|valid| format!(", valid for {} s", valid.seconds)).unwrap_or_default();
    format!("{}{valid}", lease.client)
}

/// Who has a block, or may have it; empty if nobody does.
pub(super) fn who(state: &State) -> String {
    match state {
        State::Free | State::Returning | State::Excluded => String::new(),
        State::Held(dealt) | State::Offered(dealt) | State::Granted(dealt) | State::Dry(dealt) => session(dealt),
        State::Accepting(dealt) => format!("from {}", session(dealt)),
        State::Delegated(lease) => client(lease),
        State::Cooling(lease) => format!("was {}", client(lease)),
        State::Doubt { dealt, way: Way::Out, .. } => format!("perhaps {}", session(dealt)),
        State::Doubt { dealt, way: Way::In, .. } => format!("perhaps this node, from {}", session(dealt)),
    }
}

/// Since when, as the node's wall clock said; empty if that is not known.
pub(super) fn since(state: &State) -> String {
    let seconds = state.dealt().map(|dealt| dealt.since).or_else(|| state.lease().map(|lease| lease.since));
    // What was imported, or a simulation, may not know.
    seconds.filter(|seconds| *seconds > 0).map(|seconds| moment(seconds.into())).unwrap_or_default()
}

/// What has become of a block, for a sentence.
pub(super) fn fate(state: &State) -> String {
    match state {
        State::Free => "free".to_owned(),
        State::Held(dealt) => format!("held for {}", session(dealt)),
        State::Offered(dealt) => format!("offered to {}", session(dealt)),
        State::Granted(dealt) => format!("granted to {}", session(dealt)),
        State::Accepting(dealt) => format!("being accepted from {}", session(dealt)),
        State::Delegated(lease) => format!("delegated to {}", client(lease)),
        State::Cooling(lease) => format!("cooling: it was delegated to {}", client(lease)),
        State::Returning => "on its way back to where it came from".to_owned(),
        State::Doubt { dealt, way: Way::Out, .. } => format!("in doubt: perhaps granted to {}", session(dealt)),
        State::Doubt { dealt, way: Way::In, .. } => format!("in doubt: perhaps granted by {}", session(dealt)),
        State::Dry(dealt) => format!("set aside for a dry run of {}", session(dealt)),
        State::Excluded => "excluded".to_owned(),
    }
}

/// Where an aggregate is from.
pub(super) fn origin(source: &Source) -> String {
    match source {
        Source::Manifest => "from the manifest".to_owned(),
        Source::Operator => "by order".to_owned(),
        Source::Peer(dealt) => format!("from {}", session(dealt)),
    }
}

/// Text in lines of that width, each indented.
pub(super) fn indented(look: Look, indent: usize, text: &str, width: usize) -> Vec<String> {
    let parts = wrapped(&look.shown(text), width.saturating_sub(indent).max(1));
    parts.into_iter().map(|part| " ".repeat(indent) + &part).collect()
}
