//! Ref names (image-spec, annotations.md): the tags of entries in `index.json`.

use std::fmt;
use std::str::FromStr;

/// A name that may be written as `org.opencontainers.image.ref.name`.
///
/// ```
/// use regshape::oci::RefName;
///
/// assert!("docker.io/library/debian:12".parse::<RefName>().is_ok());
/// assert!("no spaces".parse::<RefName>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefName(String);

/// A string is not a ref name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("'{0}' is not a reference name: letters and digits, joined by one of - . _ : @ + / or by --")]
pub struct RefNameError(String);

impl RefName {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RefName {
    type Err = RefNameError;

    fn from_str(text: &str) -> Result<Self, RefNameError> {
        if text.split('/').all(is_component) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RefNameError(text.escape_debug().to_string()))
        }
    }
}

/// `component ::= alphanum (separator alphanum)*`, where a separator is one of `-._:@+` or `--`.
fn is_component(component: &str) -> bool {
    let is_separator = |byte: u8| b"-._:@+".contains(&byte);
    let mut rest = component.as_bytes();
    loop {
        let word = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        rest = &rest[word..];
        rest = match rest {
            _ if word == 0 => return false,
            [] => return true,
            [b'-', b'-', after @ ..] => after,
            [separator, after @ ..] if is_separator(*separator) => after,
            _ => return false,
        };
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar_of_the_image_spec() {
        for good in ["latest", "v1.0.0", "a--b", "docker.io/library/x:1", "x@sha256:00", "1", "A+b_c"] {
            assert!(good.parse::<RefName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "a..b", "a---b", "a b", "/a", "a/", "a//b", "\u{e9}", "a\n", "a:"] {
            assert!(bad.parse::<RefName>().is_err(), "{bad:?}");
        }
    }
}
