//! The tree of keys that may appear.

use std::borrow::Cow;
use std::sync::Arc;

use super::kind::Kind;

/// One place in the tree of settings.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// A key with a value.
    Leaf(Kind),
    /// A table with these keys and no others.
    Table(Vec<Field>),
    /// A table whose keys the operator chooses; what a member is called, and the members that some layer names, sorted.
    Members(&'static str, Vec<Field>),
}

/// A key, what it is for, and what may stand there.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: Cow<'static, str>,
    /// Whole sentences for the operator, with the reason of the default where it is not plain.
    pub(super) about: Cow<'static, str>,
    /// Shared, since all instances of a class have the same.
    pub(super) shape: Arc<Shape>,
}

impl Field {
    pub(super) fn new(
        name: impl Into<Cow<'static, str>>,
        about: impl Into<Cow<'static, str>>,
        shape: impl Into<Arc<Shape>>,
    ) -> Self {
        Self { name: name.into(), about: about.into(), shape: shape.into() }
    }
}

impl Shape {
    pub(super) fn table<const N: usize>(fields: [(&'static str, &'static str, Self); N]) -> Self {
        Self::Table(fields.into_iter().map(|(name, about, shape)| Field::new(name, about, shape)).collect())
    }

    /// Returns the keys below this place.
    pub(super) fn children(&self) -> &[Field] {
        match self {
            Self::Leaf(_) => &[],
            Self::Table(fields) | Self::Members(_, fields) => fields,
        }
    }

    /// Returns the names of the keys below this place.
    pub(super) fn names(&self) -> Vec<&str> {
        self.children().iter().map(|field| field.name.as_ref()).collect()
    }

    /// Returns what is below this place under this key.
    pub(super) fn child(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Leaf(_) => None,
            Self::Table(fields) => fields.iter().find(|field| field.name == key).map(|field| field.shape.as_ref()),
            Self::Members(_, members) => {
                let index = members.binary_search_by(|field| field.name.as_ref().cmp(key)).ok()?;
                members.get(index).map(|field| field.shape.as_ref())
            }
        }
    }

    /// Finds a key of this name anywhere below and returns the path of the first, without the key itself.
    pub(super) fn table_with(&self, key: &str) -> Option<Vec<String>> {
        if matches!(self, Self::Table(_)) && self.child(key).is_some() {
            return Some(Vec::new());
        }
        self.children().iter().find_map(|field| {
            field.shape.table_with(key).map(|mut path| {
                path.insert(0, field.name.to_string());
                path
            })
        })
    }
}
