//! The fields of a JSON object. Each is read as its expected type, and a fault is noted if the type differs.

use std::borrow::Cow;

use super::json::{Repeated, describe, repeated_within};
use super::values::{is_go_time, is_time};
use crate::graph::severity::FaultKind;
use crate::json::Node;
use crate::text::shortened;

/// A fault in a part of a document.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) text: String,
}

/// The most faults that are noted for one part of a document.
const TOLD: usize = 1000;

/// A JSON object that is being checked against a schema.
///
/// Every reading method returns the usable value and notes the faults. `null` is not a valid value of any field.
pub(crate) struct Fields<'n, 'f> {
    node: Node<'n>,
    known: &'static [&'static str],
    /// The values of the known keys. The last value counts if a key is repeated.
    values: Vec<Option<Node<'n>>>,
    /// The known keys that occur in the wrong case.
    in_wrong_case: Vec<&'static str>,
    /// The path of the object in the document: empty, or with a dot at the end.
    prefix: String,
    faults: &'f mut Vec<Fault>,
}

/// Notes a fault. The number of faults is limited, so that a crafted document cannot exhaust the memory.
fn note(faults: &mut Vec<Fault>, text: impl FnOnce() -> String) {
    note_of(FaultKind::Malformed, faults, text);
}

/// Notes a fault of a given kind.
fn note_of(kind: FaultKind, faults: &mut Vec<Fault>, text: impl FnOnce() -> String) {
    if faults.len() < TOLD {
        faults.push(Fault { kind, text: text() });
    } else if faults.len() == TOLD {
        let text = "it has more faults, which are not listed".to_owned();
        faults.push(Fault { kind: FaultKind::Malformed, text });
    }
}

/// Notes the repeated keys of an object.
fn note_repeated(faults: &mut Vec<Fault>, repeated: &Repeated, fault: impl Fn(&str) -> String) {
    let Repeated { named, count } = repeated;
    for key in named {
        note(faults, || fault(&shortened(key)));
    }
    if *count > named.len() {
        note(faults, || format!("{} more keys occur more than once", count - named.len()));
    }
}

