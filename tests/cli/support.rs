//! Shared by the tests of several commands: a directory to work in, layers that are the same everywhere, and their
//! digests in a layout.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use predicates::Predicate;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::result_keys::{has_more, is_key, keys_of};

pub(crate) const TAR_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const GZIP_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const ZSTD_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub(crate) const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

// The output bytes are guaranteed: the same input results in the same digests everywhere. If a new version of a
// compressor changes them, the changelog mentions it.

/// `base.tar`, uncompressed.
pub(crate) const BASE_DIFF_ID: &str = "sha256:34c19f5a1c8c56151946a75e691b148d123586c90b57e72f3ff1891835aa16d1";
/// `base.tar` compressed by the program with gzip.
pub(crate) const BASE: &str = "sha256:4dda0e5833c9d3d867741c582e57d42735d5563be5b40de88166636322b9fdb1";
pub(crate) const BASE_SIZE: u64 = 209;
/// `base.tar` compressed by the program with zstd.
pub(crate) const BASE_ZSTD: &str = "sha256:c367e217c878b165121b09ec4e81022c7077d303afd3ec51bf5abeadcca466fb";
pub(crate) const BASE_ZSTD_SIZE: u64 = 196;
/// `patches.tar`, uncompressed.
pub(crate) const PATCHES_DIFF_ID: &str = "sha256:94d67e224532abb7015e3f0ab327cf323ecc4244f7d3a0776c93e66f3c4c2a95";
/// `patches.tar.gz`, which is stored unchanged.
pub(crate) const PATCHES: &str = "sha256:bfb146ce6e5a9db0b24f0b902f7b9003ad964291b958339a6134c172bf75a46c";
pub(crate) const PATCHES_SIZE: u64 = 2081;
/// The config of the two layers for amd64 and Linux.
pub(crate) const CONFIG: &str = "sha256:83dcf7c08d2fff7898672672931f86d1bba1086e18f32f7487ef26561e680e23";
pub(crate) const CONFIG_SIZE: u64 = 225;
/// The config for arm64.
pub(crate) const CONFIG_ARM64: &str = "sha256:dd3a325c07e3ea2c6346a70897755e355addffcfbe405be032bea68745f0bc7a";
pub(crate) const CONFIG_ARM64_SIZE: u64 = 225;
/// The manifest of [`CONFIG`] and the two layers, without annotations.
pub(crate) const MANIFEST: &str = "sha256:96eaf28b93977881641de1ff4c1bbfe3b11baea31ac258dbd128866515a59cd6";
pub(crate) const MANIFEST_SIZE: u64 = 556;

/// Makes a named pipe.
#[cfg(unix)]
#[track_caller]
pub(crate) fn make_fifo(path: impl AsRef<Path>) {
    let status = Command::new("mkfifo").arg("-m").arg("600").arg(path.as_ref()).status().expect("mkfifo runs");
    assert!(status.success(), "{}", path.as_ref().display());
}

/// Checks that `--template` takes every key of a command's JSON.
#[track_caller]
fn assert_keys_are_listed(words: &str, value: &Value) {
    let full_name = |word: &str| match word {
        "ls" => "list".to_owned(),
        "rm" => "delete".to_owned(),
        "mv" | "move" => "rename".to_owned(),
        "cp" => "add".to_owned(),
        word => word.to_owned(),
    };
    let words: Vec<&str> = words.split_whitespace().filter(|word| *word != "layout").collect();
    let one = words.first().copied().unwrap_or_default().to_owned();
    let two = format!("{one} {}", words.get(1).map(|word| full_name(word)).unwrap_or_default());
    let keys = [two.as_str(), one.as_str()].map(keys_of).into_iter().find(|keys| !keys.is_empty());
    let keys = keys.unwrap_or_else(|| panic!("no keys of {words:?} are listed"));
    let elements = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    for key in elements.iter().filter_map(Value::as_object).flat_map(|element| element.keys()) {
        assert!(has_more(keys) || is_key(keys, key), "'{key}' of {words:?} is not listed in result_keys.rs");
    }
}

