//! The common checks of class parameters.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::origin::Problem;

/// Checks the parameters of a class, one line for each rule, and collects the problems.
///
/// ```
/// # use asa_framework::manifest::ParameterCheck;
/// let parameters = serde_json::json!({ "low": 5, "high": 3, "pace": "human" });
/// let mut check = ParameterCheck::new(&parameters);
/// check.integer("low", 1..=9).integer("high", 1..=9).ordered("low", "high").choice("pace", &["human", "fast"]);
/// assert_eq!(check.finish().len(), 1);
/// ```
#[derive(Debug)]
pub struct ParameterCheck<'a> {
    parameters: &'a Value,
    problems: Vec<Problem>,
}

impl<'a> ParameterCheck<'a> {
    /// Starts with the effective parameters, an object.
    #[must_use]
    pub fn new(parameters: &'a Value) -> Self {
        Self { parameters, problems: Vec::new() }
    }

    fn get(&self, key: &str) -> &'a Value {
        self.parameters.get(key).unwrap_or(&Value::Null)
    }

    /// Requires an integer within the bounds.
    pub fn integer(&mut self, key: &str, bounds: RangeInclusive<i64>) -> &mut Self {
        let value = self.get(key);
        if !value.as_i64().is_some_and(|number| bounds.contains(&number)) {
            let allowed = format!("an integer from {} to {}", bounds.start(), bounds.end());
            self.problems.push(Problem::parameter(key, value, allowed));
        }
        self
    }

    /// Requires one of the texts.
    pub fn choice(&mut self, key: &str, choices: &[&str]) -> &mut Self {
        let value = self.get(key);
        if !value.as_str().is_some_and(|text| choices.contains(&text)) {
            let quoted: Vec<String> = choices.iter().map(|choice| format!("\"{choice}\"")).collect();
            self.problems.push(Problem::parameter(key, value, quoted.join(", ")));
        }
        self
    }

    /// Requires a text with a number of bytes within the bounds.
    pub fn text(&mut self, key: &str, bounds: RangeInclusive<usize>) -> &mut Self {
        let value = self.get(key);
        if !value.as_str().is_some_and(|text| bounds.contains(&text.len())) {
            let allowed = format!("a text of {} to {} bytes", bounds.start(), bounds.end());
            self.problems.push(Problem::parameter(key, value, allowed));
        }
        self
    }

    /// Requires that the integer at `low` is not above the integer at `high`.
    pub fn ordered(&mut self, low: &str, high: &str) -> &mut Self {
        if let (Some(smaller), Some(larger)) = (self.get(low).as_i64(), self.get(high).as_i64())
            && smaller > larger
        {
            let allowed = format!("at most the value of {high}, which is {larger}");
            self.problems.push(Problem::parameter(low, self.get(low), allowed));
        }
        self
    }

    /// Returns the problems in the order of the rules.
    #[must_use]
    pub fn finish(self) -> Vec<Problem> {
        self.problems
    }
}
