//! Every row of the reference's error table, and usage errors. A failing command changes nothing.

use predicates::str::contains;
use serde_json::json;

use crate::support::*;
use crate::views::tar_of;

#[test]
fn a_path_that_is_a_layout_is_not_initialised_again() {
    Sandbox::built().refuses("layout init --path image", "image is already an OCI Image Layout");
}

#[test]
fn every_command_but_init_needs_a_layout() {
    let sandbox = Sandbox::empty();
    std::fs::create_dir(sandbox.path("empty")).expect("created");
    sandbox.write("base.tar", base_tar());
    for command in [
        "add layer --file base.tar",
        "annotate layer --index 0 --annotation a=b",
        "annotate manifest --annotation a=b",
        "generate config",
        "generate manifest",
        "update config --os linux",
        "status",
        "show",
        "validate",
    ] {
        for path in ["empty", "missing", "base.tar"] {
            sandbox.refuses(
                &format!("layout {command} --path {path}"),
                &format!("{path} is not an OCI Image Layout (missing oci-layout file)"),
            );
        }
    }
}

#[test]
fn a_missing_layer_file_is_reported() {
    let sandbox = Sandbox::new();
    for file in ["missing.tar", "./missing.tar", "base.tar/layer"] {
        let words = format!("layout add layer --path image --file {file}");
        sandbox.refuses(&words, &format!("File not found: {file}"));
    }
}

#[test]
fn content_of_an_unknown_format_needs_a_media_type() {
    let sandbox = Sandbox::new();
    for (name, shown) in [("notes.txt", ".txt"), ("notes", "notes"), (".notes", ".notes"), ("a.tar.bin", ".bin")] {
        sandbox.write(name, "just text");
        sandbox.refuses(
            &format!("layout add layer --path image --file {name}"),
            &format!("cannot infer media type for '{shown}'; use --media-type"),
        );
    }
}

#[test]
fn an_index_out_of_range_says_how_many_layers_there_are() {
    let cases = [(Sandbox::new(), 0), (Sandbox::staged(), 2)];
    for (sandbox, count) in cases {
        for index in ["2", "99", "-1", "9223372036854775807"] {
            sandbox.refuses(
                &format!("layout annotate layer --path image --index {index} --annotation a=b"),
                &format!("layer index {index} out of range (staged layers: {count})"),
            );
        }
    }
}

#[test]
fn a_step_out_of_order_names_the_missing_step() {
    const NO_LAYERS: &str = "no layers have been staged; run 'layout add layer' first";
    const NO_CONFIG: &str = "config not generated; run 'layout generate config' first";
    const NO_MANIFEST: &str = "manifest not generated; run 'layout generate manifest' first";
    let empty = Sandbox::new();
    empty.refuses("layout generate config --path image", NO_LAYERS);
    empty.refuses("layout generate manifest --path image", NO_LAYERS);
    empty.refuses("layout update config --path image --os linux", NO_CONFIG);
    empty.refuses("layout annotate manifest --path image --annotation a=b", NO_MANIFEST);
    let staged = Sandbox::staged();
    staged.refuses("layout generate manifest --path image", NO_CONFIG);
    staged.refuses("layout update config --path image --os linux", NO_CONFIG);
    Sandbox::configured().refuses("layout annotate manifest --path image --annotation a=b", NO_MANIFEST);
}

#[test]
fn a_malformed_index_is_reported() {
    let sandbox = Sandbox::built();
    for content in
        ["", "{}", "[]", "{\"schemaVersion\":1,\"manifests\":[]}", "{\"schemaVersion\":2,\"manifests\":[{}]}"]
    {
        sandbox.write("image/index.json", content);
        for command in ["show", "generate manifest", "annotate manifest --annotation a=b"] {
            sandbox.refuses(
                &format!("layout {command} --path image"),
                "index.json at image is not a valid OCI Image Index",
            );
        }
        let outcome = sandbox.run("layout validate --path image");
        assert_eq!((outcome.status, outcome.stdout.as_str()), (1, ""));
        let first = outcome.stderr.lines().next();
        // An invalid entry is reported as such.
        let expected = if content.ends_with("[{}]}") {
            "Error: manifests[0] in index.json: mediaType is missing"
        } else {
            "Error: index.json at image is not a valid OCI Image Index"
        };
        assert_eq!(first, Some(expected), "{content}");
    }
    std::fs::remove_file(sandbox.path("image/index.json")).expect("removed");
    let message = "index.json at image is not a valid OCI Image Index; the file is missing: restore it, or list each \
                   manifest again with 'layout manifest put', which creates it";
    sandbox.refuses("layout show --path image", message);
    let show = "layout show --path image";
    // The command that the message suggests accepts the file.
    sandbox.ok(&format!("layout manifest put --path image --tag v1 --file {}", blob_name(MANIFEST)));
    sandbox.ok(show);
    sandbox.is_valid();
}

