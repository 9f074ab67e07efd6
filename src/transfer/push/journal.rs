//! The journal of uploads: where an upload goes on in a later run.
//!
//! A file for each registry, repository and digest, in a directory of the user's own. Locations can be secrets, so the
//! directory is for its owner alone, and so are the files. A file is locked while its upload is under way.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::oci::{Digest, RepositoryName};

/// How long an entry is kept.
const LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The largest entry that is read.
const ENTRY_LIMIT: u64 = 64 * 1024;

/// The directory of the journal. Without one, no upload goes on in a later run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    directory: Option<PathBuf>,
}

/// The entry of an upload, locked for this process.
#[derive(Debug)]
pub(crate) struct Entry {
    file: Option<File>,
    path: PathBuf,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct What {
    host: String,
    repository: String,
    digest: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    what: What,
    location: String,
    chunked: bool,
}

/// Where an upload goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) location: String,
    /// Whether the registry wants, or needs, chunks.
    pub(crate) chunked: bool,
}

impl Journal {
    /// Takes a directory; it is created when the first entry is written. Old entries in it are deleted.
    pub(crate) fn at(directory: Option<PathBuf>) -> Self {
        let journal = Self { directory };
        journal.delete_old(SystemTime::now());
        journal
    }

    /// Opens the entry of an upload; one that another process has is none for this one.
    pub(crate) fn entry(&self, host: &str, repository: &RepositoryName, digest: &Digest) -> Entry {
        let what = What { host: host.to_owned(), repository: repository.to_string(), digest: digest.to_string() };
        let Some(directory) = &self.directory else {
            return Entry { file: None, path: PathBuf::new(), what };
        };
        let path = directory.join(name_of(&what));
        // A journal that cannot be written is no reason not to push.
        let file = make_private(directory).and_then(|()| open(&path)).ok();
        Entry { file, path, what }
    }

    /// Deletes the entry of a blob that the registry has: an earlier run did not learn of its end.
    pub(crate) fn forget(&self, host: &str, repository: &RepositoryName, digest: &Digest) {
        let what = What { host: host.to_owned(), repository: repository.to_string(), digest: digest.to_string() };
        let Some(path) = self.directory.as_ref().map(|directory| directory.join(name_of(&what))) else { return };
        if path.exists()
            && let Ok(_locked) = open(&path)
        {
            let _ = fs::remove_file(path);
        }
    }

    fn delete_old(&self, now: SystemTime) {
        let Some(entries) = self.directory.as_ref().and_then(|directory| fs::read_dir(directory).ok()) else { return };
        for entry in entries.flatten() {
            let age = entry.metadata().and_then(|metadata| metadata.modified()).ok();
            let age = age.and_then(|modified| now.duration_since(modified).ok());
            if age.is_some_and(|age| age > LIFE)
                && let Ok(_locked) = open(&entry.path())
            {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

impl Entry {
    /// Returns where the upload goes on, if an earlier run left one.
    pub(crate) fn saved(&mut self) -> Option<Saved> {
        let mut text = String::new();
        let file = self.file.as_mut()?;
        file.seek(SeekFrom::Start(0)).ok()?;
        file.take(ENTRY_LIMIT).read_to_string(&mut text).ok()?;
        let record: Record = serde_json::from_str(&text).ok()?;
        (record.what == self.what).then_some(Saved { location: record.location, chunked: record.chunked })
    }

    /// Returns whether it is noted where the upload goes on.
    pub(crate) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Writes where the upload goes on.
    pub(crate) fn save(&mut self, saved: &Saved) {
        let record = Record { what: self.what.clone(), location: saved.location.clone(), chunked: saved.chunked };
        let Some(file) = &mut self.file else { return };
        let bytes = serde_json::to_vec(&record).expect("text is JSON");
        // An entry that is half written is none.
        let _ = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0))).and_then(|_| file.write_all(&bytes));
    }

    /// Deletes the entry: the upload is complete, or does not go on.
    pub(crate) fn delete(&mut self) {
        if self.file.is_some() {
            let _ = fs::remove_file(&self.path);
            self.file = None;
        }
    }
}

impl Drop for Entry {
    /// An entry in which nothing was written is deleted.
    fn drop(&mut self) {
        if self.file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|metadata| metadata.len() == 0)) {
            self.delete();
        }
    }
}

/// Returns the name of the file of an entry.
fn name_of(What { host, repository, digest }: &What) -> String {
    let name = Digest::sha256_of(format!("{host}\n{repository}\n{digest}").as_bytes());
    name.encoded()[..32].to_owned()
}

/// Makes the directory, and those above it, for their owner alone.
fn make_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// Opens and locks an entry.
fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default());
    }
    loop {
        let file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Another process may have deleted it before it was locked.
        if crate::fs::FileIdentity::from_file(&file)? == named(path)? {
            return Ok(file);
        }
    }
}

fn named(path: &Path) -> io::Result<crate::fs::FileIdentity> {
    match File::open(path) {
        Ok(file) => crate::fs::FileIdentity::from_file(&file),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(journal: &Journal, digest: &str) -> Entry {
        journal.entry("r.example:5000", &"a/b".parse().expect("a name"), &Digest::sha256_of(digest.as_bytes()))
    }

    fn saved(location: &str) -> Saved {
        Saved { location: location.to_owned(), chunked: true }
    }

    #[test]
    fn entries_are_found_again_and_are_private() {
        let home = tempfile::tempdir().expect("a directory");
        let directory = home.path().join("state/regshape/uploads");
        let journal = Journal::at(Some(directory.clone()));
        let mut first = entry(&journal, "a");
        assert_eq!(first.saved(), None);
        first.save(&saved("https://r.example:5000/v2/a/b/blobs/uploads/1?state=a-long-one"));
        first.save(&saved("https://r.example:5000/v2/a/b/blobs/uploads/1?state=2"));
        // Another process begins an upload of its own.
        let mut other = entry(&journal, "a");
        assert_eq!(other.saved(), None);
        other.save(&saved("https://elsewhere.example/"));
        drop((first, other));
        assert_eq!(entry(&journal, "a").saved(), Some(saved("https://r.example:5000/v2/a/b/blobs/uploads/1?state=2")));
        assert_eq!(entry(&journal, "b").saved(), None);
        assert_eq!(fs::read_dir(&directory).expect("a directory").count(), 1);
        #[cfg(unix)]
        for entry in [directory.clone(), fs::read_dir(&directory).expect("read").flatten().next().expect("one").path()]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&entry).expect("there").permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}", entry.display());
        }
        entry(&journal, "a").delete();
        assert_eq!(fs::read_dir(&directory).expect("a directory").count(), 0);
    }

    #[test]
    fn old_entries_are_deleted_and_damaged_ones_are_none() {
        let home = tempfile::tempdir().expect("a directory");
        let journal = Journal::at(Some(home.path().to_owned()));
        entry(&journal, "a").save(&saved("https://r.example/1"));
        let path = fs::read_dir(home.path()).expect("read").flatten().next().expect("one").path();
        let text = fs::read_to_string(&path).expect("text");
        fs::write(&path, &text[..text.len() / 2]).expect("written");
        assert_eq!(entry(&journal, "a").saved(), None);
        journal.delete_old(SystemTime::now() + LIFE / 2);
        assert!(path.exists());
        journal.delete_old(SystemTime::now() + LIFE * 2);
        assert!(!path.exists());
        // Without a directory there is no journal, and no error.
        let mut none = entry(&Journal::default(), "a");
        none.save(&saved("https://r.example/1"));
        assert_eq!(none.saved(), None);
    }
}
