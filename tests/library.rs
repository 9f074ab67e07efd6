//! The library as in the guide's "Using the library", and its errors as values.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
#[cfg(unix)]
use std::sync::{Arc, Mutex};
use std::time::Duration;

use regshape::build::{
    ConfigChanges, ConfigOptions, LayerInput, LayerOptions, LayerWriter, ManifestOptions, Treatment,
};
use regshape::check::{NodeState, ValidateOptions};
use regshape::compress::{Bounds, CompressFormat, Encoding};
use regshape::layout::{GarbageOptions, Layout, WriteOptions};
#[cfg(unix)]
use regshape::layout::{LockEvent, LockObserver};
use regshape::oci::{
    AnnotationChange, Annotations, Descriptor, Digest, LayerEncoding, MediaType, Platform, RepositoryName,
};
use regshape::registry::{
    BlobReader, ByteRange, CommitError, Expected, ManifestBody, ManifestName, Page, Registry, Repository, find_layout,
};
use regshape::transfer::LoadOptions;
use regshape::view::View;
use regshape::{Error, ErrorCode, Interrupt};

fn annotations<const N: usize>(pairs: [(&str, &str); N]) -> Annotations {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, content).expect("appended");
    builder.into_inner().expect("a tar")
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(content).expect("compressed");
    encoder.finish().expect("compressed")
}

fn input(content: &[u8]) -> LayerInput {
    LayerInput::from_reader("layer.tar", std::io::Cursor::new(content.to_vec())).expect("content")
}

fn built(path: &Path) -> Layout {
    let layout = Layout::init(path).expect("a new layout");
    layout.stage_layer(input(&tar_of("file", b"content")), &LayerOptions::default()).expect("staged");
    layout.generate_config(&ConfigOptions::default()).expect("generated");
    let options = ManifestOptions::default().ref_name("latest".parse().expect("a name"));
    layout.generate_manifest(&options).expect("generated");
    layout
}

#[test]
fn an_image_is_built_changed_and_validated_as_the_guide_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("my-image");
    let tar = tar_of("file", b"content");
    let file = directory.path().join("layer.tar.gz");
    std::fs::write(&file, gzip(&tar)).expect("written");

    let layout = Layout::init(&path).expect("a new layout");
    let layer = layout
        .stage_layer(
            LayerInput::open(&file).expect("a layer"),
            &LayerOptions::default().media_type(MediaType::layer(LayerEncoding::Gzip)),
        )
        .expect("staged");
    assert_eq!(layer.digest, Digest::sha256_of(&gzip(&tar)));
    assert_eq!(layer.diff_id, Some(Digest::sha256_of(&tar)));
    let config =
        layout.generate_config(&ConfigOptions::default().architecture("amd64").os("linux")).expect("generated");
    let options = ManifestOptions::default().ref_name("latest".parse().expect("a name"));
    let manifest = layout.generate_manifest(&options).expect("generated");
    assert!(layout.validate(&ValidateOptions::default()).expect("checked").is_valid());

    let stage = layout.read_stage().expect("a staging file");
    assert_eq!(
        (stage.layers, stage.config.as_ref(), stage.manifest.as_ref()),
        (vec![layer], Some(&config), Some(&manifest))
    );

    let updated = layout
        .update_layer_annotations(0, &AnnotationChange::Merge(annotations([("com.example.role", "base")])))
        .expect("updated");
    assert!(updated.outdates_manifest);
    let changes = ConfigChanges::default().architecture("arm64");
    let updated = layout.update_config(&changes).expect("updated");
    assert!(updated.outdates_manifest && updated.value.digest != config.digest);
    assert!(!layout.update_config(&changes).expect("updated").outdates_manifest);
    layout.generate_manifest(&options).expect("generated");
    let version = annotations([("org.opencontainers.image.version", "1.0.0")]);
    let annotated = layout.update_manifest_annotations(&AnnotationChange::Merge(version.clone())).expect("updated");
    assert_eq!(annotated.annotations, version);

    let index = Layout::open(&path).expect("a layout").read_index().expect("an index");
    assert_eq!(index.manifests.len(), 1);
    assert_eq!((&index.manifests[0].digest, index.manifests[0].ref_name()), (&annotated.digest, Some("latest")));
    let platform = index.manifests[0].platform.as_ref().expect("a platform");
    assert_eq!(platform.architecture.as_deref(), Some("arm64"));
    let report = layout.validate(&ValidateOptions::default()).expect("checked");
    assert_eq!((report.errors, report.warnings, report.checked.count), (vec![], vec![], 3));
}

#[test]
fn the_plan_of_a_layer_is_known_before_it_is_stored() {
    let tar = tar_of("file", b"content");
    let plan = input(&tar).plan(&LayerOptions::default().compression(CompressFormat::Zstd.into())).expect("a plan");
    assert_eq!(plan.treatment, Treatment::Compress(CompressFormat::Zstd.into()));
    assert_eq!((plan.media_type, plan.is_doubtful), (MediaType::layer(LayerEncoding::Zstd), false));
    let plan =
        input(&gzip(&tar)).plan(&LayerOptions::default().compression(CompressFormat::Zstd.into())).expect("a plan");
    assert_eq!((plan.treatment, plan.media_type), (Treatment::AsIs, MediaType::layer(LayerEncoding::Gzip)));
    let plan = input(b"text")
        .plan(&LayerOptions::default().media_type(MediaType::layer(LayerEncoding::Gzip)))
        .expect("a plan");
    assert!(plan.is_doubtful);
}

#[test]
fn progress_reports_every_byte_read() {
    use std::sync::atomic::{AtomicU64, Ordering};

    let directory = tempfile::tempdir().expect("a directory");
    let layout = Layout::init(directory.path()).expect("a new layout");
    let content = tar_of("file", &vec![7; 1 << 20]);
    let read = AtomicU64::new(0);
    let progress = |bytes| {
        read.fetch_add(bytes, Ordering::Relaxed);
    };
    layout
        .prepare_layer(input(&content), &LayerOptions::default())
        .and_then(|prepared| prepared.with_progress(&progress).stage())
        .expect("staged");
    assert_eq!(read.into_inner(), content.len() as u64);
}

#[test]
fn a_layer_writer_stores_the_same_layer_as_a_reader() {
    let directory = tempfile::tempdir().expect("a directory");
    let layout = Layout::init(directory.path()).expect("a new layout");
    let content = tar_of("file", &vec![7; 5 << 20]);
    for options in [LayerOptions::default(), LayerOptions::default().compression(CompressFormat::Zstd.into())] {
        let read = layout.stage_layer(input(&content), &options).expect("staged");
        let mut writer = LayerWriter::create(&layout, &options).expect("a writer");
        for piece in content.chunks(100_003) {
            writer.write_all(piece).expect("written");
        }
        assert_eq!(writer.finish().expect("staged").layer, read);
    }
    let before = files(directory.path());
    let mut dropped = LayerWriter::create(&layout, &LayerOptions::default()).expect("a writer");
    dropped.write_all(&content).expect("written");
    drop(dropped);
    let mut truncated = LayerWriter::create(&layout, &LayerOptions::default()).expect("a writer");
    truncated.write_all(&content[..1000]).expect("written");
    assert!(matches!(truncated.finish(), Err(Error::TruncatedTar { .. })));
    let empty = LayerWriter::create(&layout, &LayerOptions::default()).expect("a writer");
    assert!(matches!(empty.finish(), Err(Error::EmptyFile { .. })));
    assert_eq!(files(directory.path()), before);
}

