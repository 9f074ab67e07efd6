//! How commands find their layout, and the spellings of commands.

use serde_json::json;

use crate::support::*;

const NO_LAYOUT: &str = "which layout? name it with -p DIR or REGSHAPE_LAYOUT, or run the command in a layout";

#[test]
fn a_path_needs_no_flag_where_a_command_has_no_other_words() {
    let sandbox = Sandbox::built();
    sandbox.ok("layout export -p image -o image.tar");
    for words in [
        "status DIR",
        "show DIR",
        "show DIR --tree",
        "validate DIR",
        "gc DIR",
        "tag list DIR",
        "catalog list DIR",
        "manifest get DIR:latest",
        "manifest info DIR:latest",
        "manifest descriptor DIR --ref latest",
        "referrer list DIR:latest",
        "inspect DIR",
        "export DIR -o out --dry-run",
    ] {
        let with_flag = sandbox.ok(&format!("layout {}", words.replace("DIR", "--path image"))
            .replace("--path image:latest", "--path image:latest"));
        assert_eq!(sandbox.ok(&format!("layout {}", words.replace("DIR", "image"))), with_flag, "{words}");
        let twice = format!("layout {} -p image", words.replace("DIR", "image"));
        assert_eq!(sandbox.run(&twice).status, 2, "{twice}");
    }
    sandbox.ok("layout init new");
    sandbox.ok("layout import imported -f image.tar");
    sandbox.ok("layout join image image.tar -o joined --ref-name v1");
    sandbox.ok("layout inspect image.tar");
    for words in ["init new -p other", "join image -p image -o out"] {
        assert_eq!(sandbox.run(&format!("layout {words}")).status, 2, "{words}");
    }
}

#[test]
fn without_a_path_the_environment_and_then_the_working_directory_name_the_layout() {
    let sandbox = Sandbox::built();
    let expected = sandbox.ok("layout tag list -p image");
    sandbox.run("layout tag list").is(2, "", format!("Error: {NO_LAYOUT}\n"));
    let run = |words: &str, directory: &str, variable: Option<&str>| -> Outcome {
        let mut command = sandbox.command();
        command.args(words.split(' ')).current_dir(sandbox.path(directory));
        if let Some(path) = variable {
            command.env("REGSHAPE_LAYOUT", path);
        }
        command.output().expect("it runs").into()
    };
    run("layout tag list", "image", None).succeeds(&expected, "");
    run("layout tag list", ".", Some("image")).succeeds(&expected, "");
    run("layout tag list", ".", Some("")).is(2, "", format!("Error: {NO_LAYOUT}\n"));
    // The command line has priority over the environment.
    run("layout tag list -p image", ".", Some("elsewhere")).succeeds(&expected, "");
    assert_eq!(run("layout tag list", "image", Some("elsewhere")).stdout, "");
    run("layout manifest get --ref latest --json", "image", None).json();
    // `init` does not default to the working directory.
    run("layout init", ".", None).is(2, "", "Error: which directory? name it with -p DIR or REGSHAPE_LAYOUT\n");
    run("layout init", ".", Some("made")).succeeds("Initialised OCI Image Layout at made\n", "");
}

#[test]
fn commands_work_without_the_word_layout() {
    let sandbox = Sandbox::built();
    for words in ["status image", "tag list image", "validate -p image", "show image --tree"] {
        assert_eq!(sandbox.ok(words), sandbox.ok(&format!("layout {words}")), "{words}");
    }
    sandbox.run("-v --log-file log status image").succeeds(sandbox.ok("layout status image"), "");
    let help = sandbox.ok("--help");
    assert!(!help.contains("\n  validate "), "{help}");
    for (words, right) in [
        ("vaildate image", "validate"),
        ("layout vaildate image", "validate"),
        ("tag lsit image", "list"),
        ("layot status", "layout"),
    ] {
        sandbox.run(words).fails_with(2, predicates::str::contains(format!("'{right}'")));
    }
}

