//! The image index (image-spec, image-index.md), which is also the format of `index.json`.

use serde::{Deserialize, Deserializer};

use super::fields::document_fields;
use super::{Annotations, Descriptor, MediaType, UnknownFields};

/// A list of manifests and other indexes.
///
/// Fields are written in the order of the image-spec, unknown ones after them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The media type; most programs leave it out of `index.json`.
    pub media_type: Option<MediaType>,
    /// The type of an artifact.
    pub artifact_type: Option<String>,
    /// The entries. Some Go programs write `null` for none.
    pub manifests: Vec<Descriptor>,
    /// The subject of this index.
    pub subject: Option<Descriptor>,
    /// The annotations of the index itself.
    pub annotations: Option<Annotations>,
    /// Fields that this program does not know.
    pub extra: UnknownFields,
}

document_fields!(Index {
    schema_version: required "schemaVersion" via SchemaVersion,
    media_type: optional "mediaType",
    artifact_type: optional "artifactType",
    manifests: required "manifests" via Descriptors,
    subject: optional "subject",
    annotations: optional "annotations",
});

impl Index {
    /// Returns an index without entries, as a new layout has it.
    pub fn empty() -> Self {
        Self {
            schema_version: 2,
            media_type: Some(MediaType::index()),
            artifact_type: None,
            manifests: Vec::new(),
            subject: None,
            annotations: None,
            extra: UnknownFields::new(),
        }
    }
}

/// [`Index::empty`].
impl Default for Index {
    fn default() -> Self {
        Self::empty()
    }
}

/// The one schema version that there is.
pub(super) struct SchemaVersion(pub(super) u32);

impl<'de> Deserialize<'de> for SchemaVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            2 => Ok(Self(2)),
            other => Err(serde::de::Error::custom(format!("schemaVersion is {other}, expected 2"))),
        }
    }
}

/// A list of descriptors, or the `null` that some Go programs write for none.
pub(super) struct Descriptors(pub(super) Vec<Descriptor>);

impl<'de> Deserialize<'de> for Descriptors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(deserializer)?.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::from_json;

    fn compact(index: &Index) -> String {
        String::from_utf8(crate::json::to_compact(index)).expect("JSON is UTF-8")
    }

    #[test]
    fn known_fields_come_in_the_specs_order_and_unknown_ones_survive() {
        let text = concat!(
            r#"{"x-number":12345678901234567890123.50,"manifests":[{"platform":{"os":"linux","architecture":"arm64","os.x":1},"#,
            r#""data":"e30=","urls":["https://a"],"size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
            r#""mediaType":"a/b","z":null}],"schemaVersion":2,"annotations":{"k":"v"}}"#
        );
        let index: Index = from_json(text.as_bytes()).expect("a legal index");
        assert_eq!(
            compact(&index),
            concat!(
                r#"{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
                r#""size":2,"urls":["https://a"],"data":"e30=","platform":{"architecture":"arm64","os":"linux","os.x":1},"z":null}],"#,
                r#""annotations":{"k":"v"},"x-number":12345678901234567890123.50}"#
            )
        );
    }

    #[test]
    fn other_content_is_refused_as_an_index() {
        for bad in [
            r#"{"manifests":[]}"#,
            r#"{"schemaVersion":2}"#,
            r#"{"schemaVersion":1,"manifests":[]}"#,
            r#"{"schemaVersion":"2","manifests":[]}"#,
            r#"{"schemaVersion":2,"manifests":{}}"#,
            r#"{"schemaVersion":2,"manifests":[{}]}"#,
            r#"[]"#,
            "",
        ] {
            assert!(from_json::<Index>(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(from_json::<Index>(br#"{"schemaVersion":2,"manifests":null}"#).is_ok());
    }

    #[test]
    fn a_field_that_is_null_stays_so_until_it_has_a_value() {
        let text = r#"{"schemaVersion":2,"manifests":[],"annotations":null}"#;
        let mut index: Index = from_json(text.as_bytes()).expect("a legal index");
        assert_eq!(compact(&index), text);
        index.annotations = Some(Annotations::from([("k".to_owned(), "v".to_owned())]));
        assert_eq!(compact(&index), r#"{"schemaVersion":2,"manifests":[],"annotations":{"k":"v"}}"#);
    }
}
