//! `--template`: the values of a result in a line of the user's form.

use std::str::FromStr;

use serde_json::Value;

use super::printable::printable;
use super::result_keys::{has_more, is_key, keys_of, shown};
use super::usage::Usage;

/// A text with keys of a command's JSON in braces, such as `{digest} {size}\n`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A path of keys, joined by dots.
    Key(String),
}

impl FromStr for Template {
    type Err = String;

    fn from_str(template: &str) -> Result<Self, Self::Err> {
        let (mut parts, mut text) = (Vec::new(), String::new());
        let mut characters = template.chars().peekable();
        while let Some(character) = characters.next() {
            match (character, characters.peek()) {
                ('{', Some('{')) | ('}', Some('}')) => {
                    characters.next();
                    text.push(character);
                }
                ('{', _) => {
                    let mut key = String::new();
                    loop {
                        match characters.next() {
                            Some('}') => break,
                            Some('{') | None => {
                                return Err(format!("'{{{key}' has no closing brace; write {{{{ for a brace"));
                            }
                            Some(character) => key.push(character),
                        }
                    }
                    if key.is_empty() {
                        return Err("{} has no key".to_owned());
                    }
                    parts.extend((!text.is_empty()).then(|| Part::Text(std::mem::take(&mut text))));
                    parts.push(Part::Key(key));
                }
                ('}', _) => return Err("'}' closes nothing; write }} for a brace".to_owned()),
                ('\\', Some(escape @ ('n' | 't' | '\\'))) => {
                    text.push(match escape {
                        'n' => '\n',
                        't' => '\t',
                        _ => '\\',
                    });
                    characters.next();
                }
                _ => text.push(character),
            }
        }
        parts.extend((!text.is_empty()).then_some(Part::Text(text)));
        Ok(Self(parts))
    }
}

impl Template {
    /// Checks, before a command runs, that its JSON can have every key of the template.
    ///
    /// # Errors
    ///
    /// [`Usage`] that names the first unknown key and the keys there are.
    pub(crate) fn check(&self, command: &str) -> Result<(), Usage> {
        let keys = keys_of(command);
        match self.keys().find(|key| !has_more(keys) && !is_key(keys, key)) {
            Some(key) => Err(unknown_key(command, key)),
            None => Ok(()),
        }
    }

    /// Returns the text for a result of a command: of a list, a line for each element.
    ///
    /// # Errors
    ///
    /// [`Usage`] if a key is none of the command's, and the document that it printed has no such key either.
    pub(crate) fn fill(&self, command: &str, result: &Value) -> Result<String, Usage> {
        let elements = match result {
            Value::Array(elements) => elements.as_slice(),
            result => std::slice::from_ref(result),
        };
        let is_known = |key: &&str| {
            is_key(keys_of(command), key) || elements.iter().any(|element| value_at(element, key).is_some())
        };
        match self.keys().find(|key| !is_known(key)) {
            Some(key) if !elements.is_empty() => Err(unknown_key(command, key)),
            _ => Ok(elements.iter().map(|element| self.line(element)).collect()),
        }
    }

    fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Key(key) => Some(key.as_str()),
            Part::Text(_) => None,
        })
    }

    fn line(&self, element: &Value) -> String {
        let fill = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Key(key) => value_at(element, key).map(text_of).unwrap_or_default(),
        };
        self.0.iter().map(fill).chain(["\n".to_owned()]).collect()
    }
}

fn unknown_key(command: &str, key: &str) -> Usage {
    let key = printable(key);
    Usage(format!("--template: '{command}' has no key '{key}'; its keys are {}", shown(keys_of(command))))
}

/// Returns the value of a path of keys. A key may contain dots itself: the longest one that the object has is taken.
fn value_at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if let Some(value) = value.get(path) {
        return Some(value);
    }
    let dots = path.rmatch_indices('.').map(|(at, _)| at);
    dots.filter_map(|at| Some((value.get(&path[..at])?, &path[at + 1..])))
        .find_map(|(value, rest)| value_at(value, rest))
}

/// Returns a value as text: strings without quotes, nothing for `null`, JSON for lists and objects.
fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text),
        value => printable(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn filled(template: &str, value: Value) -> String {
        template.parse::<Template>().expect("it can be read").fill("show", &value).expect("the keys are there")
    }

    #[test]
    fn keys_are_replaced_by_their_values() {
        let value = json!({"digest": "sha256:1", "size": 7, "done": true, "none": null, "config": {"os": "linux", "env": ["A=1"]}});
        assert_eq!(filled("{digest} {size} {done} [{none}]", value.clone()), "sha256:1 7 true []\n");
        assert_eq!(filled("{config.os}: {config.env}, {config.user}.", value), "linux: [\"A=1\"], .\n");
    }

    #[test]
    fn a_key_may_contain_dots() {
        let value = json!({"annotations": {"org.example.a": "x", "org": {"example": {"b": "y"}}}});
        assert_eq!(filled("{annotations.org.example.a}{annotations.org.example.b}", value), "xy\n");
    }

    #[test]
    fn a_list_has_a_line_for_each_element() {
        assert_eq!(filled("{tag}", json!([{"tag": "v1"}, {"tag": "v2"}])), "v1\nv2\n");
        assert_eq!(filled("{tag}", json!([])), "");
    }

    #[test]
    fn braces_and_escapes_are_written() {
        assert_eq!(filled(r"{{{a}}}\t\n\\n\d", json!({"a": 1})), "{1}\t\n\\n\\d\n");
    }

    #[test]
    fn values_cannot_control_a_terminal() {
        assert_eq!(filled("{a}", json!({"a": "\u{1b}[31m\n"})), "\\u{1b}[31m\\n\n");
    }

    #[test]
    fn a_template_with_a_single_brace_is_refused() {
        for (template, reason) in [
            ("{a", "'{a' has no closing brace; write {{ for a brace"),
            ("{a{b}", "'{a' has no closing brace; write {{ for a brace"),
            ("a}", "'}' closes nothing; write }} for a brace"),
            ("{}", "{} has no key"),
        ] {
            assert_eq!(template.parse::<Template>(), Err(reason.to_owned()), "{template}");
        }
    }
}
