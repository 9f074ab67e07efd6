//! `layout show --tree`

use std::fs;

use serde_json::{Value, json};

use crate::support::*;

const SHOW: &str = "layout show --path image --tree";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// Stores a document by hand and returns a descriptor of it.
fn document(sandbox: &Sandbox, media_type: &str, content: &Value) -> Value {
    let content = content.to_string();
    json!({"mediaType": media_type, "digest": sandbox.store(&content), "size": content.len()})
}

/// Stores content that is no document and returns a descriptor of it.
fn blob(sandbox: &Sandbox, media_type: &str, content: &str) -> Value {
    json!({"mediaType": media_type, "digest": sandbox.store(content), "size": content.len()})
}

/// Adds fields to a descriptor.
fn with(mut descriptor: Value, fields: Value) -> Value {
    let Value::Object(fields) = fields else { panic!("fields") };
    descriptor.as_object_mut().expect("a descriptor").extend(fields);
    descriptor
}

fn named(descriptor: Value, name: &str) -> Value {
    with(descriptor, json!({"annotations": {"org.opencontainers.image.ref.name": name}}))
}

fn manifest(config: &Value, layers: &[&Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": config, "layers": layers})
}

fn index(entries: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": entries})
}

/// Stores the config of an image without layers.
fn config(sandbox: &Sandbox, architecture: &str) -> Value {
    let rootfs = json!({"type": "layers", "diff_ids": []});
    document(sandbox, CONFIG_TYPE, &json!({"architecture": architecture, "os": "linux", "rootfs": rootfs}))
}

/// Stores a referrer of a manifest.
fn referrer(sandbox: &Sandbox, artifact_type: &str, subject: &Value) -> Value {
    let empty = blob(sandbox, EMPTY, "{}");
    let mut content = manifest(&empty, &[&empty]);
    content["artifactType"] = json!(artifact_type);
    content["subject"] = json!({"mediaType": MANIFEST_TYPE, "digest": subject["digest"], "size": subject["size"]});
    document(sandbox, MANIFEST_TYPE, &content)
}

/// Sets the entries of `index.json`.
fn list(sandbox: &Sandbox, entries: &[Value]) {
    sandbox.write("image/index.json", index(entries).to_string());
}

fn size(descriptor: &Value) -> u64 {
    descriptor["size"].as_u64().expect("a size")
}

/// Compares the tree with an expected tree that has names in place of digests.
#[track_caller]
fn shows<'a>(sandbox: &Sandbox, names: impl IntoIterator<Item = (&'a str, &'a Value)>, expected: &str) {
    let mut expected = expected.to_owned();
    for (name, descriptor) in names {
        assert!(expected.contains(name), "{name}");
        expected = expected.replace(name, digest(descriptor));
    }
    sandbox.run(SHOW).succeeds(expected, "");
}

fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().expect("a digest")
}

#[test]
fn an_image_is_drawn_with_its_config_and_its_layers() {
    Sandbox::built().run(SHOW).succeeds(
        format!(
            "\
image
└── manifest latest  linux/amd64     556 B  {MANIFEST}
    ├── config                       225 B  {CONFIG}
    ├── layer                        209 B  {BASE}
    └── layer                     2.03 KiB  {PATCHES}

1 image, 4 blobs, 3.00 KiB
"
        ),
        "",
    );
}

#[test]
fn two_names_of_one_image_are_one_node() {
    let sandbox = Sandbox::built();
    sandbox.ok("layout generate manifest --path image --ref-name v1 --quiet");
    sandbox.run(SHOW).succeeds(
        format!(
            "\
image
└── manifest latest, v1  linux/amd64     556 B  {MANIFEST}
    ├── config                           225 B  {CONFIG}
    ├── layer                            209 B  {BASE}
    └── layer                         2.03 KiB  {PATCHES}

1 image, 4 blobs, 3.00 KiB
"
        ),
        "",
    );
}

#[test]
fn a_layout_without_images_says_so() {
    let sandbox = Sandbox::new();
    sandbox.run(SHOW).succeeds("The layout at image holds no images.\n", "");
    let totals = json!({"images": 0, "blobs": 0, "bytes": 0, "shared_bytes": 0, "missing": 0});
    assert_eq!(
        sandbox.ok_json(SHOW),
        json!({"layout_path": "image", "roots": [], "totals": totals, "unreferenced": {"blobs": 0, "bytes": 0}})
    );
    // Staged blobs count as referenced.
    sandbox.ok("layout add layer --path image --file base.tar");
    sandbox.run(SHOW).succeeds("The layout at image holds no images.\n", "");
    sandbox.store("x");
    sandbox
        .run(SHOW)
        .succeeds("The layout at image holds no images.\n1 blob (1 B) is not referenced; 'layout gc' deletes it\n", "");
    sandbox.store("yz");
    sandbox.run(SHOW).succeeds(
        "The layout at image holds no images.\n2 blobs (3 B) are not referenced; 'layout gc' deletes them\n",
        "",
    );
}

