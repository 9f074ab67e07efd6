//! An open layout, and the right to change it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::options::WriteOptions;
use super::site::{Site, has_marker};
use crate::error::{Error, Result};
use crate::fs::Directory;
use crate::interrupt::{Interrupt, Section};
use crate::metrics::Metrics;
use crate::oci::Digest;

/// An OCI image layout on the local disk.
///
/// A handle holds nothing open. Any number of them, in any number of processes, can work on one layout at once: writers
/// wait for each other, and readers see whole documents only.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("my-image");
/// use regshape::layout::Layout;
///
/// Layout::init(&path)?;
/// let layout = Layout::open(&path)?;
/// assert!(layout.read_index()?.manifests.is_empty());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Layout {
    site: Site,
}

/// The right to change a layout, until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _section: Section,
    _marker: File,
    root: Directory,
}

impl Lock {
    /// Makes the token of a marker that is locked. If the work is abandoned, the marker is unlocked, and this never
    /// returns.
    pub(crate) fn new(marker: File, root: Directory, interrupt: &Interrupt) -> Self {
        Self { _section: interrupt.begin_section_with([&marker]), _marker: marker, root }
    }

    /// Returns the directory of the layout that is locked. Another one may have its path by now.
    pub(crate) fn root(&self) -> &Directory {
        &self.root
    }
}

impl Layout {
    /// Returns whether a directory looks like a layout: it has the marker, of any content.
    pub fn is_at(directory: impl AsRef<Path>) -> bool {
        has_marker(directory.as_ref())
    }

    /// Opens a layout that is there. Nothing in it is changed.
    ///
    /// # Errors
    ///
    /// [`Error::NotALayout`] if the directory has no `oci-layout` file; [`Error::MalformedMarker`] if that is not one,
    /// [`Error::LayoutVersion`] if it does not say version 1.0.0; [`Error::Io`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::at(Site::new(path.into()))
    }

    /// Opens the layout at a site. Nothing in it is changed.
    ///
    /// # Errors
    ///
    /// Those of [`Layout::open`].
    pub(crate) fn at(site: Site) -> Result<Self> {
        site.check_marker().map(|()| Self { site })
    }

    /// Returns the layout that was just made at a site. Nothing is read: a layout that is there must not be an error.
    pub(super) fn made(site: Site) -> Self {
        Self { site }
    }

    /// Opens the layout at a site if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedMarker`], [`Error::LayoutVersion`]; [`Error::Io`].
    pub(crate) fn find(site: &Site) -> Result<Option<Self>> {
        match Self::at(site.clone()) {
            Ok(layout) => Ok(Some(layout)),
            Err(Error::NotALayout { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns the place of the layout, and how it is written.
    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// Makes this handle write as the options say.
    #[must_use]
    pub fn with_write_options(self, options: WriteOptions) -> Self {
        Self { site: self.site.with_write_options(options) }
    }

    /// Makes this handle follow a link at `blobs`, or at a directory in it, that leads out of the layout: for layouts that
    /// share their blobs. Otherwise it is an error.
    #[must_use]
    pub fn with_shared_blobs(self) -> Self {
        Self { site: self.site.with_shared_blobs() }
    }

    /// Returns the value by which this handle's work is ended.
    pub(crate) fn interrupt(&self) -> &Interrupt {
        self.site.interrupt()
    }

    /// Returns whether this handle follows a link at `blobs` that leads out of the layout.
    pub(crate) fn shares_blobs(&self) -> bool {
        self.site.shares_blobs()
    }

    /// Returns the directory, as it was given.
    pub fn path(&self) -> &Path {
        self.site.path()
    }

    /// Returns the path of a blob.
    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.site.blob_path(digest)
    }

    /// Returns the counters, for others to count with.
    pub fn shared_metrics(&self) -> Arc<Metrics> {
        self.site.shared_metrics()
    }

    /// Returns the counters of the work done through this handle.
    pub fn metrics(&self) -> &Metrics {
        self.site.metrics()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_site_is_a_layout_only_when_its_marker_is_there_and_valid() {
        let directory = tempfile::tempdir().expect("a directory");
        let site = Site::new(directory.path().join("layout"));
        assert!(matches!(Layout::at(site.clone()), Err(Error::NotALayout { .. })));
        assert!(Layout::find(&site).expect("there is none").is_none());

        Layout::init(site.path()).expect("made");
        assert_eq!(Layout::at(site.clone()).expect("a layout").path(), site.path());
        assert!(Layout::find(&site).expect("found").is_some());

        fs::write(site.marker_path(), r#"{"imageLayoutVersion":"2.0.0"}"#).expect("written");
        assert!(matches!(Layout::at(site.clone()), Err(Error::LayoutVersion { .. })));
        assert!(matches!(Layout::find(&site), Err(Error::LayoutVersion { .. })));
    }
}
