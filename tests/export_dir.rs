//! Exports to layouts on disk.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod leftover;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use regshape::check::ValidateOptions;
use regshape::layout::{GarbageOptions, Layout, WriteOptions};
use regshape::metrics::Metrics;
use regshape::oci::{Annotations, Digest, REF_NAME};
use regshape::transfer::{ExportOptions, Exported, Format};
use regshape::view::View;
use regshape::{Error, Tally};
use serde_json::{Value, json};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// The size of a blob that is copied by several threads.
const LARGE: usize = 17 * 1024 * 1024 + 5;

/// A layout that is written by hand.
struct Made(PathBuf);

impl Made {
    fn at(root: PathBuf) -> Self {
        fs::create_dir_all(root.join("blobs/sha256")).unwrap();
        fs::write(root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        let made = Self(root);
        made.list(&[]);
        made
    }

    fn list(&self, entries: &[Value]) -> &Self {
        let index = json!({"schemaVersion": 2, "manifests": entries});
        fs::write(self.0.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
        self
    }

    fn blob(&self, media_type: &str, content: &[u8]) -> Value {
        let digest = Digest::sha256_of(content);
        fs::write(blob_path(&self.0, digest.as_str()), content).unwrap();
        json!({"mediaType": media_type, "digest": digest.as_str(), "size": content.len()})
    }

    fn document(&self, media_type: &str, document: &Value) -> Value {
        self.blob(media_type, &serde_json::to_vec(document).unwrap())
    }

    fn manifest(&self, layers: &[Value]) -> Value {
        // The config is not an image config, because the layers are no tars.
        let config = self.document("application/vnd.example.config+json", &json!({"of": layers.len()}));
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
        self.document(MANIFEST, &manifest)
    }

    /// Stores a manifest with a config and some layers.
    fn image(&self, layers: &[&[u8]]) -> Value {
        let layers: Vec<_> = layers.iter().map(|layer| self.blob("application/x-layer", layer)).collect();
        self.manifest(&layers)
    }

    fn index(&self, entries: &[Value]) -> Value {
        self.document(INDEX, &json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))
    }

    fn view(&self) -> View {
        View::open(&self.0).unwrap()
    }
}

fn named(mut entry: Value, name: &str) -> Value {
    entry["annotations"] = json!({REF_NAME: name});
    entry
}

fn digest_of(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap()
}

fn blob_path(root: &Path, digest: &str) -> PathBuf {
    root.join("blobs").join(digest.replace(':', "/"))
}

fn large(seed: u8) -> Vec<u8> {
    (0..LARGE).map(|at| (at / 7) as u8 ^ (at >> 13) as u8 ^ seed).collect()
}

/// Returns all files in a directory.
fn tree(root: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let content = if path.is_dir() {
                directories.push(path.clone());
                None
            } else {
                Some(fs::read(&path).unwrap())
            };
            found.insert(path.strip_prefix(root).unwrap().to_owned(), content);
        }
    }
    found
}

fn index(root: &Path) -> Value {
    serde_json::from_slice(&fs::read(root.join("index.json")).unwrap()).unwrap()
}

/// Returns the names and digests in an index.
fn entries(root: &Path) -> Vec<(Option<String>, String)> {
    let index = index(root);
    let entries = index["manifests"].as_array().unwrap().iter();
    entries
        .map(|entry| (entry["annotations"][REF_NAME].as_str().map(str::to_owned), digest_of(entry).to_owned()))
        .collect()
}

fn assert_sound(root: &Path) {
    let report = Layout::open(root).unwrap().validate(&ValidateOptions::default()).unwrap();
    assert!(report.is_valid(), "{report:?}");
}

fn tally(count: u64, bytes: u64) -> Tally {
    Tally::new(count, bytes)
}

#[cfg(unix)]
fn runs_as_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Exports a view as a layout.
fn export_dir(view: &View, path: impl AsRef<Path>, options: &ExportOptions) -> Result<Exported, Error> {
    view.plan_export(Format::Directory, options)?.write(path)
}

