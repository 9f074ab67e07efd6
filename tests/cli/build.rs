//! `layout build`: files, tars and a base become an image in one step.

use std::fs;

use serde_json::{Value, json};

use crate::support::*;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.path("site")).expect("made");
    // The header of a program for amd64.
    let app = "\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0";
    for (name, content) in
        [("app", app), ("app-amd64", "amd64"), ("app-arm64", "arm64"), ("site/index.html", "<h1>hello</h1>")]
    {
        sandbox.write(name, content);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(sandbox.path(name), fs::Permissions::from_mode(0o755)).expect("set");
        }
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(sandbox.path("site"), fs::Permissions::from_mode(0o755)).expect("set");
    }
    sandbox.write("base.tar", base_tar());
    sandbox
}

/// Returns the entry of a tag.
fn entry(sandbox: &Sandbox, tag: &str) -> Value {
    let index = sandbox.index();
    let entries = index["manifests"].as_array().expect("entries");
    let is_it = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
    entries.iter().find(is_it).unwrap_or_else(|| panic!("no {tag} in {index}")).clone()
}

fn manifest(sandbox: &Sandbox, tag: &str) -> Value {
    sandbox.blob_json(entry(sandbox, tag)["digest"].as_str().expect("a digest"))
}

/// Section 0: one warning lists the referrers that stay with the old digest.
#[test]
fn signatures_of_an_image_that_loses_its_tag_stay_with_the_old_digest() {
    const LEFT: &str = "signatures and other referrers stay with the old digest";
    let sandbox = sandbox();
    sandbox.ok("build -o image:v1 --copy app");
    let unsigned = sandbox.run("build -o image:v1 --copy app --user 1 -q");
    assert_eq!((unsigned.status, unsigned.stderr.as_str()), (0, ""));
    let attach = "attach image:v1 --artifact-type application/spdx+json --file site/index.html";
    let sbom =
        |sandbox: &Sandbox| sandbox.run(&format!("{attach} --json")).json()["digest"].as_str().map(str::to_owned);
    let warning = |sbom: Option<String>| format!("{LEFT}: {}", sbom.expect("a digest"));
    let first = warning(sbom(&sandbox));
    let same = sandbox.run("build -o image:v1 --copy app --user 1 -q");
    assert_eq!((same.status, same.stderr.as_str()), (0, ""), "the image is the same");
    let planned = sandbox.run("build -o image:v1 --copy app --user 2 --dry-run --json");
    assert_eq!((planned.status, &planned.json()["warnings"]), (0, &json!([first])));
    let built = sandbox.run("build -o image:v1 --copy app --user 2 -q");
    assert_eq!((built.status, built.stderr), (0, format!("Warning: {first}\n")));
    let second = warning(sbom(&sandbox));
    let built = sandbox.run("build -o image:v1 --copy app --user 3 --json");
    assert_eq!((built.status, &built.json()["warnings"]), (0, &json!([second])));
    // A tag that is taken from another image leaves its referrers with it too.
    sandbox.ok("generate index -p image --ref-name v2 v1");
    let of_index = sandbox.run("attach image:v2 --artifact-type application/spdx+json --file app --json").json();
    let third = warning(of_index["digest"].as_str().map(str::to_owned));
    let built = sandbox.run("build -o image:v2 --copy app --user 4 --replace-tag --json");
    assert_eq!((built.status, &built.json()["warnings"]), (0, &json!([third])));
}

