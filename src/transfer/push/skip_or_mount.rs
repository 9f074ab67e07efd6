//! Blobs that a push need not send: the registry has them, in the repository or in another one.
//!
//! `upload.rs` skips a blob that the repository has, unless the push is forced, and mounts a blob from another repository, unless
//! it resumes an upload. `run.rs` checks the images first: blobs of an image in the registry are not checked.

use crate::error::RemoteError;
use crate::oci::{Digest, RepositoryName};
use crate::remote::auth::scope::Scope;
use crate::remote::client::{BlobState, Client, Started, UploadSession};

/// Returns whether the repository has a blob of a size.
pub(super) fn has_blob(
    client: &Client,
    repository: &RepositoryName,
    scope: &Scope,
    digest: &Digest,
    size: u64,
) -> Result<bool, RemoteError> {
    Ok(client.head_blob(repository, digest, size, scope)? == BlobState::Present)
}

/// Has a blob mounted from the first repository that has it. If none has it, returns the upload that the registry began
/// instead, if it did.
pub(super) fn mount(
    client: &Client,
    repository: &RepositoryName,
    scope: &Scope,
    digest: &Digest,
    mount_from: &[RepositoryName],
) -> Option<Started> {
    let mut begun: Option<UploadSession> = None;
    for from in mount_from {
        let unused = match client.start_upload(repository, Some((digest, from)), scope) {
            Ok(Started::Mounted) => begun.take(),
            // A registry that does not find the blob there begins an upload.
            Ok(Started::Session(session)) if begun.is_none() => {
                begun = Some(session);
                continue;
            }
            Ok(Started::Session(session)) => {
                client.cancel_upload(&session, scope);
                continue;
            }
            // Any failure of a mount means that the blob is uploaded.
            Err(_) => continue,
        };
        if let Some(session) = unused {
            client.cancel_upload(&session, scope);
        }
        return Some(Started::Mounted);
    }
    begun.map(Started::Session)
}
