//! Hostile layouts: every command exits with a single clear line, and changes nothing.

use std::fs::File;
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::*;

/// Runs the program, which must exit; it may take any time.
#[track_caller]
fn run(sandbox: &Sandbox, words: &str) -> Outcome {
    let child = sandbox
        .command()
        .args(words.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let (send, receive) = channel();
    std::thread::spawn(move || send.send(child.wait_with_output().expect("the program ends")));
    let output = receive.recv_timeout(Duration::from_secs(120));
    let outcome = Outcome::from(output.unwrap_or_else(|_| panic!("{words} does not come to an end")));
    if words.starts_with("layout validate") { outcome.messages() } else { outcome }
}

/// Runs a command that must fail with one line and change nothing.
#[track_caller]
fn refuses(sandbox: &Sandbox, words: &str, message: &str) {
    let before = sandbox.tree();
    let outcome = run(sandbox, &format!("layout {words} --path image --quiet"));
    outcome.fails(format!("Error: {message}\n"));
    assert_eq!(sandbox.tree(), before, "{words} changed something");
}

/// The same for a message that ends with a position in the document.
#[track_caller]
fn refuses_with(sandbox: &Sandbox, words: &str, start: &str) {
    let before = sandbox.tree();
    let outcome = run(sandbox, &format!("layout {words} --path image --quiet"));
    assert_eq!((outcome.status, outcome.stdout.as_str(), outcome.stderr.lines().count()), (1, "", 1), "{outcome:?}");
    let text = outcome.stderr.strip_prefix("Error: ").expect("an error");
    assert!(text.starts_with(start) && text.ends_with('\n'), "{text:?} does not begin with {start:?}");
    assert!(!text.trim_end().contains(char::is_control), "{text:?}");
    assert_eq!(sandbox.tree(), before, "{words} changed something");
}

/// Checks that a message is the only error, or the only warning, of a validation.
#[track_caller]
fn finds(sandbox: &Sandbox, kind: &str, message: &str) {
    let before = sandbox.tree();
    let outcome = run(sandbox, "layout validate --path image --json");
    let value = outcome.json();
    assert_eq!((&value[kind], outcome.stderr.as_str()), (&json!([message]), ""), "{outcome:?}");
    assert_eq!(outcome.status, i32::from(kind == "errors"));
    assert_eq!(sandbox.tree(), before, "validate changed something");
}

const STAGE: &str = "image/.regshape-stage.json";

/// The commands that read `index.json`.
const INDEX_READERS: [&str; 3] = ["show", "generate manifest", "annotate manifest --annotation a=b"];

/// The commands that read the staging file.
const STAGE_READERS: [&str; 7] = [
    "status",
    "add layer --file base.tar",
    "annotate layer --index 0 --annotation a=b",
    "generate config",
    "generate manifest",
    "update config --os plan9",
    "annotate manifest --annotation a=b",
];

const INDEX_ERROR: &str = "index.json at image is not a valid OCI Image Index";

/// Malformed digests, and their faults.
fn bad_digests() -> Vec<(String, &'static str)> {
    let hash = "0".repeat(64);
    vec![
        ("sha256:../../x".to_owned(), "its hash has the wrong length"),
        (format!("sha256:{}{}", "../".repeat(20), "abcd"), "its hash is not lower-case hexadecimal"),
        (format!("sha256:/{}", "a".repeat(63)), "its hash is not lower-case hexadecimal"),
        ("x:/etc/passwd".to_owned(), "its hash has a character that the image-spec does not allow"),
        ("../x:y".to_owned(), "its algorithm is not of the form that the image-spec allows"),
        ("/etc/passwd".to_owned(), "it has no colon"),
        (format!("SHA256:{hash}"), "its algorithm is not of the form that the image-spec allows"),
        (format!("sha256:{}", "A".repeat(64)), "its hash is not lower-case hexadecimal"),
        (format!("sha256:{}", "0".repeat(63)), "its hash has the wrong length"),
        ("sha256:".to_owned(), "its hash has the wrong length"),
        (String::new(), "it has no colon"),
        (format!("sha256:{hash}\n"), "its hash has the wrong length"),
        (format!("sha256:{}\n", "0".repeat(63)), "its hash is not lower-case hexadecimal"),
        (format!("sha256:{}\u{1b}[2J", "0".repeat(60)), "its hash is not lower-case hexadecimal"),
        (format!("sha256:{}\0", "0".repeat(63)), "its hash is not lower-case hexadecimal"),
    ]
}

/// Replaces the generated manifest with a changed one: the blob, and the references in `index.json` and the staging
/// file.
fn replace_manifest(sandbox: &Sandbox, content: &[u8]) -> String {
    let digest = sandbox.store(content);
    for (name, place) in [("image/index.json", "/manifests/0"), (STAGE, "/manifest")] {
        sandbox.edit(name, |document| {
            let entry = document.pointer_mut(place).expect("the manifest");
            entry["digest"] = json!(digest);
            entry["size"] = json!(content.len());
        });
    }
    digest
}

/// Replaces the config; the manifest still refers to the old one.
fn replace_config(sandbox: &Sandbox, content: &[u8]) -> String {
    let digest = sandbox.store(content);
    sandbox.edit(STAGE, |stage| {
        stage["config"]["digest"] = json!(digest);
        stage["config"]["size"] = json!(content.len());
    });
    digest
}

#[test]
fn invalid_digests_are_rejected_in_the_index_and_the_staging_file() {
    let sandbox = Sandbox::built();
    // The target of the first of them.
    sandbox.write("image/x", "not a blob");
    let (index, stage) = (sandbox.text("image/index.json"), sandbox.text(STAGE));
    for (digest, reason) in bad_digests() {
        let shown = digest.escape_debug();
        sandbox.edit("image/index.json", |index| index["manifests"][0]["digest"] = json!(digest));
        for command in INDEX_READERS {
            refuses(&sandbox, command, INDEX_ERROR);
        }
        finds(&sandbox, "errors", &format!("manifests[0] in index.json: digest '{shown}' is not a digest: {reason}"));
        sandbox.write("image/index.json", &index);

        for place in
            ["/layers/0/digest", "/layers/0/diff_id", "/config/digest", "/manifest/digest", "/unnamed_manifest"]
        {
            let mut value: Value = serde_json::from_str(&stage).expect("JSON");
            value["unnamed_manifest"] = json!(MANIFEST);
            *value.pointer_mut(place).expect("it is there") = json!(digest);
            sandbox.write(STAGE, value.to_string());
            let message =
                format!("staging file at image is malformed: '{shown}' is not a digest: {reason} at line 1, ");
            refuses_with(&sandbox, "status", &message);
            refuses_with(&sandbox, "generate manifest", &message);
        }
        sandbox.write(STAGE, &stage);
    }
}

#[test]
fn invalid_digests_are_rejected_in_a_manifest_and_a_config() {
    let sandbox = Sandbox::built();
    let (index, stage) = (sandbox.text("image/index.json"), sandbox.text(STAGE));
    for (digest, reason) in bad_digests() {
        let shown = digest.escape_debug();
        for (place, location) in [("/config/digest", "config"), ("/layers/1/digest", "layer[1]")] {
            let mut content = sandbox.blob_json(MANIFEST);
            *content.pointer_mut(place).expect("it is there") = json!(digest);
            let manifest = replace_manifest(&sandbox, content.to_string().as_bytes());
            let message = format!("{manifest} is not a valid image manifest: '{shown}' is not a digest: {reason} at ");
            refuses_with(&sandbox, "annotate manifest --annotation a=b", &message);
            finds(
                &sandbox,
                "errors",
                &format!("{location} in manifest {manifest}: digest '{shown}' is not a digest: {reason}"),
            );
        }
        sandbox.write("image/index.json", &index);
        sandbox.write(STAGE, &stage);
        let mut content = sandbox.blob_json(CONFIG);
        content["rootfs"]["diff_ids"][0] = json!(digest);
        let config = replace_config(&sandbox, content.to_string().as_bytes());
        let message = format!("{config} is not a valid image config: '{shown}' is not a digest: {reason} at line 1, ");
        refuses_with(&sandbox, "generate manifest", &message);
        sandbox.write(STAGE, &stage);
    }
}

/// Text that is not JSON or too deep, and the error about it.
fn bad_json() -> Vec<(Vec<u8>, &'static str)> {
    let utf_16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    vec![
        (Vec::new(), "EOF while parsing a value at line "),
        ("[".repeat(100_000).into_bytes(), ""),
        (
            format!("{{\"x\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000)).into_bytes(),
            "recursion limit exceeded at line ",
        ),
        ("{\"x\":".repeat(100_000).into_bytes(), "recursion limit exceeded at line "),
        (b"{\"x\":NaN}".to_vec(), "expected a value at line "),
        (b"{\"x\":-Infinity}".to_vec(), "invalid number at line "),
        (b"{\"x\":\"\\ud800\"}".to_vec(), "unexpected end of hex escape at line "),
        (b"{\"x\":\"\\udc00\\ud800\"}".to_vec(), "lone leading surrogate in hex escape at line "),
        (b"{\"x\":\"\xff\"}".to_vec(), "invalid unicode code point at line "),
        (b"{\"x\":\"\xed\xa0\x80\"}".to_vec(), "invalid unicode code point at line "),
        (b"{\"x\":\"\n\"}".to_vec(), "control character (\\u0000-\\u001F) found while parsing a string at line "),
        (utf_16("{}"), "key must be a string at line "),
        (b"\xff\xfe{\0}\0".to_vec(), "expected a value at line "),
        (b"\xef\xbb\xbf{}".to_vec(), "it begins with a byte order mark"),
        (b"{\"x\":1".to_vec(), "EOF while parsing an object at line "),
        (b"\0\0\0\0".to_vec(), "expected a value at line "),
        (b"[]".to_vec(), ""),
        (b"null".to_vec(), ""),
        (b"\"text\"".to_vec(), ""),
        (b"1e999".to_vec(), ""),
    ]
}

#[test]
fn text_that_is_not_json_is_refused_in_every_document() {
    let sandbox = Sandbox::built();
    let (index, stage, marker) =
        (sandbox.text("image/index.json"), sandbox.text(STAGE), sandbox.text("image/oci-layout"));
    let whole = |bytes: &str| (format!("{bytes} x").into_bytes(), "trailing characters at line ");
    for (content, reason) in bad_json().into_iter().chain([whole(&stage), whole(&marker)]) {
        if content != whole(&marker).0 {
            sandbox.write(STAGE, &content);
            for command in ["status", "add layer --file base.tar"] {
                refuses_with(&sandbox, command, &format!("staging file at image is malformed: {reason}"));
            }
            sandbox.write(STAGE, &stage);
        }
        if content != whole(&stage).0 {
            sandbox.write("image/oci-layout", &content);
            for command in ["show", "add layer --file base.tar"] {
                refuses_with(&sandbox, command, "oci-layout at image is malformed: ");
            }
            sandbox.write("image/oci-layout", &marker);
        }
        sandbox.write("image/index.json", &content);
        let hint = match content.starts_with(b"\xef\xbb\xbf") {
            true => "; it begins with a byte order mark: save it without one",
            false => "",
        };
        for command in INDEX_READERS {
            refuses(&sandbox, command, &format!("{INDEX_ERROR}{hint}"));
        }
        let reason = if reason.starts_with("trailing") { "" } else { reason };
        sandbox.write("image/index.json", &index);

        let manifest = replace_manifest(&sandbox, &content);
        let message = format!("{manifest} is not a valid image manifest: {reason}");
        refuses_with(&sandbox, "annotate manifest --annotation a=b", &message);
        let outcome = run(&sandbox, "layout validate --path image --json");
        let value = outcome.json();
        let errors = value["errors"].as_array().expect("an array");
        let start = format!("{manifest} is not a valid image manifest: ");
        assert!(!errors.is_empty() && outcome.status == 1);
        errors.iter().for_each(|error| assert!(error.as_str().expect("a text").starts_with(&start), "{error}"));
        sandbox.write("image/index.json", &index);
        sandbox.write(STAGE, &stage);

        let config = replace_config(&sandbox, &content);
        let message = format!("{config} is not a valid image config: {reason}");
        refuses_with(&sandbox, "update config --os plan9", &message);
        refuses_with(&sandbox, "generate manifest", &message);
        sandbox.write(STAGE, &stage);
    }
}

/// Every fault of a staging file, and the error about it.
fn bad_stages() -> Vec<(String, Value, &'static str)> {
    let stage = || {
        let layer = json!({"digest": BASE, "size": BASE_SIZE, "media_type": GZIP_TYPE, "annotations": {}, "diff_id": BASE_DIFF_ID});
        let config = json!({"digest": CONFIG, "size": CONFIG_SIZE, "media_type": CONFIG_TYPE});
        let manifest = json!({"digest": MANIFEST, "size": MANIFEST_SIZE, "media_type": MANIFEST_TYPE, "annotations": {}, "ref_name": "latest"});
        json!({"schema_version": 1, "layers": [layer], "config": config, "manifest": manifest, "unnamed_manifest": MANIFEST})
    };
    let mut cases = Vec::new();
    let wrong = [
        ("/schema_version", json!("1"), "invalid type: string \"1\", expected u64"),
        ("/schema_version", json!(null), "invalid type: null, expected u64"),
        ("/schema_version", json!(-1), "invalid value: integer `-1`, expected u64"),
        ("/schema_version", json!(1.5), "invalid type: floating point `1.5`, expected u64"),
        ("/layers", json!({}), "invalid type: map, expected a sequence"),
        ("/layers", json!(null), "invalid type: null, expected a sequence"),
        ("/layers/0", json!([]), "invalid type: sequence, expected struct StagedLayer"),
        ("/layers/0", json!(null), "invalid type: null, expected struct StagedLayer"),
        ("/layers/0/digest", json!(1), "invalid type: integer `1`, expected a string"),
        ("/layers/0/size", json!("1"), "invalid type: string \"1\", expected u64"),
        ("/layers/0/size", json!(-1), "invalid value: integer `-1`, expected u64"),
        ("/layers/0/media_type", json!(null), "invalid type: null, expected a string"),
        ("/layers/0/annotations", json!([]), "invalid type: sequence, expected a map"),
        ("/layers/0/annotations", json!(null), "invalid type: null, expected a map"),
        ("/layers/0/annotations", json!({"a": 1}), "invalid type: integer `1`, expected a string"),
        ("/layers/0/diff_id", json!([]), "invalid type: sequence, expected a string"),
        ("/config", json!([]), "invalid type: sequence, expected struct StagedConfig"),
        ("/config/digest", json!({}), "invalid type: map, expected a string"),
        ("/config/size", json!(true), "invalid type: boolean `true`, expected u64"),
        ("/config/media_type", json!(1), "invalid type: integer `1`, expected a string"),
        ("/manifest", json!("x"), "invalid type: string \"x\", expected struct StagedManifest"),
        ("/manifest/digest", json!(null), "invalid type: null, expected a string"),
        ("/manifest/size", json!([]), "invalid type: sequence, expected u64"),
        ("/manifest/media_type", json!({}), "invalid type: map, expected a string"),
        ("/manifest/annotations", json!("a=b"), "invalid type: string \"a=b\", expected a map"),
        ("/manifest/annotations", json!({"a": null}), "invalid type: null, expected a string"),
        ("/manifest/ref_name", json!(1), "invalid type: integer `1`, expected a string"),
        ("/unnamed_manifest", json!(1), "invalid type: integer `1`, expected a string"),
    ];
    for (place, value, reason) in wrong {
        let mut stage = stage();
        *stage.pointer_mut(place).expect("it is there") = value.clone();
        cases.push((format!("{place} is {value}"), stage, reason));
    }
    let missing = [
        ("", "schema_version", "missing field `schema_version`"),
        ("", "layers", "missing field `layers`"),
        ("", "config", "missing field `config`"),
        ("", "manifest", "missing field `manifest`"),
        ("/layers/0", "digest", "missing field `digest`"),
        ("/layers/0", "size", "missing field `size`"),
        ("/layers/0", "media_type", "missing field `media_type`"),
        ("/config", "digest", "missing field `digest`"),
        ("/config", "size", "missing field `size`"),
        ("/config", "media_type", "missing field `media_type`"),
        ("/manifest", "digest", "missing field `digest`"),
        ("/manifest", "size", "missing field `size`"),
        ("/manifest", "media_type", "missing field `media_type`"),
    ];
    for (place, key, reason) in missing {
        let mut stage = stage();
        stage.pointer_mut(place).and_then(Value::as_object_mut).expect("an object").remove(key).expect("it is there");
        cases.push((format!("{place} lacks {key}"), stage, reason));
    }
    cases
}

#[test]
fn a_staging_file_that_is_malformed_in_any_way_is_refused_by_every_command_that_reads_it() {
    let sandbox = Sandbox::built();
    for (at, (case, stage, reason)) in bad_stages().into_iter().enumerate() {
        // Printed if the test fails.
        eprintln!("{case}");
        sandbox.write(STAGE, stage.to_string());
        let message = format!("staging file at image is malformed: {reason} at line 1, column ");
        // All say the same: that the first does of every case, and all of one, is enough.
        let commands = if at == 0 { STAGE_READERS.as_slice() } else { &[STAGE_READERS[at % STAGE_READERS.len()]] };
        commands.iter().for_each(|command| refuses_with(&sandbox, command, &message));
        // The staging file is not part of the layout.
        let outcome = run(&sandbox, "layout validate --path image");
        assert_eq!((outcome.status, outcome.stdout.as_str()), (0, "Layout at image is valid.\n"));
        assert!(outcome.stderr.starts_with(&format!("Warning: {message}")), "{outcome:?}");
    }
    for (version, found) in [("0", "0"), ("2", "2"), ("18446744073709551615", "18446744073709551615")] {
        for content in [
            format!("{{\"schema_version\":{version}}}"),
            format!("{{\"schema_version\":{version},\"layers\":[],\"config\":null,\"manifest\":null}}"),
        ] {
            sandbox.write(STAGE, content);
            for command in STAGE_READERS {
                refuses(&sandbox, command, &format!("staging file at image has schema_version {found}, expected 1"));
            }
        }
    }
    sandbox.write(STAGE, r#"{"schema_version":1,"layers":[],"config":null,"manifest":null,"layers":[]}"#);
    refuses_with(&sandbox, "status", "staging file at image is malformed: duplicate field `layers` at line 1, column ");
}

#[test]
fn documents_beyond_their_bounds_are_refused_with_the_bound() {
    let huge = |sandbox: &Sandbox, name: &str, size: u64| {
        File::create(sandbox.path(name)).and_then(|file| file.set_len(size)).expect("a sparse file");
    };
    // The contents are not compared, which would take longer than the rest of the test.
    let refuses = |sandbox: &Sandbox, words: &str, message: &str| {
        run(sandbox, &format!("layout {words} --path image --quiet")).fails(format!("Error: {message}\n"));
    };
    const MIB: u64 = 1 << 20;
    let sandbox = Sandbox::built();
    huge(&sandbox, STAGE, 128 * MIB + 1);
    for command in STAGE_READERS {
        refuses(&sandbox, command, "staging file at image is malformed: it is larger than 134217728 bytes");
    }
    let sandbox = Sandbox::built();
    huge(&sandbox, "image/index.json", 128 * MIB + 1);
    for command in INDEX_READERS {
        refuses(&sandbox, command, INDEX_ERROR);
    }
    let outcome = run(&sandbox, "layout validate --path image");
    outcome.fails(format!("Error: {INDEX_ERROR}\n  caused by: it is larger than 134217728 bytes\n"));
    let sandbox = Sandbox::built();
    huge(&sandbox, "image/oci-layout", 200 * MIB);
    for command in ["validate", "show", "status", "add layer --file base.tar"] {
        refuses(&sandbox, command, "oci-layout at image is malformed: it is larger than 65536 bytes");
    }
    for size in [8 * MIB + 1, 200 * MIB] {
        let sandbox = Sandbox::built();
        huge(&sandbox, &blob_name(MANIFEST), size);
        let message = format!("document {MANIFEST} is larger than 8388608 bytes");
        refuses(&sandbox, "annotate manifest --annotation a=b", &message);
        let outcome = run(&sandbox, "layout validate --path image");
        assert!(outcome.stderr.lines().any(|line| line == format!("Error: {message}")), "{outcome:?}");
        let sandbox = Sandbox::built();
        huge(&sandbox, &blob_name(CONFIG), size);
        let message = format!("document {CONFIG} is larger than 8388608 bytes");
        for command in ["update config --os plan9", "generate manifest"] {
            refuses(&sandbox, command, &message);
        }
    }
}

#[test]
fn impossible_sizes_are_rejected() {
    let sandbox = Sandbox::built();
    for (size, reason) in [
        ("-1", "invalid value: integer `-1`, expected u64"),
        ("18446744073709551616", "invalid "),
        ("1e999", "number out of range"),
        ("1.5", "invalid type: floating point `1.5`, expected u64"),
    ] {
        let stage = sandbox.text(STAGE);
        sandbox.write(STAGE, stage.replacen(&format!("\"size\": {BASE_SIZE}"), &format!("\"size\": {size}"), 1));
        for command in STAGE_READERS {
            refuses_with(&sandbox, command, &format!("staging file at image is malformed: {reason}"));
        }
        sandbox.write(STAGE, stage);
    }
    for size in [json!(1u64 << 62), json!(-1), json!(u64::MAX), json!(0)] {
        let mut content = sandbox.blob_json(MANIFEST);
        content["layers"][0]["size"] = size.clone();
        let manifest = replace_manifest(&sandbox, content.to_string().as_bytes());
        finds(
            &sandbox,
            "errors",
            &if size.as_u64().is_some_and(|size| size <= 1 << 62) {
                format!("size mismatch for {BASE}: expected {size}, got {BASE_SIZE}")
            } else {
                format!("layer[0] in manifest {manifest}: size is {size}, not a number of bytes")
            },
        );
    }
}

#[test]
fn control_characters_are_stored_as_they_are_and_shown_as_escapes() {
    let hostile = "a\u{1b}]0;title\u{7}\r\n\u{9b}2J\u{7f}\u{8}";
    let shown = "a\\u{1b}]0;title\\u{7}\\r\\n\\u{9b}2J\\u{7f}\\u{8}";
    let sandbox = Sandbox::built();
    // A media type with control characters is invalid.
    let good = sandbox.read(STAGE);
    sandbox.edit(STAGE, |stage| stage["layers"][0]["media_type"] = json!(hostile));
    let says = format!("staging file at image is malformed: '{shown}' is not a media type of the form type/subtype");
    refuses_with(&sandbox, "status", &says);
    sandbox.write(STAGE, good);
    let annotation = format!("{hostile}={hostile}");
    let mut texts = vec![run(&sandbox, "layout status --path image")];
    for command in [["layer", "--index", "0"].as_slice(), &["manifest"]] {
        let words = ["layout", "annotate"].iter().chain(command).copied();
        texts.push(sandbox.run_words(words.chain(["--path", "image", "--annotation", &annotation])));
    }
    assert_eq!(sandbox.stage()["layers"][0]["annotations"][hostile], json!(hostile));
    assert_eq!(sandbox.stage()["manifest"]["annotations"][hostile], json!(hostile));
    texts.push(sandbox.run_words(["layout", "generate", "config", "--path", "image", "--annotation", &annotation]));
    texts.push(sandbox.run_words(["layout", "update", "config", "--path", "image", "--annotation", &annotation]));
    texts.push(sandbox.run_words(["layout", "generate", "manifest", "--path", "image", "--annotation", &annotation]));
    let shown_by: Vec<_> = texts.iter().map(|outcome| outcome.stdout.contains(shown)).collect();
    // The other commands do not print them.
    assert_eq!(shown_by, [false, true, true, false, false, false]);
    for outcome in &texts {
        assert_eq!(outcome.status, 0, "{outcome:?}");
        let text = outcome.stdout.clone() + &outcome.stderr;
        assert!(!text.contains(|it: char| it.is_control() && it != '\n'), "{text:?}");
    }
}

/// Files of other kinds; Unix has more of them.
#[cfg(unix)]
fn put(sandbox: &Sandbox, name: &str, kind: &str) {
    let path = sandbox.path(name);
    if path.is_dir() {
        std::fs::remove_dir_all(&path).expect("removed");
    } else {
        std::fs::remove_file(&path).expect("removed");
    }
    match kind {
        "directory" => std::fs::create_dir(path).expect("created"),
        "pipe" => make_fifo(path),
        "socket" => drop(std::os::unix::net::UnixListener::bind(path).expect("bound")),
        // One that never ends; only root can make it, but any user can link to it.
        "device" => {
            if !make_device(&path) {
                std::os::unix::fs::symlink("/dev/zero", path).expect("linked");
            }
        }
        _ => unreachable!("{kind}"),
    }
}

/// Makes a device like `/dev/zero`; returns whether that was possible.
#[cfg(target_os = "linux")]
fn make_device(path: &std::path::Path) -> bool {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    mknodat(CWD, path, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(1, 5)).is_ok()
}

#[cfg(all(unix, not(target_os = "linux")))]
fn make_device(_path: &std::path::Path) -> bool {
    false
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_in_the_place_of_a_document_are_refused_at_once() {
    for kind in ["directory", "pipe", "socket", "device"] {
        let reason = |sandbox: &Sandbox, name: &str| match sandbox.path(name).is_symlink() {
            true => "a link that leads out of the layout".to_owned(),
            false => format!("{}, not a regular file", called(kind)),
        };
        let sandbox = Sandbox::built();
        put(&sandbox, STAGE, kind);
        let message = format!("staging file at image is malformed: {}", reason(&sandbox, STAGE));
        STAGE_READERS.iter().for_each(|command| refuses(&sandbox, command, &message));
        finds(&sandbox, "warnings", &message);

        let sandbox = Sandbox::built();
        put(&sandbox, "image/index.json", kind);
        INDEX_READERS.iter().for_each(|command| refuses(&sandbox, command, INDEX_ERROR));
        finds(&sandbox, "errors", &format!("{INDEX_ERROR}: {}", reason(&sandbox, "image/index.json")));

        let sandbox = Sandbox::built();
        put(&sandbox, "image/oci-layout", kind);
        let message = format!("oci-layout at image is malformed: {}", reason(&sandbox, "image/oci-layout"));
        for command in STAGE_READERS.iter().chain(&INDEX_READERS) {
            refuses(&sandbox, command, &message);
        }
        finds(&sandbox, "errors", &message);
    }
}

/// The name of a kind of file in messages.
#[cfg(unix)]
fn called(kind: &str) -> &'static str {
    match kind {
        "directory" => "a directory",
        "pipe" => "a named pipe",
        "socket" => "a socket",
        _ => "a device",
    }
}

/// The message about a file of another kind in the place of a blob, with the way out.
#[cfg(unix)]
fn no_blob(sandbox: &Sandbox, blob: &str, kind: &str) -> (String, &'static str) {
    let name = blob_name(blob);
    if sandbox.path(&name).is_symlink() {
        let hint = "; replace the link with the file; --shared-blobs follows a link at 'blobs' only";
        return (format!("blob {blob} is a link out of the layout: {name}"), hint);
    }
    (format!("blob {blob} is not a regular file: {name} is {}", called(kind)), "")
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_in_the_place_of_a_blob_are_refused_at_once() {
    for kind in ["directory", "pipe", "socket", "device"] {
        for (blob, commands) in [
            (BASE, ["generate manifest"].as_slice()),
            (CONFIG, &["generate manifest", "update config --os plan9"]),
            (MANIFEST, &["annotate manifest --annotation a=b"]),
        ] {
            let sandbox = Sandbox::built();
            put(&sandbox, &blob_name(blob), kind);
            let (message, hint) = no_blob(&sandbox, blob, kind);
            commands.iter().for_each(|command| refuses(&sandbox, command, &format!("{message}{hint}")));
            finds(&sandbox, "errors", &message);
        }
        // A layer without a known diff_id is read to compute it.
        let sandbox = Sandbox::built();
        sandbox.edit(STAGE, |stage| drop(stage["layers"][0].as_object_mut().expect("an object").remove("diff_id")));
        put(&sandbox, &blob_name(BASE), kind);
        let (message, hint) = no_blob(&sandbox, BASE, kind);
        refuses(&sandbox, "generate config --os plan9", &format!("{message}{hint}"));
    }
}

#[cfg(unix)]
#[test]
fn a_file_in_the_place_of_the_blob_directory_is_refused() {
    for kind in ["pipe", "socket", "device"] {
        for place in ["image/blobs", "image/blobs/sha256"] {
            let sandbox = Sandbox::built();
            put(&sandbox, place, kind);
            for command in ["add layer --file base.tar", "generate config --os plan9"] {
                let before = sandbox.tree();
                let outcome = run(&sandbox, &format!("layout {command} --path image --quiet"));
                assert_eq!((outcome.status, outcome.stdout.as_str(), outcome.stderr.lines().count()), (1, "", 1));
                let message = outcome.stderr.strip_prefix("Error: ").expect("an error");
                let is_link = sandbox.path(place).is_symlink();
                let expected = if is_link { place } else { "failed to create image/blobs/sha256: " };
                assert!(message.starts_with(expected), "{message}");
                assert_eq!(sandbox.tree(), before);
            }
            for (command, blob, referrer) in [
                ("annotate manifest --annotation a=b", MANIFEST, "index.json"),
                ("generate manifest", BASE, "the staging file"),
                ("update config --os plan9", CONFIG, "the staging file"),
            ] {
                if !sandbox.path(place).is_symlink() {
                    refuses(&sandbox, command, &format!("blob {blob} referenced by {referrer} does not exist"));
                }
            }
            assert_eq!(run(&sandbox, "layout validate --path image").status, 1);
        }
    }
}

#[cfg(unix)]
#[test]
fn an_unreadable_file_is_an_error_that_names_it() {
    use std::os::unix::fs::PermissionsExt;

    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: root may read everything");
        return;
    }
    let denied = "Permission denied (os error 13)";
    for (name, command) in [
        (STAGE.to_owned(), "status"),
        ("image/index.json".to_owned(), "show"),
        ("image/oci-layout".to_owned(), "show"),
        (blob_name(CONFIG), "update config --os plan9"),
        (blob_name(MANIFEST), "annotate manifest --annotation a=b"),
    ] {
        let sandbox = Sandbox::built();
        let set_mode = |mode| {
            std::fs::set_permissions(sandbox.path(&name), std::fs::Permissions::from_mode(mode)).expect("set");
        };
        set_mode(0);
        run(&sandbox, &format!("layout {command} --path image"))
            .fails(format!("Error: failed to read {name}: {denied}\n"));
        set_mode(0o644);
        sandbox.is_valid();
    }
}

#[test]
fn cyclic_indexes_hang_no_command() {
    // No digest can be that of a document that contains it: a cycle has a document of another digest than its name's.
    let sandbox = Sandbox::built();
    let (one, other) = (format!("sha256:{}", "1".repeat(64)), format!("sha256:{}", "2".repeat(64)));
    let entry = |digest: &str| json!({"mediaType": INDEX_TYPE, "digest": digest, "size": 1});
    for (digest, content) in [
        (&one, json!({"schemaVersion": 2, "manifests": [entry(&other), entry(&one)]})),
        (&other, json!({"schemaVersion": 2, "manifests": [], "subject": entry(&one)})),
    ] {
        sandbox.write(&blob_name(digest), content.to_string());
    }
    sandbox.edit("image/index.json", |index| {
        index["manifests"].as_array_mut().expect("an array").extend([entry(&one), entry(&other)]);
        index["subject"] = entry(&one);
    });
    for words in
        ["annotate manifest --annotation a=b", "update config --os plan9", "generate config", "generate manifest"]
    {
        let outcome = run(&sandbox, &format!("layout {words} --path image --quiet"));
        assert_eq!(outcome.status, 0, "{outcome:?}");
    }
    // The references of such a document are not known: nothing is deleted.
    for digest in [BASE, PATCHES, CONFIG, MANIFEST, &one, &other] {
        assert!(sandbox.path(blob_name(digest)).exists(), "{digest}");
    }
    let outcome = run(&sandbox, "layout validate --path image --json");
    assert_eq!(outcome.status, 1);
    let value = outcome.json();
    let errors: Vec<_> = value["errors"].as_array().expect("an array").iter().filter_map(Value::as_str).collect();
    for digest in [&one, &other] {
        assert!(errors.iter().any(|error| error.starts_with(&format!("digest mismatch for {digest}: "))), "{errors:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_blob_replaced_during_a_read_is_reported_or_unnoticed() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let sandbox = Sandbox::built();
    let names = [BASE, CONFIG, MANIFEST].map(|digest| sandbox.path(blob_name(digest)));
    let contents = [BASE, CONFIG, MANIFEST].map(|digest| sandbox.blob(digest));
    let side = sandbox.path("side");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for at in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
                for (name, content) in names.iter().zip(&contents) {
                    // Another file at the path, a truncated file, and the original again.
                    std::fs::write(&side, &content[..content.len() * (at % 3) / 3]).expect("written");
                    std::fs::rename(&side, name).expect("renamed");
                    std::fs::write(name, content).expect("written");
                }
            }
        });
        let runs = || {
            for _ in 0..10 {
                for words in ["validate --deep", "annotate manifest --annotation a=b", "generate manifest"] {
                    let outcome = run(&sandbox, &format!("layout {words} --path image --quiet"));
                    assert!([0, 1].contains(&outcome.status), "{outcome:?}");
                    let begins = |word: &str| outcome.stderr.lines().filter(|line| line.starts_with(word)).count();
                    assert_eq!(begins("Error: ") + begins("Warning: "), outcome.stderr.lines().count(), "{outcome:?}");
                    assert_eq!(outcome.status == 1, begins("Error: ") > 0, "{outcome:?}");
                }
            }
        };
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(runs));
        stop.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    names.iter().zip(&contents).for_each(|(name, content)| std::fs::write(name, content).expect("written"));
    assert_eq!(run(&sandbox, "layout validate --path image --quiet").status, 0);
}
