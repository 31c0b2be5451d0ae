//! Where a setting comes from, and what is wrong with it.

use std::fmt::{self, Display, Formatter, Write as _};
use std::path::PathBuf;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::tree::Place;

/// The most characters of a value or a foreign text that a problem repeats.
const MAX_SHOWN: usize = 200;
/// The most problems that are written out; the rest is counted.
const MAX_PROBLEMS: usize = 50;

/// Names the place that gave a setting its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything: the built-in default.
    Default,
    /// The default parameters of the class of this name.
    ClassDefault(String),
    /// A value flooded through the network (RFC 8993 section 7.1).
    Flood {
        /// The name of the flooded objective.
        objective: String,
        /// Who flooded it, as text.
        from: String,
    },
    /// A manifest or lab file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1; 0 where the file as a whole is meant.
        line: usize,
        /// The column in characters, counted from 1; 0 where the file as a whole is meant.
        column: usize,
    },
    /// The environment variable of this name.
    Environment(String),
    /// The option of the command line, as given.
    CommandLine(String),
}

impl Origin {
    /// Names a file as a whole.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File { path: path.into(), line: 0, column: 0 }
    }

    /// Adds the place to a file; other origins stay as they are.
    #[must_use]
    pub(super) fn at(&self, place: Option<Place>) -> Self {
        match (self, place) {
            (Self::File { path, .. }, Some(Place { line, column })) => Self::File { path: path.clone(), line, column },
            (other, _) => other.clone(),
        }
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::ClassDefault(class) => write!(f, "default of class {}", plain(class)),
            Self::Flood { objective, from } => write!(f, "flood of {} by {}", plain(objective), plain(from)),
            Self::File { path, line, column } => {
                f.write_str(&plain(&path.to_string_lossy()))?;
                if *line > 0 { write!(f, ":{line}:{column}") } else { Ok(()) }
            }
            Self::Environment(name) => write!(f, "environment variable {}", plain(name)),
            Self::CommandLine(option) => write!(f, "command line ({})", plain(option)),
        }
    }
}

impl Serialize for Origin {
    /// Writes an object with the text as `origin` and, for a file, `file`, `line` and `column`, for a flood
    /// `objective` and `from`; settings and problems take these fields as their own.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("origin", &self.to_string())?;
        match self {
            Self::File { path, line, column } => {
                map.serialize_entry("file", &path.to_string_lossy())?;
                if *line > 0 {
                    map.serialize_entry("line", line)?;
                    map.serialize_entry("column", column)?;
                }
            }
            Self::Flood { objective, from } => {
                map.serialize_entry("objective", objective)?;
                map.serialize_entry("from", from)?;
            }
            Self::Default | Self::ClassDefault(_) | Self::Environment(_) | Self::CommandLine(_) => {}
        }
        map.end()
    }
}

/// One key with its effective value and where that comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The dotted path of the key.
    pub key: String,
    /// The value after all layers.
    pub value: Value,
    /// The highest layer that gives the value.
    #[serde(flatten)]
    pub origin: Origin,
}

/// Every setting that is in force, in the order of the keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Effective(pub Vec<Setting>);

impl Effective {
    /// Returns the setting at this dotted path.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.key == key)
    }
}

impl Display for Effective {
    /// Writes one line for each setting: key, value, origin, in aligned columns.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let values: Vec<String> = self.0.iter().map(|setting| shown(&setting.value)).collect();
        let key = width(&mut self.0.iter().map(|setting| setting.key.chars().count()));
        let value = width(&mut values.iter().map(|text| text.chars().count())).min(32);
        for (setting, text) in self.0.iter().zip(&values) {
            writeln!(f, "{:key$}  {text:value$}  {}", setting.key, setting.origin)?;
        }
        Ok(())
    }
}

/// One thing that is wrong in what the operator gave.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// Where the value stands; for a key that is not known, where the key stands.
    #[serde(flatten)]
    pub origin: Origin,
    /// The dotted path of the key; empty where the file as a whole is meant.
    pub key: String,
    /// What is wrong, in a few words that continue the key: "is not a known key".
    pub message: String,
    /// The value found, as it would be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What would be accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// A guess at what was meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Problem {
    /// Makes a problem with a key and a message; the rest is added with the `with_` functions.
    #[must_use]
    pub fn new(origin: Origin, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { origin, key: key.into(), message: message.into(), found: None, allowed: None, hint: None }
    }

    /// Makes the problem of a parameter for [`ClassInfo::check`](crate::class::ClassInfo::check): `key` is relative
    /// to the parameters, and the loader adds the instance and the origin.
    #[must_use]
    pub fn parameter(key: &str, found: &Value, allowed: impl Into<String>) -> Self {
        Self::new(Origin::Default, key, "is not allowed").with_found(found).with_allowed(allowed)
    }

    /// Adds the value found.
    #[must_use]
    pub fn with_found(mut self, found: &Value) -> Self {
        self.found = Some(shown(found));
        self
    }

    /// Adds what would be accepted.
    #[must_use]
    pub fn with_allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// Adds a guess at what was meant.
    #[must_use]
    pub fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

impl Display for Problem {
    /// Writes one line that names place, key and fault, and an indented line for each further fact.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.origin)?;
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        f.write_str(&self.message)?;
        for (label, text) in [("found:", &self.found), ("allowed:", &self.allowed), ("hint:", &self.hint)] {
            if let Some(text) = text {
                write!(f, "\n    {label:8} {}", text.replace('\n', "\n             "))?;
            }
        }
        Ok(())
    }
}

/// Everything that is wrong, at least one problem.
#[derive(Debug, Clone, PartialEq, Serialize, thiserror::Error)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl Display for Problems {
    /// Writes one block for each problem; after fifty the rest is only counted.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().take(MAX_PROBLEMS).enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            write!(f, "{problem}")?;
        }
        if self.0.len() > MAX_PROBLEMS {
            write!(f, "\n... and {} more problems", self.0.len() - MAX_PROBLEMS)?;
        }
        Ok(())
    }
}

/// Returns a value as one would write it, cut to a readable length.
pub(super) fn shown(value: &Value) -> String {
    plain(&value.to_string())
}

/// Returns foreign text fit for a terminal: no control characters but line ends, and not too long.
pub(super) fn plain(text: &str) -> String {
    let mut result = String::new();
    for (count, character) in text.chars().enumerate() {
        if count >= MAX_SHOWN {
            result.push('…');
            break;
        }
        if character.is_control() && character != '\n' {
            result.extend(character.escape_default());
        } else {
            result.push(character);
        }
    }
    result
}

/// Returns the parts of a key as one dotted path, quoting the parts that need it.
pub(super) fn dotted(path: &[String]) -> String {
    let bare = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    let parts: Vec<String> =
        path.iter().map(|part| if bare(part) { plain(part) } else { plain(&format!("{part:?}")) }).collect();
    parts.join(".")
}
