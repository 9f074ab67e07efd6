//! Exporting to an archive: a tar of the files of a layout, which depends on the view and the options alone.

use std::io::{self, Write};
use std::path::Path;

use ::tar::{EntryType, Header};

use super::contents::{Contents, ExportOptions, Exported, IndexDocument};
use super::copy::copy_verified;
use super::docker;
use super::listed::MANIFEST_FILE;
use crate::error::{Error, Result};
use crate::graph::walk::INDEX_FILE;
use crate::layout::documents::{ARCHIVE_DOCUMENT_LIMIT, check_size};
use crate::layout::handle::{BLOBS_DIRECTORY, MARKER_FILE, marker};
use crate::metrics::{Phase, Progress};
use crate::tar::header::pax_record;
use crate::transfer::format::ArchiveKind;
use crate::view::index_view::View;

/// A tar consists of blocks of so many bytes.
const BLOCK: u64 = 512;

/// A view as a tar archive, before any of it is written: `oci-layout`, the blobs depth first, `index.json`. Regular files of
/// mode 0444 without an owner; USTAR headers, and PAX ones where a name is too long. An archive for Docker has a `manifest.json`
/// as well, which names each image by its ref name.
#[derive(Clone, Debug)]
pub(crate) struct ArchivePlan {
    docker_manifest: Option<Vec<u8>>,
    index: IndexDocument,
    pub(crate) options: ExportOptions,
    pub(crate) contents: Contents,
}

impl ArchivePlan {
    /// Finds out what an archive holds; what it cannot hold is an error here, and so is a document that no reader takes.
    pub(crate) fn new(view: &View, kind: ArchiveKind, options: &ExportOptions) -> Result<Self> {
        Self::within(view, kind, options, ARCHIVE_DOCUMENT_LIMIT)
    }

    fn within(view: &View, kind: ArchiveKind, options: &ExportOptions, limit: u64) -> Result<Self> {
        let (view, docker_manifest) = match kind {
            ArchiveKind::Oci => (view.clone(), None),
            ArchiveKind::Docker => docker::describe(view).map(|(view, manifest)| (view, Some(manifest)))?,
        };
        let what = |name| format!("{name} of the archive");
        if let Some(manifest) = &docker_manifest {
            check_size(&what(MANIFEST_FILE), manifest, limit)?;
        }
        let index = IndexDocument::new(&view, &what(INDEX_FILE), limit)?;
        Ok(Self { contents: Contents::of(&view, options)?, docker_manifest, index, options: options.clone() })
    }

    /// Writes the archive.
    pub(crate) fn write(&self, writer: impl Write, path: &Path, progress: Option<Progress<'_>>) -> Result<Exported> {
        let options = &self.options;
        let mut archive = Archive { writer, path, modified: options.modified };
        archive.file(MARKER_FILE, marker().as_bytes())?;
        for blob in &self.contents.blobs {
            let digest = &blob.descriptor.digest;
            let name = format!("{BLOBS_DIRECTORY}/{}/{}", digest.algorithm_name(), digest.encoded());
            archive.begin(&name, blob.descriptor.size)?;
            copy_verified(&blob.content()?, digest, |bytes| {
                progress.into_iter().for_each(|progress| progress(bytes.len() as u64));
                options.metrics.count_written(bytes.len());
                options.metrics.time(Phase::Write, || archive.write(bytes))
            })?;
            archive.pad(blob.descriptor.size)?;
            options.metrics.count_blob_written();
        }
        if let Some(manifest) = &self.docker_manifest {
            archive.file(MANIFEST_FILE, manifest)?;
        }
        archive.begin(INDEX_FILE, self.index.size)?;
        self.index.write(&mut archive.writer).map_err(Error::io("write", path))?;
        archive.pad(self.index.size)?;
        archive.finish()?;
        Ok(self.contents.exported.clone())
    }
}

/// A tar that is being written.
struct Archive<'a, W> {
    writer: W,
    path: &'a Path,
    modified: u64,
}

impl<W: Write> Archive<'_, W> {
    /// Writes a small file.
    fn file(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.begin(name, content.len() as u64)?;
        self.write(content)?;
        self.pad(content.len() as u64)
    }

    /// Writes the header of a file.
    fn begin(&mut self, name: &str, size: u64) -> Result<()> {
        let mut header = self.header(EntryType::Regular, size);
        if header.set_path(name).is_err() {
            // The longest names are those of SHA-512 digests.
            let record = pax_record("path", name);
            let mut pax = self.header(EntryType::XHeader, record.len() as u64);
            pax.set_path("PaxHeaders/blob").expect("it is short");
            pax.set_cksum();
            self.write(pax.as_bytes())?;
            self.write(record.as_bytes())?;
            self.pad(record.len() as u64)?;
            header.set_path("blob").expect("it is short");
        }
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn header(&self, kind: EntryType, size: u64) -> Header {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o444);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.modified);
        header.set_size(size);
        header
    }

    /// Fills the last block of a file.
    fn pad(&mut self, size: u64) -> Result<()> {
        let left = usize::try_from(size.next_multiple_of(BLOCK) - size).expect("less than a block");
        self.write(&[0; BLOCK as usize][..left])
    }

    /// Ends the archive with two empty blocks.
    fn finish(&mut self) -> Result<()> {
        self.write(&[0; 2 * BLOCK as usize])?;
        self.writer.flush().map_err(|error| self.failed(error))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::io("write", self.path)(error)
    }
}
