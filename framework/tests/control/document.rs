//! `docs/control.md` says what is so.

use super::*;
use asa_framework::control::{
    Described, DrillReport, IDLE_LIMIT, MAX_CONNECTIONS, MAX_DRILLS, MAX_LINE, MAX_OPERATIONS, MAX_REQUEST, MoveReport,
    Plan, ReplaceReport, Request, StatusReport, VERSION, WRITE_LIMIT,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::process::{Command as Process, Stdio};

fn document() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/control.md")).unwrap()
}

/// The fenced examples: what the first line says they are, and their text.
fn examples() -> Vec<(String, String)> {
    let document = document();
    let mut parts = document.split("```");
    let mut found = Vec::new();
    // Outside, inside, outside and so on.
    while let (Some(_), Some(inside)) = (parts.next(), parts.next()) {
        let (what, text) = inside.split_once('\n').unwrap();
        found.push((what.to_owned(), text.to_owned()));
    }
    found
}

/// Checks that a value is of a type, with each field that the type has and no other.
fn is<T: DeserializeOwned + Serialize>(value: &Value) {
    let typed: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"));
    assert_eq!(serde_json::to_value(typed).unwrap(), *value);
}

#[test]
fn every_example_is_what_it_claims_to_be() {
    let (mut commands, mut replies) = (BTreeSet::new(), BTreeSet::new());
    for (what, text) in examples() {
        if what == "python" {
            continue;
        }
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let line = value.to_string();
        if what == "json request" {
            let request = Request::from_line(line.as_bytes()).unwrap_or_else(|failure| panic!("{failure}: {text}"));
            assert_eq!(serde_json::to_value(request).unwrap(), value, "a field is not mentioned");
            commands.insert(value["command"].as_str().unwrap().to_owned());
            continue;
        }
        is::<Reply>(&value);
        assert_eq!(value["version"], VERSION);
        let (kind, ok) = (what.strip_prefix("json reply ").unwrap(), &value["ok"]);
        assert_eq!(value.get("error").is_some(), kind == "error", "{text}");
        match kind {
            "error" => is::<Failure>(&value["error"]),
            "status" => is::<StatusReport>(ok),
            "describe" => is::<Vec<Described>>(ok),
            "dump" => is::<Vec<serde_json::Map<String, Value>>>(ok),
            "move" => is::<MoveReport>(ok),
            "replace" => is::<ReplaceReport>(ok),
            "reload" => is::<Plan>(ok),
            "drill" => is::<Vec<DrillReport>>(ok),
            "query" => assert!(ok.is_object(), "one of the answers of a class"),
            "log-level" => assert!(ok["level"].is_string()),
            other => panic!("{other} is no kind of reply"),
        }
        replies.insert(kind.to_owned());
    }
    // Taken from the refusal of what is none of them.
    let refusal = Request::from_line(br#"{"version":1,"command":"?"}"#).unwrap_err().message;
    let known: BTreeSet<String> = refusal.split('`').skip(3).step_by(2).map(str::to_owned).collect();
    assert!(known.contains("status") && known.len() >= 8, "{refusal}");
    assert_eq!(commands, known);
    replies.remove("error");
    assert_eq!(replies, known);
}

#[test]
fn every_bound_and_every_word_is_in_the_document() {
    let document = document();
    let codes =
        [FailureCode::Malformed, FailureCode::Unknown, FailureCode::Refused, FailureCode::Busy, FailureCode::Failed];
    let mut expected: Vec<String> =
        codes.iter().map(|code| format!("| `{}` |", json!(code).as_str().unwrap())).collect();
    expected.extend([
        format!("| request | {MAX_REQUEST} bytes |"),
        format!("| reply | {MAX_LINE} bytes |"),
        format!("| {} s, from the last reply |", IDLE_LIMIT.as_secs()),
        format!("| time to read a reply | {} s |", WRITE_LIMIT.as_secs()),
        format!("| connections | {MAX_CONNECTIONS} at once |"),
        format!("| commands at work | {MAX_OPERATIONS} at once"),
        format!("| 1 to {MAX_DRILLS} |"),
        format!("`version`, which is {VERSION},"),
    ]);
    for refused in ["move", "fault", "table"] {
        let mut request = json!({
            "version": 1, "command": "move", "move": "install", "instance": "a", "table": "floods", "role": "a",
            "fault": "panic", "count": 1,
        });
        request["command"] = match refused {
            "fault" => "drill".into(),
            "table" => "dump".into(),
            other => other.into(),
        };
        request[refused] = "?".into();
        let refusal = Request::from_line(request.to_string().as_bytes()).unwrap_err().message;
        let words = refusal.split('`').skip(3).step_by(2);
        expected.extend(words.map(|word| format!("`{word}`")));
    }
    assert!(expected.len() > 20, "{expected:?}");
    for part in expected {
        assert!(document.contains(&part), "{part} is not in the document");
    }
}

/// The client of the document, run as it stands there.
#[test]
fn the_python_client_works() {
    let works = |process: &mut Process| process.stdout(Stdio::null()).status().is_ok_and(|status| status.success());
    if !works(Process::new("python3").arg("--version")) {
        println!("needs python3");
        return;
    }
    let (_, client) = examples().into_iter().find(|(what, _)| what == "python").unwrap();
    run(false, async {
        let place = Place::new().await;
        let mut process = Process::new("python3");
        process.args(["-c", &client]).arg(place.path()).stdout(Stdio::piped());
        let mut process = process.spawn().unwrap();
        let deadline = tokio::time::Instant::now() + BOUND;
        while process.try_wait().unwrap().is_none() {
            assert!(tokio::time::Instant::now() < deadline, "the client has not ended");
            sleep(Duration::from_millis(5)).await;
        }
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "\"here\"\n");
    });
}
