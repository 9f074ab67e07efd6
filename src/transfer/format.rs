//! The formats of exports.

use std::path::Path;

use crate::compress::CompressFormat;

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// A layout on disk.
    Directory,
    /// An archive.
    Archive {
        /// Which programs read it.
        kind: ArchiveKind,
        /// The compression, if any.
        compression: Option<CompressFormat>,
    },
}

/// Which programs read an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ArchiveKind {
    /// Programs that read OCI archives.
    #[default]
    Oci,
    /// Programs that read Docker archives, too.
    Docker,
}

impl Format {
    /// The file name extensions of OCI archives.
    pub const ENDINGS: [&str; 5] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"];

    /// Returns the format for a file name: an OCI archive if it has one of the [`ENDINGS`](Self::ENDINGS), else a
    /// directory.
    pub fn from_name(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        let archive = |compression| Self::Archive { kind: ArchiveKind::Oci, compression };
        if ends_with(path, &[".tar"]) {
            archive(None)
        } else if ends_with(path, &[".tar.gz", ".tgz"]) {
            archive(Some(CompressFormat::Gzip))
        } else if ends_with(path, &[".tar.zst", ".tzst"]) {
            archive(Some(CompressFormat::Zstd))
        } else {
            Self::Directory
        }
    }

    /// Returns whether a file name has the extension of another archive format, such as `.tar.xz` or `.zip`. Such a
    /// name is hardly ever meant as a directory.
    pub fn is_unknown_archive(path: impl AsRef<Path>) -> bool {
        const OTHERS: [&str; 47] = [
            ".tar.xz",
            ".txz",
            ".tar.bz2",
            ".tar.bz",
            ".tbz2",
            ".tbz",
            ".tb2",
            ".tar.lz",
            ".tlz",
            ".tar.lz4",
            ".tar.lzma",
            ".tar.lzo",
            ".tar.z",
            ".taz",
            ".tar.br",
            ".tar.sz",
            ".tar.zstd",
            ".zip",
            ".7z",
            ".rar",
            ".gz",
            ".zst",
            ".xz",
            ".bz2",
            ".lz4",
            ".cpio",
            ".sif",
            ".squashfs",
            ".sqfs",
            ".iso",
            ".tar.bzip2",
            ".tar.gzip",
            ".tar.lzip",
            ".tar.lrz",
            ".gzip",
            ".zstd",
            ".lzma",
            ".lz",
            ".lrz",
            ".bz",
            ".br",
            ".z",
            ".tz2",
            ".tzo",
            ".zipx",
            ".lzo",
            ".sz",
        ];
        let path = path.as_ref();
        Self::from_name(path) == Self::Directory && ends_with(path, &OTHERS)
    }
}

/// Returns whether a file name has one of these extensions, in any case.
pub(crate) fn ends_with(path: &Path, endings: &[&str]) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    endings.iter().any(|ending| name.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_format() {
        let archive = |compression| Format::Archive { kind: ArchiveKind::Oci, compression };
        for (name, format) in [
            ("x.tar", archive(None)),
            ("a.b/x.TAR", archive(None)),
            ("x.tar.gz", archive(Some(CompressFormat::Gzip))),
            ("x.tgz", archive(Some(CompressFormat::Gzip))),
            ("x.tar.zst", archive(Some(CompressFormat::Zstd))),
            ("x", Format::Directory),
            ("x.tar/", archive(None)),
            ("tar", Format::Directory),
        ] {
            assert_eq!(Format::from_name(Path::new(name)), format, "{name}");
            assert!(!Format::is_unknown_archive(Path::new(name)), "{name}");
        }
        for name in [
            "x.tar.xz",
            "x.TAR.BZ2",
            "a/x.txz",
            "x.zip",
            "x.7z",
            "x.gz",
            "x.tar.lz4",
            "x.tar.bzip2",
            "x.Z",
            "x.zstd",
            "x.lz",
        ] {
            assert_eq!(Format::from_name(Path::new(name)), Format::Directory, "{name}");
            assert!(Format::is_unknown_archive(Path::new(name)), "{name}");
        }
        for name in ["xz", "app-1.7", "x.tar.d", "zip", "registry.example"] {
            assert!(!Format::is_unknown_archive(Path::new(name)), "{name}");
        }
    }
}
