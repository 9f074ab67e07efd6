//! How the differences of two images are shown: text with a line for each, and JSON.

use std::fmt::Display;

use regshape::oci::{Annotations, Digest, FieldChange, Json, Timestamp};
use regshape::rootfs::{
    ComparedEntry, ComparedLayer, FileAttribute, FileChange, ImageDifference, LayerChange, TreeEntry,
};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::files_output::{entry_attributes, path_text, type_name};
use super::source::LowerVariant;
use crate::cli::output::{Screen, printable};
use crate::cli::printable::printable_bytes;
use crate::cli::style::Style;

/// The differences of two images.
pub(super) struct DiffScreen {
    difference: ImageDifference,
    lower_variants: Vec<LowerVariant>,
}

impl DiffScreen {
    pub(super) fn new(difference: ImageDifference, lower_variants: Vec<LowerVariant>) -> Self {
        Self { difference, lower_variants }
    }
}

impl Screen for DiffScreen {
    fn text(&self, style: &Style) -> String {
        let ImageDifference { config, annotations, layers, files, .. } = &self.difference;
        let fields = |changes: &[FieldChange]| changes.iter().map(field_line).collect();
        let sections: [(&str, Vec<String>); 4] = [
            ("config", fields(config)),
            ("annotations", fields(annotations)),
            ("layers", layers.iter().map(|change| layer_line(change, style)).collect()),
            ("files", files.iter().map(|change| file_line(change, style)).collect()),
        ];
        let given = sections.into_iter().filter(|(_, lines)| !lines.is_empty());
        given.map(|(name, lines)| format!("{name}:\n{}", lines.join("\n"))).collect::<Vec<_>>().join("\n")
    }

    fn wraps(&self) -> bool {
        true
    }

    fn quiet(&self) -> Option<String> {
        Some(String::new())
    }
}

/// Returns two different values.
fn changed(before: impl Display, after: impl Display) -> String {
    format!("{before} -> {after}")
}

fn field_line(FieldChange { path, before, after, .. }: &FieldChange) -> String {
    let name = printable(&path.join("."));
    let value = |value: &Json| printable(value.as_str());
    match (before, after) {
        (Some(before), Some(after)) => format!("~ {name}: {}", changed(value(before), value(after))),
        (Some(before), None) => format!("- {name}: {}", value(before)),
        (None, after) => format!("+ {name}: {}", after.as_ref().map(value).unwrap_or_default()),
    }
}

fn layer_line(change: &LayerChange, style: &Style) -> String {
    let alone = |sign, layer: &ComparedLayer| format!("{sign} {}: {}", layer.number, style.digest(&layer.diff_id));
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            let number = match before.number == after.number {
                true => before.number.to_string(),
                false => changed(before.number, after.number),
            };
            format!("~ {number}: {}", differing_layer(before, after, style))
        }
        (Some(before), None) => alone('-', before),
        (None, after) => after.as_ref().map(|after| alone('+', after)).unwrap_or_default(),
    }
}

/// Returns the values in which two layers differ. Layers with other tars have other blobs, too.
fn differing_layer(before: &ComparedLayer, after: &ComparedLayer, style: &Style) -> String {
    let mut parts = Vec::new();
    let has_same_tar = before.diff_id == after.diff_id;
    if !has_same_tar {
        parts.push(format!("diff_id {}", changed(style.digest(&before.diff_id), style.digest(&after.diff_id))));
    }
    let (before, after) = (&before.descriptor, &after.descriptor);
    if before.media_type != after.media_type {
        let [before, after] = [before, after].map(|layer| printable(layer.media_type.as_ref()));
        parts.push(format!("media type {}", changed(before, after)));
    }
    if has_same_tar && before.digest != after.digest {
        parts.push(format!("digest {}", changed(style.digest(&before.digest), style.digest(&after.digest))));
    }
    if has_same_tar && before.size != after.size {
        parts.push(format!("size {}", changed(before.size, after.size)));
    }
    if before.annotations != after.annotations {
        let [before, after] = [before, after].map(|layer| annotations_text(layer.annotations.as_ref()));
        parts.push(format!("annotations {}", changed(before, after)));
    }
    parts.join(", ")
}