/// The result of a run of the program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Drops the lines of `validate` with the image of a finding, and the summary.
    pub(crate) fn messages(mut self) -> Self {
        let is_below = |line: &str| {
            line.starts_with("  ") && !line.starts_with("  caused by: ") && !line.starts_with("  scenario ")
        };
        let is_sum = |line: &str| line.starts_with(|first: char| first.is_ascii_digit());
        let kept = self.stderr.lines().filter(|line| !is_below(line) && !is_sum(line));
        self.stderr = kept.map(|line| format!("{line}\n")).collect();
        self
    }

    /// Compares the result with a success.
    #[track_caller]
    pub(crate) fn succeeds(&self, stdout: impl AsRef<str>, stderr: impl AsRef<str>) {
        self.is(0, stdout, stderr);
    }

    /// Compares the result with an error, with an empty stdout.
    #[track_caller]
    pub(crate) fn fails(&self, stderr: impl AsRef<str>) {
        self.is(status_of(stderr.as_ref()), "", stderr);
    }

    #[track_caller]
    pub(crate) fn is(&self, status: i32, stdout: impl AsRef<str>, stderr: impl AsRef<str>) {
        let (stdout, stderr) = (stdout.as_ref(), stderr.as_ref());
        assert!(
            self.status == status && self.stdout == stdout && self.stderr == stderr,
            "expected status {status}\n--- stdout\n{stdout}--- stderr\n{stderr}--- but got status {}\n--- stdout\n{}--- stderr\n{}---",
            self.status,
            self.stdout,
            self.stderr
        );
    }

    /// Checks an error with text from elsewhere: from the system or the command-line parser.
    #[track_caller]
    pub(crate) fn fails_with(&self, status: i32, stderr: impl Predicate<str>) {
        assert_eq!((self.status, self.stdout.as_str()), (status, ""), "{self:?}");
        assert!(stderr.eval(&self.stderr), "{stderr} is not so of {}", self.stderr);
    }

    /// Parses stdout as a single JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

/// Returns the exit status of an error: the rows of `statuses` have the status for each message and command.
fn status_of(stderr: &str) -> i32 {
    let is_not_stored = stderr.contains("is not stored in") && stderr.contains("(MANIFEST_UNKNOWN)");
    let is_not_found = [" has no manifest '", " has no tag '", " has no repository '", " has no blob ", " image in '"]
        .iter()
        .any(|words| stderr.contains(words));
    match stderr {
        _ if stderr.contains(" is locked by another process") => 75,
        _ if is_not_found || is_not_stored || stderr.contains("' is not in the image") => 3,
        _ => 1,
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().expect("the program ends by itself"),
            stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        }
    }
}

/// A working directory for the program. The layout in it is `image`, so that outputs contain no path of this machine.
pub(crate) struct Sandbox {
    directory: tempfile::TempDir,
}

impl Sandbox {
    /// Creates an empty directory.
    pub(crate) fn empty() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    /// Creates a layout, and `base.tar` and `patches.tar.gz` next to it.
    pub(crate) fn new() -> Self {
        static FILES: OnceLock<Snapshot> = OnceLock::new();
        Self::made_once(&FILES, || {
            let sandbox = Self::empty();
            sandbox.write("base.tar", base_tar());
            sandbox.write("patches.tar.gz", gzip(&patches_tar()));
            sandbox.ok("layout init --path image");
            sandbox
        })
    }

    /// Creates a layout with both layers staged.
    pub(crate) fn staged() -> Self {
        static FILES: OnceLock<Snapshot> = OnceLock::new();
        Self::made_once(&FILES, || {
            let sandbox = Self::new();
            sandbox.ok("layout add layer --path image --file base.tar");
            sandbox.ok("layout add layer --path image --file patches.tar.gz");
            sandbox
        })
    }

