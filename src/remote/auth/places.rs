//! The places in which credentials are looked for, in their order.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::remote::environment::Environment;

/// The variable that names the only auth file, as in podman.
pub(super) const REGISTRY_AUTH_FILE: &str = "REGISTRY_AUTH_FILE";

/// The variable whose value is an auth file, as in Docker.
pub(super) const DOCKER_AUTH_CONFIG: &str = "DOCKER_AUTH_CONFIG";

/// A place in which credentials are kept.
///
/// Its `Display` is the path of the file, or `$` and the name of the variable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AuthPlace {
    /// An auth file of Docker or podman.
    File(PathBuf),
    /// A variable whose value has the form of an auth file.
    Variable(&'static str),
}

impl fmt::Display for AuthPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Variable(name) => write!(f, "${name}"),
        }
    }
}

/// A place, and what a fault of it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) place: AuthPlace,
    pub(super) named_by: NamedBy,
}

/// Who named a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedBy {
    /// The caller, as the only file: it must exist, and a fault is an error.
    Caller,
    /// A variable, as the only file or as the content: a fault is an error.
    Variable,
    /// Nobody, it is one of the usual places: a fault is a warning.
    Custom,
}

/// Returns the places in which credentials are looked for: a named file alone, or else the usual places.
pub(super) fn sources(named: Option<&Path>, environment: &Environment) -> Vec<Source> {
    let source = |place, named_by| Source { place, named_by };
    if let Some(path) = named {
        return vec![source(AuthPlace::File(path.to_owned()), NamedBy::Caller)];
    }
    if let Some(path) = environment.path(REGISTRY_AUTH_FILE) {
        return vec![source(AuthPlace::File(path.to_owned()), NamedBy::Variable)];
    }
    let variable =
        environment.get(DOCKER_AUTH_CONFIG).map(|_| source(AuthPlace::Variable(DOCKER_AUTH_CONFIG), NamedBy::Variable));
    let files = [podman_run(environment), podman_config(environment), docker_file(environment)];
    let mut sources: Vec<_> = variable.into_iter().collect();
    for path in files.into_iter().flatten() {
        let place = AuthPlace::File(path);
        if sources.iter().all(|source| source.place != place) {
            sources.push(source(place, NamedBy::Custom));
        }
    }
    sources
}

/// Returns the file in which podman keeps credentials until the machine is restarted.
fn podman_run(environment: &Environment) -> Option<PathBuf> {
    let directory = match environment.path("XDG_RUNTIME_DIR") {
        Some(directory) => directory.join("containers"),
        None => Path::new("/run/containers").join(environment.user()?.to_string()),
    };
    Some(directory.join("auth.json"))
}

/// Returns the file in which podman looks for lasting credentials.
fn podman_config(environment: &Environment) -> Option<PathBuf> {
    let directory = match environment.path("XDG_CONFIG_HOME") {
        Some(directory) => directory.to_owned(),
        None => environment.home_directory()?.join(".config"),
    };
    Some(directory.join("containers").join("auth.json"))
}

/// Returns Docker's file.
pub(super) fn docker_file(environment: &Environment) -> Option<PathBuf> {
    let directory = match environment.path("DOCKER_CONFIG") {
        Some(directory) => directory.to_owned(),
        None => environment.home_directory()?.join(".docker"),
    };
    Some(directory.join("config.json"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_places_are_in_the_order_of_the_documentation() {
        let home = || Environment::default().home("/h").user_id(7);
        for (named, environment, expected) in [
            (
                None,
                home(),
                &["/run/containers/7/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json"][..],
            ),
            (None, Environment::default(), &[]),
            (
                None,
                home()
                    .variable("XDG_RUNTIME_DIR", "/r")
                    .variable("XDG_CONFIG_HOME", "/c")
                    .variable("DOCKER_CONFIG", "/d"),
                &["/r/containers/auth.json", "/c/containers/auth.json", "/d/config.json"],
            ),
            (
                None,
                Environment::default().home("/h").variable("DOCKER_AUTH_CONFIG", "{}"),
                &["$DOCKER_AUTH_CONFIG", "/h/.config/containers/auth.json", "/h/.docker/config.json"],
            ),
            (
                None,
                home().variable("XDG_RUNTIME_DIR", "/x").variable("XDG_CONFIG_HOME", "/x"),
                &["/x/containers/auth.json", "/h/.docker/config.json"],
            ),
            (None, home().variable("REGISTRY_AUTH_FILE", "f").variable("DOCKER_AUTH_CONFIG", "{}"), &["f"]),
            (Some("g"), home().variable("REGISTRY_AUTH_FILE", "f").variable("DOCKER_AUTH_CONFIG", "{}"), &["g"]),
        ] {
            let shown: Vec<_> =
                sources(named.map(Path::new), &environment).iter().map(|source| source.place.to_string()).collect();
            assert_eq!(shown, expected);
        }
    }
}
