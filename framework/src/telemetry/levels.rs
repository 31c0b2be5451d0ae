//! Which events are logged: by level and module, changed while the node runs.

use tracing_subscriber::filter::{Directive, EnvFilter};
use tracing_subscriber::reload::Handle;
use tracing_subscriber::{Registry, reload};

/// Bytes of directives in one setting.
const MAX_LENGTH: usize = 1024;

/// The levels there are, from silence to everything.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Says what each error about levels ends with.
const ALLOWED: &str = "allowed is a list like \"info,grasp::actors=debug\": a level for everything, and a level for each \
                       module named; levels are off, error, warn, info, debug and trace";

/// Why levels were not set; those before stay in force.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LevelError {
    /// There is no directive.
    #[error("no level is given; {ALLOWED}")]
    Empty,
    /// There are more than 1024 bytes.
    #[error("the levels have {length} bytes, and {MAX_LENGTH} are allowed")]
    TooLong {
        /// How many there are.
        length: usize,
    },
    /// A word alone is not a level.
    #[error("{word:?} is not a level; {ALLOWED}")]
    NotALevel {
        /// The word.
        word: String,
    },
    /// What stands before or after `=` is wrong.
    #[error("{directive:?} is not MODULE=LEVEL; {ALLOWED}")]
    Directive {
        /// The directive.
        directive: String,
    },
    /// The log of this process is not ours any more.
    #[error("the log was set up by something else, so its levels cannot be changed here")]
    Gone,
}

/// The levels in force; clones speak of the same log.
#[derive(Debug, Clone)]
pub struct Levels(Handle<EnvFilter, Registry>);

impl Levels {
    /// Makes the filter, and the handle that changes it.
    pub(super) fn new(directives: &str) -> Result<(reload::Layer<EnvFilter, Registry>, Self), LevelError> {
        let (layer, handle) = reload::Layer::new(parse(directives)?);
        Ok((layer, Self(handle)))
    }

    /// Sets which events are logged from now on, such as `info,grasp::actors=debug`.
    ///
    /// # Errors
    ///
    /// Says which part is wrong and what is allowed; nothing has changed then.
    pub fn set(&self, directives: &str) -> Result<(), LevelError> {
        let filter = parse(directives)?;
        self.0.reload(filter).map_err(|_| LevelError::Gone)
    }

    /// Returns the directives in force; empty if the log is gone.
    #[must_use]
    pub fn current(&self) -> String {
        self.0.with_current(ToString::to_string).unwrap_or_default()
    }
}

/// Reads directives more strictly than [`EnvFilter`], to which a misspelt level is the name of a module.
fn parse(directives: &str) -> Result<EnvFilter, LevelError> {
    if directives.len() > MAX_LENGTH {
        return Err(LevelError::TooLong { length: directives.len() });
    }
    let mut filter = EnvFilter::default();
    let mut any = false;
    for part in directives.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        filter = filter.add_directive(directive(part)?);
        any = true;
    }
    if any { Ok(filter) } else { Err(LevelError::Empty) }
}

fn directive(part: &str) -> Result<Directive, LevelError> {
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let valid = match part.rsplit_once('=') {
        None if is_level(part) => true,
        None => return Err(LevelError::NotALevel { word: part.to_owned() }),
        Some((module, level)) => is_module(module) && is_level(level),
    };
    part.parse().ok().filter(|_| valid).ok_or_else(|| LevelError::Directive { directive: part.to_owned() })
}

/// Tells whether this is a path such as `grasp::actors`.
fn is_module(text: &str) -> bool {
    text.split("::").all(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_directive_is_named_with_what_is_allowed() {
        for (text, named) in [
            ("inof", "\"inof\" is not a level"),
            ("info,grasp=debg", "\"grasp=debg\" is not MODULE=LEVEL"),
            ("grasp=", "\"grasp=\""),
            ("=debug", "\"=debug\""),
            ("info,grasp::=debug", "\"grasp::=debug\""),
            ("[span{field=(((]=debug", "is not MODULE=LEVEL"),
            ("in\u{1b}fo", "in\\u{1b}fo"),
            (" , ", "no level is given"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(named) && error.contains("info,grasp::actors=debug"), "{text:?}: {error}");
            assert!(!error.contains(char::is_control), "{text:?}: {error:?}");
        }
        let error = parse(&"a".repeat(MAX_LENGTH + 1)).unwrap_err();
        assert_eq!(error, LevelError::TooLong { length: MAX_LENGTH + 1 });
    }

    #[test]
    fn what_is_in_force_can_be_set_again() {
        for text in ["info", "off", "WARN", "info,grasp::actors=debug", "grasp=trace", " info , asa_framework=warn,"] {
            let (_layer, levels) = Levels::new(text).unwrap();
            let shown = levels.current();
            levels.set(&shown).unwrap();
            assert_eq!(levels.current(), shown, "{text}");
        }
    }

    #[test]
    fn a_wrong_setting_changes_nothing() {
        let (_layer, levels) = Levels::new("warn").unwrap();
        assert!(levels.set("info,nonsense").is_err());
        assert_eq!(levels.current(), "warn");
    }
}
