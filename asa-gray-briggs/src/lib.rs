//! Gray and Briggs: the two demonstration negotiators.

use asa_framework::class::ClassInfo;
use asa_framework::manifest::{ParameterCheck, Problem};
use serde_json::Value;

/// The classes of this crate.
pub const CLASSES: &[&dyn ClassInfo] = &[&Gray, &Briggs];

/// The largest amount of money that anybody asks for or holds.
const MAX_AMOUNT: i64 = 1_000_000_000;
/// The longest time that a parameter may give, one hour.
const MAX_MS: i64 = 3_600_000;
const PACES: &[&str] = &["human", "fast"];

/// The class of the customer, who asks a bank for money.
#[derive(Debug, Clone, Copy)]
pub struct Gray;

impl ClassInfo for Gray {
    fn name(&self) -> &'static str {
        "gray"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn summary(&self) -> &'static str {
        "the customer: looks for a bank and negotiates for money (EX3), reads what it floods (EX1) and offers (EX2)"
    }

    fn defaults(&self) -> &'static str {
        include_str!("gray.toml")
    }

    fn check(&self, parameters: &Value) -> Vec<Problem> {
        let mut check = ParameterCheck::new(parameters);
        check.integer("sessions", 0..=i64::MAX).integer("seed", 0..=i64::MAX).choice("pace", PACES);
        check.integer("amount_min", 1..=MAX_AMOUNT).integer("amount_max", 1..=MAX_AMOUNT);
        check.ordered("amount_min", "amount_max");
        check.integer("loop_count_min", 1..=255).integer("loop_count_max", 1..=255);
        check.ordered("loop_count_min", "loop_count_max");
        check.finish()
    }
}

/// The class of the bank, which grants what its reserves allow.
#[derive(Debug, Clone, Copy)]
pub struct Briggs;

impl ClassInfo for Briggs {
    fn name(&self) -> &'static str {
        "briggs"
    }

    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }

    fn summary(&self) -> &'static str {
        "the bank: floods the time (EX1), offers a value to read (EX2) and negotiates about its reserves (EX3)"
    }

    fn defaults(&self) -> &'static str {
        include_str!("briggs.toml")
    }

    fn check(&self, parameters: &Value) -> Vec<Problem> {
        let mut check = ParameterCheck::new(parameters);
        check.text("bank", 1..=63).integer("seed", 0..=i64::MAX).choice("pace", PACES);
        check.integer("reserves_min", 1..=MAX_AMOUNT).integer("reserves_max", 1..=MAX_AMOUNT);
        check.ordered("reserves_min", "reserves_max");
        check.integer("wait_min_ms", 1..=MAX_MS).integer("wait_max_ms", 1..=MAX_MS);
        check.ordered("wait_min_ms", "wait_max_ms");
        check.integer("flood_period_ms", 1000..=MAX_MS);
        check.finish()
    }
}

#[cfg(test)]
mod tests {
    use asa_framework::manifest::{Manifest, Sources};

    use super::*;

    fn load(class: &str, parameters: &str) -> Result<(), String> {
        let text = format!("[asa.one]\nclass = '{class}'\n[asa.one.parameters]\n{parameters}");
        let sources =
            Sources { path: Some("test.toml".into()), content: Some(text.into_bytes()), ..Sources::default() };
        Manifest::load(sources, CLASSES).map(drop).map_err(|problems| problems.to_string())
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
