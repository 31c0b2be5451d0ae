//! The classes of autonomic service agents that this binary carries.

use asa_framework::class::ClassInfo;

/// Returns every class that a manifest can name.
pub(crate) fn all() -> Vec<&'static dyn ClassInfo> {
    asa_gray_briggs::CLASSES.to_vec()
}
