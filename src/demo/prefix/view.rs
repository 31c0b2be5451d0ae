//! What is seen: a line for each node, and the totals.

use std::fmt::Write;

use super::check::Holdings;
use super::clients::Tally;
use crate::output::Look;

/// Cells of a bar.
const CELLS: usize = 40;
/// Each state with its letter and its colour, in the order in which a bar shows them.
const STATES: [(&str, char, u8); 9] = [
    ("delegated", 'D', 32),
    ("granted", 'G', 34),
    ("cooling", 'C', 36),
    ("returning", 'R', 36),
    ("held", 'o', 33),
    ("offered", 'o', 33),
    ("dry", 'o', 33),
    ("in-doubt", '?', 31),
    ("free", '.', 90),
];

/// One moment of the demonstration.
pub(super) struct Frame<'a> {
    pub(super) seconds: u64,
    pub(super) nodes: Vec<(&'a str, u32, bool, Holdings)>,
    pub(super) clients: (Tally, usize),
    pub(super) killed: u64,
    pub(super) last: Option<&'a str>,
    pub(super) checks: u64,
    pub(super) doubled: Option<&'a str>,
}

/// Draws a bar: each state has cells in proportion, one at least if there is any of it, and what is free has the rest.
fn bar(look: Look, holdings: &Holdings) -> String {
    let total = holdings.states.values().fold(0_u128, |sum, part| sum.saturating_add(*part)).max(1);
    let (mut bar, mut left) = (String::new(), CELLS);
    for (state, letter, colour) in STATES {
        let part = holdings.states.get(state).copied().unwrap_or_default();
        let share = part / (total / CELLS as u128).max(1);
        let share = usize::try_from(share).unwrap_or(CELLS).max(usize::from(part > 0));
        let cells = if state == "free" && part > 0 { left } else { share.min(left) };
        left -= cells;
        if cells > 0 {
            bar += &look.paint(colour, &letter.to_string().repeat(cells));
        }
    }
    bar + &" ".repeat(left)
}

impl Frame<'_> {
    /// The lines of it, none wider than 80 columns.
    pub(super) fn lines(&self, look: Look) -> Vec<String> {
        let Self { seconds, nodes, clients: (tally, held), killed, .. } = self;
        let mut lines = vec![
            format!("Prefixes for a mobile network: an origin, two ASGs, four CSGs.  {seconds:>9} s"),
            String::new(),
            "node    life  prefixes                 .free D)elegated G)ranted C)ool ?doubt".to_owned(),
        ];
        for (name, lives, runs, holdings) in nodes {
            let mut prefixes: Vec<String> = holdings.aggregates.iter().take(1).map(ToString::to_string).collect();
            if holdings.aggregates.len() > 1 {
                prefixes.push(format!("+{}", holdings.aggregates.len() - 1));
            }
            let drawn = if *runs { bar(look, holdings) } else { look.paint(31, "killed") };
            lines.push(format!("{name:<8}{lives:>4}  {:<25}{drawn}", prefixes.join(" ")));
        }
        let mut totals = format!(
            "clients {held:>4} have a /64: {} asked, {} served, {} refused, {} lost, {} given back",
            tally.asked, tally.served, tally.refused, tally.lost, tally.given_back
        );
        if let (true, Some(last)) = (*killed > 0, self.last) {
            let _ = write!(totals, "\nkilled {killed:>5} nodes, the last one was {last}");
        }
        lines.push(String::new());
        lines.extend(totals.lines().map(str::to_owned));
        lines.push(match self.doubled {
            Some(what) => look.paint(31, &format!("TWO OWNERS: {what}")),
            None => look.paint(32, &format!("every address has one owner, on {} looks at all disks", self.checks)),
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_a_little_of_everything() {
        let look = Look::new(false, true);
        let mut holdings = Holdings::default();
        holdings.states.extend([("free", 1_u128 << 80), ("delegated", 1 << 64), ("in-doubt", 1 << 79)]);
        let drawn = bar(look, &holdings);
        assert_eq!(drawn.len(), CELLS);
        assert!(drawn.starts_with("D???") && drawn.ends_with("...."), "{drawn}");
        assert_eq!(bar(look, &Holdings::default()), " ".repeat(CELLS));
        holdings.states = [("granted", u128::MAX)].into();
        assert_eq!(bar(look, &holdings), "G".repeat(CELLS));
    }
}
