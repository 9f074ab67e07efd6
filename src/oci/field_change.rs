//! Fields in which two documents differ.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::json::Json;

/// A field that two documents have with different values, or that only one of them has. A field that is null is not set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct FieldChange {
    /// The names from the document to the field. Elements of lists have their number, from 0; variables of `Env` their
    /// name.
    pub path: Vec<String>,
    /// The value in the first document, if it has the field.
    pub before: Option<Json>,
    /// The value in the second document, if it has the field.
    pub after: Option<Json>,
}

/// Whether the order of lists counts whose order means nothing to a runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListOrder {
    Counts,
    Ignored,
}

/// Compares two documents. Objects are compared by their members, lists of objects by their elements, and `Env` of a
/// config by its variables.
pub(crate) fn field_changes(before: &Json, after: &Json, order: ListOrder) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let mut pending = vec![(Vec::new(), Some(before.clone()), Some(after.clone()))];
    while let Some((path, before, after)) = pending.pop() {
        let set = |value: Option<Json>| value.filter(|value| value.as_str() != "null");
        let (before, after) = (set(before), set(after));
        if before == after {
            continue;
        }
        if let Some(parts) = parts_of(&path, before.as_ref(), after.as_ref()) {
            let part = |(name, before, after)| ([&*path, &[name]].concat(), before, after);
            pending.extend(parts.into_iter().rev().map(part));
            if !is_environment(&path) || order == ListOrder::Ignored || has_same_order(before.as_ref(), after.as_ref())
            {
                continue;
            }
        } else if order == ListOrder::Ignored && path == ["os.features"] && sorted(&before) == sorted(&after) {
            continue;
        }
        changes.push(FieldChange { path, before, after });
    }
    changes
}

/// A part of a value: its name, and its value in both documents.
type Part = (String, Option<Json>, Option<Json>);

/// Returns the parts by which two values are compared, if they are not compared as a whole.
fn parts_of(path: &[String], before: Option<&Json>, after: Option<&Json>) -> Option<Vec<Part>> {
    let values = [before, after];
    let given = || values.iter().flatten();
    let parted = |read: fn(&Json) -> Option<BTreeMap<PartName, Json>>| {
        let [mut before, mut after] = values.map(|value| value.map_or_else(|| Some(BTreeMap::new()), read));
        let (before, after) = (before.as_mut()?, after.as_mut()?);
        let names: BTreeSet<PartName> = before.keys().chain(after.keys()).cloned().collect();
        Some(names.into_iter().map(|name| (name.text(), before.remove(&name), after.remove(&name))).collect())
    };
    // An empty object or list may mean something, as the members of ExposedPorts do.
    if given().any(|value| matches!(value.as_str(), "{}" | "[]")) && given().count() == 1 {
        return None;
    }
    if is_environment(path) {
        return parted(variables);
    }
    if given().all(|value| value.as_str().starts_with('{')) {
        return parted(|value| {
            let members = value.read::<BTreeMap<String, Json>>().ok()?;
            Some(members.into_iter().map(|(name, value)| (PartName::Key(name), value)).collect())
        });
    }
    parted(|value| {
        let elements = value.read::<Vec<Json>>().ok().filter(|elements| !elements.is_empty())?;
        let are_objects = elements.iter().all(|element| element.as_str().starts_with('{'));
        let numbered = || elements.into_iter().enumerate().map(|(at, value)| (PartName::Number(at), value)).collect();
        are_objects.then(numbered)
    })
}

/// The name of a part of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PartName {
    Key(String),
    Number(usize),
}

impl PartName {
    fn text(&self) -> String {
        match self {
            Self::Key(name) => name.clone(),
            Self::Number(number) => number.to_string(),
        }
    }
}

fn is_environment(path: &[String]) -> bool {
    path == ["config", "Env"]
}

/// Returns the variables of `Env`, unless one is set twice: which of them counts is known to runtimes alone.
fn variables(environment: &Json) -> Option<BTreeMap<PartName, Json>> {
    let entries = environment.read::<Vec<String>>().ok()?;
    let mut variables = BTreeMap::new();
    for entry in &entries {
        let (name, value) = entry.split_once('=')?;
        variables.insert(PartName::Key(name.to_owned()), Json::new(value).ok()?);
    }
    (variables.len() == entries.len()).then_some(variables)
}

/// Returns whether the variables that both environments have stand in one order.
fn has_same_order(before: Option<&Json>, after: Option<&Json>) -> bool {
    let names = |environment: Option<&Json>| -> Vec<String> {
        let entries = environment.and_then(|list| list.read::<Vec<String>>().ok()).unwrap_or_default();
        entries.iter().filter_map(|entry| Some(entry.split_once('=')?.0.to_owned())).collect()
    };
    let (before, after) = (names(before), names(after));
    let places: HashMap<&String, usize> = after.iter().enumerate().map(|(at, name)| (name, at)).collect();
    before.iter().filter_map(|name| places.get(name)).is_sorted()
}

