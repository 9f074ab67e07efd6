//! Whether an image can start: its program, its working directory and its user are in its files (images, rule D5).

use std::collections::VecDeque;
use std::fmt;

use super::merge::MergedTree;
use super::node::{Node, NodeKind, Path, split};
use super::program::Program;
use super::resolve::Unresolved;
use super::stack::Stack;
use crate::error::{Error, Reason, Referrer, Result};
use crate::layout::handle::Layout;
use crate::oci::{UnknownFields, from_json};

/// The directories in which programs are looked for where the config sets no `PATH`.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The longest variable of a process, as on Linux.
const LONGEST_PATH: usize = 128 * 1024;

/// The most programs that are looked at: a script may name another one after `#!`. Linux stops earlier.
const PROGRAMS: usize = 16;

/// A program that a container needs to start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct StartProgram {
    /// The name, as the config or the other program has it.
    pub name: String,
    /// The program that needs it, if the config does not name it.
    pub needed_by: Option<NeededBy>,
}

/// A program that needs another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NeededBy {
    /// A script, which names the program after `#!`.
    Script(String),
    /// An ELF file, which the program loads with its libraries.
    Elf(String),
}

impl fmt::Display for StartProgram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "'{}'", self.name)?;
        match &self.needed_by {
            None => Ok(()),
            Some(NeededBy::Script(script)) => write!(formatter, ", which '{script}' names after #!,"),
            Some(NeededBy::Elf(program)) => write!(formatter, ", the loader of '{program}',"),
        }
    }
}

/// A fault for which a container of an image may not start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartFault {
    /// The config names no program: neither an entrypoint nor a command.
    NoCommand,
    /// The program is not in the image.
    NoProgram(StartProgram),
    /// The program is not a file that may be executed.
    NotExecutable(StartProgram),
    /// The program is not in a format that Linux knows.
    UnknownFormat(StartProgram),
    /// The program is for another machine than the config says.
    OtherMachine {
        /// The program.
        program: StartProgram,
        /// The architecture of the program, if it is known.
        found: Option<&'static str>,
        /// The architecture in the config.
        architecture: String,
    },
    /// The working directory is not in the image.
    NoDirectory(String),
    /// The working directory is a file.
    NotADirectory(String),
    /// The user is a name that `/etc/passwd` of the image does not have.
    UnknownUser(String),
    /// The group is a name that `/etc/group` of the image does not have.
    UnknownGroup(String),
}

impl fmt::Display for StartFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCommand => formatter.write_str("the config names no program: neither an entrypoint nor a command"),
            Self::NoProgram(program) => write!(formatter, "the program {program} is not in the image"),
            Self::NotExecutable(program) => write!(formatter, "the program {program} is not executable"),
            Self::UnknownFormat(program) => {
                write!(formatter, "the program {program} is neither an ELF file nor a script that begins with #!")
            }
            Self::OtherMachine { program, found, architecture } => write!(
                formatter,
                "the program {program} is for {}, and the image for {architecture}",
                found.unwrap_or("another machine")
            ),
            Self::NoDirectory(path) => {
                write!(formatter, "the working directory '{path}' is not in the image; engines make it as root's")
            }
            Self::NotADirectory(path) => write!(formatter, "the working directory '{path}' is not a directory"),
            Self::UnknownUser(user) => write!(formatter, "the user '{user}' is not in the image's /etc/passwd"),
            Self::UnknownGroup(group) => write!(formatter, "the group '{group}' is not in the image's /etc/group"),
        }
    }
}

impl Stack {
    /// Returns the faults as [`Stack::start_faults`] does, with the config that is staged in a layout.
    ///
    /// # Errors
    ///
    /// [`Error::NoConfig`]; [`Error::MalformedDocument`], [`Error::MalformedStage`]; [`Error::Io`].
    pub fn faults_of_staged_config(&self, layout: &Layout) -> Result<Vec<StartFault>> {
        let config = layout.find_stage()?.and_then(|stage| stage.config).ok_or(Error::NoConfig)?;
        let content = layout.read_document_blob(&config.digest, &Referrer::Stage)?;
        let config: UnknownFields = from_json(&content).map_err(|error| Error::MalformedDocument {
            digest: config.digest.clone(),
            kind: "image config",
            reason: Reason::from(error),
        })?;
        Ok(self.start_faults(&config))
    }

    /// Returns the faults for which a container of these layers may not start with a config. Where the files of a layer
    /// are not known, nothing is said; nor is that no program is named, which is right for an image to build on.
    pub fn start_faults(&self, config: &UnknownFields) -> Vec<StartFault> {
        if !self.skipped().is_empty() {
            return Vec::new();
        }
        let mut faults = start_faults(&self.tree, config);
        faults.retain(|fault| *fault != StartFault::NoCommand);
        faults
    }
}

