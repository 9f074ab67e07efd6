//! Changes of annotations.

use super::Annotations;

/// A change of annotations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AnnotationChange {
    /// Annotations are added, in place of those of the same keys.
    Merge(Annotations),
    /// Annotations take the place of all that there are.
    Replace(Annotations),
    /// Keys are removed, and then annotations are added.
    Remove(Vec<String>, Annotations),
}

impl AnnotationChange {
    /// Returns annotations after the change.
    pub(crate) fn apply(&self, before: &Annotations) -> Annotations {
        match self {
            Self::Merge(added) => {
                let mut after = before.clone();
                after.extend(added.clone());
                after
            }
            Self::Replace(after) => after.clone(),
            Self::Remove(keys, added) => {
                let mut after = before.clone();
                keys.iter().for_each(|key| drop(after.remove(key)));
                after.extend(added.clone());
                after
            }
        }
    }
}