    /// Creates a layout with both layers and a config for amd64 and Linux.
    pub(crate) fn configured() -> Self {
        static FILES: OnceLock<Snapshot> = OnceLock::new();
        Self::made_once(&FILES, || {
            let sandbox = Self::staged();
            sandbox.ok("layout generate config --path image");
            sandbox
        })
    }

    /// Creates a layout with an image named `latest`.
    pub(crate) fn built() -> Self {
        static FILES: OnceLock<Snapshot> = OnceLock::new();
        Self::made_once(&FILES, || {
            let sandbox = Self::configured();
            sandbox.ok("layout generate manifest --path image --ref-name latest");
            sandbox
        })
    }

    /// Creates a directory with the files that `make` creates. It runs the first time only: starting the program takes far
    /// longer than writing the files.
    fn made_once(files: &OnceLock<Snapshot>, make: impl FnOnce() -> Self) -> Self {
        let files = files.get_or_init(|| Snapshot::of(make().directory.path()));
        let sandbox = Self::empty();
        files.write_to(sandbox.directory.path());
        sandbox
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    #[track_caller]
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("written");
    }

    #[track_caller]
    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).expect("UTF-8")
    }

    #[track_caller]
    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.read(name)).expect("JSON")
    }

    /// Edits a JSON document by hand.
    #[track_caller]
    pub(crate) fn edit(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut document = self.json(name);
        change(&mut document);
        self.write(name, document.to_string());
    }

    pub(crate) fn index(&self) -> Value {
        self.json("image/index.json")
    }

    pub(crate) fn stage(&self) -> Value {
        self.json("image/.regshape-stage.json")
    }

    #[track_caller]
    pub(crate) fn blob(&self, digest: &str) -> Vec<u8> {
        self.read(&blob_name(digest))
    }

    #[track_caller]
    pub(crate) fn blob_json(&self, digest: &str) -> Value {
        serde_json::from_slice(&self.blob(digest)).expect("JSON")
    }

    /// Stores a blob by hand and returns its digest.
    pub(crate) fn store(&self, content: impl AsRef<[u8]>) -> String {
        let digest = sha256(content.as_ref());
        self.write(&blob_name(&digest), content);
        digest
    }

    /// Returns the digests of the blobs, after checking their content.
    #[track_caller]
    pub(crate) fn blobs(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.path("image/blobs/sha256")).expect("readable");
        let digest = |entry: std::io::Result<fs::DirEntry>| {
            format!("sha256:{}", entry.expect("readable").file_name().to_string_lossy())
        };
        let digests: BTreeSet<_> = entries.map(digest).collect();
        digests.iter().for_each(|digest| assert_eq!(*digest, sha256(&self.blob(digest))));
        digests
    }

    /// Compares the blobs with the expected ones.
    #[track_caller]
    pub(crate) fn has_blobs<'a>(&self, digests: impl IntoIterator<Item = &'a str>) {
        assert_eq!(self.blobs(), digests.into_iter().map(str::to_owned).collect());
    }

    /// Returns all files in the directory: names, contents, and modification times.
    pub(crate) fn tree(&self) -> Tree {
        fn walk(directory: &Path, name: &str, tree: &mut Tree) {
            for entry in fs::read_dir(directory).expect("readable") {
                let entry = entry.expect("readable");
                let name = format!("{name}/{}", entry.file_name().to_string_lossy());
                let metadata = entry.metadata().expect("readable");
                if metadata.is_dir() {
                    tree.insert(name.clone(), (None, None));
                    walk(&entry.path(), &name, tree);
                } else if metadata.is_file() {
                    let content = sha256_of_file(&entry.path());
                    tree.insert(name, (Some(content), metadata.modified().ok()));
                } else {
                    tree.insert(name, (Some(format!("{:?}", metadata.file_type())), None));
                }
            }
        }
        let mut tree = Tree::new();
        walk(self.directory.path(), ".", &mut tree);
        tree
    }

    /// The names and contents in the directory. A blob that is stored again is new, and only its time shows that.
    pub(crate) fn contents(&self) -> BTreeMap<String, Option<String>> {
        self.tree().into_iter().map(|(name, (content, _))| (name, content)).collect()
    }

    /// Returns the program as a command with an empty stdin and a clean environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("regshape"));
        command.current_dir(self.directory.path()).env_remove("SOURCE_DATE_EPOCH").stdin(Stdio::null());
        for name in ["LC_ALL", "LC_CTYPE", "LANG"] {
            command.env_remove(name);
        }
        command
    }

    /// Runs the program with space-separated arguments. For `validate`, only the messages of findings are kept.
    #[track_caller]
    pub(crate) fn run(&self, words: &str) -> Outcome {
        let outcome = self.run_words(words.split_whitespace());
        if words.starts_with("layout validate") { outcome.messages() } else { outcome }
    }

    #[track_caller]
    pub(crate) fn run_words<'a>(&self, words: impl IntoIterator<Item = &'a str>) -> Outcome {
        self.command().args(words).output().expect("the program runs").into()
    }

    /// Runs the program with input on stdin.
    #[track_caller]
    pub(crate) fn run_with_input(&self, words: &str, input: &[u8]) -> Outcome {
        let mut child = self
            .command()
            .args(words.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // The program may exit without reading all of its input.
        let _ = child.stdin.take().expect("a pipe").write_all(input);
        child.wait_with_output().expect("the program ends").into()
    }

    /// Runs a command that must succeed; returns stdout.
    #[track_caller]
    pub(crate) fn ok(&self, words: &str) -> String {
        let outcome = self.run(words);
        assert!(outcome.status == 0, "{words}: {outcome:?}");
        outcome.stdout
    }

    /// Runs a command with `--json` that must succeed with an empty stderr; returns the value.
    #[track_caller]
    pub(crate) fn ok_json(&self, words: &str) -> Value {
        let outcome = self.run(&format!("{words} --json"));
        assert!(outcome.status == 0 && outcome.stderr.is_empty(), "{words}: {outcome:?}");
        let value = outcome.json();
        assert_keys_are_listed(words, &value);
        value
    }

    /// Runs a command that must fail with a message and change nothing.
    #[track_caller]
    pub(crate) fn refuses(&self, words: &str, message: &str) {
        let before = self.tree();
        self.run(words).fails(format!("Error: {message}\n"));
        assert_eq!(self.tree(), before, "{words} changed something");
    }

    /// Runs a command with conflicting or missing arguments, which must change nothing.
    #[track_caller]
    pub(crate) fn misuses(&self, words: &str, message: &str) {
        self.misuses_words(words, &[], message);
    }

    /// The same for arguments that may contain spaces or be empty.
    #[track_caller]
    pub(crate) fn misuses_words(&self, words: &str, more: &[&str], message: &str) {
        let before = self.tree();
        let outcome = self.run_words(words.split_whitespace().chain(more.iter().copied()));
        outcome.is(2, "", format!("Error: {message}\n"));
        assert_eq!(self.tree(), before, "{words} {more:?} changed something");
    }

    #[track_caller]
    pub(crate) fn is_valid(&self) {
        self.run("layout validate --path image").succeeds("Layout at image is valid.\n", "");
    }
}