#[test]
fn an_index_is_drawn_with_platforms_attestations_shared_layers_and_referrers() {
    let sandbox = Sandbox::new();
    let base = blob(&sandbox, GZIP_TYPE, "a layer that both have");
    let configs = ["amd64", "arm64"].map(|architecture| config(&sandbox, architecture));
    let images = configs.each_ref().map(|config| document(&sandbox, MANIFEST_TYPE, &manifest(config, &[&base])));
    let statement = blob(&sandbox, "application/vnd.in-toto+json", "statement");
    let attestation_config = config(&sandbox, "unknown");
    let attestation = document(&sandbox, MANIFEST_TYPE, &manifest(&attestation_config, &[&statement]));
    let platform = |architecture, os| json!({"platform": {"architecture": architecture, "os": os}});
    let entries = [
        with(images[0].clone(), platform("amd64", "linux")),
        with(images[1].clone(), json!({"platform": {"architecture": "arm64", "os": "linux", "variant": "v8"}})),
        with(
            with(attestation.clone(), platform("unknown", "unknown")),
            json!({"annotations": {"vnd.docker.reference.type": "attestation-manifest"}}),
        ),
    ];
    let all = document(&sandbox, INDEX_TYPE, &index(&entries));
    let sbom = referrer(&sandbox, "application/spdx+json", &images[0]);
    let signature = referrer(&sandbox, "application/x-signature", &sbom);
    list(&sandbox, &[named(all.clone(), "v1"), sbom.clone(), signature.clone(), named(images[1].clone(), "arm")]);
    let empty = blob(&sandbox, EMPTY, "{}");
    let names = [
        ("<index>", &all),
        ("<image of amd64>", &images[0]),
        ("<config of amd64>", &configs[0]),
        ("<image of arm64>", &images[1]),
        ("<config of arm64>", &configs[1]),
        ("<layer>", &base),
        ("<sbom>", &sbom),
        ("<signature>", &signature),
        ("<empty>", &empty),
        ("<attestation>", &attestation),
        ("<its config>", &attestation_config),
        ("<statement>", &statement),
    ];
    shows(
        &sandbox,
        names,
        "\
image
├── index v1                                                779 B                          <index>
│   ├── manifest  linux/amd64                               399 B                          <image of amd64>
│   │   ├── config                                           78 B                          <config of amd64>
│   │   ├── layer                                            22 B  shared by 2             <layer>
│   │   └── referrer manifest  application/spdx+json        582 B                          <sbom>
│   │       ├── config  empty                                 2 B  shared by 2             <empty>
│   │       ├── layer  empty                                  2 B  shared by 2             <empty>
│   │       └── referrer manifest  application/x-signature  584 B                          <signature>
│   │           ├── config  empty                             2 B  shared by 2             <empty>
│   │           └── layer  empty                              2 B  shared by 2             <empty>
│   ├── manifest  linux/arm64/v8                            399 B  shared by 2             <image of arm64>
│   │   ├── config                                           78 B                          <config of arm64>
│   │   └── layer                                            22 B  shared by 2             <layer>
│   └── manifest  unknown/unknown                           383 B  attestation             <attestation>
│       ├── config                                           80 B                          <its config>
│       └── layer  application/vnd.in-toto+json               9 B                          <statement>
└── manifest arm  linux/arm64                               399 B  shared by 2, see above  <image of arm64>

2 images, 12 blobs, 3.32 KiB; sharing saves 423 B
",
    );
}

#[test]
fn images_of_one_layer_share_it() {
    let sandbox = Sandbox::new();
    let layer = blob(&sandbox, ZSTD_TYPE, &"x".repeat(2048));
    let (one, other) = (config(&sandbox, "amd64"), config(&sandbox, "s390x"));
    // A layer that occurs twice in one image is not marked as shared.
    let images = [manifest(&one, &[&layer, &layer]), manifest(&other, &[&layer])]
        .map(|image| document(&sandbox, MANIFEST_TYPE, &image));
    list(&sandbox, &images);
    let names = [
        ("<one>", &images[0]),
        ("<its config>", &one),
        ("<other>", &images[1]),
        ("<its other config>", &other),
        ("<layer>", &layer),
    ];
    shows(
        &sandbox,
        names,
        "\
image
├── manifest  linux/amd64     556 B               <one>
│   ├── config                 78 B               <its config>
│   ├── layer              2.00 KiB  shared by 2  <layer>
│   └── layer              2.00 KiB  shared by 2  <layer>
└── manifest  linux/s390x     401 B               <other>
    ├── config                 78 B               <its other config>
    └── layer              2.00 KiB  shared by 2  <layer>

2 images, 5 blobs, 3.09 KiB; sharing saves 2.00 KiB
",
    );
}

