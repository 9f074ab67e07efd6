//! mtree(5) files: lists of entries with their attributes, which give a layer owners and devices without root.
//!
//! Both forms of paths are read: `./usr/bin/app` from the root, and names in the directory of the lines before, which `..`
//! leaves. `/set` and `/unset` change the defaults of the entries that follow. Entries with one `inode` and more than one
//! `nlink` are names of one file, as for libarchive.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::options::{COMPONENT_LIMIT, PATH_LIMIT};
use super::tree::WHITEOUT;
use crate::error::{CopyError, Result};
use crate::fs::walk::as_path;
use crate::fs::xattr::Xattrs;
use crate::tar::written_entry::DeviceNumber;
use crate::text::shown;

/// An entry of an mtree file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct MtreeEntry {
    /// The number of its first line.
    pub(super) line: usize,
    /// The components of the path; none for the root.
    pub(super) components: Vec<Box<[u8]>>,
    pub(super) kind: MtreeKind,
    pub(super) mode: Option<u32>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    /// The modification time in seconds since 1970.
    pub(super) modified: Option<i64>,
    /// The file with the content.
    pub(super) contents: PathBuf,
    /// The device and the number of its inode, if that has several names.
    pub(super) inode: Option<(u64, u64)>,
    /// The extended attributes, sorted by name.
    pub(super) xattrs: Xattrs,
    /// Whether the entry is left out where the file with its content is missing.
    pub(super) is_optional: bool,
}

/// The type of an entry.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum MtreeKind {
    #[default]
    File,
    Directory,
    Link(Box<[u8]>),
    Device {
        is_block: bool,
        number: DeviceNumber,
    },
    Pipe,
    Socket,
}

/// The entries of an mtree file, and its unknown keywords.
#[derive(Debug, Default)]
pub(super) struct Mtree {
    pub(super) entries: Vec<MtreeEntry>,
    /// The unknown keywords, each with the number of the first line that has it.
    pub(super) unknown: BTreeMap<String, usize>,
}

/// Keywords that say nothing about an entry of a tar, or only what reading the content shows.
const IGNORED: [&str; 19] = [
    "cksum",
    "flags",
    "ignore",
    "md5",
    "md5digest",
    "nochange",
    "ripemd160digest",
    "rmd160",
    "rmd160digest",
    "sha1",
    "sha1digest",
    "sha256",
    "sha256digest",
    "sha384",
    "sha384digest",
    "sha512",
    "sha512digest",
    "size",
    "tags",
];

/// The beginning of the keywords of extended attributes, whose values are in base64, as go-mtree writes them.
const XATTR: &str = "xattr.";

/// Keywords with their values; a keyword without `=` has an empty value.
type Keywords = BTreeMap<Vec<u8>, Vec<u8>>;

/// Parses an mtree file.
///
/// # Errors
///
/// [`CopyError::Mtree`] with the line that cannot be read.
pub(super) fn parse(file: &Path, text: &[u8]) -> Result<Mtree> {
    let mut parser =
        Parser { file, number: 0, defaults: Keywords::new(), entered: vec![Vec::new()], mtree: Mtree::default() };
    let mut line = Vec::new();
    let mut start = 0;
    for (at, part) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            start = at + 1;
        }
        let part = part.strip_suffix(b"\r").unwrap_or(part);
        // A backslash at the end continues the line; two are an escaped one.
        let backslashes = part.iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 1 {
            line.extend(&part[..part.len() - 1]);
            line.push(b' ');
            continue;
        }
        line.extend(part);
        parser.number = start;
        parser.line(&line)?;
        line.clear();
    }
    Ok(parser.mtree)
}

struct Parser<'a> {
    file: &'a Path,
    /// The number of the current line.
    number: usize,
    /// The keywords that `/set` gives to all entries.
    defaults: Keywords,
    /// The directories that the lines before have entered; the last one is that of names without a slash.
    entered: Vec<Vec<Box<[u8]>>>,
    mtree: Mtree,
}