fn annotations_text(annotations: Option<&Annotations>) -> String {
    let json = annotations.and_then(|annotations| Json::new(annotations).ok());
    json.map_or_else(|| "{}".to_owned(), |json| printable(json.as_str()))
}

fn file_line(change: &FileChange, style: &Style) -> String {
    let path = printable_bytes(&change.path);
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => {
            let parts = change.differs.iter().map(|attribute| attribute_text(*attribute, before, after, style));
            format!("~ /{path}: {}", parts.collect::<Vec<_>>().join(", "))
        }
        (Some(_), None) => format!("- /{path}"),
        (None, _) => format!("+ /{path}"),
    }
}

fn attribute_text(attribute: FileAttribute, before: &ComparedEntry, after: &ComparedEntry, style: &Style) -> String {
    let both = |value: fn(&ComparedEntry) -> String| changed(value(before), value(after));
    match attribute {
        FileAttribute::Type => format!("type {}", both(|of| type_name(of.entry.flag).to_owned())),
        FileAttribute::Mode => format!("mode {}", both(|of| format!("{:04o}", of.entry.mode))),
        FileAttribute::User => format!("user {}", both(|of| of.entry.uid.to_string())),
        FileAttribute::Group => format!("group {}", both(|of| of.entry.gid.to_string())),
        FileAttribute::Size => format!("size {}", both(|of| of.entry.size.to_string())),
        FileAttribute::Content => {
            let digest = |content: &Option<Digest>| {
                content.as_ref().map_or_else(|| "unknown".to_owned(), |digest| style.digest(digest).to_owned())
            };
            format!("content {}", changed(digest(&before.content), digest(&after.content)))
        }
        FileAttribute::Target => format!("target {}", both(target_text)),
        FileAttribute::Device => format!("device {}", both(device_text)),
        FileAttribute::Xattrs => xattrs_text(&before.entry, &after.entry),
        FileAttribute::Modified => format!("time {}", both(|of| time_text(of.entry.modified))),
        FileAttribute::HardLinks => format!("hard link to {}", both(first_name_text)),
        _ => String::from("other attributes"),
    }
}

fn target_text(of: &ComparedEntry) -> String {
    let slash = if of.entry.flag == b'1' { "/" } else { "" };
    format!("'{slash}{}'", printable_bytes(&of.entry.target))
}

fn device_text(of: &ComparedEntry) -> String {
    of.entry.device.map_or_else(|| "none".to_owned(), |(major, minor)| format!("{major}:{minor}"))
}

fn first_name_text(of: &ComparedEntry) -> String {
    of.first_name.as_ref().map_or_else(|| "none".to_owned(), |name| format!("/{}", printable_bytes(name)))
}

fn time_text(seconds: i64) -> String {
    Timestamp::from_seconds(seconds).map_or_else(|| format!("@{seconds}"), |time| time.to_string())
}

