//! `manifest.json` as written by `docker save`: the list of the images of an archive.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::entries::Entries;
use super::load::not_an_archive;
use crate::error::{Error, Reason, Result};
use crate::layout::document_files::ARCHIVE_DOCUMENT_LIMIT;
use crate::oci::{from_json, is_name};

/// An image in `manifest.json`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) config: String,
    pub(crate) names: Vec<String>,
    pub(crate) layers: Vec<String>,
}

impl Listed {
    /// Reads the images.
    ///
    /// # Errors
    ///
    /// [`Error::NotAnArchive`]; [`Error::TooLarge`]; [`Error::Io`].
    pub(crate) fn read(entries: &Entries<'_>) -> Result<Vec<Self>> {
        let says = |reason: String| not_an_archive(entries.path, format!("{MANIFEST_FILE} {reason}"));
        let content = entries.read(MANIFEST_FILE, ARCHIVE_DOCUMENT_LIMIT)?;
        let content = content.ok_or_else(|| match entries.dangling(MANIFEST_FILE) {
            Some(dangling) => dangling,
            None => says("does not exist".into()),
        })?;
        match from_json::<Option<Vec<Self>>>(&content) {
            Ok(Some(images)) if is_crowded(&images, content.len()) => {
                Err(says("lists too many images and names for its size".into()))
            }
            Ok(Some(images)) if !images.is_empty() => Ok(images),
            Ok(Some(_)) => Err(says("lists no image".into())),
            Ok(None) => Err(says("is null, not a list of images".into())),
            Err(error) => {
                let reason = Reason::from(error).after(&format!("{MANIFEST_FILE} is not a list of images: "));
                Err(Error::NotAnArchive { path: entries.path.to_owned(), reason })
            }
        }
    }

    /// Reads the images of an archive whose `manifest.json` may belong to another program; such a file lists no images.
    ///
    /// # Errors
    ///
    /// [`Error::NotAnArchive`] for a list with elements that are no images; [`Error::TooLarge`]; [`Error::Io`].
    pub(crate) fn read_beside_layout(entries: &Entries<'_>) -> Result<Vec<Self>> {
        let content = entries.read(MANIFEST_FILE, ARCHIVE_DOCUMENT_LIMIT)?.unwrap_or_default();
        // A list after a byte order mark is reported as an error, not ignored as another program's file.
        let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
        if content.trim_ascii_start().first() != Some(&b'[') || content.trim_ascii() == b"[]" {
            return Ok(Vec::new());
        }
        Self::read(entries)
    }

    /// Returns the distinct names, without the placeholders that Docker writes for unnamed images.
    pub(crate) fn distinct_names(&self) -> impl Iterator<Item = &str> {
        let mut seen = HashSet::new();
        self.names.iter().map(String::as_str).filter(move |name| is_name(name) && seen.insert(*name))
    }
}

/// Returns whether a `manifest.json` has too many images and names to keep in memory, compared with its size: each
/// becomes an entry, and each layer a descriptor.
fn is_crowded(images: &[Listed], size: usize) -> bool {
    const ENTRY: usize = 1500;
    const LAYER: usize = 500;
    const TIMES: usize = 6;
    const ALLOWANCE: usize = 32 << 20;
    let becomes = |image: &Listed| (image.names.len() + 1) * ENTRY + image.layers.len() * LAYER;
    images.iter().map(becomes).sum::<usize>() > size * TIMES + ALLOWANCE
}

/// The keys of an image that are read.
#[derive(Clone, Copy)]
enum Key {
    Config,
    RepoTags,
    Layers,
    Other,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Key, E> {
                Ok(match folded(text).as_str() {
                    "config" => Key::Config,
                    "repotags" => Key::RepoTags,
                    "layers" => Key::Layers,
                    _ => Key::Other,
                })
            }
        }
        deserializer.deserialize_identifier(Text)
    }
}

/// Returns a key folded for comparison without regard to case, as in Go: two non-ASCII letters fold to ASCII letters.
fn folded(key: &str) -> String {
    let fold = |letter| match letter {
        'ſ' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    key.chars().map(fold).collect()
}

impl<'de> Deserialize<'de> for Listed {
    /// Reads the keys as Go does: in any case, and the last of several equal keys counts. `null` leaves a text
    /// unchanged and empties a list.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Image;
        impl<'de> Visitor<'de> for Image {
            type Value = Listed;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an image")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed, A::Error> {
                let (mut config, mut names, mut layers) = (None, Vec::new(), Vec::new());
                while let Some(key) = map.next_key()? {
                    match key {
                        Key::Config => config = map.next_value::<Option<String>>()?.or(config),
                        Key::RepoTags => names = map.next_value::<Option<_>>()?.unwrap_or_default(),
                        Key::Layers => layers = map.next_value::<Option<_>>()?.unwrap_or_default(),
                        Key::Other => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                let config = config.ok_or_else(|| A::Error::missing_field("Config"))?;
                Ok(Listed { config, names, layers })
            }
        }
        deserializer.deserialize_map(Image)
    }
}

/// The file that lists the images of a Docker archive.
pub(crate) const MANIFEST_FILE: &str = "manifest.json";

/// The file that listed the images before Docker 1.10.
pub(crate) const REPOSITORIES_FILE: &str = "repositories";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_go_reads_them() {
        let listed = |config: &str, names: &[&str], layers: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
            Listed { config: config.to_owned(), names: owned(names), layers: owned(layers) }
        };
        for (text, expected) in [
            (r#"{"Config":"c","RepoTags":["a:1"],"Layers":["l"]}"#, listed("c", &["a:1"], &["l"])),
            (r#"{"config":"c","repoTags":["a:1"],"layers":["l"]}"#, listed("c", &["a:1"], &["l"])),
            (r#"{"CONFIG":"c","REPOTAGS":["a:1"],"LAYERS":["l"]}"#, listed("c", &["a:1"], &["l"])),
            (r#"{"config":"c","RepoTagſ":["a:1"],"Layerſ":["l"]}"#, listed("c", &["a:1"], &["l"])),
            (r#"{"Config":"c","config":"d","CONFIG":"e"}"#, listed("e", &[], &[])),
            (r#"{"config":"d","Config":"c","Layers":["l","m"],"layers":["n"]}"#, listed("c", &[], &["n"])),
            (r#"{"Config":"c","config":null,"Layers":["l"],"layers":null}"#, listed("c", &[], &[])),
            (r#"{"Config":"c","RepoTags":null,"Parent":{"Config":"x"},"LayerSources":[1]}"#, listed("c", &[], &[])),
        ] {
            assert_eq!(from_json::<Listed>(text.as_bytes()).expect("an image"), expected, "{text}");
        }
        for (text, says) in [
            (r"{}", "missing field `Config`"),
            (r#"{"Config":null}"#, "missing field `Config`"),
            (r#"{"Config":1}"#, "invalid type: integer `1`, expected a string"),
            (r#"{"Config":"c","Layers":"l"}"#, r#"invalid type: string "l", expected a sequence"#),
            (r"[]", "invalid type: sequence, expected an image"),
        ] {
            let error = from_json::<Listed>(text.as_bytes()).expect_err("refused").to_string();
            assert!(error.starts_with(says), "{text}: {error}");
        }
    }

    #[test]
    fn invalid_names_are_refused() {
        let listed = Listed {
            config: String::new(),
            names: ["a:1", "<none>:<none>", "", "a:1", "b:1"].map(str::to_owned).to_vec(),
            layers: Vec::new(),
        };
        assert_eq!(listed.distinct_names().collect::<Vec<_>>(), ["a:1", "b:1"]);
    }
}
