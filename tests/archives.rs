//! Archives: reading those of other programs, and rejecting unsafe or malformed ones.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use regshape::Error;
use regshape::compress::Bounds;
use regshape::oci::{Digest, to_blob};
use regshape::transfer::LoadOptions;
use regshape::view::View;
use serde_json::{Value, json};

const MARKER: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/archives").join(name)
}

fn load(tar: &[u8]) -> Result<View, Error> {
    View::from_reader("test.tar", tar, &LoadOptions::default())
}

#[track_caller]
fn refusal(tar: &[u8]) -> String {
    load(tar).expect_err("refused").report()
}

/// Returns a header and content; the name is written unchanged.
fn raw(name: &[u8], kind: u8, size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    let mut entry = header.as_bytes().to_vec();
    entry.extend(content);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

fn file(name: &str, content: impl AsRef<[u8]>) -> Vec<u8> {
    raw(name.as_bytes(), b'0', content.as_ref().len() as u64, content.as_ref())
}

fn link(name: &str, kind: u8, target: &str) -> Vec<u8> {
    let mut entry = raw(name.as_bytes(), kind, 0, b"");
    entry[157..157 + target.len()].copy_from_slice(target.as_bytes());
    let mut header = tar::Header::from_byte_slice(&entry).clone();
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Returns a pax extended header with a record for each pair.
fn pax(kind: u8, records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut content = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (1..).find(|length| rest + length.to_string().len() == *length).expect("a length");
        write!(content, "{length} {key}=").expect("written");
        content.extend(*value);
        content.push(b'\n');
    }
    raw(b"pax", kind, content.len() as u64, &content)
}

/// Returns a tar of some entries.
fn tar_of(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": Digest::sha256_of(content), "size": content.len()})
}

fn blob(content: &[u8]) -> Vec<u8> {
    file(&format!("blobs/sha256/{}", Digest::sha256_of(content).encoded()), content)
}

fn config(architecture: &str, layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| Digest::sha256_of(layer)).collect();
    to_blob(&json!({"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}))
}

/// Returns the manifest of an image with one layer, and the entries of its blobs.
fn image(architecture: &str, layer: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let config = config(architecture, &[layer]);
    let manifest = to_blob(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": [descriptor(TAR, layer)],
        "annotations": {"of": architecture},
    }));
    let blobs = vec![blob(&config), blob(layer), blob(&manifest)];
    (manifest, blobs)
}

fn index_of(entries: &[Value]) -> Vec<u8> {
    to_blob(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}))
}

/// Returns the entries of a layout with an image named `v1`.
fn layout_of(layer: &[u8]) -> Vec<Vec<u8>> {
    let (manifest, mut entries) = image("amd64", layer);
    let mut listed = descriptor(MANIFEST, &manifest);
    listed["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    entries.push(file("index.json", index_of(&[listed])));
    entries.push(file("oci-layout", MARKER));
    entries
}

/// Returns an archive as old versions of `docker save` write it, with other entries first.
fn docker_of(others: &[Vec<u8>], layer: &str, diff_id_of: &[u8]) -> Vec<u8> {
    let config = config("amd64", &[diff_id_of]);
    let listed = json!([{"Config": "config.json", "RepoTags": ["a:b"], "Layers": [layer]}]);
    tar_of(&[others.concat(), file("config.json", config), file("manifest.json", listed.to_string())])
}

/// The index; for each image the digest and bytes of its manifest, its config, its layers.
type Contents = (Value, Vec<(String, Vec<u8>, Vec<u8>, Vec<Vec<u8>>)>);

/// Returns all content of a view: the index, and for every image the documents and the content of its layers.
fn contents(view: &View) -> Contents {
    let images = view.images().expect("images").into_iter().map(|image| {
        let layers = image.layers.iter().map(|layer| {
            let mut content = Vec::new();
            layer.reader().expect("a layer").read_to_end(&mut content).expect("sound");
            content
        });
        let layers = layers.collect();
        (image.manifest_digest.to_string(), image.manifest.to_vec(), image.config.to_vec(), layers)
    });
    (serde_json::to_value(view.index()).expect("an index"), images.collect())
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).collect()
}

/// Returns the content of an archive: a line for the archive and a line for each image.
fn summary(archive: &View) -> Vec<String> {
    let view = archive;
    let names: Vec<_> = view.index().manifests.iter().map(|entry| entry.ref_name().unwrap_or("-")).collect();
    let mut lines = vec![format!("{} {}", archive.tag().unwrap_or("-"), names.join(","))];
    for image in archive.images().expect("images") {
        let platform = image.platform.map_or("-".to_owned(), |platform| platform.to_string());
        let config = &image.config_digest.encoded()[..12];
        assert_eq!(Digest::sha256_of(&image.manifest), image.manifest_digest);
        assert_eq!(Digest::sha256_of(&image.config), image.config_digest);
        let layers = image.layers.iter().map(|layer| {
            io::copy(&mut layer.reader().expect("a layer"), &mut io::sink()).expect("sound");
            let descriptor = layer.descriptor();
            let kind = descriptor.media_type.as_str().rsplit('.').next().unwrap_or_default().to_owned();
            format!(" {kind} {} {}", &descriptor.digest.encoded()[..12], descriptor.size)
        });
        lines.push(format!("{platform} {config}{}", layers.collect::<String>()));
    }
    let images = lines.len() - 1;
    assert_eq!(archive.is_multi_platform().expect("readable"), images > 1);
    lines
}

