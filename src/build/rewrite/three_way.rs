//! The config of an image that gets another base: fields that are those of the old base follow the base, others stay
//! (images, rule E3).

use std::collections::BTreeSet;

use crate::build::config::fault::Fault;
use crate::oci::{Json, UnknownFields};

/// The fields that belong to the layers, or to the image alone.
const OF_IMAGE: [&str; 3] = ["rootfs", "history", "created"];

/// The fields of `config` whose entries are looked at one by one.
const SETS: [&str; 3] = ["Labels", "ExposedPorts", "Volumes"];

/// Gives a config the fields of a new base that it has from the old one. Variables, labels, ports and volumes are looked at
/// one by one.
pub(super) fn rebase_config(config: &mut UnknownFields, old: &UnknownFields, new: &UnknownFields) -> Result<(), Fault> {
    for name in names([&*config, old, new]) {
        match &*name {
            name if OF_IMAGE.contains(&name) => {}
            "config" => {
                let section = |fields: &UnknownFields| -> Result<UnknownFields, Fault> {
                    Ok(fields.get::<Option<UnknownFields>>("config")?.flatten().unwrap_or_default())
                };
                let (mut image, before) = (section(config)?, section(config)?);
                rebase_process(&mut image, &section(old)?, &section(new)?)?;
                if image != before {
                    put(config, "config", (!image.is_empty()).then(|| Json::new(&image)).transpose()?)?;
                }
            }
            name => follow(config, old, new, name)?,
        }
    }
    Ok(())
}

fn rebase_process(image: &mut UnknownFields, old: &UnknownFields, new: &UnknownFields) -> Result<(), Fault> {
    for name in names([&*image, old, new]) {
        let section = |fields: &UnknownFields| fields.get::<Option<UnknownFields>>(&name).ok().flatten().flatten();
        match &*name {
            "Env" => rebase_env(image, old, new)?,
            set if SETS.contains(&set) => {
                let mut entries = section(image).unwrap_or_default();
                let before = entries.clone();
                let (of_old, of_new) = (section(old).unwrap_or_default(), section(new).unwrap_or_default());
                for key in names([&entries, &of_old, &of_new]) {
                    follow(&mut entries, &of_old, &of_new, &key)?;
                }
                if entries != before {
                    put(image, set, (!entries.is_empty()).then(|| Json::new(&entries)).transpose()?)?;
                }
            }
            name => follow(image, old, new, name)?,
        }
    }
    Ok(())
}

/// Gives a field the value of the new base, if it has that of the old one.
fn follow(image: &mut UnknownFields, old: &UnknownFields, new: &UnknownFields, name: &str) -> Result<(), Fault> {
    let value = |fields: &UnknownFields| fields.get::<Json>(name);
    if value(image)? == value(old)? {
        put(image, name, value(new)?)?;
    }
    Ok(())
}

fn put(fields: &mut UnknownFields, name: &str, value: Option<Json>) -> Result<(), Fault> {
    match value {
        Some(value) => fields.insert(name, &value)?,
        None => drop(fields.remove(name)),
    }
    Ok(())
}

/// Variables of the new base stand first, in its order; those of the image alone follow in theirs.
fn rebase_env(image: &mut UnknownFields, old: &UnknownFields, new: &UnknownFields) -> Result<(), Fault> {
    let env = |fields: &UnknownFields| -> Result<Vec<String>, Fault> {
        Ok(fields.get::<Option<Vec<String>>>("Env")?.flatten().unwrap_or_default())
    };
    let (of_image, of_old, of_new) = (env(image)?, env(old)?, env(new)?);
    // Of a variable that is set twice the last value counts.
    let value = |env: &[String], name: &str| env.iter().rev().find(|entry| name_of(entry) == name).cloned();
    let mut after: Vec<String> = Vec::new();
    for entry in of_new.iter().chain(&of_image) {
        let name = name_of(entry);
        if after.iter().any(|entry| name_of(entry) == name) {
            continue;
        }
        let (own, before) = (value(&of_image, name), value(&of_old, name));
        after.extend(if own == before { value(&of_new, name) } else { own });
    }
    if after != of_image {
        put(image, "Env", (!after.is_empty()).then(|| Json::new(&after)).transpose()?)?;
    }
    Ok(())
}

/// Returns the name of a variable.
fn name_of(entry: &str) -> &str {
    entry.split_once('=').map_or(entry, |(name, _)| name)
}

/// Returns the names of all fields.
fn names(fields: [&UnknownFields; 3]) -> BTreeSet<String> {
    fields.into_iter().flat_map(|fields| fields.iter().map(|(name, _)| name.into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e3_fields_of_the_old_base_follow_the_base_and_others_stay() {
        let fields = |text: &str| text.parse::<UnknownFields>().expect("an object");
        for (image, old, new, expected) in [
            (r#"{"author":"a"}"#, r#"{"author":"a"}"#, r#"{"author":"b"}"#, r#"{"author":"b"}"#),
            (r#"{"author":"x"}"#, r#"{"author":"a"}"#, r#"{"author":"b"}"#, r#"{"author":"x"}"#),
            (r#"{"author":"a"}"#, r#"{"author":"a"}"#, "{}", "{}"),
            // What the image removed stays away.
            ("{}", r#"{"author":"a"}"#, r#"{"author":"b"}"#, "{}"),
            ("{}", "{}", r#"{"x":1.0}"#, r#"{"x":1.0}"#),
            (
                r#"{"created":"i","history":[],"rootfs":{}}"#,
                r#"{"created":"i"}"#,
                r#"{"created":"n","rootfs":1}"#,
                r#"{"created":"i","history":[],"rootfs":{}}"#,
            ),
            (
                r#"{"config":{"Cmd":["i"],"User":"o"}}"#,
                r#"{"config":{"Cmd":["o"],"User":"o"}}"#,
                r#"{"config":{"Cmd":["n"],"User":"n","StopSignal":"TERM"}}"#,
                r#"{"config":{"Cmd":["i"],"StopSignal":"TERM","User":"n"}}"#,
            ),
            (r#"{"config":{"User":"o"}}"#, r#"{"config":{"User":"o"}}"#, "{}", "{}"),
            (
                r#"{"config":{"Labels":{"a":"o","b":"i","d":"1"}}}"#,
                r#"{"config":{"Labels":{"a":"o","b":"o","c":"o"}}}"#,
                r#"{"config":{"Labels":{"a":"n","b":"n","c":"n","e":"n"}}}"#,
                r#"{"config":{"Labels":{"a":"n","b":"i","d":"1","e":"n"}}}"#,
            ),
            // ggcr#730: a variable of the old base that the new one lacks goes.
            (
                r#"{"config":{"Env":["PATH=o","JAVA_HOME=/o","APP=1","LANG=i"]}}"#,
                r#"{"config":{"Env":["PATH=o","JAVA_HOME=/o","LANG=o"]}}"#,
                r#"{"config":{"Env":["NEW=1","LANG=n","PATH=n"]}}"#,
                r#"{"config":{"Env":["NEW=1","LANG=i","PATH=n","APP=1"]}}"#,
            ),
        ] {
            let mut config = fields(image);
            assert!(rebase_config(&mut config, &fields(old), &fields(new)).is_ok());
            assert_eq!(config.to_string(), expected, "{image}");
        }
    }
}
