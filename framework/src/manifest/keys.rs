//! Every key with what it is for and its bounds; the one place where keys are described.

use serde_json::Value;

use super::comments::Comments;
use super::kind::Kind;
use super::shape::{Field, Shape};
use crate::class::ClassInfo;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const MILLION: i64 = 1_000_000;
const PROBABILITY: Shape = Shape::Leaf(Kind::Real { min: 0.0, max: 1.0 });
const BOOLEAN: Shape = Shape::Leaf(Kind::Boolean);
/// An absolute path, or empty.
const PATH: Shape = Shape::Leaf(Kind::Path { max: 4095 });
/// The longest path of a control socket; the system allows 107 bytes.
const MAX_SOCKET: usize = 100;

const fn integer(min: i64, max: i64) -> Shape {
    Shape::Leaf(Kind::Integer { min, max })
}

const fn choice(choices: &'static [&'static str]) -> Shape {
    Shape::Leaf(Kind::Choice(choices))
}

/// What a member of `asa` is called.
pub(super) const INSTANCE: &str = "an instance";

/// Returns the keys of a manifest with these instances.
pub(super) fn manifest(instances: Vec<Field>) -> Shape {
    Shape::table([
        ("node", "The node itself.", node()),
        ("control", "The socket by which operators speak with the running node.", control()),
        ("supervision", "How the actors of the node are watched and restarted.", supervision()),
        ("log", "What is logged, and how.", log()),
        ("grasp", "The GRASP instance of the node (RFC 8990).", super::keys_grasp::grasp()),
        ("asa", "The agents, one table [asa.<name>] each.", Shape::Members(INSTANCE, instances)),
    ])
}

/// Returns the keys of a lab file with these nodes.
pub(super) fn lab(nodes: Vec<Field>) -> Shape {
    let fabric = Shape::table([
        ("latency_ms", "The time from one node to another in milliseconds; a small office.", integer(0, 60_000)),
        ("jitter_ms", "The most that is added at random, in milliseconds.", integer(0, 60_000)),
        ("loss", "The probability that a datagram is lost.", PROBABILITY),
        ("duplicate", "The probability that a datagram arrives twice.", PROBABILITY),
        ("reorder", "The probability that a datagram is overtaken by the next.", PROBABILITY),
    ]);
    Shape::table([
        ("fabric", "The link that joins all nodes.", fabric),
        (
            "nodes",
            "The nodes, one table [nodes.<name>] with the keys of a manifest each.",
            Shape::Members("a node", nodes),
        ),
    ])
}

fn node() -> Shape {
    Shape::table([
        ("name", "The name in logs and in status; 1 to 63 characters of A-Z a-z 0-9 . _ -", Shape::Leaf(Kind::Name)),
        (
            "state_directory",
            "Where instances keep their state, each in a directory of its name: an absolute path. Empty keeps no state, \
             since where a system keeps it is for its operator to say.",
            PATH,
        ),
        (
            "policy_objective",
            "The name of a flooded objective whose value, { \"asa\": { \"<instance>\": { \"parameters\": {...} } } }, sets \
             parameters where the manifest leaves the default. Empty takes no policy from the network.",
            Shape::Leaf(Kind::ObjectiveName),
        ),
    ])
}

fn control() -> Shape {
    Shape::table([
        ("enabled", "Whether there is a control socket, which only the node's own user can open.", BOOLEAN),
        (
            "socket",
            "The path of the socket, absolute and at most 100 bytes long. Empty for asa/<node.name>.sock below \
             $RUNTIME_DIRECTORY, $XDG_RUNTIME_DIR or /run, whichever there is first.",
            Shape::Leaf(Kind::Path { max: MAX_SOCKET }),
        ),
        ("drills", "Whether fault drills may be run on the node. Off, because a drill breaks what works.", BOOLEAN),
    ])
}

/// Returns how often and how fast something is restarted, as supervision and instances have in common.
fn restarts(when_given_up: &str) -> Vec<Field> {
    let about = format!(
        "Restarts, of all together, within the time below before {when_given_up}. More would only hide a fault; 0 never restarts."
    );
    vec![
        Field::new("restarts", about, integer(0, 1000)),
        Field::new("within_ms", "The time over which restarts are counted, in milliseconds.", integer(1000, DAY_MS)),
        Field::new(
            "first_pause_ms",
            "The pause before the first restart of an actor, in milliseconds; it doubles with each further one of that actor.",
            integer(1, HOUR_MS),
        ),
        Field::new("longest_pause_ms", "The longest pause before a restart, in milliseconds.", integer(1, HOUR_MS)),
        Field::new(
            "jitter_percent",
            "By how many percent a pause is made longer or shorter at random, so that restarts do not march in step.",
            integer(0, 100),
        ),
    ]
}

