//! Helpers for the tests of archive commands: images for several platforms, and the contents of archives.

use std::io::Read;
pub(crate) use std::slice::from_ref as only;

use indicatif::HumanBytes;
use serde_json::{Value, json};

use crate::registry::*;
use crate::support::*;

pub(crate) const INTOTO_TYPE: &str = "application/vnd.in-toto+json";

/// A layout with `v1`, an index of images for amd64 and arm64 and of an attestation; and `old`, an image for s390x.
pub(crate) struct Images {
    pub(crate) sandbox: Sandbox,
    pub(crate) amd64: Value,
    pub(crate) arm64: Value,
    pub(crate) s390x: Value,
    /// The attestation of the image for amd64.
    pub(crate) attestation: Value,
    /// The index of the three manifests.
    pub(crate) index: Value,
}

impl Images {
    pub(crate) fn new() -> Self {
        let sandbox = Sandbox::empty();
        sandbox.ok("layout init --path image");
        let [amd64, arm64, s390x] = ["amd64", "arm64", "s390x"].map(|one| on(&image(&sandbox, one), one));
        let attestation = attestation(&sandbox, &amd64);
        let index = document(&sandbox, &index(&[&amd64, &arm64, &attestation]));
        list(&sandbox, &[&named(&index, "v1"), &named(&s390x, "old")]);
        Self { sandbox, amd64, arm64, s390x, attestation, index }
    }

    /// Returns the blobs of an image, in the order of an export.
    pub(crate) fn parts(&self, image: &Value) -> Vec<Value> {
        let manifest = self.sandbox.blob_json(digest(image));
        let layers = manifest["layers"].as_array().expect("layers").iter();
        [image, &manifest["config"]].into_iter().chain(layers).cloned().collect()
    }

    /// Returns the blobs of the layout, each once.
    pub(crate) fn all(&self) -> Vec<Value> {
        let images = [&self.amd64, &self.arm64, &self.attestation, &self.s390x];
        once([self.index.clone()].into_iter().chain(images.iter().flat_map(|image| self.parts(image))))
    }

    /// Returns the entries of `index.json`.
    pub(crate) fn entries(&self) -> [Value; 2] {
        [named(&self.index, "v1"), named(&self.s390x, "old")]
    }
}

/// Stores an attestation as written by BuildKit.
pub(crate) fn attestation(sandbox: &Sandbox, image: &Value) -> Value {
    let config = blob(sandbox, CONFIG_TYPE, r#"{"architecture":"unknown","os":"unknown"}"#);
    let statement = blob(sandbox, INTOTO_TYPE, &format!("{{\"about\":{}}}", image["digest"]));
    let annotations = json!({
        "vnd.docker.reference.digest": image["digest"], "vnd.docker.reference.type": "attestation-manifest",
    });
    with(
        document(sandbox, &manifest(&config, &[&statement])),
        json!({"annotations": annotations, "platform": {"architecture": "unknown", "os": "unknown"}}),
    )
}

/// Drops descriptors with a repeated digest.
pub(crate) fn once(descriptors: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for descriptor in descriptors {
        if kept.iter().all(|other| digest(other) != digest(&descriptor)) {
            kept.push(descriptor);
        }
    }
    kept
}

/// Returns the expected output of commands that write: the entries of the index, and the blobs.
pub(crate) fn told(title: &str, output: &str, entries: &[Value], blobs: &[Value]) -> String {
    told_all(title, output, entries, [("blobs", blobs)])
}

/// The same with several groups of blobs.
pub(crate) fn told_all<'a>(
    title: &str,
    output: &str,
    entries: &[Value],
    kinds: impl IntoIterator<Item = (&'a str, &'a [Value])>,
) -> String {
    let mut text = format!("{title}\n         output: {output}\n");
    for entry in entries {
        let name = entry["annotations"][REF_NAME].as_str().map(|name| format!(" {name}")).unwrap_or_default();
        text += &format!("       manifest: {}{name}\n", digest(entry));
    }
    for (label, blobs) in kinds {
        text += &format!("{label:>15}: {} ({})\n", blobs.len(), HumanBytes(blobs.iter().map(size).sum()));
    }
    text
}

