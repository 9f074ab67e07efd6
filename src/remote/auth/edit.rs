//! Changes the entry of a registry in an auth file. All other members keep their order, their text and their digits.

use std::borrow::Cow;

use super::error::AuthError;
use super::files::AuthFile;
use crate::json::{Node, to_compact};
use crate::remote::host::RegistryHost;

/// The indentation of Docker and podman.
const INDENTATION: &str = "\t";

/// The text of an entry whose secret is kept by a helper.
pub(super) const EMPTY_ENTRY: &str = "{}";

/// Returns the content of a file in which a registry has a new entry, which is JSON. Entries of the same registry under
/// other keys, such as `https://HOST/v1/`, give way to it.
pub(super) fn with_entry(
    file: &AuthFile<'_>,
    content: &[u8],
    host: &RegistryHost,
    entry: &str,
) -> Result<Vec<u8>, AuthError> {
    let keys = file.keys_of(host)?;
    // Podman removes an entry only by the key under which it has stored it.
    let bare = keys.first().filter(|key| !key.contains('/'));
    let key = bare.map_or_else(|| host.auth_key(), |key| key.clone().into_owned());
    Ok(rewrite(file, content, &keys, Some((key, entry.to_owned()))))
}

/// Returns the content of a file without the entries of a registry; `None` if it has none.
pub(super) fn without_entry(
    file: &AuthFile<'_>,
    content: &[u8],
    host: &RegistryHost,
) -> Result<Option<Vec<u8>>, AuthError> {
    let keys = file.keys_of(host)?;
    Ok((!keys.is_empty()).then(|| rewrite(file, content, &keys, None)))
}

