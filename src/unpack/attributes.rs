//! The attributes that entries get: those of the image, as far as this user may set them.

use super::options::{IdMap, UnpackOptions};
use super::report::Skipped;
use crate::error::{Result, UnpackError};
use crate::fs::made::{Ids, MadeAttributes, Refused, ids_of_namespace, is_root, own_ids};
use crate::rootfs::{Attributes, shown_path};

/// Attributes that belong to the machine, or to a program that unpacked an image (images, rules A12 and J6).
const NEVER: [&[u8]; 4] = [b"security.selinux", b"security.evm", b"system.nfs4_acl", b"user.rootlesscontainers"];

/// The rules by which attributes of an image are made, changed or left out.
pub(super) struct Rules<'a> {
    options: &'a UnpackOptions,
    is_root: bool,
    /// The users and groups that this user namespace has, if they are known.
    users: Option<Vec<Ids>>,
    groups: Option<Vec<Ids>>,
}

/// Turns attributes of an image into those that are made, and counts those that are not made.
pub(super) struct Maker<'a> {
    pub(super) rules: Rules<'a>,
    pub(super) skipped: Skipped,
    pub(super) refused: Refused,
}

impl<'a> Maker<'a> {
    /// # Errors
    ///
    /// [`UnpackError::MapNeedsRoot`].
    pub(super) fn new(options: &'a UnpackOptions) -> Result<Self> {
        let is_root = is_root();
        let has_map = !options.uid_map.is_empty() || !options.gid_map.is_empty();
        if has_map && !is_root {
            return Err(UnpackError::MapNeedsRoot.into());
        }
        let [users, groups] = ["uid_map", "gid_map"].map(|map| ids_of_namespace(&format!("/proc/self/{map}")));
        let rules = Rules { options, is_root, users, groups };
        Ok(Self { rules, skipped: Skipped::default(), refused: Refused::default() })
    }

    /// Returns whether all files belong to the user of this process.
    pub(super) fn has_one_owner(&self) -> bool {
        !self.rules.is_root
    }

    /// Returns the counts of attributes and entries that were not made.
    pub(super) fn into_skipped(self) -> Skipped {
        let mut skipped = self.skipped;
        skipped.unsupported_xattrs += self.refused.unsupported_xattrs;
        skipped.privileged_xattrs += self.refused.forbidden_xattrs;
        skipped
    }

    /// Counts the attributes of an entry that it does not get.
    pub(super) fn count(&mut self, attributes: &Attributes) {
        if self.rules.is_root {
            return;
        }
        let own = own_ids();
        self.skipped.owners += u64::from((attributes.uid, attributes.gid) != (own.0.into(), own.1.into()));
        self.skipped.setuid += u64::from(self.rules.mode_of(attributes) != attributes.mode);
        let names = attributes.xattrs.iter().flat_map(|all| all.iter()).map(|(name, _)| &**name);
        self.skipped.privileged_xattrs +=
            names.filter(|name| !is_never(name) && !name.starts_with(b"user.")).count() as u64;
    }

    /// Calls a function with the attributes that an entry gets.
    ///
    /// # Errors
    ///
    /// Those of [`Rules::owner_of`].
    pub(super) fn with<T>(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        work: impl FnOnce(&MadeAttributes<'_>, &mut Refused) -> T,
    ) -> Result<T> {
        let Self { rules, refused, .. } = self;
        rules.with(path, attributes, |made| work(made, refused))
    }
}

impl Rules<'_> {
    /// Returns the mode that an entry gets. For a plain user that is one without setuid and setgid bits, also of directories, whose
    /// group is not that of the image (images, rule J5).
    fn mode_of(&self, attributes: &Attributes) -> u32 {
        let keeps_all = self.is_root || self.options.keep_setuid;
        if keeps_all { attributes.mode } else { attributes.mode & 0o1777 }
    }

    /// Returns the owner that an entry gets, if it is to be set.
    ///
    /// # Errors
    ///
    /// [`UnpackError::NotMapped`], [`UnpackError::TooHigh`], [`UnpackError::NotInNamespace`].
    pub(super) fn owner_of(&self, path: &[u8], attributes: &Attributes) -> Result<Option<(u32, u32)>> {
        if !self.is_root {
            return Ok(None);
        }
        let mapped = |kind, map: &IdMap, there: &Option<Vec<Ids>>, id: u64| {
            let outside = map.outside(id).ok_or_else(|| match map.is_empty() {
                true => UnpackError::TooHigh { kind, id, path: shown_path(path) },
                false => UnpackError::NotMapped { kind, id, path: shown_path(path) },
            })?;
            let is_there = there.as_ref().is_none_or(|there| there.iter().any(|ids| ids.contains(&outside.into())));
            match is_there {
                true => Ok(outside),
                false => Err(UnpackError::NotInNamespace { kind, id: outside, path: shown_path(path) }),
            }
        };
        let user = mapped("user", &self.options.uid_map, &self.users, attributes.uid)?;
        Ok(Some((user, mapped("group", &self.options.gid_map, &self.groups, attributes.gid)?)))
    }

    /// Calls a function with the attributes that an entry gets.
    ///
    /// # Errors
    ///
    /// Those of [`Rules::owner_of`].
    pub(super) fn with<T>(
        &self,
        path: &[u8],
        attributes: &Attributes,
        work: impl FnOnce(&MadeAttributes<'_>) -> T,
    ) -> Result<T> {
        let owner = self.owner_of(path, attributes)?;
        let mode = self.mode_of(attributes);
        let all = attributes.xattrs.iter().flat_map(|all| all.iter()).map(|(name, value)| (&**name, &**value));
        let kept: Vec<_> =
            all.filter(|(name, _)| !is_never(name) && (self.is_root || name.starts_with(b"user."))).collect();
        Ok(work(&MadeAttributes { mode, owner, modified: attributes.modified, xattrs: &kept }))
    }
}

/// Returns whether an attribute is never set.
fn is_never(name: &[u8]) -> bool {
    let is_overlay = name.windows(9).any(|part| part == b".overlay.");
    NEVER.contains(&name) || is_overlay || name.starts_with(b"com.apple.")
}