#[test]
fn errors_are_values_that_can_be_matched() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("my-image");
    assert!(matches!(Layout::open(&path), Err(Error::NotALayout { path: at }) if at == path));
    let layout = Layout::init(&path).expect("a new layout");
    assert!(matches!(Layout::init(&path), Err(Error::AlreadyLayout { path: at }) if at == path));
    assert!(matches!(layout.prepare_config(), Err(Error::NoLayers)));
    assert!(matches!(layout.generate_config(&ConfigOptions::default()), Err(Error::NoLayers)));
    assert!(matches!(layout.generate_manifest(&ManifestOptions::default()), Err(Error::NoLayers)));
    assert!(matches!(layout.update_config(&ConfigChanges::default()), Err(Error::NoConfig)));
    assert!(matches!(
        layout.update_manifest_annotations(&AnnotationChange::Merge(Annotations::new())),
        Err(Error::NoManifest)
    ));
    assert!(matches!(
        layout.update_layer_annotations(3, &AnnotationChange::Merge(Annotations::new())),
        Err(Error::LayerIndex { index: 3, count: 0 })
    ));
    assert!(matches!(LayerInput::open(path.join("missing")), Err(Error::FileNotFound { .. })));
    assert!(matches!(LayerInput::open(&path), Err(Error::IsDirectory { .. })));
    assert!(matches!(LayerInput::from_reader("x", std::io::empty()), Err(Error::EmptyFile { .. })));

    let stage = |content: &[u8], media_type| {
        let mut options = LayerOptions::default();
        options.media_type = media_type;
        layout.stage_layer(input(content), &options)
    };
    assert!(matches!(stage(b"text", None), Err(Error::UnknownMediaType { name }) if name == ".tar"));
    let tar = tar_of("file", b"content");
    assert!(matches!(
        stage(&gzip(&tar), Some(MediaType::layer(LayerEncoding::Zstd))),
        Err(Error::MediaTypeMismatch { stored: Encoding::Gzip, .. })
    ));
    let whole = gzip(&tar);
    assert!(matches!(
        stage(&whole[..whole.len() - 1], None),
        Err(Error::CorruptStream { encoding: Encoding::Gzip, .. })
    ));
    stage(&tar, None).expect("staged");
    assert!(matches!(layout.generate_manifest(&ManifestOptions::default()), Err(Error::NoConfig)));
    layout.generate_config(&ConfigOptions::default()).expect("generated");
    stage(&tar, None).expect("staged");
    assert!(matches!(layout.prepare_manifest(), Err(Error::ConfigMismatch)));
    assert!(matches!(layout.generate_manifest(&ManifestOptions::default()), Err(Error::ConfigMismatch)));
}

#[test]
fn kinds_of_damage_are_distinguished() {
    let directory = tempfile::tempdir().expect("a directory");
    let layout = built(&directory.path().join("my-image"));
    let config = layout.read_stage().expect("a staging file").config.expect("a config").digest;
    let blob = layout.path().join("blobs/sha256").join(config.encoded());
    std::fs::write(&blob, "{}").expect("written");
    let error = layout.update_config(&ConfigChanges::default()).expect_err("damaged");
    let Error::DigestMismatch { digest, actual } = error else { panic!("{error:?}") };
    assert_eq!((digest, actual), (config.clone(), Digest::sha256_of(b"{}")));
    std::fs::remove_file(blob).expect("removed");
    let error = layout.prepare_manifest().expect_err("missing");
    assert!(matches!(&error, Error::MissingBlob { digest, .. } if *digest == config), "{error:?}");
    let report = layout.validate(&ValidateOptions::default()).expect("checked");
    assert!(!report.is_valid());
    let manifest = layout.read_stage().expect("a staging file").manifest.expect("a manifest").digest;
    assert_eq!(report.errors[0].message(), format!("blob {config} referenced by {manifest} does not exist"));
    assert_eq!(report.errors[0].location(), format!("config in manifest {manifest}"));

    std::fs::write(layout.path().join("index.json"), "[]").expect("written");
    assert!(matches!(layout.read_index(), Err(Error::MalformedIndex { .. })));
    let stage = layout.path().join(".regshape-stage.json");
    std::fs::write(&stage, "{}").expect("written");
    assert!(matches!(layout.read_stage(), Err(Error::MalformedStage { .. })));
    std::fs::write(&stage, r#"{"schema_version":2}"#).expect("written");
    assert!(matches!(layout.read_stage(), Err(Error::StageVersion { found: 2, expected: 1, .. })));
    std::fs::remove_file(stage).expect("removed");
    assert!(matches!(layout.read_stage(), Err(Error::NoStage { .. })));
    std::fs::write(layout.path().join("oci-layout"), "{}").expect("written");
    assert!(matches!(Layout::open(layout.path()), Err(Error::MalformedMarker { .. })));
}

#[test]
fn a_layer_that_decompresses_to_many_times_its_size_is_stopped() {
    let directory = tempfile::tempdir().expect("a directory");
    let layout = Layout::init(directory.path()).expect("a new layout");
    layout.stage_layer(input(&tar_of("zeros", &[0; 1 << 20])), &LayerOptions::default()).expect("staged");
    layout.generate_config(&ConfigOptions::default()).expect("a config");
    let manifest = layout.generate_manifest(&ManifestOptions::default()).expect("a manifest").digest;
    let deep = |ratio_after| {
        let bounds = Bounds::default().max_ratio(100).ratio_after(ratio_after);
        ValidateOptions::default().deep(true).bounds(bounds)
    };
    assert!(layout.validate(&deep(8 << 30)).expect("checked").is_valid());
    let report = layout.validate(&deep(1 << 19)).expect("checked");
    let errors: Vec<_> = report.errors.iter().map(ToString::to_string).collect();
    let message = "the blob decompresses to more than 100 times its size";
    assert_eq!(errors, [format!("layer[0] in manifest {manifest}: {message}")]);
    assert_eq!(report.errors[0].location(), format!("layer[0] in manifest {manifest}"));
}

#[test]
fn handles_on_one_layout_in_many_threads_do_not_undo_each_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let layout = Layout::init(directory.path()).expect("a new layout");
    std::thread::scope(|scope| {
        for number in 0..20 {
            let layout = &layout;
            scope.spawn(move || {
                let content = tar_of(&format!("file{number}"), b"content");
                layout.stage_layer(input(&content), &LayerOptions::default()).expect("staged");
            });
        }
    });
    assert_eq!(layout.read_stage().expect("a staging file").layers.len(), 20);
}

#[test]
fn no_unreadable_document_is_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let layout = Layout::init(directory.path().join("image")).expect("made");
    let layer = LayerInput::from_reader("layer.tar", std::io::Cursor::new(vec![0; 1024])).expect("a tar");
    layout.stage_layer(layer, &LayerOptions::default()).expect("staged");
    layout.generate_config(&ConfigOptions::default()).expect("generated");
    layout.generate_manifest(&ManifestOptions::default()).expect("generated");
    let before = layout.read_index().expect("readable");
    let large = Annotations::from([("large".to_owned(), "x".repeat(8 << 20))]);
    let error = layout.update_manifest_annotations(&AnnotationChange::Merge(large.clone())).expect_err("too large");
    assert_eq!(error.to_string(), "the manifest is larger than 8388608 bytes");
    let options = ConfigOptions::default().labels(large);
    let error = layout.generate_config(&options).expect_err("too large");
    assert_eq!(error.to_string(), "the config is larger than 8388608 bytes");
    assert_eq!(layout.read_index().expect("readable"), before);
    assert!(layout.validate(&ValidateOptions::default()).expect("validated").is_valid());
}

