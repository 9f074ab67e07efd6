//! The attributes that entries get.

use super::mode::ModeChange;
use super::owner::OwnerSpec;
use crate::error::Result;
use crate::fs::walk::{SourceKind, SourceStat};
use crate::options::setters;

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
    pub(super) fn resolve(&self) -> Result<ResolvedAttributes<'_>> {
        let owner = match &self.owner {
            None => Some((0, 0)),
            Some(OwnerRule::Set(owner)) => Some(owner.resolve()?),
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
    /// Returns the owner, the group, the mode and the time of an entry.
    pub(super) fn of(&self, stat: &SourceStat) -> (u32, u32, u32, i64) {
        let (uid, gid) = self.owner.unwrap_or((stat.uid, stat.gid));
        let mode = match (stat.kind, self.mode) {
            // Systems differ in the mode of links; Linux has this one.
            (SourceKind::Link, _) => 0o777,
            (_, None) => stat.mode,
            (kind, Some(change)) => change.apply(stat.mode, kind == SourceKind::Directory),
        };
        let modified = match self.modified {
            TimeRule::Set(time) => time,
            TimeRule::Clamp(time) => stat.modified.0.min(time),
            TimeRule::Preserve => stat.modified.0,
        };
        (uid, gid, mode, modified)
    }
}