#[test]
fn a_byte_order_mark_is_named_with_its_file() {
    for (name, message) in [
        (
            "image/index.json",
            "index.json at image is not a valid OCI Image Index; it begins with a byte order mark: save it without one",
        ),
        ("image/oci-layout", "oci-layout at image is malformed: it begins with a byte order mark; save it without one"),
        (
            "image/.regshape-stage.json",
            "staging file at image is malformed: it begins with a byte order mark; save it without one",
        ),
    ] {
        let sandbox = Sandbox::built();
        let content = [b"\xef\xbb\xbf".as_slice(), &sandbox.read(name)].concat();
        sandbox.write(name, content);
        sandbox.refuses("layout generate manifest --path image -q", message);
    }
    let sandbox = Sandbox::built();
    let manifest = [b"\xef\xbb\xbf".as_slice(), &sandbox.read(&blob_name(MANIFEST))].concat();
    sandbox.write("m.json", manifest);
    let message = "m.json is not JSON: it begins with a byte order mark (MANIFEST_INVALID); save it without one";
    sandbox.refuses("layout manifest put --path image --file m.json", message);
    for list in ["[]", "[{}]"] {
        let list = format!("\u{feff}{list}");
        sandbox.write("x.tar", tar_of(&[("manifest.json", list.as_bytes())]));
        let message = "x.tar is not an image archive: manifest.json is not a list of images: it begins with a byte order \
                       mark; create the archive again without it";
        sandbox.refuses("layout inspect --file x.tar", message);
    }
}

#[test]
fn a_blob_with_other_content_is_a_digest_mismatch() {
    let sandbox = Sandbox::built();
    let other = "x".repeat(CONFIG_SIZE as usize);
    let message = format!("digest mismatch for {CONFIG}: expected {CONFIG}, got {}", sha256(other.as_bytes()));
    sandbox.write(&blob_name(CONFIG), other);
    for command in ["validate", "generate manifest", "update config --os linux"] {
        sandbox.refuses(&format!("layout {command} --path image"), &message);
    }
}

#[test]
fn a_missing_blob_is_reported_with_its_referrer() {
    for (blob, referrer) in [(BASE, MANIFEST), (CONFIG, MANIFEST), (MANIFEST, "index.json")] {
        let sandbox = Sandbox::built();
        std::fs::remove_file(sandbox.path(blob_name(blob))).expect("removed");
        sandbox
            .refuses("layout validate --path image", &format!("blob {blob} referenced by {referrer} does not exist"));
    }
}