/// Returns the counts of blobs as in `--json`.
pub(crate) fn counted(blobs: &[Value]) -> Value {
    json!({"count": blobs.len(), "bytes": blobs.iter().map(size).sum::<u64>()})
}

pub(crate) fn blob_path(descriptor: &Value) -> String {
    format!("blobs/{}", digest(descriptor).replace(':', "/"))
}

/// Reads an archive written by the program: regular files, readable by all users, without owners and times.
#[track_caller]
pub(crate) fn files(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in tar::Archive::new(archive).entries().expect("a tar").raw(true) {
        let mut entry = entry.expect("a sound header");
        let header = entry.header();
        assert!(header.as_ustar().is_some(), "{header:?}");
        assert_eq!(header.entry_type(), tar::EntryType::Regular);
        assert_eq!(header.mode().expect("a mode"), 0o444);
        let ids = (header.uid(), header.gid(), header.mtime());
        assert_eq!((ids.0.expect("an owner"), ids.1.expect("a group"), ids.2.expect("a time")), (0, 0, 0));
        assert_eq!((header.username_bytes(), header.groupname_bytes()), (Some(&b""[..]), Some(&b""[..])));
        let name = String::from_utf8(header.path_bytes().into_owned()).expect("UTF-8");
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("sound");
        files.push((name, content));
    }
    assert_eq!(archive.len() % 512, 0);
    assert!(archive.ends_with(&[0; 1024]));
    files
}

/// Compares an archive with its expected contents, in order, after verifying each blob.
#[track_caller]
pub(crate) fn holds(archive: &[u8], entries: &[Value], blobs: &[Value]) {
    let files = files(archive);
    let names: Vec<_> = files.iter().map(|(name, _)| name.clone()).collect();
    let mut expected = vec!["oci-layout".to_owned()];
    expected.extend(blobs.iter().map(blob_path));
    expected.push("index.json".to_owned());
    assert_eq!(names, expected);
    for ((_, content), blob) in files[1..].iter().zip(blobs) {
        assert_eq!((sha256(content).as_str(), content.len() as u64), (digest(blob), size(blob)));
    }
    let json = |content: &[u8]| serde_json::from_slice::<Value>(content).expect("JSON");
    assert_eq!(json(&files[0].1), json!({"imageLayoutVersion": "1.0.0"}));
    assert_eq!(json(&files[files.len() - 1].1)["manifests"], json!(entries));
}

/// Compares a layout on disk with its expected contents.
#[track_caller]
pub(crate) fn layout_holds(sandbox: &Sandbox, path: &str, entries: &[Value], blobs: &[Value]) {
    assert_eq!(sandbox.json(&format!("{path}/index.json"))["manifests"], json!(entries), "{path}");
    // Attestations cause warnings, because they are no images.
    assert_eq!(sandbox.ok_json(&format!("layout validate --path {path}"))["valid"], json!(true));
    let prefix = format!("./{path}/");
    let mut found: Vec<_> = sandbox
        .tree()
        .into_iter()
        .filter(|(_, (content, _))| content.is_some())
        .filter_map(|(name, _)| Some(name.strip_prefix(&prefix)?.to_owned()))
        .collect();
    found.sort();
    let mut expected: Vec<_> = blobs.iter().map(blob_path).collect();
    expected.extend(["index.json".to_owned(), "oci-layout".to_owned()]);
    expected.sort();
    assert_eq!(found, expected, "{path}");
}

/// Returns the stdout of the program.
#[track_caller]
pub(crate) fn stream(sandbox: &Sandbox, words: &str) -> Vec<u8> {
    let output = sandbox.command().args(words.split_whitespace()).output().expect("the program runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{words}: {stderr}");
    output.stdout
}

/// Returns a tar as written by other programs.
pub(crate) fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, *content).expect("appended");
    }
    builder.into_inner().expect("a tar")
}
