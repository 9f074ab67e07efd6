//! Users and groups in the files of an image (passwd(5), group(5)).

/// The numbers of a user, or of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    /// The number of the user or group.
    pub(crate) id: u32,
    /// The group of a user, if the line has one.
    pub(crate) group: Option<u32>,
}

/// Finds the line of a name in `/etc/passwd` or `/etc/group`: the number is its third field, and the group of a user
/// its fourth.
pub(super) fn find_account(content: &[u8], name: &str) -> Option<Account> {
    let lines = content.split(|byte| *byte == b'\n');
    lines.filter_map(|line| std::str::from_utf8(line).ok()).find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(name);
        let id = fields.nth(1)?.parse().ok().filter(|_| is_it)?;
        Some(Account { id, group: fields.next().and_then(|group| group.trim().parse().ok()) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_by_their_lines() {
        let passwd = b"root:x:0:0:root:/root:/bin/sh\nbroken\nwww-data:x:33:34::/:/x\nbad:x:y:1\n";
        assert_eq!(find_account(passwd, "www-data"), Some(Account { id: 33, group: Some(34) }));
        assert_eq!(find_account(passwd, "www"), None);
        assert_eq!(find_account(passwd, "bad"), None);
        assert_eq!(find_account(b"staff:x:50:\n", "staff"), Some(Account { id: 50, group: None }));
    }
}