#[test]
fn archives_of_other_projects_have_the_expected_images() {
    let images: &[(&str, &[&str])] = &[
        (
            "libimage-docker-two-images.tar.xz",
            &[
                "example.com/empty:latest example.com/empty:latest,example.com/empty/but:different",
                "linux/amd64 ec9293436c2e tar dcbaa840b888 1536",
                "linux/amd64 5a7ef13e1893 tar dcbaa840b888 1536",
            ],
        ),
        (
            "libimage-docker-two-names.tar.xz",
            &[
                "pretty-empty:latest pretty-empty:latest,example.com/empty:latest",
                "linux/amd64 ec9293436c2e tar dcbaa840b888 1536",
            ],
        ),
        (
            "libimage-oci-name-only.tar.gz",
            &["pretty-empty:latest pretty-empty:latest", "linux/amd64 5c8aca8137ac tar+gzip fc8db9c568fe 90"],
        ),
        (
            "containers-image-almostempty.tar",
            &["emptyimage:latest emptyimage:latest", "linux/amd64 9d7f147c0d0c tar 0b916d257bd4 1536"],
        ),
        // The index lists nine images, but only one is stored.
        (
            "oras-go-hello-world-prefixed-path.tar",
            &["latest latest", "linux/amd64 feb5d9fea6a5 gzip 2db29710123e 2479"],
        ),
        (
            "stereoscope-valid-oci.tar",
            &["sample:latest sample:latest", "linux/amd64 61ee19e869a5 tar+gzip 00ffd085e9e7 120"],
        ),
        (
            "ggcr-test_image_1.tar",
            &[
                "bazel/v1/tarball:test_image_1 bazel/v1/tarball:test_image_1",
                "linux/amd64 6e0b05049ed9 tar 8897395fd26d 10240",
            ],
        ),
        (
            "ggcr-test_bundle.tar",
            &[
                "test_image_2 test_image_2,test_image_1",
                "linux/amd64 930705ce23e3 tar 3610aa5267a2 10240",
                "linux/amd64 6e0b05049ed9 tar 8897395fd26d 10240",
            ],
        ),
        // index.json has no entries, manifest.json has an image without a name.
        ("ggcr-hello-world-v25.tar", &["- -", "linux/arm64 ee301c921b8a tar 12660636fe55 10752"]),
        (
            "ggcr-test_load_manifest.tar",
            &[
                "bazel/v1/tarball:test_image_1 bazel/v1/tarball:test_image_1",
                "linux/amd64 6e0b05049ed9 tar 8897395fd26d 10240",
            ],
        ),
        (
            "ggcr-mutate-overwritten_file.tar",
            &[
                "bazel/pkg/v1/mutate:overwritten_file bazel/pkg/v1/mutate:overwritten_file",
                "linux/amd64 68f6eb746cdb tar 48ebc8f0e90e 10240 tar 6f23bf1fbcc9 10240 tar 84ff92691f90 10240",
            ],
        ),
        (
            "ggcr-mutate-whiteout_dir.tar",
            &[
                "localhost:5000/whiteout:latest localhost:5000/whiteout:latest",
                "linux/amd64 92f1e3d53acd tar+gzip e351ee8e5cab 129 tar+gzip 66386e0afc5a 128 \
                 tar+gzip 9d8bff046c70 95 tar+gzip a09a7f2d8191 129",
            ],
        ),
    ];
    for (name, expected) in images {
        let archive = View::load(corpus(name), &LoadOptions::default()).expect(name);
        assert_eq!(summary(&archive), *expected, "{name}");
    }
    let neither = "it has neither oci-layout nor manifest.json";
    let refused = [
        ("ggcr-null_manifest.tar", "manifest.json is null, not a list of images"),
        // The storage of a registry on disk.
        ("oras-distribution-artifacts.tar.gz", neither),
        ("oras-distribution-artifacts_index.tar.gz", neither),
    ];
    for (name, reason) in refused {
        let path = corpus(name);
        let error = View::load(&path, &LoadOptions::default()).expect_err(name);
        assert_eq!(error.to_string(), format!("{} is not an image archive: {reason}", path.display()));
    }
    let table = fs::read_to_string(corpus("manifest.tsv")).expect("a table");
    assert_eq!(table.lines().skip(1).count(), images.len() + refused.len());
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(content).expect("compressed");
    encoder.finish().expect("compressed")
}

#[test]
fn an_archive_has_the_same_content_with_any_compression_in_memory_or_on_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let spill = directory.path().join("spill");
    fs::create_dir(&spill).expect("a directory");
    let xz = fs::read(corpus("libimage-docker-two-images.tar.xz")).expect("an archive");
    let mut plain = Vec::new();
    lzma_rust2::XzReader::new(xz.as_slice(), true).read_to_end(&mut plain).expect("sound");
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    bzip2.write_all(&plain).expect("compressed");
    let forms = [
        ("gzip", gzip(&plain)),
        ("zstd", zstd::encode_all(plain.as_slice(), 3).expect("compressed")),
        ("bzip2", bzip2.finish().expect("compressed")),
        ("xz", xz),
        ("plain", plain),
    ];
    let expected = contents(&load(&forms[4].1).expect("an archive"));
    assert_eq!(expected.1.len(), 2);
    for (name, form) in &forms {
        let path = directory.path().join(name);
        fs::write(&path, form).expect("written");
        for memory_threshold in [0, 1, 10_000, 1 << 20] {
            let options = LoadOptions::default().memory_threshold(memory_threshold).spill_directory(spill.clone());
            let loaded = View::load(&path, &options).expect(name);
            // The temporary file has no name by which another user could open it.
            assert_eq!(names(&spill), [""; 0], "{name} {memory_threshold}");
            assert_eq!(contents(&loaded), expected, "{name} {memory_threshold}");
            let view = loaded.filter(|_| true);
            drop(loaded);
            assert_eq!(contents(&view), expected, "{name} {memory_threshold}");
            drop(view);
            let streamed = View::from_reader(name, form.as_slice(), &options).expect(name);
            assert_eq!(names(&spill), [""; 0], "{name} {memory_threshold}");
            assert_eq!(contents(&streamed), expected, "{name} {memory_threshold}");
            drop(streamed);
            assert_eq!(names(&spill), [""; 0]);
        }
    }
    let missing = LoadOptions::default().memory_threshold(0).spill_directory(spill.join("no"));
    let error = View::from_reader("name", forms[0].1.as_slice(), &missing).expect_err("no directory");
    assert!(error.report().starts_with(&format!("failed to write to {}: ", spill.join("no").display())), "{error}");
}

