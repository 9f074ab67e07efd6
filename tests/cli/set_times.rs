//! `layout set-times`

use serde_json::{Value, json};

use crate::layer_tars::{file, image_of_tars, pax};
use crate::layers::image_of;
use crate::rewritten::{Image, is_sound};
use crate::support::*;

/// Returns the paths and times of the entries of each layer.
fn times(image: &Image) -> Vec<Vec<(String, u64)>> {
    let of_tar = |tar: &Vec<u8>| {
        let mut archive = tar::Archive::new(tar.as_slice());
        let entries = archive.entries().expect("a tar").map(|entry| {
            let entry = entry.expect("an entry");
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            (path, entry.header().mtime().expect("a time"))
        });
        entries.collect()
    };
    image.tars.iter().map(of_tar).collect()
}

fn at(times: &[(&str, u64)]) -> Vec<(String, u64)> {
    times.iter().map(|(path, time)| ((*path).to_owned(), *time)).collect()
}

#[test]
fn h3_times_are_set_or_clamped_and_whiteouts_have_the_time_0() {
    let sandbox = image_of(&[&["@50 a=1", "@500 b=2"], &["@700 .wh.a", "@80 c=3"]]);
    let before = Image::of(&sandbox, "v1");
    sandbox.ok("set-times -q -p image:v1 --clamp @100 --tag clamped");
    let clamped = Image::of(&sandbox, "clamped");
    assert_eq!(times(&clamped), [at(&[("a", 50), ("b", 100)]), at(&[(".wh.a", 0), ("c", 80)])]);
    sandbox.ok("set-times -q -p image:v1 --set 1970-01-01T00:01:00Z");
    let set = Image::of(&sandbox, "v1");
    assert_eq!(times(&set), [at(&[("a", 60), ("b", 60)]), at(&[(".wh.a", 0), ("c", 60)])]);
    assert_eq!(set.entries(), before.entries());
    is_sound(&sandbox);
    let tree = sandbox.tree();
    sandbox.ok("set-times -q -p image:v1 --set @60");
    sandbox.ok("set-times -q -p image:v1 --clamp @60");
    assert!(sandbox.tree() == tree, "nothing changes");
}

#[test]
fn h3_records_of_pax_headers_change_too() {
    let records = pax(b'x', &[("mtime", b"700.25"), ("atime", b"800"), ("ctime", b"50")]);
    let sandbox = image_of_tars(&[[records, file(b"f", b"1")].concat()]);
    sandbox.ok("set-times -q -p image:v1 --clamp @100");
    let tar = Image::of(&sandbox, "v1").tars.remove(0);
    let has = |text: &str| tar.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(has("13 mtime=100\n13 atime=100\n12 ctime=50\n"), "{}", tar.escape_ascii());
}

#[test]
fn h3_the_config_and_the_history_of_these_layers_have_the_time() {
    let sandbox = Sandbox::empty();
    sandbox.write("app", "app");
    sandbox.ok("build -q -o base:v1 --copy app:/base --created 2020-01-01T00:00:00Z --history one");
    sandbox.ok("build -q -o image:v1 --base base:v1 --copy app:/app --created 2024-01-01T00:00:00+01:00 --history two");
    let created = |image: &Image| {
        let history = image.config["history"].as_array().expect("a history").clone();
        let history: Vec<Value> = history.iter().map(|entry| entry["created"].clone()).collect();
        json!([image.config["created"], history])
    };
    let (old, new) = ("2020-01-01T00:00:00Z", "2023-12-31T23:00:00Z");
    assert_eq!(created(&Image::of(&sandbox, "v1")), json!([new, [old, old, new, new]]));
    let clamp = "2023-01-01T00:00:00Z";
    // The base is not in the layout.
    let base = sandbox.json("base/index.json")["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    sandbox.run(&format!("set-times -p image:v1 --clamp {clamp}")).is(
        1,
        "",
        format!(
            "Error: the base of 'v1' is not stored: {base}; name the base with --base, or the number of its layers with \
             --keep\n"
        ),
    );
    for (tag, flags, times) in [
        ("base", "--base base:v1", json!([clamp, [old, old, clamp, clamp]])),
        ("kept", "--keep 1", json!([clamp, [old, old, clamp, clamp]])),
    ] {
        sandbox.ok(&format!("set-times -q -p image:v1 --clamp {clamp} {flags} --tag {tag}"));
        assert_eq!(created(&Image::of(&sandbox, tag)), times, "{flags}");
    }
    let set = "2030-01-01T00:00:00Z";
    sandbox.ok(&format!("set-times -q -p image:v1 --set {set} --base base:v1 --tag set"));
    let image = Image::of(&sandbox, "set");
    assert_eq!(created(&image), json!([set, [old, old, set, set]]));
    // The layers of the base are those of the base, which the annotations name still.
    assert_eq!(image.tars[0], Image::of(&sandbox, "v1").tars[0]);
    assert_eq!(image.manifest["annotations"]["org.opencontainers.image.base.digest"], base);
    sandbox.ok(&format!("set-times -q -p image:v1 --set {set} --keep 0 --tag all"));
    let image = Image::of(&sandbox, "all");
    assert_eq!(created(&image), json!([set, [set, set, set, set]]));
    assert_eq!(image.manifest.get("annotations"), None);
    is_sound(&sandbox);
}

#[test]
fn wrong_flags_are_refused() {
    let sandbox = image_of(&[&["a=1"]]);
    sandbox.ok("init -q other");
    let before = sandbox.tree();
    sandbox.run("set-times -p image:v1 --set @1 --keep 2").is(1, "", "Error: 2 layers cannot be kept ('v1' has 1)\n");
    for (flags, message) in [
        ("", "the following required arguments were not provided"),
        ("--set @1 --clamp @1", "cannot be used with"),
        ("--set yesterday", "expected a time such as"),
        ("--set @1 --keep 1 --base image:v1", "cannot be used with"),
    ] {
        sandbox.run(&format!("set-times -p image:v1 {flags}")).fails_with(2, predicates::str::contains(message));
    }
    sandbox.run("set-times -p image:v1 --set @1 --base other").is(
        1,
        "",
        "Error: the lowest layers of 'v1' are not those of 'other'; name the base that the image was built on\n",
    );
    assert!(sandbox.tree() == before);
}

#[test]
fn h4_a_layer_without_a_time_that_changes_keeps_its_diff_id() {
    let mut gnu = file(b"f", b"content");
    gnu[136..148].copy_from_slice(b"        144 ");
    // The checksum as GNU tar and Python write it.
    gnu[148..156].fill(b' ');
    let sum: u32 = gnu[..512].iter().map(|byte| u32::from(*byte)).sum();
    gnu[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let whiteout = file(b".wh.gone", b"");
    let records = pax(b'x', &[("mtime", b"99.50")]);
    // `git archive` begins with such a header, which a layer that is made again does not have.
    let global = pax(b'g', &[("comment", b"1")]);
    let sandbox = image_of_tars(&[[global, gnu.clone(), records, gnu.clone(), whiteout].concat()]);
    let before = Image::of(&sandbox, "v1");
    let tree = sandbox.tree();
    sandbox.ok("set-times -q -p image:v1 --clamp @100 --keep 0");
    assert!(sandbox.tree() == tree);
    sandbox.ok("set-times -q -p image:v1 --clamp @99 --keep 0 --tag v2");
    let after = Image::of(&sandbox, "v2");
    assert_ne!(after.config["rootfs"], before.config["rootfs"]);
    assert_eq!(after.tars[0][154..156], *b"\0 ");
}
