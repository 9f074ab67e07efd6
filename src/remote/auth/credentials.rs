//! Where the credentials of a connection come from.

use std::fmt;
use std::sync::Arc;

use super::secret::Credential;
use crate::error::RemoteError;
use crate::oci::RepositoryName;
use crate::remote::host::RegistryHost;

type Find = dyn Fn(&RegistryHost, Option<&RepositoryName>) -> Result<Option<Credential>, RemoteError> + Send + Sync;

/// Where the credentials of a connection come from. They are looked for when the registry first wants some.
#[derive(Clone)]
pub struct Credentials(Arc<Find>);

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credentials")
    }
}

impl Credentials {
    /// There are none.
    pub fn anonymous() -> Self {
        Self(Arc::new(|_, _| Ok(None)))
    }

    /// Those that are given.
    pub fn given(credential: Credential) -> Self {
        Self(Arc::new(move |_, _| Ok(Some(credential.clone()))))
    }

    /// Those that a function finds.
    pub fn found_by(
        find: impl Fn(&RegistryHost, Option<&RepositoryName>) -> Result<Option<Credential>, RemoteError>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self(Arc::new(find))
    }

    pub(crate) fn find(
        &self,
        host: &RegistryHost,
        repository: Option<&RepositoryName>,
    ) -> Result<Option<Credential>, RemoteError> {
        (self.0)(host, repository)
    }
}
