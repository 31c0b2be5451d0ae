//! The log as a whole: formats, levels and repeats of a subscriber that is not that of the process.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use tracing_subscriber::util::SubscriberInitExt;

use super::*;

/// What a log has written.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn lines(&self) -> Vec<String> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        String::from_utf8(bytes).unwrap().split_terminator('\n').map(str::to_owned).collect()
    }

    fn objects(&self) -> Vec<Value> {
        self.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The lines without their timestamps.
    fn texts(&self) -> Vec<String> {
        self.lines().iter().map(|line| line.split_once(' ').unwrap().1.trim_start().to_owned()).collect()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings(format: Format, levels: &str) -> Settings {
    let repeats = Limits { burst: 2, every: Duration::from_secs(10), entries: 4 };
    Settings { format, levels: levels.to_owned(), levels_override: None, colours: false, repeats }
}

/// A log of this test, whose clock shows the seconds in the number handed to it.
fn with_log(settings: &Settings, test: impl FnOnce(&Written, &Telemetry, &AtomicU64)) {
    let (written, seconds) = (Written::default(), Arc::new(AtomicU64::new(0)));
    let (out, clock) = (written.clone(), seconds.clone());
    let clock = Arc::new(move || Time(Duration::from_secs(clock.load(Ordering::Relaxed))));
    let (subscriber, telemetry, _) = build(settings, BoxMakeWriter::new(move || out.clone()), clock).unwrap();
    let _guard = tracing::Dispatch::new(subscriber).set_default();
    test(&written, &telemetry, &seconds);
}

#[test]
fn fields_of_enclosing_spans_are_at_the_top_level_of_json() {
    with_log(&settings(Format::Json, "info"), |written, _, _| {
        let outer = tracing::info_span!("life", asa = "gray", role = "negotiator", life = 3_u64, objective = "none");
        let inner = outer.in_scope(|| tracing::info_span!("session", session_id = tracing::field::Empty));
        inner.record("session_id", 77_u32);
        inner.in_scope(|| tracing::warn!(peer = %"2001:db8::1", objective = "EX1", ok = true, "no answer"));
        let mut objects = written.objects();
        let object = objects[0].as_object_mut().unwrap();
        assert!(object.remove("timestamp").unwrap().as_str().unwrap().ends_with('Z'));
        let expected = json!({
            "level": "WARN", "target": module_path!(), "message": "no answer", "asa": "gray", "role": "negotiator",
            "life": 3, "session_id": 77, "objective": "EX1", "peer": "2001:db8::1", "ok": true,
        });
        assert_eq!(objects, [expected]);
    });
}

#[test]
fn a_field_cannot_take_the_place_of_the_level_or_the_message() {
    with_log(&settings(Format::Json, "info"), |written, _, _| {
        tracing::info!(level = "forged", timestamp = 0, target = "x", r#type = 5, "hello");
        let object = &written.objects()[0];
        assert_eq!(
            (&object["level"], &object["message"], &object["level_"]),
            (&"INFO".into(), &"hello".into(), &"forged".into())
        );
        assert_eq!((&object["target"], &object["target_"]), (&module_path!().into(), &"x".into()));
        assert_eq!(object["type"], 5, "{object}");
    });
}

#[test]
fn text_has_the_fields_of_enclosing_spans_as_words() {
    with_log(&settings(Format::Text, "info"), |written, _, _| {
        let span = tracing::info_span!("life", asa = "gray", role = "negotiator", life = 1_u64);
        span.in_scope(|| tracing::info!(objective = "two words", "up"));
        assert_eq!(written.texts(), ["INFO up asa=gray role=negotiator life=1 objective=\"two words\""]);
    });
}

#[test]
fn a_peer_cannot_forge_a_line_or_a_field() {
    with_log(&settings(Format::Text, "info"), |written, _, _| {
        let hostile = "x\" asa=evil\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2J\u{9b}1m\u{7f}\u{202e}\u{2028}\0\\";
        tracing::info!(peer = hostile, shown = %hostile, "from {hostile}");
        let lines = written.lines();
        assert_eq!(lines.len(), 1);
        assert!(!lines[0].contains(char::is_control) && !lines[0].contains(['\u{202e}', '\u{2028}']), "{:?}", lines[0]);
        assert!(
            lines[0].contains(r#" peer="x\" asa=evil\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2J\u{9b}1m\u{7f}"#)
        );
    });
}

#[test]
fn a_long_value_is_cut_and_said_to_be() {
    with_log(&settings(Format::Json, "info"), |written, _, _| {
        tracing::info!(objective = "ä".repeat(5000), "long");
        let object = &written.objects()[0];
        let value = object["objective"].as_str().unwrap();
        assert!(value.len() < 4200 && value.ends_with("… (5904 bytes more)"), "{}", value.len());
    });
}

#[test]
fn levels_change_while_running() {
    with_log(&settings(Format::Text, "warn"), |written, telemetry, _| {
        let say = || {
            tracing::info!(target: "grasp::actors::link", "link");
            tracing::debug!(target: "grasp::actors::flood", "flood");
            tracing::info!(target: "asa_framework", "framework");
            written.texts().iter().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(say(), [""; 0]);
        telemetry.levels().set("warn,grasp::actors=debug").unwrap();
        assert_eq!(say(), ["link", "flood"]);
        assert!(telemetry.levels().set("loud").is_err());
        assert_eq!(say(), ["link", "flood"]);
        telemetry.levels().set("off").unwrap();
        assert_eq!((say(), telemetry.levels().current()), (vec![], "off".to_owned()));
    });
}

#[test]
fn the_environment_overrides_the_levels_and_a_wrong_override_is_told() {
    let start = |levels: &str| {
        let settings = Settings { levels_override: Some(levels.into()), ..settings(Format::Text, "warn") };
        let (_subscriber, telemetry, refused) =
            build(&settings, BoxMakeWriter::new(io::sink), Arc::new(Time::default)).map_err(drop).unwrap();
        (telemetry.levels().current(), refused)
    };
    assert_eq!(start("debug"), ("debug".to_owned(), None));
    let (current, refused) = start("loud");
    assert_eq!((current.as_str(), refused), ("warn", Some(LevelError::NotALevel { word: "loud".to_owned() })));
}

#[test]
fn a_repeated_event_is_counted_when_it_recurs() {
    with_log(&settings(Format::Text, "info"), |written, _, seconds| {
        let complain = || tracing::error!(panic = "of a role", "an actor panicked");
        (0..7).for_each(|_| complain());
        assert_eq!(written.texts().len(), 2);
        seconds.store(10, Ordering::Relaxed);
        complain();
        let texts = ["ERROR an actor panicked … repeated 5 times", "ERROR an actor panicked panic=\"of a role\""];
        assert_eq!(written.texts(), texts);
    });
}

#[test]
fn a_repeated_event_is_counted_with_its_asa_and_role_when_the_interval_ends() {
    with_log(&settings(Format::Json, "info"), |written, telemetry, seconds| {
        for asa in ["gray", "briggs"] {
            let span = tracing::info_span!("life", asa, role = "pool");
            span.in_scope(|| (0..5).for_each(|_| tracing::info!("no room")));
        }
        assert_eq!(written.lines().len(), 4);
        telemetry.table.write_ended();
        assert_eq!(written.lines().len(), 0);
        // Whatever is logged by then: the events were held back while they were to be logged.
        telemetry.levels().set("off").unwrap();
        seconds.store(10, Ordering::Relaxed);
        telemetry.table.write_ended();
        let told: Vec<_> = written.objects();
        let told: Vec<_> =
            told.iter().map(|told| (&told["message"], &told["asa"], &told["role"], &told["level"])).collect();
        let (message, role, level) = ("no room … repeated 3 times".into(), "pool".into(), "INFO".into());
        let expected = [(&message, &"gray".into(), &role, &level), (&message, &"briggs".into(), &role, &level)];
        assert_eq!(told, expected);
        telemetry.finish();
        assert_eq!(written.lines().len(), 0);
    });
}

#[test]
fn no_count_is_lost_at_the_end_or_when_the_table_is_full() {
    with_log(&settings(Format::Text, "info"), |written, telemetry, _| {
        (0..3).for_each(|_| tracing::info!("old"));
        (0..4).for_each(|number| tracing::info!("other {number}"));
        assert_eq!((written.lines().len(), telemetry.forgotten_repeats()), (6, 1));
        (0..4).for_each(|_| tracing::info!("other 3"));
        written.lines();
        telemetry.finish();
        assert_eq!(written.texts(), ["INFO old … repeated 1 time", "INFO other 3 … repeated 2 times"]);
    });
}

#[test]
fn a_field_whose_formatting_panics_does_not_stop_the_log() {
    struct Broken;
    impl std::fmt::Debug for Broken {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            tracing::info!("within");
            panic!("cannot be shown")
        }
    }
    with_log(&settings(Format::Text, "info"), |written, _, _| {
        let span = tracing::info_span!("life", broken = tracing::field::Empty);
        for attempt in [
            std::panic::catch_unwind(|| tracing::info!(broken = ?Broken, "event")),
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                span.record("broken", tracing::field::debug(Broken));
            })),
        ] {
            assert!(attempt.is_err());
        }
        written.lines();
        span.in_scope(|| tracing::info!("after"));
        assert_eq!(written.texts(), ["INFO after"]);
    });
}

#[test]
fn auto_is_the_journal_only_if_the_stream_leads_there() {
    let (stream, other) = (File::open("Cargo.toml").unwrap(), File::open("src/lib.rs").unwrap());
    let metadata = stream.metadata().unwrap();
    let named = OsString::from(format!("{}:{}", metadata.dev(), metadata.ino()));
    assert_eq!(Format::auto(Some(&named), &stream), Format::Journald);
    assert_eq!(Format::auto(Some(&named), &other), Format::Text);
    for named in ["", ":", "1", "x:y", "0:0"] {
        assert_eq!(Format::auto(Some(OsStr::new(named)), &stream), Format::Text, "{named}");
    }
    assert_eq!(Format::auto(None, &stream), Format::Text);
}
