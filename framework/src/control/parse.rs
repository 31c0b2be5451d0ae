//! What a line of a client asks for, or what is wrong with it. Pure.

use super::message::{Command, Failure, FailureCode, MAX_DRILLS, Request, VERSION};
use serde_json::Value;

/// The longest text about what is wrong with a request, in characters; it may quote the request.
const MAX_TEXT: usize = 300;

impl Request {
    /// Reads a request from a line, given without its line end.
    ///
    /// What the protocol does not know is refused, fields included: a misspelt `plan` must not apply anything.
    ///
    /// # Errors
    ///
    /// [`FailureCode::Malformed`] with what is wrong.
    pub fn from_line(line: &[u8]) -> Result<Self, Failure> {
        let value: Value = serde_json::from_slice(line).map_err(|error| malformed(&format!("not JSON: {error}")))?;
        let Value::Object(given) = &value else {
            return Err(malformed(&format!(
                "expected an object such as {{\"version\":{VERSION},\"command\":\"status\"}}"
            )));
        };
        match given.get("version") {
            None => return Err(malformed(&format!("`version` is missing; this node speaks version {VERSION}"))),
            Some(version) if version.as_u64() != Some(VERSION.into()) => {
                return Err(malformed(&format!("version {version} is asked for; this node speaks version {VERSION}")));
            }
            Some(_) => {}
        }
        let keys: Vec<String> = given.keys().cloned().collect();
        let request: Self = serde_json::from_value(value).map_err(|error| malformed(&error.to_string()))?;
        let known = serde_json::to_value(&request).unwrap_or_default();
        if let Some(unknown) = keys.iter().find(|key| known.get(key.as_str()).is_none()) {
            return Err(malformed(&format!("`{unknown}` has no meaning for this command")));
        }
        if let Command::Drill { count, .. } = &request.command
            && !(1..=MAX_DRILLS).contains(count)
        {
            return Err(malformed(&format!("`count` is {count}; allowed are 1 to {MAX_DRILLS}")));
        }
        Ok(request)
    }
}

/// A failure that says what is wrong with a request, however long and strange the request is.
pub(super) fn malformed(what: &str) -> Failure {
    let mut text = String::from("malformed request: ");
    for (count, character) in what.chars().enumerate() {
        if count == MAX_TEXT {
            text.push('…');
            break;
        }
        if character.is_control() { text.extend(character.escape_default()) } else { text.push(character) }
    }
    Failure::new(FailureCode::Malformed, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(line: &str) -> String {
        let failure = Request::from_line(line.as_bytes()).unwrap_err();
        assert_eq!(failure.code, FailureCode::Malformed);
        failure.message
    }

    #[test]
    fn every_refusal_says_what_is_wrong() {
        for (line, part) in [
            ("", "not JSON"),
            ("status", "not JSON"),
            ("[]", "expected an object such as {\"version\":1"),
            (r#"{"command":"status"}"#, "`version` is missing"),
            (r#"{"version":2,"command":"status"}"#, "version 2 is asked for; this node speaks version 1"),
            (r#"{"version":"1","command":"status"}"#, "version \"1\" is asked for"),
            (r#"{"version":1}"#, "command"),
            (r#"{"version":1,"command":"stats"}"#, "unknown variant `stats`, expected one of `status`, `describe`"),
            (r#"{"version":1,"command":"dump"}"#, "missing field `table`"),
            (r#"{"version":1,"command":"reload","plann":true}"#, "`plann` has no meaning for this command"),
            (r#"{"version":1,"command":"status","force":true}"#, "`force` has no meaning for this command"),
            (r#"{"version":1,"command":"move","move":"fly","instance":"a"}"#, "unknown variant `fly`"),
            (r#"{"version":1,"command":"query","instance":"a"}"#, "missing field `query`"),
            (r#"{"version":1,"command":"query","instance":["a"],"query":1}"#, "expected a string"),
            (r#"{"version":1,"command":"query","query":1,"force":true}"#, "`force` has no meaning for this command"),
            (r#"{"version":1,"command":"drill","role":"pool","fault":"panic","count":0}"#, "allowed are 1 to 100"),
            (r#"{"version":1,"command":"drill","role":"pool","fault":"panic","count":101}"#, "`count` is 101"),
        ] {
            let message = refusal(line);
            assert!(message.contains(part), "{line}: {message}");
        }
        assert!(Request::from_line(b"{\"version\":1,\"command\":\"\xff\"}").is_err());
        assert!(refusal(&"[".repeat(100_000)).contains("recursion limit"));
    }

    /// ASA-S-02: what a client sends comes back neither whole nor with control characters.
    #[test]
    fn a_refusal_quotes_little_and_nothing_that_moves_a_cursor() {
        let message = refusal(&format!("{{\"version\":1,\"command\":\"\\u001b[2J{}\"}}", "x".repeat(9000)));
        assert!(message.chars().count() < 350 && message.ends_with('…') && !message.contains('\u{1b}'), "{message}");
    }

    #[test]
    fn defaults_can_be_left_out() {
        let request = Request::from_line(br#"{"version":1,"command":"move","move":"uninstall","instance":"gray"}"#);
        let Command::Move { force, purge, .. } = request.unwrap().command else { panic!() };
        assert!(!force && !purge);
        let request = Request::from_line(br#"{"version":1,"command":"query","query":{"of":[null,1.5]}}"#);
        let Command::Query { instance, query } = request.unwrap().command else { panic!() };
        assert_eq!((instance.as_str(), query), ("", serde_json::json!({"of": [null, 1.5]})));
    }

    /// Lines that are nearly requests: a request with some bytes replaced, removed or inserted.
    fn nearly() -> impl Strategy<Value = Vec<u8>> {
        let request = r#"{"version":1,"command":"drill","role":"pool","fault":"panic","count":3,"instance":"gray"}"#;
        prop::collection::vec((0..request.len(), any::<u8>(), 0..3u8), 0..6).prop_map(move |edits| {
            let mut line = request.as_bytes().to_vec();
            for (place, byte, how) in edits {
                let place = place.min(line.len().saturating_sub(1));
                match how {
                    0 => line[place] = byte,
                    1 => drop(line.remove(place)),
                    _ => line.insert(place, byte),
                }
            }
            line
        })
    }

    proptest! {
        #[test]
        fn no_line_panics(line in prop_oneof![prop::collection::vec(any::<u8>(), 0..300), nearly()]) {
            match Request::from_line(&line) {
                Ok(request) => {
                    let again = serde_json::to_vec(&request).unwrap();
                    prop_assert_eq!(Request::from_line(&again).unwrap(), request);
                }
                Err(failure) => prop_assert_eq!(failure.code, FailureCode::Malformed),
            }
        }
    }
}
