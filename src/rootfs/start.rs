//! Whether an image can start: its program, its working directory and its user are in its files (images, rule D5).

use std::fmt;

use super::merge::MergedTree;
use super::node::{Node, NodeKind, Path};
use super::resolve::Unresolved;
use super::stack::Stack;
use crate::error::{Error, Reason, Referrer, Result};
use crate::layout::handle::Layout;
use crate::oci::{UnknownFields, from_json};

/// The directories in which programs are looked for where the config sets no `PATH`.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A fault for which a container of an image may not start.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StartFault {
    /// The program is not in the image.
    NoProgram(String),
    /// The program is not a file that may be executed.
    NotExecutable(String),
    /// The program is for another machine than the config says.
    OtherMachine {
        /// The program.
        program: String,
        /// The architecture of the program, if it is known.
        found: Option<&'static str>,
        /// The architecture in the config.
        architecture: String,
    },
    /// The working directory is not in the image.
    NoDirectory(String),
    /// The user is a name that `/etc/passwd` of the image does not have.
    UnknownUser(String),
    /// The group is a name that `/etc/group` of the image does not have.
    UnknownGroup(String),
}

impl fmt::Display for StartFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProgram(program) => write!(formatter, "the program '{program}' is not in the image"),
            Self::NotExecutable(program) => write!(formatter, "the program '{program}' is not executable"),
            Self::OtherMachine { program, found, architecture } => write!(
                formatter,
                "the program '{program}' is for {}, and the image for {architecture}",
                found.unwrap_or("another machine")
            ),
            Self::NoDirectory(path) => {
                write!(formatter, "the working directory '{path}' is not in the image; engines make it as root's")
            }
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
    /// are not known, nothing is said.
    pub fn start_faults(&self, config: &UnknownFields) -> Vec<StartFault> {
        if !self.skipped().is_empty() {
            return Vec::new();
        }
        // Windows has other rules for paths and users, and its programs are below Files.
        if config.get::<String>("os").ok().flatten().as_deref() == Some("windows") {
            return Vec::new();
        }
        let Some(section) = config.get::<UnknownFields>("config").ok().flatten() else { return Vec::new() };
        let list = |name: &str| section.get::<Vec<String>>(name).ok().flatten().unwrap_or_default();
        let text = |name: &str| section.get::<String>(name).ok().flatten().filter(|text| !text.is_empty());
        let mut faults = Vec::new();
        let words = [list("Entrypoint"), list("Cmd")].concat();
        if let Some(program) = words.first() {
            let environment = list("Env");
            let path = environment.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or(USUAL_PATH);
            let architecture = config.get::<String>("architecture").ok().flatten().unwrap_or_default();
            let directory = text("WorkingDir").unwrap_or_default();
            faults.extend(program_fault(&self.tree, program, (path, &directory), &architecture));
        }
        if let Some(directory) = text("WorkingDir") {
            let found = self.tree.resolve(&components(&directory));
            if !found.is_ok_and(|(_, node)| node.children().is_some()) {
                faults.push(StartFault::NoDirectory(directory));
            }
        }
        if let Some(user) = text("User") {
            let (user, group) = user.split_once(':').unwrap_or((&user, ""));
            let is_unknown = |file: &str, name: &str| {
                !name.bytes().all(|byte| byte.is_ascii_digit()) && self.tree.account(file, name).is_none()
            };
            faults.extend(is_unknown("passwd", user).then(|| StartFault::UnknownUser(user.to_owned())));
            faults.extend(is_unknown("group", group).then(|| StartFault::UnknownGroup(group.to_owned())));
        }
        faults
    }
}

/// Looks for a program as execvp(3) does: in the directories of the path, or from the working directory on.
fn program_fault(
    tree: &MergedTree,
    program: &str,
    (path, directory): (&str, &str),
    architecture: &str,
) -> Option<StartFault> {
    let candidates: Vec<Path> = if program.starts_with('/') {
        vec![components(program)]
    } else if program.contains('/') {
        vec![components(&format!("{directory}/{program}"))]
    } else {
        path.split(':').map(|directory| components(&format!("{directory}/{program}"))).collect()
    };
    let found = candidates.iter().filter_map(|path| match tree.resolve(path) {
        Ok((_, node)) => Some(node),
        Err(Unresolved::Nowhere | Unresolved::File) => None,
    });
    let may_run = |node: &&Node| node.children().is_none() && node.attributes.mode & 0o111 != 0;
    let found = found.clone().find(may_run).or_else(|| found.clone().next());
    let name = || program.to_owned();
    let Some(node) = found else { return Some(StartFault::NoProgram(name())) };
    let NodeKind::File { machine, .. } = &node.kind else { return Some(StartFault::NotExecutable(name())) };
    if node.attributes.mode & 0o111 == 0 {
        return Some(StartFault::NotExecutable(name()));
    }
    let (machine, wanted) = (machine.as_ref()?, machine_of(architecture)?);
    let found = MACHINES.iter().find(|(_, number)| number == machine).map(|(name, _)| *name);
    let architecture = architecture.to_owned();
    (*machine != wanted).then(|| StartFault::OtherMachine { program: name(), found, architecture })
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

fn machine_of(architecture: &str) -> Option<u16> {
    MACHINES.iter().find(|(name, _)| *name == architecture).map(|(_, number)| *number)
}

fn components(path: &str) -> Path {
    path.split('/').filter(|part| !part.is_empty()).map(|part| part.as_bytes().into()).collect()
}
