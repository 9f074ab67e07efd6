//! `layout add layer`: format detection, the stored bytes, and media types.

use std::fs;

use serde_json::json;

use crate::support::*;

/// `patches.tar` compressed by `xz -9e`.
const PATCHES_XZ: &str = "fd377a585a000004e6d6b446020021011c00000010cf58cce007ff00465d00329d0886146b28f58a74e3f935d4d595c2642ea5ea72c04835f602f974a597622a7e468cf4605bb63b31363de6003982729b630fd4880e3a8e6af0d57bbea471eaece653800000000054203c63fefc39700001628010000000819d9667b1c467fb020000000004595a";
/// `patches.tar` compressed by `bzip2`.
const PATCHES_BZIP2: &str = "425a6839314159265359fdd9f55a00002fdb80ca900000f70004006e43de000828200054568234d0d313003d41282868191a68004e07c842a101f9c603dcb5a028528ef9499075109b20cf263b84392a62e7346d60fadd7c048d0f1480e22d8bb9229c28487eecfaad00";
/// `text\n` compressed by `xz`.
const TEXT_XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a3010004746578740a000000001d2bd28aaf194ccd00011d05b82d80af1fb6f37d010000000004595a";

/// `patches.tar` compressed by the program, with gzip and with zstd.
const PATCHES_GZIP: &str = "sha256:56ce1225c544dcfc47f9ceec13d88b9cd09a37ad590965664981628aa2b773a9";
const PATCHES_ZSTD: &str = "sha256:fed219f25bc6236eced6e1e14325bda919af8aaab6b371184409225a6bdeb8fa";

const COMPRESSING: &str = "Input file is not compressed. Compressing with gzip...\n";

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).expect("hexadecimal")
}

/// Returns an empty tar: two blocks of zeros.
fn empty_tar() -> Vec<u8> {
    vec![0; 1024]
}

/// Prepends a frame that decoders skip (zstd's format document, "Skippable Frames").
fn after_skippable_frame(magic: u8, content: &[u8]) -> Vec<u8> {
    [&[magic, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'a', b'b', b'c'], content].concat()
}

/// A layer of some content, and the expected result.
struct Case {
    name: &'static str,
    content: Vec<u8>,
    /// Additional flags.
    words: &'static str,
    /// The expected notes besides the media type.
    note: &'static str,
    media_type: &'static str,
    /// The uncompressed content.
    plain: Vec<u8>,
    /// The stored bytes: the content itself, or else the digest of the compressed content.
    stored: Stored,
}