#[test]
fn truncated_and_oversized_streams_are_errors_and_leave_no_files() {
    /// A reader that fails after some bytes.
    struct Breaking<'a>(&'a [u8]);

    impl Read for Breaking<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("the line is dead")),
                read => Ok(read),
            }
        }
    }

    let spill = tempfile::tempdir().expect("a directory");
    // Incompressible content, so that the first bytes read are not the whole input.
    let mut state = 1u64;
    let noise: Vec<u8> = (0..6_000_000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    let tar = tar_of(&layout_of(&noise));
    let gzip = gzip(&tar);
    let zeros = zstd::encode_all(tar_of(&layout_of(&vec![0; 8 << 20])).as_slice(), 3).expect("compressed");
    let mut flipped = gzip.clone();
    let at = flipped.len() - 6;
    flipped[at] ^= 1;
    let sound = Bounds::default();
    let cases: [(&str, Box<dyn Read>, Bounds, &str); 9] = [
        ("half", Box::new(&gzip[..5_000_000]), sound, "name is not a sound gzip stream: "),
        ("all but one", Box::new(&gzip[..gzip.len() - 1]), sound, "name is not a sound gzip stream: "),
        ("flipped", Box::new(flipped.as_slice()), sound, "name is not a sound gzip stream: "),
        ("garbage after it", Box::new(gzip.chain(&b"garbage"[..])), sound, "name is not a sound gzip stream: "),
        ("broken gzip", Box::new(Breaking(&gzip[..5_000_000])), sound, "failed to read name: the line is dead"),
        ("broken tar", Box::new(Breaking(&tar[..5_000_000])), sound, "failed to read name: the line is dead"),
        (
            "truncated tar",
            Box::new(&tar[..5_000_000]),
            sound,
            "name is not an image archive: it is truncated: it ends within 'blobs/sha256/",
        ),
        ("large", Box::new(zeros.as_slice()), sound.max_size(1 << 20), "name decompresses to more than 1048576 bytes"),
        (
            "bomb",
            Box::new(zeros.as_slice()),
            sound.ratio_after(1 << 20),
            "name decompresses to more than 200 times its size",
        ),
    ];
    for (what, reader, bounds, expected) in cases {
        let spill_directory = spill.path().to_owned();
        let options = LoadOptions::default().memory_threshold(1).bounds(bounds).spill_directory(spill_directory);
        let error = View::from_reader("name", reader, &options).expect_err(what).report();
        assert!(error.starts_with(expected), "{what}: {error}");
        assert_eq!(names(spill.path()), [""; 0], "{what}");
    }
}

#[test]
fn progress_counts_the_bytes_of_the_input() {
    let gzip = gzip(&tar_of(&layout_of(&vec![7; 3_000_000])));
    let read = std::sync::atomic::AtomicU64::new(0);
    let count = |bytes| {
        read.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
    };
    let options = LoadOptions::default().progress(&count);
    View::from_reader("name", gzip.as_slice(), &options).expect("an archive");
    assert_eq!(read.swap(0, std::sync::atomic::Ordering::Relaxed), gzip.len() as u64);
    // The layers of Docker archives are read to compute their digests, each once.
    let layer = vec![7; 3_000_000];
    let others = [file("b", &layer), link("a/layer.tar", b'2', "../b")];
    let tar = docker_of(&others, "a/layer.tar", &layer);
    View::from_reader("name", tar.as_slice(), &options).expect("an archive");
    assert_eq!(read.load(std::sync::atomic::Ordering::Relaxed), tar.len() as u64 + 3_000_000);
}

#[test]
fn a_path_that_is_not_a_file_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let missing = directory.path().join("missing");
    let load = |path: &Path| View::load(path, &LoadOptions::default()).expect_err("refused").report();
    assert_eq!(load(&missing), format!("File not found: {}", missing.display()));
    assert_eq!(
        load(directory.path()),
        format!("{} is not an OCI Image Layout (missing oci-layout file)", directory.path().display())
    );
    let path = directory.path().join("file");
    for (content, expected) in [
        (&b""[..], "is empty"),
        (b"text", "is not an image archive: it is not a tar"),
        (&gzip(b"text"), "is not an image archive: what is compressed with gzip in it is not a tar"),
        (&[0x1f, 0x8b], "is not a sound gzip stream: "),
        (&[0; 1024], "is not an image archive: it has neither oci-layout nor manifest.json"),
    ] {
        fs::write(&path, content).expect("written");
        let (loaded, expected) = (load(&path), format!("{} {expected}", path.display()));
        assert!(loaded.starts_with(&expected), "{loaded}");
    }
}

#[cfg(unix)]
#[test]
fn links_to_archives_and_pipes_are_read() {
    let directory = tempfile::tempdir().expect("a directory");
    let (target, link, pipe) =
        (directory.path().join("target"), directory.path().join("link"), directory.path().join("pipe"));
    let tar = tar_of(&layout_of(b"layer"));
    fs::write(&target, &tar).expect("written");
    std::os::unix::fs::symlink(&target, &link).expect("linked");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let expected = contents(&load(&tar).expect("an archive"));
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, tar).expect("written")
    });
    for path in [link, pipe] {
        let archive = View::load(&path, &LoadOptions::default()).expect("an archive");
        assert_eq!(contents(&archive), expected);
    }
    writer.join().expect("written");
}

/// The archive is a sparse file that consists almost entirely of holes.
#[cfg(target_os = "linux")]
#[test]
fn a_large_plain_archive_is_read_in_place() {
    use std::io::{Seek, SeekFrom};

    const SIZE: u64 = 20 << 30;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("large.tar");
    let mut archive = fs::File::create(&path).expect("a file");
    let write = |archive: &mut fs::File, bytes: Vec<u8>| archive.write_all(&bytes).expect("written");
    let large = format!("blobs/sha256/{}", "0".repeat(64));
    write(&mut archive, raw(large.as_bytes(), b'0', SIZE, b""));
    archive.seek(SeekFrom::Current(SIZE as i64)).expect("a hole");
    // A size too large for an octal number is in an extended header.
    write(&mut archive, pax(b'x', &[("size", SIZE.to_string().as_bytes())]));
    write(&mut archive, raw(b"other", b'0', 0, b""));
    archive.seek(SeekFrom::Current(SIZE as i64)).expect("a hole");
    write(&mut archive, tar_of(&layout_of(b"layer")));
    let spill_directory = directory.path().join("none");
    let options = LoadOptions::default().memory_threshold(0).spill_directory(spill_directory);
    let archive = View::load(&path, &options).expect("an archive");
    assert_eq!(archive.images().expect("images").len(), 1);
    let digest = format!("sha256:{}", "0".repeat(64)).parse().expect("a digest");
    assert_eq!(archive.content(&digest).expect("readable").expect("it is there").size(), SIZE);
}

