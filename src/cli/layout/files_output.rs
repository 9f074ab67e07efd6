//! How the files of an image are shown: lines as `ls -l` prints them, and JSON.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regshape::oci::Digest;
use regshape::rootfs::{FileList, ListedEntry, TreeEntry};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::source::LowerVariant;
use crate::cli::output::Screen;
use crate::cli::printable::printable_bytes;
use crate::cli::style::Style;
use crate::cli::time::minute;

/// Returns a path as a line of text, with the layer that deletes it.
pub(super) fn path_line(listed: &ListedEntry, has_notes: bool) -> String {
    let path = printable_bytes(&listed.entry.path);
    match listed.deleted_by.filter(|_| has_notes) {
        None => format!("/{path}"),
        Some(layer) => format!("/{path} (deleted by layer {layer})"),
    }
}

/// The widths of the columns of `-l`.
#[derive(Default)]
pub(super) struct LongLines {
    links: usize,
    uid: usize,
    gid: usize,
    size: usize,
    date: usize,
    layer: usize,
}

impl LongLines {
    /// Measures the entries.
    pub(super) fn of(list: &FileList) -> Self {
        let digits = |number: u64| number.checked_ilog10().map_or(1, |digits| digits as usize + 1);
        let mut widths = Self::default();
        for ListedEntry { entry, links, .. } in list.entries() {
            let size = if entry.device.is_some() { size_of(&entry).len() } else { digits(entry.size) };
            widths.links = widths.links.max(digits(links));
            widths.uid = widths.uid.max(digits(entry.uid));
            widths.gid = widths.gid.max(digits(entry.gid));
            widths.size = widths.size.max(size);
            widths.date = widths.date.max(minute(entry.modified).len());
            widths.layer = widths.layer.max(digits(entry.layer.into()));
        }
        widths
    }

    /// Writes the entries.
    pub(super) fn write(&self, list: &FileList, output: &mut dyn Write) -> io::Result<()> {
        for listed in list.entries() {
            let ListedEntry { entry, links, .. } = &listed;
            let TreeEntry { uid, gid, layer, .. } = entry;
            let (mode, size, date) = (mode_of(&listed), size_of(entry), minute(entry.modified));
            write!(output, "{mode} {links:>0$} {uid:>1$} {gid:>2$} ", self.links, self.uid, self.gid)?;
            write!(output, "{size:>0$} {date:>1$} {layer:>2$} ", self.size, self.date, self.layer)?;
            write!(output, "/{}", printable_bytes(&entry.path))?;
            match entry.flag {
                b'1' => write!(output, " link to /{}", printable_bytes(&entry.target))?,
                b'2' => write!(output, " -> {}", printable_bytes(&entry.target))?,
                _ => {}
            }
            if let Some(layer) = listed.deleted_by {
                write!(output, " (deleted by layer {layer})")?;
            }
            writeln!(output)?;
        }
        Ok(())
    }
}

fn size_of(entry: &TreeEntry) -> String {
    match entry.device {
        None => entry.size.to_string(),
        Some((major, minor)) => format!("{major}, {minor}"),
    }
}

/// Returns the type and the mode as `ls -l` prints them.
fn mode_of(listed: &ListedEntry) -> String {
    let TreeEntry { flag, mode, .. } = listed.entry;
    let kind = match flag {
        _ if listed.is_whiteout => 'w',
        b'1' => 'h',
        b'2' => 'l',
        b'3' => 'c',
        b'4' => 'b',
        b'5' => 'd',
        b'6' => 'p',
        _ => '-',
    };
    // Links have a mode that means nothing (images, rule A7).
    let mode = if kind == 'l' { 0o777 } else { mode };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Returns the word for the type of an entry.
pub(super) fn type_of(listed: &ListedEntry) -> &'static str {
    if listed.is_whiteout { "whiteout" } else { type_name(listed.entry.flag) }
}

/// Returns the word for a type flag.
pub(super) fn type_name(flag: u8) -> &'static str {
    match flag {
        b'1' => "hard-link",
        b'2' => "link",
        b'3' => "character-device",
        b'4' => "block-device",
        b'5' => "directory",
        b'6' => "pipe",
        _ => "file",
    }
}