#[test]
#[cfg(unix)]
fn a_writer_waits_as_long_as_its_options_say_and_calls_the_callback() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("image");
    let layout = built(&path);
    let marker = std::fs::File::open(path.join("oci-layout")).expect("opened");
    marker.lock().expect("locked");
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let waited = Duration::from_millis(1100);
    let impatient = layout.clone().with_write_options(
        WriteOptions::default()
            .lock_timeout(waited)
            .lock_observer(LockObserver::new(move |event| seen.lock().expect("no panic").push(event))),
    );
    let error = impatient
        .update_layer_annotations(0, &AnnotationChange::Merge(annotations([("a", "1")])))
        .expect_err("it is locked");
    assert!(matches!(&error, Error::Locked { path: found, waited: time } if *found == path && *time == waited));
    assert_eq!(*events.lock().expect("no panic"), [LockEvent::Waiting]);
    // A writer that timed out does not get the lock later.
    drop(marker);
    let patient =
        layout.update_layer_annotations(0, &AnnotationChange::Merge(annotations([("a", "2")]))).expect("it is free");
    assert_eq!(patient.value.annotations, annotations([("a", "2")]));
}

#[test]
fn a_tree_is_built_from_documents_and_each_is_read_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("my-image");
    let layout = built(&path);
    // Three entries of one manifest, and a layer of the right size with other content.
    let mut index = layout.read_index().expect("an index");
    index.manifests = vec![index.manifests[0].clone(); 3];
    std::fs::write(path.join("index.json"), serde_json::to_vec(&index).expect("written")).expect("written");
    let stage = layout.read_stage().expect("a stage");
    let layer = &stage.layers[0];
    let file = path.join("blobs/sha256").join(layer.digest.encoded());
    std::fs::write(file, vec![0; usize::try_from(layer.size).expect("small")]).expect("written");

    let layout = Layout::open(&path).expect("a layout");
    let tree = layout.tree().expect("a tree");
    assert_eq!(tree.roots.len(), 1);
    assert!(tree.roots[0].children.iter().all(|child| child.state == NodeState::Present));
    let read =
        [path.join("index.json"), path.join(".regshape-stage.json")].map(|file| file.metadata().expect("there").len());
    let documents = stage.config.expect("a config").size + stage.manifest.expect("a manifest").size;
    assert_eq!(layout.metrics().bytes_read(), read.iter().sum::<u64>() + documents);
    assert_eq!(tree.unreferenced.map(|unreferenced| unreferenced.count), Some(0));
}

fn name(text: &str) -> RepositoryName {
    text.parse().expect("a name")
}

/// Returns the repository `app` of a layout that does not exist yet.
fn app(directory: &tempfile::TempDir) -> Repository {
    Registry::shared(directory.path().join("image")).expect("a registry").repository(name("app"))
}

fn push(repository: &Repository, content: &[u8]) -> Descriptor {
    repository.push_blob(content, &Expected::default()).expect("stored")
}

fn content_of(repository: &Repository, digest: &Digest) -> Vec<u8> {
    let mut content = Vec::new();
    repository.get_blob(digest).expect("a blob").read_to_end(&mut content).expect("read");
    content
}

/// The media type of the configs below.
const CONFIG_TYPE: &str = "application/vnd.example.config+json";

/// Stores the config and layer of an artifact manifest, and returns the manifest.
fn manifest(repository: &Repository, note: &str, subject: Option<&Descriptor>) -> Vec<u8> {
    let config = push(repository, b"{}").digest;
    let subject = subject.map_or_else(String::new, |subject| {
        let Descriptor { media_type, digest, size, .. } = subject;
        format!(r#","subject":{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    });
    let part = |media_type| format!(r#"{{"mediaType":"{media_type}","digest":"{config}","size":2}}"#);
    let (config, layer) = (part(CONFIG_TYPE), part("application/vnd.oci.empty.v1+json"));
    let notes = format!(r#""annotations":{{"note":"{note}"}}"#);
    format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{layer}],{notes}{subject}}}"#).into_bytes()
}

/// Parses a manifest without a media type.
fn body(content: impl Into<Vec<u8>>) -> ManifestBody {
    ManifestBody::parse_as(content, MediaType::manifest()).expect("a manifest")
}

/// Returns the files below a directory, with their sizes.
fn files(directory: &Path) -> std::collections::BTreeMap<std::path::PathBuf, u64> {
    let mut found = std::collections::BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.expect("readable").path();
            match path.metadata().expect("readable") {
                metadata if metadata.is_dir() => directories.push(path),
                metadata => drop(found.insert(path, metadata.len())),
            }
        }
    }
    found
}

#[track_caller]
fn fails_with<T: std::fmt::Debug>(result: Result<T, Error>, code: ErrorCode) -> String {
    let error = result.expect_err("it must fail");
    assert_eq!(error.code(), Some(code), "{error}");
    error.to_string()
}