#[test]
fn commands_have_short_names() {
    let sandbox = Sandbox::built();
    sandbox.ok("tag cp -p image --ref latest v1 v2 v3");
    assert_eq!(sandbox.ok("tag ls image"), "latest\nv1\nv2\nv3\n");
    sandbox.ok("tag mv -p image v3 v4");
    sandbox.ok("tag rm -p image v1 v2");
    assert_eq!(sandbox.ok("tag ls image"), "latest\nv4\n");
    sandbox.ok("catalog ls image");
    sandbox.ok("referrer ls image:latest");
    let blob = sandbox.ok_json("blob upload -p image -f base.tar");
    sandbox.ok(&format!("blob rm -p image -d {}", blob["digest"].as_str().expect("a digest")));
    sandbox.ok("manifest rm image:latest");
}

#[test]
fn a_tag_is_renamed_by_two_words_or_by_one_and_the_path() {
    let sandbox = Sandbox::built();
    for (words, from, to) in [
        ("tag rename -p image latest v1", "latest", "v1"),
        ("tag rename -p image:v1 v2", "v1", "v2"),
        ("tag rename -p image --ref v2 v3", "v2", "v3"),
        ("tag move -p image v3 v4", "v3", "v4"),
    ] {
        let value = sandbox.ok_json(&format!("layout {words}"));
        assert_eq!((&value["from"], &value["to"]), (&json!(from), &json!(to)), "{words}");
        assert_eq!(sandbox.ok("layout tag list image"), format!("{to}\n"));
    }
    let twice = "the old tag is named twice: leave out --ref, the path's tag or the first TAG";
    sandbox.misuses("layout tag rename -p image:v4 v4 v5", twice);
    sandbox.misuses("layout tag rename -p image --ref v4 v4 v5", twice);
    sandbox.misuses("layout tag rename -p image v5", "which image? name it as DIR:TAG (tags: v4)");
    sandbox.refuses(
        "layout tag rename -p image none v5",
        "image has no manifest 'none'; 'layout tag list' lists the tags (MANIFEST_UNKNOWN)"
            .replace(
                "; 'layout tag list' lists the tags (MANIFEST_UNKNOWN)",
                " (MANIFEST_UNKNOWN); 'layout tag list' lists the tags",
            )
            .as_str(),
    );
}

#[test]
fn tags_are_deleted_together_or_not_at_all() {
    let sandbox = Sandbox::built();
    sandbox.ok("layout tag add -p image:latest v1 v2 v3");
    let value = sandbox.ok_json("layout tag delete -p image v1");
    assert_eq!((&value["tag"], &value["status"]), (&json!("v1"), &json!("deleted")));
    let before = sandbox.tree();
    assert_eq!(sandbox.run("layout tag delete -p image v2 none").status, 3);
    assert_eq!(sandbox.tree(), before);
    let value = sandbox.ok_json("layout tag delete -p image v2 v3");
    assert_eq!((&value[0]["tag"], &value[1]["tag"]), (&json!("v2"), &json!("v3")));
    assert_eq!(sandbox.ok("layout tag list image"), "latest\n");
    let twice = "tags are named twice: leave out --ref, the path's tag or the TAGs";
    sandbox.misuses("layout tag delete -p image:latest latest", twice);
    sandbox.misuses("layout tag delete -p image --ref latest latest", twice);
}

#[test]
fn old_flags_still_work_and_are_hidden() {
    let sandbox = Sandbox::built();
    sandbox.ok("layout tag add -p image:latest v1 v2");
    assert_eq!(sandbox.ok("layout tag list image --n 1 --last latest"), "v1\n");
    assert_eq!(sandbox.ok("layout tag list image --limit 1 --after latest"), "v1\n");
    sandbox.ok("layout export image -o other --replace");
    sandbox.ok("layout export image -o other --replace-tag");
    for command in ["tag list", "export", "import", "join"] {
        let help = sandbox.ok(&format!("layout {command} --help"));
        let shown = ["--replace ", "--last", "--n <"];
        assert!(!shown.iter().any(|flag| help.contains(flag)), "{help}");
    }
}

