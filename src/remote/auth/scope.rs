//! What a token allows.

use std::fmt;

use crate::oci::RepositoryName;

/// The rights that a request needs, as the token servers of registries name them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Scope(Vec<String>);

impl Scope {
    /// Reading from a repository.
    pub(crate) fn pull(repository: &RepositoryName) -> Self {
        Self(vec![format!("repository:{repository}:pull")])
    }

    /// Reading from and writing to a repository.
    pub(crate) fn push(repository: &RepositoryName) -> Self {
        Self(vec![format!("repository:{repository}:pull,push")])
    }

    /// Adds the reading of other repositories.
    pub(crate) fn and_pull(mut self, repositories: &[RepositoryName]) -> Self {
        self.0.extend(repositories.iter().map(|repository| format!("repository:{repository}:pull")));
        self
    }

    /// Adds the scopes of a challenge that this one does not have.
    pub(crate) fn and_challenged(&self, challenged: Option<&str>) -> Self {
        let mut scopes = self.0.clone();
        for scope in challenged.into_iter().flat_map(str::split_whitespace) {
            if !self.0.iter().any(|own| covers(own, scope)) && scopes.len() < 32 {
                scopes.push(scope.to_owned());
            }
        }
        Self(scopes)
    }

    pub(crate) fn parts(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(" "))
    }
}

/// Returns whether a scope has all actions of another one on the same object.
fn covers(own: &str, other: &str) -> bool {
    let (Some((object, actions)), Some((others, wanted))) = (own.rsplit_once(':'), other.rsplit_once(':')) else {
        return own == other;
    };
    object == others && wanted.split(',').all(|action| actions.split(',').any(|own| own == action))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_adds_only_what_is_missing() {
        let scope = Scope::push(&"a/b".parse().expect("a name")).and_pull(&["c".parse().expect("a name")]);
        for (challenged, expected) in [
            (None, "repository:a/b:pull,push repository:c:pull"),
            (Some("repository:a/b:pull"), "repository:a/b:pull,push repository:c:pull"),
            (Some("repository:a/b:push,pull repository:c:pull"), "repository:a/b:pull,push repository:c:pull"),
            (Some("repository:a/b:delete"), "repository:a/b:pull,push repository:c:pull repository:a/b:delete"),
            (Some("aws"), "repository:a/b:pull,push repository:c:pull aws"),
        ] {
            assert_eq!(scope.and_challenged(challenged).to_string(), expected, "{challenged:?}");
        }
    }
}