#[track_caller]
fn is_valid(path: &Path) {
    let report = Layout::open(path).expect("a layout").validate(&ValidateOptions::default()).expect("checked");
    assert_eq!(report.errors.iter().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
}

/// The operations of a repository, for any kind of registry.
fn works_as_a_registry(registry: &Registry) {
    let app = registry.repository(name("example/app"));
    assert_eq!(registry.repositories(&Page::default()).expect("listed"), []);
    fails_with(app.tags(&Page::default()), ErrorCode::NameUnknown);

    let one = app.push_manifest(&body(manifest(&app, "one", None)), &["v1", "latest"]).expect("stored");
    let two = app.push_manifest(&body(manifest(&app, "two", None)), &["v2"]).expect("stored");
    assert_eq!(app.tags(&Page::default()).expect("listed"), ["latest", "v1", "v2"]);
    assert_eq!(app.tags(&Page::default().after("latest").limit(1)).expect("listed"), ["v1"]);
    assert_eq!(app.tags(&Page::default().after("v1x")).expect("listed"), ["v2"]);
    assert_eq!(app.tags(&Page::default().limit(0)).expect("listed"), Vec::<String>::new());

    assert_eq!(app.resolve_tag("v1").expect("found").digest, one.digest);
    assert_eq!(app.resolve_manifest(&two.digest).expect("found").digest, two.digest);
    assert_eq!(app.get_tag("v2").expect("read").content, manifest(&app, "two", None));
    assert_eq!(app.get_manifest(&one.digest).expect("read").content, manifest(&app, "one", None));
    assert_eq!(app.get("v1").expect("read").descriptor.digest, one.digest);
    let info = app.info("v1").expect("read");
    assert_eq!(
        (info.tags, info.annotations),
        (vec!["latest".to_owned(), "v1".to_owned()], annotations([("note", "one")]))
    );
    for reference in
        ["v1", "example/app:v1", one.digest.as_str(), &one.digest.as_str()[..20], &one.digest.encoded()[..12]]
    {
        assert_eq!(app.resolve(reference).expect(reference).digest, one.digest);
    }

    let sbom = app.push_manifest(&body(manifest(&app, "sbom", Some(&one))), &[]).expect("stored");
    let found = app.referrers(&one.digest, None).expect("listed");
    assert_eq!(found.warnings, Vec::<String>::new());
    assert_eq!(found.manifests.iter().map(|found| &found.digest).collect::<Vec<_>>(), [&sbom.digest]);
    assert_eq!(found.manifests[0].annotations, Some(annotations([("note", "sbom")])));
    let by_type = |artifact_type| app.referrers(&one.digest, Some(artifact_type)).expect("listed").manifests.len();
    assert_eq!((by_type(CONFIG_TYPE), by_type("application/x")), (1, 0));
    assert_eq!(app.referrers(&two.digest, None).expect("listed").manifests, []);
    assert_eq!(app.referrers(&Digest::sha256_of(b"missing"), None).expect("listed").manifests, []);

    app.add_tags("v1", &["stable"]).expect("tagged");
    let moved = app.move_tag("v2", "v3").expect("moved");
    assert_eq!((moved.from.as_deref(), &moved.descriptor.digest), (Some("v2"), &two.digest));
    assert_eq!(app.delete_tag("latest").expect("deleted").digest, one.digest);
    assert_eq!(app.tags(&Page::default()).expect("listed"), ["stable", "v1", "v3"]);
    fails_with(app.delete_tag("latest"), ErrorCode::ManifestUnknown);
    fails_with(app.delete_tag(""), ErrorCode::ManifestUnknown);
    fails_with(app.resolve_tag("latest"), ErrorCode::ManifestUnknown);
    let (digest, tags) = app.delete_manifest(one.digest.as_str()).expect("deleted");
    assert_eq!((digest, tags), (one.digest.clone(), vec!["v1".to_owned(), "stable".to_owned()]));
    fails_with(app.resolve_manifest(&one.digest), ErrorCode::ManifestUnknown);
    fails_with(app.delete_manifest(one.digest.as_str()), ErrorCode::ManifestUnknown);
    assert_eq!(app.referrers(&one.digest, None).expect("listed").manifests.len(), 1, "what refers to it stays");

    // With only untagged entries the repository exists, and has no tags.
    app.delete_tag("v3").expect("deleted");
    assert_eq!(app.tags(&Page::default()).expect("listed"), Vec::<String>::new());
    assert_eq!(registry.repositories(&Page::default()).expect("listed"), [name("example/app")]);
    app.delete_manifest(sbom.digest.as_str()).expect("deleted");
    fails_with(app.tags(&Page::default()), ErrorCode::NameUnknown);
    fails_with(app.referrers(&one.digest, None), ErrorCode::NameUnknown);
    assert_eq!(registry.repositories(&Page::default()).expect("listed"), []);
    assert_eq!(
        app.layout().expect("a layout").collect_garbage(&GarbageOptions::default()).expect("collected").blobs.count,
        4
    );

    for repository in ["a", "a-b", "a/b", "b"] {
        let repository = registry.repository(name(repository));
        repository.push_manifest(&body(manifest(&repository, "x", None)), &["x"]).expect("stored");
    }
    let listed = |page: Page| {
        let found = registry.repositories(&page).expect("listed");
        found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(listed(Page::default()), ["a", "a-b", "a/b", "b"]);
    assert_eq!(listed(Page::default().after("a").limit(2)), ["a-b", "a/b"]);
    assert_eq!(listed(Page::default().after("zzz")), Vec::<String>::new());
}

#[test]
fn a_layout_is_a_registry_of_several_repositories() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("image");
    let registry = Registry::shared(&path).expect("a registry");
    assert!(!path.exists(), "opening makes nothing");
    works_as_a_registry(&registry);
    let names = registry.ref_names().expect("one layout").tags(&Page::default()).expect("listed");
    assert_eq!(names, ["a-b:x", "a/b:x", "a:x", "b:x"]);
    is_valid(&path);
}

#[test]
fn a_directory_of_layouts_is_a_registry_of_several_repositories() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("layouts");
    let registry = Registry::per_repository(&path);
    assert!(!path.exists(), "opening makes nothing");
    works_as_a_registry(&registry);
    fails_with(registry.ref_names(), ErrorCode::NameInvalid);
    for repository in ["a", "a-b", "a/b", "b", "example/app"] {
        is_valid(&path.join(repository));
    }
}

#[test]
fn names_of_other_programs_belong_to_the_default_repository() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("image");
    let layout = built(&path);
    let registry = Registry::shared(&path).expect("a registry");
    assert_eq!(registry.repositories(&Page::default()).expect("listed"), []);
    fails_with(registry.repository(name("app")).tags(&Page::default()), ErrorCode::NameUnknown);
    let registry = registry.with_default_repository(name("app"));
    assert_eq!(registry.repositories(&Page::default()).expect("listed"), [name("app")]);
    let app = registry.repository(name("app"));
    assert_eq!(app.tags(&Page::default()).expect("listed"), ["latest"]);
    // A written ref name includes the repository.
    app.add_tags("latest", &["v1"]).expect("tagged");
    let index = layout.read_index().expect("an index");
    let names: Vec<_> = index.manifests.iter().map(|entry| entry.ref_name()).collect();
    assert_eq!(names, [Some("latest"), Some("app:v1")]);
    assert_eq!(app.tags(&Page::default()).expect("listed"), ["latest", "v1"]);
    fails_with(registry.repository(name("other")).tags(&Page::default()), ErrorCode::NameUnknown);
}

#[test]
fn a_blob_is_read_whole_and_in_parts() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    let blob = push(&app, b"0123456789");
    assert_eq!((&blob.digest, blob.size), (&Digest::sha256_of(b"0123456789"), 10));
    assert_eq!(app.resolve_blob(&blob.digest).expect("there"), blob);
    assert_eq!(content_of(&app, &blob.digest), b"0123456789");
    let part = |start, end| {
        let mut reader = app.get_blob_range(&blob.digest, ByteRange { start, end })?;
        let length = reader.length();
        let mut content = String::new();
        reader.read_to_string(&mut content).expect("read");
        assert_eq!(length, content.len() as u64);
        Ok(content)
    };
    for (start, end, expected) in [
        (0, None, "0123456789"),
        (3, Some(5), "34"),
        (3, Some(3), ""),
        (8, Some(99), "89"),
        (10, None, ""),
        (10, Some(99), ""),
    ] {
        assert_eq!(part(start, end).expect("within"), expected);
    }
    for (start, end) in [(11, None), (11, Some(99)), (5, Some(4))] {
        fails_with(part(start, end), ErrorCode::RangeInvalid);
    }
    let missing = Digest::sha256_of(b"missing");
    fails_with(app.get_blob_range(&missing, ByteRange { start: 0, end: None }), ErrorCode::BlobUnknown);
    fails_with(app.get_blob(&missing), ErrorCode::BlobUnknown);
    fails_with(app.resolve_blob(&missing), ErrorCode::BlobUnknown);

    // Corruption is reported by the last read.
    let file = app.path().join("blobs/sha256").join(blob.digest.encoded());
    std::fs::write(file, "012345678X").expect("written");
    let error = app.get_blob(&blob.digest).expect("there").read_to_end(&mut Vec::new()).expect_err("corrupt");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    let save = directory.path().join("saved");
    let saved = app.get_blob(&blob.digest).expect("there").save(&save, |_| ());
    fails_with(saved, ErrorCode::DigestInvalid);
    assert!(!save.exists());
}

#[test]
fn a_blob_is_read_from_any_position_and_still_verified() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    let blob = push(&app, b"0123456789");
    let read = |reader: &mut BlobReader, position| {
        reader.seek(position).expect("sought");
        let mut bytes = [0; 3];
        reader.read_exact(&mut bytes).expect("read");
        String::from_utf8(bytes.to_vec()).expect("text")
    };
    let steps = [
        (SeekFrom::Start(4), "456"),
        (SeekFrom::Start(1), "123"),
        (SeekFrom::Current(2), "678"),
        (SeekFrom::End(-3), "789"),
        (SeekFrom::Start(0), "012"),
    ];
    let mut whole = app.get_blob(&blob.digest).expect("there");
    for (position, expected) in steps {
        assert_eq!(read(&mut whole, position), expected, "{position:?}");
    }
    assert_eq!(std::io::read_to_string(&mut whole).expect("it is verified"), "3456789");
    assert_eq!(read(&mut whole, SeekFrom::Start(5)), "567");

    let mut part = app.get_blob_range(&blob.digest, 2..8).expect("within");
    assert_eq!(read(&mut part, SeekFrom::End(-3)), "567");
    assert_eq!(part.read(&mut [0; 3]).expect("the end"), 0);
    assert_eq!(read(&mut part, SeekFrom::Current(-6)), "234");
    assert_eq!(part.stream_position().expect("known"), 3);
    assert!(part.seek(SeekFrom::Current(-4)).is_err());
    part.seek(SeekFrom::Start(u64::MAX)).expect("sought");
    assert_eq!(part.read(&mut [0; 3]).map_err(|error| error.kind()).unwrap_or(0), 0);
    let rest = app.get_blob_range(&blob.digest, 7..).expect("within");
    assert_eq!(std::io::read_to_string(rest).expect("read"), "789");

    // Bytes that a seek left out are verified too.
    std::fs::write(app.path().join("blobs/sha256").join(blob.digest.encoded()), "X123456789").expect("written");
    let mut whole = app.get_blob(&blob.digest).expect("there");
    assert_eq!(read(&mut whole, SeekFrom::Start(7)), "789");
    assert_eq!(whole.read(&mut [0; 1]).expect_err("corrupt").kind(), std::io::ErrorKind::InvalidData);
    let mut whole = app.get_blob(&blob.digest).expect("there");
    whole.seek(SeekFrom::End(5)).expect("sought");
    fails_with(whole.copy_to(|_| Ok::<_, Error>(())), ErrorCode::DigestInvalid);
}