#[test]
fn one_command_builds_an_image_that_staged_commands_build_too() {
    let sandbox = sandbox();
    let built = sandbox.run("build -o image --copy app:/usr/bin/app --layer base.tar --copy site:/srv --entrypoint /usr/bin/app --env A=b --user 33 --expose 80 --label x=y --annotation m=n");
    let digest = entry(&sandbox, "latest")["digest"].as_str().expect("a digest").to_owned();
    let size = sandbox.blob(&digest).len();
    built.succeeds(
        format!("Updated image:latest:\n      digest: {digest}\n        size: {size}\n  media-type: {MANIFEST_TYPE}\n    ref-name: latest\n"),
        "",
    );
    sandbox.is_valid();
    for words in [
        "init staged",
        "add layer staged --copy app:/usr/bin/app",
        "add layer staged --file base.tar",
        "add layer staged --copy site:/srv",
        "generate config staged --entrypoint /usr/bin/app --env A=b --user 33 --expose 80 --label x=y",
        "generate manifest staged --ref-name latest --annotation m=n",
    ] {
        sandbox.ok(words);
    }
    assert_eq!(sandbox.json("staged/index.json"), sandbox.index());
    assert_eq!(sandbox.stage()["layers"], json!([]));
    assert_eq!(sandbox.stage()["built"], json!([digest]));
    let config = sandbox.blob_json(manifest(&sandbox, "latest")["config"]["digest"].as_str().expect("a digest"));
    assert_eq!(config["history"][1]["created_by"], "regshape add layer --file");
    assert_eq!(config["history"].as_array().expect("a history").len(), 3);
}

#[test]
fn a_build_replaces_its_own_image_and_no_other() {
    let sandbox = sandbox();
    sandbox.ok("build -o image:v1 --copy app");
    let first = sandbox.blobs();
    sandbox.ok("build -o image:v1 --copy app --cmd x");
    let second = sandbox.blobs();
    assert_eq!(first.intersection(&second).count(), 1, "the layer stays, and the documents go");
    assert_eq!(sandbox.index()["manifests"].as_array().expect("entries").len(), 1);
    sandbox.ok("build -o image:v2 --copy app-amd64");
    sandbox.ok("init other");
    sandbox.ok("add layer other --file base.tar");
    sandbox.ok("generate config other");
    sandbox.ok("generate manifest other --ref-name v2");
    let before = sandbox.tree();
    let refused = sandbox.run("build -o other:v2 --copy app");
    assert_eq!((refused.status, refused.stdout.as_str()), (1, ""), "{refused:?}");
    assert!(refused.stderr.contains("'v2'"), "{refused:?}");
    assert_eq!(sandbox.tree(), before);
    sandbox.ok("build -o other:v2 --copy app --replace-tag");
    let index = sandbox.json("other/index.json");
    assert_eq!(index["manifests"].as_array().expect("entries").len(), 2, "{index}");
    sandbox.run("layout validate other").succeeds("Layout at other is valid.\n", "");
}

#[test]
fn a_build_beside_its_sources_tells_only_of_its_output() {
    let sandbox = sandbox();
    let first = sandbox.run("build -o image --copy .:/ws");
    assert_eq!((first.status, first.stderr.as_str()), (0, ""));
    let digest = entry(&sandbox, "latest")["digest"].clone();
    let second = sandbox.run("build -o image --copy .:/ws");
    assert_eq!((second.status, second.stderr.as_str()), (0, "Note: left out the output layout: ./image\n"));
    assert_eq!(entry(&sandbox, "latest")["digest"], digest);
}

#[test]
#[cfg(unix)]
fn b5_names_of_owners_are_found_through_the_links_of_the_image() {
    use std::os::unix::fs::symlink;
    let sandbox = sandbox();
    for (file, link, target) in [
        ("usr/etc/passwd", "etc", "usr/etc"),
        ("usr/share/users", "etc/passwd", "../usr/share/users"),
        ("nix/store/users", "etc/passwd", "/nix/store/users"),
    ] {
        let _ = fs::remove_dir_all(sandbox.path("root"));
        for path in [file, link] {
            fs::create_dir_all(sandbox.path("root").join(path).parent().expect("a parent")).expect("made");
        }
        sandbox.write(&format!("root/{file}"), "root:x:0:0::/:\nweb:x:4711:42::/:\n");
        symlink(target, sandbox.path("root").join(link)).expect("linked");
        sandbox.ok("build -o base --copy root --compress-format zstd");
        let built =
            sandbox.ok_json("build -o image --base base --copy app:/srv/app --owner web --compress-format none");
        let layer = sandbox.blob(built["images"][0]["layers"][1].as_str().expect("a digest"));
        let owners: Vec<_> = tar::Archive::new(&*layer)
            .entries()
            .expect("a tar")
            .map(|entry| {
                let entry = entry.expect("an entry");
                (entry.header().uid().expect("a user"), entry.header().gid().expect("a group"))
            })
            .collect();
        assert_eq!(owners, [(0, 0), (4711, 42)], "{link}");
        // The user of the config is known too.
        let outcome = sandbox.run("build -o image --base base --copy app:/srv/app --user web --entrypoint /srv/app");
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""), "{link}");
    }
}

