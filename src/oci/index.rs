//! The image index (image-spec, image-index.md), which is also what `index.json` holds.

use serde::{Deserialize, Deserializer, Serialize};

use super::{Annotations, Descriptor, MediaType, UnknownFields};

/// A list of manifests and other indexes.
///
/// Fields are written in the order of the image-spec, unknown ones after them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Index {
    /// Always 2.
    #[serde(rename = "schemaVersion", deserialize_with = "schema_version")]
    pub schema_version: u32,
    /// The media type; most programs leave it out of `index.json`.
    #[serde(rename = "mediaType", default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The type of an artifact.
    #[serde(rename = "artifactType", default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The entries. Some Go programs write `null` for none.
    #[serde(deserialize_with = "null_is_empty")]
    pub manifests: Vec<Descriptor>,
    /// What this index refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// The annotations of the index itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
    /// Fields that this program does not know.
    #[serde(flatten)]
    pub extra: UnknownFields,
}

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

/// Accepts the one schema version that there is.
pub(super) fn schema_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        2 => Ok(2),
        other => Err(serde::de::Error::custom(format!("schemaVersion is {other}, expected 2"))),
    }
}

pub(super) fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Descriptor>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fields_come_in_the_specs_order_and_unknown_ones_survive() {
        let text = concat!(
            r#"{"x-number":12345678901234567890123.50,"manifests":[{"platform":{"os":"linux","architecture":"arm64","os.x":1},"#,
            r#""data":"e30=","urls":["https://a"],"size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
            r#""mediaType":"a/b","z":null}],"schemaVersion":2,"annotations":{"k":"v"}}"#
        );
        let index: Index = serde_json::from_str(text).expect("a legal index");
        assert_eq!(
            serde_json::to_string(&index).expect("writable"),
            concat!(
                r#"{"schemaVersion":2,"manifests":[{"mediaType":"a/b","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","#,
                r#""size":2,"urls":["https://a"],"data":"e30=","platform":{"architecture":"arm64","os":"linux","os.x":1},"z":null}],"#,
                r#""annotations":{"k":"v"},"x-number":12345678901234567890123.50}"#
            )
        );
    }

    #[test]
    fn what_is_not_an_index_is_refused() {
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
            assert!(serde_json::from_str::<Index>(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<Index>(r#"{"schemaVersion":2,"manifests":null}"#).is_ok());
    }
}