#[test]
fn a_blob_of_another_digest_or_size_is_not_stored() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    let store = |digest: Option<Digest>, size| {
        let mut expected = Expected::default();
        (expected.digest, expected.size) = (digest, size);
        app.push_blob(&b"content"[..], &expected)
    };
    let (right, wrong) = (Digest::sha256_of(b"content"), Digest::sha256_of(b"other"));
    fails_with(store(Some(wrong.clone()), Some(7)), ErrorCode::DigestInvalid);
    assert_eq!(fails_with(store(Some(right.clone()), Some(8)), ErrorCode::SizeInvalid), "expected 8 bytes, got 7");
    // The digest is compared before the size.
    fails_with(store(Some(wrong.clone()), Some(8)), ErrorCode::DigestInvalid);
    fails_with(store(Some("md5:00".parse().expect("a digest")), None), ErrorCode::DigestInvalid);
    assert!(!app.path().exists(), "{:?}", files(directory.path()));
    assert_eq!(store(Some(right.clone()), Some(7)).expect("stored").digest, right);
    let before = files(directory.path());
    fails_with(store(Some(wrong), None), ErrorCode::DigestInvalid);
    fails_with(store(None, Some(6)), ErrorCode::SizeInvalid);
    assert_eq!(files(directory.path()), before);
    // A reader may fail.
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the line is dead"))
        }
    }
    let error = app.push_blob(b"x".chain(Broken), &Expected::default()).expect_err("broken");
    assert_eq!((error.code(), error.report().ends_with("the line is dead")), (None, true), "{error}");
    assert_eq!(files(directory.path()), before);
}

#[test]
fn a_blob_is_mounted_and_deleted() {
    let directory = tempfile::tempdir().expect("a directory");
    let shared = Registry::shared(directory.path().join("image")).expect("a registry");
    let layouts = Registry::per_repository(directory.path().join("layouts"));
    let missing = Digest::sha256_of(b"missing");
    for registry in [&shared, &layouts] {
        let (from, to) = (registry.repository(name("from")), registry.repository(name("to")));
        let blob = push(&from, b"content");
        fails_with(registry.mount_blob(&name("from"), &name("to"), &missing), ErrorCode::BlobUnknown);
        assert_eq!(registry.mount_blob(&name("from"), &name("to"), &blob.digest).expect("mounted"), blob);
        assert_eq!(content_of(&to, &blob.digest), b"content");
        assert_eq!(to.delete_blob(&blob.digest).expect("deleted"), blob);
        fails_with(to.delete_blob(&blob.digest), ErrorCode::BlobUnknown);
        let manifest = from.push_manifest(&body(manifest(&from, "x", None)), &["x"]).expect("stored");
        fails_with(from.delete_blob(&manifest.digest), ErrorCode::Denied);
        let message = fails_with(from.delete_blob(&Digest::sha256_of(b"{}")), ErrorCode::Denied);
        assert!(message.ends_with(&format!("is referenced by {}", manifest.digest)), "{message}");
    }
    // In one shared layout it was the same blob.
    fails_with(shared.repository(name("from")).resolve_blob(&Digest::sha256_of(b"content")), ErrorCode::BlobUnknown);
    layouts.repository(name("from")).resolve_blob(&Digest::sha256_of(b"content")).expect("it is still there");
}

#[test]
fn a_manifest_that_cannot_be_stored_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    let invalid = |content: &str, media_type: MediaType| {
        let pushed = ManifestBody::parse_as(content, media_type).and_then(|body| app.push_manifest(&body, &["v1"]));
        fails_with(pushed, ErrorCode::ManifestInvalid)
    };
    let manifest = MediaType::manifest;
    let missing = Digest::sha256_of(b"{}");
    let descriptor = format!(r#"{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{missing}","size":2}}"#);
    let whole = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{descriptor}]}}"#);
    let message = invalid(&whole, manifest());
    assert_eq!(message, format!("the manifest is not valid: blob for layers[0] not found: {missing}"));
    let list =
        format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor.replace("empty.v1", "image.manifest.v1"));
    let message = invalid(&list, MediaType::index());
    assert_eq!(message, format!("the manifest is not valid: manifest for manifests[0] not found: {missing}"));
    invalid("", manifest());
    invalid("[]", manifest());
    invalid(r#"{"schemaVersion":2}"#, manifest());
    assert!(!app.path().exists(), "no layout is made of it");

    let config = push(&app, b"{}");
    let before = files(directory.path());
    assert_eq!(config.digest, missing);
    fails_with(app.push_manifest(&body(whole.as_str()), &["v1", "not a tag"]), ErrorCode::NameInvalid);
    fails_with(body(whole.as_str()).with_digest(missing.clone()), ErrorCode::DigestInvalid);
    let other_type = whole.replacen('{', r#"{"mediaType":"application/vnd.oci.image.index.v1+json","#, 1);
    invalid(&other_type, manifest());
    invalid(&whole.replace(r#""size":2"#, r#""size":3"#), manifest());
    assert_eq!(files(directory.path()), before);
    // Blobs with `urls` and subjects may be missing.
    let elsewhere = format!(
        r#"{{"schemaVersion":2,"artifactType":"application/x","config":{descriptor},"layers":[{{"mediaType":"application/x","digest":"{0}","size":7,"urls":["https://example.com/x"]}}],"subject":{{"mediaType":"application/x","digest":"{0}","size":7}}}}"#,
        Digest::sha256_of(b"missing")
    );
    app.push_manifest(&body(elsewhere), &["v1"]).expect("stored");
}

#[test]
fn a_manifest_is_found_through_an_index_for_its_platform() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    let child = app.push_manifest(&body(manifest(&app, "child", None)), &[]).expect("stored");
    app.delete_manifest(child.digest.as_str()).expect("deleted");
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{}","digest":"{}","size":{},"platform":{{"architecture":"arm64","os":"linux"}}}}]}}"#,
        child.media_type, child.digest, child.size
    );
    app.push_manifest(&ManifestBody::parse(index).expect("an index"), &["multi"]).expect("stored");
    let arm: Platform = "linux/arm64".parse().expect("a platform");
    let found = app.resolve_for(ManifestName::from("multi").for_platform(&arm)).expect("found");
    assert_eq!((&found.digest, found.platform.as_deref()), (&child.digest, Some(&arm)));
    assert_eq!(app.resolve_manifest(&child.digest).expect("found").platform, Some(Box::new(arm)));
    fails_with(
        app.resolve_for(ManifestName::from("multi").for_platform(&"linux/amd64".parse().expect("a platform"))),
        ErrorCode::ManifestUnknown,
    );
    // Only top-level manifests can be deleted.
    fails_with(app.delete_manifest(child.digest.as_str()), ErrorCode::ManifestUnknown);
    fails_with(app.resolve_manifest(&Digest::sha256_of(b"{}")), ErrorCode::ManifestUnknown);
}

#[test]
fn an_upload_can_be_resumed_in_another_handle() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut upload = app(&directory).start_upload().expect("begun");
    upload.write_all(b"one, ").expect("written");
    let id = upload.id().to_owned();
    assert_eq!((id.len(), upload.size()), (32, 5));
    drop(upload);

    // Resumes at the end, with and without an expected offset.
    let other = app(&directory);
    let mut upload = other.resume_upload(&id, None).expect("resumed");
    assert_eq!((upload.id(), upload.size()), (id.as_str(), 5));
    upload.write_all(b"two, ").expect("written");
    drop(upload);
    let message = fails_with(other.resume_upload(&id, Some(5)), ErrorCode::RangeInvalid);
    assert_eq!(message, format!("upload {id} has 10 bytes, not 5"));
    let error = other.resume_upload(&id, Some(11)).expect_err("beyond the end");
    assert!(matches!(&error, Error::UploadOffset { expected: 11, actual: 10, id: found } if *found == id), "{error}");
    let mut upload = other.resume_upload(&id, Some(10)).expect("resumed");
    upload.write_all(b"three").expect("written");

    let path = other.path();
    assert_eq!(files(&path.join("blobs")), std::collections::BTreeMap::new(), "it is no blob yet");
    let content = b"one, two, three";
    let blob = upload.commit(&Digest::sha256_of(content)).expect("committed");
    assert_eq!((blob.size, content_of(&other, &blob.digest)), (15, content.to_vec()));
    assert_eq!(files(&path.join(".regshape-uploads")).len(), 0);
    fails_with(other.resume_upload(&id, None), ErrorCode::BlobUploadUnknown);
}

