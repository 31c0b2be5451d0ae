//! What holds on a link before anybody is authenticated (RFC 8990 §2.5.2, DULL).

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The rules of a DULL instance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dull {
    /// The objectives that need the insecure service; nothing is said or believed about any other.
    pub objectives: BTreeSet<String>,
}
