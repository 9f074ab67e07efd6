//! A temporary directory in which other programs run without leaving files elsewhere.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The environment variable that enables these tests.
const VARIABLE: &str = "REGSHAPE_TOOLS";

pub(crate) struct Lab {
    directory: TempDir,
}

impl Lab {
    /// Creates a lab for a test that needs some programs; `None`, with a line on stderr, if the test is skipped.
    pub(crate) fn with(programs: &[&str]) -> Option<Self> {
        Self::with_directory(programs, tempfile::tempdir)
    }

    /// Creates a lab like [`Lab::with`], in a new directory below `parent`.
    pub(crate) fn below(parent: &str, programs: &[&str]) -> Option<Self> {
        Self::with_directory(programs, || tempfile::tempdir_in(parent))
    }

    fn with_directory(programs: &[&str], directory: impl FnOnce() -> std::io::Result<TempDir>) -> Option<Self> {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let missing: Vec<_> = programs.iter().filter(|program| !is_installed(program)).copied().collect();
        match std::env::var(VARIABLE).ok().as_deref() {
            Some("required") => assert!(missing.is_empty(), "{VARIABLE}=required, but missing: {}", missing.join(", ")),
            Some(other) => panic!("{VARIABLE} can be 'required' or not set, but is '{other}'"),
            None => {
                let missing =
                    if missing.is_empty() { String::new() } else { format!(", missing: {}", missing.join(", ")) };
                say(&format!("skipped {test} (needs {}{missing}); {VARIABLE}=required runs it", programs.join(", ")));
                return None;
            }
        }
        if !is_root() && programs.iter().any(|program| ["podman", "buildah"].contains(program)) {
            say(&format!("skipped {test}: podman and buildah are used by root only"));
            return None;
        }
        let lab = Self { directory: directory().expect("a temporary directory") };
        lab.write("policy.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
        // Locks in shared memory and a journal would outlive the test.
        lab.write("containers.conf", "[engine]\nlock_type = \"file\"\nevents_logger = \"none\"\n");
        lab.write("registries.conf", "unqualified-search-registries = []\n");
        for name in ["home", "run", "tmp"] {
            fs::create_dir(lab.path(name)).expect("a new directory");
        }
        Some(lab)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("a writable directory");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs a program in the directory and returns its stdout; it must succeed.
    pub(crate) fn run_bytes(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Vec<u8> {
        let program = program.as_ref();
        let output = self.output(program, arguments);
        assert!(
            output.status.success(),
            "{} {}: {}\nstdout: {}\nstderr: {}",
            program.display(),
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Runs a program in the directory and returns its status and output.
    pub(crate) fn output(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Output {
        let program = program.as_ref();
        Command::new(program)
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .env("HOME", self.path("home"))
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env("TMPDIR", self.path("tmp"))
            .env("CONTAINERS_CONF", self.path("containers.conf"))
            .env("CONTAINERS_REGISTRIES_CONF", self.path("registries.conf"))
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
    }

    pub(crate) fn run(&self, program: impl AsRef<Path>, arguments: &[&str]) -> String {
        String::from_utf8(self.run_bytes(program, arguments)).expect("output in UTF-8")
    }

    pub(crate) fn regshape(&self, arguments: &[&str]) -> String {
        self.run(env!("CARGO_BIN_EXE_regshape"), arguments)
    }

    pub(crate) fn skopeo(&self, arguments: &[&str]) -> String {
        self.run("skopeo", &[&["--policy", "policy.json"], arguments].concat())
    }

    /// Runs a podman command with a storage of its own.
    pub(crate) fn podman(&self, arguments: &[&str]) -> String {
        let storage =
            ["--root", "podman", "--runroot", "podman-run", "--tmpdir", "podman-tmp", "--storage-driver", "vfs"];
        self.run_with_absolute_paths("podman", &storage, arguments)
    }

    /// Runs a buildah command with a storage of its own.
    pub(crate) fn buildah(&self, arguments: &[&str]) -> String {
        self.run_with_absolute_paths(
            "buildah",
            &["--root", "buildah", "--runroot", "buildah-run", "--storage-driver", "vfs"],
            arguments,
        )
    }

    fn run_with_absolute_paths(&self, program: &str, storage: &[&str], arguments: &[&str]) -> String {
        let storage: Vec<_> = storage
            .iter()
            .map(|word| if word.starts_with(program) { self.text(word) } else { (*word).to_owned() })
            .collect();
        let all: Vec<&str> = storage.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        self.run(program, &all).trim_end().to_owned()
    }

    /// Returns the absolute path of a file as a string.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a path in UTF-8").to_owned()
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Reads a blob of a layout.
    pub(crate) fn blob(&self, layout: &str, digest: &str) -> Vec<u8> {
        self.read(&format!("{layout}/blobs/sha256/{}", digest.trim_start_matches("sha256:")))
    }

    /// Returns the files below a directory, with their contents; empty if the directory does not exist.
    pub(crate) fn tree(&self, name: &str) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut names = vec![name.to_owned()];
        while let Some(name) = names.pop() {
            match fs::read_dir(self.path(&name)) {
                Ok(entries) => {
                    let entries = entries.map(|entry| entry.expect("readable").file_name());
                    names.extend(entries.map(|entry| format!("{name}/{}", entry.to_str().expect("a name in UTF-8"))));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
                    files.insert(name.clone(), self.read(&name));
                }
                Err(_) => {}
            }
        }
        files
    }

    /// Returns the names of the blobs of a layout.
    pub(crate) fn blobs(&self, layout: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(layout).join("blobs/sha256")).expect("a layout");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("readable").file_name().into_string().expect("a digest")).collect();
        names.sort();
        names
    }

    /// Returns the manifest with a ref name in a layout.
    pub(crate) fn manifest(&self, layout: &str, ref_name: &str) -> Value {
        serde_json::from_slice(&self.manifest_bytes(layout, ref_name)).expect("a manifest")
    }

    /// Returns the bytes of the manifest with a ref name in a layout.
    pub(crate) fn manifest_bytes(&self, layout: &str, ref_name: &str) -> Vec<u8> {
        let index = self.json(&format!("{layout}/index.json"));
        let entries = index["manifests"].as_array().expect("an index with entries");
        let entry = entries
            .iter()
            .find(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == ref_name)
            .unwrap_or_else(|| panic!("no {ref_name} in {index}"));
        let digest = entry["digest"].as_str().expect("a digest");
        self.blob(layout, digest)
    }

    /// Checks that `layout validate` reports a layout as valid.
    pub(crate) fn validate(&self, layout: &str) {
        assert_eq!(self.regshape(&["layout", "validate", "--path", layout]), format!("Layout at {layout} is valid.\n"));
    }
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Returns whether new files belong to root.
pub(crate) fn is_root() -> bool {
    let file = tempfile::tempfile().expect("a temporary file");
    file.metadata().expect("metadata").uid() == 0
}

/// Writes a line that is shown even without `--nocapture`.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