enum Stored {
    AsIs,
    As(&'static str),
}
use Stored::{As, AsIs};

#[test]
fn a_broken_stream_is_an_error_under_any_media_type() {
    let truncated = |content: Vec<u8>| content[..content.len() / 2].to_vec();
    for (name, content, words) in [
        ("xz", unhex(PATCHES_XZ)[..60].to_vec(), "--media-type application/vnd.oci.image.layer.v1.tar+gzip"),
        ("bzip2", truncated(unhex(PATCHES_BZIP2)), "--media-type application/vnd.oci.image.layer.v1.tar+gzip"),
        ("bzip2", truncated(unhex(PATCHES_BZIP2)), ""),
        ("zstd", truncated(zstd(&patches_tar())), ""),
    ] {
        let sandbox = Sandbox::new();
        let before = sandbox.tree();
        sandbox.write("layer", content);
        sandbox
            .run(&format!("layout add layer -p image -f layer {words}"))
            .fails_with(1, predicates::str::starts_with(format!("Error: layer is not a sound {name} stream: ")));
        fs::remove_file(sandbox.path("layer")).expect("removed");
        assert_eq!(sandbox.tree(), before, "{name} {words}");
    }
}

#[test]
fn a_layer_that_decompresses_to_more_than_it_may_is_refused() {
    let zeros = vec![0; 1 << 20];
    for (content, words) in [(gzip(&zeros), ""), (zstd(&zeros), ""), (gzip(&zeros), "--media-type application/x-zeros")]
    {
        let sandbox = Sandbox::new();
        sandbox.write("layer", content);
        let before = sandbox.tree();
        sandbox.refuses(
            &format!("layout add layer -p image -f layer -q --max-layer-size 1048575 {words}"),
            "layer decompresses to more than 1048575 bytes; raise --max-layer-size or --max-ratio if you trust the file",
        );
        assert_eq!(sandbox.tree(), before);
        sandbox.ok(&format!("layout add layer -p image -f layer -q --max-layer-size 1048576 {words}"));
    }
}

#[test]
fn the_size_that_a_layer_may_have_holds_for_all_that_are_made() {
    let sandbox = Sandbox::empty();
    sandbox.ok("init image");
    sandbox.write("zeros", vec![0; 3_000_000]);
    let before = sandbox.tree();
    let way_out = "raise --max-layer-size or --max-ratio if you trust the file";
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_path_with_name(sandbox.path("zeros"), "zeros").expect("appended");
    let tar = tar.into_inner().expect("a tar");
    for (words, input) in [
        ("--copy zeros", "the layer"),
        ("--copy zeros --compress-format none", "the layer"),
        ("--file zeros.tar", "zeros.tar"),
        ("--file zeros.tar --compress-format zstd", "zeros.tar"),
        ("--file zeros.tar --media-type application/vnd.oci.image.layer.v1.tar", "zeros.tar"),
    ] {
        if words.starts_with("--file") {
            sandbox.write("zeros.tar", &tar);
        }
        let message = format!("{input} has more than 2999999 bytes; {way_out}");
        sandbox.refuses(&format!("add layer -p image -q {words} --max-layer-size 2999999"), &message);
        let _ = fs::remove_file(sandbox.path("zeros.tar"));
        assert_eq!(sandbox.tree(), before, "{words}");
    }
    // The ratio counts above 8 GiB only, here as in `validate --deep`.
    sandbox.ok("add layer -p image --copy zeros --max-ratio 10 --compress-format none");
    sandbox.ok("generate config image");
    sandbox.ok("generate manifest image --ref-name v1");
    sandbox.ok("validate image --deep --max-ratio 10");
    // `validate --deep` refuses the layers that are not made.
    let refused = sandbox.run("validate image --deep --max-layer-size 2999999");
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("the blob has more than 2999999 bytes"), "{refused:?}");
}

#[test]
#[cfg(unix)]
fn a_dangling_link_is_not_a_blob() {
    let sandbox = Sandbox::new();
    std::os::unix::fs::symlink("nowhere", sandbox.path(blob_name(BASE))).expect("linked");
    sandbox.ok("layout add layer -p image -f base.tar -q");
    assert!(fs::symlink_metadata(sandbox.path(blob_name(BASE))).expect("there").is_file());
}