#[test]
fn unsafe_entries_are_rejected_at_any_position() {
    let long = "n".repeat(4097);
    let dots = format!("{}/../a", "d".repeat(150));
    let cases: Vec<(Vec<u8>, String)> = vec![
        (file("../a", "x"), "'../a' has '..' in its name".into()),
        (file("a/../../b", "x"), "'a/../../b' has '..' in its name".into()),
        (raw(b"..", b'5', 0, b""), "'..' has '..' in its name".into()),
        (file("/etc/passwd", "x"), "'/etc/passwd' has an absolute name".into()),
        (file("C:/a", "x"), "'C:/a' has an absolute name".into()),
        (file("C:\\a", "x"), "'C:\\\\a' has an absolute name".into()),
        (file("..\\a", "x"), "'..\\\\a' has a backslash in its name".into()),
        (link("a", b'2', "/oci-layout"), "'a' is a symbolic link to '/oci-layout', which is not in the archive".into()),
        (link("a", b'1', "../x"), "'a' is a hard link to '../x', which is not in the archive".into()),
        (raw(b"a", b'3', 0, b""), "'a' is a character device".into()),
        (raw(b"a", b'4', 0, b""), "'a' is a block device".into()),
        (raw(b"a", b'6', 0, b""), "'a' is a FIFO".into()),
        (raw(b"a", b'S', 0, b""), "'a' is a sparse file".into()),
        (raw(b"a", b'V', 0, b""), "'a' is of an unknown type".into()),
        ([pax(b'x', &[("GNU.sparse.major", b"1")]), file("a", "x")].concat(), "'a' is a sparse file".into()),
        ([pax(b'x', &[("path", b"../a")]), file("a", "x")].concat(), "'../a' has '..' in its name".into()),
        ([pax(b'x', &[("path", b"a\0b")]), file("a", "x")].concat(), "'a\\0b' has a NUL byte in its name".into()),
        ([pax(b'x', &[("path", b"a\n/../b")]), file("a", "x")].concat(), "'a\\n/../b' has '..' in its name".into()),
        (
            [raw(b"@", b'L', dots.len() as u64, dots.as_bytes()), file("a", "x")].concat(),
            format!("'{dots}' has '..' in its name"),
        ),
        ([raw(b"@", b'L', 5, b"a\0b\0\0"), file("a", "x")].concat(), "'a\\0b' has a NUL byte in its name".into()),
        (
            [pax(b'x', &[("path", long.as_bytes())]), file("a", "x")].concat(),
            format!("'{}…' has a name of more than 4096 bytes", &long[..200]),
        ),
        (file(".", "x"), "'.' has no name".into()),
        (file("a\x1b[1m/..", "x"), "'a\\u{1b}[1m/..' has '..' in its name".into()),
    ];
    for (bad, expected) in cases {
        let good = layout_of(b"layer").concat();
        let expected = format!("test.tar: entry {expected}");
        assert_eq!(refusal(&tar_of(&[bad.clone(), good.clone()])), expected);
        assert_eq!(refusal(&tar_of(&[good, bad])), expected);
    }
}

#[test]
fn unusual_but_safe_entries_are_accepted() {
    let plain = tar_of(&layout_of(b"layer"));
    let expected = contents(&load(&plain).expect("an archive"));
    let name = format!("blobs/sha256/{}", Digest::sha256_of(b"layer").encoded());
    let without_layer = || -> Vec<u8> {
        layout_of(b"layer").into_iter().filter(|entry| !entry.starts_with(name.as_bytes())).collect::<Vec<_>>().concat()
    };
    let prefixed: Vec<Vec<u8>> = layout_of(b"layer")
        .into_iter()
        .map(|entry| {
            let header = tar::Header::from_byte_slice(&entry[..512]);
            let path = header.path().expect("a name").display().to_string();
            raw(format!("./{path}").as_bytes(), b'0', header.size().expect("a size"), &entry[512..])
        })
        .collect();
    let wide = {
        let mut entry = file(&name, "layer");
        entry[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\0\0\0\x05");
        let mut header = tar::Header::from_byte_slice(&entry[..512]).clone();
        header.set_cksum();
        entry[..512].copy_from_slice(header.as_bytes());
        entry
    };
    let long = format!("{}\0", name);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a prefix", tar_of(&prefixed)),
        ("no end", layout_of(b"layer").concat()),
        ("one block of zeros", [layout_of(b"layer").concat(), vec![0; 512]].concat()),
        ("data after the end", [plain.clone(), b"garbage".to_vec()].concat()),
        ("directories", tar_of(&[raw(b"./", b'5', 0, b""), raw(b"blobs/", b'5', 4096, b""), plain.clone()])),
        ("an old directory", tar_of(&[raw(b"blobs/", 0, 0, b""), plain.clone()])),
        ("old files", tar_of(&[without_layer(), raw(name.as_bytes(), 0, 5, b"layer")])),
        ("other files", tar_of(&[file("README", "text"), file("blobs/sha256/short", "x"), plain.clone()])),
        ("names that are not UTF-8", tar_of(&[raw(b"\xff\xfe", b'0', 1, b"x"), plain.clone()])),
        ("the last wins", tar_of(&[file(&name, "wrong"), plain.clone()])),
        ("a global header", tar_of(&[pax(b'g', &[("path", b"../a"), ("size", b"7")]), plain.clone()])),
        ("a size in base 256", tar_of(&[without_layer(), wide])),
        (
            "a size of pax",
            tar_of(&[without_layer(), pax(b'x', &[("size", b"5")]), {
                let mut entry = raw(name.as_bytes(), b'0', 0, b"");
                entry.extend(b"layer");
                entry.resize(1024, 0);
                entry
            }]),
        ),
        (
            "a name of pax",
            tar_of(&[
                without_layer(),
                pax(b'x', &[("comment", b"a\nb"), ("path", name.as_bytes())]),
                file("short", "layer"),
            ]),
        ),
        (
            "a long name of GNU",
            tar_of(&[
                without_layer(),
                raw(b"././@LongLink", b'L', long.len() as u64, long.as_bytes()),
                file("short", "layer"),
            ]),
        ),
    ];
    for (what, tar) in cases {
        let archive = load(&tar).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(contents(&archive), expected, "{what}");
    }
}

