//! Changes of modes, as chmod(1) writes them.

use std::str::FromStr;

/// The permissions, and the setuid, setgid and sticky bits.
const ALL: u32 = 0o7777;

/// A change of the mode of files: octal, or symbolic as in `u=rwX,go=rX`.
///
/// A symbolic change without `u`, `g`, `o` or `a` applies to all three, whatever the umask.
///
/// ```
/// use regshape::build::copy::ModeChange;
///
/// let change: ModeChange = "go=u-w".parse()?;
/// assert_eq!(change.apply(0o664, false), 0o644);
/// # Ok::<(), regshape::build::copy::ModeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModeChange(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Octal(u32),
    Symbolic(Vec<Clause>),
}

/// A part of a symbolic change, such as `go=u-w`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Clause {
    /// The bits of the classes to change: 0o700 for the owner, 0o070 for the group, 0o007 for others.
    classes: u32,
    actions: Vec<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Action {
    operator: Operator,
    permissions: Permissions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Operator {
    Add,
    Remove,
    Set,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Permissions {
    /// The permissions of a class of the file itself, by the number of bits to its right.
    Copied(u32),
    Listed {
        /// The bits `r`, `w`, `x` for one class.
        bits: u32,
        /// `X`: execute, if the file is a directory or somebody may execute it.
        conditional: bool,
        set_id: bool,
        sticky: bool,
    },
}

/// A mode cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("'{}' is not a mode; expected octal digits such as 0755, or changes such as u=rwX,go=rX", .0.escape_debug())]
pub struct ModeError(String);

impl ModeChange {
    /// Returns the changed mode of a file or directory.
    pub fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        match &self.0 {
            Kind::Octal(mode) => *mode,
            Kind::Symbolic(clauses) => clauses.iter().fold(mode & ALL, |mode, clause| clause.apply(mode, is_directory)),
        }
    }
}

impl Clause {
    fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        self.actions.iter().fold(mode, |mode, action| action.apply(mode, self.classes, is_directory))
    }
}

impl Action {
    fn apply(self, mode: u32, classes: u32, is_directory: bool) -> u32 {
        let bits = self.permissions.bits(mode, classes, is_directory);
        match self.operator {
            Operator::Add => mode | bits,
            Operator::Remove => mode & !bits,
            Operator::Set => mode & !(classes | special(classes)) | bits,
        }
    }
}

/// Returns the setuid, setgid and sticky bits that belong to classes.
fn special(classes: u32) -> u32 {
    [(0o700, 0o4000), (0o070, 0o2000), (0o007, 0o1000)]
        .into_iter()
        .filter(|(class, _)| classes & class != 0)
        .fold(0, |bits, (_, bit)| bits | bit)
}

impl Permissions {
    fn bits(self, mode: u32, classes: u32, is_directory: bool) -> u32 {
        match self {
            Self::Copied(shift) => ((mode >> shift & 7) * 0o111) & classes,
            Self::Listed { bits, conditional, set_id, sticky } => {
                let executes = conditional && (is_directory || mode & 0o111 != 0);
                let of_one = bits | u32::from(executes);
                let set_id = if set_id { special(classes) & 0o6000 } else { 0 };
                // Only a change of all classes, or of others, sets the sticky bit.
                let sticky = if sticky { special(classes) & 0o1000 } else { 0 };
                (of_one * 0o111) & classes | set_id | sticky
            }
        }
    }
}

impl FromStr for ModeChange {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        let error = || ModeError(text.to_owned());
        if text.starts_with(|start: char| start.is_ascii_digit()) {
            let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| digits && *mode <= ALL);
            return mode.map(|mode| Self(Kind::Octal(mode))).ok_or_else(error);
        }
        let clauses = text.split(',').map(clause).collect::<Option<Vec<_>>>();
        clauses.map(|clauses| Self(Kind::Symbolic(clauses))).ok_or_else(error)
    }
}

/// Parses a part of a symbolic change.
fn clause(text: &str) -> Option<Clause> {
    let is_operator = |letter: char| matches!(letter, '+' | '-' | '=');
    let at = text.find(is_operator)?;
    let mut classes = 0;
    for letter in text[..at].chars() {
        classes |= match letter {
            'u' => 0o700,
            'g' => 0o070,
            'o' => 0o007,
            'a' => 0o777,
            _ => return None,
        };
    }
    let classes = if classes == 0 { 0o777 } else { classes };
    let mut actions = Vec::new();
    let mut rest = &text[at..];
    while !rest.is_empty() {
        let operator = match rest.as_bytes()[0] {
            b'+' => Operator::Add,
            b'-' => Operator::Remove,
            _ => Operator::Set,
        };
        let end = rest[1..].find(is_operator).map_or(rest.len(), |end| end + 1);
        actions.push(Action { operator, permissions: permissions(&rest[1..end])? });
        rest = &rest[end..];
    }
    Some(Clause { classes, actions })
}

fn permissions(letters: &str) -> Option<Permissions> {
    match letters {
        "u" => return Some(Permissions::Copied(6)),
        "g" => return Some(Permissions::Copied(3)),
        "o" => return Some(Permissions::Copied(0)),
        _ => {}
    }
    let (mut bits, mut conditional, mut set_id, mut sticky) = (0, false, false, false);
    for letter in letters.chars() {
        match letter {
            'r' => bits |= 4,
            'w' => bits |= 2,
            'x' => bits |= 1,
            'X' => conditional = true,
            's' => set_id = true,
            't' => sticky = true,
            _ => return None,
        }
    }
    Some(Permissions::Listed { bits, conditional, set_id, sticky })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b6_modes_change_as_chmod_changes_them() {
        for (change, mode, is_directory, expected) in [
            ("644", 0o777, false, 0o644),
            ("0755", 0o4600, true, 0o755),
            ("4755", 0o644, false, 0o4755),
            ("go=u-w", 0o664, false, 0o644),
            ("go=u-w", 0o775, true, 0o755),
            ("go=u-w", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, false, 0o755),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("a+X", 0o644, false, 0o644),
            ("+x", 0o644, false, 0o755),
            ("u+s", 0o755, false, 0o4755),
            ("g+s,u+s", 0o755, false, 0o6755),
            ("+t", 0o777, true, 0o1777),
            ("u-s", 0o6755, false, 0o2755),
            ("u=rwx", 0o4755, false, 0o755),
            ("o=", 0o777, false, 0o770),
            ("g=o", 0o704, false, 0o744),
            ("u+w-x", 0o555, false, 0o655),
            ("a=r", 0o7777, false, 0o444),
        ] {
            let parsed: ModeChange = change.parse().expect(change);
            assert_eq!(parsed.apply(mode, is_directory), expected, "{change} of {mode:o}");
        }
    }

    #[test]
    fn a_mode_that_cannot_be_read_is_an_error() {
        for text in
            ["", "8", "10000", "rwx", "u", "u+q", "z+x", "u=rw,", ",", "0x1ff", "77777777777777", "u=ug", "644 "]
        {
            assert_eq!(text.parse::<ModeChange>(), Err(ModeError(text.to_owned())));
        }
    }
}