/// Returns the elements of a list in order.
fn sorted(list: &Option<Json>) -> Option<Vec<String>> {
    let mut elements = list.as_ref()?.read::<Vec<String>>().ok()?;
    elements.sort_unstable();
    Some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the changes, one a line.
    fn changes(before: &str, after: &str, order: ListOrder) -> Vec<String> {
        let [before, after] = [before, after].map(|text| text.parse().expect("JSON"));
        let value = |value: Option<Json>| value.map_or_else(|| "-".to_owned(), Json::into_string);
        let line = |change: FieldChange| {
            format!("{}: {} {}", change.path.join("/"), value(change.before), value(change.after))
        };
        field_changes(&before, &after, order).into_iter().map(line).collect()
    }

    #[test]
    fn i3_configs_are_compared_by_field() {
        let cases: &[(&str, &str, &[&str])] = &[
            (r#"{"os":"linux","a":1}"#, r#"{"a":1,"os":"linux"}"#, &[]),
            (r#"{"os":"linux"}"#, r#"{"os":"windows"}"#, &[r#"os: "linux" "windows""#]),
            (r#"{"author":null}"#, "{}", &[]),
            (r#"{"author":"x"}"#, "{}", &[r#"author: "x" -"#]),
            (r#"{"config":{"Cmd":["a"]}}"#, r#"{"config":{"Cmd":["a","b"]}}"#, &[r#"config/Cmd: ["a"] ["a","b"]"#]),
            (r#"{"config":{"Cmd":[]}}"#, r#"{"config":{}}"#, &["config/Cmd: [] -"]),
            (r#"{"config":{"Labels":{"a.b":"1"}}}"#, r#"{"config":{}}"#, &[r#"config/Labels/a.b: "1" -"#]),
            (
                r#"{"config":{"ExposedPorts":{"80/tcp":{}}}}"#,
                r#"{"config":{"ExposedPorts":{}}}"#,
                &["config/ExposedPorts/80/tcp: {} -"],
            ),
            (
                r#"{"history":[{"created":"1"}]}"#,
                r#"{"history":[{"created":"2"}]}"#,
                &[r#"history/0/created: "1" "2""#],
            ),
            (r#"{"history":[{"a":1},{"b":2}]}"#, r#"{"history":[{"a":1}]}"#, &["history/1/b: 2 -"]),
            (r#"{"n":1.50}"#, r#"{"n":1.5}"#, &["n: 1.50 1.5"]),
            (r#"{"config":{}}"#, r#"{"config":[]}"#, &["config: {} []"]),
        ];
        for (before, after, expected) in cases {
            assert_eq!(changes(before, after, ListOrder::Counts), *expected, "{before} {after}");
        }
    }

    #[test]
    fn i3_environments_are_compared_by_variable_and_their_order_can_be_ignored() {
        let env = |entries: &str| format!(r#"{{"config":{{"Env":[{entries}]}}}}"#);
        let cases: &[(&str, &str, &[&str], &[&str])] = &[
            (r#""A=1","B=2""#, r#""A=1","B=3""#, &[r#"config/Env/B: "2" "3""#], &[r#"config/Env/B: "2" "3""#]),
            (r#""A=1","B=2""#, r#""B=2","A=1""#, &[r#"config/Env: ["A=1","B=2"] ["B=2","A=1"]"#], &[]),
            (r#""A=1""#, r#""B=2","A=1""#, &[r#"config/Env/B: - "2""#], &[r#"config/Env/B: - "2""#]),
            (
                r#""A=1","A=2""#,
                r#""A=2""#,
                &[r#"config/Env: ["A=1","A=2"] ["A=2"]"#],
                &[r#"config/Env: ["A=1","A=2"] ["A=2"]"#],
            ),
        ];
        for (before, after, counted, ignored) in cases {
            let (before, after) = (env(before), env(after));
            assert_eq!(changes(&before, &after, ListOrder::Counts), *counted, "{before} {after}");
            assert_eq!(changes(&before, &after, ListOrder::Ignored), *ignored, "{before} {after}");
        }
        let features = |list: &str| format!(r#"{{"os.features":{list}}}"#);
        let (before, after) = (features(r#"["a","b"]"#), features(r#"["b","a"]"#));
        assert_eq!(changes(&before, &after, ListOrder::Counts), [r#"os.features: ["a","b"] ["b","a"]"#]);
        assert!(changes(&before, &after, ListOrder::Ignored).is_empty());
    }
}
