//! A layout read and written the way one reads and writes a registry (distribution-spec), without running one.
//!
//! A [`Registry`] is a directory: one layout that several repositories share, or a directory of layouts, one for each. A
//! [`Repository`] is the content of one of them: tags, manifests, blobs, uploads, referrers.

pub(crate) mod artifact;
pub(crate) mod artifact_files;
pub(crate) mod blobs;
pub(crate) mod configs;
pub(crate) mod manifest_body;
pub(crate) mod manifests;
pub(crate) mod page;
pub(crate) mod path;
pub(crate) mod referrers;
pub(crate) mod repository;
pub(crate) mod resolve;
pub(crate) mod tags;
pub(crate) mod upload;

pub use artifact::{Artifact, ArtifactFile, ReferrerFilter};
pub use artifact_files::SaveOptions;
pub use blobs::{BlobReader, ByteRange, Expected};
pub use configs::StoredConfig;
pub use manifest_body::ManifestBody;
pub use manifests::{ManifestInfo, StoredManifest};
pub use page::Page;
pub use path::{find_layout, split_path};
pub use referrers::Referrers;
pub use repository::{Registry, Repository};
pub use resolve::ManifestName;
pub use tags::{Listed, Renamed};
pub use upload::{BlobUpload, CommitError};
