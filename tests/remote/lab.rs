//! Layouts, clients and clocks for the tests of pushes and pulls.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use regshape::Error;
use regshape::check::ValidateOptions;
use regshape::layout::Layout;
use regshape::oci::{Digest, RepositoryName, Tag};
use regshape::remote::{Client, Clock, ConnectionOptions, Credential, Credentials, RemoteReference};
use regshape::transfer::{PullOptions, Pulled, PushOptions, Pushed, RemoteImages, RemoteReferences};
use regshape::view::{Selection, View};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake_registry::{Fake, Logged, Options, digest_of};

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
pub(crate) const SPDX: &str = "application/spdx+json";
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";
pub(crate) const REPOSITORY: &str = "team/app";
pub(crate) const KIB: usize = 1024;
pub(crate) const MIB: usize = 1024 * 1024;

/// A clock whose sleeps end at once, and are noted.
#[derive(Debug)]
pub(crate) struct LabClock {
    start: Instant,
    slept: Mutex<Vec<Duration>>,
}

impl LabClock {
    fn new() -> Self {
        Self { start: Instant::now(), slept: Mutex::default() }
    }

    /// Returns the pauses since the last call.
    pub(crate) fn take_pauses(&self) -> Vec<Duration> {
        std::mem::take(&mut self.slept.lock().unwrap())
    }
}

impl Clock for LabClock {
    fn now(&self) -> Duration {
        self.start.elapsed() + self.slept.lock().unwrap().iter().sum::<Duration>()
    }

    fn date(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) {
        self.slept.lock().unwrap().push(duration);
    }
}

/// A registry, a directory and a clock.
#[derive(Debug)]
pub(crate) struct Lab {
    directory: TempDir,
    pub(crate) fake: Fake,
    pub(crate) clock: Arc<LabClock>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory, fake: Fake::start(options), clock: Arc::new(LabClock::new()) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Begins a layout.
    pub(crate) fn layout(&self, name: &str) -> Made {
        Made::new(self.path(name))
    }

    /// The settings of a client that speaks HTTP or TLS, as the registry does.
    pub(crate) fn connection(&self) -> ConnectionOptions {
        let mut options = ConnectionOptions::default().clock(Arc::clone(&self.clock) as Arc<dyn Clock>);
        options.insecure = self.fake.tls().config().is_none();
        if !options.insecure {
            let file = self.path("authority.pem");
            fs::write(&file, self.fake.tls().authority()).unwrap();
            options.ca_file = Some(file);
        }
        options.stall_timeout(Duration::from_secs(5))
    }

    /// The settings with the user of [`Auth::tokens`](crate::fake_registry::Auth) and Basic authentication.
    pub(crate) fn connection_of_user(&self) -> ConnectionOptions {
        self.connection().credentials(Credentials::given(Credential::new("user", "password")))
    }

    pub(crate) fn client_of_user(&self) -> Arc<Client> {
        self.client_with(&self.connection_of_user())
    }

    pub(crate) fn client(&self) -> Arc<Client> {
        self.client_with(&self.connection())
    }

    pub(crate) fn client_with(&self, options: &ConnectionOptions) -> Arc<Client> {
        let repository = repository(REPOSITORY);
        Arc::new(Client::new(self.fake.host().parse().unwrap(), Some(&repository), options))
    }

    /// Pushes all of a layout to `team/app`.
    pub(crate) fn push(&self, layout: &str, options: &PushOptions) -> Result<Pushed, Error> {
        self.push_by(&self.client(), layout, options)
    }

    pub(crate) fn push_by(&self, client: &Client, layout: &str, options: &PushOptions) -> Result<Pushed, Error> {
        self.push_view(client, &View::open(self.path(layout))?, options)
    }

    pub(crate) fn push_view(&self, client: &Client, view: &View, options: &PushOptions) -> Result<Pushed, Error> {
        view.plan_push(options)?.push(client, &repository(REPOSITORY), options, &|_| ())
    }

    /// Pushes all of a layout, which must succeed.
    #[track_caller]
    pub(crate) fn pushes(&self, layout: &str, options: &PushOptions) -> Pushed {
        self.push(layout, options).unwrap_or_else(|error| panic!("{}", in_full(&error)))
    }

    /// Pulls from `team/app`: `:TAG`, `@DIGEST`, both, or `*` for all tags.
    pub(crate) fn pull(&self, reference: &str, layout: &str) -> Result<Pulled, Error> {
        self.pull_with(&self.client(), reference, layout, &Selection::default(), &PullOptions::default())
    }

    pub(crate) fn pull_with(
        &self,
        client: &Arc<Client>,
        reference: &str,
        layout: &str,
        selection: &Selection,
        options: &PullOptions,
    ) -> Result<Pulled, Error> {
        let path = self.path(layout);
        let beside = if Layout::is_at(&path) { Some(Layout::open(&path)?) } else { None };
        let images = self.images(client, reference, beside)?;
        let view = images.view().select(selection)?;
        images.plan_pull(&view)?.pull(&path, options, &|_| ())
    }

