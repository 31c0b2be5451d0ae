//! Gathers what settings are read from (the file, the environment of the process, the command line), and says what they cannot do.

use std::path::Path;

use asa_framework::manifest::{Instance, Manifest, Problems, Sources, State, Substrate};

use crate::classes;

/// Returns the sources for a manifest or a lab file; variables that do not begin with `ASA__` are left behind.
pub(crate) fn sources(path: Option<&Path>, sets: &[(String, String)], interfaces: &[String]) -> Sources {
    let ours = |name: &str| name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("ASA__"));
    let environment = std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .filter(|(name, _)| ours(name))
        .collect();
    Sources {
        path: path.map(Path::to_owned),
        content: None,
        flooded: Vec::new(),
        environment,
        sets: sets.to_vec(),
        interfaces: interfaces.to_vec(),
    }
}

/// Returns what another manifest says of substrate and credentials, as assignments; nothing without a manifest.
pub(crate) fn membership(path: Option<&Path>) -> Result<Vec<(String, String)>, Problems> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let loaded = Manifest::load(sources(Some(path), &[], &[]), &classes::infos())?;
    let of_membership =
        |key: &str| key == "grasp.substrate" || key.starts_with("grasp.quads.") || key.starts_with("grasp.tls.");
    let assigned = loaded.effective.0.into_iter().filter(|setting| of_membership(&setting.key)).map(|setting| {
        let value = setting.value.as_str().map_or_else(|| setting.value.to_string(), str::to_owned);
        (setting.key, value)
    });
    Ok(assigned.collect())
}

/// Says what keeps the agents of a manifest from starting although each of its settings is allowed: nobody protects the messages.
pub(crate) fn mute(manifest: &Manifest) -> Option<String> {
    let starts = |(name, instance): (&String, &Instance)| (instance.state != State::Installed).then(|| name.clone());
    let agents: Vec<String> = manifest.asa.iter().filter_map(starts).collect();
    let mute = manifest.grasp.substrate == Substrate::None && !agents.is_empty();
    mute.then(|| {
        format!(
            "grasp.substrate is \"none\", so {} cannot start: choose \"tls\" with certificates of a domain (asa keys makes \
             them), \"quads\" to talk with graspy, or \"insecure-lab\" in a laboratory",
            agents.join(", ")
        )
    })
}