/// The files, under `--json`. Entries are written while the tree is walked.
pub(super) struct FilesScreen {
    list: FileList,
    layers: Vec<Digest>,
    lower_variants: Vec<LowerVariant>,
}

impl FilesScreen {
    pub(super) fn new(list: FileList, layers: Vec<Digest>, lower_variants: Vec<LowerVariant>) -> Self {
        Self { list, layers, lower_variants }
    }
}

impl Screen for FilesScreen {
    fn text(&self, _style: &Style) -> String {
        unreachable!("files are printed line by line")
    }
}

impl Serialize for FilesScreen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("layers", &self.layers)?;
        map.serialize_entry("entries", &EntriesJson(&self.list))?;
        if !self.lower_variants.is_empty() {
            map.serialize_entry("lower_variants", &self.lower_variants)?;
        }
        map.end()
    }
}

struct EntriesJson<'a>(&'a FileList);

impl Serialize for EntriesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut entries = serializer.serialize_seq(None)?;
        self.0.entries().try_for_each(|entry| entries.serialize_element(&EntryJson(&entry)))?;
        entries.end()
    }
}

struct EntryJson<'a>(&'a ListedEntry);

impl Serialize for EntryJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ListedEntry { entry, links, first_name, deleted_by, .. } = self.0;
        let mut map = serializer.serialize_map(None)?;
        path_text(&mut map, ("path", "path_bytes"), &entry.path)?;
        map.serialize_entry("type", type_of(self.0))?;
        entry_attributes(&mut map, entry)?;
        map.serialize_entry("links", links)?;
        if let Some(name) = first_name {
            path_text(&mut map, ("same_file_as", "same_file_as_bytes"), name)?;
        }
        map.serialize_entry("layer", &entry.layer)?;
        if let Some(layer) = deleted_by {
            map.serialize_entry("deleted_by", layer)?;
        }
        map.end()
    }
}

/// Writes the attributes that entries have beside their type.
pub(super) fn entry_attributes<M: SerializeMap>(map: &mut M, entry: &TreeEntry) -> Result<(), M::Error> {
    map.serialize_entry("mode", &format!("{:04o}", entry.mode))?;
    map.serialize_entry("uid", &entry.uid)?;
    map.serialize_entry("gid", &entry.gid)?;
    map.serialize_entry("size", &entry.size)?;
    map.serialize_entry("mtime", &entry.modified)?;
    match entry.flag {
        b'1' => path_text(map, ("target", "target_bytes"), &entry.target)?,
        b'2' => text(map, ("target", "target_bytes"), &entry.target)?,
        _ => {}
    }
    if let Some((major, minor)) = entry.device {
        map.serialize_entry("device", &[major, minor])?;
    }
    if !entry.xattrs.is_empty() {
        map.serialize_entry("xattrs", &Xattrs(&entry.xattrs))?;
    }
    Ok(())
}

/// Writes a path of an image, from its root on.
pub(super) fn path_text<M: SerializeMap>(map: &mut M, keys: (&str, &str), path: &[u8]) -> Result<(), M::Error> {
    text(map, keys, &[b"/", path].concat())
}

/// Writes bytes as text, and as base64 beside it where they are not UTF-8.
fn text<M: SerializeMap>(map: &mut M, (key, bytes_key): (&str, &str), bytes: &[u8]) -> Result<(), M::Error> {
    map.serialize_entry(key, &String::from_utf8_lossy(bytes))?;
    if std::str::from_utf8(bytes).is_err() {
        map.serialize_entry(bytes_key, &STANDARD.encode(bytes))?;
    }
    Ok(())
}

/// Extended attributes: names with values in base64.
struct Xattrs<'a>(&'a [(Vec<u8>, Vec<u8>)]);

impl Serialize for Xattrs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let encoded = self.0.iter().map(|(name, value)| (String::from_utf8_lossy(name), STANDARD.encode(value)));
        serializer.collect_map(encoded)
    }
}
