//! The first bytes of programs: ELF files with their machine and loader, scripts with the program that runs them.

/// The bytes that are read of a program. The name of the loader of an ELF file is within them, wherever a linker puts it.
pub(super) const HEAD: usize = 4096;

/// The longest first line of a script, as on Linux.
const LINE: usize = 256;

/// A file that may be executed, as Linux takes it by its first bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Elf {
        /// The machine that the file is for (`e_machine`).
        machine: u16,
        /// The path of the program that loads it (`PT_INTERP`); static files have none.
        loader: Option<Box<[u8]>>,
    },
    /// A script, with the program after `#!` and its argument.
    Script { interpreter: Box<[u8]>, argument: Box<[u8]> },
}

impl Program {
    /// Reads the first bytes of a file; `None` if Linux does not know the format.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"\x7fELF") {
            return elf(head);
        }
        let line = head.strip_prefix(b"#!")?;
        let line = &line[..line.len().min(LINE)];
        let line = line.split(|byte| matches!(byte, b'\n' | 0)).next().unwrap_or_default();
        let line = trimmed(line);
        let end = line.iter().position(is_blank).unwrap_or(line.len());
        let (interpreter, argument) = line.split_at(end);
        let is_named = !interpreter.is_empty();
        is_named.then(|| Self::Script { interpreter: interpreter.into(), argument: trimmed(argument).into() })
    }

    /// Returns the programs that a script needs, by name: the one after `#!`, and the one that env(1) starts.
    pub(super) fn interpreters(&self) -> Vec<&[u8]> {
        let Self::Script { interpreter, argument } = self else { return Vec::new() };
        let is_env = interpreter.rsplit(|byte| *byte == b'/').next() == Some(b"env");
        let of_env = if is_env { program_of_env(argument) } else { None };
        std::iter::once(&**interpreter).chain(of_env).collect()
    }
}

/// Returns the program that env(1) starts with an argument, if that is certain. Linux passes all that follows the
/// interpreter as one argument, which only `-S` splits.
fn program_of_env(argument: &[u8]) -> Option<&[u8]> {
    let split = [&b"-S"[..], b"--split-string="].iter().find_map(|option| argument.strip_prefix(*option));
    let program = match split {
        // Quotes and variables are not looked into.
        Some(words) if words.iter().any(|byte| matches!(byte, b'\'' | b'"' | b'\\' | b'$' | b'#')) => return None,
        Some(words) => words.split(is_blank).find(|word| !word.is_empty() && !word.contains(&b'='))?,
        None => argument,
    };
    let is_name = !program.is_empty() && !program.starts_with(b"-") && !program.contains(&b'=');
    is_name.then_some(program)
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trimmed(mut line: &[u8]) -> &[u8] {
    while let Some((b' ' | b'\t', rest)) = line.split_first() {
        line = rest;
    }
    while let Some((b' ' | b'\t', rest)) = line.split_last() {
        line = rest;
    }
    line
}

/// Reads the header of an ELF file, and the name of its loader if it is within the first bytes.
fn elf(head: &[u8]) -> Option<Program> {
    let fields = Fields { head, is_big_endian: *head.get(5)? == 2 };
    let machine = u16::try_from(fields.number(18, 2)?).ok()?;
    Some(Program::Elf { machine, loader: fields.loader().map(Box::from) })
}

/// The fields of an ELF file.
struct Fields<'a> {
    head: &'a [u8],
    is_big_endian: bool,
}

impl<'a> Fields<'a> {
    fn number(&self, at: usize, length: usize) -> Option<usize> {
        let bytes = self.head.get(at..at.checked_add(length)?)?.iter();
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        let number = if self.is_big_endian { bytes.fold(0, join) } else { bytes.rev().fold(0, join) };
        usize::try_from(number).ok()
    }

