//! The secrets that one run knows, which no text of others may repeat.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::secret::{Credential, Secret};
use crate::remote::url::{encoded_value, fully_encoded};

/// What stands for a secret.
const REDACTED: &str = "<redacted>";

/// A secret with fewer bytes is replaced only where it is a whole word: others would be found in words that are none.
const SHORT: usize = 6;

/// The passwords and tokens that were used, in all forms in which a server or a helper may repeat them.
#[derive(Clone, Default)]
pub(crate) struct KnownSecrets(Arc<RwLock<Vec<String>>>);

impl fmt::Debug for KnownSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("KnownSecrets")
    }
}

impl KnownSecrets {
    /// Learns a password or a token.
    pub(crate) fn learn(&self, secret: &Secret) {
        let secret = secret.expose();
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for form in [secret.to_owned(), encoded_value(secret), fully_encoded(secret)] {
            if !form.is_empty() && !known.contains(&form) {
                known.push(form);
            }
        }
        // A secret may be a part of another one.
        known.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// Learns what is secret of a credential.
    pub(crate) fn learn_credential(&self, credential: &Credential) {
        match credential {
            Credential::Password { user, password } => {
                self.learn(password);
                self.learn(&basic(user, password));
            }
            Credential::IdentityToken(token) | Credential::RegistryToken(token) => self.learn(token),
        }
    }

    /// Returns text of others without the secrets.
    pub(crate) fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut redacted = Cow::Borrowed(text);
        for secret in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if let Some(without) = without(&redacted, secret) {
                redacted = Cow::Owned(without);
            }
        }
        redacted
    }
}

/// Returns the credentials of the `Basic` scheme.
pub(crate) fn basic(user: &str, password: &Secret) -> Secret {
    Secret::from(BASE64_STANDARD.encode(format!("{user}:{}", password.expose())))
}

/// Replaces a secret; `None` if the text does not have it.
fn without(text: &str, secret: &str) -> Option<String> {
    let is_apart = |at: usize| {
        let (before, after) = (&text[..at], &text[at + secret.len()..]);
        !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric)
    };
    let mut found = text.match_indices(secret).filter(|(at, _)| secret.len() >= SHORT || is_apart(*at)).peekable();
    found.peek()?;
    let (mut result, mut end) = (String::new(), 0);
    for (at, _) in found {
        result.push_str(&text[end..at]);
        result.push_str(REDACTED);
        end = at + secret.len();
    }
    result.push_str(&text[end..]);
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_is_replaced_and_nothing_else() {
        let known = KnownSecrets::default();
        known.learn_credential(&Credential::new("me", "p w/ä"));
        known.learn(&Secret::from("token-1".to_owned()));
        known.learn(&Secret::from("token-123".to_owned()));
        known.learn(&Secret::from("no".to_owned()));
        known.learn(&Secret::from(String::new()));
        for (text, expected) in [
            ("nothing notable", "nothing notable"),
            ("'p w/ä' p%20w%2F%C3%A4", "'<redacted>' <redacted>"),
            ("Basic bWU6cCB3L8Ok!", "Basic <redacted>!"),
            ("xtoken-1x token-123, token-12", "x<redacted>x <redacted>, <redacted>2"),
            ("no=no, not", "<redacted>=<redacted>, not"),
        ] {
            assert_eq!(known.redact(text), expected, "{text}");
        }
        assert!(!format!("{known:?}").contains("token"));
    }
}