#[test]
fn incomplete_tars_are_rejected() {
    let first = file("file", [1; 600]);
    let mut flipped = first.clone();
    flipped[1] ^= 1;
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (first[..700].to_vec(), "it is truncated: it ends within 'file'"),
        ([first.clone(), first[..100].to_vec()].concat(), "it is truncated: it ends within a header, after 'file'"),
        ([first.clone(), flipped].concat(), "the checksum of the header after 'file' is wrong"),
        (
            [first.clone(), vec![0; 512], first.clone()].concat(),
            "a block of zeros stands between its entries, after 'file'",
        ),
        ([first.clone(), raw(b"x", b'x', 700, b"")].concat(), "it is truncated: it ends within an extended header"),
        (
            tar_of(&[first.clone(), raw(b"x", b'L', 8 << 30, b"")]),
            "an extended header has 8589934592 bytes, more than 1048576",
        ),
        (tar_of(&[first.clone(), raw(b"file", b'0', 8 << 30, b"")]), "it is truncated: it ends within 'file'"),
        (
            tar_of(&[pax(b'x', &[("size", b"9223372036854775807")]), first.clone()]),
            "it is truncated: it ends within 'file'",
        ),
        (
            tar_of(&[pax(b'x', &[("size", b"18446744073709551615")]), first.clone()]),
            "the size in an extended header is not a number",
        ),
        (tar_of(&[pax(b'x', &[("size", b"-1")]), first.clone()]), "the size in an extended header is not a number"),
        (tar_of(&[first.clone(), raw(b"x", b'x', 9, b"6 a=b\nxx\n")]), "a record of an extended header is malformed"),
        (tar_of(&[first, pax(b'x', &[("a", b"b")])]), "an extended header at its end belongs to no entry"),
    ];
    for (tar, expected) in cases {
        assert_eq!(refusal(&tar), format!("test.tar is not an image archive: {expected}"));
    }
}

#[test]
fn a_changed_archive_gives_right_content_or_an_error() {
    let layer = [3; 700];
    let archives = [
        tar_of(&layout_of(&layer)),
        docker_of(&[file("b", layer), link("a/layer.tar", b'2', "../b")], "a/layer.tar", &layer),
        tar_of(&[layout_of(&layer).concat(), pax(b'x', &[("path", b"a"), ("size", b"30")]), file("o", MARKER)]),
    ];
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut read = 0;
    for round in 0..6000 {
        let mut tar = archives[round % archives.len()].clone();
        for _ in 0..=random(3) {
            let at = random(tar.len());
            match random(4) {
                0 => tar[at] ^= 1 << random(8),
                1 => tar[at] = random(256) as u8,
                2 => drop(tar.drain(at..tar.len().min(at + 512))),
                _ => tar.truncate(tar.len().max(600) - at % 512),
            }
            // Checksums are corrected, so that the code behind the checksum test is reached.
            for block in tar.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
                let mut header = tar::Header::from_byte_slice(block).clone();
                header.set_cksum();
                block.copy_from_slice(header.as_bytes());
            }
        }
        let Ok(images) = load(&tar).and_then(|archive| archive.images()) else { continue };
        for layer in images.iter().flat_map(|image| &image.layers) {
            let mut content = Vec::new();
            if layer.reader().expect("it is there").read_to_end(&mut content).is_ok() {
                assert_eq!(Digest::sha256_of(&content), layer.descriptor().digest);
                read += 1;
            }
        }
    }
    assert!(read > 100, "{read}");
}

