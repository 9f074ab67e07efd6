//! Tests of the whole module.

#![cfg(test)]

use super::*;
use crate::oci::{Index, Manifest};

const NUMBER: &str = "$serde_json::private::Number";
const RAW: &str = "$serde_json::private::RawValue";

#[test]
fn unknown_fields_keep_their_digits_and_no_key_is_special() {
    for value in [
        "1e+5",
        "1.0",
        "-0",
        "1e+400",
        "12345678901234567890123",
        "0.10",
        r#""\u0000\b\f\n\r\t\"\\/\u001f""#,
        &format!(r#"{{"{NUMBER}":"1"}}"#),
        &format!(r#"{{"{RAW}":"[1, 2]"}}"#),
        &format!(r#"[{{"a":{{"{NUMBER}":"x","{RAW}":1.50}}}}]"#),
    ] {
        let top = format!(r#"{{"manifests":[],"schemaVersion":2,"x":{value}}}"#);
        let entry = r#""digest":"a:b","mediaType":"a/b","size":1"#;
        let nested = format!(r#"{{"manifests":[{{{entry},"x":{value}}}],"schemaVersion":2}}"#);
        for text in [top, nested] {
            let index: Index = from_json(text.as_bytes()).expect(&text);
            assert_eq!(String::from_utf8(to_blob(&index)).expect("UTF-8"), text);
            let pretty = to_json_pretty(&index).expect("written");
            assert_eq!(from_json::<Index>(pretty.as_bytes()).expect("read"), index, "{pretty}");
        }
    }
    let special = format!(r#"{{"{NUMBER}":"1","{RAW}":"2","manifests":[],"schemaVersion":2}}"#);
    assert_eq!(to_blob(&from_json::<Index>(special.as_bytes()).expect("an index")), special.as_bytes());
    // A known field does not turn into a number because of a special key.
    let size = format!(r#"{{"schemaVersion":{{"{NUMBER}":"2"}},"manifests":[]}}"#);
    assert!(from_json::<Index>(size.as_bytes()).is_err());
}

#[test]
fn exponents_and_escapes_have_one_form() {
    let value: Json = r#"{"b":[1E5, 1e-5,1E+05],"\u0061\/":"\u00e9\ud83d\ude00"}"#.parse().expect("JSON");
    assert_eq!(value.as_str(), "{\"a/\":\"é😀\",\"b\":[1e+5,1e-5,1e+05]}");
}

#[test]
fn pretty_output_equals_that_of_serde_json() {
    #[derive(serde::Serialize)]
    enum DocumentKind {
        Unit,
        New(u8),
        Tuple(u8, char),
        Struct { a: Option<f64> },
    }
    let value = (
        vec![
            DocumentKind::Unit,
            DocumentKind::New(1),
            DocumentKind::Tuple(2, '"'),
            DocumentKind::Struct { a: Some(1.0) },
            DocumentKind::Struct { a: None },
        ],
        std::collections::BTreeMap::from([(1, vec![()]), (2, Vec::new())]),
        "\u{7f}\u{1}\u{2028}",
    );
    let theirs = serde_json::to_string_pretty(&value).expect("written");
    assert_eq!(to_json_pretty(&value).expect("written"), theirs);
    assert_eq!(to_compact(&value), serde_json::to_vec(&value).expect("written"));
}

#[test]
fn documents_that_would_fill_the_memory_are_refused() {
    let entry = r#"{"mediaType":"a/b","digest":"a:b","size":1},"#;
    let layer = r#"{"mediaType":"a/b","digest":"a:b","size":1,"annotations":{"":""}},"#;
    let size = 8 << 20;
    let list = |item: &str| item.repeat(size / item.len()).trim_end_matches(',').to_owned();
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, list(entry));
    let error = from_json::<Index>(index.as_bytes()).expect_err("too much").to_string();
    assert!(error.starts_with("its values would take more than 7 times its size in memory at line 1"), "{error}");
    let manifest = format!(r#"{{"schemaVersion":2,"config":{entry}"layers":[{}]}}"#, list(layer));
    assert!(from_json::<Manifest>(manifest.as_bytes()).is_err());
    // Unknown fields cost only their text, and real entries are far below the limit.
    let unknown = format!(r#"{{"schemaVersion":2,"manifests":[],"x":[{}]}}"#, list("0,"));
    assert!(from_json::<Index>(unknown.as_bytes()).is_ok());
    let entry = format!(
        concat!(
            r#"{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:{}","size":1234,"#,
            r#""annotations":{{"org.opencontainers.image.ref.name":"v1"}},"#,
            r#""platform":{{"architecture":"amd64","os":"linux"}}}},"#
        ),
        "0".repeat(64)
    );
    let size = 4 * size;
    let index =
        format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entry.repeat(size / entry.len()).trim_end_matches(','));
    assert!(from_json::<Index>(index.as_bytes()).is_ok());
}
