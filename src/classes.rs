//! The classes of autonomic service agents that this binary carries.

use asa_framework::class::{Class, ClassInfo};

/// Returns every class that a manifest can name.
pub(crate) fn all() -> Vec<&'static dyn Class> {
    [asa_gray_briggs::CLASSES, asa_prefix::CLASSES].concat()
}

/// Returns what each class says about itself.
pub(crate) fn infos() -> Vec<&'static dyn ClassInfo> {
    all().into_iter().map(|class| class as &dyn ClassInfo).collect()
}