#[test]
fn missing_and_wrong_blobs_are_marked_and_are_no_failure() {
    let sandbox = Sandbox::built();
    fs::remove_file(sandbox.path(blob_name(PATCHES))).expect("deleted");
    sandbox.write(&blob_name(BASE), "short");
    sandbox.run(SHOW).succeeds(
        format!(
            "\
image
└── manifest latest  linux/amd64     556 B                                   {MANIFEST}
    ├── config                       225 B                                   {CONFIG}
    ├── layer                        209 B  wrong size: expected 209, got 5  {BASE}
    └── layer                     2.03 KiB  missing                          {PATCHES}

1 image, 3 blobs, 786 B; 1 blob missing
"
        ),
        "",
    );
    // Without the manifest, nothing else is known of the image, and its blobs become unreferenced.
    fs::remove_file(sandbox.path(blob_name(MANIFEST))).expect("deleted");
    fs::remove_file(sandbox.path("image/.regshape-stage.json")).expect("deleted");
    sandbox.run(SHOW).succeeds(
        format!(
            "\
image
└── manifest latest  linux/amd64  556 B  missing  {MANIFEST}

0 images, 0 blobs, 0 B; 1 blob missing
2 blobs (230 B) are not referenced; 'layout gc' deletes them
"
        ),
        "",
    );
}

#[test]
fn content_stored_elsewhere_is_not_missing() {
    let sandbox = Sandbox::new();
    let config = config(&sandbox, "amd64");
    let absent =
        |media_type: &str, of: u64| json!({"mediaType": media_type, "digest": sha256(&of.to_be_bytes()), "size": of});
    let foreign = absent("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", 1);
    let elsewhere = with(absent(GZIP_TYPE, 2), json!({"urls": ["https://example.com/layer"]}));
    let image = document(&sandbox, MANIFEST_TYPE, &manifest(&config, &[&foreign, &elsewhere]));
    // The subject of a referrer may be in another layout.
    let sbom = referrer(&sandbox, "application/spdx+json", &absent(MANIFEST_TYPE, 3));
    list(&sandbox, &[image.clone(), sbom.clone()]);
    let empty = blob(&sandbox, EMPTY, "{}");
    let names = [
        ("<image>", &image),
        ("<config>", &config),
        ("<foreign>", &foreign),
        ("<elsewhere>", &elsewhere),
        ("<sbom>", &sbom),
        ("<empty>", &empty),
    ];
    shows(
        &sandbox,
        names,
        "\
image
├── manifest  linux/amd64            601 B                             <image>
│   ├── config                        78 B                             <config>
│   ├── layer                          1 B  stored elsewhere           <foreign>
│   └── layer                          2 B  stored elsewhere           <elsewhere>
└── manifest  application/spdx+json  580 B  subject not in the layout  <sbom>
    ├── config  empty                  2 B                             <empty>
    └── layer  empty                   2 B                             <empty>

1 image, 4 blobs, 1.23 KiB
",
    );
}

#[test]
fn manifests_that_only_a_subject_names_are_drawn_after_the_entries() {
    let sandbox = Sandbox::new();
    let config = config(&sandbox, "amd64");
    let image = document(&sandbox, MANIFEST_TYPE, &manifest(&config, &[]));
    let sbom = referrer(&sandbox, "application/spdx+json", &image);
    let signature = referrer(&sandbox, "application/x-signature", &sbom);
    list(&sandbox, &[signature.clone(), document(&sandbox, INDEX_TYPE, &index(&[]))]);
    let empty = blob(&sandbox, EMPTY, "{}");
    let nothing = document(&sandbox, INDEX_TYPE, &index(&[]));
    let names = [
        ("<image>", &image),
        ("<config>", &config),
        ("<sbom>", &sbom),
        ("<signature>", &signature),
        ("<empty>", &empty),
        ("<index>", &nothing),
    ];
    shows(
        &sandbox,
        names,
        "\
image
├── index                                                88 B               <index>
└── manifest  linux/amd64                               247 B               <image>
    ├── config                                           78 B               <config>
    └── referrer manifest  application/spdx+json        582 B               <sbom>
        ├── config  empty                                 2 B  shared by 2  <empty>
        ├── layer  empty                                  2 B  shared by 2  <empty>
        └── referrer manifest  application/x-signature  584 B               <signature>
            ├── config  empty                             2 B  shared by 2  <empty>
            └── layer  empty                              2 B  shared by 2  <empty>

1 image, 6 blobs, 1.54 KiB; sharing saves 2 B
",
    );
}

