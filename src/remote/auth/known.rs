//! The secrets that one run knows, which no text of others may repeat.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};

use super::escapes::{ESCAPES, Unescape, Unescaped};
use super::secret::{Credential, Secret};

/// The word that stands for a secret.
const REDACTED: &str = "<redacted>";

/// A secret with fewer bytes is replaced only where it is a whole word: others would be found in words that are none.
const SHORT: usize = 6;

/// The passwords and tokens that were used, as they are and in base64. They are found where they are escaped, too.
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
        self.learn_forms(in_base64(secret).into_iter().chain([secret.to_owned()]));
    }

    /// Learns the secrets of a credential.
    pub(crate) fn learn_credential(&self, credential: &Credential) {
        match credential {
            Credential::Password { user, password } => {
                self.learn(password);
                self.learn_forms(in_base64(&user_and_password(user, password)));
            }
            Credential::IdentityToken(token) | Credential::RegistryToken(token) => self.learn(token),
        }
    }

    fn learn_forms(&self, forms: impl IntoIterator<Item = String>) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for form in forms {
            if !form.is_empty() && !known.contains(&form) {
                known.push(form);
            }
        }
        // A secret may be a part of another one.
        known.sort_by_key(|form| std::cmp::Reverse(form.len()));
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
    Secret::from(BASE64_STANDARD.encode(user_and_password(user, password)))
}

fn user_and_password(user: &str, password: &Secret) -> String {
    format!("{user}:{}", password.expose())
}

fn in_base64(text: &str) -> [String; 4] {
    [BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD].map(|base| base.encode(text))
}

/// Replaces a secret, also where it is escaped; `None` if the text does not have it.
fn without(text: &str, secret: &str) -> Option<String> {
    let mut redacted = without_plain(text, secret);
    for unescape in ESCAPES {
        let text = redacted.as_deref().unwrap_or(text);
        redacted = without_escaped(text, secret, unescape).or(redacted);
    }
    redacted
}

/// Replaces a secret where it stands as it is.
fn without_plain(text: &str, secret: &str) -> Option<String> {
    let found: Vec<Range<usize>> = places(text, secret).collect();
    replaced(text, &found)
}

/// Replaces a secret where it is escaped in one way.
fn without_escaped(text: &str, secret: &str, unescape: Unescape) -> Option<String> {
    let unescaped = Unescaped::of(text, unescape)?;
    let found: Vec<Range<usize>> = places(unescaped.text(), secret).map(|place| unescaped.place(place)).collect();
    replaced(text, &found)
}

/// Returns where a text has a secret.
fn places(text: &str, secret: &str) -> impl Iterator<Item = Range<usize>> {
    let places = text.match_indices(secret).map(|(at, found)| at..at + found.len());
    places.filter(move |place| {
        let is_apart = || {
            !text[..place.start].ends_with(char::is_alphanumeric)
                && !text[place.end..].starts_with(char::is_alphanumeric)
        };
        secret.len() >= SHORT || is_apart()
    })
}

/// Replaces parts of a text; `None` if there are none.
fn replaced(text: &str, places: &[Range<usize>]) -> Option<String> {
    let last = places.last()?;
    let (mut result, mut end) = (String::new(), 0);
    for place in places {
        result.push_str(&text[end..place.start]);
        result.push_str(REDACTED);
        end = place.end;
    }
    result.push_str(&text[last.end..]);
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

    #[test]
    fn escaped_secrets_are_replaced_whole() {
        let known = KnownSecrets::default();
        known.learn_credential(&Credential::new("me", "hun\"t/<2>&pä 'ß\\😀"));
        for escaped in [
            "hun\"t/<2>&pä 'ß\\😀",
            // JSON as serde writes it, Go, Python and PHP.
            r#"hun\"t/<2>&pä 'ß\\😀"#,
            r#"hun\"t/\u003c2\u003e\u0026pä 'ß\\😀"#,
            r#"hun\"t/<2>&p\u00e4 '\u00df\\\ud83d\ude00"#,
            r#"hun\"t\/<2>&p\u00E4 '\u00DF\\\uD83D\uDE00"#,
            // HTML.
            "hun&quot;t/&lt;2&gt;&amp;pä &apos;ß\\😀",
            "hun&#34;t/&#60;2&#62;&#38;p&#228; &#39;ß\\&#128512;",
            "hun&#x22;t/&lt;2&GT;&amp;p&#XE4; &#x27;ß\\&#x1f600;",
            // URLs and forms.
            "hun%22t%2F%3C2%3E%26p%C3%A4%20%27%C3%9F%5C%F0%9F%98%80",
            "hun%22t/%3c2%3e%26p%c3%a4+'%c3%9f%5C%f0%9f%98%80",
            // Base64, alone and after the user, with and without padding, of both alphabets.
            "aHVuInQvPDI-JnDDpCAnw59c8J-YgA==",
            "aHVuInQvPDI+JnDDpCAnw59c8J+YgA",
            "bWU6aHVuInQvPDI+JnDDpCAnw59c8J+YgA==",
            "bWU6aHVuInQvPDI%2BJnDDpCAnw59c8J%2BYgA%3D%3D",
            r"bWU6aHVuInQvPDI\u002bJnDDpCAnw59c8J\u002bYgA\u003d\u003d",
        ] {
            for text in [escaped.to_owned(), format!("a&b %zz \\q {escaped}{escaped} &lt; +")] {
                let count = text.matches(escaped).count();
                let expected = text.replace(escaped, REDACTED);
                assert_eq!(known.redact(&text), expected, "{text}");
                assert!(count > 0 && !known.redact(&text).contains("hun"), "{text}");
            }
        }
        // Text that only looks like an escape is none.
        for text in
            ["&amp", "&#;", "&#x110000;", "%", "%4", "%FF", "\\", "\\u12", "\\ud83d", "\\ud83d\\u0041", "&", "+", "ä%"]
        {
            assert_eq!(known.redact(text), text);
        }
    }

    #[test]
    fn a_short_secret_is_replaced_between_escapes() {
        let known = KnownSecrets::default();
        known.learn(&Secret::from("no".to_owned()));
        for (text, expected) in
            [("%20no%20", "%20<redacted>%20"), (r#"\"no\n"#, r#"\"<redacted>\n"#), ("%41no, not", "%41no, not")]
        {
            assert_eq!(known.redact(text), expected, "{text}");
        }
    }
}
