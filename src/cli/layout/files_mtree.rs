//! The files of an image as an mtree(5) file, in the form that `add layer --mtree` reads.

use std::fmt::Write as _;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regshape::rootfs::{FileList, ListedEntry};

/// Writes the entries. Hard links have one inode and more than one link, as libarchive reads them; extended attributes have
/// the form of go-mtree.
pub(super) fn write_mtree(list: &FileList, output: &mut dyn Write) -> io::Result<()> {
    writeln!(output, "#mtree")?;
    for listed in list.entries() {
        let ListedEntry { entry, links, .. } = &listed;
        let mut path = vis(&entry.path);
        path.insert_str(0, if path.is_empty() { "." } else { "./" });
        let kind = match entry.flag {
            b'1' => {
                writeln!(output, "# {path} is a hard link to a file that no layer has: ./{}", vis(&entry.target))?;
                continue;
            }
            b'2' => "link",
            b'3' => "char",
            b'4' => "block",
            b'5' => "dir",
            b'6' => "fifo",
            _ => "file",
        };
        write!(output, "{path} type={kind} mode={:04o} uid={} gid={}", entry.mode, entry.uid, entry.gid)?;
        write!(output, " time={}.0", entry.modified)?;
        match (entry.flag, entry.device) {
            (b'2', _) => write!(output, " link={}", vis(&entry.target))?,
            (_, Some((major, minor))) => write!(output, " device=native,{major},{minor}")?,
            _ if kind == "file" => write!(output, " size={}", entry.size)?,
            _ => {}
        }
        if *links > 1 {
            write!(output, " nlink={links} inode={}", entry.inode)?;
        }
        for (name, value) in &entry.xattrs {
            write!(output, " xattr.{}={}", vis(name), STANDARD.encode(value))?;
        }
        writeln!(output)?;
    }
    Ok(())
}

/// Escapes bytes as vis(3) does: all but the printable ones of ASCII, and those that have a meaning in mtree files, in octal.
fn vis(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' | b'#' | b'=' | b'*' | b'?' | b'[' | b'"' => {
                let _ = write!(text, "\\{byte:03o}");
            }
            b'!'..=b'~' => text.push(char::from(*byte)),
            _ => {
                let _ = write!(text, "\\{byte:03o}");
            }
        }
    }
    text
}
