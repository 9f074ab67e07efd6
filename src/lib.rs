//! Builds, edits, checks, merges and moves OCI image layouts on the local disk: no daemon, no registry, no network.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let (path, tar) = (directory.path().join("my-image"), directory.path().join("layer.tar"));
//! # std::fs::write(&tar, [0; 1024])?;
//! use regshape::layout::{ConfigOptions, Layout, LayerInput, LayerOptions, ManifestOptions, ValidateOptions};
//!
//! let layout = Layout::init(&path)?;
//! layout.stage_layer(LayerInput::open(&tar)?, LayerOptions::default())?;
//! layout.generate_config(ConfigOptions { architecture: "arm64".to_owned(), ..ConfigOptions::default() })?;
//! let manifest = layout.generate_manifest(ManifestOptions { ref_name: Some("latest".parse()?), ..ManifestOptions::default() })?;
//!
//! let index = layout.read_index()?;
//! assert_eq!(index.manifests[0].digest, manifest.digest);
//! assert_eq!(index.manifests[0].ref_name(), Some("latest"));
//! assert!(layout.validate(ValidateOptions::default())?.is_valid());
//! # Ok(())
//! # }
//! ```
//!
//! What was generated can be changed:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let (path, tar) = (directory.path().join("my-image"), directory.path().join("layer.tar"));
//! # std::fs::write(&tar, [0; 1024])?;
//! # use regshape::layout::{ConfigOptions, LayerInput, LayerOptions, ManifestOptions};
//! # let layout = regshape::layout::Layout::init(&path)?;
//! # layout.stage_layer(LayerInput::open(&tar)?, LayerOptions::default())?;
//! # layout.generate_config(ConfigOptions::default())?;
//! # layout.generate_manifest(ManifestOptions::default())?;
//! use regshape::layout::{ConfigChanges, Layout};
//! use regshape::oci::Annotations;
//!
//! let layout = Layout::open(&path)?;
//! println!("{:?}", layout.read_stage()?);
//!
//! let role = Annotations::from([("com.example.role".to_owned(), "base".to_owned())]);
//! layout.update_layer_annotations(0, role, false)?;
//! let config = layout.update_config(ConfigChanges { architecture: Some("arm64".to_owned()), ..ConfigChanges::default() })?;
//! assert!(config.outdates_manifest);
//! layout.generate_manifest(ManifestOptions::default())?;
//!
//! let version = Annotations::from([("org.opencontainers.image.version".to_owned(), "1.0.0".to_owned())]);
//! layout.update_manifest_annotations(version, false)?;
//! assert_eq!(layout.read_index()?.manifests.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! What is there is read and changed as in a registry ([`layout::Registry`]), and moved as archives and parts of layouts
//! ([`layout::View`], [`layout::Archive`], [`layout::export_dir`]).
//!
//! [`layout`] is the directory and what is done with it, [`oci`] the documents in it, [`compress`] the streams that layers
//! are. The command line is a part of the binary; without the default feature `cli` nothing of it is built.

mod abandon;
pub mod compress;
mod fs;
mod json;
pub mod layout;
pub mod oci;
mod workers;

/// What this project's own benchmarks and fuzz targets reach of the inside. It is no promise: no version of the library
/// keeps it as it was.
///
/// Functions that only call others: what is private to the crate cannot be exported under another name.
#[doc(hidden)]
pub mod internals {
    use std::io::{self, BufRead, Read};

    use crate::compress::{self, Compression, Encoding, Failure};

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
        compress::peek(reader).map(|(sight, reader)| (sight.encoding, sight.is_tar, reader))
    }

    /// Reads a compressed stream as what was compressed.
    pub fn decoder<'a>(encoding: Encoding, stream: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        compress::decoder(encoding, stream)
    }
}
