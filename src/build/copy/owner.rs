//! Owners of files: numbers, or names that the image's own files resolve.

use std::str::FromStr;

use crate::error::{CopyError, Error, Result};
use crate::rootfs::{Account, MergedTree};

/// The owner of files: `UID`, `UID:GID`, or names. A number alone is the group too, as for `docker build`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerSpec {
    user: Id,
    group: Option<Id>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Id {
    Number(u32),
    Name(String),
}

/// An owner cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("'{}' is not an owner; expected UID[:GID], with numbers from 0 to 4294967294 or names", .0.escape_debug())]
pub struct OwnerError(String);

impl OwnerSpec {
    /// Makes an owner of numbers.
    pub fn numbers(uid: u32, gid: u32) -> Self {
        Self { user: Id::Number(uid), group: Some(Id::Number(gid)) }
    }

    /// Returns the numbers of the user and the group. Names are looked up in the files of the image, never in those of
    /// this machine.
    ///
    /// # Errors
    ///
    /// [`CopyError::UnknownName`] for a name that the layers below do not have.
    pub(crate) fn resolve(&self, below: &MergedTree) -> Result<(u32, u32)> {
        let account = |id: &Id, kind, file| match id {
            Id::Number(id) => Ok(Account { id: *id, group: None }),
            Id::Name(name) => {
                let unknown = || Error::Copy(CopyError::UnknownName { kind, name: name.clone() });
                below.account(file, name).ok_or_else(unknown)
            }
        };
        let user = account(&self.user, "user", "passwd")?;
        let gid = match &self.group {
            Some(group) => account(group, "group", "group")?.id,
            // A number alone is the group too; a name has the group of its line.
            None => user.group.unwrap_or(user.id),
        };
        Ok((user.id, gid))
    }
}

impl FromStr for OwnerSpec {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        let error = || OwnerError(text.to_owned());
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let user = id(user).ok_or_else(error)?;
        let group = group.map(|group| id(group).ok_or_else(error)).transpose()?;
        Ok(Self { user, group })
    }
}

fn id(text: &str) -> Option<Id> {
    if text.starts_with(|start: char| start.is_ascii_digit()) {
        // The highest number stands for "no change" in chown(2).
        let number = text.parse().ok().filter(|number| *number != u32::MAX);
        return number.map(Id::Number);
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$');
    let is_valid = !text.is_empty() && !text.starts_with(['-', '.']) && text.bytes().all(is_name);
    is_valid.then(|| Id::Name(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b5_one_number_is_the_group_too() {
        for (text, expected) in [("33", (33, 33)), ("0:8", (0, 8)), ("4294967294:0", (4_294_967_294, 0))] {
            let owner: OwnerSpec = text.parse().expect(text);
            assert_eq!(owner.resolve(&MergedTree::default()).expect("numbers"), expected);
        }
    }

    #[test]
    fn b5_a_name_is_an_error_where_no_layer_has_its_number() {
        let report = |text: &str| {
            text.parse::<OwnerSpec>().expect(text).resolve(&MergedTree::default()).expect_err("a name").to_string()
        };
        assert_eq!(report("www-data"), "user 'www-data' is unknown: no layer below has it in /etc/passwd");
        assert_eq!(report("0:staff"), "group 'staff' is unknown: no layer below has it in /etc/group");
    }

    #[test]
    fn an_owner_that_cannot_be_read_is_an_error() {
        for text in ["", "-1", "4294967295", "1:", ":1", "1:2:3", "1 ", "0x1", "a b", "12ab"] {
            assert_eq!(text.parse::<OwnerSpec>(), Err(OwnerError(text.to_owned())), "{text}");
        }
    }
}
