//! The kinds of value that a key can take: what is accepted, how it is described, how it is read from text.

use std::collections::BTreeSet;

use grasp::protocol::authorization::Act;
use ipnet::Ipv6Net;
use serde_json::{Number, Value};
use tracing_subscriber::filter::Targets;

use super::read::toml_value;
use crate::secret::{SecretSource, secret_file};

/// The longest name of a role, an objective or a resource, in bytes.
pub(super) const MAX_NAME: usize = 255;
/// Objectives that one instance names; far more than a class has.
pub(super) const MAX_OBJECTIVES: usize = 1000;
/// Resources that one instance names.
pub(super) const MAX_RESOURCES: usize = 1000;
/// The longest filter of log lines, in bytes.
pub(super) const MAX_FILTER: usize = 1000;
/// The levels of log lines.
const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace", "off"];

/// Says which values one key accepts.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Boolean,
    Integer {
        min: i64,
        max: i64,
    },
    Real {
        min: f64,
        max: f64,
    },
    /// The name of a node.
    Name,
    Choice(&'static [&'static str]),
    /// A list of interface names.
    Interfaces,
    /// An IPv6 prefix without host bits, or the empty text.
    Prefix,
    /// The name of a class that the binary carries.
    Class(Vec<String>),
    /// A requirement that one of the versions of the class, if it is known, meets: its name and the versions.
    Version(Option<(String, Vec<String>)>),
    /// An absolute path of at most so many bytes, or the empty text.
    Path {
        max: usize,
    },
    /// A filter of log lines.
    Filter,
    /// The name of an objective, or empty.
    ObjectiveName,
    /// One of the roles of the class, if it is known, or the empty text.
    Role(Option<&'static [&'static str]>),
    /// Some of the objectives of the class, if it is known.
    Objectives(Option<&'static [&'static str]>),
    /// A list of names of managed resources.
    Resources,
    /// Where a secret is read from, or the empty text.
    SecretSource,
    /// A file or a credential of systemd, which can be read again and again, or the empty text.
    SecretFile,
    /// Which members may do what with which objectives.
    Authorization,
    /// The same type as this default.
    Like(Value),
    /// Whatever it is, because what it should be is not known.
    Anything,
}

impl Kind {
    /// Returns whether the value is accepted.
    pub(super) fn accepts(&self, value: &Value) -> bool {
        match self {
            Self::Boolean => value.is_boolean(),
            Self::Integer { min, max } => value.as_i64().is_some_and(|number| (*min..=*max).contains(&number)),
            Self::Real { min, max } => value.as_f64().is_some_and(|number| (*min..=*max).contains(&number)),
            Self::Name => value.as_str().is_some_and(is_node_name),
            Self::Choice(choices) => value.as_str().is_some_and(|text| choices.contains(&text)),
            Self::Interfaces => value.as_array().is_some_and(|list| are_interfaces(list)),
            Self::Prefix => value.as_str().is_some_and(|text| {
                text.is_empty() || text.parse::<Ipv6Net>().is_ok_and(|prefix| prefix == prefix.trunc())
            }),
            Self::Class(names) => value.as_str().is_some_and(|text| names.iter().any(|name| name == text)),
            Self::Version(class) => value.as_str().is_some_and(|text| {
                let met = |versions: &[String]| versions.iter().any(|version| is_met(text, version));
                is_requirement(text) && class.as_ref().is_none_or(|(_, versions)| met(versions))
            }),
            Self::Path { max } => value.as_str().is_some_and(|text| is_path(text, *max)),
            Self::Filter => value.as_str().is_some_and(is_filter),
            Self::ObjectiveName => {
                value.as_str().is_some_and(|text| text.len() <= MAX_NAME && !text.contains(char::is_control))
            }
            Self::Role(roles) => value.as_str().is_some_and(|text| {
                text.is_empty() || roles.map_or(text.len() <= MAX_NAME, |roles| roles.contains(&text))
            }),
            Self::Objectives(known) => are_different(value, MAX_OBJECTIVES, |text| {
                known.map_or((1..=MAX_NAME).contains(&text.len()), |known| known.contains(&text))
            }),
            Self::Resources => are_different(value, MAX_RESOURCES, |text| (1..=MAX_NAME).contains(&text.len())),
            Self::SecretSource => {
                value.as_str().is_some_and(|text| text.is_empty() || text.parse::<SecretSource>().is_ok())
            }
            Self::SecretFile => value.as_str().is_some_and(|text| text.is_empty() || secret_file(text).is_some()),
            Self::Authorization => is_authorization(value),
            Self::Like(default) => is_like(default, value),
            Self::Anything => true,
        }
    }