#[test]
fn under_json_an_error_is_one_object_on_one_line_of_stderr() {
    let sandbox = Sandbox::built();
    sandbox.write("f", "{}");
    std::fs::write(sandbox.path("broken.tar.gz"), [0x1f, 0x8b, 8, 0, 0]).expect("written");
    let empty = Sandbox::new();
    for (sandbox, words, status, code, message, hint) in [
        (
            &empty,
            "generate config -p image",
            1,
            "NOT_STAGED",
            "no layers have been staged",
            Some("run 'layout add layer' first"),
        ),
        (
            &sandbox,
            "status -p elsewhere",
            1,
            "NOT_A_LAYOUT",
            "elsewhere is not an OCI Image Layout (missing oci-layout file)",
            None,
        ),
        (
            &sandbox,
            "manifest get -p image:none",
            3,
            "MANIFEST_UNKNOWN",
            "image has no manifest 'none'",
            Some("'layout tag list' lists the tags"),
        ),
        (&sandbox, "tag list -p image --repo x/y", 3, "NAME_UNKNOWN", "image has no repository 'x/y'", Some("")),
        (&sandbox, "tag delete -p image --ref none", 3, "MANIFEST_UNKNOWN", "image has no tag 'none'", Some("")),
        (
            &sandbox,
            "blob head -p image -d sha256:1",
            1,
            "DIGEST_INVALID",
            "'sha256:1' is not a digest: its hash has the wrong length",
            None,
        ),
        (&sandbox, "import -p new -f f", 1, "ARCHIVE_INVALID", "f is not an image archive: it is not a tar", None),
        (&sandbox, "add layer -p image -f missing", 1, "FILE_NOT_FOUND", "File not found: missing", None),
        (&sandbox, "export -p image:none -o out", 3, "MANIFEST_UNKNOWN", "image has no manifest 'none'", Some("")),
    ] {
        let before = sandbox.tree();
        let outcome = sandbox.run(&format!("layout {words} --json"));
        assert_eq!((outcome.status, outcome.stdout.as_str()), (status, ""), "{words}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{words}");
        let value: serde_json::Value = serde_json::from_str(&outcome.stderr).expect("JSON");
        let error = &value["error"];
        assert_eq!((&error["code"], &error["message"]), (&json!(code), &json!(message)), "{words}");
        match hint {
            None => assert_eq!(error.get("hint"), None, "{words}"),
            Some("") => assert!(error["hint"].is_string(), "{words}"),
            Some(hint) => assert_eq!(error["hint"], hint, "{words}"),
        }
        assert_eq!(sandbox.tree(), before, "{words} changed something");
    }
    let outcome = sandbox.run("layout add layer -p image -f broken.tar.gz --media-type application/x-x --json");
    let value: serde_json::Value = serde_json::from_str(&outcome.stderr).unwrap_or_default();
    assert_eq!(value["error"]["code"], "LAYER_INVALID", "{outcome:?}");
    assert_eq!(value["error"]["causes"].as_array().map(Vec::len), Some(1), "{outcome:?}");
    // Usage errors are text even with `--json`.
    sandbox.run("layout add layer -p image -f f --compress-format none --level 3 --json").is(
        2,
        "",
        "Error: --level has no meaning with --compress-format none\n",
    );
}

#[test]
fn the_ten_commands_of_the_reference_never_end_with_status_3() {
    let sandbox = Sandbox::built();
    std::fs::remove_file(sandbox.path(blob_name(BASE))).expect("removed");
    for words in
        ["validate -p image", "generate manifest -p image", "annotate layer -p image --index 9 --annotation a=b"]
    {
        assert_eq!(sandbox.run(&format!("layout {words}")).status, 1, "{words}");
    }
    for (words, status) in [
        ("manifest get -p image:none", 3),
        ("manifest get -p image:latest --platform linux/arm64", 3),
        ("manifest descriptor -p image --ref sha256:0123", 3),
        ("blob head -p image -d sha256:0000000000000000000000000000000000000000000000000000000000000000", 3),
        ("tag delete -p image --ref none", 3),
        ("tag list -p image --repo none/none", 3),
        ("export -p image -o out --ref none", 3),
        ("export -p image -o out --platform linux/arm64", 3),
        ("inspect -p image --platform linux/arm64", 3),
        ("inspect -p missing", 1),
        ("export -p image -o out", 1),
        ("import -p new -f missing", 1),
    ] {
        let outcome = sandbox.run(&format!("layout {words}"));
        assert_eq!(outcome.status, status, "{words}: {}", outcome.stderr);
    }
}

