//! Leftovers of a killed program, created by hand.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Renames a file or directory to the name that the program gives a temporary file with its device and inode.
#[cfg_attr(windows, allow(dead_code, reason = "not every test that uses it runs there"))]
pub(crate) fn leave(path: &Path) -> PathBuf {
    let metadata = fs::symlink_metadata(path).expect("it is there");
    #[cfg(unix)]
    let (device, inode) = {
        use std::os::unix::fs::MetadataExt;
        (metadata.dev(), metadata.ino())
    };
    #[cfg(not(unix))]
    let (device, inode) = (0, 0);
    let born = metadata.created().map_or(0, |time| time.duration_since(UNIX_EPOCH).expect("after 1970").as_nanos());
    let left = path.with_file_name(format!(".regshape-tmp-{device:x}-{inode:x}-{born:x}-0123456789abcdef"));
    fs::rename(path, &left).expect("renamed");
    left
}