#[test]
fn content_decides_how_a_layer_is_stored() {
    let halves = |tar: &[u8], compress: fn(&[u8]) -> Vec<u8>| {
        let (first, second) = tar.split_at(700);
        [compress(first), compress(second)].concat()
    };
    let patches = patches_tar();
    let case = |name, content, words, note, media_type, plain: &[u8], stored| Case {
        name,
        content,
        words,
        note,
        media_type,
        plain: plain.to_vec(),
        stored,
    };
    const FROM_XZ: &str = "Input file is compressed with xz. Recompressing with gzip...\n";
    const FROM_BZIP2: &str = "Input file is compressed with bzip2. Recompressing with zstd...\n";
    const ZSTDING: &str = "Input file is not compressed. Compressing with zstd...\n";
    let cases = [
        case("gzip", gzip(&patches), "", "", GZIP_TYPE, &patches, AsIs),
        case("gzip, zstd asked", gzip(&patches), "--compress-format zstd", "", GZIP_TYPE, &patches, AsIs),
        case("several gzip members", halves(&patches, gzip), "", "", GZIP_TYPE, &patches, AsIs),
        case("zstd", zstd(&patches), "", "", ZSTD_TYPE, &patches, AsIs),
        case("several zstd frames", halves(&patches, zstd), "", "", ZSTD_TYPE, &patches, AsIs),
        case("skippable frame", after_skippable_frame(0x50, &zstd(&patches)), "", "", ZSTD_TYPE, &patches, AsIs),
        case("other skippable frame", after_skippable_frame(0x5f, &zstd(&patches)), "", "", ZSTD_TYPE, &patches, AsIs),
        case("plain tar", patches.clone(), "", COMPRESSING, GZIP_TYPE, &patches, As(PATCHES_GZIP)),
        case(
            "plain tar, zstd",
            patches.clone(),
            "--compress-format zstd",
            ZSTDING,
            ZSTD_TYPE,
            &patches,
            As(PATCHES_ZSTD),
        ),
        case(
            "plain tar, ZSTD",
            patches.clone(),
            "--compress-format ZSTD",
            ZSTDING,
            ZSTD_TYPE,
            &patches,
            As(PATCHES_ZSTD),
        ),
        case("xz", unhex(PATCHES_XZ), "", FROM_XZ, GZIP_TYPE, &patches, As(PATCHES_GZIP)),
        case(
            "bzip2",
            unhex(PATCHES_BZIP2),
            "--compress-format zstd",
            FROM_BZIP2,
            ZSTD_TYPE,
            &patches,
            As(PATCHES_ZSTD),
        ),
        case("gzip around an empty tar", gzip(&empty_tar()), "", "", GZIP_TYPE, &empty_tar(), AsIs),
        case(
            "empty tar",
            empty_tar(),
            "",
            COMPRESSING,
            GZIP_TYPE,
            &empty_tar(),
            As("sha256:62539018952ddec37a4fcf8d77171cfbcd5b21fc3520f32028cd9cfdae546a31"),
        ),
    ];
    for Case { name, content, words, note, media_type, plain, stored } in cases {
        let sandbox = Sandbox::new();
        // The file name suggests another format, and is ignored.
        sandbox.write("layer.txt", &content);
        let digest = match stored {
            AsIs => sha256(&content),
            As(digest) => digest.to_owned(),
        };
        let outcome = sandbox.run(&format!("layout add layer --path image --file layer.txt {words}"));
        let layer = sandbox.stage()["layers"][0].clone();
        let size = layer["size"].as_u64().unwrap_or_else(|| panic!("{name}: {outcome:?}"));
        outcome.succeeds(staged_layer(&digest, size, media_type), note);
        assert_eq!(
            layer,
            json!({"digest": digest, "size": sandbox.blob(&digest).len(), "media_type": media_type, "annotations": {},
                "diff_id": sha256(&plain)})
        );
        sandbox.has_blobs([digest.as_str()]);
        let bytes = sandbox.blob(&digest);
        let unpacked = if media_type == GZIP_TYPE { gunzip(&bytes) } else { zstd::decode_all(&*bytes).expect("sound") };
        assert!(unpacked == plain, "{name}");
        assert!(sandbox.read("layer.txt") == content, "{name}: the file is never changed");
    }
}

#[test]
fn a_tar_is_stored_as_it_is_under_the_uncompressed_type() {
    let sandbox = Sandbox::new();
    sandbox
        .run(&format!("layout add layer -p image -f base.tar --media-type {TAR_TYPE}"))
        .succeeds(staged_layer(BASE_DIFF_ID, base_tar().len() as u64, TAR_TYPE), "");
    assert!(sandbox.blob(BASE_DIFF_ID) == base_tar());
    assert_eq!(sandbox.stage()["layers"][0]["diff_id"], BASE_DIFF_ID);
}