/// The directories and files in a directory.
struct Snapshot(Vec<(PathBuf, fs::Permissions, Option<Vec<u8>>)>);

impl Snapshot {
    fn of(directory: &Path) -> Self {
        fn walk(directory: &Path, below: &Path, entries: &mut Vec<(PathBuf, fs::Permissions, Option<Vec<u8>>)>) {
            for entry in fs::read_dir(directory).expect("readable") {
                let entry = entry.expect("readable");
                let (name, metadata) = (below.join(entry.file_name()), entry.metadata().expect("readable"));
                let content = metadata.is_file().then(|| fs::read(entry.path()).expect("readable"));
                entries.push((name.clone(), metadata.permissions(), content));
                if metadata.is_dir() {
                    walk(&entry.path(), &name, entries);
                }
            }
        }
        let mut entries = Vec::new();
        walk(directory, Path::new(""), &mut entries);
        Self(entries)
    }

    fn write_to(&self, directory: &Path) {
        for (name, permissions, content) in &self.0 {
            let path = directory.join(name);
            match content {
                Some(content) => fs::write(&path, content).expect("written"),
                None => fs::create_dir(&path).expect("created"),
            }
            fs::set_permissions(&path, permissions.clone()).expect("set");
        }
    }
}

pub(crate) type Tree = BTreeMap<String, (Option<String>, Option<std::time::SystemTime>)>;