    /// Returns the path in the segment of type `PT_INTERP`.
    fn loader(&self) -> Option<&'a [u8]> {
        const INTERPRETER: usize = 3;
        let is_long = *self.head.get(4)? == 2;
        // The places of the table and of its entries' size and number; then, in an entry, of the offset and the size.
        let (table, sizes, offset, size, word) = if is_long { (32, 54, 8, 32, 8) } else { (28, 42, 4, 16, 4) };
        let (table, length, count) = (self.number(table, word)?, self.number(sizes, 2)?, self.number(sizes + 2, 2)?);
        // Entries beyond the bytes that were read are not looked for.
        let entries = (0..count).map_while(|at| table.checked_add(at * length).filter(|at| *at < self.head.len()));
        let entry = entries.into_iter().find(|entry| self.number(*entry, 4) == Some(INTERPRETER))?;
        let start = self.number(entry + offset, word)?;
        let path = self.head.get(start..start.checked_add(self.number(entry + size, word)?)?)?;
        path.split(|byte| *byte == 0).next().filter(|path| !path.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(interpreter: &str, argument: &str) -> Option<Program> {
        Some(Program::Script { interpreter: interpreter.as_bytes().into(), argument: argument.as_bytes().into() })
    }

    #[test]
    fn the_first_line_of_a_script_is_read_as_linux_does() {
        for (head, expected) in [
            ("#!/bin/sh\necho", script("/bin/sh", "")),
            ("#! \t/bin/sh  -e x \nrest", script("/bin/sh", "-e x")),
            ("#!/bin/sh", script("/bin/sh", "")),
            ("#!sh\0x\n", script("sh", "")),
            ("#!/bin/sh\r\n", script("/bin/sh\r", "")),
            ("#!\n/bin/sh", None),
            ("#! ", None),
            (" #!/bin/sh", None),
            ("echo", None),
            ("", None),
        ] {
            assert_eq!(Program::of(head.as_bytes()), expected, "{head:?}");
        }
        let long = format!("#!/bin/{}\n", "x".repeat(300));
        assert_eq!(Program::of(long.as_bytes()), script(&format!("/bin/{}", "x".repeat(251)), ""));
    }

    #[test]
    fn the_program_of_env_is_found_where_it_is_certain() {
        for (line, expected) in [
            ("/bin/sh -e", &["/bin/sh"][..]),
            ("/usr/bin/env python3", &["/usr/bin/env", "python3"]),
            // Without -S this is the name of one program.
            ("/usr/bin/env python3 -u", &["/usr/bin/env", "python3 -u"]),
            ("/usr/bin/env -S python3 -u", &["/usr/bin/env", "python3"]),
            ("/usr/bin/env -Spython3 -u", &["/usr/bin/env", "python3"]),
            ("/usr/bin/env --split-string=A=b python3", &["/usr/bin/env", "python3"]),
            ("/usr/bin/env -S -i python3", &["/usr/bin/env"]),
            ("/usr/bin/env -S 'a b'", &["/usr/bin/env"]),
            ("/usr/bin/env -i", &["/usr/bin/env"]),
            ("/usr/bin/env A=b", &["/usr/bin/env"]),
            ("/usr/bin/env", &["/usr/bin/env"]),
            ("env sh", &["env", "sh"]),
        ] {
            let program = Program::of(format!("#!{line}\n").as_bytes()).expect("a script");
            let found: Vec<_> = program.interpreters().into_iter().map(String::from_utf8_lossy).collect();
            assert_eq!(found, expected, "{line}");
        }
    }

    /// Makes an ELF file: its word size, its order of bytes, its machine, and the path of its loader, whose segment is the second.
    fn elf_of(is_long: bool, is_big_endian: bool, machine: u16, loader: &[u8]) -> Vec<u8> {
        let mut elf = vec![0; 512];
        let mut put = |at: usize, length: usize, number: u64| {
            let bytes = number.to_le_bytes();
            for (place, byte) in bytes[..length].iter().enumerate() {
                elf[at + if is_big_endian { length - 1 - place } else { place }] = *byte;
            }
        };
        let (header, entry, word) = if is_long { (64, 56, 8) } else { (52, 32, 4) };
        put(18, 2, machine.into());
        put(if is_long { 32 } else { 28 }, word, header);
        put(if is_long { 54 } else { 42 }, 2, entry);
        put(if is_long { 56 } else { 44 }, 2, 2);
        let second = (header + entry) as usize;
        put(header as usize, 4, 6);
        put(second, 4, 3);
        put(second + if is_long { 8 } else { 4 }, word, 400);
        put(second + if is_long { 32 } else { 16 }, word, loader.len() as u64);
        elf[400..400 + loader.len()].copy_from_slice(loader);
        elf[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 1 + u8::from(is_long), 1 + u8::from(is_big_endian)]);
        elf
    }

    #[test]
    fn the_machine_and_the_loader_of_an_elf_file_are_read() {
        let program = |machine, loader: Option<&[u8]>| Some(Program::Elf { machine, loader: loader.map(Box::from) });
        for (is_long, is_big_endian) in [(true, false), (true, true), (false, false), (false, true)] {
            let elf = elf_of(is_long, is_big_endian, 183, b"/lib/ld.so.1\0");
            assert_eq!(Program::of(&elf), program(183, Some(b"/lib/ld.so.1")), "{is_long} {is_big_endian}");
            for length in [20, 60, 120, 405] {
                assert_eq!(Program::of(&elf[..length]), program(183, None), "{length}");
            }
            assert_eq!(Program::of(&elf[..19]), None);
            let no_name = elf_of(is_long, is_big_endian, 62, b"\0");
            assert_eq!(Program::of(&no_name), program(62, None));
            // Numbers without meaning do no harm.
            let mut wild = elf.clone();
            wild[20..64].fill(0xff);
            assert_eq!(Program::of(&wild), program(183, None));
        }
    }
}