#[test]
fn content_that_is_no_tar_needs_a_media_type() {
    let text = b"text\n".as_slice();
    for (content, is_compressed) in [
        (text.to_vec(), false),
        (gzip(text), true),
        (zstd(text), true),
        (unhex(TEXT_XZ), false),
        (vec![0; 512], false),
        (vec![0; 1023], false),
        (b"\x1f".to_vec(), false),
    ] {
        let sandbox = Sandbox::new();
        sandbox.write("layer.tar", &content);
        let words = "layout add layer -p image -f layer.tar";
        sandbox.refuses(words, "cannot infer media type for '.tar'; use --media-type");

        // With a media type the content is stored unchanged.
        let value = sandbox.ok_json(&format!("{words} --media-type application/x-thing"));
        assert!(sandbox.blob(value["digest"].as_str().expect("a digest")) == content);
        let plain = if is_compressed { text.to_vec() } else { content };
        assert_eq!(value["diff_id"], json!(sha256(&plain)));
        assert_eq!(value["media_type"], "application/x-thing");
        assert_eq!(value.get("warning"), None);
    }
}

#[test]
fn a_media_type_that_contradicts_the_stored_bytes_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("base.tar.zst", zstd(&base_tar()));
    sandbox.write("patches.tar.xz", unhex(PATCHES_XZ));
    let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    for (file, words, media_type, stored) in [
        ("base.tar.zst", "", GZIP_TYPE, "zstd"),
        ("base.tar.zst", "", docker, "zstd"),
        ("base.tar.zst", "", TAR_TYPE, "zstd"),
        ("patches.tar.gz", "", ZSTD_TYPE, "gzip"),
        ("patches.tar.gz", "", TAR_TYPE, "gzip"),
        ("base.tar", "", ZSTD_TYPE, "gzip"),
        ("base.tar", "--compress-format zstd", GZIP_TYPE, "zstd"),
        ("patches.tar.xz", "", ZSTD_TYPE, "gzip"),
    ] {
        sandbox.refuses(
            &format!("layout add layer -p image -f {file} {words} --media-type {media_type}"),
            &format!(
                "media type {media_type} does not fit {file}, whose bytes are stored as {stored}; \
                 omit --media-type, or choose another one or another --compress-format"
            ),
        );
    }
    sandbox.ok(&format!("layout add layer -p image -f patches.tar.gz --media-type {docker}"));
}

#[test]
fn a_tar_under_xz_is_stored_plain_where_a_plain_tar_is_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.write("patches.tar.xz", unhex(PATCHES_XZ));
    let outcome = sandbox.run(&format!("layout add layer -p image -f patches.tar.xz --media-type {TAR_TYPE} --json"));
    let layer = outcome.json();
    assert_eq!((&layer["digest"], &layer["diff_id"]), (&json!(PATCHES_DIFF_ID), &json!(PATCHES_DIFF_ID)));
    let outcome = sandbox.run(&format!("layout add layer -p image -f patches.tar.xz --media-type {TAR_TYPE}"));
    assert_eq!(outcome.stderr, "Input file is compressed with xz. Decompressing...\n");
}

#[test]
fn content_other_than_a_tar_with_a_tar_type_causes_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.write("notes.txt", "just text");
    sandbox.write("notes.gz", gzip(b"just text"));
    for (file, note) in [("notes.txt", COMPRESSING), ("notes.gz", "")] {
        let words = format!("layout add layer -p image -f {file} --media-type {GZIP_TYPE}");
        let warning = format!("{file} does not look like a tar, but its media type is {GZIP_TYPE}");
        let outcome = sandbox.run(&words);
        assert_eq!((outcome.status, outcome.stderr), (0, format!("{note}Warning: {warning}\n")));
        assert_eq!(sandbox.ok_json(&words)["warning"], json!(warning));
        assert_eq!(sandbox.run(&format!("{words} --quiet")).stderr, format!("Warning: {warning}\n"));
    }
}