fn supervision() -> Shape {
    let mut fields = restarts("the node is given up");
    fields.extend([
        Field::new(
            "ping_every_ms",
            "The time between the questions whether an actor still answers, in milliseconds.",
            integer(100, HOUR_MS),
        ),
        Field::new(
            "ping_deadline_ms",
            "How long the answer may take, in milliseconds; at most ping_every_ms.",
            integer(100, HOUR_MS),
        ),
        Field::new("misses", "Answers missed in a row that make a hang; one may be a busy moment.", integer(1, 100)),
        Field::new(
            "rebuilds",
            "Times that an instance is built anew from its manifest within the time below; the next one ends the process \
             with code 70, and the service manager starts afresh.",
            integer(0, 1000),
        ),
        Field::new(
            "rebuilds_within_ms",
            "The time over which rebuilds are counted, in milliseconds.",
            integer(1000, DAY_MS),
        ),
        Field::new(
            "threads",
            "Whether every instance has a thread of its own, so that one that hangs leaves the others alone. A second one \
             that hangs ends the process, since blocked threads cannot be cleared away.",
            BOOLEAN,
        ),
    ]);
    Shape::Table(fields)
}

fn log() -> Shape {
    Shape::table([
        (
            "level",
            "Which lines are written: error, warn, info, debug, trace or off, then exceptions for single targets, such \
             as \"info,grasp::actors=debug\".",
            Shape::Leaf(Kind::Filter),
        ),
        (
            "format",
            "How lines are written: \"text\" for people, \"json\" for one object a line, \"journald\" for the journal of systemd. \"auto\" takes \
             journald where the journal is listening and text elsewhere.",
            choice(&["auto", "text", "json", "journald"]),
        ),
        (
            "repeat_burst",
            "How often a line that repeats is written within the time below; the rest is counted, so that one fault does \
             not fill the disk. 0 sets no limit.",
            integer(0, MILLION),
        ),
        ("repeat_every_ms", "The time over which repetitions are counted, in milliseconds.", integer(100, DAY_MS)),
    ])
}

/// What is known about the class of an instance.
#[derive(Debug, Clone)]
pub(super) struct KnownClass {
    pub(super) name: String,
    /// The versions that the binary carries.
    pub(super) versions: Vec<String>,
    pub(super) roles: &'static [&'static str],
    pub(super) objectives: &'static [&'static str],
    /// The keys of the parameters.
    pub(super) parameters: Shape,
}

impl KnownClass {
    /// Describes a class of which the binary carries these versions, in ascending order; `defaults` are its parameters.
    pub(super) fn new(class: &dyn ClassInfo, versions: Vec<&str>, defaults: &Value) -> Self {
        Self {
            name: class.name().to_owned(),
            versions: versions.into_iter().map(str::to_owned).collect(),
            roles: class.roles(),
            objectives: class.objectives(),
            parameters: like(defaults, &Comments::of(class.defaults())),
        }
    }
}

