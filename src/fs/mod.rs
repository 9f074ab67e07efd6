//! Creates temporary files, syncs and renames. No other module creates temporary files.
//!
//! A file is written without a visible name, synced, and then renamed atomically: readers see the old file, the new
//! file or no file, but never a part of a file. On Linux the temporary file has no name at all if the file system
//! supports that (`O_TMPFILE`), so a killed process leaves nothing behind. Otherwise it is named `.regshape-tmp-…`, has
//! its identity in its name, and is locked while its writer lives; `leftovers` finds the files of killed processes.

#[cfg(target_os = "linux")]
pub(crate) mod beneath;
mod directory;
mod files;
pub(crate) mod input;
mod leftovers;
#[cfg(target_os = "linux")]
pub(crate) mod made;
mod output;
#[cfg(target_os = "linux")]
pub(crate) mod remove;
pub(crate) mod streams;
mod temporary;
pub(crate) mod walk;
pub(crate) mod xattr;

pub(crate) use directory::{Directory, FileIdentity, FileKind, Found};
pub(crate) use files::{
    FileVersion, cannot_lock, kind_of, leads_out, open_inside, open_regular, random_name, read_at_most, rename_new,
    sync_directory, sync_name, target_inside, touch, zeroed,
};
#[cfg(target_os = "linux")]
pub(crate) use leftovers::is_vacant;
pub(crate) use leftovers::{Identity, for_each_leftover, is_called_temporary, is_temporary, remove_stale_files};
pub(crate) use output::{Destination, Output};
#[cfg(target_os = "linux")]
pub(crate) use temporary::Replaced;
pub(crate) use temporary::{TempDirectory, TempFile, private_file};