/// Returns the path of a blob in the sandbox.
pub(crate) fn blob_name(digest: &str) -> String {
    format!("image/blobs/{}", digest.replace(':', "/"))
}

/// Returns the digest of some bytes, in the form used in documents.
pub(crate) fn sha256(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}

/// Returns the digest of a file, which may be large.
fn sha256_of_file(path: &Path) -> String {
    let mut reader = BufReader::with_capacity(1 << 16, fs::File::open(path).expect("readable"));
    let mut hasher = Sha256::new();
    loop {
        let bytes = reader.fill_buf().expect("readable");
        if bytes.is_empty() {
            return format!("sha256:{}", hex::encode(hasher.finalize()));
        }
        hasher.update(bytes);
        let length = bytes.len();
        reader.consume(length);
    }
}

/// Returns a tar of a small root file system: directories, files and a link.
pub(crate) fn base_tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for directory in ["bin/", "etc/"] {
        append(&mut builder, directory, tar::EntryType::Directory, 0o755, b"");
    }
    append(&mut builder, "etc/hostname", tar::EntryType::Regular, 0o644, b"regshape\n");
    append(&mut builder, "bin/tool", tar::EntryType::Regular, 0o755, "#!/bin/sh\necho tool\n".repeat(100).as_bytes());
    let mut link = header(tar::EntryType::Symlink, 0o777, 0);
    builder.append_link(&mut link, "bin/alias", "tool").expect("appended");
    builder.into_inner().expect("a tar")
}

/// Returns a layer that changes a file of the base layer.
pub(crate) fn patches_tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    append(&mut builder, "etc/hostname", tar::EntryType::Regular, 0o644, b"patched\n");
    builder.into_inner().expect("a tar")
}

fn header(kind: tar::EntryType, mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn append(builder: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, mode: u32, content: &[u8]) {
    builder.append_data(&mut header(kind, mode, content.len() as u64), name, content).expect("appended");
}

/// Compresses bytes unlike this program: at another level, with a name in the header.
pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let builder = flate2::GzBuilder::new().filename("layer.tar");
    let mut encoder = builder.write(Vec::new(), flate2::Compression::none());
    encoder.write_all(content).expect("compressed");
    encoder.finish().expect("compressed")
}

pub(crate) fn zstd(content: &[u8]) -> Vec<u8> {
    zstd::encode_all(content, 1).expect("compressed")
}

pub(crate) fn gunzip(content: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::copy(&mut flate2::read::MultiGzDecoder::new(content), &mut plain).expect("sound");
    plain
}

/// The result of `add layer` on stdout.
pub(crate) fn staged_layer(digest: &str, size: u64, media_type: &str) -> String {
    format!("Staged layer:\n  digest: {digest}\n    size: {size}\n    type: {media_type}\n")
}

/// The warning of `update config` and `annotate layer` after a manifest was generated.
pub(crate) fn outdated(change: &str) -> String {
    format!(
        "Warning: a manifest has already been generated. Re-run 'layout generate manifest'\nto reference the updated {change}.\n"
    )
}
