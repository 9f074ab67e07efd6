//! The attributes that entries get.

use super::mode::ModeChange;
use super::owner::OwnerSpec;
use crate::error::Result;
use crate::fs::walk::{SourceKind, SourceStat};
use crate::fs::xattr::Xattrs;
use crate::options::setters;
use crate::rootfs::MergedTree;

/// How the owner of an entry is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OwnerRule {
    /// All entries have this owner.
    Set(OwnerSpec),
    /// Entries keep the owner that they have on disk.
    Preserve,
}

/// How the modification time of an entry is chosen. Times are in seconds since 1970.
///
/// The library never reads `SOURCE_DATE_EPOCH`: the command line makes a rule of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeRule {
    /// All entries have this time.
    Set(i64),
    /// Entries keep their time on disk, but at most this one.
    Clamp(i64),
    /// Entries keep their time on disk.
    Preserve,
}

/// The attributes of the entries of a source. An attribute without a value is that of the whole layer, or the default:
/// owner 0:0, the mode on disk, and the time 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CopyAttributes {
    /// The owner.
    pub owner: Option<OwnerRule>,
    /// The change of modes. Links keep theirs.
    pub mode: Option<ModeChange>,
    /// The modification time.
    pub modified: Option<TimeRule>,
}

impl CopyAttributes {
    setters! {
        owner: [option OwnerRule],
        mode: [option ModeChange],
        modified: [option TimeRule],
    }

    /// Returns these attributes, with those of `others` where one has no value.
    pub(crate) fn or(&self, others: &Self) -> Self {
        Self {
            owner: self.owner.clone().or_else(|| others.owner.clone()),
            mode: self.mode.clone().or_else(|| others.mode.clone()),
            modified: self.modified.or(others.modified),
        }
    }

    /// Resolves the names.
    pub(super) fn resolve(&self, below: &MergedTree) -> Result<ResolvedAttributes<'_>> {
        let owner = match &self.owner {
            None => Some((0, 0)),
            Some(OwnerRule::Set(owner)) => Some(owner.resolve(below)?),
            Some(OwnerRule::Preserve) => None,
        };
        Ok(ResolvedAttributes { owner, mode: self.mode.as_ref(), modified: self.modified.unwrap_or(TimeRule::Set(0)) })
    }
}

/// The attributes of the entries of a source, with numbers for names.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResolvedAttributes<'a> {
    /// The owner and the group; `None` keeps those on disk.
    owner: Option<(u32, u32)>,
    mode: Option<&'a ModeChange>,
    modified: TimeRule,
}

impl ResolvedAttributes<'_> {
    /// Returns the attributes of an entry on disk.
    pub(super) fn of(&self, stat: &SourceStat) -> EntryAttributes {
        let modified = match self.modified {
            TimeRule::Set(time) => time,
            TimeRule::Clamp(time) => stat.modified.0.min(time),
            TimeRule::Preserve => stat.modified.0,
        };
        let (uid, gid) = self.owner.unwrap_or((stat.uid, stat.gid));
        EntryAttributes { uid, gid, mode: self.mode(stat.kind, stat.mode), modified, xattrs: None }
    }

    /// Returns the attributes of an entry that is not on disk.
    pub(super) fn of_new(&self, kind: SourceKind, parent_time: i64) -> EntryAttributes {
        let modified = if let TimeRule::Set(time) = self.modified { time } else { parent_time };
        let (uid, gid) = self.owner.unwrap_or((0, 0));
        let mode = if kind == SourceKind::Directory { 0o755 } else { 0o644 };
        EntryAttributes { uid, gid, mode: self.mode(kind, mode), modified, xattrs: None }
    }

    fn mode(&self, kind: SourceKind, mode: u32) -> u32 {
        match (kind, self.mode) {
            // Systems differ in the mode of links; Linux has this one.
            (SourceKind::Link, _) => 0o777,
            (_, None) => mode,
            (kind, Some(change)) => change.apply(mode, kind == SourceKind::Directory),
        }
    }
}

/// The attributes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryAttributes {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) modified: i64,
    /// The extended attributes; those of a regular file are read with its content.
    pub(super) xattrs: Option<Box<Xattrs>>,
}

impl EntryAttributes {
    /// Returns the attributes of a directory that no source has.
    pub(super) fn of_parent(modified: i64) -> Self {
        Self { uid: 0, gid: 0, mode: 0o755, modified, xattrs: None }
    }
}