/// On file systems that share blocks, each file has an inode of its own.
#[test]
#[cfg(target_os = "linux")]
fn e_layers_of_a_base_are_linked_where_blocks_cannot_be_shared() {
    use std::os::unix::fs::MetadataExt;
    let sandbox = sandbox();
    sandbox.ok("build -o base --layer base.tar --label x=y");
    let clone = ["--reflink=always", "base.tar", "clone"];
    if std::process::Command::new("cp")
        .args(clone)
        .current_dir(sandbox.path(""))
        .output()
        .is_ok_and(|it| it.status.success())
    {
        eprintln!("skipped: this file system shares blocks");
        return;
    }
    let inode = |layout: &str| {
        let path = sandbox.path(layout).join("blobs/sha256").join(BASE.strip_prefix("sha256:").expect("a digest"));
        fs::metadata(path).expect("there").ino()
    };
    sandbox.ok("build -o image --base base --copy app");
    sandbox.ok("build -o image:v2 --base base --copy app --cmd x");
    sandbox.ok("init staged");
    sandbox.ok("add base -p staged --from base");
    assert_eq!([inode("image"), inode("staged")], [inode("base"); 2]);
    sandbox.is_valid();
    // A damaged one is not taken, though it could be linked.
    let path = sandbox.path("base/blobs/sha256").join(BASE.strip_prefix("sha256:").expect("a digest"));
    let content = fs::read(&path).expect("read");
    fs::remove_file(&path).expect("removed");
    fs::write(&path, vec![0; content.len()]).expect("written");
    let refused = sandbox.run("build -o other --base base --copy app");
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(!sandbox.path("other").exists());
}

#[test]
fn several_platforms_make_an_index_in_the_order_of_the_flags() {
    let sandbox = sandbox();
    let built = sandbox.ok_json(
        "build -o image:v1 --tag extra --platform linux/arm64/v8 --platform linux/amd64 --copy app-{arch}:/app --copy site:/srv --index-annotation a=b",
    );
    let platforms = |value: &Value| -> Vec<Value> {
        value.as_array().expect("images").iter().map(|image| image["platform"].clone()).collect()
    };
    assert_eq!(platforms(&built["images"]), [json!("linux/arm64/v8"), json!("linux/amd64")]);
    let index = manifest(&sandbox, "v1");
    assert_eq!(index["annotations"], json!({"a": "b"}));
    assert_eq!(entry(&sandbox, "extra")["digest"], entry(&sandbox, "v1")["digest"]);
    assert_eq!(index["manifests"][0]["platform"], json!({"architecture": "arm64", "os": "linux", "variant": "v8"}));
    sandbox.is_valid();
    // On this base, for all of its platforms: a layer that does not depend on the platform is the same.
    let on_base = sandbox.ok_json("build -o image:v2 --base image:v1 --platform all --copy app:/bin/app");
    assert_eq!(platforms(&on_base["images"]), platforms(&built["images"]));
    let last = |at: usize| on_base["images"][at]["layers"][1].clone();
    assert_eq!(last(0), last(1));
    assert_ne!(on_base["images"][0]["layers"][0], on_base["images"][1]["layers"][0]);
    let image = sandbox.blob_json(on_base["images"][0]["digest"].as_str().expect("a digest"));
    assert_eq!(image["annotations"], json!({"org.opencontainers.image.base.digest": built["digest"]}));
    sandbox
        .run("build -o image:v3 --base image:v1 --copy app")
        .fails("Error: image:v1 has images for linux/arm64/v8, linux/amd64; choose one with --platform\n");
}