impl<'n, 'f> Fields<'n, 'f> {
    /// Starts reading an object with the given known keys. Notes keys that are repeated or in the wrong case.
    ///
    /// Some readers ignore the case of keys; of two equal keys some readers take the first, others the last. Such a
    /// document means different things to different readers.
    pub(crate) fn new(
        node: Node<'n>,
        name: &str,
        known: &'static [&'static str],
        faults: &'f mut Vec<Fault>,
    ) -> Option<Self> {
        if !node.is_object() {
            let name = if name.is_empty() { "it" } else { name };
            note(faults, || format!("{name} is {}, not an object", describe(node)));
            return None;
        }
        let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
        note_repeated(faults, &Repeated::in_object(node), |key| format!("key '{prefix}{key}' occurs more than once"));
        let mut fields =
            Self { node, known, values: vec![None; known.len()], in_wrong_case: Vec::new(), prefix, faults };
        for (key, value) in node.members() {
            if let Some(at) = known.iter().position(|known| *known == key) {
                fields.values[at] = Some(value);
            } else if let Some(right) = known.iter().find(|right| same_but_for_case(&key, right)) {
                let prefix = &fields.prefix;
                note(fields.faults, || format!("key '{prefix}{}' is in the wrong case: '{right}'", shortened(&key)));
                if !fields.in_wrong_case.contains(right) {
                    fields.in_wrong_case.push(right);
                }
            }
        }
        Some(fields)
    }

    /// Notes a fault of a field.
    pub(crate) fn fault(&mut self, key: &str, what: impl std::fmt::Display) {
        self.fault_of(FaultKind::Malformed, key, what);
    }

    /// Notes a fault of a given kind of a field.
    pub(crate) fn fault_of(&mut self, kind: FaultKind, key: &str, what: impl std::fmt::Display) {
        let prefix = &self.prefix;
        note_of(kind, self.faults, || format!("{prefix}{key} {what}"));
    }

    /// Notes a fault of the whole object.
    pub(crate) fn fault_of_all(&mut self, what: impl Into<String>) {
        note(self.faults, || what.into());
    }

    /// Returns the value of a key. The last value counts if a known key is repeated.
    pub(crate) fn get(&self, key: &str) -> Option<Node<'n>> {
        match self.known.iter().position(|known| *known == key) {
            Some(at) => self.values[at],
            None => self.node.get(key),
        }
    }

    /// Returns the value of a required key. A key in the wrong case is not reported as missing.
    pub(crate) fn required(&mut self, key: &str) -> Option<Node<'n>> {
        let value = self.get(key);
        if value.is_none() && !self.in_wrong_case.contains(&key) {
            self.fault(key, "is missing");
        }
        value
    }

    fn wrong(&mut self, key: &str, value: Node<'_>, expected: &str) {
        self.fault(key, format_args!("is {}, not {expected}", describe(value)));
    }

    /// Returns a value that is not null. Docker writes `null` for unset fields, and readers treat it as absent, whether
    /// or not the schema allows null.
    pub(crate) fn set(&mut self, key: &str, null_is_allowed: bool, expected: &str) -> Option<Node<'n>> {
        let value = self.get(key)?;
        if !value.is_null() {
            return Some(value);
        }
        if !null_is_allowed {
            self.fault_of(FaultKind::NullSetting, key, format_args!("is null, not {expected}"));
        }
        None
    }

    /// Reads a value as a string.
    pub(crate) fn text(&mut self, key: &str, value: Option<Node<'n>>) -> Option<Cow<'n, str>> {
        let value = value?;
        let text = value.as_str();
        if text.is_none() {
            self.wrong(key, value, "a string");
        }
        text
    }

    /// Reads optional fields as strings.
    pub(crate) fn texts(&mut self, keys: &[&str]) {
        for key in keys {
            self.text(key, self.get(key));
        }
    }

    /// Reads optional fields as booleans.
    pub(crate) fn bools(&mut self, keys: &[&str]) {
        for key in keys {
            if let Some(value) = self.get(key).filter(|value| !value.is_bool()) {
                self.wrong(key, value, "true or false");
            }
        }
    }

    /// Reads a value as an array.
    pub(crate) fn array(&mut self, key: &str, value: Option<Node<'n>>) -> Option<Node<'n>> {
        let value = value?;
        if !value.is_array() {
            self.wrong(key, value, "an array");
        }
        value.is_array().then_some(value)
    }

    /// Reads a value as an array of strings. Calls `each` with the position and the text of each string.
    pub(crate) fn text_array(
        &mut self,
        key: &str,
        value: Option<Node<'n>>,
        mut each: impl FnMut(&mut Self, usize, &str),
    ) {
        let Some(array) = self.array(key, value) else { return };
        for (at, element) in array.elements().enumerate() {
            match element.as_str() {
                Some(text) => each(self, at, &text),
                None => self.wrong(&format!("{key}[{at}]"), element, "a string"),
            }
        }
    }

    /// Reads a value as an object with arbitrary keys.
    pub(crate) fn map(&mut self, key: &str, value: Option<Node<'n>>) -> Option<Node<'n>> {
        let value = value?;
        if !value.is_object() {
            self.wrong(key, value, "an object");
            return None;
        }
        let prefix = &self.prefix;
        note_repeated(self.faults, &Repeated::in_object(value), |name| {
            format!("{prefix}{key}['{name}'] occurs more than once")
        });
        Some(value)
    }

    /// Reads a value as an object of strings, such as annotations or labels.
    pub(crate) fn text_map(&mut self, key: &str, value: Option<Node<'n>>) {
        for (name, value) in self.map(key, value).into_iter().flat_map(Node::members) {
            if !value.is_string() {
                self.wrong(&format!("{key}['{}']", shortened(&name)), value, "a string");
            }
        }
    }

    /// Reads a value as an object whose values are objects: the form of a set of names in a config.
    pub(crate) fn name_set(&mut self, key: &str, value: Option<Node<'n>>) {
        for (name, value) in self.map(key, value).into_iter().flat_map(Node::members) {
            if !value.is_object() {
                self.wrong(&format!("{key}['{}']", shortened(&name)), value, "an object");
            }
        }
    }

    /// Reads an optional field as a time.
    pub(crate) fn time(&mut self, key: &str) {
        let Some(text) = self.text(key, self.get(key)) else { return };
        if !is_time(&text) {
            self.fault(key, format_args!("is '{}', not a time (RFC 3339)", shortened(&text)));
        } else if !is_go_time(&text) {
            let what = format!("is '{}', which programs in Go do not read", shortened(&text));
            self.fault_of(FaultKind::DateThatGoRefuses, key, what);
        }
    }

    /// Looks for repeated keys in the values that no schema describes.
    pub(crate) fn unknown(&mut self, known: &[&str]) {
        for (key, value) in self.node.members().filter(|(key, _)| !known.contains(&&**key)) {
            if value.is_object() || value.is_array() {
                let name = format!("{}{}", self.prefix, shortened(&key));
                for (path, repeated) in repeated_within(value, &name, TOLD + 1) {
                    note_repeated(self.faults, &repeated, |key| format!("key '{path}.{key}' occurs more than once"));
                }
            }
        }
    }
}

/// Returns whether two keys differ only in case. Go's case folding also maps two letters outside ASCII.
fn same_but_for_case(found: &str, right: &str) -> bool {
    let fold = |letter: char| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => letter.to_ascii_lowercase(),
    };
    found != right && found.chars().map(fold).eq(right.chars().map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_compared_as_go_does() {
        assert!(same_but_for_case("MEDIATYPE", "mediaType"));
        assert!(same_but_for_case("\u{17f}ize", "size"));
        assert!(!same_but_for_case("size", "size"));
        assert!(!same_but_for_case("sizes", "size"));
    }
}