#[test]
fn broken_streams_are_refused_under_any_media_type() {
    let flip = |mut content: Vec<u8>, at_end: usize| {
        let at = content.len() - at_end;
        content[at] ^= 0xff;
        content
    };
    let cut = |content: Vec<u8>, bytes: usize| content[..content.len() - bytes].to_vec();
    // Streams may contain checksums, like this one.
    let checked = |content: &[u8]| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("an encoder");
        encoder.include_checksum(true).expect("set");
        std::io::Write::write_all(&mut encoder, content).expect("compressed");
        encoder.finish().expect("compressed")
    };
    let patches = patches_tar();
    let cases = [
        ("gzip, cut in its end", "gzip", cut(gzip(&patches), 1)),
        ("gzip, cut in its content", "gzip", cut(gzip(&patches), 600)),
        ("gzip, wrong checksum", "gzip", flip(gzip(&patches), 5)),
        ("gzip, wrong length", "gzip", flip(gzip(&patches), 1)),
        ("gzip, second member cut", "gzip", cut([gzip(&patches), gzip(&patches)].concat(), 1)),
        ("zstd, cut", "zstd", cut(zstd(&patches), 1)),
        ("zstd, wrong checksum", "zstd", flip(checked(&patches), 1)),
        ("xz, cut", "xz", cut(unhex(PATCHES_XZ), 1)),
        ("xz, wrong index", "xz", flip(unhex(PATCHES_XZ), 20)),
        ("bzip2, cut", "bzip2", cut(unhex(PATCHES_BZIP2), 1)),
        ("bzip2, wrong checksum", "bzip2", flip(unhex(PATCHES_BZIP2), 2)),
    ];
    let sandbox = Sandbox::new();
    for (name, encoding, content) in cases {
        sandbox.write("layer", content);
        let before = sandbox.tree();
        for media_type in ["", "--media-type application/x-thing"] {
            let outcome = sandbox.run(&format!("layout add layer -p image -f layer -q {media_type}"));
            let start = format!("Error: layer is not a sound {encoding} stream: ");
            assert!(
                outcome.stderr.starts_with(&start) || outcome.stderr.starts_with("Error: cannot infer"),
                "{name}: {outcome:?}"
            );
            assert!(outcome.stderr.starts_with(&start) || media_type.is_empty(), "{name}: {outcome:?}");
            assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""), "{name}");
            assert_eq!(sandbox.tree(), before, "{name}");
        }
    }
}

#[test]
fn an_empty_file_and_a_directory_are_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("empty.tar", "");
    std::fs::create_dir(sandbox.path("directory.tar")).expect("created");
    for words in ["", &format!(" --media-type {GZIP_TYPE}")] {
        sandbox.refuses(&format!("layout add layer -p image -f empty.tar{words}"), "empty.tar is empty");
        let directory = format!("layout add layer -p image -f directory.tar{words}");
        sandbox.refuses(&directory, "directory.tar is a directory, not a file");
    }
}

#[test]
fn a_dash_reads_standard_input() {
    let sandbox = Sandbox::new();
    sandbox
        .run_with_input("layout add layer -p image -f -", &base_tar())
        .succeeds(staged_layer(BASE, BASE_SIZE, GZIP_TYPE), COMPRESSING);
    sandbox
        .run_with_input("layout add layer -p image -f -", &gzip(&patches_tar()))
        .succeeds(staged_layer(PATCHES, PATCHES_SIZE, GZIP_TYPE), "");
    let before = sandbox.tree();
    sandbox.run_with_input("layout add layer -p image -f -", b"").fails("Error: - is empty\n");
    sandbox
        .run_with_input("layout add layer -p image -f -", b"text")
        .fails("Error: cannot infer media type for '-'; use --media-type\n");
    assert_eq!(sandbox.tree(), before);
}

#[cfg(unix)]
#[test]
fn a_link_and_a_pipe_are_read_like_the_file_behind_them() {
    let sandbox = Sandbox::new();
    std::os::unix::fs::symlink("base.tar", sandbox.path("link")).expect("linked");
    sandbox.run("layout add layer -p image -f link").succeeds(staged_layer(BASE, BASE_SIZE, GZIP_TYPE), COMPRESSING);
    std::os::unix::fs::symlink("nothing", sandbox.path("broken")).expect("linked");
    sandbox.refuses("layout add layer -p image -f broken", "File not found: broken");

    let pipe = sandbox.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let writer = std::thread::spawn(move || std::fs::write(pipe, gzip(&patches_tar())).expect("written"));
    sandbox.run("layout add layer -p image -f pipe").succeeds(staged_layer(PATCHES, PATCHES_SIZE, GZIP_TYPE), "");
    writer.join().expect("written");
}

