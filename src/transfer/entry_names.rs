//! The names of entries: checked and normalized.

/// The maximum length of a name in bytes: the limit that systems have for paths.
const NAME_LIMIT: usize = 4096;

/// Checks a name, and returns it normalized: `./a//b/` is `a/b`; `None` if it is not UTF-8.
///
/// # Errors
///
/// The reason why the name is not safe.
pub(crate) fn checked(name: &[u8]) -> Result<Option<String>, String> {
    if name.len() > NAME_LIMIT {
        return Err(format!("has a name of more than {NAME_LIMIT} bytes"));
    }
    if name.contains(&0) {
        return Err("has a NUL byte in its name".to_owned());
    }
    // On some systems, a drive letter makes a path absolute.
    if name.starts_with(b"/") || matches!(name, [letter, b':', ..] if letter.is_ascii_alphabetic()) {
        return Err("has an absolute name".to_owned());
    }
    if name.contains(&b'\\') {
        return Err("has a backslash in its name".to_owned());
    }
    if name.split(|byte| *byte == b'/').any(|part| part == b"..") {
        return Err("has '..' in its name".to_owned());
    }
    Ok(std::str::from_utf8(name).ok().map(normal))
}

/// Returns a name without empty parts and `.`.
pub(crate) fn normal(name: &str) -> String {
    let parts: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    parts.join("/")
}

/// Returns the normalized target of a link in a directory, if it is inside the archive.
pub(crate) fn target_of(directory: &str, target: &[u8]) -> Option<String> {
    let target = std::str::from_utf8(target).ok().filter(|target| !target.is_empty() && target.len() <= NAME_LIMIT)?;
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    if target.starts_with('/') || target.contains(['\\', '\0']) {
        return None;
    }
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    let target = parts.join("/");
    checked(target.as_bytes()).ok().flatten()
}

/// Shortens a name for display.
pub(crate) fn shown(name: &str) -> String {
    const SHOWN: usize = 200;
    match name.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_archive() {
        let long = "a".repeat(NAME_LIMIT + 1);
        type Case<'a> = (&'a [u8], Result<Option<&'a str>, &'a str>);
        let cases: [Case<'_>; 22] = [
            (b"a", Ok(Some("a"))),
            (b"./a", Ok(Some("a"))),
            (b"./", Ok(Some(""))),
            (b"", Ok(Some(""))),
            (b"a/./b//c/", Ok(Some("a/b/c"))),
            (b"a..b/...", Ok(Some("a..b/..."))),
            (b"sha256:ab", Ok(Some("sha256:ab"))),
            (b"a\xff", Ok(None)),
            (&long.as_bytes()[..NAME_LIMIT], Ok(Some(&long[..NAME_LIMIT]))),
            (long.as_bytes(), Err("has a name of more than 4096 bytes")),
            (b"/a", Err("has an absolute name")),
            (b"//a", Err("has an absolute name")),
            (b"C:\\a", Err("has an absolute name")),
            (b"c:/a", Err("has an absolute name")),
            (b"c:a", Err("has an absolute name")),
            (b"\\\\server\\a", Err("has a backslash in its name")),
            (b"..\\a", Err("has a backslash in its name")),
            (b"..", Err("has '..' in its name")),
            (b"a/../b", Err("has '..' in its name")),
            (b"./../a", Err("has '..' in its name")),
            (b"a/..", Err("has '..' in its name")),
            (b"a\0b", Err("has a NUL byte in its name")),
        ];
        for (name, expected) in cases {
            let expected = expected.map(|name| name.map(str::to_owned)).map_err(str::to_owned);
            assert_eq!(checked(name), expected, "{}", String::from_utf8_lossy(name));
        }
    }

    #[test]
    fn links_stay_in_the_archive() {
        for (directory, target, expected) in [
            ("", "b", Some("b")),
            ("a", "b", Some("a/b")),
            ("a", "../b/c", Some("b/c")),
            ("a/b", "../../c", Some("c")),
            ("a", "./b/../c", Some("a/c")),
            ("a", "../../b", None),
            ("", "..", None),
            ("a", "/b", None),
            ("a", "..\\b", None),
            ("", "c:/b", None),
            ("a", "b\0", None),
            ("a", "", None),
        ] {
            assert_eq!(target_of(directory, target.as_bytes()).as_deref(), expected, "{target} in '{directory}'");
        }
        assert_eq!(target_of("", b"\xff"), None);
    }

    #[test]
    fn long_names_are_shown_in_part() {
        assert_eq!(shown("é"), "é");
        assert_eq!(shown(&"é".repeat(201)), format!("{}…", "é".repeat(200)));
    }
}