#[test]
fn a_document_that_cannot_be_read_is_drawn_with_the_reason() {
    let sandbox = Sandbox::built();
    let nested = document(&sandbox, INDEX_TYPE, &index(&[]));
    let broken = blob(&sandbox, INDEX_TYPE, "{]");
    // A document cannot contain its own digest, so the digest of this one is wrong.
    let own = json!({"mediaType": INDEX_TYPE, "digest": format!("sha256:{}", "1".repeat(64)), "size": 265});
    let content = index(std::slice::from_ref(&own)).to_string();
    sandbox.write(&blob_name(digest(&own)), &content);
    sandbox.write(&blob_name(digest(&nested)), "other");
    sandbox.write(&blob_name(CONFIG), "other");
    sandbox.edit("image/index.json", |index| {
        let entries = index["manifests"].as_array_mut().expect("an array");
        entries.extend([nested.clone(), broken.clone(), own.clone()]);
    });
    let (manifest, config) = (json!({"digest": MANIFEST}), json!({"digest": CONFIG}));
    let (base, patches) = (json!({"digest": BASE}), json!({"digest": PATCHES}));
    let (actual, other) = (json!({"digest": sha256(content.as_bytes())}), json!({"digest": sha256(b"other")}));
    let names = [
        ("<manifest>", &manifest),
        ("<config>", &config),
        ("<base>", &base),
        ("<patches>", &patches),
        ("<nested>", &nested),
        ("<broken>", &broken),
        ("<own>", &own),
        ("<its actual digest>", &actual),
        ("<digest of other>", &other),
    ];
    shows(
        &sandbox,
        names,
        "\
image
├── manifest latest  linux/amd64     556 B  <manifest>
│   ├── config                       225 B  unreadable: its digest is <digest of other>  <config>
│   ├── layer                        209 B  <base>
│   └── layer                     2.03 KiB  <patches>
├── index                             88 B  unreadable: its digest is <digest of other>  <nested>
├── index                              2 B  unreadable: not a valid image index: key must be a string at line 1, column 2  <broken>
└── index                            265 B  unreadable: its digest is <its actual digest>  <own>

1 image, 3 blobs, 2.78 KiB
Some documents could not be read: unreferenced blobs are not known
",
    );
}

#[test]
fn indexes_in_indexes_are_drawn_once_and_no_deeper_than_can_be_read() {
    let sandbox = Sandbox::new();
    let mut nested = document(&sandbox, INDEX_TYPE, &index(&[]));
    // Each contains the next twice: a complete tree would have 2 to the power of 10,000 nodes.
    for _ in 1..10_000 {
        nested = document(&sandbox, INDEX_TYPE, &index(&[nested.clone(), nested.clone()]));
    }
    list(&sandbox, &[named(nested, "deep")]);
    let text = sandbox.ok(SHOW);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.first(), Some(&"image"));
    assert_eq!(lines.last(), Some(&"0 images, 10000 blobs, 3.69 MiB"));
    assert_eq!(lines.iter().filter(|line| line.contains("see below")).count(), 2 * 666);
    assert!(lines.iter().all(|line| line.chars().count() < 200), "{text}");
    // JSON parsers support limited nesting: often 128 levels, each with two spaces of indentation here.
    let deepest = sandbox.ok(&format!("{SHOW} --json")).lines().map(|line| line.len() - line.trim_start().len()).max();
    assert_eq!(deepest, Some(2 * 33));
}

