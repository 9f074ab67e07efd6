//! The digests of the contents of files, computed while layers are read.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};

use super::cover::Cover;
use super::image_files::{ImageFiles, shown_path};
use super::layer_tree::LayerFile;
use super::node::Node;
use crate::compress::BUFFER;
use crate::error::{Error, FilesError, Result};
use crate::metrics::Progress;
use crate::oci::{Algorithm, Digest, Hasher};
use crate::tar::read_header::Header;

/// The layer of a file and the offset of its entry.
pub(super) type FileKey = (u32, u64);

/// The digests of contents. `None` is that of a sparse file that is too large.
#[derive(Debug, Default)]
pub(crate) struct ContentDigests {
    digests: HashMap<FileKey, Option<Digest>>,
    buffer: Vec<u8>,
}

/// Which files are hashed while layers are read. The others are read again if they are needed.
pub(super) struct Hashed<'a> {
    /// The layers that the other image has too: most of their files need no digest.
    pub(super) shared: &'a HashSet<Digest>,
    /// Whether files that upper layers hide are hashed.
    pub(super) hidden: bool,
}

impl ContentDigests {
    /// Reads the content of a file of a layer that is being read.
    ///
    /// # Errors
    ///
    /// Those of reading the layer.
    pub(crate) fn add(&mut self, key: FileKey, header: &Header, mut content: impl Read) -> io::Result<()> {
        let digest = if header.is_too_sparse() { None } else { Some(self.hash(&mut content)?) };
        self.digests.insert(key, digest);
        Ok(())
    }

    fn hash(&mut self, content: &mut impl Read) -> io::Result<Digest> {
        self.buffer.resize(BUFFER, 0);
        let mut hasher = Hasher::new(Algorithm::Sha256);
        loop {
            match content.read(&mut self.buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(read) => hasher.update(&self.buffer[..read]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the digest of the content of a file that is known.
    pub(crate) fn of(&self, node: &Node) -> Option<&Digest> {
        self.get((node.layer, node.offset))
    }

    /// Returns the digest of the content of a file that is known, by the layer and the offset of its entry.
    pub(super) fn get(&self, key: FileKey) -> Option<&Digest> {
        self.digests.get(&key)?.as_ref()
    }

    /// Returns the digest of the content of a file that is known, or an error if it cannot be read.
    ///
    /// # Errors
    ///
    /// [`FilesError::Sparse`].
    pub(super) fn expect(&self, path: &[u8], node: &Node) -> Result<&Digest> {
        Ok(self.of(node).ok_or_else(|| FilesError::Sparse { path: shown_path(path), size: node.attributes.size })?)
    }

    /// Reads the contents of files that are not known yet.
    ///
    /// # Errors
    ///
    /// Those of reading a layer.
    pub(crate) fn add_missing(&mut self, files: &ImageFiles, wanted: &HashSet<FileKey>) -> Result<()> {
        let mut missing: HashMap<u32, HashSet<u64>> = HashMap::new();
        for (layer, offset) in wanted.iter().filter(|key| !self.digests.contains_key(key)) {
            missing.entry(*layer).or_default().insert(*offset);
        }
        for (layer, offsets) in missing {
            files.read_again(layer, &offsets, |header, content| {
                self.add((layer, header.start), header, content).map_err(Error::io("read", files.path()))
            })?;
        }
        Ok(())
    }
}

impl ImageFiles {
    /// Reads all layers, and hashes files. The entries stay in place.
    ///
    /// # Errors
    ///
    /// Those of [`ImageFiles::entries`].
    pub(super) fn read_hashed(&mut self, hashed: &Hashed<'_>, progress: Progress<'_>) -> Result<ContentDigests> {
        let mut digests = ContentDigests::default();
        let mut cover = Cover::default();
        for number in (0..self.layer_count()).rev() {
            let is_shared = hashed.shared.contains(self.layer(number).1);
            self.read_with(number, progress, |LayerFile { layer, place, header, begun }, content| {
                if is_shared || cover.hides(place) {
                    return Ok(());
                }
                Ok(digests.add((layer, header.start), header, begun.chain(content))?)
            })?;
            if let Some(tree) = self.read_layer_tree(number).filter(|_| number > 0 && !hashed.hidden) {
                cover.add(tree);
            }
        }
        Ok(digests)
    }
}