#[test]
fn sources_that_follow_each_other_make_one_layer() {
    let sandbox = sandbox();
    for (words, layers) in [
        ("--copy app --copy site", 1),
        ("--copy app --next-layer --copy site", 2),
        ("--copy app --layer base.tar --copy site", 3),
        ("--layer base.tar --layer base.tar", 2),
    ] {
        let built = sandbox.ok_json(&format!("build -o image {words}"));
        assert_eq!(built["images"][0]["layers"].as_array().expect("layers").len(), layers, "{words}");
    }
    let empty = "--next-layer stands between --copy or --mtree of two layers; the layer here is empty";
    for words in
        ["--next-layer --copy app", "--copy app --next-layer", "--copy app --next-layer --layer base.tar --next-layer"]
    {
        sandbox.misuses(&format!("build -o image {words}"), empty);
    }
}

#[test]
fn a_dry_run_shows_layers_files_and_config_and_writes_nothing() {
    let sandbox = sandbox();
    let before = sandbox.tree();
    let planned = sandbox.ok_json("build -o image --copy app:/usr/bin/app --entrypoint /usr/bin/app --dry-run");
    let (digest, size, diff_id) =
        (planned["digest"].as_str(), &planned["size"], &planned["contents"][0]["config"]["rootfs"]["diff_ids"][0]);
    sandbox.run("build -o image --copy app:/usr/bin/app --entrypoint /usr/bin/app --dry-run").succeeds(
        format!(
            "Would build image:latest:\n      digest: {}\n        size: {size}\n  media-type: {MANIFEST_TYPE}\n    \
             ref-name: latest\n\nLayer 0:\n  /usr/\n  /usr/bin/\n  /usr/bin/app\n\nConfig:\n{{\n  \
             \"architecture\": \"amd64\",\n  \"config\": {{\n    \"Entrypoint\": [\n      \"/usr/bin/app\"\n    ]\n  }},\n  \
             \"created\": \"1970-01-01T00:00:00Z\",\n  \
             \"history\": [\n    {{\n      \"created\": \"1970-01-01T00:00:00Z\",\n      \"created_by\": \"regshape add layer \
             --copy /usr/bin/app\"\n    }}\n  ],\n  \"os\": \"linux\",\n  \"rootfs\": {{\n    \"diff_ids\": [\n      \
             {diff_id}\n    ],\n    \"type\": \"layers\"\n  }}\n}}\n",
            digest.expect("a digest")
        ),
        "",
    );
    assert_eq!(planned["contents"][0]["layers"], json!([["/usr/", "/usr/bin/", "/usr/bin/app"]]));
    assert_eq!(planned["contents"][0]["config"]["config"], json!({"Entrypoint": ["/usr/bin/app"]}));
    assert_eq!(sandbox.tree(), before);
    let built = sandbox.ok_json("build -o image --copy app:/usr/bin/app --entrypoint /usr/bin/app");
    assert_eq!(built["digest"], planned["digest"]);
}

#[test]
fn a_directory_that_holds_its_own_output_gives_one_digest() {
    let sandbox = sandbox();
    let first = sandbox.ok_json("build -o image --copy .:/ws");
    let second = sandbox.run("build -o image --copy .:/ws --json").json();
    assert_eq!(first["digest"], second["digest"]);
}

