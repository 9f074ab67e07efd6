//! Temporary files, syncing and renaming: the only module that makes a temporary file.
//!
//! A file is written without a name, synced, and then named in one step: a reader sees the old file, the new one or
//! none, and never a part of one. On Linux the temporary file has no name at all where the file system supports that
//! (`O_TMPFILE`), so that a killed program leaves nothing. Elsewhere it is called `.regshape-tmp-…`, with its identity
//! in its name, and is locked while its writer lives; `leftovers` finds those of killed programs.

mod directory;
mod files;
pub(crate) mod input;
mod leftovers;
mod output;
pub(crate) mod streams;
mod temporary;

pub(crate) use directory::{Directory, FileIdentity, FileKind, Found};
pub(crate) use files::{
    FileVersion, cannot_lock, kind_of, leads_out, open_inside, open_regular, random_name, read_at_most, rename_new,
    sync_directory, sync_name, target_inside, touch, zeroed,
};
pub(crate) use leftovers::{
    Identity, for_each_leftover, is_called_temporary, is_temporary, is_vacant, remove_stale_files,
};
pub(crate) use output::{Destination, Output};
pub(crate) use temporary::{TempDirectory, TempFile, private_file};