    /// Describes what is accepted.
    pub(super) fn allowed(&self) -> String {
        let quoted = |texts: &mut dyn Iterator<Item = &str>| {
            texts.map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Boolean => "true or false".to_owned(),
            Self::Integer { min, max } => format!("an integer from {min} to {max}"),
            Self::Real { min, max } => format!("a number from {min} to {max}"),
            Self::Name => "a text of 1 to 63 characters of A-Z a-z 0-9 . _ -".to_owned(),
            Self::Choice(choices) => quoted(&mut choices.iter().copied()),
            Self::Interfaces => {
                "a list of different interface names, each 1 to 15 bytes without spaces or slashes".to_owned()
            }
            Self::Prefix => "an IPv6 prefix without host bits such as \"2001:db8::/32\", or \"\"".to_owned(),
            Self::Class(names) if names.is_empty() => "none: this binary carries no class".to_owned(),
            Self::Class(names) => format!("a class of this binary: {}", quoted(&mut names.iter().map(String::as_str))),
            Self::Version(Some((class, versions))) => match &versions[..] {
                [version] => format!("\"*\" or leading parts of {version}, which is the version of class {class}"),
                _ => {
                    let versions = versions.join(", ");
                    format!("\"*\" or leading parts of {versions}, which are the versions of class {class}")
                }
            },
            Self::Path { max } => format!("an absolute path of at most {max} bytes, or \"\""),
            Self::Filter => {
                "error, warn, info, debug, trace or off, and exceptions such as \"info,grasp::actors=debug\"".to_owned()
            }
            Self::Role(Some([])) => "\"\", since the class has no roles".to_owned(),
            Self::Role(Some(roles)) => format!("{}, or \"\" for the first", quoted(&mut roles.iter().copied())),
            Self::Role(None) => "a text of at most 255 bytes".to_owned(),
            Self::Objectives(Some([])) => "[], since the class leaves no choice".to_owned(),
            Self::Objectives(Some(known)) => format!("a list of different {}", quoted(&mut known.iter().copied())),
            Self::Objectives(None) => {
                format!("a list of at most {MAX_OBJECTIVES} different texts, each 1 to 255 bytes")
            }
            Self::ObjectiveName => format!("the name of an objective, at most {MAX_NAME} bytes, or \"\""),
            Self::Resources => format!("a list of at most {MAX_RESOURCES} different texts, each 1 to 255 bytes"),
            Self::Version(None) => "\"*\" or one to three numbers such as \"1\", \"1.2\" or \"1.2.3\"".to_owned(),
            Self::SecretSource => format!("{}, or \"\"", SecretSource::FORMS),
            Self::SecretFile => "an absolute path, \"credential:NAME\", or \"\"".to_owned(),
            Self::Authorization => {
                "a table of at most 1000 objectives, each a table of lists of names under discover, request, answer or flood"
                    .to_owned()
            }
            Self::Like(default) => like_name(default).to_owned(),
            Self::Anything => "any value".to_owned(),
        }
    }

    /// Returns the texts that a misspelt value may have meant.
    pub(super) fn choices(&self) -> Vec<&str> {
        match self {
            Self::Choice(choices) => choices.to_vec(),
            Self::Class(names) => names.iter().map(String::as_str).collect(),
            Self::Role(known) | Self::Objectives(known) => known.unwrap_or_default().to_vec(),
            Self::Filter => LEVELS.to_vec(),
            Self::Boolean
            | Self::Integer { .. }
            | Self::Real { .. }
            | Self::Name
            | Self::Interfaces
            | Self::Prefix
            | Self::Version(_)
            | Self::Path { .. }
            | Self::Resources
            | Self::ObjectiveName
            | Self::SecretSource
            | Self::SecretFile
            | Self::Authorization
            | Self::Like(_)
            | Self::Anything => Vec::new(),
        }
    }

