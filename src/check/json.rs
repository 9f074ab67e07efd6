//! JSON documents without loss: repeated keys are kept, and numbers keep all digits.
//!
//! The rest of the program deserializes documents into types. A validation cannot: the first fault would hide the
//! others.

use std::borrow::Cow;
use std::hash::{BuildHasher as _, RandomState};

use crate::error::Reason;
use crate::json::Token;
pub(crate) use crate::json::{Node, NodeKind};
use crate::oci::Json;
use crate::text::shortened;

/// Parses a document.
pub(crate) fn parse(content: &[u8]) -> Result<Node<'_>, Reason> {
    match content {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => {
            return Err(Reason::new("it is not UTF-8 (UTF-16 or UTF-32)"));
        }
        _ => {}
    }
    Node::parse(content).map_err(|error| {
        let text = error.to_string();
        // The parser's message is about its own limit, not about the document.
        match text.strip_prefix("recursion limit exceeded") {
            Some(place) => Reason::new(format!("its values are nested too deeply{place}")),
            None => Reason::new(text),
        }
    })
}

/// Returns a value, or its type, as messages show it.
pub(crate) fn describe(node: Node<'_>) -> String {
    match node.kind() {
        NodeKind::Null => "null".to_owned(),
        NodeKind::Bool(value) => value.to_string(),
        NodeKind::Number(text) => shortened(text.parse::<Json>().as_ref().map_or(text, Json::as_str)),
        NodeKind::String(text) => format!("'{}'", shortened(&text)),
        NodeKind::Array => "an array".to_owned(),
        NodeKind::Object => "an object".to_owned(),
    }
}

/// The most repeated keys that are named for one object.
const NAMED: usize = 100;

/// The keys of an object that occur more than once.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Repeated {
    /// The first repeated keys, in the order in which they occur the second time.
    pub(crate) named: Vec<String>,
    /// The number of all repeated keys.
    pub(crate) count: usize,
}

/// The hash of a key and its offset in the value. Kept small because an object may have millions of keys.
type KeyMark = (u64, u32);

impl Repeated {
    /// Returns the keys that occur more than once in an object.
    pub(crate) fn in_object(object: Node<'_>) -> Self {
        let hasher = RandomState::new();
        let mut depth = 0;
        let mut keys = Vec::new();
        for (at, token) in object.tokens() {
            match token {
                Token::Begin { .. } => depth += 1,
                Token::End => depth -= 1,
                Token::Key(key) if depth == 1 => keys.push(mark(&hasher, &key, at)),
                Token::Key(_) | Token::Text(_) | Token::Scalar => {}
            }
        }
        Self::of(object, &mut keys)
    }

    fn of(node: Node<'_>, keys: &mut [KeyMark]) -> Self {
        keys.sort_unstable();
        let mut again = Vec::new();
        for same in keys.chunk_by(|one, other| one.0 == other.0) {
            if let [_, (_, second), ..] = same {
                again.push(*second);
            }
        }
        again.sort_unstable();
        let named = again.iter().take(NAMED).map(|at| node.key_at(*at as usize).into_owned()).collect();
        Self { named, count: again.len() }
    }
}

fn mark(hasher: &RandomState, key: &str, at: usize) -> KeyMark {
    (hasher.hash_one(key), u32::try_from(at).expect("documents are smaller"))
}

/// An object or array that encloses the current token.
struct Level<'a> {
    is_object: bool,
    /// The offset of the object or array.
    at: usize,
    /// The number of keys kept for the enclosing objects.
    keys_before: usize,
    /// The key of the current value.
    key: Cow<'a, str>,
    /// The number of elements so far.
    elements: usize,
}

/// Finds the objects with repeated keys in a value, the value itself included, and the path of each. Returns the first
/// ones in document order, at least `most` if there are that many. The scan is linear at any depth.
pub(crate) fn repeated_within(node: Node<'_>, name: &str, most: usize) -> Vec<(String, Repeated)> {
    let hasher = RandomState::new();
    let mut levels: Vec<Level<'_>> = Vec::new();
    let mut keys: Vec<KeyMark> = Vec::new();
    let mut found: Vec<(usize, (String, Repeated))> = Vec::new();
    // Objects that begin after this offset are not among the first.
    let mut last = usize::MAX;
    for (at, token) in node.tokens() {
        if let Some(level) = levels.last_mut().filter(|level| !level.is_object)
            && token != Token::End
        {
            level.elements += 1;
        }
        match token {
            Token::Begin { is_object } => {
                let keys_before = keys.len();
                levels.push(Level { is_object, at, keys_before, key: Cow::Borrowed(""), elements: 0 });
            }
            Token::Key(key) => {
                keys.push(mark(&hasher, &key, at));
                levels.last_mut().expect("a key is in an object").key = key;
            }
            Token::End => {
                let level = levels.pop().expect("each bracket has its pair");
                let own = &mut keys[level.keys_before..];
                if own.len() > 1 && level.at < last {
                    let repeated = Repeated::of(node, own);
                    if repeated.count > 0 {
                        found.push((level.at, (path(name, &levels), repeated)));
                    }
                }
                keys.truncate(level.keys_before);
                if found.len() > 2 * most {
                    // Objects are found when they end, so inner ones are found first.
                    found.sort_unstable_by_key(|(at, _)| *at);
                    found.truncate(most);
                    last = found.last().map_or(0, |(at, _)| *at);
                }
            }
            Token::Text(_) | Token::Scalar => {}
        }
    }
    found.sort_unstable_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, found)| found).collect()
}

