//! Differences between images that do not count.

use crate::options::setters;

/// Differences between two images that do not count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Ignored {
    /// Modification times of files.
    pub times: bool,
    /// Users and groups of files.
    pub owner: bool,
    /// Permissions, and the setuid, setgid and sticky bits.
    pub mode: bool,
    /// Extended attributes.
    pub xattrs: bool,
    /// The order of lists whose order means nothing to a runtime: the variables of `Env`, `os.features`, and the entries
    /// of a layer.
    pub order: bool,
    /// The history in the config.
    pub history: bool,
    /// Times of creation: `created` of the config and of the history, and `org.opencontainers.image.created` among
    /// labels and annotations.
    pub created: bool,
    /// How the blobs of layers are compressed: their media types, digests and sizes.
    pub compression: bool,
}

impl Ignored {
    setters! {
        times: [bool],
        owner: [bool],
        mode: [bool],
        xattrs: [bool],
        order: [bool],
        history: [bool],
        created: [bool],
        compression: [bool],
    }

    /// Returns whether layers that differ may be equal all the same: a part of their tars is ignored.
    pub(super) fn is_of_layers(&self) -> bool {
        self.times || self.owner || self.mode || self.xattrs || self.order
    }
}