    pub(crate) fn images(
        &self,
        client: &Arc<Client>,
        reference: &str,
        beside: Option<Layout>,
    ) -> Result<RemoteImages, Error> {
        let references = if reference == "*" {
            RemoteReferences::AllTags
        } else {
            let whole: RemoteReference = format!("{}/{REPOSITORY}{reference}", self.fake.host()).parse().unwrap();
            RemoteReferences::one(whole.tag().cloned(), whole.digest)
        };
        RemoteImages::find(Arc::clone(client), &repository(REPOSITORY), &references, beside)
    }

    #[track_caller]
    pub(crate) fn pulls(&self, reference: &str, layout: &str) -> Pulled {
        self.pull(reference, layout).unwrap_or_else(|error| panic!("{}", in_full(&error)))
    }

    /// Makes a layout `l` of an image with layers of these sizes, tagged `v1`. Returns the digest of the image.
    pub(crate) fn single(&self, layers: &[usize]) -> String {
        let mut made = self.layout("l");
        let image = made.image(1, layers);
        made.list(&image, "v1");
        digest(&image).to_owned()
    }

    /// Serves an image with layers of these sizes, tagged `v1`, and forgets the requests. Returns its digest.
    pub(crate) fn serve(&self, layers: &[usize]) -> String {
        let digest = self.single(layers);
        self.serve_layout("l");
        digest
    }

    /// Stores a layout in the registry without a request.
    pub(crate) fn serve_layout(&self, name: &str) {
        let path = self.path(name);
        for blob in fs::read_dir(path.join("blobs/sha256")).unwrap().flatten() {
            let bytes = fs::read(blob.path()).unwrap();
            let document: Option<Value> = serde_json::from_slice(&bytes).ok();
            match document.as_ref().and_then(|document| document["mediaType"].as_str()) {
                Some(media_type) => drop(self.fake.add_manifest(REPOSITORY, None, media_type, bytes)),
                None => drop(self.fake.add_blob(REPOSITORY, bytes)),
            }
        }
        let index: Value = serde_json::from_slice(&fs::read(path.join("index.json")).unwrap()).unwrap();
        for entry in index["manifests"].as_array().unwrap() {
            if let Some(tag) = entry["annotations"][REF_NAME].as_str() {
                let bytes = self.fake.manifest(REPOSITORY, digest(entry)).unwrap();
                self.fake.add_manifest(REPOSITORY, Some(tag), text(&entry["mediaType"]), bytes);
            }
        }
    }

    /// Returns the names in a directory, at any depth, in their order.
    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        fn walk(directory: &Path, below: &str, names: &mut Vec<String>) {
            for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = format!("{below}{}", entry.file_name().to_string_lossy());
                if entry.path().is_dir() {
                    walk(&entry.path(), &format!("{name}/"), names);
                }
                names.push(name);
            }
        }
        let mut names = Vec::new();
        walk(&self.path(name), "", &mut names);
        names.sort();
        names
    }

    /// Checks every byte of a layout.
    #[track_caller]
    pub(crate) fn is_valid(&self, layout: &str) {
        let layout = Layout::open(self.path(layout)).unwrap();
        let report = layout.validate(&ValidateOptions::default().deep(true)).unwrap();
        assert!(report.is_valid(), "{report:?}");
    }

    /// Checks that the registry has an image with everything below it, byte for byte.
    #[track_caller]
    pub(crate) fn has(&self, reference: &str) {
        let bytes = self.fake.manifest(REPOSITORY, reference).unwrap_or_else(|| panic!("no {reference}"));
        let document: Value = serde_json::from_slice(&bytes).unwrap();
        for entry in document["manifests"].as_array().into_iter().flatten() {
            self.has(text(&entry["digest"]));
        }
        let layers = document["layers"].as_array().into_iter().flatten();
        for blob in layers.chain(document.get("config")) {
            let digest = text(&blob["digest"]);
            let stored = self.fake.blob(REPOSITORY, digest).unwrap_or_else(|| panic!("no blob {digest}"));
            assert_eq!(digest_of(&stored), digest);
        }
    }

    /// Returns the requests, without those for tokens.
    pub(crate) fn requests(&self) -> Vec<Logged> {
        self.fake.requests().into_iter().filter(|request| !request.path.starts_with("/token")).collect()
    }

    /// Returns how many requests of a method, or of any, there were whose paths have a part.
    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        self.requests()
            .iter()
            .filter(|request| (method.is_empty() || request.method == method) && request.path.contains(part))
            .count()
    }

    /// Returns the built program in this directory, with an environment of its own.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regshape"));
        command.current_dir(self.directory.path()).env_clear().stdin(Stdio::null());
        for name in ["SYSTEMROOT", "TMPDIR", "TEMP", "LLVM_PROFILE_FILE"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        command.env("HOME", self.path("home")).env("PATH", self.path("bin")).env("CI", "1");
        command
    }

    /// Runs the program; `HOST` in its words is the registry.
    pub(crate) fn run(&self, words: &str) -> Ran {
        let host = self.fake.host();
        self.program().args(words.split_whitespace().map(|word| word.replace("HOST", &host))).output().unwrap().into()
    }
}