#[test]
fn a_new_layout_is_complete_and_the_same_every_time() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    let image = source.image(&[b"one", &large(1), b"two"]);
    source.blob("application/x-layer", b"nothing refers to this");
    source.list(&[named(image, "v1")]);
    let told = AtomicU64::new(0);
    let tell = |bytes| {
        told.fetch_add(bytes, Ordering::Relaxed);
    };
    let metrics = Arc::new(Metrics::default());
    let options = ExportOptions::default().metrics(metrics.clone());
    let plan = source.view().plan_export(Format::Directory, &options).unwrap().with_progress(&tell);
    let out = directory.path().join("new/parents/out");
    let exported = plan.write(&out).unwrap();
    assert_eq!(exported, *plan.totals());
    assert_eq!((exported.blobs.count, exported.present, exported.left_out), (5, tally(0, 0), tally(0, 0)));
    assert_eq!(told.into_inner(), exported.blobs.bytes);
    assert_eq!(metrics.blobs_written(), 5);
    assert!(metrics.bytes_read() >= exported.blobs.bytes);
    assert_sound(&out);
    assert_eq!(tree(&out).len(), 5 + 4, "the blobs, two directories, the marker, the index");
    assert_eq!(tree(&directory.path().join("new")).len(), 2 + 5 + 4, "nothing is left beside it");
    assert_eq!(index(&out), index(&source.0));

    let again = directory.path().join("again");
    let write = WriteOptions::default().no_sync(true);
    export_dir(&source.view(), &again, &ExportOptions::default().write(write)).unwrap();
    assert_eq!(tree(&again), tree(&out));
    fs::create_dir(directory.path().join("empty")).unwrap();
    export_dir(&source.view(), directory.path().join("empty"), &ExportOptions::default()).unwrap();
    assert_eq!(tree(&directory.path().join("empty")), tree(&out));
}

#[test]
fn the_target_path_may_have_any_form() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    source.list(&[source.image(&[b"layer"])]);
    let expected = directory.path().join("expected");
    export_dir(&source.view(), &expected, &ExportOptions::default()).unwrap();
    let expected = tree(&expected);
    let path = |name: &str| directory.path().join(name);
    for empty in ["empty", "slash", "dot", "target"] {
        fs::create_dir(path(empty)).unwrap();
    }
    let mut places = vec![
        ("new/", "new"),
        ("./also-new/.", "also-new"),
        ("deep/../new-too", "new-too"),
        ("empty", "empty"),
        ("slash/", "slash"),
        ("dot/.", "dot"),
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("target", path("link")).unwrap();
        places.push(("link", "target"));
    }
    places.dedup();
    for (place, found) in places {
        for (what, written) in [("made", 3), ("there already", 0)] {
            let exported = export_dir(&source.view(), path(place), &ExportOptions::default());
            let exported = exported.unwrap_or_else(|error| panic!("{place}, {what}: {error}"));
            assert_eq!((exported.blobs.count, exported.present.count), (written, 3 - written), "{place}, {what}");
            assert_eq!(tree(&path(found)), expected, "{place}, {what}");
        }
    }
    let error = export_dir(&source.view(), path("none/.."), &ExportOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(!path("none").exists());
}

#[test]
fn a_directory_with_foreign_files_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    source.list(&[source.image(&[b"layer"])]);
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("occupied")).unwrap();
    fs::write(path("occupied/file"), "content").unwrap();
    fs::write(path("file"), "content").unwrap();
    let places = if cfg!(unix) { vec!["occupied", "file", "dangling"] } else { vec!["occupied", "file"] };
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", path("dangling")).unwrap();
    for place in places {
        let error = export_dir(&source.view(), path(place), &ExportOptions::default()).unwrap_err();
        let expected = format!("{} is neither empty nor an OCI Image Layout", path(place).display());
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(tree(&path("occupied")).len(), 1);
    assert_eq!(fs::read(path("file")).unwrap(), b"content");
}

