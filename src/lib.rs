//! Builds, edits, checks, merges and moves OCI image layouts on the local disk, without a daemon and without
//! root. With the feature `remote` it pushes them to registries and pulls them from there.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let (path, tar) = (directory.path().join("my-image"), directory.path().join("layer.tar"));
//! # std::fs::write(&tar, [0; 1024])?;
//! use regshape::build::{ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
//! use regshape::check::ValidateOptions;
//! use regshape::layout::Layout;
//!
//! let layout = Layout::init(&path)?;
//! layout.stage_layer(LayerInput::open(&tar)?, &LayerOptions::default())?;
//! layout.generate_config(&ConfigOptions::default().architecture("arm64"))?;
//! let manifest = layout.generate_manifest(&ManifestOptions::default().ref_name("latest".parse()?))?;
//!
//! let index = layout.read_index()?;
//! assert_eq!(index.manifests[0].digest, manifest.digest);
//! assert_eq!(index.manifests[0].ref_name(), Some("latest"));
//! assert!(layout.validate(&ValidateOptions::default())?.is_valid());
//! # Ok(())
//! # }
//! ```
//!
//! The results can be changed:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let (path, tar) = (directory.path().join("my-image"), directory.path().join("layer.tar"));
//! # std::fs::write(&tar, [0; 1024])?;
//! # use regshape::build::{ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
//! # let layout = regshape::layout::Layout::init(&path)?;
//! # layout.stage_layer(LayerInput::open(&tar)?, &LayerOptions::default())?;
//! # layout.generate_config(&ConfigOptions::default())?;
//! # layout.generate_manifest(&ManifestOptions::default())?;
//! use regshape::build::ConfigChanges;
//! use regshape::layout::Layout;
//! use regshape::oci::{AnnotationChange, Annotations};
//!
//! let layout = Layout::open(&path)?;
//! println!("{:?}", layout.read_stage()?);
//!
//! let role = Annotations::from([("com.example.role".to_owned(), "base".to_owned())]);
//! layout.update_layer_annotations(0, &AnnotationChange::Merge(role))?;
//! let config = layout.update_config(&ConfigChanges::default().architecture("arm64"))?;
//! assert!(config.outdates_manifest);
//! layout.generate_manifest(&ManifestOptions::default())?;
//!
//! let version = Annotations::from([("org.opencontainers.image.version".to_owned(), "1.0.0".to_owned())]);
//! layout.update_manifest_annotations(&AnnotationChange::Merge(version))?;
//! assert_eq!(layout.read_index()?.manifests.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! A layout is read and changed as a registry ([`registry::Registry`]), and images move as archives and parts of
//! layouts ([`view::View`], [`view::View::load`], [`view::View::plan_export`]).
//!
//! | module | answers |
//! |---|---|
//! | [`oci`] | the image-spec's documents as values: digests, media types, manifests, names |
//! | [`compress`] | the streams that layers are: detecting, decoding within bounds, encoding on several threads |
//! | [`layout`] | the directory: opening, the lock, blobs, `index.json`, the staging file, collecting garbage |
//! | [`graph`] | references between documents: choosing an image for a platform, findings |
//! | [`view`] | an index and a way to read its blobs, immutable: joining, selecting, looking in |
//! | [`rootfs`] | the files that the layers of an image make together |
//! | [`build`] | making images through the staging file, from files, on a base; changing images that are there |
//! | [`registry`] | a layout read and changed like a registry: tags, manifests, blobs, uploads, referrers |
//! | [`transfer`] | images in and out of archives and directories |
//! | [`check`] | validating a layout, and drawing its tree |
//! | [`metrics`] | counters of bytes and time, and progress |
//!
//! Nothing is global: work is ended by an [`Interrupt`] that its options carry, and other work goes on.
//!
//! The command line is a part of the binary; without the default feature `cli` nothing of it is built.

// Public types can grow, and functions say how they fail (Rust API Guidelines, C-STRUCT-PRIVATE and C-FAILURE).
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![warn(unnameable_types)]
#![warn(clippy::missing_errors_doc, clippy::missing_panics_doc)]

