//! JSON documents as they stand: every member of an object, with keys that occur twice, and numbers to the last digit.
//!
//! What the rest of the program reads into types, a validation looks at where it stands: one fault must not hide the others.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

pub(super) use crate::json::{Node, NodeKind};
use crate::layout::error::Reason;
use crate::oci::Json;

/// Reads a document.
pub(super) fn parse(content: &[u8]) -> Result<Node<'_>, Reason> {
    match content {
        [0xef, 0xbb, 0xbf, ..] => return Err(Reason::new("it begins with a byte order mark")),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => {
            return Err(Reason::new("it is not UTF-8 (UTF-16 or UTF-32)"));
        }
        _ => {}
    }
    Node::parse(content).map_err(|error| {
        let text = error.to_string();
        // The parser's word for its own bound says nothing about the document.
        match text.strip_prefix("recursion limit exceeded") {
            Some(place) => Reason::new(format!("its values are nested too deeply{place}")),
            None => Reason::new(text),
        }
    })
}

/// Returns the value or its kind as a message says it.
pub(super) fn describe(node: Node<'_>) -> String {
    match node.kind() {
        NodeKind::Null => "null".to_owned(),
        NodeKind::Bool(value) => value.to_string(),
        NodeKind::Number(text) => shortened(text.parse::<Json>().as_ref().map_or(text, Json::as_str)),
        NodeKind::String(text) => format!("'{}'", shortened(&text)),
        NodeKind::Array => "an array".to_owned(),
        NodeKind::Object => "an object".to_owned(),
    }
}

/// Returns text as a message shows it: on one line, without what a terminal would obey, and not endless.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    let shown: String = text.chars().take(LONGEST).collect::<String>().escape_debug().to_string();
    if text.chars().nth(LONGEST).is_some() { shown + "…" } else { shown }
}

/// Returns the keys that occur more than once in an object, and how many there are, of which only the first are named.
pub(super) fn repeated(object: Node<'_>) -> (Vec<String>, usize) {
    const NAMED: usize = 100;
    let hasher = RandomState::new();
    // Eight bytes a key: an object may have very many.
    let mut hashes: Vec<u64> = object.members().map(|(key, _)| hasher.hash_one(&*key)).collect();
    hashes.sort_unstable();
    let mut twice: Vec<u64> = hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    drop(hashes);
    if twice.is_empty() {
        return (Vec::new(), 0);
    }
    twice.dedup();
    let mut seen: HashMap<String, bool> = HashMap::new();
    let mut named = Vec::new();
    let mut left: HashSet<u64> = twice.iter().take(NAMED).copied().collect();
    let first = left.clone();
    for (key, _) in object.members() {
        let hash = hasher.hash_one(&*key);
        if !first.contains(&hash) || !left.contains(&hash) {
            continue;
        }
        match seen.get_mut(&*key) {
            None => drop(seen.insert(key.into_owned(), false)),
            Some(_) => {
                named.push(key.into_owned());
                left.remove(&hash);
            }
        }
    }
    (named, twice.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(content: impl AsRef<[u8]>) -> String {
        parse(content.as_ref()).expect_err("not JSON").to_string()
    }

    #[test]
    fn a_document_is_read_as_it_stands() {
        let content = br#" {"a":1e999,"\u0061":[-0,null,true],"$serde_json::private::Number":"1","b":{},"b":0} "#;
        let node = parse(content).expect("JSON");
        let members: Vec<_> = node.members().map(|(key, value)| (key.into_owned(), value.kind())).collect();
        assert_eq!(
            members,
            [
                ("a".to_owned(), NodeKind::Number("1e999")),
                ("a".to_owned(), NodeKind::Array),
                ("$serde_json::private::Number".to_owned(), NodeKind::String("1".into())),
                ("b".to_owned(), NodeKind::Object),
                ("b".to_owned(), NodeKind::Number("0")),
            ]
        );
        let elements: Vec<_> = node.get("a").expect("there").elements().map(Node::kind).collect();
        assert_eq!(elements, [NodeKind::Number("-0"), NodeKind::Null, NodeKind::Bool(true)]);
        assert_eq!(repeated(node), (vec!["a".to_owned(), "b".to_owned()], 2));
    }

    #[test]
    fn of_very_many_repeated_keys_the_first_are_named() {
        let members: Vec<_> = (0..1000).map(|at| format!("\"{at}\":0,\"{at}\":0")).collect();
        let content = format!("{{{}}}", members.join(","));
        let (named, count) = repeated(parse(content.as_bytes()).expect("JSON"));
        assert_eq!((named.len(), count), (100, 1000));
    }

    #[test]
    fn what_is_not_json_is_refused_in_one_line() {
        for (content, expected) in [
            (b"\xef\xbb\xbf{}".to_vec(), "it begins with a byte order mark"),
            (b"\xff\xfe{\0}\0".to_vec(), "it is not UTF-8 (UTF-16 or UTF-32)"),
            (b"\0{\0}".to_vec(), "it is not UTF-8 (UTF-16 or UTF-32)"),
            (b"{\0}\0".to_vec(), "it is not UTF-8 (UTF-16 or UTF-32)"),
            (b"{} x".to_vec(), "trailing characters at line 1 column 4"),
            (b"NaN".to_vec(), "expected value at line 1 column 1"),
            (b"[-Infinity]".to_vec(), "invalid number at line 1 column 3"),
            (b"\"\xff\"".to_vec(), "invalid unicode code point at line 1 column 2"),
            (br#"["\ud800"]"#.to_vec(), "unexpected end of hex escape at line 1 column 9"),
            (br#"{"\ud800":1}"#.to_vec(), "unexpected end of hex escape at line 1 column 9"),
            (
                b"{\"a\\n\n\":1}".to_vec(),
                "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 5",
            ),
            (b"[".repeat(100_000), "its values are nested too deeply at line 1 column 128"),
        ] {
            assert_eq!(reason(&content), expected, "{:?}", String::from_utf8_lossy(&content));
        }
    }
}