#[test]
fn annotations_are_staged_and_json_shows_them() {
    let sandbox = Sandbox::new();
    assert_eq!(
        sandbox.ok_json("layout add layer -p image -f base.tar --annotation b=2 --annotation a=1=x"),
        json!({"digest": BASE, "size": BASE_SIZE, "media_type": GZIP_TYPE, "annotations": {"a": "1=x", "b": "2"},
            "diff_id": BASE_DIFF_ID})
    );
    assert_eq!(
        sandbox.stage()["layers"],
        json!([{"digest": BASE, "size": BASE_SIZE, "media_type": GZIP_TYPE, "annotations": {"a": "1=x", "b": "2"},
            "diff_id": BASE_DIFF_ID}])
    );
}

#[test]
fn zstd_is_the_other_format() {
    Sandbox::new().run("layout add layer -p image -f base.tar --compress-format zstd").succeeds(
        staged_layer(BASE_ZSTD, BASE_ZSTD_SIZE, ZSTD_TYPE),
        "Input file is not compressed. Compressing with zstd...\n",
    );
}

#[test]
fn the_same_layer_may_be_staged_twice_and_is_stored_once() {
    let sandbox = Sandbox::new();
    sandbox.ok("layout add layer -p image -f base.tar");
    sandbox.ok("layout add layer -p image -f base.tar");
    assert_eq!(sandbox.stage()["layers"].as_array().map(Vec::len), Some(2));
    sandbox.has_blobs([BASE]);
}

#[test]
fn the_media_type_is_assumed_only_where_it_is_not_given() {
    let sandbox = Sandbox::new();
    let words = format!("layout add layer -p image -f patches.tar.gz --media-type {GZIP_TYPE}");
    sandbox.run(&words).succeeds(staged_layer(PATCHES, PATCHES_SIZE, GZIP_TYPE), "");
    sandbox
        .run("layout add layer -p image -f patches.tar.gz --yes")
        .succeeds(staged_layer(PATCHES, PATCHES_SIZE, GZIP_TYPE), "");
}

#[test]
fn any_number_of_jobs_gives_the_same_bytes() {
    let content: Vec<u8> = (0..3u32 << 18).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect();
    for format in ["gzip", "zstd"] {
        let layers = ["1", "2", "300", "4294967295", "18446744073709551615"].map(|jobs| {
            let sandbox = Sandbox::new();
            sandbox.write("layer", &content);
            sandbox.ok_json(&format!(
                "layout add layer -p image -f layer --media-type a/b --compress-format {format} --jobs {jobs}"
            ))
        });
        assert!(layers.iter().all(|layer| *layer == layers[0]), "{layers:#?}");
    }
}

#[test]
fn content_other_than_a_layer_is_compressed_only_on_request() {
    let text = b"{\"spdxVersion\": \"SPDX-2.3\"}\n".as_slice();
    let (spdx, gzip_note, zstd_note) =
        ("application/spdx+json", COMPRESSING, "Input file is not compressed. Compressing with zstd...\n");
    type Unpack = fn(&[u8]) -> Vec<u8>;
    let (as_it_is, gzip, zstd): (Unpack, Unpack, Unpack) =
        (<[u8]>::to_vec, gunzip, |bytes| zstd::decode_all(bytes).expect("sound"));
    for (words, note, unpack) in [
        (format!("--media-type {spdx}"), "", as_it_is),
        (format!("--media-type {spdx} --level 9"), "", as_it_is),
        (format!("--media-type {spdx} --compress-format none"), "", as_it_is),
        (format!("--media-type {spdx} --compress-format gzip"), gzip_note, gzip),
        (format!("--media-type {spdx} --compress-format zstd"), zstd_note, zstd),
    ] {
        let sandbox = Sandbox::new();
        sandbox.write("sbom.json", text);
        let outcome = sandbox.run(&format!("layout add layer -p image -f sbom.json {words}"));
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, note), "{words}");
        let layer = sandbox.stage()["layers"][0].clone();
        assert_eq!((&layer["media_type"], &layer["diff_id"]), (&json!(spdx), &json!(sha256(text))), "{words}");
        let blob = sandbox.blob(layer["digest"].as_str().expect("a digest"));
        assert!(unpack(&blob) == text, "{words}");
    }
    // A tar is treated as a layer under any media type.
    let sandbox = Sandbox::new();
    sandbox.write("patches.tar", patches_tar());
    let layer = sandbox.ok_json("layout add layer -p image -f patches.tar --media-type application/x-tree");
    assert_eq!(layer["digest"], PATCHES_GZIP);
}