#[test]
fn usage_errors_exit_with_2_and_change_nothing() {
    let sandbox = Sandbox::built();
    let before = sandbox.tree();
    for (words, said) in [
        ("layout init", "which directory? name it with -p DIR or REGSHAPE_LAYOUT"),
        ("layout add layer --path image", "--file <FILE>"),
        ("layout add layer --file base.tar", "which layout? name it with -p DIR or REGSHAPE_LAYOUT"),
        ("layout annotate layer --path image --index 0", "--annotation <KEY=VALUE>"),
        ("layout annotate layer --path image --annotation a=b", "--index <N>"),
        ("layout annotate layer --path image --index one --annotation a=b", "invalid value 'one'"),
        ("layout annotate manifest --path image", "--annotation <KEY=VALUE>"),
        ("layout status --path image --colour", "unexpected argument '--colour'"),
        ("layout status --path image more", "cannot be used with '[DIR]'"),
        ("layout statuses --path image", "unrecognized subcommand 'statuses'"),
        ("layout add layer --path image --file base.tar --compress-format lz4", "[possible values: gzip, zstd]"),
        ("layout add layer --path image --file base.tar --annotation role", "expected KEY=VALUE"),
        ("layout add layer --path image --file base.tar --annotation =base", "the key is empty; expected KEY=VALUE"),
        ("layout generate config --path image --annotation role", "expected KEY=VALUE"),
        ("layout generate manifest --path image --annotation =", "the key is empty; expected KEY=VALUE"),
        ("layout update config --path image --annotation role", "expected KEY=VALUE"),
        ("layout status --path image --telemetry-format yaml", "[possible values: text, json]"),
        ("layout status --path image -t 3", "3 is not in 0..=2"),
        ("completions tcsh", "[possible values: bash, elvish, fish, powershell, zsh]"),
        ("layout", "Usage: regshape layout"),
        ("", "Usage: regshape"),
    ] {
        sandbox.run(words).fails_with(2, contains(said));
    }
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn values_that_cannot_be_used_are_errors_and_change_nothing() {
    let sandbox = Sandbox::configured();
    for (words, said) in [
        ("add layer --file base.tar --media-type tar", "'tar' is not a media type of the form type/subtype"),
        ("generate config --media-type=", "'' is not a media type of the form type/subtype"),
        ("generate config --architecture=", "the value of --architecture is empty"),
        ("generate config --os=", "the value of --os is empty"),
        ("generate manifest --media-type a/b/c", "'a/b/c' is not a media type of the form type/subtype"),
        ("update config --architecture=", "the value of --architecture is empty"),
        ("update config --os=", "the value of --os is empty"),
    ] {
        sandbox.refuses(&format!("layout {words} --path image --quiet"), said);
    }
}

#[cfg(unix)]
#[test]
fn words_that_are_not_utf_8_are_a_usage_error_but_paths_may_be_anything() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let sandbox = Sandbox::new();
    let odd = OsStr::from_bytes(b"caf\xe9.tar");
    let run = |words: &[&OsStr]| -> Outcome {
        sandbox.command().args(["layout", "add", "layer", "--path", "image"]).args(words).output().expect("runs").into()
    };
    let before = sandbox.tree();
    let outcome = run(&["--file".as_ref(), "base.tar".as_ref(), "--annotation".as_ref(), OsStr::from_bytes(b"a=\xff")]);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (2, ""), "{outcome:?}");
    assert_eq!(sandbox.tree(), before);
    // Some file systems do not support such a name.
    if std::fs::write(sandbox.path(odd), base_tar()).is_ok() {
        run(&["--file".as_ref(), odd]).succeeds(
            staged_layer(BASE, BASE_SIZE, GZIP_TYPE),
            "Input file is not compressed. Compressing with gzip...\n",
        );
    }
}

#[test]
fn of_a_key_that_is_given_twice_the_last_value_counts_and_a_value_may_be_anything() {
    let sandbox = Sandbox::staged();
    let words = ["layout", "annotate", "layer", "-p", "image", "-i", "0", "--json"];
    let annotations = ["--annotation", "a=1", "--annotation", "a=2", "--annotation", "b=", "--annotation", "c=x=y z"];
    let outcome = sandbox.run_words(words.into_iter().chain(annotations));
    assert_eq!(outcome.json()["annotations"], json!({"a": "2", "b": "", "c": "x=y z"}));
}

#[test]
fn control_characters_in_messages_are_escaped() {
    let sandbox = Sandbox::empty();
    sandbox
        .run_words(["layout", "show", "--path", "a\u{1b}[31m\nb"])
        .fails("Error: a\\u{1b}[31m\\nb is not an OCI Image Layout (missing oci-layout file)\n");
}