#[test]
fn entries_are_added_and_the_rest_of_the_index_stays() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    let (shared, new, third) = (source.image(&[b"shared"]), source.image(&[b"new"]), source.image(&[b"a third"]));
    source.list(&[named(new.clone(), "new"), shared.clone(), third.clone(), third.clone(), named(third.clone(), "x")]);
    let target = Made::at(directory.path().join("target"));
    let old = target.image(&[b"shared"]);
    assert_eq!(old, shared);
    let listed = json!({
        "schemaVersion": 2, "x-unknown": [1.50], "annotations": {"a": "b"},
        "manifests": [{"x": null, "mediaType": MANIFEST, "digest": old["digest"], "size": old["size"]}],
    });
    fs::write(target.0.join("index.json"), serde_json::to_vec(&listed).unwrap()).unwrap();
    let exported = export_dir(&source.view(), &target.0, &ExportOptions::default()).unwrap();
    // The config is the same in all images.
    assert_eq!((exported.blobs.count, exported.present.count), (4, 3));
    let mut expected = listed;
    let added = [named(new, "new"), third.clone(), named(third, "x")];
    expected["manifests"].as_array_mut().unwrap().extend(added);
    assert_eq!(index(&target.0), expected);
    assert_sound(&target.0);

    let before = tree(&target.0);
    let exported = export_dir(&source.view(), &target.0, &ExportOptions::default()).unwrap();
    assert_eq!((exported.blobs.count, exported.present.count), (0, 7));
    assert_eq!(tree(&target.0), before);
}

#[test]
fn a_taken_name_is_kept_or_moved_to_the_new_manifest() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    let (new, other) = (source.image(&[b"new"]), source.image(&[b"other"]));
    source.list(&[other.clone(), named(new.clone(), "v1")]);
    let target = Made::at(directory.path().join("target"));
    let old = target.image(&[b"old"]);
    target.list(&[named(old.clone(), "v1"), named(old.clone(), "v2")]);
    let before = tree(&target.0);

    let error = export_dir(&source.view(), &target.0, &ExportOptions::default()).unwrap_err();
    assert!(matches!(&error, Error::NameTaken { ref_name, .. } if ref_name == "v1"), "{error}");
    assert_eq!(tree(&target.0), before);

    let replace = ExportOptions::default().replace(true);
    export_dir(&source.view(), &target.0, &replace).unwrap();
    let (new, old, other) = (digest_of(&new), digest_of(&old), digest_of(&other));
    let entry = |name: Option<&str>, digest: &str| (name.map(str::to_owned), digest.to_owned());
    assert_eq!(entries(&target.0), [entry(Some("v1"), new), entry(Some("v2"), old), entry(None, other)]);

    // A manifest without another name stays, without a name.
    let third = source.image(&[b"third"]);
    source.list(&[named(third.clone(), "v2")]);
    export_dir(&source.view(), &target.0, &replace).unwrap();
    assert_eq!(
        entries(&target.0),
        [entry(Some("v1"), new), entry(Some("v2"), digest_of(&third)), entry(None, other), entry(None, old)]
    );
    assert_sound(&target.0);
}

#[test]
fn a_name_of_several_entries_is_kept_by_all_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    let images = [source.image(&[b"1"]), source.image(&[b"2"])];
    let list: Vec<_> = images.iter().map(|image| named(image.clone(), "v1")).collect();
    source.list(&list);
    let expected: Vec<_> = images.iter().map(|image| (Some("v1".to_owned()), digest_of(image).to_owned())).collect();
    let target = Made::at(directory.path().join("target"));
    export_dir(&source.view(), &target.0, &ExportOptions::default()).unwrap();
    assert_eq!(entries(&target.0), expected);
    // The target has one of the entries, and then also an entry with another manifest.
    target.list(&list[..1]);
    export_dir(&source.view(), &target.0, &ExportOptions::default()).unwrap();
    assert_eq!(entries(&target.0), expected);
    let old = target.image(&[b"old"]);
    target.list(&[named(old.clone(), "v1"), list[0].clone()]);
    let error = export_dir(&source.view(), &target.0, &ExportOptions::default()).unwrap_err();
    assert!(matches!(error, Error::NameTaken { .. }), "{error}");
    let replace = ExportOptions::default().replace(true);
    export_dir(&source.view(), &target.0, &replace).unwrap();
    let left = (None, digest_of(&old).to_owned());
    assert_eq!(entries(&target.0), [expected[0].clone(), expected[1].clone(), left]);
}

