//! The environment of a process as a value, so that tests pass one of their own.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

/// The variables, the home directory and the user id that credentials and proxies are looked up with.
///
/// ```
/// use regshape::remote::Environment;
///
/// let environment = Environment::default().variable("HTTPS_PROXY", "http://proxy.example:3128").home("/home/me");
/// assert_eq!(environment.get("HTTPS_PROXY").and_then(|value| value.to_str()), Some("http://proxy.example:3128"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    home: Option<PathBuf>,
    user_id: Option<u32>,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars_os().map(|(name, value)| (key(&name), value)).collect(),
            home: std::env::home_dir().filter(|home| !home.as_os_str().is_empty()),
            #[cfg(unix)]
            user_id: Some(rustix::process::getuid().as_raw()),
            #[cfg(not(unix))]
            user_id: None,
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn variable(mut self, name: impl AsRef<OsStr>, value: impl Into<OsString>) -> Self {
        self.variables.insert(key(name.as_ref()), value.into());
        self
    }

    /// Sets the home directory.
    #[must_use]
    pub fn home(mut self, home: impl Into<PathBuf>) -> Self {
        self.home = Some(home.into());
        self
    }

    /// Sets the user id.
    #[must_use]
    pub fn user_id(mut self, user_id: u32) -> Self {
        self.user_id = Some(user_id);
        self
    }

    /// Returns the value of a variable. An empty one counts as not set.
    pub fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(&key(name.as_ref())).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    pub(super) fn path(&self, name: &str) -> Option<&Path> {
        self.get(name).map(Path::new)
    }

    pub(super) fn home_directory(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    pub(super) fn user(&self) -> Option<u32> {
        self.user_id
    }

    pub(super) fn variables(&self) -> &BTreeMap<OsString, OsString> {
        &self.variables
    }
}

/// Returns the form in which names of variables are compared: on Windows, their case does not count.
fn key(name: &OsStr) -> OsString {
    if cfg!(windows) { name.to_ascii_uppercase() } else { name.to_owned() }
}

/// Shows the names of the variables only: values may be secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variables, home, user_id } = self;
        let names: Vec<_> = variables.keys().collect();
        f.debug_struct("Environment").field("variables", &names).field("home", home).field("user_id", user_id).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_shown_and_empty_ones_count_as_not_set() {
        let environment = Environment::default().variable("A", "hunter2").variable("B", "").home("/h").user_id(7);
        assert_eq!(environment.get("A"), Some("hunter2".as_ref()));
        assert_eq!((environment.get("B"), environment.get("C")), (None, None));
        let shown = format!("{environment:?}");
        assert_eq!(shown, r#"Environment { variables: ["A", "B"], home: Some("/h"), user_id: Some(7) }"#);
    }
}
