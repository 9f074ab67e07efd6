//! The attributes that entries get: those of the image, as far as this user may set them.

use super::options::UnpackOptions;
use super::report::Skipped;
use crate::error::{Result, UnpackError};
use crate::fs::made::{MadeAttributes, Refused, is_root};
use crate::rootfs::{Attributes, shown_path};

/// Attributes that belong to the machine, or to a program that unpacked an image (images, rules A12 and J6).
const NEVER: [&[u8]; 4] = [b"security.selinux", b"security.evm", b"system.nfs4_acl", b"user.rootlesscontainers"];

/// Turns attributes of an image into those that are made.
pub(super) struct Maker<'a> {
    options: &'a UnpackOptions,
    is_root: bool,
    pub(super) skipped: Skipped,
    pub(super) refused: Refused,
}

impl<'a> Maker<'a> {
    pub(super) fn new(options: &'a UnpackOptions) -> Self {
        let is_root = is_root();
        let skipped = Skipped { owners: !is_root, ..Skipped::default() };
        Self { options, is_root, skipped, refused: Refused::default() }
    }

    /// Returns the counts of what was not made.
    pub(super) fn into_skipped(self) -> Skipped {
        let mut skipped = self.skipped;
        skipped.unsupported_xattrs += self.refused.unsupported_xattrs;
        skipped.privileged_xattrs += self.refused.forbidden_xattrs;
        skipped
    }

    /// Calls a function with the attributes that an entry gets.
    pub(super) fn with<T>(
        &mut self,
        path: &[u8],
        attributes: &Attributes,
        is_directory: bool,
        work: impl FnOnce(&MadeAttributes<'_>, &mut Refused) -> T,
    ) -> Result<T> {
        let Attributes { mode, uid, gid, modified, xattrs, .. } = attributes;
        let mut mode = *mode;
        if !self.is_root && !self.options.keep_setuid && !is_directory && mode & 0o6000 != 0 {
            mode &= 0o1777;
            self.skipped.setuid += 1;
        }
        let mapped = |kind, map: &super::options::IdMap, id: u64| {
            map.outside(id).ok_or_else(|| UnpackError::NotMapped { kind, id, path: shown_path(path) })
        };
        let owner = match self.is_root {
            true => {
                let user = mapped("user", &self.options.uid_map, *uid)?;
                Some((user, mapped("group", &self.options.gid_map, *gid)?))
            }
            false => None,
        };
        let mut kept = Vec::new();
        for (name, value) in xattrs.iter().flat_map(|all| all.iter()) {
            let is_overlay = name.windows(9).any(|part| part == b".overlay.");
            if NEVER.contains(&&**name) || is_overlay || name.starts_with(b"com.apple.") {
                continue;
            }
            if !self.is_root && !name.starts_with(b"user.") {
                self.skipped.privileged_xattrs += 1;
                continue;
            }
            kept.push((&**name, &**value));
        }
        let made = MadeAttributes { mode, owner, modified: *modified, xattrs: &kept };
        Ok(work(&made, &mut self.refused))
    }
}
