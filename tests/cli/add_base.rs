//! `layout add base` and `layout reset`.

use serde_json::{Value, json};

use crate::support::*;

/// Creates a layout `image` with files to add, and a layout `base` with an image `v1` of two layers with a history.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.ok("init base");
    sandbox.ok("add layer base --file base.tar --created-by debootstrap");
    sandbox.ok("add layer base --file patches.tar.gz");
    sandbox.ok("generate config base --architecture arm64 --variant v8 --env PATH=/bin --entrypoint /bin/sh --cmd -c --label a=b");
    sandbox.ok("generate manifest base --ref-name v1");
    sandbox
}

fn config(sandbox: &Sandbox) -> Value {
    let stage = sandbox.stage();
    sandbox.blob_json(stage["config"]["digest"].as_str().expect("a digest"))
}

fn digest_of_base(sandbox: &Sandbox) -> String {
    let index = sandbox.json("base/index.json");
    index["manifests"][0]["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn an_image_is_built_on_another_one() {
    let sandbox = sandbox();
    let base = digest_of_base(&sandbox);
    let staged = sandbox.run("add base image --from base:v1");
    staged.succeeds(format!("Staged base:\n    digest: {base}\n  platform: linux/arm64/v8\n    layers: 2\n"), "");
    sandbox.write("app", "#!/bin/sh\n");
    sandbox.ok("add layer image --copy app:/usr/bin/app");
    let generated = sandbox.run("generate config image --entrypoint /usr/bin/app --env PORT=80 --user 33");
    assert_eq!(generated.status, 0, "{generated:?}");
    assert_eq!(
        generated.stderr,
        "Note: the new entrypoint removes the default arguments of the base; --keep-cmd keeps them\n"
    );
    let made = config(&sandbox);
    assert_eq!(
        made["config"],
        json!({"Entrypoint": ["/usr/bin/app"], "Env": ["PATH=/bin", "PORT=80"], "Labels": {"a": "b"}, "User": "33"})
    );
    assert_eq!((&made["architecture"], &made["variant"]), (&json!("arm64"), &json!("v8")));
    assert_eq!(made["rootfs"]["diff_ids"].as_array().expect("diff_ids").len(), 3);
    assert_eq!(
        made["history"],
        json!([
            {"created": "1970-01-01T00:00:00Z", "created_by": "debootstrap"},
            {"created": "1970-01-01T00:00:00Z", "created_by": "regshape add layer --file"},
            {"created": "1970-01-01T00:00:00Z", "created_by": "regshape add layer --copy /usr/bin/app"},
        ])
    );
    sandbox.ok("generate manifest image --ref-name app");
    let manifest = sandbox.blob_json(sandbox.index()["manifests"][0]["digest"].as_str().expect("a digest"));
    assert_eq!(manifest["annotations"], json!({"org.opencontainers.image.base.digest": base}));
    assert_eq!(
        sandbox.index()["manifests"][0]["platform"],
        json!({"architecture": "arm64", "os": "linux", "variant": "v8"})
    );
    sandbox.is_valid();
    sandbox
        .refuses("add base image --from base:v1", "the staging area of image is not empty; run 'layout reset' first");
}

#[test]
fn d3_the_arguments_of_the_base_can_be_kept() {
    let sandbox = sandbox();
    sandbox.ok("add base image --from base");
    let generated = sandbox.run("generate config image --entrypoint /usr/bin/app --keep-cmd");
    assert_eq!((generated.status, generated.stderr.as_str()), (0, ""));
    assert_eq!(config(&sandbox)["config"]["Cmd"], json!(["-c"]));
    sandbox.ok("generate config image --cmd x --entrypoint /usr/bin/app");
    assert_eq!(config(&sandbox)["config"]["Cmd"], json!(["x"]));
}

#[test]
fn d8_a_base_without_a_history_gives_none() {
    let sandbox = Sandbox::built();
    sandbox.ok("init other");
    sandbox.ok("add base other --from image");
    sandbox.write("app", "x");
    sandbox.ok("add layer other --copy app");
    let generated = sandbox.run("generate config other");
    assert_eq!(generated.stderr, "Note: the image gets no history, because its base has none\n");
    let stage = sandbox.json("other/.regshape-stage.json");
    let digest = stage["config"]["digest"].as_str().expect("a digest").replace(':', "/");
    assert_eq!(sandbox.json(&format!("other/blobs/{digest}"))["history"], Value::Null);
}

#[test]
fn a_base_comes_from_an_archive_and_from_an_index_by_platform() {
    let sandbox = sandbox();
    sandbox.ok("export base:v1 --output base.oci.tar");
    sandbox.ok("add base image --from base.oci.tar");
    assert_eq!(sandbox.stage()["layers"].as_array().expect("layers").len(), 2);
    let first = sandbox.stage();
    sandbox.ok("reset image");
    sandbox.ok("init amd64");
    sandbox.ok("add layer amd64 --file base.tar");
    sandbox.ok("generate config amd64");
    sandbox.ok("generate manifest amd64 --ref-name v1");
    sandbox.ok("join base amd64 --output multi --ref-name v1");
    sandbox
        .run("add base image --from multi:v1")
        .fails("Error: multi:v1 has images for linux/arm64/v8, linux/amd64; choose one with --platform\n");
    sandbox.ok("add base image --from multi:v1 --platform linux/arm64");
    assert_eq!(sandbox.stage()["layers"], first["layers"]);
    let index = sandbox.json("multi/index.json");
    assert_eq!(sandbox.stage()["base"]["digest"], index["manifests"][0]["digest"]);
    let missing = sandbox.run("add base image --from base:v2");
    assert_eq!(missing.status, 3, "{missing:?}");
}

#[test]
fn reset_empties_the_staging_area_and_keeps_images() {
    let sandbox = Sandbox::built();
    let image = sandbox.blobs();
    sandbox.write("app", "x");
    sandbox.ok("add layer image --copy app");
    let reset = sandbox.run("reset image");
    reset.succeeds("Emptied staging area:\n   layers: 3\n  deleted: 1 blob (80 bytes)\n", "");
    assert_eq!(sandbox.blobs(), image);
    let stage = sandbox.stage();
    assert_eq!((&stage["layers"], &stage["config"], &stage["manifest"]), (&json!([]), &Value::Null, &Value::Null));
    assert_eq!(stage["generated"], json!([MANIFEST]));
    sandbox.is_valid();
    assert_eq!(sandbox.ok_json("reset image"), json!({"layers": 0, "deleted_blobs": 0, "deleted_bytes": 0}));
    sandbox.run("reset image -q").succeeds("", "");
}

#[test]
fn reset_deletes_a_config_that_only_the_staged_manifest_refers_to() {
    let sandbox = Sandbox::built();
    sandbox.ok("update config image --architecture arm64");
    sandbox.ok("tag delete -p image latest");
    sandbox.edit("image/index.json", |index| index["manifests"] = json!([]));
    sandbox.has_blobs([BASE, PATCHES, CONFIG, CONFIG_ARM64, MANIFEST]);
    sandbox.ok("reset image");
    sandbox.has_blobs([]);
    sandbox.is_valid();
}

/// Stages layers of a root file system: `/lib` is a link to `/usr/lib`, and there are users and groups.
fn on_debian() -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.ok("init image");
    sandbox.write(
        "rootfs",
        "#mtree\n/set type=dir uid=0 gid=0 mode=0755 time=7.0\n./usr\n./usr/lib mode=0711 uid=5 gid=6\n./etc mode=0700\n./var\n\
         ./lib type=link link=usr/lib\n./run type=link link=nothing\n./bad type=link link=etc/passwd\n\
         ./etc/passwd type=file mode=0644 contents=passwd\n./etc/group type=file mode=0644 contents=group\n",
    );
    sandbox.write("passwd", "root:x:0:0::/root:/bin/sh\nwww-data:x:33:34::/:/bin/false\n");
    sandbox.write("group", "root:x:0:\nstaff:x:50:\n");
    sandbox.ok("add layer image --mtree rootfs");
    sandbox.write("app", "x");
    std::fs::create_dir(sandbox.path("tree")).expect("made");
    std::fs::create_dir(sandbox.path("tree/lib")).expect("made");
    sandbox.write("tree/lib/x", "x");
    sandbox
}