#[test]
fn a_tar_may_stay_uncompressed() {
    let sandbox = Sandbox::new();
    sandbox.write("patches.tar", patches_tar());
    sandbox.write("patches.tar.xz", unhex(PATCHES_XZ));
    sandbox.write("patches.tar.bz2", unhex(PATCHES_BZIP2));
    for (file, note) in [
        ("patches.tar", ""),
        ("patches.tar.xz", "Input file is compressed with xz. Decompressing...\n"),
        ("patches.tar.bz2", "Input file is compressed with bzip2. Decompressing...\n"),
    ] {
        sandbox
            .run(&format!("layout add layer -p image -f {file} --compress-format none"))
            .succeeds(staged_layer(PATCHES_DIFF_ID, patches_tar().len() as u64, TAR_TYPE), note);
    }
    sandbox.misuses(
        "layout add layer -p image -f patches.tar --compress-format none --level 3",
        "--level has no meaning with --compress-format none",
    );
}

#[test]
fn bytes_after_a_compressed_layer_are_refused_with_their_number() {
    let patches = patches_tar();
    // Longer than one buffer, so that several threads read the stream.
    let long: Vec<u8> = (0..1u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for (encoding, stream) in
        [("gzip", gzip(&patches)), ("zstd", zstd(&patches)), ("gzip", gzip(&long)), ("zstd", zstd(&long))]
    {
        for (rest, says) in [
            (vec![0], "1 byte follows"),
            (vec![0; 512], "512 bytes follow"),
            (vec![0; 1 << 20], "1048576 bytes follow"),
            (b"garbage".to_vec(), "7 bytes follow"),
        ] {
            let sandbox = Sandbox::new();
            sandbox.write("layer", [stream.as_slice(), &rest].concat());
            for words in ["", "--media-type application/x-thing"] {
                if stream.len() > 1 << 19 && words.is_empty() {
                    continue;
                }
                let words = format!("layout add layer -p image -f layer -q {words}");
                sandbox.refuses(&words, &format!("layer: {says} the {encoding} stream; readers refuse that"));
            }
        }
    }
}

#[test]
fn a_tar_that_is_cut_within_an_entry_is_refused_and_nothing_is_left() {
    let tar = base_tar();
    // `bin/tool` is the last file; a link follows after it.
    let tool = tar.windows(8).position(|name| name == b"bin/tool").expect("it is there");
    let hint = "check that the command that wrote it succeeded";
    for (length, says) in [
        (tool + 512, "it ends within 'bin/tool'"),
        (tool + 512 + 1999, "it ends within 'bin/tool'"),
        (tool + 200, "it ends within a header"),
        (tar.len() - 1024 - 100, "it ends within a header"),
        (tar.len() - 100, "it ends within a header"),
    ] {
        let sandbox = Sandbox::new();
        let cut = &tar[..length];
        sandbox.write("l.tar", cut);
        let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        for words in [
            "".to_owned(),
            "--compress-format zstd".to_owned(),
            "--compress-format none".to_owned(),
            format!("--media-type {TAR_TYPE}"),
            format!("--media-type {docker}"),
            "--media-type application/x-tree".to_owned(),
        ] {
            let words = format!("layout add layer -p image -q {words}");
            sandbox.refuses(&format!("{words} -f l.tar"), &format!("l.tar is truncated: {says}; {hint}"));
        }
        let before = sandbox.tree();
        for stream in [cut.to_vec(), gzip(cut), zstd(cut)] {
            sandbox
                .run_with_input("layout add layer -p image -q -f -", &stream)
                .fails(format!("Error: - is truncated: {says}; {hint}\n"));
        }
        assert_eq!(sandbox.tree(), before);
    }
    // A large stream is processed by several threads.
    let sandbox = Sandbox::new();
    let mut large = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3 << 20);
    let noise: Vec<u8> = (0..3u32 << 18).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    large.append_data(&mut header, "noise", noise.as_slice()).expect("appended");
    let large = &large.into_inner().expect("a tar")[..2 << 20];
    for content in [large.to_vec(), gzip(large), zstd(large)] {
        sandbox.write("l.tar", content);
        sandbox.refuses(
            "layout add layer -p image -q -f l.tar",
            &format!("l.tar is truncated: it ends within 'noise'; {hint}"),
        );
    }
}