impl Parser<'_> {
    fn refused(&self, reason: impl Into<String>) -> crate::error::Error {
        CopyError::Mtree { path: self.file.to_owned(), line: self.number, reason: reason.into() }.into()
    }

    fn line(&mut self, line: &[u8]) -> Result<()> {
        let mut words = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        let Some(first) = words.next().filter(|word| !word.starts_with(b"#")) else { return Ok(()) };
        let keywords = words.map(keyword);
        match first {
            b"/set" => self.defaults.extend(keywords),
            b"/unset" => {
                for (name, _) in keywords {
                    if name == b"all" {
                        self.defaults.clear();
                    }
                    self.defaults.remove(&name);
                }
            }
            b".." => {
                self.entered.pop();
                if self.entered.is_empty() {
                    return Err(self.refused("'..' leaves the root"));
                }
            }
            _ if first.starts_with(b"/") => return Err(self.refused(format!("'{}' is not a command", shown(first)))),
            _ => {
                let mut all = self.defaults.clone();
                all.extend(keywords);
                self.entry(first, &all)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, word: &[u8], keywords: &Keywords) -> Result<()> {
        let path = unescaped(word).ok_or_else(|| self.refused(format!("'{}' has a wrong escape", shown(word))))?;
        // An escaped slash is part of a path too: names hold none.
        let is_full = path.contains(&b'/');
        let here = self.entered.last().filter(|_| !is_full);
        let mut components: Vec<Box<[u8]>> = here.cloned().unwrap_or_default();
        for component in path.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." => return Err(self.refused(format!("path '{}' contains '..'", shown(&path)))),
                _ if component.contains(&0) => {
                    return Err(self.refused(format!("path '{}' contains a NUL", shown(&path))));
                }
                _ if component.len() > COMPONENT_LIMIT => {
                    return Err(self.refused(format!("path '{}' has a component of more than 255 bytes", shown(&path))));
                }
                _ if component.starts_with(WHITEOUT) => {
                    return Err(self.refused(format!("path '{}' has the name of a whiteout", shown(&path))));
                }
                _ => components.push(component.into()),
            }
        }
        let length: usize = components.iter().map(|component| component.len() + 1).sum();
        if length > PATH_LIMIT + 1 {
            return Err(self.refused(format!("path '{}' has more than 4095 bytes", shown(&path))));
        }
        let contents = as_path(&components.join(&b'/')).into_owned();
        let mut entry = MtreeEntry { line: self.number, components, contents, ..MtreeEntry::default() };
        let (mut kind, mut link, mut device) = (None, None, None);
        let (mut names, mut inode, mut inode_device) = (0_u64, None, 0);
        for (name, value) in keywords {
            let name = String::from_utf8_lossy(name).into_owned();
            let text = String::from_utf8_lossy(value).into_owned();
            let wrong = || self.refused(format!("{name}={} cannot be read", shown(value)));
            match name.as_str() {
                "type" => kind = Some(text),
                "mode" => {
                    entry.mode =
                        Some(u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o7777).ok_or_else(wrong)?);
                }
                "uid" => entry.uid = Some(id(&text).ok_or_else(wrong)?),
                "gid" => entry.gid = Some(id(&text).ok_or_else(wrong)?),
                "time" => entry.modified = Some(time(&text).ok_or_else(wrong)?),
                "link" => link = Some(unescaped(value).ok_or_else(wrong)?),
                "device" => device = Some(number(&text).ok_or_else(wrong)?),
                "contents" | "content" => entry.contents = as_path(&unescaped(value).ok_or_else(wrong)?).into_owned(),
                // Other programs write numbers of any kind here, and only names of one inode need them.
                "nlink" => names = text.parse().unwrap_or(0),
                "inode" => inode = text.parse().ok(),
                "resdevice" => inode_device = device_id(&text),
                "optional" => entry.is_optional = true,
                // Names would need the files of an image; the numbers stand beside them.
                "uname" | "gname" => {
                    let number = if name == "uname" { "uid" } else { "gid" };
                    if !keywords.contains_key(number.as_bytes()) {
                        return Err(self.refused(format!("{name}={text} has no {number} beside it")));
                    }
                }
                known if known.starts_with(XATTR) => {
                    let name = unescaped(&known.as_bytes()[XATTR.len()..]).filter(|name| !name.is_empty());
                    let name = name.filter(|name| !name.contains(&b'=') && !name.contains(&0)).ok_or_else(wrong)?;
                    let value = STANDARD.decode(value).map_err(|_| wrong())?;
                    entry.xattrs.push((name.into(), value.into()));
                }
                known if IGNORED.contains(&known) => {}
                _ => {
                    self.mtree.unknown.entry(name).or_insert(self.number);
                }
            }
        }
        entry.xattrs.sort_unstable();
        entry.inode = inode.filter(|_| names > 1).map(|inode| (inode_device, inode));
        entry.kind = match kind.as_deref() {
            None | Some("file") => MtreeKind::File,
            Some("dir") => MtreeKind::Directory,
            Some("link") => {
                let target = link.filter(|target| !target.is_empty());
                MtreeKind::Link(target.ok_or_else(|| self.refused("a link has no link="))?.into())
            }
            Some(kind @ ("char" | "block")) => {
                let number = device.ok_or_else(|| self.refused("a device has no device="))?;
                MtreeKind::Device { is_block: kind == "block", number }
            }
            Some("fifo") => MtreeKind::Pipe,
            Some("socket") => MtreeKind::Socket,
            Some(other) => return Err(self.refused(format!("type={} is unknown", shown(other.as_bytes())))),
        };
        if entry.kind == MtreeKind::Directory && !is_full {
            self.entered.push(entry.components.clone());
        }
        if entry.components.is_empty() && entry.kind != MtreeKind::Directory {
            return Err(self.refused("the root is not a directory"));
        }
        self.mtree.entries.push(entry);
        Ok(())
    }
}