pub mod build;
pub mod check;
pub mod compress;
mod error;
mod fingerprint;
mod fs;
pub mod graph;
mod interrupt;
mod json;
pub mod layout;
pub mod metrics;
pub mod oci;
mod options;
pub mod registry;
#[cfg(feature = "remote")]
pub mod remote;
pub mod rootfs;
mod tally;
mod tar;
mod text;
pub mod transfer;
pub mod unpack;
pub mod view;
mod workers;

pub use error::{
    ArtifactError, BaseError, Candidate, ConfigError, ConnectionFault, CopyError, EditError, Error, ErrorCode,
    ErrorKind, FilesError, LayerError, PushError, Reason, Referrer, RemoteError, Result, UnpackError,
};
pub use interrupt::Interrupt;
pub use tally::Tally;

/// The internals that this project's own benchmarks and fuzz targets use. They are no promise: any version of the
/// library may change them.
///
/// Functions that only call others: private items cannot be exported under another name.
#[doc(hidden)]
pub mod internals {
    use std::io::{self, BufRead, Read};

    pub use crate::fs::input::open_input;
    pub use crate::fs::streams::{is_standard_output, is_stream, open_log};
    pub use crate::registry::blobs::write_file;
    pub use crate::workers::map::map_bounded;

    use crate::compress::{self, Compression, Encoding, Failure};
    use crate::rootfs::{MergedTree, TreeEntry, looked_up};
    use crate::tar::check::TarCheck;
    use crate::tar::fault::Verdict;
    use crate::tar::layer::Look;

    /// Compresses content that is in memory, and hands on the stream a piece at a time.
    pub fn compress(
        compression: Compression,
        jobs: usize,
        mut content: &[u8],
        mut write: impl FnMut(&[u8]) + Send,
    ) -> io::Result<()> {
        let read = |block: &mut Vec<u8>, size: usize| {
            block.clear();
            content.by_ref().take(size as u64).read_to_end(block).map(drop)
        };
        let write = |bytes: &[u8]| {
            write(bytes);
            Ok(())
        };
        compress::compress(compression, jobs, read, write, &|_| ()).map_err(|failure| match failure {
            Failure::Compressor(error) | Failure::Caller(error) => error,
        })
    }

    /// Opens a finished deflate stream at its end; `false` if it is not a whole one.
    pub fn open_end(stream: &mut Vec<u8>) -> bool {
        compress::open_end(stream, 0)
    }

    /// Looks at the first bytes of a file: its encoding, whether a tar is in it, and a reader that still has all of it.
    pub fn peek<R: Read>(reader: R) -> io::Result<(Encoding, bool, impl Read)> {
        compress::peek(reader, crate::tar::header_fields::looks_like_tar)
            .map(|(sight, reader)| (sight.encoding, sight.is_tar, reader))
    }

    /// Checks a tar as a deep validation does. Returns the reason if it is malformed or truncated.
    pub fn tar_fault(tar: &[u8]) -> Option<String> {
        let mut check = TarCheck::new(Look::Content);
        check.update(tar);
        match check.finish().verdict {
            Verdict::Malformed(reason) | Verdict::Truncated(reason) => Some(reason),
            _ => None,
        }
    }

    /// Merges layers, the lowest first. Returns the entries of the merged tree.
    pub fn merge_layers<R: Read>(layers: impl IntoIterator<Item = R>) -> io::Result<Vec<TreeEntry>> {
        let mut tree = MergedTree::default();
        layers.into_iter().try_for_each(|layer| tree.apply(layer))?;
        Ok(tree.entries())
    }

    /// Looks up paths in layers, from the uppermost on. Returns their entries.
    pub fn look_up(layers: &[&[u8]], paths: &[&[u8]]) -> io::Result<Vec<Option<TreeEntry>>> {
        looked_up(layers, paths)
    }

    /// Returns the paths that upper layers delete, of layers from the lowest on.
    pub fn deleted_paths(layers: &[&[u8]]) -> io::Result<Vec<Vec<u8>>> {
        let mut tree = MergedTree::with_deleted();
        layers.iter().try_for_each(|layer| tree.apply(*layer))?;
        Ok(tree.deleted_paths())
    }

    /// Returns a reader of the decompressed content of a stream.
    pub fn decoder<'a>(encoding: Encoding, stream: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        compress::decoder(encoding, stream)
    }
}
