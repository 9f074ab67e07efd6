//! The extended attributes of files that layers keep.

use std::fmt;

use globset::{Glob, GlobSet, GlobSetBuilder};
#[cfg(unix)]
use rustix::io::Errno;
#[cfg(unix)]
use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt};

/// A list of extended attributes with their values.
pub(crate) type Xattrs = Vec<(Box<[u8]>, Box<[u8]>)>;

/// The attribute of files that hold capabilities. Layers always keep it.
pub(crate) const CAPABILITY: &str = "security.capability";

/// Attributes that layers never have: they belong to the machine, or to a program that unpacked an image.
const NEVER: [&str; 4] = ["security.selinux", "security.evm", "system.nfs4_acl", "user.rootlesscontainers"];

/// The attributes by which overlayfs marks directories that hide the layers below.
#[cfg(unix)]
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// Chooses the extended attributes that a layer keeps.
#[derive(Clone)]
pub(crate) struct XattrFilter {
    globs: Option<GlobSet>,
}

impl fmt::Debug for XattrFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("XattrFilter").finish_non_exhaustive()
    }
}

impl XattrFilter {
    /// Makes a filter that keeps capabilities and the attributes that match a glob.
    ///
    /// # Errors
    ///
    /// The error of a glob that cannot be parsed.
    pub(crate) fn new(globs: &[String]) -> Result<Self, globset::Error> {
        if globs.is_empty() {
            return Ok(Self { globs: None });
        }
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            set.add(Glob::new(glob)?);
        }
        Ok(Self { globs: Some(set.build()?) })
    }

    /// Returns whether the filter keeps attributes other than capabilities, which only files have.
    pub(crate) fn keeps_more(&self) -> bool {
        self.globs.is_some()
    }

    /// Returns whether a layer keeps an attribute.
    pub(crate) fn keeps(&self, name: &str) -> bool {
        let is_never = NEVER.contains(&name) || name.starts_with("com.apple.") || name.contains(".overlay.");
        !is_never && (name == CAPABILITY || self.globs.as_ref().is_some_and(|globs| globs.is_match(name)))
    }

    /// Reads the attributes of a file with the two calls that the system has for it.
    #[cfg(unix)]
    pub(super) fn read(
        &self,
        list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
        get: impl Fn(&OsStr, &mut [u8]) -> rustix::io::Result<usize>,
    ) -> io::Result<Xattrs> {
        let mut found = Xattrs::new();
        if self.globs.is_none() {
            // One call instead of two for most files: most have no capabilities.
            if let Some(value) = value(|buffer| get(OsStr::new(CAPABILITY), buffer))? {
                found.push((CAPABILITY.as_bytes().into(), value));
            }
            return Ok(found);
        }
        let Some(names) = value(list)? else { return Ok(found) };
        let mut names: Vec<_> = names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        for name in names {
            if std::str::from_utf8(name).is_ok_and(|name| self.keeps(name))
                && let Some(value) = value(|buffer| get(OsStr::from_bytes(name), buffer))?
            {
                found.push((name.into(), value));
            }
        }
        Ok(found)
    }
}

/// Returns whether overlayfs would hide the content of the layers below a directory.
#[cfg(unix)]
pub(crate) fn is_opaque(directory: &std::fs::File) -> io::Result<bool> {
    for name in OPAQUE {
        if value(|buffer| rustix::fs::fgetxattr(directory, name, buffer))?.is_some_and(|value| *value == *b"y") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads a value of unknown length; `None` if there is none, or if the file system has no extended attributes.
#[cfg(unix)]
fn value(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> io::Result<Option<Box<[u8]>>> {
    let mut buffer = vec![0; 256];
    loop {
        match read(&mut buffer) {
            Ok(length) => return Ok(Some(buffer[..length].into())),
            Err(Errno::RANGE) => {
                let length = read(&mut [])?;
                buffer.resize((2 * buffer.len()).max(length), 0);
            }
            // On macOS a missing attribute has another number than on Linux.
            #[cfg(target_os = "linux")]
            Err(Errno::NODATA) => return Ok(None),
            #[cfg(not(target_os = "linux"))]
            Err(Errno::NOATTR) => return Ok(None),
            // Links and devices have no attributes of users.
            Err(Errno::NOTSUP | Errno::PERM) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a12_only_capabilities_are_kept_by_default_and_some_attributes_never() {
        let default = XattrFilter::new(&[]).expect("a filter");
        assert!(default.keeps("security.capability"));
        assert!(!default.keeps("user.note"));
        let all = XattrFilter::new(&["*".to_owned()]).expect("a filter");
        for name in ["security.capability", "user.note", "trusted.x"] {
            assert!(all.keeps(name), "{name}");
        }
        for name in [
            "security.selinux",
            "security.evm",
            "system.nfs4_acl",
            "trusted.overlay.opaque",
            "user.overlay.origin",
            "user.rootlesscontainers",
            "com.apple.quarantine",
        ] {
            assert!(!all.keeps(name), "{name}");
        }
    }
}