fn keyword(word: &[u8]) -> (Vec<u8>, Vec<u8>) {
    match word.iter().position(|byte| *byte == b'=') {
        Some(at) => (word[..at].to_vec(), word[at + 1..].to_vec()),
        None => (word.to_vec(), Vec::new()),
    }
}

fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|number| *number != u32::MAX && !text.starts_with('+'))
}

/// Parses seconds with a fraction, which is cut off.
fn time(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = seconds.parse().ok()?;
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    digits.then_some(whole)
}

/// Parses the number of a device: `MAJOR,MINOR`, or `FORMAT,MAJOR,MINOR`.
fn number(text: &str) -> Option<DeviceNumber> {
    let parts: Vec<_> = text.split(',').collect();
    let (major, minor) = match parts[..] {
        [major, minor] => (major, minor),
        [format, major, minor] if !format.is_empty() => (major, minor),
        _ => return None,
    };
    let parse = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    };
    Some(DeviceNumber { major: parse(major)?, minor: parse(minor)? })
}

/// Returns the number of the device of an inode: a number, or that of [`number`].
fn device_id(text: &str) -> u64 {
    let pair = |DeviceNumber { major, minor }| u64::from(major) << 32 | u64::from(minor);
    text.parse().ok().or_else(|| number(text).map(pair)).unwrap_or_default()
}

/// Returns a text without the escapes of vis(3).
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'\\' {
            plain.push(*byte);
            continue;
        }
        let (value, after) = match rest {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                ((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'), after)
            }
            [b'M', b'-', byte, after @ ..] => (byte | 0x80, after),
            [b'M', b'^', byte, after @ ..] => (control(*byte) | 0x80, after),
            [b'^', byte, after @ ..] => (control(*byte), after),
            [letter, after @ ..] => {
                let value = match letter {
                    b'a' => 7,
                    b'b' => 8,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'v' => 11,
                    b'f' => 12,
                    b'r' => b'\r',
                    b's' => b' ',
                    b'0' => 0,
                    b'\\' | b'#' | b'"' | b'=' | b'*' | b'?' | b'[' => *letter,
                    _ => return None,
                };
                (value, after)
            }
            [] => return None,
        };
        plain.push(value);
        rest = after;
    }
    Some(plain)
}

