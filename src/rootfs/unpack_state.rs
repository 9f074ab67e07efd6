//! The state file: the image of a tree, and the attributes and devices that the tree does not have.
//!
//! A plain user's tree has other owners, and no devices and capabilities. With the state file a later comparison of tree and
//! image does not count these as changes (images, rule C9).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, UnpackError};
use crate::oci::{Digest, from_json, to_blob};

/// The version of the format.
const VERSION: u64 = 1;

/// More than the paths of a million devices.
const LIMIT: u64 = 128 * 1024 * 1024;

/// A state file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct UnpackState {
    schema_version: u64,
    /// The digest of the manifest of the image.
    pub manifest: Digest,
    /// The user and the group that all files have, if their own were not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<(u32, u32)>,
    /// Whether files and directories have their setuid and setgid bits.
    pub has_setuid: bool,
    /// Whether entries have their extended attributes other than `user.*`.
    pub has_privileged_xattrs: bool,
    /// The paths of devices that were not made, with bytes beyond ASCII as `\ooo`.
    pub devices: Vec<String>,
    /// The digest of this document without this field.
    checksum: String,
}

impl UnpackState {
    pub(crate) fn new(
        manifest: Digest,
        owner: Option<(u32, u32)>,
        (has_setuid, has_privileged_xattrs): (bool, bool),
        devices: &[Vec<u8>],
    ) -> Self {
        let devices = devices.iter().map(|path| format!("/{}", escaped(path))).collect();
        let checksum = String::new();
        let state =
            Self { schema_version: VERSION, manifest, owner, has_setuid, has_privileged_xattrs, devices, checksum };
        Self { checksum: state.own_checksum(), ..state }
    }

    /// Returns whether the image has a device at a path that was not made.
    pub(crate) fn lacks_device(&self, path: &[u8]) -> bool {
        let path = format!("/{}", escaped(path));
        self.devices.contains(&path)
    }

    /// Checks that the tree is that of an image. `path` is the state file, for the error.
    ///
    /// # Errors
    ///
    /// [`UnpackError::OtherState`].
    pub fn expect_image(&self, path: &Path, manifest: &Digest) -> Result<()> {
        if self.manifest == *manifest {
            return Ok(());
        }
        let (path, image, manifest) = (path.to_owned(), self.manifest.clone(), manifest.clone());
        Err(UnpackError::OtherState { path, image, manifest }.into())
    }

    fn own_checksum(&self) -> String {
        Digest::sha256_of(&to_blob(&Self { checksum: String::new(), ..self.clone() })).to_string()
    }

    /// Reads a state file.
    ///
    /// # Errors
    ///
    /// [`UnpackError::MalformedState`]; [`UnpackError::ChangedState`] if it was edited; [`Error::Io`].
    pub fn read(path: &Path) -> Result<Self> {
        let mut content = Vec::new();
        let file = File::open(path).map_err(Error::io("read", path))?;
        file.take(LIMIT).read_to_end(&mut content).map_err(Error::io("read", path))?;
        let path = || path.to_owned();
        let malformed = |reason: String| UnpackError::MalformedState { path: path(), reason };
        let state: Self = from_json(&content).map_err(|error| malformed(error.to_string()))?;
        if state.schema_version != VERSION {
            return Err(malformed(format!("its schema_version is {}, not {VERSION}", state.schema_version)).into());
        }
        if state.checksum != state.own_checksum() {
            return Err(UnpackError::ChangedState { path: path() }.into());
        }
        Ok(state)
    }
}

/// Returns a path with backslashes, control characters and bytes beyond ASCII as `\ooo`.
fn escaped(path: &[u8]) -> String {
    let mut text = String::new();
    for byte in path {
        match byte {
            b'\\' | 0..=0x1f | 0x7f.. => text.push_str(&format!("\\{byte:03o}")),
            _ => text.push(char::from(*byte)),
        }
    }
    text
}
