//! Turns the manifest's choice of a substrate into one.

use grasp::substrate::Quads;
use grasp::substrate::quads::{GroupKey, MAX_SECRET_SIZE};

use crate::manifest::Manifest;
use crate::secret::{SecretSource, Surroundings};

/// The substrate of a group whose key the manifest says where to find.
pub(crate) fn quads(manifest: &Manifest, around: &Surroundings<'_>) -> Result<Quads, String> {
    let source = &manifest.grasp.quads.key;
    let wrong = |error: &dyn std::fmt::Display| format!("grasp.quads.key: {error}");
    let place: SecretSource = source.parse().map_err(|error| wrong(&error))?;
    let secret = place.read(MAX_SECRET_SIZE, around).map_err(|error| wrong(&error))?;
    let key = GroupKey::from_secret(&secret).map_err(|error| wrong(&format!("{place}: {error}")))?;
    Ok(Quads::new(key, manifest.node_config().message))
}