/// Returns the control character of a letter.
fn control(byte: u8) -> u8 {
    if byte == b'?' { 0x7f } else { byte & 0x1f }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Result<Vec<String>> {
        let mtree = parse(Path::new("list"), text.as_bytes())?;
        let line = |entry: &MtreeEntry| {
            let path: Vec<_> = entry.components.iter().map(|component| String::from_utf8_lossy(component)).collect();
            let MtreeEntry { kind, mode, uid, gid, modified, contents, .. } = entry;
            let mode = mode.map(|mode| format!("{mode:o}"));
            format!("{} {kind:?} {mode:?} {uid:?}:{gid:?} {modified:?} {}", path.join("/"), contents.display())
        };
        Ok(mtree.entries.iter().map(line).collect())
    }

    #[test]
    fn b8_both_forms_of_paths_and_defaults_are_read() {
        let text = "#mtree\n/set type=file uid=0 gid=0 mode=0644\n. type=dir mode=0755\n    etc type=dir mode=0755\n        motd \\\n            contents=files/motd time=5.000000000\n    ..\n    dev type=dir\n        null type=char device=native,1,3 mode=666\n    ..\n..\n/unset mode\n./usr/bin/app uid=33 contents=app size=3 sha256=abc\n./lib type=link link=usr/lib\n./my\\040file\n./pipe type=fifo\n";
        assert_eq!(
            lines(text).expect("read"),
            [
                " Directory Some(\"755\") Some(0):Some(0) None ",
                "etc Directory Some(\"755\") Some(0):Some(0) None etc",
                "etc/motd File Some(\"644\") Some(0):Some(0) Some(5) files/motd",
                "dev Directory Some(\"644\") Some(0):Some(0) None dev",
                "dev/null Device { is_block: false, number: DeviceNumber { major: 1, minor: 3 } } Some(\"666\") Some(0):Some(0) None dev/null",
                "usr/bin/app File None Some(33):Some(0) None app",
                "lib Link([117, 115, 114, 47, 108, 105, 98]) None Some(0):Some(0) None lib",
                "my file File None Some(0):Some(0) None my file",
                "pipe Pipe None Some(0):Some(0) None pipe",
            ]
        );
    }

    #[test]
    fn b8_an_unknown_keyword_is_kept_for_a_warning() {
        let mtree = parse(Path::new("list"), b"./a color=red\n./b color=blue shape=x\n").expect("read");
        assert_eq!(mtree.unknown, BTreeMap::from([("color".to_owned(), 1), ("shape".to_owned(), 2)]));
    }

    #[test]
    fn b8_names_of_one_inode_and_extended_attributes_are_read() {
        let text = b"./a nlink=2 inode=7 xattr.user.b=YmI= xattr.user.a=\n./b nlink=2 inode=7 resdevice=native,1,2\n./c nlink=1 inode=7\n";
        let mtree = parse(Path::new("list"), text).expect("read");
        let inodes: Vec<_> = mtree.entries.iter().map(|entry| entry.inode).collect();
        assert_eq!(inodes, [Some((0, 7)), Some(((1 << 32) + 2, 7)), None]);
        let attribute = |name: &[u8], value: &[u8]| (Box::from(name), Box::from(value));
        assert_eq!(mtree.entries[0].xattrs, [attribute(b"user.a", b""), attribute(b"user.b", b"bb")]);
        assert!(mtree.unknown.is_empty());
    }

    #[test]
    fn names_are_escaped_as_vis_escapes_them() {
        for (text, expected) in [
            (&b"a\\040b"[..], Some(&b"a b"[..])),
            (b"\\s\\t\\n\\\\\\#", Some(b" \t\n\\#")),
            (b"\\377", Some(b"\xff")),
            (b"\\M-a\\M^A\\^A", Some(b"\xe1\x81\x01")),
            (b"\\", None),
            (b"\\q", None),
            (b"\\47", None),
        ] {
            assert_eq!(unescaped(text).as_deref(), expected, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_an_error_with_its_number() {
        for (text, report) in [
            ("./a mode=999\n", "line 1 of list: mode=999 cannot be read"),
            ("\n./a \\\n uid=-1\n", "line 2 of list: uid=-1 cannot be read"),
            ("./a type=door\n", "line 1 of list: type=door is unknown"),
            ("./a type=char\n", "line 1 of list: a device has no device="),
            ("./a type=link\n", "line 1 of list: a link has no link="),
            ("./a xattr.user.x=?\n", "line 1 of list: xattr.user.x=? cannot be read"),
            ("./a/../b\n", "line 1 of list: path './a/../b' contains '..'"),
            ("..\n", "line 1 of list: '..' leaves the root"),
            ("/get x\n", "line 1 of list: '/get' is not a command"),
            ("./a uname=app\n", "line 1 of list: uname=app has no uid beside it"),
            ("./\\q\n", "line 1 of list: './\\\\q' has a wrong escape"),
            (". type=file\n", "line 1 of list: the root is not a directory"),
        ] {
            assert_eq!(lines(text).expect_err(text).to_string(), report);
        }
    }
}
