//! The library as the guide's "Using the library" uses it, and its errors as values.

use std::io::Write;
use std::path::Path;
#[cfg(unix)]
use std::sync::{Arc, Mutex};
#[cfg(unix)]
use std::time::Duration;

use regshape::compress::{Bounds, CompressFormat, Encoding};
use regshape::layout::{
    ConfigChanges, ConfigOptions, Error, LayerInput, LayerOptions, Layout, ManifestOptions, NodeState, Treatment,
    ValidateOptions,
};
#[cfg(unix)]
use regshape::layout::{LockEvent, LockObserver, WriteOptions};
use regshape::oci::{Annotations, Digest, LayerEncoding, MediaType};

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
    layout.stage_layer(input(&tar_of("file", b"content")), LayerOptions::default()).expect("staged");
    layout.generate_config(ConfigOptions::default()).expect("generated");
    let options = ManifestOptions { ref_name: Some("latest".parse().expect("a name")), ..ManifestOptions::default() };
    layout.generate_manifest(options).expect("generated");
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
            LayerOptions { media_type: Some(MediaType::layer(LayerEncoding::Gzip)), ..LayerOptions::default() },
        )
        .expect("staged");
    assert_eq!(layer.digest, Digest::sha256_of(&gzip(&tar)));
    assert_eq!(layer.diff_id, Some(Digest::sha256_of(&tar)));
    let config = layout
        .generate_config(ConfigOptions {
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            ..ConfigOptions::default()
        })
        .expect("generated");
    let options = ManifestOptions { ref_name: Some("latest".parse().expect("a name")), ..ManifestOptions::default() };
    let manifest = layout.generate_manifest(options.clone()).expect("generated");
    assert!(layout.validate(ValidateOptions::default()).expect("checked").is_valid());

    let stage = layout.read_stage().expect("a staging file");
    assert_eq!(
        (stage.layers, stage.config.as_ref(), stage.manifest.as_ref()),
        (vec![layer], Some(&config), Some(&manifest))
    );

    let updated =
        layout.update_layer_annotations(0, annotations([("com.example.role", "base")]), false).expect("updated");
    assert!(updated.outdates_manifest);
    let changes = ConfigChanges { architecture: Some("arm64".to_owned()), ..ConfigChanges::default() };
    let updated = layout.update_config(changes.clone()).expect("updated");
    assert!(updated.outdates_manifest && updated.value.digest != config.digest);
    assert!(!layout.update_config(changes).expect("updated").outdates_manifest);
    layout.generate_manifest(options).expect("generated");
    let version = annotations([("org.opencontainers.image.version", "1.0.0")]);
    let annotated = layout.update_manifest_annotations(version.clone(), false).expect("updated");
    assert_eq!(annotated.annotations, version);

    let index = Layout::open(&path).expect("a layout").read_index().expect("an index");
    assert_eq!(index.manifests.len(), 1);
    assert_eq!((&index.manifests[0].digest, index.manifests[0].ref_name()), (&annotated.digest, Some("latest")));
    let platform = index.manifests[0].platform.as_ref().expect("a platform");
    assert_eq!(platform.architecture.as_deref(), Some("arm64"));
    let report = layout.validate(ValidateOptions::default()).expect("checked");
    assert_eq!((report.errors, report.warnings, report.checked.blobs), (vec![], vec![], 3));
}

#[test]
fn what_will_become_of_a_layer_is_known_before_it_is_stored() {
    let tar = tar_of("file", b"content");
    let plan = input(&tar).plan(CompressFormat::Zstd.into(), None).expect("a plan");
    assert_eq!(plan.treatment, Treatment::Compress(CompressFormat::Zstd.into()));
    assert_eq!((plan.media_type, plan.is_doubtful), (MediaType::layer(LayerEncoding::Zstd), false));
    let plan = input(&gzip(&tar)).plan(CompressFormat::Zstd.into(), None).expect("a plan");
    assert_eq!((plan.treatment, plan.media_type), (Treatment::AsIs, MediaType::layer(LayerEncoding::Gzip)));
    let plan =
        input(b"text").plan(CompressFormat::Gzip.into(), Some(&MediaType::layer(LayerEncoding::Gzip))).expect("a plan");
    assert!(plan.is_doubtful);
}

#[test]
fn progress_tells_of_every_byte_that_is_read() {
    use std::sync::atomic::{AtomicU64, Ordering};

    let directory = tempfile::tempdir().expect("a directory");
    let layout = Layout::init(directory.path()).expect("a new layout");
    let content = tar_of("file", &vec![7; 1 << 20]);
    let read = AtomicU64::new(0);
    let progress = |bytes| {
        read.fetch_add(bytes, Ordering::Relaxed);
    };
    layout
        .stage_layer(input(&content), LayerOptions { progress: Some(&progress), ..LayerOptions::default() })
        .expect("staged");
    assert_eq!(read.into_inner(), content.len() as u64);
}