/// Returns the keys of one instance, whose class has to be one of `classes` and may be known already.
pub(super) fn instance(classes: Vec<String>, class: Option<KnownClass>) -> Shape {
    let versions = class.as_ref().map(|class| (class.name.clone(), class.versions.clone()));
    let roles = class.as_ref().map(|class| class.roles);
    let objectives = class.as_ref().map(|class| class.objectives);
    let parameters = class.map_or(Shape::Leaf(Kind::Anything), |class| class.parameters);
    let mut restart = vec![Field::new(
        "strategy",
        "Which roles are restarted with one that fails: \"one-for-one\" none, \"rest-for-one\" those started after it, \
         which may depend on it, \"one-for-all\" all.",
        choice(&["one-for-one", "rest-for-one", "one-for-all"]),
    )];
    restart.extend(restarts("the whole instance is built anew"));
    Shape::table([
        ("class", "The class of the agent.", Shape::Leaf(Kind::Class(classes))),
        (
            "version",
            "The versions of the class that will do: \"*\" for any, or leading parts such as \"1\" or \"1.2\". The \
             highest one is taken.",
            Shape::Leaf(Kind::Version(versions)),
        ),
        (
            "state",
            "How far the instance goes: \"installed\" runs nothing, \"instantiated\" starts it without a part in the \
             network, \"operational\" lets it work.",
            choice(&["installed", "instantiated", "operational"]),
        ),
        ("role", "The role, of those that the class has; empty for the first of them.", Shape::Leaf(Kind::Role(roles))),
        (
            "objectives",
            "The objectives to take part in, of those that the class has; empty for all of them.",
            Shape::Leaf(Kind::Objectives(objectives)),
        ),
        (
            "resources",
            "Names of what the instance manages, each 1 to 255 bytes. Nothing can be managed by two instances.",
            Shape::Leaf(Kind::Resources),
        ),
        (
            "state_directory",
            "Where the instance keeps its state: an absolute path. Empty for a directory of its name below \
             node.state_directory.",
            PATH,
        ),
        (
            "drain_ms",
            "How long the work in hand may take when the instance is to stop, in milliseconds; a negotiation is given \
             time to end well.",
            integer(0, HOUR_MS),
        ),
        (
            "healthy_ms",
            "How long a new incarnation may take until it runs and answers, in milliseconds; a replacement that is not \
             healthy by then is given up, and the old one carries on.",
            integer(500, HOUR_MS),
        ),
        (
            "describe",
            "Whether a description of the instance is offered to the network as an objective (RFC 9222 section 7.2.3). \
             Off, because it tells everybody what runs here.",
            BOOLEAN,
        ),
        ("restart", "How the roles of the instance are restarted.", Shape::Table(restart)),
        ("parameters", "The parameters that the class defines.", parameters),
    ])
}

/// Returns the shape that has the keys and types of these defaults; an empty table below the top is free. The
/// comments describe the keys and give their order.
fn like(defaults: &Value, comments: &Comments) -> Shape {
    like_below(defaults, comments, &mut Vec::new())
}

fn like_below(defaults: &Value, comments: &Comments, path: &mut Vec<String>) -> Shape {
    let Some(table) = defaults.as_object() else { return Shape::Leaf(Kind::Like(defaults.clone())) };
    let mut fields = Vec::new();
    for (name, value) in table {
        path.push(name.clone());
        let free = value.as_object().is_some_and(serde_json::Map::is_empty);
        let shape = if free { Shape::Leaf(Kind::Like(value.clone())) } else { like_below(value, comments, path) };
        fields.push((comments.order(path), Field::new(name.clone(), comments.about(path), shape)));
        path.pop();
    }
    fields.sort_by_key(|(order, _)| *order);
    Shape::Table(fields.into_iter().map(|(_, field)| field).collect())
}

#[cfg(test)]
mod tests {
    use super::super::schema::{Fabric, Instance, Manifest};
    use super::*;

    fn agree(shape: &Shape, defaults: &Value, path: &str) {
        match shape {
            Shape::Leaf(kind) => assert!(kind.accepts(defaults), "{path} refuses its default {defaults}"),
            Shape::Members(..) => assert_eq!(*defaults, serde_json::json!({}), "{path}"),
            Shape::Table(fields) => {
                let mut names = shape.names();
                names.sort_unstable();
                let known: Vec<&String> = defaults.as_object().unwrap().keys().collect();
                assert_eq!(names, known, "{path}: the shape and the settings have different keys");
                for field in fields {
                    let path = format!("{path}.{}", field.name);
                    assert!(
                        field.about.len() > 10 && field.about.starts_with(char::is_uppercase),
                        "{path}: undescribed"
                    );
                    agree(&field.shape, &defaults[field.name.as_ref()], &path);
                }
            }
        }
    }

    #[test]
    fn the_shape_and_the_settings_have_the_same_keys_and_no_key_lacks_a_description() {
        agree(&manifest(Vec::new()), &serde_json::to_value(Manifest::default()).unwrap(), "");
        let fabric = serde_json::to_value(Fabric::default()).unwrap();
        agree(&lab(Vec::new()), &serde_json::json!({ "fabric": fabric, "nodes": {} }), "");
        let one = serde_json::to_value(Instance::new("any")).unwrap();
        agree(&instance(vec!["any".to_owned()], None), &one, "asa.one");
    }
}
