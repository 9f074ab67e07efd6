//! Stores and removes credentials: what `login` and `logout` do.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::edit::{EMPTY_ENTRY, with_entry, without_entry};
use super::error::AuthError;
use super::files::{AuthFile, encode_auth, read_file};
use super::helper::as_stored;
use super::lookup::CredentialStore;
use super::places::{AuthPlace, NamedBy, docker_file};
use super::secret::{Credential, TOKEN_USER};
use crate::fs::{FileVersion, TempFile, sync_name};
use crate::interrupt::Interrupt;
use crate::json::to_compact;
use crate::remote::host::RegistryHost;

/// How often a file is changed anew because another process has changed it meanwhile.
const TRIES: usize = 100;

/// Where a credential was stored.
#[derive(Debug)]
#[non_exhaustive]
pub struct StoredCredential {
    /// The auth file that has the credential, or that names the helper.
    pub path: PathBuf,
    /// The helper that keeps the secret; `None` if it is in the file, in plain text.
    pub helper: Option<String>,
    /// A place with another credential of the registry that comes before the file and cannot be changed.
    pub hidden_by: Option<AuthPlace>,
    /// The places that could not be read. They were skipped.
    pub warnings: Vec<AuthError>,
}

/// The places from which the credentials of a registry were removed.
#[derive(Debug)]
#[non_exhaustive]
pub struct RemovedCredentials {
    /// The places, in the order of the lookup. Empty if there was no credential.
    pub places: Vec<AuthPlace>,
    /// A place that still has a credential and cannot be changed.
    pub left_in: Option<AuthPlace>,
    /// The places and helpers that could not be read or changed. They were skipped.
    pub warnings: Vec<AuthError>,
}

impl CredentialStore {
    /// Stores the credential of a registry.
    ///
    /// It goes to the named file, or else to the first file that has the registry, or else to Docker's file. If the
    /// file names a helper, the helper keeps the secret; otherwise the file has it in plain text, with mode 0600.
    ///
    /// # Errors
    ///
    /// [`AuthError`] if the file or the helper cannot be read or changed.
    pub fn store(&self, host: &RegistryHost, credential: &Credential) -> Result<StoredCredential, AuthError> {
        let entry = entry_of(credential)?;
        let mut warnings = Vec::new();
        let (path, hidden_by) = self.file_for(host, &mut warnings)?;
        let place = AuthPlace::File(path.clone());
        let helper = with_file(&place, |file| {
            let of_registry = file.helper_of(host)?;
            Ok(if of_registry.is_some() { of_registry } else { file.store()? }.map(Cow::into_owned))
        })?;
        // Helpers keep a user name and a secret; a registry token has no user name to tell it by.
        let kept = helper.as_deref().zip(as_stored(credential));
        if let Some((name, (user, secret))) = kept {
            self.helper(name)?.store(&host.auth_key(), user, secret)?;
        }
        let entry = if kept.is_some() { EMPTY_ENTRY } else { &entry };
        let helper = kept.map(|(name, _)| name.to_owned());
        change(&path, &self.interrupt, |file, content| {
            // Docker lists the registries of its helper, too. A helper of one registry is listed already.
            let is_listed = helper.is_some() && file.helper_of(host)?.is_some() && file.keys_of(host)?.is_empty();
            if is_listed { Ok(None) } else { with_entry(file, content, host, entry).map(Some) }
        })?;
        Ok(StoredCredential { path, helper, hidden_by, warnings })
    }

