//! Looks up the credential of a registry in the places in which credentials are kept.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use super::error::AuthError;
use super::files::{AuthFile, read_file};
use super::helper::Helper;
use super::places::{AuthPlace, NamedBy, Source, sources};
use super::secret::Credential;
use crate::interrupt::Interrupt;
use crate::oci::RepositoryName;
use crate::remote::environment::Environment;
use crate::remote::host::RegistryHost;

/// How long a credential helper may take.
const HELPER_TIME_LIMIT: Duration = Duration::from_secs(30);

/// The places in which credentials are kept: auth files of Docker and podman, and credential helpers.
///
/// A named file is the only place, or else the file that `$REGISTRY_AUTH_FILE` names. Without them the places are, in
/// this order: the content of `$DOCKER_AUTH_CONFIG`, `$XDG_RUNTIME_DIR/containers/auth.json`,
/// `$XDG_CONFIG_HOME/containers/auth.json`, and `config.json` in `$DOCKER_CONFIG` or `~/.docker`.
///
/// ```
/// use regshape::remote::{Credential, CredentialStore, Environment};
///
/// let file = r#"{"auths": {"ghcr.io": {"auth": "bWU6cHc="}}}"#;
/// let store = CredentialStore::new(Environment::default().variable("DOCKER_AUTH_CONFIG", file));
/// let lookup = store.find(&"ghcr.io".parse()?, None)?;
/// assert_eq!(lookup.credential, Some(Credential::new("me", "pw")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CredentialStore {
    pub(super) environment: Environment,
    pub(super) named: Option<PathBuf>,
    pub(super) helper_time_limit: Duration,
    pub(super) interrupt: Interrupt,
}

/// The credential of a registry, and what went wrong on the way to it.
#[derive(Debug)]
#[non_exhaustive]
pub struct CredentialLookup {
    /// The credential; `None` if no place has one.
    pub credential: Option<Credential>,
    /// The place of the credential, or of the setting that names its helper.
    pub place: Option<AuthPlace>,
    /// The places and helpers that could not be read. They were skipped.
    pub warnings: Vec<AuthError>,
}

impl CredentialStore {
    /// Returns the places that an environment names. Nothing is read yet.
    pub fn new(environment: Environment) -> Self {
        Self { environment, named: None, helper_time_limit: HELPER_TIME_LIMIT, interrupt: Interrupt::default() }
    }

    /// Makes a file the only place.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.named = Some(path.into());
        self
    }

    /// Sets how long a credential helper may take. By default it is 30 seconds.
    #[must_use]
    pub fn helper_time_limit(mut self, limit: Duration) -> Self {
        self.helper_time_limit = limit;
        self
    }

    /// Sets the interrupt that deletes temporary files when the process is ended.
    #[must_use]
    pub fn interrupt(mut self, interrupt: Interrupt) -> Self {
        self.interrupt = interrupt;
        self
    }

    /// Looks up the credential of a registry, or of a repository in it.
    ///
    /// In each place the helper of the registry comes first (`credHelpers`), then the longest matching key of `auths`,
    /// then the helper of all registries (`credsStore`). A helper that fails is skipped with a warning, and so is a
    /// usual place that cannot be read.
    ///
    /// # Errors
    ///
    /// [`AuthError`] if a place that was named cannot be read; [`AuthError::NotFound`] if [`CredentialStore::file`]
    /// does not exist.
    pub fn find(
        &self,
        host: &RegistryHost,
        repository: Option<&RepositoryName>,
    ) -> Result<CredentialLookup, AuthError> {
        let mut search = Search { store: self, host, repository, asked: Vec::new(), warnings: Vec::new() };
        for source in self.sources() {
            match search.find_in(&source) {
                Ok(None) => {}
                Ok(credential) => {
                    return Ok(CredentialLookup { credential, place: Some(source.place), warnings: search.warnings });
                }
                Err(error) if source.named_by == NamedBy::Custom => search.warnings.push(error),
                Err(error) => return Err(error),
            }
        }
        Ok(CredentialLookup { credential: None, place: None, warnings: search.warnings })
    }
}

impl CredentialStore {
    pub(super) fn sources(&self) -> Vec<Source> {
        sources(self.named.as_deref(), &self.environment)
    }

    /// Returns the content of a place; `None` if there is no file.
    pub(super) fn content(&self, place: &AuthPlace) -> Result<Option<Cow<'_, [u8]>>, AuthError> {
        match place {
            AuthPlace::File(path) => Ok(read_file(path)?.map(Cow::Owned)),
            AuthPlace::Variable(name) => {
                Ok(self.environment.get(name).map(|value| Cow::Borrowed(value.as_encoded_bytes())))
            }
        }
    }

    pub(super) fn helper<'a>(&'a self, name: &'a str) -> Result<Helper<'a>, AuthError> {
        Ok(Helper::find(name, &self.environment, self.helper_time_limit)?)
    }
}

/// One lookup.
struct Search<'a> {
    store: &'a CredentialStore,
    host: &'a RegistryHost,
    repository: Option<&'a RepositoryName>,
    /// The helpers that have no credential or failed. Another place that names one of them does not ask it again.
    asked: Vec<String>,
    warnings: Vec<AuthError>,
}

impl Search<'_> {
    fn find_in(&mut self, source: &Source) -> Result<Option<Credential>, AuthError> {
        let Some(content) = self.store.content(&source.place)? else {
            let AuthPlace::File(path) = &source.place else { return Ok(None) };
            let error = AuthError::NotFound { path: path.clone() };
            match source.named_by {
                NamedBy::Caller => return Err(error),
                // The variable may be set before the first login.
                NamedBy::Variable => self.warnings.push(error),
                NamedBy::Custom => {}
            }
            return Ok(None);
        };
        let file = AuthFile::parse(&content, &source.place)?;
        if let Some(name) = file.helper_of(self.host)?
            && let Some(credential) = self.ask(&name)
        {
            return Ok(Some(credential));
        }
        if let Some(credential) = file.credential(self.host, self.repository)? {
            return Ok(Some(credential));
        }
        Ok(file.store()?.and_then(|name| self.ask(&name)))
    }

    /// Asks a helper. Records a failure as a warning.
    fn ask(&mut self, name: &str) -> Option<Credential> {
        if self.asked.iter().any(|asked| asked == name) {
            return None;
        }
        let answer = self.store.helper(name).and_then(|helper| Ok(helper.get(&self.host.auth_key())?));
        let credential = answer.unwrap_or_else(|error| {
            self.warnings.push(error);
            None
        });
        if credential.is_none() {
            self.asked.push(name.to_owned());
        }
        credential
    }
}
