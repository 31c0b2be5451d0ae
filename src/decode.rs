//! `asa decode`: messages in hex, one a line, to JSON, one object a line.

use grasp::wire::{Answer, EndOption, Limits, Locator, Message, Objective, Value, decode, diagnostic};
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::io::{self, BufRead, Read, Write};
use std::net::IpAddr;

/// Longest line that is read, in bytes; enough for the largest message with blanks between all digits.
const MAX_LINE: usize = 4 * grasp::constants::GRASP_DEF_MAX_SIZE;

/// Decodes every line of `input` and writes a JSON object for each; blank lines and lines that start with `#` are
/// skipped, and blanks within a line only separate.
///
/// Returns whether every message decoded. A line that is too long is reported and skipped; it is never held in memory.
///
/// # Errors
///
/// Those of `input` and `output`.
pub(crate) fn run(mut input: impl BufRead, mut output: impl Write) -> io::Result<bool> {
    let mut all = true;
    let mut line = Vec::new();
    loop {
        line.clear();
        // One byte more than is accepted tells a line that is too long from one that just fits.
        if input.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)? == 0 {
            return Ok(all);
        }
        let whole = line.pop_if(|last| *last == b'\n').is_some();
        let too_long = line.len() > MAX_LINE;
        if too_long && !whole {
            input.skip_until(b'\n')?;
        }
        line.retain(|byte| !byte.is_ascii_whitespace());
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let report = if too_long { Err(format!("the line is longer than {MAX_LINE} bytes")) } else { one(&line) };
        let report = report.unwrap_or_else(|error| {
            all = false;
            json!({ "error": error }).to_string()
        });
        writeln!(output, "{report}")?;
    }
}

/// Decodes one message from its digits.
fn one(digits: &[u8]) -> Result<String, String> {
    let bytes = std::str::from_utf8(digits).ok().and_then(grasp::hex::decode).ok_or("not hex")?;
    let message = decode(&bytes, &Limits::default()).map_err(|error| error.to_string())?;
    serde_json::to_string(&describe(&message)).map_err(|error| error.to_string())
}

/// A decoded message, its fields in the order in which they are written; those its type does not have are null or empty.
#[derive(Default, Serialize)]
struct Report {
    #[serde(rename = "type")]
    kind: &'static str,
    session_id: Option<u32>,
    initiator: Option<IpAddr>,
    ttl: Option<u32>,
    objectives: Vec<Json>,
    /// For a flood, one entry an objective; null is the empty tag.
    locators: Vec<Option<String>>,
    options: Vec<Json>,
    encoded: String,
}

fn describe(message: &Message) -> Report {
    let mut report = Report {
        kind: message.message_type().name(),
        session_id: message.session_id(),
        encoded: grasp::hex::encode(&message.encode()),
        ..Report::default()
    };
    match message {
        Message::Noop => {}
        Message::Discovery { initiator, objective: wanted, .. } => {
            report.initiator = Some(*initiator);
            report.objectives.push(objective(wanted));
        }
        Message::Response { initiator, ttl, answer, objective: copy, .. } => {
            (report.initiator, report.ttl) = (Some(*initiator), Some(*ttl));
            report.objectives.extend(copy.as_ref().map(objective));
            let places = answer.locators().iter().map(locator);
            match answer {
                Answer::Locators(_) => report.locators.extend(places.map(Some)),
                Answer::Divert(_) => report.options.push(json!({ "divert": places.collect::<Vec<_>>() })),
            }
        }
        Message::RequestNegotiation { objective: one, .. }
        | Message::RequestSynchronization { objective: one, .. }
        | Message::Negotiate { objective: one, .. }
        | Message::Synch { objective: one, .. } => report.objectives.push(objective(one)),
        Message::End { option, .. } => report.options.push(match option {
            EndOption::Accept => json!({ "accept": true }),
            EndOption::Decline(reason) => json!({ "decline": reason }),
        }),
        Message::Wait { waiting_time, .. } => report.options.push(json!({ "waiting_time": waiting_time })),
        Message::Flood { initiator, ttl, objectives, .. } => {
            (report.initiator, report.ttl) = (Some(*initiator), Some(*ttl));
            for tagged in objectives {
                report.objectives.push(objective(&tagged.objective));
                report.locators.push(tagged.locator.as_ref().map(locator));
            }
        }
        Message::Invalid { content, .. } => {
            report.options.extend(content.as_ref().map(|content| json!({ "content": notation(content) })));
        }
    }
    report
}

fn objective(objective: &Objective) -> Json {
    json!({
        "name": objective.name,
        "flags": objective.flags.0,
        "loop_count": objective.loop_count,
        "value": objective.value.as_ref().map(notation),
    })
}

fn notation(value: &Value) -> String {
    diagnostic(value.as_bytes())
}