#[test]
fn wrong_blobs_are_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    let content = large(2);
    source.list(&[source.image(&[&content, b"short", b"right"])]);
    let target = directory.path().join("target");
    export_dir(&source.view(), &target, &ExportOptions::default()).unwrap();
    let expected = tree(&target);
    let path = |content: &[u8]| blob_path(&target, Digest::sha256_of(content).as_str());
    let mut wrong = content.clone();
    wrong[LARGE - 1] ^= 1;
    fs::write(path(&content), wrong).unwrap();
    fs::write(path(b"short"), "s").unwrap();
    let told = AtomicU64::new(0);
    let tell = |bytes| {
        told.fetch_add(bytes, Ordering::Relaxed);
    };
    let plan = source.view().plan_export(Format::Directory, &ExportOptions::default()).unwrap().with_progress(&tell);
    let exported = plan.write(&target).unwrap();
    assert_eq!(exported.blobs, tally(2, LARGE as u64 + 5));
    assert_eq!(exported.present.count, 3);
    assert_eq!(told.into_inner(), exported.blobs.bytes + exported.present.bytes);
    assert_eq!(tree(&target), expected);
}

#[test]
fn nested_indexes_are_followed_and_a_blob_is_written_once() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    let images = [source.image(&[b"a", b"shared"]), source.image(&[b"b", b"shared"])];
    let inner = source.index(&images);
    let outer = source.index(&[inner, images[0].clone()]);
    source.list(&[named(outer, "v1")]);
    let out = directory.path().join("out");
    let exported = export_dir(&source.view(), &out, &ExportOptions::default()).unwrap();
    assert_eq!(exported.blobs.count, 2 + 2 + 1 + 3, "indexes, manifests, the config, layers");
    assert_sound(&out);
    let unwrapped = View::open(&out).unwrap().unwrap_index(|_| true).unwrap().unwrap_index(|_| true).unwrap();
    assert_eq!(unwrapped.index().manifests.len(), 2);
    // Blobs that are only in memory are written, too.
    let wrapped = unwrapped.wrap(Annotations::from([(REF_NAME.to_owned(), "v2".to_owned())]));
    export_dir(&wrapped, &out, &ExportOptions::default()).unwrap();
    assert_sound(&out);
    assert_eq!(entries(&out).len(), 2);
}

#[test]
fn content_in_memory_of_any_size_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    let mut image = source.image(&[b"layer"]);
    image["annotations"] = json!({"long": "x".repeat(7_000_000)});
    source.list(&[image]);
    let out = directory.path().join("out");
    let exported = export_dir(&source.view().wrap(Annotations::new()), &out, &ExportOptions::default()).unwrap();
    assert_eq!(exported.blobs.count, 4);
    assert!(exported.blobs.bytes > 7_000_000);
    assert_sound(&out);
}

#[test]
#[cfg(target_os = "linux")]
fn blobs_are_copied_from_another_file_system_too() {
    let directory = tempfile::tempdir().unwrap();
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        eprintln!("there is no /dev/shm: nothing is shown");
        return;
    };
    for link in [false, true] {
        let source = Made::at(elsewhere.path().join("source"));
        source.list(&[source.image(&[&large(5), b"small"])]);
        let out = directory.path().join(format!("out-{link}"));
        export_dir(&source.view(), &out, &ExportOptions::default().link(link)).unwrap();
        assert_sound(&out);
    }
}

#[test]
fn a_missing_blob_is_named_with_its_referrer_and_nothing_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    let layer = source.blob("application/x-layer", b"layer");
    let manifest = source.manifest(std::slice::from_ref(&layer));
    source.list(std::slice::from_ref(&manifest));
    fs::remove_file(blob_path(&source.0, digest_of(&layer))).unwrap();
    let error = export_dir(&source.view(), directory.path().join("new/out"), &ExportOptions::default()).unwrap_err();
    let expected = format!("blob {} referenced by {} does not exist", digest_of(&layer), digest_of(&manifest));
    assert_eq!(error.to_string(), expected);
    assert!(!directory.path().join("new").exists());
}