/// Writes the document without some keys of `auths`, and with a new entry in their place.
fn rewrite(
    file: &AuthFile<'_>,
    content: &[u8],
    removed: &[Cow<'_, str>],
    mut added: Option<(String, String)>,
) -> Vec<u8> {
    const AUTHS: &str = "auths";
    let members: Vec<_> = file.root().map(|root| root.members().collect()).unwrap_or_default();
    // Of a repeated key the last one counts.
    let auths = members.iter().rposition(|(key, _)| key == AUTHS);
    let mut entries = Vec::new();
    for (key, old) in auths.map(|at| members[at].1).into_iter().flat_map(Node::members) {
        if !removed.contains(&key) {
            entries.push((key, Value::Old(old)));
        } else if let Some((key, new)) = added.take() {
            entries.push((key.into(), Value::New(new)));
        }
    }
    entries.extend(added.map(|(key, new)| (key.into(), Value::New(new))));
    let mut document: Vec<_> = members.into_iter().map(|(key, value)| (key, Value::Old(value))).collect();
    match auths {
        Some(at) => document[at].1 = Value::Object(entries),
        None => document.push((AUTHS.into(), Value::Object(entries))),
    }
    let mut writer = Writer { text: String::with_capacity(content.len() + 256), indentation: indentation(content) };
    writer.value(&Value::Object(document), 0);
    if content.is_empty() || content.ends_with(b"\n") {
        writer.text.push('\n');
    }
    writer.text.into_bytes()
}

/// Returns the whitespace before the first member.
fn indentation(content: &[u8]) -> String {
    let text = content.split(|byte| *byte == b'{').nth(1).unwrap_or_default();
    let blank = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let line = text[..blank].rsplit(|byte| *byte == b'\n').next().filter(|line| line.len() < blank);
    let line = line.and_then(|line| std::str::from_utf8(line).ok()).filter(|line| !line.is_empty());
    line.unwrap_or(INDENTATION).to_owned()
}

enum Value<'a> {
    Old(Node<'a>),
    /// JSON.
    New(String),
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

struct Writer {
    text: String,
    indentation: String,
}

impl Writer {
    fn value(&mut self, value: &Value<'_>, depth: usize) {
        match value {
            Value::Old(node) => self.node(*node, depth),
            Value::New(text) => self.node(Node::parse(text.as_bytes()).expect("entries are JSON"), depth),
            Value::Object(members) => {
                self.list('{', '}', members.iter(), depth, |writer, (key, value)| {
                    writer.key(key);
                    writer.value(value, depth + 1);
                });
            }
        }
    }

    fn node(&mut self, node: Node<'_>, depth: usize) {
        if node.is_object() {
            self.list('{', '}', node.members(), depth, |writer, (key, value)| {
                writer.key(&key);
                writer.node(value, depth + 1);
            });
        } else if node.is_array() {
            self.list('[', ']', node.elements(), depth, |writer, element| writer.node(element, depth + 1));
        } else {
            self.text.push_str(node.text());
        }
    }

    fn key(&mut self, key: &str) {
        self.text.push_str(std::str::from_utf8(&to_compact(&key)).expect("JSON is UTF-8"));
        self.text.push_str(": ");
    }

    fn list<T>(
        &mut self,
        open: char,
        close: char,
        items: impl Iterator<Item = T>,
        depth: usize,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.text.push(open);
        let mut is_empty = true;
        for item in items {
            if !is_empty {
                self.text.push(',');
            }
            is_empty = false;
            self.line(depth + 1);
            write(self, item);
        }
        if !is_empty {
            self.line(depth);
        }
        self.text.push(close);
    }

    fn line(&mut self, depth: usize) {
        self.text.push('\n');
        for _ in 0..depth {
            self.text.push_str(&self.indentation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::auth::places::AuthPlace;

    const PLACE: &AuthPlace = &AuthPlace::Variable("TEST");

    fn host() -> RegistryHost {
        "a.b".parse().expect("a host")
    }

    fn set(content: &str) -> String {
        let file = AuthFile::parse(content.as_bytes(), PLACE).expect("a file");
        let changed = with_entry(&file, content.as_bytes(), &host(), r#"{"auth":"eDp5"}"#).expect("changed");
        String::from_utf8(changed).expect("UTF-8")
    }

    fn remove(content: &str) -> Option<String> {
        let file = AuthFile::parse(content.as_bytes(), PLACE).expect("a file");
        let changed = without_entry(&file, content.as_bytes(), &host()).expect("changed");
        changed.map(|changed| String::from_utf8(changed).expect("UTF-8"))
    }

    #[test]
    fn an_entry_is_set_and_all_else_stays_as_it_was() {
        for (before, after) in [
            ("", "{\n\t\"auths\": {\n\t\t\"a.b\": {\n\t\t\t\"auth\": \"eDp5\"\n\t\t}\n\t}\n}\n"),
            (
                "{\n  \"z\": 1.50e400,\n  \"auths\": {\n    \"c\": {}\n  },\n  \"a\": [\n    true,\n    {}\n  ]\n}\n",
                "{\n  \"z\": 1.50e400,\n  \"auths\": {\n    \"c\": {},\n    \"a.b\": {\n      \"auth\": \"eDp5\"\n    }\n  },\n  \"a\": [\n    true,\n    {}\n  ]\n}\n",
            ),
            (
                r#"{"auths":{"a.b":{"auth":"b2xk","email":"x"},"c":{"auth":"\u0061"}}}"#,
                "{\n\t\"auths\": {\n\t\t\"a.b\": {\n\t\t\t\"auth\": \"eDp5\"\n\t\t},\n\t\t\"c\": {\n\t\t\t\"auth\": \"\\u0061\"\n\t\t}\n\t}\n}",
            ),
            (
                r#"{"auths":{"a.b/x":{},"https://a.b/v1/":{"auth":"b2xk"},"http://a.b":{}}}"#,
                "{\n\t\"auths\": {\n\t\t\"a.b/x\": {},\n\t\t\"a.b\": {\n\t\t\t\"auth\": \"eDp5\"\n\t\t}\n\t}\n}",
            ),
            (r#"{"auths":null}"#, "{\n\t\"auths\": {\n\t\t\"a.b\": {\n\t\t\t\"auth\": \"eDp5\"\n\t\t}\n\t}\n}"),
        ] {
            let changed = set(before);
            assert_eq!(changed, after, "{before}");
            assert_eq!(set(&changed), after, "a second time");
        }
    }

    #[test]
    fn all_entries_of_a_registry_are_removed() {
        for (before, after) in [
            ("", None),
            ("{}", None),
            (r#"{"auths":{"a.b:5000":{},"a.b/x":{}}}"#, None),
            (r#"{"auths":{"a.b":{"auth":"b2xk"}}}"#, Some("{\n\t\"auths\": {}\n}")),
            (
                r#"{"auths":{"https://a.b/v1/":{},"c":{},"a.b":{},"a.b":{}},"x":"\/"}"#,
                Some("{\n\t\"auths\": {\n\t\t\"c\": {}\n\t},\n\t\"x\": \"\\/\"\n}"),
            ),
        ] {
            assert_eq!(remove(before).as_deref(), after, "{before}");
        }
    }
}