/// Adds a layer and returns its entries: type flag, mode, owner, time and path.
fn entries(sandbox: &Sandbox, words: &str) -> Vec<String> {
    let layer = sandbox.ok_json(&format!("add layer -p image --chmod 0644 --compress-format none {words}"));
    let tar = sandbox.blob(layer["digest"].as_str().expect("a digest"));
    let mut archive = tar::Archive::new(tar.as_slice());
    let line = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let entry = entry.expect("an entry");
        let header = entry.header();
        format!(
            "{} {:o} {}:{} @{} {}",
            char::from(header.entry_type().as_byte()),
            header.mode().expect("a mode"),
            header.uid().expect("a user"),
            header.gid().expect("a group"),
            header.mtime().expect("a time"),
            String::from_utf8_lossy(&entry.path_bytes())
        )
    };
    archive.entries().expect("a tar").map(line).collect()
}

#[test]
fn b3_parents_have_the_attributes_of_the_layers_below() {
    let sandbox = on_debian();
    assert_eq!(
        entries(&sandbox, "--copy app:/etc/app.d/app"),
        ["5 700 0:0 @7 etc/", "5 755 0:0 @0 etc/app.d/", "0 644 0:0 @0 etc/app.d/app"]
    );
}

#[test]
fn b4_links_of_the_layers_below_are_followed_inside_the_image() {
    let sandbox = on_debian();
    let under_usr = ["5 755 0:0 @7 usr/", "5 711 5:6 @7 usr/lib/", "0 644 0:0 @0 usr/lib/x"];
    assert_eq!(entries(&sandbox, "--copy app:/lib/x"), under_usr);
    // A directory over a link to a directory merges into the target, which keeps its attributes.
    assert_eq!(entries(&sandbox, "--copy tree"), under_usr);
    assert_eq!(entries(&sandbox, "--copy app:/lib/x --replace-links")[0], "5 755 0:0 @0 lib/");
    let way_out = "choose another destination, or replace the link with --replace-links";
    let sandbox = on_debian();
    sandbox.refuses(
        "add layer -p image --copy app:/run/x",
        &format!("app cannot go to '/run': it is a link in the image, and leads to nothing; {way_out}"),
    );
    sandbox.refuses(
        "add layer -p image --copy app:/bad/x",
        &format!("app cannot go to '/bad': it is a link in the image, and leads to a file; {way_out}"),
    );
    sandbox.refuses(
        "add layer -p image --copy app:/etc/passwd/x",
        "app cannot go to '/etc/passwd/x': '/etc/passwd' is not a directory; choose another destination, or leave the file out with --exclude",
    );
    sandbox.refuses(
        "add layer -p image --copy app:/etc",
        "app is a file, and '/etc' is a directory; end DST with / to copy into the directory, or give the file a name of its own",
    );
}