/// The place and its transport protocol, such as `[2001:db8::1]:443 TCP`.
fn locator(locator: &Locator) -> String {
    use grasp::wire::Transport;
    let (transport, port) = match locator {
        Locator::Ipv6 { transport, .. } | Locator::Ipv4 { transport, .. } | Locator::Fqdn { transport, .. } => {
            (Some(*transport), None)
        }
        Locator::Uri { transport, port, .. } => (*transport, *port),
        Locator::Other { protocol, .. } => return format!("{locator} protocol {protocol}"),
    };
    let mut text = locator.to_string();
    if let Some(port) = port {
        text.push_str(&format!(" port {port}"));
    }
    match transport {
        Some(Transport::Tcp) => text.push_str(" TCP"),
        Some(Transport::Udp) => text.push_str(" UDP"),
        None => {}
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// What is written for `input`, and whether all of it decoded.
    fn decoded(input: &str) -> (Vec<Json>, bool) {
        let mut output = Vec::new();
        let all = run(input.as_bytes(), &mut output).unwrap();
        let text = String::from_utf8(output).unwrap();
        (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), all)
    }

    fn single(input: &str) -> Json {
        let (mut lines, all) = decoded(input);
        assert!(all && lines.len() == 1, "{lines:?}");
        lines.remove(0)
    }

    #[test]
    fn a_flood_shows_every_pair() {
        let hex = "86091a00357b4e5020010db8f000baaa28ccdc4c970367811927108284634558310506018082846345583205030284186750\
                   20010db8f000baaaf000baaaf000baaa06191b69";
        let expected = json!({
            "type": "M_FLOOD",
            "session_id": 3_504_974,
            "initiator": "2001:db8:f000:baaa:28cc:dc4c:9703:6781",
            "ttl": 10000,
            "objectives": [
                { "name": "EX1", "flags": 5, "loop_count": 6, "value": "1" },
                { "name": "EX2", "flags": 5, "loop_count": 3, "value": "2" },
            ],
            "locators": [null, "[2001:db8:f000:baaa:f000:baaa:f000:baaa]:7017 TCP"],
            "options": [],
            "encoded": hex,
        });
        assert_eq!(single(hex), expected);
    }

    #[test]
    fn every_line_has_the_same_fields_in_the_same_order() {
        let mut output = Vec::new();
        run(&b"8100"[..], &mut output).unwrap();
        let noop = r#"{"type":"M_NOOP","session_id":null,"initiator":null,"ttl":null,"objectives":[],"locators":[],"#;
        assert_eq!(String::from_utf8(output).unwrap(), format!("{noop}\"options\":[],\"encoded\":\"8100\"}}\n"));
        assert_eq!(single("83041a003da10e83634558320505")["objectives"][0]["value"], Json::Null);
    }

    #[test]
    fn options_are_named() {
        assert_eq!(single("83061a000c3ffd811865")["options"], json!([{ "accept": true }]));
        assert_eq!(single("83061a000c3ffd811866")["options"], json!([{ "decline": null }]));
        let declined = single("83061a00d2146282186672496e73756666696369656e742066756e6473");
        assert_eq!(declined["options"], json!([{ "decline": "Insufficient funds" }]));
        assert_eq!(single("83071a00d21462198895")["options"], json!([{ "waiting_time": 34965 }]));
        assert_eq!(
            single("8318631a000c3ffd48830a1a000c3ffd80")["options"],
            json!([{ "content": "h'830a1a000c3ffd80'" }])
        );
        let divert = "85021a00d4d7485020010db8f000baaa28ccdc4c9703678119ea60831864841867\
                      5020010db8f000baaaf000baaaf000baaa0619c1238418696d612e6578616d706c652e636f6d111901bb";
        let places = ["[2001:db8:f000:baaa:f000:baaa:f000:baaa]:49443 TCP", "a.example.com:443 UDP"];
        assert_eq!(single(divert)["options"], json!([{ "divert": places }]));
    }

    #[test]
    fn locators_are_readable() {
        let with = |option: &str| single(&format!("85020144c000020100{option}"))["locators"].clone();
        assert_eq!(with("84186844c000020911191b69"), json!(["192.0.2.9:7017 UDP"]));
        assert_eq!(with("84186a62613af6f6"), json!(["a:"]));
        assert_eq!(with("84186a62613a061901bb"), json!(["a: port 443 TCP"]));
    }

    #[test]
    fn blanks_and_comments_are_skipped() {
        let (lines, all) = decoded("# a comment\n\n   \n 81 00 \r\n\t# another\n8100");
        assert_eq!((lines.len(), all), (2, true));
        assert_eq!(decoded(""), (vec![], true));
    }

    #[test]
    fn an_error_names_the_rule_and_the_place_and_the_rest_is_decoded() {
        let (lines, all) = decoded("83051a000c3ffd811863\nxyz\n810\n\n8100\n8100ff\n\u{fc}\n");
        let errors: Vec<_> = lines.iter().filter_map(|line| line["error"].as_str()).collect();
        let expected = [
            "an objective is an array of 3 or 4 elements, at byte 7",
            "not hex",
            "not hex",
            "bytes follow the message, at byte 2",
            "not hex",
        ];
        assert_eq!((errors.as_slice(), all), (&expected[..], false));
        assert_eq!(lines[3]["type"], "M_NOOP");
    }

    #[test]
    fn a_long_line_is_reported_and_passed_over() {
        let long = "8".repeat(100 * MAX_LINE);
        let (lines, all) = decoded(&format!("{long}\n8100\n"));
        assert!(!all && lines.len() == 2 && lines[1]["type"] == "M_NOOP");
        assert_eq!(lines[0]["error"], format!("the line is longer than {MAX_LINE} bytes"));
        assert_eq!(decoded(&format!("#{long}\n8100\n")).0.len(), 1);
        let (lines, _) = decoded(&format!("8100{}\n8100\n", " ".repeat(MAX_LINE - 4)));
        assert!(lines.len() == 2 && lines[0]["type"] == "M_NOOP");
        let (lines, _) = decoded(&format!("8100{}\n8100\n", " ".repeat(MAX_LINE - 3)));
        assert!(lines.len() == 2 && lines[0].get("error").is_some() && lines[1]["type"] == "M_NOOP");
        let (lines, all) = decoded(&long);
        assert!(!all && lines.len() == 1);
    }

    #[test]
    fn what_is_read_loosely_is_written_shortest() {
        let loose = single("9f18031a000c3ffd847f614561586133ff0306 82634e5a44182f ff");
        assert_eq!(loose["encoded"], "83031a000c3ffd8463455833030682634e5a44182f");
        assert_eq!(loose["objectives"][0]["value"], "[\"NZD\", 47]");
    }
}