#[test]
fn wrong_words_change_nothing() {
    let sandbox = sandbox();
    sandbox.write("file", "x");
    sandbox.misuses(
        "build -o image.tar --copy app",
        "'image.tar' is the name of an archive: build into a layout, then 'layout export' it",
    );
    sandbox.misuses(
        "build -o image.tar:v1 --copy app",
        "'image.tar' is the name of an archive: build into a layout, then 'layout export' it",
    );
    sandbox.misuses("build -o image", "an image has layers: use --copy, --layer or --base");
    sandbox.misuses(
        "build -o image --copy app --platform all",
        "--platform all means the platforms of a base; use --base",
    );
    sandbox.misuses(
        "build -o image --copy app --platform linux/arm64 --platform linux/arm64/v8",
        "two images would be for linux/arm64/v8",
    );
    sandbox.misuses(
        "build -o image --copy app --index-annotation a=b",
        "--index-annotation needs several platforms: one image has no index",
    );
    sandbox.refuses("build -o file --copy app", "file is not a directory");
    #[cfg(unix)]
    sandbox.refuses("build -o /dev/null --copy app", "/dev/null is not a directory");
    sandbox.misuses("build -o image --copy app:usr/bin", "--copy: destination 'usr/bin' is not absolute");
    sandbox.refuses("build -o image --copy missing", "File not found: missing");
    sandbox.refuses("build -o image --copy app --base missing", "File not found: missing");
    sandbox.refuses(
        "build -o image --platform linux/amd64 --platform linux/s390x --copy app-{arch}:/app",
        "File not found: app-s390x (for linux/s390x)",
    );
    // The error keeps its code and its hint.
    let several = "build -o image --platform linux/amd64 --platform linux/s390x --copy app:/app --copy app:/app/x";
    let (message, hint) = (
        "app cannot go to '/app/x': '/app' is not a directory (for linux/amd64)",
        "choose another destination, or leave the file out with --exclude",
    );
    sandbox.refuses(several, &format!("{message}; {hint}"));
    let error = format!(r#"{{"error":{{"code":"COPY_INVALID","message":"{message}","hint":"{hint}"}}}}"#);
    sandbox.run(&format!("{several} --json")).fails(format!("{error}\n"));
    let outcome = sandbox.run("build -o image --copy app --platform linux/x86_64");
    assert!(outcome.status == 2 && outcome.stderr.contains("use linux/amd64"), "{outcome:?}");
    sandbox.ok("build -o there --copy app");
    sandbox
        .misuses("build -o there/below --copy app", "'there/below' lies in the layout 'there'; use another directory");
    let outcome = sandbox.run("build -o image --copy app --platform linux/z80");
    let warning = "Warning: no architecture is known as 'z80': engines may not run the image\n";
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, warning));
}

#[test]
fn d5_a_build_notes_what_keeps_an_image_from_starting() {
    let sandbox = sandbox();
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(18, 0);
    elf.extend([183, 0]);
    sandbox.write("arm-program", elf);
    sandbox.write("passwd", "root:x:0:0::/:/bin/sh\n");
    sandbox.write("group", "staff:x:50:\n");
    sandbox.write("script", "#!/bin/sh\n");
    let base = "build -o image --copy script:/usr/bin/script --copy app:/usr/bin/app --copy arm-program:/usr/bin/arm --copy passwd:/etc/passwd \
                --copy group:/etc/group --chmod 0755";
    for (words, note) in [
        ("--entrypoint /usr/bin/app --workdir /usr/bin --user root", ""),
        ("--entrypoint app --user 33", ""),
        ("--entrypoint ./app --workdir /usr/bin", ""),
        ("--entrypoint ./app", "Note: the program './app' is not in the image\n"),
        ("--entrypoint app --env PATH=/usr:/usr/bin --copy app:/usr/app/x", ""),
        ("--cmd /usr/bin/none", "Note: the program '/usr/bin/none' is not in the image\n"),
        ("--entrypoint /etc", "Note: the program '/etc' is not executable\n"),
        ("--entrypoint arm", "Note: the program 'arm' is for arm64, and the image for amd64\n"),
        ("--entrypoint arm --platform linux/arm64", ""),
        ("--entrypoint script", "Note: the program '/bin/sh', which 'script' names after #!, is not in the image\n"),
        ("--entrypoint script --copy app:/bin/sh", ""),
        (
            "--entrypoint app --copy passwd:/usr/local/bin/app",
            "Note: the program 'app' is neither an ELF file nor a script that begins with #!\n",
        ),
        ("--workdir /srv", "Note: the working directory '/srv' is not in the image; engines make it as root's\n"),
        ("--user app", "Note: the user 'app' is not in the image's /etc/passwd\n"),
        ("--user root:staff", ""),
        ("--user root:50", ""),
        ("--user 33:wheel", "Note: the group 'wheel' is not in the image's /etc/group\n"),
        (
            "--user app:wheel",
            "Note: the user 'app' is not in the image's /etc/passwd\n\
             Note: the group 'wheel' is not in the image's /etc/group\n",
        ),
    ] {
        let outcome = sandbox.run(&format!("{base} {words}"));
        assert_eq!((outcome.status, outcome.stderr.as_str()), (0, note), "{words}");
    }
}

