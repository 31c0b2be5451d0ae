//! Manifests: TOML, environment and command line turned into checked settings (RFC 9222 section 6).
//!
//! Layers, lowest first: built-in defaults and the defaults of the classes; what the network floods; the file, or the
//! files of a directory, which stand side by side and must not disagree; environment variables
//! `ASA__SECTION__KEY`, two underscores between the parts of the key, in any case; `--set key.path=value`;
//! `--interface NAME`. Tables merge, everything else is replaced, lists included.
//!
//! Nothing is ignored: an unknown key, in whatever layer, is a problem, and so is a bad value that a higher layer
//! replaces. All problems are reported together, each with its place. Only what is flooded is different: it may set the
//! parameters of instances and nothing else, and where it is wrong it is dropped with a warning.

mod check;
mod comments;
mod defaults;
mod floods;
mod json_schema;
mod keys;
mod keys_grasp;
mod kind;
mod load;
mod origin;
mod parameter;
mod read;
mod rules;
mod schema;
mod shape;
mod sources;
mod template;
mod tree;

pub use check::did_you_mean;
pub use defaults::defaults;
pub use json_schema::json_schema;
pub use load::{Document, Loaded};
pub use origin::{Effective, Origin, Problem, Problems, Setting};
pub use parameter::ParameterCheck;
pub use read::{MAX_DIRECTORY_SIZE, MAX_FILE_SIZE, MAX_FILES};
pub use schema::{
    Control, Dull, Fabric, Grasp, Instance, Lab, Limits, Log, LogFormat, Manifest, Node, Quads, Restart,
    RestartStrategy, Rules, State, Substrate, Supervision, Tls,
};
pub use sources::{FloodedPolicy, Sources};

pub(crate) use kind::is_met;
