//! Capabilities of files (capabilities(7)), as an extended attribute.

use std::str::FromStr;

/// The names of capabilities in the order of their numbers.
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// The revision in the first 4 bytes of the attribute, in its highest byte.
const REVISION_2: u32 = 0x0200_0000;
const REVISION_3: u32 = 0x0300_0000;
const REVISION_MASK: u32 = 0xff00_0000;

/// The flag for capabilities that are in effect when the program starts.
const EFFECTIVE: u32 = 1;

/// The sizes of the attribute.
const SIZE_2: usize = 20;
const SIZE_3: usize = 24;

/// The capabilities that a program gets when it starts, such as `cap_net_raw+ep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capabilities {
    permitted: u64,
    inheritable: u64,
    is_effective: bool,
}

/// Capabilities cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CapabilityError {
    /// A capability of this name does not exist.
    #[error("'{}' is not a capability; expected a name such as cap_net_bind_service", .0.escape_debug())]
    Name(String),
    /// The text is not a list of capabilities with flags.
    #[error("'{}' is not a list of capabilities; expected for example cap_net_raw,cap_net_admin+ep", .0.escape_debug())]
    Text(String),
    /// Files have one flag for all their capabilities.
    #[error("'{}' puts only some of the capabilities into effect; files have one flag e for all", .0.escape_debug())]
    PartlyEffective(String),
}

impl Capabilities {
    /// Returns the value of the attribute `security.capability`.
    pub(crate) fn to_attribute(self) -> [u8; SIZE_2] {
        let low = |bits: u64| (bits & 0xffff_ffff) as u32;
        let high = |bits: u64| (bits >> 32) as u32;
        let words = [
            REVISION_2 | if self.is_effective { EFFECTIVE } else { 0 },
            low(self.permitted),
            low(self.inheritable),
            high(self.permitted),
            high(self.inheritable),
        ];
        let mut value = [0; SIZE_2];
        for (bytes, word) in value.chunks_exact_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        value
    }
}

/// Returns a value of the attribute without the user of a namespace: revision 3 becomes revision 2, because the user's
/// number means nothing on another machine.
pub(super) fn portable(value: Box<[u8]>) -> Box<[u8]> {
    let Some((head, rest)) = value.split_first_chunk::<4>().filter(|_| value.len() == SIZE_3) else { return value };
    let head = u32::from_le_bytes(*head);
    if head & REVISION_MASK != REVISION_3 {
        return value;
    }
    let head = (head & !REVISION_MASK | REVISION_2).to_le_bytes();
    [head.as_slice(), &rest[..SIZE_2 - 4]].concat().into()
}

impl FromStr for Capabilities {
    type Err = CapabilityError;

    /// Parses clauses as cap_from_text(3) does: names, then `=`, `+` or `-` with the flags `e`, `i` and `p`.
    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let error = || CapabilityError::Text(text.to_owned());
        let (mut effective, mut inheritable, mut permitted) = (0, 0, 0);
        let mut clauses = text.split_whitespace().peekable();
        clauses.peek().ok_or_else(error)?;
        for clause in clauses {
            let at = clause.find(['=', '+', '-']).ok_or_else(error)?;
            let bits = bits_of(&clause[..at])?;
            let mut rest = &clause[at..];
            while !rest.is_empty() {
                let end = rest[1..].find(['=', '+', '-']).map_or(rest.len(), |end| end + 1);
                let (operator, flags) = (rest.as_bytes()[0], &rest[1..end]);
                if operator != b'=' && flags.is_empty() || flags.contains(|flag| !matches!(flag, 'e' | 'i' | 'p')) {
                    return Err(error());
                }
                for (flag, set) in [('e', &mut effective), ('i', &mut inheritable), ('p', &mut permitted)] {
                    match operator {
                        b'=' if flags.contains(flag) => *set |= bits,
                        b'=' => *set &= !bits,
                        b'+' if flags.contains(flag) => *set |= bits,
                        b'-' if flags.contains(flag) => *set &= !bits,
                        _ => {}
                    }
                }
                rest = &rest[end..];
            }
        }
        if effective != 0 && effective != permitted | inheritable {
            return Err(CapabilityError::PartlyEffective(text.to_owned()));
        }
        Ok(Self { permitted, inheritable, is_effective: effective != 0 })
    }
}

fn bits_of(names: &str) -> Result<u64, CapabilityError> {
    const ALL: u64 = (1 << NAMES.len()) - 1;
    if names.is_empty() || names.eq_ignore_ascii_case("all") {
        return Ok(ALL);
    }
    names.split(',').try_fold(0, |bits, name| {
        let lower = name.to_ascii_lowercase();
        let number = lower.strip_prefix("cap_").and_then(|name| NAMES.iter().position(|known| *known == name));
        Ok(bits | 1 << number.ok_or_else(|| CapabilityError::Name(name.to_owned()))?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a13_capabilities_are_written_in_revision_2() {
        let value = |text: &str| hex::encode(text.parse::<Capabilities>().expect(text).to_attribute());
        assert_eq!(value("cap_net_raw+ep"), "0100000200200000000000000000000000000000");
        assert_eq!(value("cap_net_raw=ep"), "0100000200200000000000000000000000000000");
        assert_eq!(value("cap_net_raw,CAP_NET_ADMIN=p"), "0000000200300000000000000000000000000000");
        assert_eq!(value("cap_chown=eip cap_chown-e"), "0000000201000000010000000000000000000000");
        assert_eq!(value("cap_bpf+i"), "0000000200000000000000000000000080000000");
        // A value may hold the byte of a newline.
        assert_eq!(value("cap_dac_override,cap_fowner=p"), "000000020a000000000000000000000000000000");
        assert_eq!(value("all=p"), "00000002ffffffff00000000ff01000000000000");
    }

    #[test]
    fn a13_revision_3_becomes_revision_2_and_loses_its_user() {
        let three = hex::decode("010000030020000000000000000000000000000034120000").expect("hex");
        assert_eq!(hex::encode(portable(three.into())), "0100000200200000000000000000000000000000");
        for other in ["0100000200200000000000000000000000000000", "", "00", "010000010020000000000000"] {
            assert_eq!(hex::encode(portable(hex::decode(other).expect("hex").into())), other);
        }
    }

    #[test]
    fn capabilities_that_cannot_be_read_are_an_error() {
        let error = |text: &str| text.parse::<Capabilities>().expect_err(text);
        assert_eq!(error("cap_fly+ep"), CapabilityError::Name("cap_fly".to_owned()));
        assert_eq!(error("net_raw+ep"), CapabilityError::Name("net_raw".to_owned()));
        for text in ["", " ", "cap_net_raw", "cap_net_raw+", "cap_net_raw+x", "cap_net_raw-"] {
            assert_eq!(error(text), CapabilityError::Text(text.to_owned()));
        }
        let text = "cap_chown=ep cap_kill=p";
        assert_eq!(error(text), CapabilityError::PartlyEffective(text.to_owned()));
    }
}