#[test]
fn a_blob_may_be_in_its_descriptor_or_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    let mut embedded = source.blob("application/x-layer", b"layer");
    embedded["data"] = json!("bGF5ZXI=");
    let mut elsewhere = source.blob("application/x-layer", b"elsewhere");
    elsewhere["urls"] = json!(["https://example.com/blob"]);
    for layer in [&embedded, &elsewhere] {
        fs::remove_file(blob_path(&source.0, digest_of(layer))).unwrap();
    }
    source.list(&[source.manifest(&[embedded.clone(), elsewhere.clone()])]);
    let out = directory.path().join("out");
    let error = export_dir(&source.view(), &out, &ExportOptions::default()).unwrap_err();
    assert!(matches!(&error, Error::MissingBlob { digest, .. } if digest.as_str() == digest_of(&elsewhere)), "{error}");
    let options = ExportOptions::default().allow_missing(true);
    let exported = export_dir(&source.view(), &out, &options).unwrap();
    assert_eq!((exported.blobs.count, exported.left_out), (3, tally(1, 9)));
    assert_eq!(fs::read(blob_path(&out, digest_of(&embedded))).unwrap(), b"layer");
    assert!(!blob_path(&out, digest_of(&elsewhere)).exists());
    // The second export finds the target of the first.
    let again = export_dir(&source.view(), &out, &options).unwrap();
    assert_eq!((again.blobs.count, again.present.count, again.left_out), (0, 3, tally(1, 9)));
}

#[test]
fn blobs_of_another_layout_are_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    source.list(&[source.image(&[b"base", b"new"])]);
    let base = Made::at(directory.path().join("base"));
    base.list(&[base.image(&[b"base"])]);
    let options = ExportOptions::default().except(Layout::open(&base.0).unwrap());
    let out = directory.path().join("out");
    let exported = export_dir(&source.view(), &out, &options).unwrap();
    assert_eq!((exported.blobs.count, exported.present), (3, tally(1, 4)));
    assert!(!blob_path(&out, Digest::sha256_of(b"base").as_str()).exists());
}

#[test]
fn a_wrong_digest_in_the_source_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for (content, link) in [(large(3), false), (b"small".to_vec(), false), (large(3), true)] {
        let case = format!("{} bytes, link {link}", content.len());
        let source = Made::at(directory.path().join("source"));
        let layer = source.blob("application/x-layer", &content);
        source.list(&[source.manifest(&[source.blob("application/x-layer", b"good"), layer.clone()])]);
        let path = blob_path(&source.0, digest_of(&layer));
        let mut wrong = content.clone();
        wrong[content.len() / 2] ^= 1;
        fs::write(&path, &wrong).unwrap();
        let target = Made::at(directory.path().join("target"));
        target.list(&[target.image(&[b"old"])]);
        let empty = directory.path().join("empty");
        fs::create_dir_all(&empty).unwrap();
        let before = tree(directory.path());
        let options = ExportOptions::default().link(link);
        for out in [directory.path().join("new/out"), empty.clone(), target.0.clone()] {
            let error = export_dir(&source.view(), &out, &options).unwrap_err();
            let expected =
                format!("digest mismatch for {0}: expected {0}, got {1}", digest_of(&layer), Digest::sha256_of(&wrong));
            assert_eq!(error.to_string(), expected, "{case}");
            assert!(tree(directory.path()) == before, "{case}: something is left of {}", out.display());
        }
        fs::remove_dir_all(&source.0).unwrap();
        fs::remove_dir_all(&target.0).unwrap();
    }
}

#[test]
fn unverifiable_blobs_are_copied_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    fs::create_dir(source.0.join("blobs/md5")).unwrap();
    fs::write(source.0.join("blobs/md5/0123"), "layer").unwrap();
    let layer = json!({"mediaType": LAYER, "digest": "md5:0123", "size": 5});
    source.list(&[source.manifest(&[layer])]);
    let out = directory.path().join("out");
    // Into a new layout, and into the same layout again.
    for _ in 0..2 {
        let exported = export_dir(&source.view(), &out, &ExportOptions::default()).unwrap();
        assert_eq!(exported.unverified, ["md5:0123".parse().unwrap()]);
        assert_eq!(fs::read_to_string(out.join("blobs/md5/0123")).unwrap(), "layer");
    }
}

