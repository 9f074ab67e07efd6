//! The options of a layer of files.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::attributes::CopyAttributes;
use super::capability::Capabilities;
use super::owner::OwnerSpec;
use super::rules::{ImageGlob, PathRule};
use crate::error::CopyError;
use crate::options::setters;
use crate::text::shown;

/// The longest component of a path: file systems store no longer one.
pub(super) const COMPONENT_LIMIT: usize = 255;

/// The longest path of an entry: PATH_MAX of Linux, without the slash at the beginning and the NUL at the end.
pub(super) const PATH_LIMIT: usize = 4094;

/// A place in an image: an absolute path without `..`. With a slash at its end it is a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// The components, without those that are empty or `.`.
    pub(super) components: Vec<Box<[u8]>>,
    pub(super) is_directory: bool,
}

impl Destination {
    /// Parses a path.
    ///
    /// # Errors
    ///
    /// [`CopyError::Destination`] if it is relative, contains `..` or a NUL, is too long, or has a component that is.
    pub fn new(path: impl AsRef<[u8]>) -> Result<Self, CopyError> {
        let path = path.as_ref();
        let refused = |reason| CopyError::Destination { path: shown(path), reason };
        let rest = path.strip_prefix(b"/").ok_or_else(|| refused("is not absolute"))?;
        let mut components: Vec<Box<[u8]>> = Vec::new();
        for component in rest.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return Err(refused("contains '..'")),
                _ if component.contains(&0) => return Err(refused("contains a NUL")),
                _ if component.len() > COMPONENT_LIMIT => {
                    return Err(refused("has a component of more than 255 bytes"));
                }
                _ => components.push(component.into()),
            }
        }
        let length: usize = components.iter().map(|component| component.len() + 1).sum();
        if length > PATH_LIMIT + 1 {
            return Err(refused("has more than 4095 bytes"));
        }
        let last = rest.rsplit(|byte| *byte == b'/').next();
        Ok(Self { is_directory: matches!(last, None | Some(b"" | b".")), components })
    }
}

impl FromStr for Destination {
    type Err = CopyError;

    fn from_str(path: &str) -> Result<Self, CopyError> {
        Self::new(path)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for component in &self.components {
            write!(formatter, "/{}", shown(component))?;
        }
        formatter.write_str(if self.is_directory { "/" } else { "" })
    }
}

/// A file or directory to copy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CopySource {
    /// The file or directory, or a link to it.
    pub path: PathBuf,
    /// The place in the image. By default the content of a directory goes to `/`, and a file to `/NAME`.
    pub destination: Option<Destination>,
    /// The attributes of this source, which take precedence over those of the layer.
    pub attributes: CopyAttributes,
    /// Rules that follow those of the layer.
    pub rules: Vec<PathRule>,
    /// Whether the path is an mtree(5) file, whose entries are copied.
    pub(crate) is_mtree: bool,
}

impl CopySource {
    /// Makes a source with the attributes of the layer.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let attributes = CopyAttributes::default();
        Self { path: path.into(), destination: None, attributes, rules: Vec::new(), is_mtree: false }
    }

    /// Makes a source of an mtree(5) file, which lists entries with their attributes. Keywords that an entry does not have
    /// come from the layer and from the file with the content.
    pub fn mtree(path: impl Into<PathBuf>) -> Self {
        Self { is_mtree: true, ..Self::new(path) }
    }

    /// Returns whether the source is an mtree file.
    pub fn is_mtree(&self) -> bool {
        self.is_mtree
    }

    setters! {
        destination: [option Destination],
        attributes: [CopyAttributes],
        rules: [Vec<PathRule>],
    }
}

/// Options of a layer of files and directories.
///
/// ```
/// use regshape::build::copy::{CopyOptions, CopySource};
///
/// let source = CopySource::new("app").destination("/usr/bin/".parse()?);
/// let options = CopyOptions::default().sources(vec![source]);
/// # Ok::<(), regshape::CopyError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CopyOptions {
    /// The files and directories.
    pub sources: Vec<CopySource>,
    /// The attributes of entries.
    pub attributes: CopyAttributes,
    /// The time of directories that the sources do not have, in seconds since 1970.
    pub parent_time: i64,
    /// The paths below each source that are left out or taken in.
    pub rules: Vec<PathRule>,
    /// Globs of the extended attributes to keep besides capabilities.
    pub xattrs: Vec<String>,
    /// Files that get capabilities.
    pub capabilities: Vec<(Destination, Capabilities)>,
    /// Owners of paths in the image; the last that matches counts.
    pub owners: Vec<(ImageGlob, OwnerSpec)>,
    /// Directories that are left out wherever they are, such as the layout that is written.
    pub outputs: Vec<PathBuf>,
    /// Whether the marks of overlayfs for deleted files become whiteouts. By default they are an error.
    pub converts_overlay: bool,
    /// Whether the last of several sources with one path counts. By default that is an error.
    pub overwrites: bool,
    /// Whether links of the layers below that stand where a directory goes are replaced. By default they are followed.
    pub replaces_links: bool,
    /// Whether directories on other devices are entered.
    pub crosses_devices: bool,
    /// Whether files that cannot be read are left out. By default they are an error.
    pub skips_unreadable: bool,
    /// Whether a source may be empty.
    pub allows_empty: bool,
    /// Whether the layer has an entry for the root directory.
    pub has_root_entry: bool,
}

impl CopyOptions {
    setters! {
        sources: [Vec<CopySource>],
        attributes: [CopyAttributes],
        parent_time: [i64],
        rules: [Vec<PathRule>],
        xattrs: [Vec<String>],
        capabilities: [Vec<(Destination, Capabilities)>],
        owners: [Vec<(ImageGlob, OwnerSpec)>],
        outputs: [Vec<PathBuf>],
        converts_overlay: [bool],
        overwrites: [bool],
        replaces_links: [bool],
        crosses_devices: [bool],
        skips_unreadable: [bool],
        allows_empty: [bool],
        has_root_entry: [bool],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_absolute_and_stays_in_the_image() {
        for (path, expected) in
            [("/", "/"), ("/a", "/a"), ("/a/", "/a/"), ("//a/./b", "/a/b"), ("/a/.", "/a/"), ("/a//", "/a/")]
        {
            assert_eq!(path.parse::<Destination>().expect(path).to_string(), expected);
        }
        let long = format!("/a/{}", "x".repeat(256));
        let deep = "/a".repeat(2048);
        assert!(deep[2..].parse::<Destination>().is_ok());
        for (path, report) in [
            ("a", "destination 'a' is not absolute".to_owned()),
            ("", "destination '' is not absolute".to_owned()),
            ("/a/../b", "destination '/a/../b' contains '..'".to_owned()),
            (&long, format!("destination '{}…' has a component of more than 255 bytes", &long[..80])),
            (&deep, format!("destination '{}…' has more than 4095 bytes", &deep[..80])),
        ] {
            assert_eq!(path.parse::<Destination>().expect_err(path).to_string(), report);
        }
    }
}