#[test]
fn faults_of_a_layout_are_reported() {
    let index = || file("index.json", index_of(&[]));
    let marker = || file("oci-layout", MARKER);
    let no_archive = |reason: &str| format!("test.tar is not an image archive: {reason}");
    for (entries, expected) in [
        (vec![index()], no_archive("it has index.json, but no oci-layout")),
        (vec![marker()], "index.json at test.tar is not a valid OCI Image Index".to_owned()),
        (vec![marker(), file("index.json", "[]")], "index.json at test.tar is not a valid OCI Image Index".to_owned()),
        (
            vec![index(), file("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#)],
            "Invalid imageLayoutVersion in oci-layout: '2.0.0', expected '1.0.0'".to_owned(),
        ),
        (
            vec![index(), file("oci-layout", "{}")],
            "oci-layout at test.tar is malformed: it has no imageLayoutVersion".to_owned(),
        ),
        (
            vec![index(), file("oci-layout", vec![b' '; 100_000])],
            "'oci-layout' in test.tar is larger than 65536 bytes".to_owned(),
        ),
        (
            vec![file("repositories", "{}")],
            no_archive("it is of a Docker before 1.10: it has repositories, but no manifest.json"),
        ),
        (vec![file("a/b/oci-layout", MARKER)], no_archive("its layout is not at its top, but in 'a/b'")),
        (vec![file("a", "b")], no_archive("it has neither oci-layout nor manifest.json")),
    ] {
        assert_eq!(refusal(&tar_of(&entries)), expected);
    }
    let Err(Error::MalformedIndex { reason, .. }) = load(&tar_of(&[marker()])) else { panic!("another error") };
    assert_eq!(reason.to_string(), "the file does not exist");
}

#[test]
fn faults_of_images_are_reported() {
    let (manifest, _) = image("amd64", b"layer");
    let of = |content: &[u8]| Digest::sha256_of(content);
    let config = config("amd64", &[b"layer"]);
    let without = |content: &[u8]| {
        let name = format!("blobs/sha256/{}", of(content).encoded());
        layout_of(b"layer").into_iter().filter(|entry| !entry.starts_with(name.as_bytes())).collect::<Vec<_>>().concat()
    };
    let instead = |content: &[u8], other: &str| {
        let name = format!("blobs/sha256/{}", of(content).encoded());
        tar_of(&[without(content), file(&name, other)])
    };
    let missing =
        |content: &[u8], referrer: &str| format!("blob {} referenced by {referrer} does not exist", of(content));
    let referrer = of(&manifest).to_string();
    for (tar, expected) in [
        (tar_of(&[without(&manifest)]), missing(&manifest, "index.json")),
        (tar_of(&[without(&config)]), missing(&config, &referrer)),
        (tar_of(&[without(b"layer")]), missing(b"layer", &referrer)),
        (instead(b"layer", "layer and more"), format!("size mismatch for {}: expected 5, got 14", of(b"layer"))),
        (instead(&config, "{}"), format!("size mismatch for {}: expected {}, got 2", of(&config), config.len())),
        (
            instead(&config, &" ".repeat(config.len())),
            format!("digest mismatch for {0}: expected {0}, got {1}", of(&config), of(&vec![b' '; config.len()])),
        ),
    ] {
        let archive = load(&tar).expect("an archive");
        assert_eq!(archive.images().expect_err("no images").report(), expected);
    }
    // Layers are read only on demand.
    let archive = load(&instead(b"layer", "LAYER")).expect("an archive");
    let images = archive.images().expect("images");
    let layer = &images[0].layers[0];
    assert_eq!(layer.content().expect("readable").expect("it is there").size(), 5);
    let mut reader = layer.reader().expect("a reader");
    let error = io::copy(&mut reader, &mut io::sink()).expect_err("a mismatch");
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    let expected = format!("digest mismatch for {0}: expected {0}, got {1}", of(b"layer"), of(b"LAYER"));
    assert_eq!(error.to_string(), expected);
    assert_eq!(reader.read(&mut [0; 9]).expect_err("still").to_string(), expected);
}

#[test]
fn images_in_nested_indexes_are_found_once() {
    let (amd64, amd64_blobs) = image("amd64", b"one");
    let (arm64, arm64_blobs) = image("arm64", b"two");
    let (attestation, attestation_blobs) = image("unknown", b"three");
    let mut attested = descriptor(MANIFEST, &attestation);
    attested["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let absent = descriptor(MANIFEST, b"of another platform");
    let mut artifact = descriptor("application/octet-stream", b"no manifest");
    artifact["annotations"] = json!({"org.opencontainers.image.ref.name": "v2"});
    let inner = index_of(&[descriptor(MANIFEST, &arm64), descriptor(MANIFEST, &amd64), attested, absent.clone()]);
    let outer = index_of(&[descriptor(INDEX, &inner)]);
    let mut index: Value = serde_json::from_slice(&index_of(&[
        artifact,
        descriptor(INDEX, &outer),
        descriptor(MANIFEST, &amd64),
        descriptor(INDEX, &inner),
    ]))
    .expect("an index");
    let archive = |index: &Value| {
        let blobs = [amd64_blobs.concat(), arm64_blobs.concat(), attestation_blobs.concat()].concat();
        let indexes = [blob(&inner), blob(&outer), blob(b"no manifest")].concat();
        load(&tar_of(&[blobs, indexes, file("oci-layout", MARKER), file("index.json", index.to_string())]))
            .expect("an archive")
    };
    let found = archive(&index);
    let images = found.images().expect("images");
    let platforms: Vec<_> = images.iter().map(|image| image.platform.as_ref().expect("one").to_string()).collect();
    assert_eq!(platforms, ["linux/arm64", "linux/amd64"]);
    assert_eq!(images[0].annotations["of"], "arm64");
    assert_eq!(images[0].entry.digest, Digest::sha256_of(&arm64));
    assert!(found.is_multi_platform().expect("readable"));
    assert_eq!(found.tag(), Some("v2"));
    index["annotations"] = json!({"org.opencontainers.image.ref.name": "v1"});
    assert_eq!(archive(&index).tag(), Some("v1"));
    // A manifest in index.json itself must be stored.
    index["manifests"] = json!([absent]);
    assert!(matches!(archive(&index).images(), Err(Error::MissingBlob { .. })));
    index["manifests"] = json!([descriptor(MANIFEST, &amd64), descriptor(MANIFEST, &amd64)]);
    let single = archive(&index);
    assert_eq!(single.images().expect("images").len(), 1);
    assert!(!single.is_multi_platform().expect("readable"));
}

#[test]
fn links_in_archives_of_docker_stay_in_them() {
    let layer = || file("dir/layer.tar", b"layer");
    for others in [
        vec![layer(), link("a/layer.tar", b'2', "../dir/layer.tar")],
        vec![link("a/layer.tar", b'2', "../dir/layer.tar"), layer()],
        vec![layer(), link("a/layer.tar", b'1', "dir/layer.tar")],
        vec![layer(), link("b", b'2', "./dir/layer.tar"), link("a/layer.tar", b'2', "../b")],
        // An unused link may dangle.
        vec![link("unused", b'2', "nothing"), file("a/layer.tar", b"layer")],
        vec![link("a/layer.tar", b'2', "nothing"), file("./a/layer.tar", b"layer")],
    ] {
        let archive = load(&docker_of(&others, "a/layer.tar", b"layer")).expect("an archive");
        assert_eq!(contents(&archive).1[0].3, [b"layer"]);
        assert_eq!(archive.tag(), Some("a:b"));
    }
    let outside = |kind: &str, target: &str| {
        format!("test.tar: entry 'a/layer.tar' is a {kind} link to '{target}', which is not in the archive")
    };
    let circle = "is a link that leads in a circle, or over too many others";
    for (others, expected) in [
        (vec![link("a/layer.tar", b'2', "/etc/passwd")], outside("symbolic", "/etc/passwd")),
        (vec![link("a/layer.tar", b'2', "../../etc/passwd")], outside("symbolic", "../../etc/passwd")),
        (vec![link("a/layer.tar", b'1', "../etc/passwd")], outside("hard", "../etc/passwd")),
        (vec![link("a/layer.tar", b'2', "c:\\a")], outside("symbolic", "c:\\\\a")),
        (vec![link("a/layer.tar", b'2', "layer.tar")], format!("test.tar: entry 'a/layer.tar' {circle}")),
        (
            vec![link("a/layer.tar", b'2', "nothing")],
            "test.tar: entry 'a/layer.tar' is a dangling link: 'a/nothing' is no file in the archive".to_owned(),
        ),
        (
            vec![link("a/layer.tar", b'1', "b"), link("b", b'2', "nothing")],
            "test.tar: entry 'a/layer.tar' is a dangling link: 'b' is no file in the archive".to_owned(),
        ),
    ] {
        assert_eq!(refusal(&docker_of(&others, "a/layer.tar", b"layer")), expected);
    }
    let circle_of_two = [link("a", b'2', "b"), link("b", b'2', "a")];
    assert!(refusal(&docker_of(&circle_of_two, "a", b"layer")).ends_with(circle));
}

#[test]
fn links_in_archives_of_layouts_are_followed_to_other_entries() {
    let (manifest, _) = image("amd64", b"layer");
    let config = config("amd64", &[b"layer"]);
    let at = |content: &[u8]| format!("blobs/sha256/{}", Digest::sha256_of(content).encoded());
    let index = index_of(&[descriptor(MANIFEST, &manifest)]);
    let whole = |others: &[Vec<u8>]| {
        let files = [blob(&config), blob(&manifest), file("index.json", &index), file("oci-layout", MARKER)];
        tar_of(&[others.concat(), files.concat()])
    };
    let layer_at = at(b"layer");
    for others in [
        vec![file("layer", b"layer"), link(&layer_at, b'2', "../../layer")],
        vec![link(&layer_at, b'2', "../../layer"), file("layer", b"layer")],
        vec![file("layer", b"layer"), link(&layer_at, b'1', "layer")],
        vec![blob(b"layer"), link("unused", b'2', "nothing")],
        vec![file("layer", b"layer"), link("a", b'2', "layer"), link(&layer_at, b'1', "a")],
    ] {
        let archive = load(&whole(&others)).expect("an archive");
        assert_eq!(contents(&archive).1[0].3, [b"layer"]);
    }
    let dangling =
        format!("test.tar: entry '{layer_at}' is a dangling link: 'blobs/sha256/no' is no file in the archive");
    assert_eq!(refusal(&whole(&[link(&layer_at, b'2', "no")])), dangling);
    let missing = [link("index.json", b'2', "no"), file("oci-layout", MARKER)];
    let dangling = "test.tar: entry 'index.json' is a dangling link: 'no' is no file in the archive";
    assert_eq!(refusal(&tar_of(&missing)), dangling);
}

#[test]
fn faults_of_a_docker_archive_are_reported() {
    let good = config("amd64", &[b"layer"]);
    let archive = |listed: &str, config: &[u8]| {
        tar_of(&[file("l", b"layer"), file("x", b"\xfd7zXZ\0layer"), file("c", config), file("manifest.json", listed)])
    };
    let no_archive = |reason: &str| format!("test.tar is not an image archive: {reason}");
    let of = |config: &str, layers: &[&str]| json!([{"Config": config, "Layers": layers}]).to_string();
    let wrong = config("amd64", &[b"other"]);
    for (listed, config, expected) in [
        ("null".to_owned(), &good[..], no_archive("manifest.json is null, not a list of images")),
        ("[]".to_owned(), &good, no_archive("manifest.json lists no image")),
        (of("no", &["l"]), &good, no_archive("manifest.json refers to 'no', which does not exist")),
        (of("c", &["no"]), &good, no_archive("manifest.json refers to 'no', which does not exist")),
        (of("c", &["../l"]), &good, no_archive("manifest.json refers to '../l', which does not exist")),
        (of("c", &["l", "l"]), &good, no_archive("manifest.json lists 2 layers for 'c', which has 1")),
        (
            of("c", &["l"]),
            &wrong,
            format!(
                "test.tar: entry 'l' is not the layer that the config says: expected {}, got {}",
                Digest::sha256_of(b"other"),
                Digest::sha256_of(b"layer")
            ),
        ),
        (of("c", &["x"]), &good, "test.tar: entry 'x' is a layer stored as xz, which images cannot have".to_owned()),
    ] {
        assert_eq!(refusal(&archive(&listed, config)), expected);
    }
    for listed in ["{}", "[1]", "7", r#"[{"Layers":[]}]"#, "["] {
        let refusal = refusal(&archive(listed, &good));
        assert!(refusal.starts_with(&no_archive("manifest.json is not a list of images: ")), "{refusal}");
    }
    let refusal = refusal(&archive(&of("c", &["l"]), b"{}"));
    assert!(refusal.contains(" is not a valid image config: missing field"), "{refusal}");
}

#[test]
fn archives_of_docker_become_the_same_layout_each_time() {
    let compressed = gzip(b"layer");
    let zstd = zstd::encode_all(&b"layer"[..], 3).expect("compressed");
    let config = config("arm64", &[b"layer", b"layer", b"layer"]);
    let listed = json!([
        {"Config": "c", "RepoTags": ["a:1", "b:2"], "Layers": ["l", "./g", "z"]},
        {"Config": "c", "RepoTags": null, "Layers": ["l", "l", "l"]},
    ]);
    let mut entries = vec![file("l", b"layer"), file("g", &compressed), file("z", &zstd), file("c", &config)];
    entries.push(file("manifest.json", listed.to_string()));
    let archive = load(&tar_of(&entries)).expect("an archive");
    let view = archive.clone();
    let listed: Vec<_> = view.index().manifests.iter().map(|entry| entry.ref_name()).collect();
    assert_eq!(listed, [Some("a:1"), Some("b:2"), None]);
    assert_eq!(view.index().manifests[2].platform.as_ref().expect("one").to_string(), "linux/arm64");
    let images = archive.images().expect("images");
    let manifest = to_blob(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": [
            descriptor(TAR, b"layer"),
            descriptor(&format!("{TAR}+gzip"), &compressed),
            descriptor(&format!("{TAR}+zstd"), &zstd),
        ],
    }));
    assert_eq!(String::from_utf8_lossy(&images[0].manifest), String::from_utf8_lossy(&manifest));
    assert_eq!(images.len(), 2);
    entries.reverse();
    assert_eq!(contents(&load(&tar_of(&entries)).expect("an archive")), contents(&view));
    // If the archive also has a layout, the layout comes first.
    let both = load(&tar_of(&[entries.concat(), layout_of(b"layer").concat()])).expect("an archive");
    assert_eq!(both.tag(), Some("v1"));
}

