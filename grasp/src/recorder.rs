//! What a core heard and said, line by line; enough to replay it elsewhere.

use crate::protocol::{Machine, Time};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One input or output of a core.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The node.
    pub node: String,
    /// The core: `discovery`, `flood` or `session-` and a number.
    pub core: String,
    /// When, by the node's clock.
    pub at: Time,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// Which way it went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The core was handed this.
    Input(serde_json::Value),
    /// The core's timers were run.
    Wake,
    /// The core wants this done.
    Output(serde_json::Value),
}

/// Takes records; called in the order of events.
pub type Recorder = Arc<dyn Fn(&Record) + Send + Sync>;

/// A record does not fit the core that it is played to.
#[derive(Debug, thiserror::Error)]
#[error("record {line}: {problem}")]
pub struct ReplayError {
    /// Number of the record, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// Plays the records of one core, from its first, to a fresh one, and checks that it says the same at each point and
/// nothing besides.
///
/// # Errors
///
/// The first record that cannot be read, or at which the core says something else, or before which it says more.
pub fn replay<M>(machine: &mut M, records: &[Record]) -> Result<(), ReplayError>
where
    M: Machine,
    M::Input: DeserializeOwned,
    M::Output: Serialize,
{
    for (index, record) in records.iter().enumerate() {
        let wrong = |problem: String| ReplayError { line: index + 1, problem };
        if !matches!(record.event, Event::Output(_)) {
            silent(machine).map_err(wrong)?;
        }
        match &record.event {
            Event::Input(value) => {
                let input = serde_json::from_value(value.clone()).map_err(|error| wrong(error.to_string()))?;
                machine.handle(record.at, input);
            }
            Event::Wake => machine.wake(record.at),
            Event::Output(recorded) => {
                let said = machine.poll().map(|output| serde_json::to_value(output).unwrap_or_default());
                if said.as_ref() != Some(recorded) {
                    return Err(wrong(format!("recorded {recorded}, replayed {}", said.unwrap_or_default())));
                }
            }
        }
    }
    silent(machine).map_err(|problem| ReplayError { line: records.len(), problem })
}

/// Fails if the core has something to say that no record tells of.
fn silent<M>(machine: &mut M) -> Result<(), String>
where
    M: Machine,
    M::Output: Serialize,
{
    match machine.poll().map(serde_json::to_value) {
        None => Ok(()),
        Some(said) => Err(format!("nothing more recorded, replayed {}", said.unwrap_or_default())),
    }
}