/// The other process of the test below.
#[test]
#[ignore = "another test runs it"]
fn resumes_an_upload_in_a_child_process() {
    let Some(words) = std::env::var("REGSHAPE_UPLOAD").ok() else { return };
    let (path, id) = words.split_once('|').expect("a path and an id");
    let app = Registry::shared(path).expect("a registry").repository(name("app"));
    let mut upload = app.resume_upload(id, Some(5)).expect("resumed");
    upload.write_all(b"two").expect("written");
}

#[test]
fn an_upload_can_be_resumed_in_another_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    let mut upload = app.start_upload().expect("begun");
    upload.write_all(b"one, ").expect("written");
    let id = upload.id().to_owned();
    drop(upload);
    let path = app.path().to_str().expect("UTF-8");
    let other = std::process::Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "resumes_an_upload_in_a_child_process", "--ignored"])
        .env("REGSHAPE_UPLOAD", format!("{path}|{id}"))
        .output()
        .expect("it runs");
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stdout));
    let upload = app.resume_upload(&id, Some(8)).expect("resumed");
    let blob = upload.commit(&Digest::sha256_of(b"one, two")).expect("committed");
    assert_eq!(content_of(&app, &blob.digest), b"one, two");
}

#[test]
fn an_upload_with_a_writer_is_not_resumed_by_another() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    let upload = app.start_upload().expect("begun");
    let options = WriteOptions::default().lock_timeout(Duration::ZERO);
    let path = app.path();
    let hasty = Registry::shared(path).expect("a registry").with_write_options(options).repository(name("app"));
    let error = hasty.resume_upload(upload.id(), None).expect_err("in use");
    assert!(matches!(error, Error::Locked { .. }), "{error}");
    // The upload is not garbage either.
    let all = GarbageOptions::default().keep_younger_than(Duration::ZERO);
    let garbage = app.layout().expect("a layout").collect_garbage(&all).expect("collected");
    assert_eq!((garbage.uploads.count, garbage.kept.count), (0, 1));
    let id = upload.id().to_owned();
    drop(upload);
    assert_eq!(app.layout().expect("a layout").collect_garbage(&all).expect("collected").uploads.count, 1);
    fails_with(app.resume_upload(&id, None), ErrorCode::BlobUploadUnknown);
}

#[test]
fn a_commit_with_a_wrong_digest_keeps_the_upload() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    // With the digest state of the same handle, and with that of a resumed upload.
    for is_resumed in [false, true] {
        let mut upload = app.start_upload().expect("begun");
        upload.write_all(b"one, ").expect("written");
        let id = upload.id().to_owned();
        if is_resumed {
            drop(upload);
            upload = app.resume_upload(&id, None).expect("resumed");
        }
        for wrong in [Digest::sha256_of(b"other").to_string(), format!("blake3:{}", "0".repeat(64)), "md5:0".to_owned()]
        {
            let CommitError { error, upload: kept, .. } =
                upload.commit(&wrong.parse().expect("a digest")).expect_err("another digest");
            assert_eq!(
                (error.code(), kept.id(), kept.size()),
                (Some(ErrorCode::DigestInvalid), id.as_str(), 5),
                "{error}"
            );
            upload = *kept;
        }
        upload.write_all(b"two").expect("written");
        let blob = upload.commit(&Digest::sha256_of(b"one, two")).expect("committed");
        assert_eq!(content_of(&app, &blob.digest), b"one, two");
        app.delete_blob(&blob.digest).expect("deleted");
    }
    assert_eq!(files(&app.path().join("blobs")).len(), 0);
}

#[test]
fn a_commit_replaces_a_corrupt_blob_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    let blob = push(&app, b"content");
    let file = app.path().join("blobs/sha256").join(blob.digest.encoded());
    for there in ["content", "CONTENT", "short"] {
        std::fs::write(&file, there).expect("written");
        let mut upload = app.start_upload().expect("begun");
        upload.write_all(b"content").expect("written");
        assert_eq!(upload.commit(&blob.digest).expect("committed"), blob);
        assert_eq!(std::fs::read(&file).expect("there"), b"content");
        assert_eq!(files(&app.path().join(".regshape-uploads")).len(), 0);
    }
    // Digests of any algorithm, and of empty content.
    for digest in [
        "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262".to_owned(),
        format!("sha512:{}", hex::encode(<sha2::Sha512 as sha2::Digest>::digest(b""))),
        Digest::sha256_of(b"").to_string(),
    ] {
        let digest = digest.parse().expect("a digest");
        let blob = app.start_upload().expect("begun").commit(&digest).expect("committed");
        assert_eq!((blob.size, content_of(&app, &digest)), (0, Vec::new()));
    }
}

// Windows does not rename open files.
#[test]
#[cfg(unix)]
fn a_deleted_upload_creates_no_blob() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    let uploads = app.path().join(".regshape-uploads");
    let digest = Digest::sha256_of(b"content");
    for comes_another in [false, true] {
        let mut upload = app.start_upload().expect("begun");
        upload.write_all(b"content").expect("written");
        let file = uploads.join(upload.id());
        std::fs::remove_file(&file).expect("deleted");
        if comes_another {
            std::fs::write(&file, "content").expect("written");
        }
        let CommitError { error, upload, .. } = upload.commit(&digest).expect_err("it is gone");
        assert_eq!(error.code(), Some(ErrorCode::BlobUploadUnknown), "{error}");
        fails_with(app.resolve_blob(&digest), ErrorCode::BlobUnknown);
        // Cancelling twice is not an error, and a new file with the same name stays.
        upload.cancel().expect("cancelled");
        assert_eq!(file.exists(), comes_another);
    }
}