/// Returns the descriptor of an image whose manifest lists these layers, independent of its config; and the entries of
/// its documents.
fn image_listing(config: &[u8], layers: &Value) -> (Value, Vec<Vec<u8>>) {
    let manifest = to_blob(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, config), "layers": layers,
    }));
    (descriptor(MANIFEST, &manifest), vec![blob(config), blob(&manifest)])
}

/// Returns an archive with both documents.
fn both_of(index: &[Value], listed: &Value, files: &[Vec<u8>]) -> Vec<u8> {
    let documents =
        [file("oci-layout", MARKER), file("index.json", index_of(index)), file("manifest.json", listed.to_string())];
    tar_of(&[files.concat(), documents.concat()])
}

fn with_name(mut entry: Value, name: &str) -> Value {
    entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    entry
}

fn blob_path(content: &[u8]) -> String {
    format!("blobs/sha256/{}", Digest::sha256_of(content).encoded())
}

/// Returns the names of the entries, and the layers of each image.
fn held(archive: &View) -> (Vec<Option<String>>, Vec<Vec<Vec<u8>>>) {
    let view = archive;
    let names = view.index().manifests.iter().map(|entry| entry.ref_name().map(str::to_owned)).collect();
    (names, contents(view).1.into_iter().map(|(_, _, _, layers)| layers).collect())
}

