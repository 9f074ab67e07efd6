//! The conversions that all names have. A name is checked text: a digest, a media type, a ref name, a repository, a tag, or a name in
//! a config. Equal names have equal text, so that maps with names as keys are asked by text.

use std::borrow::Borrow;

use super::config_values::{ConfigField, ConfigValueError, ExposedPort, Healthcheck, ProcessUser, StopSignal};
use super::digest::{Digest, DigestError};
use super::media_type::{MediaType, MediaTypeError};
use super::platform::{Platform, PlatformError};
use super::ref_name::{RefName, RefNameError};
use super::reference::{NameError, Reference, RepositoryName, Tag};

macro_rules! text_conversions {
    ($($name:ty, $error:ty;)*) => {$(
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        conversions_from_text! { $name, $error; }
    )*};
}

/// The conversions of values that are parsed.
macro_rules! conversions_from_text {
    ($($value:ty, $error:ty;)*) => {$(
        impl TryFrom<&str> for $value {
            type Error = $error;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<String> for $value {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }
    )*};
}

text_conversions! {
    ConfigField, ConfigValueError;
    Digest, DigestError;
    MediaType, MediaTypeError;
    ProcessUser, ConfigValueError;
    RefName, RefNameError;
    RepositoryName, NameError;
    StopSignal, ConfigValueError;
    Tag, NameError;
}

conversions_from_text! {
    ExposedPort, ConfigValueError;
    Healthcheck, ConfigValueError;
    Platform, PlatformError;
    Reference, NameError;
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

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
        assert!(Platform::try_from("linux").is_err() && Reference::try_from("a:b:c".to_owned()).is_err());
    }

    #[test]
    fn maps_of_names_are_asked_by_text() {
        let digest = Digest::sha256_of(b"");
        let sizes = HashMap::from([(digest.clone(), 0)]);
        assert_eq!((sizes.get(digest.as_str()), sizes.get("sha256:")), (Some(&0), None));
        let types = HashMap::from([(MediaType::index(), 1)]);
        assert_eq!(types.get("application/vnd.oci.image.index.v1+json"), Some(&1));
        let tags = BTreeMap::from(["b", "a"].map(|text| (Tag::try_from(text).expect("a tag"), text)));
        assert_eq!((tags.get("a"), tags.keys().map(Tag::as_str).collect()), (Some(&"a"), vec!["a", "b"]));
    }

    #[test]
    fn names_fill_a_column() {
        assert_eq!(
            format!("{:6}|{:>4}|", Tag::try_from("v1").expect("a tag"), RefName::try_from("a").expect("one")),
            "v1    |   a|"
        );
    }
}