#[test]
#[cfg(unix)]
fn blobs_are_linked_on_request() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    let layer = source.blob("application/x-layer", b"layer");
    source.list(&[source.manifest(std::slice::from_ref(&layer))]);
    let inode = |root: &Path| fs::metadata(blob_path(root, digest_of(&layer))).unwrap().ino();
    let target = Made::at(directory.path().join("target"));
    let [linked, copied] = ["linked", "copied"].map(|name| directory.path().join(name));
    let link = ExportOptions::default().link(true);
    for out in [&linked, &target.0] {
        export_dir(&source.view(), out, &link).unwrap();
        assert_eq!(inode(out), inode(&source.0));
        assert_sound(out);
    }
    // A symbolic link is not hard-linked, because its target may move.
    let path = blob_path(&source.0, digest_of(&layer));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&path, source.0.join("elsewhere")).unwrap();
    std::os::unix::fs::symlink("../../elsewhere", &path).unwrap();
    export_dir(&source.view(), &copied, &link).unwrap();
    assert_ne!(inode(&copied), inode(&source.0));
    let file = blob_path(&copied, digest_of(&layer));
    assert!(fs::symlink_metadata(&file).unwrap().is_file());
    // The mode depends on the umask, as for any new file.
    fs::write(directory.path().join("any"), "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode();
    assert_eq!(mode(&file), mode(&directory.path().join("any")));
    assert_eq!(mode(&copied), mode(directory.path().join("linked").as_path()));
}

#[test]
fn two_exports_at_once_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for (case, prepare) in [("missing", None), ("empty", Some(false)), ("layout", Some(true))] {
        let root = directory.path().join(case);
        fs::create_dir(&root).unwrap();
        let out = root.join("out");
        match prepare {
            None => {}
            Some(false) => fs::create_dir(&out).unwrap(),
            Some(true) => drop(Made::at(out.clone())),
        }
        let sources: Vec<_> = (0..6_u8)
            .map(|number| {
                let source = Made::at(root.join(format!("source-{number}")));
                let image = source.image(&[b"shared", &[number], &large(4)[..3_000_000]]);
                source.list(&[named(image, &format!("v{number}"))]);
                source
            })
            .collect();
        thread::scope(|scope| {
            for source in &sources {
                let out = &out;
                scope.spawn(move || export_dir(&source.view(), out, &ExportOptions::default()).expect("exported"));
            }
        });
        let mut names: Vec<_> = entries(&out).into_iter().filter_map(|(name, _)| name).collect();
        names.sort();
        assert_eq!(names, ["v0", "v1", "v2", "v3", "v4", "v5"], "{case}");
        assert_sound(&out);
        assert_eq!(tree(&out).len(), 6 + 6 + 3 + 4, "{case}: nothing else is left");
        assert_eq!(fs::read_dir(&root).unwrap().count(), 6 + 1, "{case}: nothing is left beside it");
    }
}

/// Sets a flag when it is dropped.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_concurrent_garbage_collection_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let target = Made::at(directory.path().join("target"));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                Layout::open(&target.0).unwrap().collect_garbage(&GarbageOptions::default()).expect("collected");
                thread::sleep(Duration::from_micros(50));
            }
        });
        // The collecting thread ends even if the test panics.
        let _over = Over(&is_over);
        for number in 0..40_u8 {
            let source = Made::at(directory.path().join(format!("source-{number}")));
            let layers: Vec<Vec<u8>> = (0..8).map(|layer| [number / 2, layer].repeat(30_000)).collect();
            let layers: Vec<&[u8]> = layers.iter().map(Vec::as_slice).collect();
            source.list(&[named(source.image(&layers), "v1")]);
            // These blobs are unreferenced: the export finds them intact, and they may be deleted a moment later.
            for layer in &layers[..4] {
                target.blob("application/x-layer", layer);
            }
            let options = ExportOptions::default().replace(true);
            export_dir(&source.view(), &target.0, &options).expect("exported");
            let layout = Layout::open(&target.0).unwrap();
            assert!(layout.validate(&ValidateOptions::default()).unwrap().is_valid(), "export {number}");
            fs::remove_dir_all(&source.0).unwrap();
        }
    });
    assert_sound(&target.0);
}

