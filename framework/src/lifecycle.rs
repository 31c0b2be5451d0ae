//! The life of an instance: four states and the moves between them (RFC 9222 section 7, figure 1). Pure.
//!
//! ```text
//!              install            instantiate             activate
//!  undeployed ────────► installed ───────────► instantiated ────────► operational
//!             ◄────────           ◄───────────              ◄────────
//!             uninstall              revoke                deactivate
//! ```

use serde::{Deserialize, Serialize};
use std::fmt;

/// Where an instance is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The manifest may name it, but the node has nothing of it.
    Undeployed,
    /// Its class is in this binary in a version that will do, and its mandate has been checked.
    Installed,
    /// It runs, knows its mandate and has described itself; it keeps its promises and answers queries, and takes no new work.
    Instantiated,
    /// It works.
    Operational,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Undeployed => "undeployed",
            Self::Installed => "installed",
            Self::Instantiated => "instantiated",
            Self::Operational => "operational",
        })
    }
}

/// What an operator can have done with an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Move {
    /// Make its code available (section 7.1).
    Install,
    /// Give it its mandate (section 7.2).
    Instantiate,
    /// Set it up: let it work (section 7.3).
    Activate,
    /// Set it down: no new work, promises kept, queries answered (section 7.3).
    Deactivate,
    /// Take its mandate back (section 7.2).
    Revoke,
    /// Remove it (section 7.4).
    Uninstall,
}

impl Move {
    /// All moves.
    pub const ALL: [Self; 6] =
        [Self::Install, Self::Instantiate, Self::Activate, Self::Deactivate, Self::Revoke, Self::Uninstall];

    /// The only phase from which it goes, and where it leads.
    #[must_use]
    pub fn ends(self) -> (Phase, Phase) {
        match self {
            Self::Install => (Phase::Undeployed, Phase::Installed),
            Self::Instantiate => (Phase::Installed, Phase::Instantiated),
            Self::Activate => (Phase::Instantiated, Phase::Operational),
            Self::Deactivate => (Phase::Operational, Phase::Instantiated),
            Self::Revoke => (Phase::Instantiated, Phase::Installed),
            Self::Uninstall => (Phase::Installed, Phase::Undeployed),
        }
    }

    /// Where it leads from this phase.
    ///
    /// # Errors
    ///
    /// The refusal, with the moves that there are.
    pub fn from(self, phase: Phase) -> Result<Phase, IllegalMove> {
        let (from, to) = self.ends();
        if from == phase { Ok(to) } else { Err(IllegalMove { asked: self, phase }) }
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Install => "install",
            Self::Instantiate => "instantiate",
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
            Self::Revoke => "revoke",
            Self::Uninstall => "uninstall",
        })
    }
}

/// A move that does not go from where the instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IllegalMove {
    /// The move.
    pub asked: Move,
    /// Where the instance is.
    pub phase: Phase,
}

impl fmt::Display for IllegalMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, phase } = self;
        let legal: Vec<String> =
            Move::ALL.iter().filter(|legal| legal.ends().0 == *phase).map(ToString::to_string).collect();
        let from = asked.ends().0;
        write!(f, "cannot {asked} what is {phase}: {asked} goes from {from}; from {phase} go {}", legal.join(", "))
    }
}

impl std::error::Error for IllegalMove {}

/// The moves that lead from one phase to another, in order.
#[must_use]
pub fn way(mut from: Phase, to: Phase) -> Vec<Move> {
    let mut moves = Vec::new();
    while from != to {
        let up = to > from;
        let Some(next) = Move::ALL.into_iter().find(|one| one.ends().0 == from && (one.ends().1 > from) == up) else {
            break;
        };
        moves.push(next);
        from = next.ends().1;
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: [Phase; 4] = [Phase::Undeployed, Phase::Installed, Phase::Instantiated, Phase::Operational];

    /// ASA-L-01
    #[test]
    fn only_the_six_moves_of_the_figure_are_legal() {
        let legal: Vec<(Phase, Move, Phase)> = PHASES
            .iter()
            .flat_map(|phase| Move::ALL.iter().filter_map(move |one| Some((*phase, *one, one.from(*phase).ok()?))))
            .collect();
        assert_eq!(
            legal,
            [
                (Phase::Undeployed, Move::Install, Phase::Installed),
                (Phase::Installed, Move::Instantiate, Phase::Instantiated),
                (Phase::Installed, Move::Uninstall, Phase::Undeployed),
                (Phase::Instantiated, Move::Activate, Phase::Operational),
                (Phase::Instantiated, Move::Revoke, Phase::Installed),
                (Phase::Operational, Move::Deactivate, Phase::Instantiated),
            ]
        );
    }

    /// ASA-L-01
    #[test]
    fn a_refusal_says_what_is_possible() {
        let refusal = Move::Activate.from(Phase::Installed).unwrap_err().to_string();
        assert_eq!(
            refusal,
            "cannot activate what is installed: activate goes from instantiated; from installed go instantiate, uninstall"
        );
    }

    #[test]
    fn there_is_a_way_between_any_two_phases() {
        for from in PHASES {
            for to in PHASES {
                let mut phase = from;
                for step in way(from, to) {
                    phase = step.from(phase).unwrap();
                }
                assert_eq!(phase, to);
            }
        }
    }
}