#[test]
fn e1_a_layer_of_the_base_that_is_stored_elsewhere_stays_where_it_is() {
    let sandbox = Sandbox::empty();
    sandbox.write("base.tar", base_tar());
    sandbox.ok("build -o image:base --layer base.tar");
    let content = |sandbox: &Sandbox| {
        let digest = sandbox.index()["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
        (sandbox.blob_json(&digest), digest)
    };
    let (mut manifest, old) = content(&sandbox);
    manifest["mediaType"] = json!("application/vnd.docker.distribution.manifest.v2+json");
    manifest["config"]["mediaType"] = json!("application/vnd.docker.container.image.v1+json");
    let foreign = &mut manifest["layers"][0];
    foreign["mediaType"] = json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    foreign["urls"] = json!(["https://example.com/layer"]);
    foreign["annotations"] = json!({"a": "b"});
    let foreign = foreign.clone();
    let digest = sandbox.store(manifest.to_string());
    sandbox.edit("image/index.json", |index| {
        index["manifests"][0]["mediaType"] = manifest["mediaType"].clone();
        index["manifests"][0]["digest"] = json!(digest);
        index["manifests"][0]["size"] = json!(manifest.to_string().len());
    });
    std::fs::remove_file(sandbox.path(blob_name(&old))).expect("removed");
    let layer = foreign["digest"].as_str().expect("a digest");
    std::fs::remove_file(sandbox.path(blob_name(layer))).expect("removed");
    sandbox.write("app", "x");
    let warning = format!("Warning: layer {layer} of the base is stored elsewhere only\n");
    let note = format!("Note: the files of layer {layer} are not known: it is not stored here, or is not a tar\n");
    let built = sandbox.run("build -o new --base image --copy app");
    let no_history = "Note: the image gets no history, because its base has none\n";
    assert_eq!((built.status, built.stderr), (0, format!("{note}{no_history}{warning}")));
    let index = sandbox.json("new/index.json");
    let digest = index["manifests"][0]["digest"].as_str().expect("a digest");
    let built = sandbox.json(&blob_name(digest).replacen("image/", "new/", 1));
    let mut expected = foreign.clone();
    expected["mediaType"] = json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    assert_eq!(built["layers"][0], expected);
    assert_eq!(built["layers"].as_array().expect("layers").len(), 2);
    assert_eq!(sandbox.run("validate new").status, 0);
    // So it is for the staged commands.
    for words in [
        "init staged",
        "add base staged --from image",
        "add layer staged --copy app",
        "generate config staged",
        "generate manifest staged --ref-name latest",
    ] {
        sandbox.ok(words);
    }
    assert_eq!(sandbox.json("staged/index.json"), index);
    // The JSON lists the warning once.
    sandbox.ok("init again");
    for words in ["build -o new --base image --copy app --json", "add base again --from image --json"] {
        let result = sandbox.run(words);
        assert_eq!((result.stdout.matches("\"warnings\"").count(), result.stderr.as_str()), (1, ""), "{words}");
        assert_eq!(result.json()["warnings"].as_array().map(Vec::len), Some(1));
    }
}

#[test]
fn d8_a_base_with_more_history_than_layers_is_refused() {
    let sandbox = sandbox();
    sandbox.ok("add base -p image --from base");
    sandbox.edit("image/.regshape-stage.json", |stage| {
        let history = stage["base"]["config"]["history"].as_array_mut().expect("a history");
        history.push(json!({"empty_layer": true}));
        history.push(json!({"created_by": "too much"}));
    });
    // The further layer must not get the entry that has none.
    sandbox.ok("add layer -p image --file base.tar");
    sandbox.refuses(
        "generate config -p image",
        "the history has 3 entries of layers, but the image has 2; use --no-history to remove it",
    );
    sandbox.ok("generate config -p image --no-history");
    assert_eq!(config(&sandbox)["history"], Value::Null);
}

#[test]
fn a_base_whose_diff_ids_are_not_those_of_its_layers_is_refused() {
    let sandbox = sandbox();
    sandbox.ok("reset base");
    let digest = digest_of_base(&sandbox);
    let blob = |digest: &str| blob_name(digest).replacen("image/", "base/", 1);
    let mut manifest = sandbox.json(&blob(&digest));
    let mut config = sandbox.json(&blob(manifest["config"]["digest"].as_str().expect("a digest")));
    let wrong = sha256(b"another");
    let right = std::mem::replace(&mut config["rootfs"]["diff_ids"][1], json!(wrong));
    let write = |content: &Value| {
        let text = content.to_string();
        sandbox.write(&blob(&sha256(text.as_bytes())), &text);
        (json!(sha256(text.as_bytes())), json!(text.len()))
    };
    (manifest["config"]["digest"], manifest["config"]["size"]) = write(&config);
    let (digest, size) = write(&manifest);
    sandbox.edit("base/index.json", |index| {
        (index["manifests"][0]["digest"], index["manifests"][0]["size"]) = (digest, size);
    });
    let layer = manifest["layers"][1]["digest"].as_str().expect("a digest");
    let report = format!(
        "Error: layer {layer} does not have the diff_id of its config: expected {wrong}, got {}\n",
        right.as_str().expect("a digest")
    );
    sandbox.run("build -o new --base base --layer base.tar").fails(&report);
    assert!(!sandbox.path("new").exists());
    sandbox.ok("add base -p image --from base");
    sandbox.run("add layer -p image --copy base.tar").fails(&report);
}

#[test]
fn b2_a_directory_that_is_there_keeps_its_attributes() {
    let sandbox = on_debian();
    // The directory of the source has 0644 here.
    assert_eq!(entries(&sandbox, "--copy tree/lib:/etc"), ["5 700 0:0 @7 etc/", "0 644 0:0 @0 etc/x"]);
    assert_eq!(entries(&sandbox, "--copy tree/lib:/srv"), ["5 644 0:0 @0 srv/", "0 644 0:0 @0 srv/x"]);
    // An entry below the source is an entry of the layer.
    assert_eq!(entries(&sandbox, "--copy tree --replace-links")[0], "5 644 0:0 @0 lib/");
    sandbox.write("list", "./etc type=dir mode=0750 uid=9 gid=9\n");
    assert_eq!(entries(&sandbox, "--mtree list"), ["5 750 9:9 @0 etc/"]);
}

#[test]
fn b4_neither_files_nor_directories_take_the_place_of_the_other() {
    let sandbox = on_debian();
    sandbox.refuses(
        "add layer -p image --copy tree:/etc/passwd",
        "tree cannot go to '/etc/passwd': '/etc/passwd' is not a directory; choose another destination, or leave the file out with --exclude",
    );
    // A link to a directory is one: a file there would cut off all that is reached through it.
    sandbox.refuses(
        "add layer -p image --copy app:/lib",
        "app is a file, and '/lib' is a directory; end DST with / to copy into the directory, or give the file a name of its own",
    );
    assert_eq!(entries(&sandbox, "--copy app:/run"), ["0 644 0:0 @0 run"]);
    assert_eq!(entries(&sandbox, "--copy app:/lib --replace-links"), ["0 644 0:0 @0 lib"]);
}

#[test]
fn b4_flags_for_paths_follow_the_links_of_the_layers_below() {
    let sandbox = on_debian();
    let copied = entries(&sandbox, "--copy app:/lib/x --cap /lib/x=cap_net_raw+ep --owner-of /lib/x=5:6");
    assert_eq!(copied.last().map(String::as_str), Some("0 644 5:6 @0 usr/lib/x"));
    // The last one that matches counts, whichever path it names.
    let owners = "--owner-of /usr/lib/*=5:6 --owner-of /lib/y=7:8";
    let copied = entries(&sandbox, &format!("--copy app:/lib/y {owners}"));
    assert_eq!(copied.last().map(String::as_str), Some("0 644 7:8 @0 usr/lib/y"));
}

#[test]
fn b3_a_root_entry_is_that_of_the_layers_below() {
    let sandbox = on_debian();
    assert_eq!(entries(&sandbox, "--copy app --root-entry")[0], "5 755 0:0 @0 ./");
    sandbox.write("list", ". type=dir mode=0710 uid=3 gid=4 time=9.0\n");
    sandbox.ok("add layer -p image --mtree list --root-entry");
    assert_eq!(entries(&sandbox, "--copy app --root-entry")[0], "5 710 3:4 @9 ./");
}

#[test]
fn b5_names_of_owners_are_those_of_the_image() {
    let sandbox = on_debian();
    for (owner, expected) in [("www-data", "33:34"), ("www-data:staff", "33:50"), ("7:staff", "7:50")] {
        let entries = entries(&sandbox, &format!("--copy app:/{} --owner {owner}", owner.replace(':', "-")));
        assert_eq!(entries[0].split(' ').nth(2), Some(expected), "{owner}");
    }
    let sandbox = on_debian();
    sandbox.refuses(
        "add layer -p image --copy app --owner nobody-here",
        "user 'nobody-here' is unknown: no layer below has it in /etc/passwd; use the number",
    );
}

#[test]
fn a_layer_below_that_is_not_stored_is_noted() {
    let sandbox = on_debian();
    let digest = sandbox.stage()["layers"][0]["digest"].as_str().expect("a digest").to_owned();
    std::fs::remove_file(sandbox.path(blob_name(&digest))).expect("removed");
    let outcome = sandbox.run("add layer -p image --copy app:/lib/x");
    assert_eq!(
        outcome.stderr,
        format!("Note: the files of layer {digest} are not known: it is not stored here, or is not a tar\n")
    );
}
