//! Gray and Briggs: the two demonstration negotiators.
//!
//! Briggs is a bank. It floods the time as EX1, offers a value to read as EX2, and negotiates about money as EX3. Gray is
//! a customer who wants more than the bank likes to give. Both speak with their Python namesakes.

mod briggs;
mod gray;
mod money;

pub use briggs::{Briggs, BriggsStrategy};
pub use gray::{Gray, GrayStrategy};
pub use money::{Money, MoneyError, NZD};

use asa_framework::class::Class;
use asa_framework::event::Ending;
use asa_framework::roles::negotiator::Ended;
use grasp::Objective;
use rand::SeedableRng;
use rand_chacha::ChaCha12Rng;

/// The classes of this crate.
pub const CLASSES: &[&dyn Class] = &[&Gray, &Briggs];

/// Names of the objectives, and what both sides must say about them alike.
fn ex1() -> Objective {
    Objective::synchronization("EX1").with_loop_count(4)
}

fn ex2() -> Objective {
    Objective::synchronization("EX2").with_loop_count(4)
}

fn ex3() -> Objective {
    Objective::negotiation("EX3")
}

/// Seed 0 takes one from the system; any other repeats the same choices.
fn generator(seed: u64) -> ChaCha12Rng {
    if seed == 0 { ChaCha12Rng::from_seed(rand::random()) } else { ChaCha12Rng::seed_from_u64(seed) }
}

/// How much faster everything goes that only waits for human readers, or plays the slow bank.
fn slowness(pace: &str) -> u32 {
    if pace == "fast" { 1 } else { 10 }
}

/// A peer's text for people: what cannot be printed is escaped, the rest is verbatim (COM-15).
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() }).collect()
}

/// One line on how a negotiation with `peer` ended; a peer's reason is shown, not obeyed.
fn outcome(peer: &str, ended: &Ended<'_>) -> String {
    let reason = printable(ended.reason.unwrap_or_default());
    match ended.ending {
        Ending::Accepted => {
            let value = ended.objective.and_then(|objective| objective.value.as_ref());
            Money::read(value)
                .map_or_else(|_| "Negotiation succeeded".into(), |money| format!("Negotiation succeeded: {money}"))
        }
        Ending::Declined if ended.by_us => format!("I decline: {reason}"),
        Ending::Declined => format!("{peer} declines: {reason}"),
        Ending::Failed => format!("Negotiation failed: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use asa_framework::manifest::{Manifest, Sources};

    use super::*;
    use asa_framework::class::ClassInfo;

    const INFO: &[&dyn ClassInfo] = &[&Gray, &Briggs];

    fn load(class: &str, parameters: &str) -> Result<(), String> {
        let text = format!("[asa.one]\nclass = '{class}'\n[asa.one.parameters]\n{parameters}");
        let sources =
            Sources { path: Some("test.toml".into()), content: Some(text.into_bytes()), ..Sources::default() };
        Manifest::load(sources, INFO).map(drop).map_err(|problems| problems.to_string())
    }

    #[test]
    fn the_default_parameters_pass_their_own_check() {
        assert_eq!(load("gray", ""), Ok(()));
        assert_eq!(load("briggs", ""), Ok(()));
    }

    #[test]
    fn parameters_out_of_bounds_are_refused() {
        for (class, parameters, fragment) in [
            ("gray", "pace = 'slow'", "\"human\", \"fast\""),
            ("gray", "sessions = -1", "an integer from 0"),
            ("gray", "amount_min = 501", "at most the value of amount_max, which is 500"),
            ("gray", "loop_count_max = 256", "an integer from 1 to 255"),
            ("briggs", "bank = ''", "a text of 1 to 63 bytes"),
            ("briggs", "wait_min_ms = 20001", "at most the value of wait_max_ms"),
            ("briggs", "reserves_max = 99", "at most the value of reserves_max, which is 99"),
            ("briggs", "flood_period_ms = 10", "an integer from 1000"),
        ] {
            let message = load(class, parameters).unwrap_err();
            assert!(message.contains(fragment), "{fragment:?} is not in:\n{message}");
        }
    }
}