    /// Reads text from the environment or the command line as this kind; text that does not fit stays text, so that
    /// [`accepts`](Self::accepts) refuses it.
    pub(super) fn read(&self, text: &str) -> Value {
        let as_text = || Value::String(text.to_owned());
        let trimmed = text.trim();
        match self {
            Self::Boolean => trimmed.parse().map_or_else(|_| as_text(), Value::Bool),
            Self::Integer { .. } => trimmed.parse::<i64>().map_or_else(|_| as_text(), Value::from),
            Self::Real { .. } => trimmed.parse().ok().and_then(Number::from_f64).map_or_else(as_text, Value::Number),
            Self::Interfaces | Self::Objectives(_) | Self::Resources if trimmed.starts_with('[') => {
                toml_value(trimmed).unwrap_or_else(as_text)
            }
            Self::Interfaces | Self::Objectives(_) | Self::Resources if trimmed.is_empty() => Value::Array(Vec::new()),
            Self::Interfaces | Self::Objectives(_) | Self::Resources => {
                trimmed.split(',').map(|name| Value::from(name.trim())).collect()
            }
            Self::Authorization
            | Self::Like(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_))
            | Self::Anything => toml_value(trimmed).unwrap_or_else(as_text),
            Self::Name
            | Self::Choice(_)
            | Self::Prefix
            | Self::Class(_)
            | Self::Version(_)
            | Self::Path { .. }
            | Self::Filter
            | Self::ObjectiveName
            | Self::SecretSource
            | Self::SecretFile
            | Self::Role(_)
            | Self::Like(Value::String(_)) => as_text(),
        }
    }
}

/// Returns whether these are rules of authorisation: by objective, by act, names.
fn is_authorization(value: &Value) -> bool {
    let fits = |text: &str| (1..=MAX_NAME).contains(&text.len()) && !text.contains(char::is_control);
    let acts = |acts: &Value| {
        acts.as_object().is_some_and(|acts| {
            let known = |act: &String| Act::ALL.iter().any(|known| known.name() == act);
            acts.iter().all(|(act, names)| known(act) && are_different(names, MAX_RESOURCES, fits))
        })
    };
    value.as_object().is_some_and(|rules| {
        rules.len() <= MAX_OBJECTIVES && rules.iter().all(|(objective, rule)| fits(objective) && acts(rule))
    })
}

fn is_node_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Returns whether this can be the name of an instance or of a node in a lab: a bare key of TOML that an environment
/// variable can address, so without capitals and without two underscores in a row.
pub(super) fn is_member_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-'))
        && !text.contains("__")
        && !text.starts_with('_')
        && !text.ends_with('_')
}

fn is_path(text: &str, max: usize) -> bool {
    text.is_empty() || (text.len() <= max && text.starts_with('/') && !text.contains('\0'))
}

/// Returns whether the log can be filtered by this. A word alone has to be a level: the filter itself would take any
/// other for a target of which everything is logged, and a misspelt level would go unnoticed.
fn is_filter(text: &str) -> bool {
    let level = |word: &str| LEVELS.iter().any(|level| word.eq_ignore_ascii_case(level));
    let plain = |part: &str| match part.rsplit_once('=') {
        Some((target, word)) => !target.trim().is_empty() && level(word.trim()),
        None => level(part.trim()),
    };
    (1..=MAX_FILTER).contains(&text.len()) && text.split(',').all(plain) && text.parse::<Targets>().is_ok()
}

/// Returns whether this is a list of at most so many different texts, each of which is accepted.
fn are_different(value: &Value, most: usize, accepts: impl Fn(&str) -> bool) -> bool {
    value.as_array().is_some_and(|list| {
        let texts: BTreeSet<&str> = list.iter().filter_map(Value::as_str).filter(|text| accepts(text)).collect();
        texts.len() == list.len() && list.len() <= most
    })
}

fn are_interfaces(list: &[Value]) -> bool {
    let is_name = |text: &&str| {
        (1..=15).contains(&text.len()) && text.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != '/')
    };
    let names: BTreeSet<&str> = list.iter().filter_map(Value::as_str).filter(is_name).collect();
    names.len() == list.len()
}

fn is_requirement(text: &str) -> bool {
    let number = |part: &str| (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    text == "*" || (text.split('.').count() <= 3 && text.split('.').all(number))
}

/// Returns whether a version begins with the parts of a requirement.
pub(crate) fn is_met(requirement: &str, version: &str) -> bool {
    let number = |part: &str| part.parse::<u64>().ok();
    let mut parts = version.split(['.', '-', '+']);
    requirement == "*"
        || requirement == version
        || requirement.split('.').all(|part| parts.next().and_then(number) == number(part))
}

fn is_like(default: &Value, value: &Value) -> bool {
    match default {
        Value::Null => true,
        Value::Bool(_) => value.is_boolean(),
        Value::Number(number) if number.is_f64() => value.is_number(),
        Value::Number(_) => value.is_i64() || value.is_u64(),
        Value::String(_) => value.is_string(),
        Value::Array(_) => value.is_array(),
        Value::Object(_) => value.is_object(),
    }
}

fn like_name(default: &Value) -> &'static str {
    match default {
        Value::Null => "any value",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}