/// Returns the faults for which a container of an image may not start.
pub(crate) fn start_faults(tree: &MergedTree, config: &UnknownFields) -> Vec<StartFault> {
    // Windows has other rules for paths and users, and its programs are below Files. Modules of WebAssembly need no mode.
    let os = config.get::<String>("os").ok().flatten().unwrap_or_default();
    if os == "windows" || os.starts_with("wasi") {
        return Vec::new();
    }
    let section = config.get::<UnknownFields>("config").ok().flatten().unwrap_or_default();
    let list = |name: &str| section.get::<Vec<String>>(name).ok().flatten().unwrap_or_default();
    let text = |name: &str| section.get::<String>(name).ok().flatten().filter(|text| !text.is_empty());
    let mut faults = Vec::new();
    let words = [list("Entrypoint"), list("Cmd")].concat();
    match words.first() {
        None => faults.push(StartFault::NoCommand),
        Some(program) => {
            let environment = list("Env");
            let path = environment.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(USUAL_PATH);
            let architecture = config.get::<String>("architecture").ok().flatten().unwrap_or_default();
            let directory = text("WorkingDir").unwrap_or_default();
            let path = &path.as_bytes()[..path.len().min(LONGEST_PATH)];
            let programs = Programs { tree, path, directory: &directory, architecture: &architecture };
            faults.extend(programs.fault_of(program));
        }
    }
    if let Some(directory) = text("WorkingDir") {
        match tree.resolve(&split(directory.as_bytes())) {
            Ok((_, node)) if node.children().is_some() => {}
            Ok(_) | Err(Unresolved::File) => faults.push(StartFault::NotADirectory(directory)),
            Err(Unresolved::Nowhere) => faults.push(StartFault::NoDirectory(directory)),
        }
    }
    if let Some(user) = text("User") {
        let (user, group) = user.split_once(':').unwrap_or((&user, ""));
        let is_unknown = |file: &str, name: &str| {
            !name.bytes().all(|byte| byte.is_ascii_digit()) && tree.account(file, name).is_none()
        };
        faults.extend(is_unknown("passwd", user).then(|| StartFault::UnknownUser(user.to_owned())));
        faults.extend(is_unknown("group", group).then(|| StartFault::UnknownGroup(group.to_owned())));
    }
    faults
}

/// The programs of an image, found as execvp(3) finds them.
struct Programs<'a> {
    tree: &'a MergedTree,
    /// The directories of the config's `PATH`.
    path: &'a [u8],
    /// The working directory.
    directory: &'a str,
    architecture: &'a str,
}

impl Programs<'_> {
    /// Returns the fault of a program, or else of one that it needs.
    fn fault_of(&self, program: &str) -> Option<StartFault> {
        let first = StartProgram { name: program.to_owned(), needed_by: None };
        let mut pending = VecDeque::from([(program.as_bytes().to_vec(), first)]);
        for _ in 0..PROGRAMS {
            let (name, program) = pending.pop_front()?;
            let node = match self.checked(&name, &program) {
                Ok(node) => node,
                Err(fault) => return Some(fault),
            };
            let NodeKind::File { program: Some(content), .. } = &node.kind else {
                return Some(StartFault::UnknownFormat(program));
            };
            let (needed, needed_by) = match &**content {
                Program::Elf { machine, .. } if self.is_other(*machine) => {
                    let found = MACHINES.iter().find(|(_, number)| number == machine).map(|(name, _)| *name);
                    let architecture = self.architecture.to_owned();
                    return Some(StartFault::OtherMachine { program, found, architecture });
                }
                Program::Elf { loader, .. } => (loader.as_deref().into_iter().collect(), NeededBy::Elf(program.name)),
                Program::Script { .. } => (content.interpreters(), NeededBy::Script(program.name)),
            };
            pending.extend(needed.into_iter().enumerate().map(|(at, name)| {
                let shown = String::from_utf8_lossy(name).into_owned();
                // Only env(1) looks into the directories of the path: Linux begins at the working directory.
                let name = if at == 0 && !name.contains(&b'/') { [b"./", name].concat() } else { name.to_vec() };
                (name, StartProgram { name: shown, needed_by: Some(needed_by.clone()) })
            }));
        }
        None
    }

    /// Finds a program, which must be a file that may be executed.
    fn checked(&self, name: &[u8], program: &StartProgram) -> Result<&Node, StartFault> {
        let below = |directory: &[u8]| split(&[directory, b"/", name].concat());
        let candidates: Vec<Path> = if name.starts_with(b"/") {
            vec![split(name)]
        } else if name.contains(&b'/') {
            vec![below(self.directory.as_bytes())]
        } else {
            self.path.split(|byte| *byte == b':').map(below).collect()
        };
        let found = candidates.iter().filter_map(|path| self.tree.resolve(path).ok()).map(|(_, node)| node);
        let found: Vec<&Node> = found.collect();
        let may_run = |node: &&&Node| matches!(node.kind, NodeKind::File { .. }) && node.attributes.mode & 0o111 != 0;
        match found.iter().find(may_run) {
            Some(node) => Ok(node),
            None if found.is_empty() => Err(StartFault::NoProgram(program.clone())),
            None => Err(StartFault::NotExecutable(program.clone())),
        }
    }

    /// Returns whether a machine is another one than that of the image, if both are known.
    fn is_other(&self, machine: u16) -> bool {
        MACHINES.iter().find(|(name, _)| *name == self.architecture).is_some_and(|(_, wanted)| *wanted != machine)
    }
}

/// The machines of ELF files (`e_machine`) by Go's words for architectures.
const MACHINES: [(&str, u16); 13] = [
    ("amd64", 62),
    ("arm64", 183),
    ("386", 3),
    ("arm", 40),
    ("s390x", 22),
    ("ppc64le", 21),
    ("ppc64", 21),
    ("riscv64", 243),
    ("loong64", 258),
    ("mips", 8),
    ("mipsle", 8),
    ("mips64", 8),
    ("mips64le", 8),
];