/// Returns the extended attributes that differ, with their values as getfattr(1) prints them.
fn xattrs_text(before: &TreeEntry, after: &TreeEntry) -> String {
    let mut names: Vec<&Vec<u8>> = before.xattrs.iter().chain(&after.xattrs).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let of = |entry: &TreeEntry, name: &Vec<u8>| {
        let found = entry.xattrs.iter().find(|(other, _)| other == name);
        found.map_or_else(|| "none".to_owned(), |(_, value)| hexadecimal(value))
    };
    let parts = names.into_iter().filter_map(|name| {
        let (before, after) = (of(before, name), of(after, name));
        (before != after).then(|| format!("xattr {} {}", printable_bytes(name), changed(before, after)))
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn hexadecimal(value: &[u8]) -> String {
    value.iter().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

/// Returns the word for a change.
fn word<T>(before: &Option<T>, after: &Option<T>) -> &'static str {
    match (before, after) {
        (Some(_), Some(_)) => "changed",
        (Some(_), None) => "removed",
        (None, _) => "added",
    }
}

/// Returns the word for an attribute.
fn attribute_word(attribute: FileAttribute) -> &'static str {
    match attribute {
        FileAttribute::Type => "type",
        FileAttribute::Mode => "mode",
        FileAttribute::User => "uid",
        FileAttribute::Group => "gid",
        FileAttribute::Size => "size",
        FileAttribute::Content => "content",
        FileAttribute::Target => "target",
        FileAttribute::Device => "device",
        FileAttribute::Xattrs => "xattrs",
        FileAttribute::Modified => "mtime",
        FileAttribute::HardLinks => "same_file_as",
        _ => "other",
    }
}

impl Serialize for DiffScreen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ImageDifference { config, annotations, layers, files, .. } = &self.difference;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("equal", &self.difference.is_empty())?;
        map.serialize_entry("config", &List(config, FieldJson))?;
        map.serialize_entry("annotations", &List(annotations, FieldJson))?;
        map.serialize_entry("layers", &List(layers, LayerJson))?;
        map.serialize_entry("files", &List(files, FileJson))?;
        if !self.lower_variants.is_empty() {
            map.serialize_entry("lower_variants", &self.lower_variants)?;
        }
        map.end()
    }
}

/// A list of values that are written in a form of this file.
struct List<'a, T, W>(&'a [T], fn(&'a T) -> W);

impl<T, W: Serialize> Serialize for List<'_, T, W> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        self.0.iter().try_for_each(|value| list.serialize_element(&self.1(value)))?;
        list.end()
    }
}

struct FieldJson<'a>(&'a FieldChange);

impl Serialize for FieldJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let FieldChange { path, before, after, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("path", path)?;
        map.serialize_entry("change", word(before, after))?;
        values(&mut map, before.as_ref(), after.as_ref())?;
        map.end()
    }
}

/// Writes the values of the first and the second image.
fn values<M: SerializeMap, T: Serialize>(map: &mut M, before: Option<T>, after: Option<T>) -> Result<(), M::Error> {
    before.map_or(Ok(()), |before| map.serialize_entry("before", &before))?;
    after.map_or(Ok(()), |after| map.serialize_entry("after", &after))
}

struct LayerJson<'a>(&'a LayerChange);

impl Serialize for LayerJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let LayerChange { before, after, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("change", word(before, after))?;
        values(&mut map, before.as_ref().map(ComparedLayerJson), after.as_ref().map(ComparedLayerJson))?;
        map.end()
    }
}

struct ComparedLayerJson<'a>(&'a ComparedLayer);

impl Serialize for ComparedLayerJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ComparedLayer { number, diff_id, descriptor, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("layer", number)?;
        map.serialize_entry("diff_id", diff_id)?;
        map.serialize_entry("media_type", &descriptor.media_type)?;
        map.serialize_entry("digest", &descriptor.digest)?;
        map.serialize_entry("size", &descriptor.size)?;
        if let Some(annotations) = &descriptor.annotations {
            map.serialize_entry("annotations", annotations)?;
        }
        map.end()
    }
}

struct FileJson<'a>(&'a FileChange);

impl Serialize for FileJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let FileChange { path, before, after, differs, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        path_text(&mut map, ("path", "path_bytes"), path)?;
        map.serialize_entry("change", word(before, after))?;
        if !differs.is_empty() {
            map.serialize_entry("differs", &differs.iter().copied().map(attribute_word).collect::<Vec<_>>())?;
        }
        values(&mut map, before.as_ref().map(ComparedEntryJson), after.as_ref().map(ComparedEntryJson))?;
        map.end()
    }
}

struct ComparedEntryJson<'a>(&'a ComparedEntry);

impl Serialize for ComparedEntryJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ComparedEntry { entry, content, first_name, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", type_name(entry.flag))?;
        entry_attributes(&mut map, entry)?;
        if let Some(content) = content {
            map.serialize_entry("content", content)?;
        }
        if let Some(name) = first_name {
            path_text(&mut map, ("same_file_as", "same_file_as_bytes"), name)?;
        }
        map.serialize_entry("layer", &entry.layer)?;
        map.end()
    }
}
