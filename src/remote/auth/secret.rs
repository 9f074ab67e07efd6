//! Secrets that no message prints.

use std::fmt;

/// A password or a token. Its `Debug` and `Display` are `<redacted>`.
///
/// ```
/// use regshape::remote::Secret;
///
/// let secret = Secret::from("hunter2".to_owned());
/// assert_eq!(format!("{secret} {secret:?}"), "<redacted> <redacted>");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Returns the secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether the secret is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// What a client shows to a registry, or to its token server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// A user name and a password.
    Password {
        /// The user name.
        user: String,
        /// The password, or an access token in its place.
        password: Secret,
    },
    /// A refresh token, which the token server exchanges for bearer tokens.
    IdentityToken(Secret),
    /// A bearer token for the registry itself.
    RegistryToken(Secret),
}

/// The user name that marks a password as an identity token, in helpers and auth files.
pub(super) const TOKEN_USER: &str = "<token>";

impl Credential {
    /// Returns the credential of a user name and a password. Under the user name `<token>` the password is an identity
    /// token, as in Docker.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        let (user, password) = (user.into(), Secret::from(password.into()));
        if user == TOKEN_USER { Self::IdentityToken(password) } else { Self::Password { user, password } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_credential_prints_its_secret() {
        let secret = || Secret::from("hunter2".to_owned());
        for (credential, shown) in [
            (Credential::new("me", "hunter2"), r#"Password { user: "me", password: <redacted> }"#),
            (Credential::new("<token>", "hunter2"), "IdentityToken(<redacted>)"),
            (Credential::RegistryToken(secret()), "RegistryToken(<redacted>)"),
        ] {
            assert_eq!(format!("{credential:?}"), shown);
        }
        assert_eq!(Credential::new("<token>", "hunter2"), Credential::IdentityToken(secret()));
    }
}