#[test]
fn b5_a_layer_is_made_again_for_a_base_where_it_comes_out_otherwise() {
    let sandbox = sandbox();
    for (arch, uid) in [("amd64", 5), ("arm64", 7)] {
        sandbox.write(&format!("passwd-{arch}"), format!("app:x:{uid}:{uid}::/:/bin/sh\n"));
    }
    let platforms = "--platform linux/amd64 --platform linux/arm64";
    sandbox.ok(&format!("build -o base {platforms} --copy passwd-{{arch}}:/etc/passwd"));
    let owners = |words: &str| {
        sandbox.ok(&format!("build -o image --compress-format none {words}"));
        let index = manifest(&sandbox, "latest");
        let images = index["manifests"].as_array().expect("images").iter();
        let uid = |image: &Value| {
            let image = sandbox.blob_json(image["digest"].as_str().expect("a digest"));
            let layer = image["layers"].as_array().expect("layers").last().expect("a layer")["digest"].clone();
            let tar = sandbox.blob(layer.as_str().expect("a digest"));
            let mut tar = tar::Archive::new(tar.as_slice());
            tar.entries().expect("a tar").last().expect("an entry").expect("read").header().uid().expect("a user")
        };
        images.map(uid).collect::<Vec<_>>()
    };
    assert_eq!(owners("--base base --platform all --copy app --owner app"), [5, 7]);
    assert_eq!(
        owners(&format!("{platforms} --copy passwd-{{arch}}:/etc/passwd --next-layer --copy src=app,owner=app")),
        [5, 7]
    );
    assert_eq!(owners("--base base --platform all --copy app --owner 9"), [9, 9]);
    let index = manifest(&sandbox, "latest");
    let layers = |at: usize| {
        sandbox.blob_json(index["manifests"][at]["digest"].as_str().expect("a digest"))["layers"][1].clone()
    };
    assert_eq!(layers(0), layers(1));
}

#[test]
fn a_tag_of_an_image_that_no_build_made_is_not_taken() {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "app");
    sandbox.ok("build -o image:v1 --copy app");
    sandbox.ok("update config image:v1 --label a=b");
    let contents = sandbox.contents();
    let message = "Error: image has another manifest 'v1' already; use another tag, or --replace-tag\n";
    for dry_run in ["", " --dry-run"] {
        sandbox.run(&format!("build -o image:v1 --copy app{dry_run}")).is(1, "", message);
        assert_eq!(sandbox.contents(), contents);
    }
    sandbox.ok("build -o image:v1 --copy app --replace-tag");
    assert_eq!(sandbox.index()["manifests"].as_array().map(Vec::len), Some(2), "the other one stays");
}

#[test]
fn an_output_with_an_empty_tag_or_a_digest_is_wrong_usage() {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "app");
    let contents = sandbox.contents();
    for (output, message) in [
        ("image:", "'image:' has no tag after its last mark; use DIR or DIR:TAG"),
        ("image@", "'image@' has no tag after its last mark; use DIR or DIR:TAG"),
        ("image@sha256:abc", "--output takes DIR or DIR:TAG: the digest is known at the end"),
    ] {
        let refused = sandbox.run(&format!("build -o {output} --copy app"));
        assert_eq!(refused.status, 2, "{}", refused.stderr);
        assert!(refused.stderr.starts_with(&format!("Error: {message}")), "{}", refused.stderr);
        assert_eq!(sandbox.contents(), contents);
    }
}

#[test]
fn values_that_begin_with_a_hyphen_are_values() {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "app");
    for (words, message) in [
        ("--owner -1", "error: invalid value '-1' for '--owner <UID[:GID]>': '-1' is not an owner;"),
        ("--owner -1:5", "error: invalid value '-1:5' for '--owner <UID[:GID]>': '-1:5' is not an owner;"),
        ("--clamp-mtime -5", "error: invalid value '-5' for '--clamp-mtime <TIME>': expected a time"),
    ] {
        let refused = sandbox.run(&format!("build -o image --copy app {words}"));
        assert_eq!(refused.status, 2, "{}", refused.stderr);
        assert!(refused.stderr.starts_with(message), "{}", refused.stderr);
    }
    sandbox.ok("build -o image --copy app --chmod -x");
    let refused = sandbox.run("remove layer image:latest --index -1");
    assert_eq!(refused.status, 2, "{}", refused.stderr);
    assert!(refused.stderr.starts_with("error: invalid value '-1' for '--index <N>'"), "{}", refused.stderr);
}
