//! The conversions that all names have: digests, media types, ref names, repositories and tags are checked text.

use super::digest::{Digest, DigestError};
use super::media_type::{MediaType, MediaTypeError};
use super::name::{NameError, RepositoryName, Tag};
use super::reference::{RefName, RefNameError};

macro_rules! text_conversions {
    ($($name:ty, $error:ty;)*) => {$(
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $error;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }
    )*};
}

text_conversions! {
    Digest, DigestError;
    MediaType, MediaTypeError;
    RefName, RefNameError;
    RepositoryName, NameError;
    Tag, NameError;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_name_and_a_name_text() {
        let tag = Tag::try_from("v1.0".to_owned()).expect("a tag");
        assert_eq!((tag.as_ref(), String::from(tag.clone())), ("v1.0", "v1.0".to_owned()));
        assert!(
            Tag::try_from("v1:0").is_err()
                && Digest::try_from("sha256:x").is_err()
                && MediaType::try_from("text").is_err()
        );
        assert!(RefName::try_from("a b").is_err() && RepositoryName::try_from("A").is_err());
    }
}