#[test]
fn a_cancelled_upload_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    let (one, two) = (app.start_upload().expect("begun"), app.start_upload().expect("begun"));
    assert_ne!(one.id(), two.id());
    let id = one.id().to_owned();
    let uploads = app.path().join(".regshape-uploads");
    one.cancel().expect("cancelled");
    assert_eq!(files(&uploads).len(), 1);
    fails_with(app.resume_upload(&id, None), ErrorCode::BlobUploadUnknown);
    two.cancel().expect("cancelled");
    assert_eq!(files(&uploads).len(), 0);
    fails_with(app.resolve_blob(&Digest::sha256_of(b"")), ErrorCode::BlobUnknown);
}

#[test]
fn a_malformed_id_is_no_upload() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    let zeros = "0".repeat(32);
    // Without a layout and without an upload.
    fails_with(app.resume_upload(&zeros, None), ErrorCode::BlobUploadUnknown);
    assert!(!app.path().exists());
    let upload = app.start_upload().expect("begun");
    let uploads = app.path().join(".regshape-uploads");
    std::fs::write(uploads.join("short"), "x").expect("written");
    std::fs::create_dir(uploads.join(&zeros)).expect("made");
    let before = files(directory.path());
    let up = format!("../{}", "0".repeat(29));
    for id in [
        "",
        ".",
        "..",
        "short",
        "../index.json",
        "/etc/passwd",
        &up,
        &zeros,
        &"0".repeat(31),
        &"0".repeat(33),
        &"A".repeat(32),
        &"g".repeat(32),
    ] {
        let message = fails_with(app.resume_upload(id, None), ErrorCode::BlobUploadUnknown);
        assert!(message.ends_with(&format!("has no upload '{id}'")), "{message}");
    }
    assert_eq!(files(directory.path()), before);
    drop(upload);
}

#[test]
#[cfg(unix)]
fn uploads_do_not_go_through_links() {
    use std::os::unix::fs::symlink;

    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    let upload = app.start_upload().expect("begun");
    let id = upload.id().to_owned();
    drop(upload);
    let uploads = app.path().join(".regshape-uploads");
    std::fs::remove_file(uploads.join(&id)).expect("deleted");
    let outside = directory.path().join("outside");
    std::fs::write(&outside, "precious").expect("written");
    symlink(&outside, uploads.join(&id)).expect("linked");
    fails_with(app.resume_upload(&id, None), ErrorCode::BlobUploadUnknown);
    std::fs::remove_dir_all(&uploads).expect("deleted");
    let elsewhere = directory.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("made");
    std::fs::write(elsewhere.join(&id), "precious").expect("written");
    symlink(&elsewhere, &uploads).expect("linked");
    assert!(matches!(app.resume_upload(&id, None), Err(Error::Io { .. })));
    assert!(matches!(app.start_upload(), Err(Error::Io { .. })));
    assert_eq!(files(&elsewhere), [(elsewhere.join(&id), 8)].into());
}

#[test]
fn every_error_that_registries_know_has_its_code() {
    for (code, text) in [
        (ErrorCode::NameUnknown, "NAME_UNKNOWN"),
        (ErrorCode::ManifestUnknown, "MANIFEST_UNKNOWN"),
        (ErrorCode::BlobUnknown, "BLOB_UNKNOWN"),
        (ErrorCode::DigestInvalid, "DIGEST_INVALID"),
        (ErrorCode::SizeInvalid, "SIZE_INVALID"),
        (ErrorCode::RangeInvalid, "RANGE_INVALID"),
        (ErrorCode::NameInvalid, "NAME_INVALID"),
        (ErrorCode::ManifestInvalid, "MANIFEST_INVALID"),
        (ErrorCode::BlobUploadUnknown, "BLOB_UPLOAD_UNKNOWN"),
        (ErrorCode::Denied, "DENIED"),
    ] {
        assert_eq!((code.as_str(), code.to_string()), (text, text.to_owned()));
    }
    assert_eq!(Error::from("Bad".parse::<RepositoryName>().expect_err("bad")).code(), Some(ErrorCode::NameInvalid));
    assert_eq!(Error::from("bad".parse::<Digest>().expect_err("bad")).code(), Some(ErrorCode::DigestInvalid));
    let directory = tempfile::tempdir().expect("a directory");
    let layout = built(&directory.path().join("image")).with_shared_blobs();
    fails_with(layout.collect_garbage(&GarbageOptions::default()), ErrorCode::Denied);
    let app = app(&directory);
    let shared = Registry::shared(app.path()).expect("a registry").with_shared_blobs();
    let blob = push(&app, b"loose").digest;
    fails_with(shared.repository(name("app")).delete_blob(&blob), ErrorCode::Denied);
    assert_eq!(Error::NoLayers.code(), None);
    assert_eq!(Error::NotALayout { path: "x".into() }.code(), None);
}

#[test]
fn a_registry_is_not_made_of_another_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("image");
    built(&path);
    std::fs::write(path.join("index.json"), r#"{"schemaVersion":2,"mediaType":"application/x","manifests":[]}"#)
        .expect("written");
    assert!(matches!(Registry::shared(&path), Err(Error::MalformedIndex { .. })));
    std::fs::write(path.join("index.json"), "[]").expect("written");
    assert!(matches!(Registry::shared(&path), Err(Error::MalformedIndex { .. })));
    std::fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"2.0.0"}"#).expect("written");
    assert!(matches!(Registry::shared(&path), Err(Error::LayoutVersion { .. })));
    std::fs::write(path.join("oci-layout"), "{}").expect("written");
    assert!(matches!(Registry::shared(&path), Err(Error::MalformedMarker { .. })));
    // Without the marker the directory is not a layout, and its files are not overwritten.
    std::fs::remove_file(path.join("oci-layout")).expect("deleted");
    let app = Registry::shared(&path).expect("empty").repository(name("app"));
    let before = files(&path);
    assert!(matches!(app.push_blob(&b"x"[..], &Expected::default()), Err(Error::Occupied { .. })));
    assert!(matches!(app.start_upload(), Err(Error::Occupied { .. })));
    assert_eq!(files(&path), before);
}

#[test]
fn a_path_names_a_layout_and_an_image_in_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("images");
    built(&path);
    let digest = Digest::sha256_of(b"");
    for (rest, expected) in [("app", "app"), ("app:v1", "app:v1"), ("team/app:v1", "team/app:v1")] {
        let (found, reference) = find_layout(path.join(rest)).expect(rest);
        assert_eq!((found, reference.to_string()), (path.clone(), expected.to_owned()));
    }
    let (found, reference) = find_layout(path.join(format!("app:v1@{digest}"))).expect("a reference");
    assert_eq!((&found, reference.repository.as_str()), (&path, "app"));
    assert_eq!((reference.tag.as_ref().map(|tag| tag.as_str()), reference.digest), (Some("v1"), Some(digest)));
    for bad in ["images/App:v1", "images/app:", "images/:v1", "images/"] {
        let error = find_layout(directory.path().join(bad)).expect_err(bad);
        assert_eq!(error.code(), Some(ErrorCode::NameInvalid), "{bad}: {error}");
    }
}

