//! Exporting to an archive: a tar of the files of a layout, determined by the view and the options alone.

use std::io::Write;
use std::path::Path;

use super::contents::{Contents, ExportOptions, Exported, IndexDocument};
use super::copy::copy_verified;
use super::docker;
use super::listed::MANIFEST_FILE;
use crate::error::{Error, Result};
use crate::graph::walk::INDEX_FILE;
use crate::layout::document_files::{ARCHIVE_DOCUMENT_LIMIT, check_size};
use crate::layout::site::{BLOBS_DIRECTORY, MARKER_FILE, marker};
use crate::metrics::{Phase, Progress};
use crate::tar::write::TarWriter;
use crate::tar::written_entry::{EntryKind, TarEntry};
use crate::transfer::format::ArchiveKind;
use crate::view::index_view::View;

/// A view as a tar archive, before any of it is written: `oci-layout`, the blobs depth first, `index.json`. The entries
/// are regular files of mode 0444 without an owner. The headers are USTAR, or PAX for names that are too long. An
/// archive for Docker also has a `manifest.json`, which lists each image by its ref name.
#[derive(Clone, Debug)]
pub(crate) struct ArchivePlan {
    docker_manifest: Option<Vec<u8>>,
    index: IndexDocument,
    pub(crate) options: ExportOptions,
    pub(crate) contents: Contents,
}

impl ArchivePlan {
    /// Collects the contents of an archive. Content that the format cannot hold, and documents too large for readers,
    /// are errors here.
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
    pub(crate) fn write(&self, writer: impl Write, path: &Path, progress: Progress<'_>) -> Result<Exported> {
        let options = &self.options;
        let failed = || Error::io("write", path);
        let mut archive = TarWriter::new(writer);
        let modified = options.modified;
        let content = marker();
        archive
            .file(&archive_file(MARKER_FILE, content.len() as u64, modified), content.as_bytes())
            .map_err(failed())?;
        for blob in &self.contents.blobs {
            let digest = &blob.descriptor.digest;
            let name = format!("{BLOBS_DIRECTORY}/{}/{}", digest.algorithm_name(), digest.encoded());
            archive.begin(&archive_file(&name, blob.descriptor.size, modified)).map_err(failed())?;
            copy_verified(&blob.content()?, digest, |bytes| {
                progress.add(bytes.len() as u64);
                options.metrics.count_written(bytes.len());
                options.metrics.time(Phase::Write, || archive.write_all(bytes)).map_err(failed())
            })?;
            archive.end_content(blob.descriptor.size).map_err(failed())?;
            options.metrics.count_blob_written();
        }
        if let Some(manifest) = &self.docker_manifest {
            archive.file(&archive_file(MANIFEST_FILE, manifest.len() as u64, modified), manifest).map_err(failed())?;
        }
        archive.begin(&archive_file(INDEX_FILE, self.index.size, modified)).map_err(failed())?;
        self.index.write(&mut archive).map_err(failed())?;
        archive.end_content(self.index.size).map_err(failed())?;
        archive.finish().map_err(failed())?;
        Ok(self.contents.exported.clone())
    }
}

/// Returns a file of an archive: mode 0444, owner 0.
fn archive_file(path: &str, size: u64, modified: u64) -> TarEntry<'_> {
    TarEntry {
        path: path.as_bytes(),
        kind: EntryKind::File { size },
        mode: 0o444,
        uid: 0,
        gid: 0,
        modified: i64::try_from(modified).unwrap_or(i64::MAX),
        xattrs: &[],
    }
}