#[test]
fn control_characters_are_not_drawn() {
    let sandbox = Sandbox::new();
    let config = blob(&sandbox, "a/\u{1b}[2J", "{}");
    let layer = blob(&sandbox, "a/b\nc", "");
    let image = document(&sandbox, MANIFEST_TYPE, &manifest(&config, &[&layer]));
    let entry = with(image.clone(), json!({"platform": {"architecture": "\u{202e}64", "os": "\r"}}));
    list(&sandbox, &[named(entry, "v\u{7}1\n")]);
    let names = [("<image>", &image), ("<config>", &config), ("<layer>", &layer)];
    shows(
        &sandbox,
        names,
        "\
image
└── manifest v\\u{7}1\\n  a/\\u{1b}[2J  \\r/\\u{202e}64  331 B  <image>
    ├── config  a/\\u{1b}[2J                           2 B  <config>
    └── layer  a/b\\nc                                 0 B  <layer>

0 images, 3 blobs, 333 B
",
    );
}

#[test]
fn json_has_the_same_with_exact_numbers() {
    let sandbox = Sandbox::built();
    let (manifest, empty) = (json!({"digest": MANIFEST, "size": MANIFEST_SIZE}), blob(&sandbox, EMPTY, "{}"));
    let sbom = referrer(&sandbox, "application/spdx+json", &manifest);
    let all = document(&sandbox, INDEX_TYPE, &index(&[with(manifest.clone(), json!({"mediaType": MANIFEST_TYPE}))]));
    sandbox.edit("image/index.json", |index| {
        index["manifests"].as_array_mut().expect("an array").extend([sbom.clone(), named(all.clone(), "all")]);
    });
    fs::remove_file(sandbox.path(blob_name(PATCHES))).expect("deleted");
    sandbox.write(&blob_name(BASE), "short");
    sandbox.store("unreferenced");
    let platform = json!({"architecture": "amd64", "os": "linux"});
    let empty = with(json!({"media_type": EMPTY, "digest": empty["digest"], "size": 2}), json!({"state": "present"}));
    let image = json!({
        "kind": "manifest",
        "platform": platform,
        "media_type": MANIFEST_TYPE,
        "digest": MANIFEST,
        "size": MANIFEST_SIZE,
        "state": "present",
        "shared_by": 2,
    });
    let expected = json!({
        "layout_path": "image",
        "roots": [
            with(image.clone(), json!({
                "ref_names": ["latest"],
                "children": [
                    {
                        "kind": "config",
                        "media_type": CONFIG_TYPE,
                        "digest": CONFIG,
                        "size": CONFIG_SIZE,
                        "state": "present",
                    },
                    {
                        "kind": "layer",
                        "media_type": GZIP_TYPE,
                        "digest": BASE,
                        "size": BASE_SIZE,
                        "state": "wrong_size",
                        "actual_size": 5,
                    },
                    {
                        "kind": "layer",
                        "media_type": GZIP_TYPE,
                        "digest": PATCHES,
                        "size": PATCHES_SIZE,
                        "state": "missing",
                    },
                ],
                "referrers": [{
                    "kind": "manifest",
                    "media_type": MANIFEST_TYPE,
                    "artifact_type": "application/spdx+json",
                    "digest": sbom["digest"],
                    "size": sbom["size"],
                    "state": "present",
                    "children": [
                        with(empty.clone(), json!({"kind": "config"})),
                        with(empty.clone(), json!({"kind": "layer"})),
                    ],
                }],
            })),
            {
                "kind": "index",
                "ref_names": ["all"],
                "media_type": INDEX_TYPE,
                "digest": all["digest"],
                "size": all["size"],
                "state": "present",
                "children": [with(image, json!({"drawn": "above"}))],
            },
        ],
        "totals": {
            "images": 1,
            "blobs": 6,
            "bytes": MANIFEST_SIZE + CONFIG_SIZE + 5 + 2 + size(&sbom) + size(&all),
            "shared_bytes": MANIFEST_SIZE,
            "missing": 1,
        },
        "unreferenced": {"blobs": 1, "bytes": 12},
    });
    assert_eq!(sandbox.ok_json(SHOW), expected);
}

#[test]
fn a_locale_without_utf_8_has_a_tree_in_ascii() {
    let sandbox = Sandbox::built();
    let tree = |variables: &[(&str, &str)]| {
        let mut command = sandbox.command();
        command.args(["show", "image", "--tree"]).envs(variables.iter().copied());
        String::from_utf8(command.output().expect("the program runs").stdout).expect("text")
    };
    let unicode = tree(&[]);
    assert!(unicode.contains("└── manifest") && unicode.contains("    ├── config"), "{unicode}");
    let ascii = unicode.replace("└──", "`--").replace("├──", "|--").replace('│', "|");
    assert_eq!(tree(&[("LC_ALL", "C")]), ascii);
    assert_eq!(tree(&[("LANG", "de_DE.ISO-8859-1")]), ascii);
    // The first one that is set decides.
    assert_eq!(tree(&[("LC_ALL", ""), ("LC_CTYPE", "C.UTF-8"), ("LANG", "C")]), unicode);
    assert_eq!(tree(&[("LC_ALL", "POSIX"), ("LANG", "C.UTF-8")]), ascii);
}
