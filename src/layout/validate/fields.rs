//! The fields of a JSON object: reading each as what it must be, and saying what it is not.

use super::json::{Node, repeated, shortened};
use super::values::is_time;

/// An object that is being checked against a schema.
///
/// Every reading method returns what can be used and notes what is wrong. `null` is no value of any field.
pub(super) struct Fields<'n, 'f> {
    members: &'n [(Box<str>, Node)],
    /// Where the object stands in what is checked: empty, or with a dot at its end.
    prefix: String,
    faults: &'f mut Vec<String>,
}

impl<'n, 'f> Fields<'n, 'f> {
    /// Starts with an object whose known keys are given; looks for keys that occur twice or are in the wrong case.
    ///
    /// Some readers match keys whatever their case, some take the first of two keys, some the last: what such a document
    /// says depends on who reads it.
    pub(super) fn new(node: &'n Node, name: &str, known: &[&str], faults: &'f mut Vec<String>) -> Option<Self> {
        let Node::Object(members) = node else {
            let name = if name.is_empty() { "it" } else { name };
            faults.push(format!("{name} is {}, not an object", node.describe()));
            return None;
        };
        let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
        for key in repeated(members) {
            faults.push(format!("key '{prefix}{}' occurs more than once", shortened(key)));
        }
        for (key, _) in members.iter().filter(|(key, _)| !known.contains(&&**key)) {
            if let Some(right) = known.iter().find(|right| same_but_for_case(key, right)) {
                faults.push(format!("key '{prefix}{}' is in the wrong case: '{right}'", shortened(key)));
            }
        }
        Some(Self { members, prefix, faults })
    }

    /// Notes a fault of a field.
    pub(super) fn fault(&mut self, key: &str, what: impl std::fmt::Display) {
        self.faults.push(format!("{}{key} {what}", self.prefix));
    }

    /// Notes a fault of the object.
    pub(super) fn fault_of_all(&mut self, what: impl Into<String>) {
        self.faults.push(what.into());
    }

    /// Returns a value; of several with one key the last.
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.members.iter().rev().find(|(name, _)| &**name == key).map(|(_, value)| value)
    }

    /// Returns a value that must be there. A key in the wrong case is not missing too.
    pub(super) fn required(&mut self, key: &str) -> Option<&'n Node> {
        let value = self.get(key);
        if value.is_none() && !self.members.iter().any(|(name, _)| same_but_for_case(name, key)) {
            self.fault(key, "is missing");
        }
        value
    }

    fn wrong(&mut self, key: &str, value: &Node, expected: &str) {
        self.fault(key, format!("is {}, not {expected}", value.describe()));
    }

    /// Reads a value as text.
    pub(super) fn text(&mut self, key: &str, value: Option<&'n Node>) -> Option<&'n str> {
        let value = value?;
        if value.as_str().is_none() {
            self.wrong(key, value, "a string");
        }
        value.as_str()
    }

    /// Reads optional fields as texts.
    pub(super) fn texts(&mut self, keys: &[&str]) {
        for key in keys {
            self.text(key, self.get(key));
        }
    }

    /// Reads optional fields as booleans.
    pub(super) fn bools(&mut self, keys: &[&str]) {
        for key in keys {
            if let Some(value) = self.get(key).filter(|value| !matches!(value, Node::Bool(_))) {
                self.wrong(key, value, "true or false");
            }
        }
    }

    /// Reads a value as an array.
    pub(super) fn array(&mut self, key: &str, value: Option<&'n Node>) -> Option<&'n [Node]> {
        let value = value?;
        if value.as_array().is_none() {
            self.wrong(key, value, "an array");
        }
        value.as_array()
    }

    /// Reads a value as an array of texts, each with its place in it.
    pub(super) fn text_array(&mut self, key: &str, value: Option<&'n Node>) -> Vec<(usize, &'n str)> {
        let elements = self.array(key, value).unwrap_or_default();
        let read = |(at, element): (usize, &'n Node)| Some((at, self.text(&format!("{key}[{at}]"), Some(element))?));
        elements.iter().enumerate().filter_map(read).collect()
    }

    /// Reads a value as an object whose keys are free.
    pub(super) fn map(&mut self, key: &str, value: Option<&'n Node>) -> &'n [(Box<str>, Node)] {
        let Some(value) = value else { return &[] };
        let Node::Object(members) = value else {
            self.wrong(key, value, "an object");
            return &[];
        };
        for name in repeated(members) {
            self.fault(&format!("{key}['{}']", shortened(name)), "occurs more than once");
        }
        members
    }

    /// Reads a value as an object of texts: annotations, labels.
    pub(super) fn text_map(&mut self, key: &str, value: Option<&'n Node>) {
        for (name, value) in self.map(key, value) {
            self.text(&format!("{key}['{}']", shortened(name)), Some(value));
        }
    }

    /// Reads a value as an object of objects: a set of names.
    pub(super) fn name_set(&mut self, key: &str, value: Option<&'n Node>) {
        for (name, value) in self.map(key, value) {
            if !matches!(value, Node::Object(_)) {
                self.wrong(&format!("{key}['{}']", shortened(name)), value, "an object");
            }
        }
    }

    /// Reads an optional field as a time.
    pub(super) fn time(&mut self, key: &str) {
        if let Some(text) = self.text(key, self.get(key)).filter(|text| !is_time(text)) {
            self.fault(key, format!("is '{}', not a time (RFC 3339)", shortened(text)));
        }
    }

    /// Looks for keys that occur twice where no schema says what is there.
    pub(super) fn unknown(&mut self, known: &[&str]) {
        for (key, value) in self.members.iter().filter(|(key, _)| !known.contains(&&**key)) {
            look_for_repeated(value, &format!("{}{}", self.prefix, shortened(key)), self.faults);
        }
    }
}

/// Looks for keys that occur twice. The parser bounds how deep values nest.
fn look_for_repeated(node: &Node, name: &str, faults: &mut Vec<String>) {
    match node {
        Node::Object(members) => {
            for key in repeated(members) {
                faults.push(format!("key '{name}.{}' occurs more than once", shortened(key)));
            }
            for (key, value) in members {
                if matches!(value, Node::Object(_) | Node::Array(_)) {
                    look_for_repeated(value, &format!("{name}.{}", shortened(key)), faults);
                }
            }
        }
        Node::Array(elements) => {
            for (at, element) in elements.iter().enumerate() {
                if matches!(element, Node::Object(_) | Node::Array(_)) {
                    look_for_repeated(element, &format!("{name}[{at}]"), faults);
                }
            }
        }
        _ => {}
    }
}

/// Tells whether two keys are the same to a reader that does not look at their case. Go's folds two letters that are not
/// ASCII as well.
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