#[test]
fn commands_that_read_one_image_need_no_tag_where_there_is_one() {
    let sandbox = Sandbox::built();
    let digest = sandbox.index()["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    for words in ["manifest get", "manifest info", "manifest descriptor", "referrer list"] {
        assert_eq!(sandbox.ok(&format!("{words} image")), sandbox.ok(&format!("{words} image:latest")), "{words}");
    }
    // An artifact is not counted as an image, and a second tag refers to the same image.
    sandbox.ok("tag add -p image:latest v1");
    assert_eq!(sandbox.ok_json("manifest descriptor image")["digest"], digest.as_str());
    for words in ["manifest delete image", "tag delete -p image", "tag rename -p image v2", "tag add -p image v2"] {
        sandbox.misuses(&format!("layout {words}"), "which image? name it as DIR:TAG (tags: latest, v1)");
    }
    sandbox.ok("update config -p image --architecture arm64 -q");
    sandbox.ok("generate manifest -p image --ref-name arm -q");
    sandbox.misuses("layout manifest info image", "which image? name it as DIR:TAG (tags: arm, latest, v1)");
}

#[test]
fn a_stored_blob_is_named_by_the_beginning_of_its_digest() {
    let sandbox = Sandbox::built();
    let whole = sandbox.ok(&format!("layout blob head image -d {BASE}"));
    for beginning in [&BASE[..11], &BASE[7..11], &BASE[..40]] {
        assert_eq!(sandbox.ok(&format!("layout blob head image -d {beginning}")), whole, "{beginning}");
        assert_eq!(sandbox.run(&format!("layout blob get image -d {beginning} -o got")).status, 0, "{beginning}");
        assert_eq!(sandbox.read("got"), sandbox.blob(BASE));
    }
    let unknown = "no blob in image has a digest that begins with 'sha256:0000' (BLOB_UNKNOWN)";
    sandbox.run("layout blob head image -d sha256:0000").is(3, "", format!("Error: {unknown}\n"));
    for words in ["blob upload -p image -f base.tar", "manifest put -p image -f base.tar"] {
        let error = format!("'{}' is not a digest: it has no colon (DIGEST_INVALID)", &BASE[7..15]);
        sandbox.refuses(&format!("layout {words} --digest {}", &BASE[7..15]), &error);
    }
    // Two blobs with a common prefix are distinguished by more digits.
    for digits in ["aaaa0", "aaaa1"] {
        sandbox.write(&format!("image/blobs/sha256/{digits:0<64}"), "");
    }
    let outcome = sandbox.run("layout blob head image -d aaaa");
    assert!(outcome.status == 1 && outcome.stderr.contains("matches several digests"), "{outcome:?}");
    sandbox.ok("layout blob head image -d aaaa1");
    sandbox.ok("layout blob delete -p image -d aaaa1");
    assert!(!sandbox.path(format!("image/blobs/sha256/{:0<64}", "aaaa1")).exists());
    assert!(sandbox.path(format!("image/blobs/sha256/{:0<64}", "aaaa0")).exists());
}

#[test]
fn a_command_on_a_layout_says_to_remove_the_tag() {
    let sandbox = Sandbox::built();
    for words in ["status", "gc", "ls", "tag list"] {
        let (command, _) = words.split_once(" -").unwrap_or((words, ""));
        let message = format!("'{command}' takes a layout: remove ':latest' from the path");
        sandbox.misuses(&format!("layout {words} -p image:latest"), &message);
    }
    for words in ["generate config", "generate manifest", "add base --from image", "reset"] {
        let (command, _) = words.split_once(" -").unwrap_or((words, ""));
        let message = format!(
            "'{command}' takes a layout: remove ':latest' from the path; 'layout update config' changes an image, and \
             'layout build' makes one on another"
        );
        sandbox.misuses(&format!("layout {words} -p image:latest"), &message);
    }
}