    /// Removes the credentials of a registry from all places, or from the named file. Credentials of namespaces in the
    /// registry stay.
    ///
    /// # Errors
    ///
    /// [`AuthError`] if a named file cannot be read, or a file cannot be changed.
    pub fn remove(&self, host: &RegistryHost) -> Result<RemovedCredentials, AuthError> {
        let mut removed = RemovedCredentials { places: Vec::new(), left_in: None, warnings: Vec::new() };
        let mut first_error = None;
        let mut asked = Vec::new();
        for source in self.sources() {
            let place = source.place;
            let done = match &place {
                AuthPlace::Variable(_) => self.has_credential(&place, host).map(|has| {
                    removed.left_in = has.then(|| place.clone());
                    false
                }),
                AuthPlace::File(path) => self.remove_from(path, &place, host, &mut asked, &mut removed.warnings),
            };
            match done {
                Ok(false) => {}
                Ok(true) => removed.places.push(place),
                Err(error) if source.named_by == NamedBy::Custom && !matches!(error, AuthError::Write { .. }) => {
                    removed.warnings.push(error);
                }
                // The other places are still changed.
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        first_error.map_or(Ok(removed), Err)
    }
}

impl CredentialStore {
    /// Returns the file in which a new credential belongs, and the place that comes before it.
    fn file_for(
        &self,
        host: &RegistryHost,
        warnings: &mut Vec<AuthError>,
    ) -> Result<(PathBuf, Option<AuthPlace>), AuthError> {
        let mut hidden_by = None;
        for source in self.sources() {
            let found = match &source.place {
                AuthPlace::File(path) if source.named_by != NamedBy::Custom => return Ok((path.clone(), None)),
                AuthPlace::File(_) => with_file(&source.place, |file| {
                    Ok(!file.keys_of(host)?.is_empty() || file.helper_of(host)?.is_some())
                }),
                AuthPlace::Variable(_) => self.has_credential(&source.place, host),
            };
            match (found, source.place) {
                (Ok(true), AuthPlace::File(path)) => return Ok((path, hidden_by)),
                (Ok(true), place) => hidden_by = Some(place),
                (Ok(false), _) => {}
                (Err(error), _) => warnings.push(error),
            }
        }
        let path = docker_file(&self.environment).ok_or(AuthError::NoPlace)?;
        Ok((path, hidden_by))
    }

    fn has_credential(&self, place: &AuthPlace, host: &RegistryHost) -> Result<bool, AuthError> {
        let content = self.content(place)?.unwrap_or_default();
        Ok(AuthFile::parse(&content, place)?.credential(host, None)?.is_some())
    }

    /// Removes the credentials of a registry from a file and from its helpers. Returns whether there were any.
    fn remove_from(
        &self,
        path: &Path,
        place: &AuthPlace,
        host: &RegistryHost,
        asked: &mut Vec<String>,
        warnings: &mut Vec<AuthError>,
    ) -> Result<bool, AuthError> {
        let helpers = with_file(place, |file| {
            let helpers = [file.helper_of(host)?, file.store()?];
            Ok(helpers.into_iter().flatten().map(Cow::into_owned).collect::<Vec<_>>())
        })?;
        let mut is_removed = false;
        for name in helpers {
            if asked.contains(&name) {
                continue;
            }
            match self.erase(&name, host) {
                Ok(was_there) => is_removed |= was_there,
                Err(error) => warnings.push(error),
            }
            asked.push(name);
        }
        let is_changed = change(path, &self.interrupt, |file, content| without_entry(file, content, host))?;
        Ok(is_removed || is_changed)
    }

    /// Deletes the credential of a registry from a helper. Returns whether there was one.
    fn erase(&self, name: &str, host: &RegistryHost) -> Result<bool, AuthError> {
        let (helper, key) = (self.helper(name)?, host.auth_key());
        let was_there = helper.get(&key)?.is_some();
        if was_there {
            helper.erase(&key)?;
        }
        Ok(was_there)
    }
}

/// Returns the entry of a credential in an auth file, as JSON.
fn entry_of(credential: &Credential) -> Result<String, AuthError> {
    let fields = match credential {
        Credential::Password { user, .. } if user.contains(':') => return Err(AuthError::UserName),
        Credential::Password { user, password } => BTreeMap::from([("auth", encode_auth(user, password.expose()))]),
        // Podman drops an identity token without `auth`.
        Credential::IdentityToken(token) => {
            BTreeMap::from([("auth", encode_auth(TOKEN_USER, "")), ("identitytoken", token.expose().to_owned())])
        }
        Credential::RegistryToken(token) => BTreeMap::from([("registrytoken", token.expose().to_owned())]),
    };
    Ok(String::from_utf8(to_compact(&fields)).expect("JSON is UTF-8"))
}

/// Calls a function with a parsed file, which is empty if it does not exist.
fn with_file<T>(place: &AuthPlace, read: impl FnOnce(&AuthFile<'_>) -> Result<T, AuthError>) -> Result<T, AuthError> {
    let content = match place {
        AuthPlace::File(path) => read_file(path)?.unwrap_or_default(),
        AuthPlace::Variable(_) => Vec::new(),
    };
    read(&AuthFile::parse(&content, place)?)
}

/// Replaces a file by its changed content. Follows a link. Returns whether the content changed.
fn change(
    path: &Path,
    interrupt: &Interrupt,
    edit: impl Fn(&AuthFile<'_>, &[u8]) -> Result<Option<Vec<u8>>, AuthError>,
) -> Result<bool, AuthError> {
    let place = AuthPlace::File(path.to_owned());
    let write_error = |source| AuthError::Write { path: path.to_owned(), source };
    for _ in 0..TRIES {
        let target = followed(path).map_err(write_error)?;
        let version = FileVersion::of(&target).ok();
        let content = read_file(&target)?.unwrap_or_default();
        let Some(changed) = edit(&AuthFile::parse(&content, &place)?, &content)? else { return Ok(false) };
        if replace(&target, &changed, version.as_ref(), interrupt).map_err(write_error)? {
            return Ok(true);
        }
    }
    Err(write_error(io::Error::other("other processes keep changing it")))
}

/// Returns the path to which a link points, through several if need be. The last one may not exist.
fn followed(path: &Path) -> io::Result<PathBuf> {
    const MOST_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links"))
}

/// Replaces a file of a known version by rename, with mode 0600. Returns whether the file still had this version.
fn replace(path: &Path, content: &[u8], version: Option<&FileVersion>, interrupt: &Interrupt) -> io::Result<bool> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_directory(directory)?;
    let mut file = TempFile::create_in(directory, interrupt)?;
    #[cfg(unix)]
    file.file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    file.write_all(content)?;
    file.sync()?;
    let _lock = lock(directory);
    if FileVersion::of(path).ok().as_ref() != version {
        return Ok(false);
    }
    file.persist(path)?;
    sync_name(path)?;
    Ok(true)
}

/// Locks a directory for the moment in which a file in it is replaced, so that of two logins at the same time none is
/// lost. Goes on without the lock where there are none, or where another program does not release it.
fn lock(directory: &Path) -> Option<File> {
    const TRIES: u32 = 100;
    // Windows cannot open directories.
    let opened = File::open(directory).ok()?;
    for _ in 0..TRIES {
        match opened.try_lock() {
            Ok(()) => return Some(opened),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
            Err(TryLockError::Error(_)) => break,
        }
    }
    None
}

/// Creates a directory that only its owner can look into, and the directories above it.
fn make_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}