/// What the program printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn succeeds(&self) -> &str {
        assert_eq!(self.status, Some(0), "{self:?}");
        &self.stdout
    }

    #[track_caller]
    pub(crate) fn fails(&self, status: i32, stderr: &str) {
        assert_eq!((self.status, self.stdout.as_str(), self.stderr.as_str()), (Some(status), "", stderr));
    }
}

/// A layout that is made by hand.
#[derive(Debug)]
pub(crate) struct Made {
    path: PathBuf,
    entries: Vec<Value>,
}

impl Made {
    fn new(path: PathBuf) -> Self {
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { path, entries: Vec::new() }
    }

    /// Stores bytes and returns their descriptor.
    pub(crate) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest_of(bytes);
        fs::write(blob_path(&self.path, &digest), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    pub(crate) fn document(&self, document: &Value) -> Value {
        self.blob(text(&document["mediaType"]), document.to_string().as_bytes())
    }

    /// Stores an image with layers of about these sizes.
    pub(crate) fn image(&self, seed: u64, layers: &[usize]) -> Value {
        self.image_for("amd64", seed, layers)
    }

    pub(crate) fn image_for(&self, architecture: &str, seed: u64, layers: &[usize]) -> Value {
        let layers: Vec<Value> =
            (0_u64..).zip(layers).map(|(number, size)| self.blob(LAYER, &layer(seed * 1000 + number, *size))).collect();
        let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": { "Labels": { "seed": seed.to_string() } },
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = self.blob(CONFIG, config.to_string().as_bytes());
        self.document(&json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers }))
    }

    /// Stores an artifact, which may be about a subject.
    pub(crate) fn artifact(&self, subject: Option<&Value>, content: &str) -> Value {
        let config = self.blob(EMPTY, b"{}");
        let layer = self.blob(SPDX, content.as_bytes());
        let mut document = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": SPDX, "config": config, "layers": [layer],
            "annotations": { "made-by": content },
        });
        if let Some(subject) = subject {
            document["subject"] = json!({
                "mediaType": subject["mediaType"], "digest": subject["digest"], "size": subject["size"]
            });
        }
        self.document(&document)
    }

    /// Stores an index of images for platforms.
    pub(crate) fn index(&self, images: &[(&str, &Value)]) -> Value {
        let entries: Vec<Value> = images
            .iter()
            .map(|(architecture, image)| {
                let mut entry = (*image).clone();
                entry["platform"] = json!({ "architecture": architecture, "os": "linux" });
                entry
            })
            .collect();
        self.document(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }))
    }

    /// Lists an entry under a tag, or without one.
    pub(crate) fn list(&mut self, descriptor: &Value, tag: &str) -> &mut Self {
        let mut entry = descriptor.clone();
        if !tag.is_empty() {
            entry["annotations"] = json!({ REF_NAME: tag });
        }
        self.entries.push(entry);
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": self.entries });
        fs::write(self.path.join("index.json"), index.to_string()).unwrap();
        self
    }
}

/// Returns the path of a blob in a layout.
pub(crate) fn blob_path(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
}

/// Returns a tar of a file of so many bytes, which do not repeat.
pub(crate) fn layer(seed: u64, size: usize) -> Vec<u8> {
    let content = bytes(seed, size);
    let mut header = tar::Header::new_ustar();
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, format!("file-{seed}"), content.as_slice()).unwrap();
    builder.into_inner().unwrap()
}

/// Returns bytes of xorshift.
pub(crate) fn bytes(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Returns the digest of a descriptor.
pub(crate) fn digest(descriptor: &Value) -> &str {
    text(&descriptor["digest"])
}

/// Checks independent cases, eight at a time: most of their time is waiting.
pub(crate) fn at_once<T: Send>(cases: impl IntoIterator<Item = T, IntoIter: Send>, check: impl Fn(T) + Sync) {
    let cases = Mutex::new(cases.into_iter());
    let next = || cases.lock().unwrap().next();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = next() {
                    check(case);
                }
            });
        }
    });
}

pub(crate) fn repository(name: &str) -> RepositoryName {
    name.parse().unwrap()
}

pub(crate) fn tags(names: &[&str]) -> Vec<Tag> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

pub(crate) fn tagged(names: &[&str]) -> PushOptions {
    PushOptions::default().tags(tags(names))
}

pub(crate) fn parsed(digest: &str) -> Digest {
    digest.parse().unwrap()
}

/// Returns an error with its causes.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