#[test]
fn an_archive_with_both_documents_has_the_images_of_either() {
    let (one, two) = (config("amd64", &[b"layer"]), config("arm64", &[b"other"]));
    let layers = json!([descriptor(TAR, b"layer")]);
    let (image, mut files) = image_listing(&one, &layers);
    files.extend([blob(b"layer"), file("c", &two), file("l", b"other")]);
    let of =
        |config: &str, names: &[&str], layers: &[&str]| json!({"Config": config, "RepoTags": names, "Layers": layers});
    let first = of(&blob_path(&one), &["a:1"], &[&blob_path(b"layer")]);
    let second = of("c", &["b:1", "<none>:<none>"], &["l"]);
    let containerd = {
        let mut entry = with_name(image.clone(), "1");
        entry["annotations"]["io.containerd.image.name"] = json!("docker.io/library/a:1");
        entry
    };
    let names = |names: &[&str]| -> Vec<_> { names.iter().map(|name| Some((*name).to_owned())).collect() };
    let (layer, other) = (vec![b"layer".to_vec()], vec![b"other".to_vec()]);
    for (index, listed, expected_names, images) in [
        (vec![with_name(image.clone(), "a:1")], json!([first]), names(&["a:1"]), vec![layer.clone()]),
        (vec![containerd], json!([first]), names(&["1"]), vec![layer.clone()]),
        (vec![image.clone()], json!([first]), names(&["a:1"]), vec![layer.clone()]),
        (
            vec![with_name(image.clone(), "v1")],
            json!([first, second]),
            names(&["v1", "a:1", "b:1"]),
            vec![layer.clone(), other.clone()],
        ),
        // A name stays with the image that has it in index.json.
        (
            vec![with_name(image.clone(), "b:1")],
            json!([second]),
            vec![Some("b:1".to_owned()), None],
            vec![layer.clone(), other.clone()],
        ),
        (vec![with_name(image.clone(), "v1")], json!([]), names(&["v1"]), vec![layer.clone()]),
        // The manifest.json of another program.
        (vec![with_name(image.clone(), "v1")], json!({"schemaVersion": 2}), names(&["v1"]), vec![layer.clone()]),
        // The files of the image were not copied.
        (
            vec![with_name(image.clone(), "v1")],
            json!([of(&blob_path(&one), &[], &[&blob_path(b"layer")])]),
            names(&["v1"]),
            vec![layer],
        ),
    ] {
        let archive = load(&both_of(&index, &listed, &files)).expect("an archive");
        assert_eq!(held(&archive), (expected_names, images), "{listed}");
        assert_eq!(archive.index().manifests[0].digest.as_str(), image["digest"], "{listed}");
    }
    let listed = json!([of("no", &["b:1"], &["l"])]);
    assert_eq!(
        refusal(&both_of(&[image], &listed, &files)),
        "test.tar is not an image archive: manifest.json refers to 'no', which does not exist"
    );
}

#[test]
fn of_two_layer_lists_the_one_that_matches_the_config_is_used() {
    let config = config("amd64", &[b"layer", b"other"]);
    let (small, other) = (gzip(b"layer"), b"other");
    let whole = json!([descriptor(&format!("{TAR}+gzip"), &small), descriptor(TAR, other)]);
    let wrong = json!([descriptor(TAR, b"wrong")]);
    let files = [blob(&small), blob(other), blob(b"wrong"), file("a/layer.tar", b"layer"), file("b/layer.tar", other)];
    let listed = |layers: &[&str]| json!([{"Config": blob_path(&config), "RepoTags": ["a:1"], "Layers": layers}]);
    let (fit, part) = (["a/layer.tar", "b/layer.tar"], ["a/layer.tar"]);
    for (stored, listed, stays) in [
        (&whole, listed(&fit), true),
        (&whole, listed(&part), true),
        (&whole, listed(&[]), true),
        (&whole, listed(&["no"]), true),
        (&json!([]), listed(&fit), false),
        (&Value::Null, listed(&fit), false),
        (&wrong, listed(&fit), false),
        (&json!([descriptor(TAR, b"not there"), descriptor(TAR, other)]), listed(&fit), false),
    ] {
        let (image, documents) = image_listing(&config, stored);
        let nested = index_of(&[image.clone(), descriptor(MANIFEST, b"of a platform that was not saved")]);
        let top = with_name(descriptor(INDEX, &nested), "a:1");
        for (index, nested) in [(with_name(image.clone(), "a:1"), None), (top, Some(blob(&nested)))] {
            let files: Vec<_> = files.iter().cloned().chain(documents.clone()).chain(nested).collect();
            let archive = load(&both_of(std::slice::from_ref(&index), &listed, &files)).expect("an archive");
            let first = if stays { small.clone() } else { b"layer".to_vec() };
            let layers = vec![vec![first, other.to_vec()]];
            assert_eq!(held(&archive), (vec![Some("a:1".to_owned())], layers), "{stored} {listed}");
            let view = archive;
            assert_eq!(view.index().manifests[0].digest.as_str() == index["digest"], stays, "{stored} {listed}");
        }
    }
    for (stored, listed, in_index, in_manifest) in [
        (&wrong, listed(&part), Digest::sha256_of(b"wrong").to_string(), "a/layer.tar"),
        (&json!([]), listed(&["b/layer.tar", "a/layer.tar"]), "none".to_owned(), "b/layer.tar, a/layer.tar"),
    ] {
        let (image, documents) = image_listing(&config, stored);
        let files: Vec<_> = files.iter().cloned().chain(documents).collect();
        assert_eq!(
            refusal(&both_of(&[image], &listed, &files)),
            format!(
                "test.tar is not an image archive: index.json and manifest.json list different layers for the image with the \
                 config {}, and neither list fits its diff_ids: index.json has {in_index}; manifest.json has {in_manifest}",
                Digest::sha256_of(&config)
            )
        );
    }
}

#[test]
fn zeros_after_a_compressed_archive_are_padding() {
    let plain = tar_of(&layout_of(b"layer"));
    let zstd = zstd::encode_all(plain.as_slice(), 3).expect("compressed");
    for stream in [gzip(&plain), zstd] {
        for padding in [1, 511, 512, 10 << 20] {
            let padded = [stream.clone(), vec![0; padding]].concat();
            assert_eq!(load(&padded).expect("an archive").tag(), Some("v1"), "{padding}");
            let garbage = [padded, b"x".to_vec()].concat();
            assert!(refusal(&garbage).starts_with("test.tar is not a sound "), "{padding}");
        }
    }
}

#[test]
fn a_tar_of_zeros_is_empty() {
    // If all zeros were read, the size would exceed the limit.
    let bounds = Bounds::default().max_size(4 << 20);
    let options = LoadOptions::default().bounds(bounds);
    let zeros = zstd::encode_all(io::repeat(0).take(64 << 20), 3).expect("compressed");
    let refusal = View::from_reader("test.tar", zeros.as_slice(), &options).expect_err("refused").report();
    assert_eq!(refusal, "test.tar is not an image archive: it has neither oci-layout nor manifest.json");
}