#[test]
#[cfg(unix)]
fn a_failed_write_leaves_no_blob() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    source.list(&[source.image(&[b"layer"])]);
    let target = Made::at(directory.path().join("target"));
    target.list(&[target.image(&[b"old"])]);
    // A directory prevents renaming the last blob, after others were renamed.
    let layer = blob_path(&target.0, Digest::sha256_of(b"layer").as_str());
    fs::create_dir(&layer).unwrap();
    let before = tree(&target.0);
    let error = export_dir(&source.view(), &target.0, &ExportOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with(&format!("failed to write {}", layer.display())), "{error}");
    assert_eq!(tree(&target.0), before);
    fs::remove_dir(&layer).unwrap();

    if runs_as_root() {
        eprintln!("root writes where it may not: the rest is not shown");
        return;
    }
    let before = tree(&target.0);
    let set_mode = |mode| fs::set_permissions(&target.0, fs::Permissions::from_mode(mode)).unwrap();
    set_mode(0o555);
    let exported = export_dir(&source.view(), &target.0, &ExportOptions::default());
    set_mode(0o755);
    assert!(matches!(exported, Err(Error::Io { .. })), "{exported:?}");
    assert_eq!(tree(&target.0), before);
    let parent = directory.path().join("parent");
    fs::create_dir(&parent).unwrap();
    fs::set_permissions(&parent, fs::Permissions::from_mode(0o555)).unwrap();
    let exported = export_dir(&source.view(), parent.join("new/out"), &ExportOptions::default());
    fs::set_permissions(&parent, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(exported, Err(Error::Io { .. })), "{exported:?}");
    assert_eq!(tree(&parent).len(), 0);
}

/// Windows does not lock directories.
#[test]
#[cfg(unix)]
fn files_of_killed_exports_are_deleted_and_copies_of_them_stay() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    source.list(&[source.image(&[b"layer"])]);
    let empty = directory.path().join("empty");
    let (beside, within) = (directory.path().join("a"), empty.join("b"));
    let [beside, within] = [beside, within].map(|left| {
        fs::create_dir_all(left.join("blobs/sha256")).unwrap();
        fs::write(left.join("index.json"), "half").unwrap();
        leftover::leave(&left)
    });
    // The copy has the name of the leftover, but is another directory.
    let copied = directory.path().join("copied");
    fs::create_dir(&copied).unwrap();
    let copy = copied.join(within.file_name().unwrap());
    fs::create_dir(&copy).unwrap();
    fs::write(copy.join("index.json"), "half").unwrap();
    let file = directory.path().join(".regshape-tmp-file");
    fs::write(&file, "somebody else's").unwrap();
    for out in [directory.path().join("out"), empty.clone(), copied.clone()] {
        export_dir(&source.view(), &out, &ExportOptions::default()).unwrap();
    }
    assert!(!beside.exists() && !within.exists());
    assert!(file.exists());
    assert_eq!(fs::read_to_string(copy.join("index.json")).unwrap(), "half");
    assert_sound(&empty);
    assert_sound(&copied);
}

#[test]
fn a_command_waits_for_a_writer_no_longer_than_asked() {
    let directory = tempfile::tempdir().unwrap();
    let source = Made::at(directory.path().join("source"));
    source.list(&[source.image(&[b"layer"])]);
    let target = Made::at(directory.path().join("target"));
    let before = tree(&target.0);
    let marker = fs::File::options().read(true).write(true).open(target.0.join("oci-layout")).unwrap();
    marker.lock().unwrap();
    let write = WriteOptions::default().lock_timeout(Duration::ZERO);
    let options = ExportOptions::default().write(write);
    let exported = export_dir(&source.view(), &target.0, &options);
    assert!(matches!(exported, Err(Error::Locked { .. })), "{exported:?}");
    drop(marker);
    assert_eq!(tree(&target.0), before);
    let exported: Exported = export_dir(&source.view(), &target.0, &options).unwrap();
    assert_eq!(exported.blobs.count, 3);
}