#[test]
fn errors_are_values_that_can_be_matched() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("my-image");
    assert!(matches!(Layout::open(&path), Err(Error::NotALayout { path: at }) if at == path));
    let layout = Layout::init(&path).expect("a new layout");
    assert!(matches!(Layout::init(&path), Err(Error::AlreadyLayout { path: at }) if at == path));
    assert!(matches!(layout.check_generate_config(), Err(Error::NoLayers)));
    assert!(matches!(layout.generate_config(ConfigOptions::default()), Err(Error::NoLayers)));
    assert!(matches!(layout.generate_manifest(ManifestOptions::default()), Err(Error::NoLayers)));
    assert!(matches!(layout.update_config(ConfigChanges::default()), Err(Error::NoConfig)));
    assert!(matches!(layout.update_manifest_annotations(Annotations::new(), false), Err(Error::NoManifest)));
    assert!(matches!(
        layout.update_layer_annotations(3, Annotations::new(), false),
        Err(Error::LayerIndex { index: 3, count: 0 })
    ));
    assert!(matches!(LayerInput::open(path.join("missing")), Err(Error::FileNotFound { .. })));
    assert!(matches!(LayerInput::open(&path), Err(Error::IsDirectory { .. })));
    assert!(matches!(LayerInput::from_reader("x", std::io::empty()), Err(Error::EmptyFile { .. })));

    let stage = |content: &[u8], media_type| {
        layout.stage_layer(input(content), LayerOptions { media_type, ..LayerOptions::default() })
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
    assert!(matches!(layout.generate_manifest(ManifestOptions::default()), Err(Error::NoConfig)));
    layout.generate_config(ConfigOptions::default()).expect("generated");
    stage(&tar, None).expect("staged");
    assert!(matches!(layout.check_generate_manifest(), Err(Error::ConfigMismatch)));
    assert!(matches!(layout.generate_manifest(ManifestOptions::default()), Err(Error::ConfigMismatch)));
}

#[test]
fn damage_is_told_apart() {
    let directory = tempfile::tempdir().expect("a directory");
    let layout = built(&directory.path().join("my-image"));
    let config = layout.read_stage().expect("a staging file").config.expect("a config").digest;
    let blob = layout.path().join("blobs/sha256").join(config.encoded());
    std::fs::write(&blob, "{}").expect("written");
    let error = layout.update_config(ConfigChanges::default()).expect_err("damaged");
    let Error::DigestMismatch { digest, actual } = error else { panic!("{error:?}") };
    assert_eq!((digest, actual), (config.clone(), Digest::sha256_of(b"{}")));
    std::fs::remove_file(blob).expect("removed");
    let error = layout.check_generate_manifest().expect_err("missing");
    assert!(matches!(&error, Error::MissingBlob { digest, .. } if *digest == config), "{error:?}");
    let report = layout.validate(ValidateOptions::default()).expect("checked");
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
    layout.stage_layer(input(&tar_of("zeros", &[0; 1 << 20])), LayerOptions::default()).expect("staged");
    layout.generate_config(ConfigOptions::default()).expect("a config");
    let manifest = layout.generate_manifest(ManifestOptions::default()).expect("a manifest").digest;
    let deep = |ratio_after| {
        let bounds = Bounds { max_ratio: 100, ratio_after, ..Bounds::default() };
        ValidateOptions { deep: true, bounds, ..ValidateOptions::default() }
    };
    assert!(layout.validate(deep(8 << 30)).expect("checked").is_valid());
    let report = layout.validate(deep(1 << 19)).expect("checked");
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
                layout.stage_layer(input(&content), LayerOptions::default()).expect("staged");
            });
        }
    });
    assert_eq!(layout.read_stage().expect("a staging file").layers.len(), 20);
}

#[test]
fn no_document_is_written_that_would_not_be_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let layout = Layout::init(directory.path().join("image")).expect("made");
    let layer = LayerInput::from_reader("layer.tar", std::io::Cursor::new(vec![0; 1024])).expect("a tar");
    layout.stage_layer(layer, LayerOptions::default()).expect("staged");
    layout.generate_config(ConfigOptions::default()).expect("generated");
    layout.generate_manifest(ManifestOptions::default()).expect("generated");
    let before = layout.read_index().expect("readable");
    let large = Annotations::from([("large".to_owned(), "x".repeat(8 << 20))]);
    let error = layout.update_manifest_annotations(large.clone(), false).expect_err("too large");
    assert_eq!(error.to_string(), "the manifest is larger than 8388608 bytes");
    let options = ConfigOptions { labels: large, ..ConfigOptions::default() };
    let error = layout.generate_config(options).expect_err("too large");
    assert_eq!(error.to_string(), "the config is larger than 8388608 bytes");
    assert_eq!(layout.read_index().expect("readable"), before);
    assert!(layout.validate(ValidateOptions::default()).expect("validated").is_valid());
}

#[test]
#[cfg(unix)]
fn a_writer_waits_as_long_as_its_options_say_and_tells_who_asked_to_be_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("image");
    let layout = built(&path);
    let marker = std::fs::File::open(path.join("oci-layout")).expect("opened");
    marker.lock().expect("locked");
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let waited = Duration::from_millis(1100);
    let impatient = layout.clone().with_write_options(WriteOptions {
        lock_timeout: Some(waited),
        lock_observer: Some(LockObserver::new(move |event| seen.lock().expect("no panic").push(event))),
        ..WriteOptions::default()
    });
    let error = impatient.update_layer_annotations(0, annotations([("a", "1")]), false).expect_err("it is locked");
    assert!(matches!(&error, Error::Locked { path: found, waited: time } if *found == path && *time == waited));
    assert_eq!(*events.lock().expect("no panic"), [LockEvent::Waiting]);
    // Who gave up does not have the lock later.
    drop(marker);
    let patient = layout.update_layer_annotations(0, annotations([("a", "2")]), false).expect("it is free");
    assert_eq!(patient.value.annotations, annotations([("a", "2")]));
}

#[test]
fn a_tree_is_made_of_documents_alone_and_each_is_read_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("my-image");
    let layout = built(&path);
    // Three entries of one manifest, and a layer of the right size that is another.
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
    assert_eq!(tree.unreferenced.map(|unreferenced| unreferenced.blobs), Some(0));
}