#[test]
fn concurrent_uploads_do_not_conflict() {
    // Only a few, so that the directory is empty at times, and is deleted.
    const WRITERS: usize = 3;
    const UPLOADS: usize = 150;
    let directory = tempfile::tempdir().expect("a directory");
    let options = WriteOptions::default().no_sync(true);
    let path = directory.path().join("image");
    let registry = Registry::shared(path).expect("a registry").with_write_options(options);
    let app = registry.repository(name("app"));
    push(&app, b"makes the layout");
    let all = GarbageOptions::default().keep_younger_than(Duration::ZERO);
    let left = std::sync::atomic::AtomicUsize::new(WRITERS);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (app, left) = (&app, &left);
            scope.spawn(move || {
                // Counts down on failure, too; otherwise the collections below would not end.
                let _done = Done(left);
                for number in 0..UPLOADS {
                    let content = format!("{writer} {number}");
                    let mut upload = app.start_upload().expect("begun");
                    upload.write_all(content.as_bytes()).expect("written");
                    if number % 5 == 0 {
                        upload.cancel().expect("cancelled");
                    } else {
                        let digest = Digest::sha256_of(content.as_bytes());
                        assert_eq!(upload.commit(&digest).expect("committed").size, content.len() as u64);
                    }
                }
            });
        }
        while left.load(std::sync::atomic::Ordering::SeqCst) > 0 {
            app.layout().expect("a layout").collect_garbage(&all).expect("collected");
        }
    });
    app.layout().expect("a layout").collect_garbage(&all).expect("collected");
    assert_eq!(files(&app.path().join("blobs")).len(), 0);
    assert!(!app.path().join(".regshape-uploads").exists());
}

/// Decrements a counter when it is dropped.
struct Done<'a>(&'a std::sync::atomic::AtomicUsize);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn a_blob_is_as_old_as_its_commit() {
    let directory = tempfile::tempdir().expect("a directory");
    let app = app(&directory);
    let mut upload = app.start_upload().expect("begun");
    upload.write_all(b"content").expect("written");
    let file = app.path().join(".regshape-uploads").join(upload.id());
    let file = std::fs::File::options().write(true).open(file).expect("opened");
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(7200)).expect("set");
    let blob = upload.commit(&Digest::sha256_of(b"content")).expect("committed");
    let young = GarbageOptions::default().keep_younger_than(Duration::from_secs(3600));
    let garbage = app.layout().expect("a layout").collect_garbage(&young).expect("collected");
    assert_eq!((garbage.blobs.count, garbage.kept.count), (0, 1));
    assert_eq!(content_of(&app, &blob.digest), b"content");
}

#[test]
fn a_config_is_written_with_standard_platform_names_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let layout = Layout::init(directory.path().join("image")).expect("made");
    let is_word = |error: Error| matches!(error, Error::PlatformWord(_));
    for (architecture, os) in [("x86_64", "linux"), ("aarch64", "linux"), ("amd64", "macos")] {
        let options = ConfigOptions::default().architecture(architecture.to_owned()).os(os.to_owned());
        assert!(is_word(layout.generate_config(&options).expect_err("another word")), "{os}/{architecture}");
    }
    let changes = ConfigChanges::default().architecture("x86_64");
    assert!(is_word(layout.update_config(&changes).expect_err("another word")));
}

/// A thread of work that was abandoned: it is left alone, and must not return.
fn abandoned<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::sync::mpsc::Receiver<T> {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || drop(sender.send(work())));
    receiver
}

fn blocks<T>(work: &std::sync::mpsc::Receiver<T>) -> bool {
    matches!(work.recv_timeout(Duration::from_millis(100)), Err(std::sync::mpsc::RecvTimeoutError::Timeout))
}

#[test]
#[cfg(unix)]
fn interrupting_the_work_on_one_layout_leaves_others_and_gives_back_its_lock() {
    let directory = tempfile::tempdir().expect("a directory");
    let soon = || WriteOptions::default().lock_timeout(Duration::from_secs(60));
    let layouts = ["stopped", "running"].map(|name| {
        let interrupt = Interrupt::default();
        let options = soon().interrupt(interrupt.clone());
        (built(&directory.path().join(name)).with_write_options(options), interrupt)
    });
    let [(stopped, interrupt), (running, _)] = layouts;
    let label = |layout: &Layout, value: &str| {
        layout.update_layer_annotations(0, &AnnotationChange::Merge(annotations([("a", value)])))
    };

    // The work waits for the lock when it is abandoned, and gets it afterwards.
    let marker = std::fs::File::open(stopped.path().join("oci-layout")).expect("opened");
    marker.lock().expect("locked");
    let (sender, waiting) = std::sync::mpsc::channel();
    let sender = Mutex::new(sender);
    let observer = LockObserver::new(move |_| sender.lock().expect("no panic").send(()).expect("received"));
    let work = stopped.clone().with_write_options(soon().interrupt(interrupt.clone()).lock_observer(observer));
    let first = abandoned(move || label(&work, "lost"));
    waiting.recv().expect("it waits for the lock");
    interrupt.abandon();
    drop(marker);

    // In the same process the layout can be locked again, and others always could.
    let other = Layout::open(stopped.path()).expect("a layout").with_write_options(soon());
    assert_eq!(label(&other, "kept").expect("the lock is free").value.annotations, annotations([("a", "kept")]));
    label(&running, "kept").expect("other work goes on");
    // Work that begins later with the abandoned value blocks without the lock, and so does making a layout.
    let path = directory.path().join("new");
    std::fs::create_dir(&path).expect("made");
    let options = soon().interrupt(interrupt.clone());
    let (target, work) = (path.clone(), stopped.clone());
    let later =
        [abandoned(move || drop(label(&work, "lost"))), abandoned(move || drop(Layout::init_with(target, &options)))];
    assert!(blocks(&first) && later.iter().all(blocks));
    label(&other, "again").expect("the lock is free");
    let new = Layout::init_with(&path, &soon()).expect("the directory is free");
    assert!(new.validate(&ValidateOptions::default()).expect("validated").is_valid());
    assert!(blocks(&first) && later.iter().all(blocks));
    assert_eq!(other.read_stage().expect("a stage").layers[0].annotations, annotations([("a", "again")]));
    is_valid(stopped.path());
    is_valid(running.path());
}

#[test]
#[cfg(unix)]
fn an_upload_whose_work_was_abandoned_can_be_resumed_by_other_work() {
    let directory = tempfile::tempdir().expect("a directory");
    let interrupt = Interrupt::default();
    let path = directory.path().join("layout");
    let options = WriteOptions::default().interrupt(interrupt.clone());
    let registry = Registry::shared(&path).expect("a registry").with_write_options(options);
    let mut upload = registry.repository(name("app")).start_upload().expect("begun");
    upload.write_all(b"one, ").expect("written");
    let id = upload.id().to_owned();
    interrupt.abandon();
    // The thread has the upload still.
    let work = abandoned(move || upload.write_all(b"three"));
    assert!(blocks(&work));
    let options = WriteOptions::default().lock_timeout(Duration::ZERO);
    let app = Registry::shared(&path).expect("a registry").with_write_options(options).repository(name("app"));
    let mut resumed = app.resume_upload(&id, Some(5)).expect("it is not locked");
    resumed.write_all(b"two").expect("written");
    let blob = resumed.commit(&Digest::sha256_of(b"one, two")).expect("committed");
    assert_eq!(content_of(&app, &blob.digest), b"one, two");
    assert!(blocks(&work));
}

#[test]
fn reading_an_archive_ends_before_it_needs_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let spill = directory.path().to_owned();
    let load = |interrupt: &Interrupt| {
        let (interrupt, spill) = (interrupt.clone(), spill.clone());
        abandoned(move || {
            let options = LoadOptions::default().memory_threshold(0).spill_directory(spill).interrupt(interrupt);
            View::from_reader("a.tar", std::io::Cursor::new(tar_of("file", &[1; 4 << 20])), &options).is_err()
        })
    };
    let [stopped, running] = [Interrupt::default(), Interrupt::default()];
    stopped.abandon();
    assert!(blocks(&load(&stopped)));
    // The archive is refused once it was read: it holds no images.
    assert_eq!(load(&running).recv(), Ok(true));
    assert_eq!(std::fs::read_dir(directory.path()).expect("read").count(), 0);
}