#[test]
fn an_unusual_tar_is_staged_with_a_warning() {
    let tar = patches_tar();
    let entry = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        let mut entry = [header.as_bytes(), content].concat();
        entry.resize(entry.len().next_multiple_of(512), 0);
        entry
    };
    // git archive writes one.
    let mut global = entry("pax_global_header", b"20 comment=4ae8b5bf\n");
    global[156] = b'g';
    global[148..156].fill(b' ');
    let sum: u32 = global[..512].iter().map(|byte| u32::from(*byte)).sum();
    global[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    let (end, no_end) = (vec![0; 1024], "without the two blocks of zeros that end a tar");
    let odd = "the tar is not as it should be";
    let mut broken = [tar[..1024].to_vec(), entry("f", b""), end.clone()].concat();
    broken[1024] ^= 1;
    for (content, says) in [
        (tar[..1024].to_vec(), format!("l.tar: {odd}: it ends after an entry, {no_end}")),
        (tar[..1536].to_vec(), format!("l.tar: {odd}: it ends after one block of zeros, {no_end}")),
        ([tar.as_slice(), b"more"].concat(), format!("l.tar: {odd}: data follows the end of it")),
        (
            broken,
            "l.tar: the content is not a well-formed tar: the checksum of the header after 'etc/hostname' is wrong"
                .to_owned(),
        ),
        (
            [entry("f", b"1"), entry("./f", b"2"), end.clone()].concat(),
            "l.tar: the tar has two entries for './f'".to_owned(),
        ),
        (
            [global, entry("f", b"1"), end.clone()].concat(),
            "l.tar: the tar has a global pax header, which engines ignore and some programs refuse".to_owned(),
        ),
        (
            [entry("oci-layout", b"{}"), entry("index.json", b"{}"), end.clone()].concat(),
            "l.tar looks like an image archive; 'layout import' adds its images".to_owned(),
        ),
    ] {
        let says = says.replace("'./f'", "'f'");
        let sandbox = Sandbox::new();
        sandbox.write("l.tar", &content);
        let outcome = sandbox.run("layout add layer -p image -f l.tar");
        let notes = COMPRESSING;
        assert_eq!((outcome.status, outcome.stderr), (0, format!("{notes}Warning: {says}\n")));
        let value = sandbox.ok_json("layout add layer -p image -f l.tar");
        assert_eq!((&value["warning"], &value["warnings"]), (&json!(says), &json!([says])));
        sandbox.write("l.tar", zstd(&content));
        assert_eq!(sandbox.ok_json("layout add layer -p image -f l.tar")["warnings"], json!([says]));
    }
    // Content other than a layer may be any tar.
    let sandbox = Sandbox::new();
    sandbox.write("l.tar", [entry("oci-layout", b"{}"), entry("index.json", b"{}"), end].concat());
    let value = sandbox.ok_json("layout add layer -p image -f l.tar --media-type application/x-images");
    assert_eq!(value.get("warning"), None);
}