/// Returns the path of the current value of the innermost level.
fn path(name: &str, levels: &[Level<'_>]) -> String {
    let mut path = name.to_owned();
    for level in levels {
        if level.is_object {
            path += &format!(".{}", shortened(&level.key));
        } else {
            path += &format!("[{}]", level.elements - 1);
        }
    }
    path
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
        assert_eq!(Repeated::in_object(node), Repeated { named: vec!["a".to_owned(), "b".to_owned()], count: 2 });
    }

    #[test]
    fn of_very_many_repeated_keys_the_first_are_named() {
        let members: Vec<_> = (0..1000).map(|at| format!("\"{at}\":0,\"{at}\":0")).collect();
        let content = format!("{{{}}}", members.join(","));
        let repeated = Repeated::in_object(parse(content.as_bytes()).expect("JSON"));
        assert_eq!((repeated.named.len(), repeated.count), (100, 1000));
        assert_eq!(repeated.named[..2], ["0", "1"]);
    }

    #[test]
    fn objects_that_repeat_keys_are_found_in_the_order_of_the_document() {
        let found = |content: &str, most| -> Vec<String> {
            let node = parse(content.as_bytes()).expect("JSON");
            let found = repeated_within(node, "x", most);
            found.into_iter().map(|(path, repeated)| format!("{path}: {}", repeated.named.join(" "))).collect()
        };
        let content = r#" { "a" : 1, "b" : [ 0, "t", { "k":[], "\u006b":{} , "c":{"d":0,"d":1} } ], "a":{}, "e":[[],[[{"f":1,"f":2}]]] } "#;
        assert_eq!(found(content, 100), ["x: a", "x.b[2]: k", "x.b[2].c: d", "x.e[1][0][0]: f"]);
        assert_eq!(found(r#"[{"a":{"a":0}},"a",{"b":"b"}]"#, 100), [""; 0]);
        // Outer objects end last, but come first in document order.
        let nested = r#"{"a":"#.repeat(9) + "0" + &r#","a":0}"#.repeat(9);
        assert_eq!(found(&nested, 2)[..2], ["x: a", "x.a: a"]);
    }

    #[test]
    fn the_depth_of_a_value_does_not_matter_to_a_search() {
        let deep = format!("{}{}{}", "[".repeat(120), "0,".repeat(500_000) + "0", "]".repeat(120));
        let node = parse(deep.as_bytes()).expect("JSON");
        // Each token is read once, and each level of nesting adds only its brackets.
        assert_eq!(node.tokens().count(), 2 * 120 + 500_001);
        assert!(repeated_within(node, "x", 1).is_empty());
    }

    #[test]
    fn text_that_is_not_json_is_refused_in_one_line() {
        for (content, expected) in [
            (b"\xef\xbb\xbf{}".to_vec(), "it begins with a byte order mark"),
            (b"\xff\xfe{\0}\0".to_vec(), "it is not UTF-8 (UTF-16 or UTF-32)"),
            (b"\0{\0}".to_vec(), "it is not UTF-8 (UTF-16 or UTF-32)"),
            (b"{\0}\0".to_vec(), "it is not UTF-8 (UTF-16 or UTF-32)"),
            (b"{} x".to_vec(), "trailing characters at line 1, column 4"),
            (b"NaN".to_vec(), "expected a value at line 1, column 1"),
            (b"[-Infinity]".to_vec(), "invalid number at line 1, column 3"),
            (b"\"\xff\"".to_vec(), "invalid unicode code point at line 1, column 2"),
            (br#"["\ud800"]"#.to_vec(), "unexpected end of hex escape at line 1, column 9"),
            (br#"{"\ud800":1}"#.to_vec(), "unexpected end of hex escape at line 1, column 9"),
            (
                b"{\"a\\n\n\":1}".to_vec(),
                "control character (\\u0000-\\u001F) found while parsing a string at line 1, column 5",
            ),
            (b"[".repeat(100_000), "its values are nested too deeply at line 1, column 128"),
        ] {
            assert_eq!(reason(&content), expected, "{:?}", String::from_utf8_lossy(&content));
        }
    }
}
