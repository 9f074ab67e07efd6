//! Tars of others as layers: every reader of tars sees the same entries, and malformed ones are named.

use std::fs;

use regshape::compress::Bounds;
use regshape::layout::Layout;
use regshape::rootfs::Stack;
use regshape::transfer::LoadOptions;
use regshape::view::View;
use serde_json::json;

use crate::support::*;

pub(crate) const END: [u8; 1024] = [0; 1024];

/// Returns the header of an entry and its content. The size in the header may be another one.
fn entry_of_size(name: &[u8], flag: u8, size: u64, content: &[u8], target: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::new(flag));
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    let bytes = header.as_mut_bytes();
    bytes[..name.len()].copy_from_slice(name);
    bytes[157..157 + target.len()].copy_from_slice(target);
    header.set_cksum();
    let mut entry = [header.as_bytes(), content].concat();
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

pub(crate) fn entry(name: &[u8], flag: u8, content: &[u8]) -> Vec<u8> {
    entry_of_size(name, flag, content.len() as u64, content, b"")
}

pub(crate) fn file(name: &[u8], content: &[u8]) -> Vec<u8> {
    entry(name, b'0', content)
}

pub(crate) fn link(name: &[u8], flag: u8, target: &[u8]) -> Vec<u8> {
    entry_of_size(name, flag, 0, b"", target)
}

/// Returns a pax header with a record for each pair.
pub(crate) fn pax(flag: u8, records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut content = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (1..).find(|length| rest + length.to_string().len() == *length).expect("a length");
        content.extend([format!("{length} {key}=").as_bytes(), value, b"\n"].concat());
    }
    entry(b"pax", flag, &content)
}

/// Makes an image of tars: `image:v1`.
pub(crate) fn image_of_tars(layers: &[Vec<u8>]) -> Sandbox {
    let sandbox = Sandbox::new();
    for (at, layer) in layers.iter().enumerate() {
        sandbox.write("layer.tar", [layer.as_slice(), &END].concat());
        sandbox.ok(&format!("add layer -q -p image -f layer.tar --created-by {at}"));
    }
    sandbox.ok("generate config -p image --os linux --architecture amd64");
    sandbox.ok("generate manifest -p image --ref-name v1");
    sandbox
}

/// Merges tars as the layers of an image. Returns path, type and target of each entry.
fn merged(layers: &[Vec<u8>]) -> Result<Vec<String>, String> {
    let sandbox = Sandbox::new();
    for layer in layers {
        sandbox.write("l.tar", [layer.as_slice(), &END].concat());
        sandbox.ok("layout add layer -q -p image -f l.tar");
    }
    let layout = Layout::open(sandbox.path("image")).expect("a layout");
    let stack = Stack::of_staged(&layout, Bounds::default()).map_err(|error| error.report())?;
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let line = |entry: regshape::rootfs::TreeEntry| {
        format!("{} {} {}", text(&entry.path), char::from(entry.flag), text(&entry.target)).trim_end().to_owned()
    };
    Ok(stack.entries().into_iter().map(line).collect())
}

/// A pax size applies to the entry of a file, also where a GNU header or another size stands between (RUSTSEC-2026-0067,
/// RUSTSEC-2026-0068, GHSA-3cv2-h65g-fgmm). A reader that applies it to the GNU header, or not at all, sees the entry that
/// is hidden in the content.
#[test]
fn k_a_pax_size_before_a_gnu_name_means_the_same_to_every_reader() {
    let long = format!("{}/name", "d".repeat(120));
    let hidden = [file(b"hidden", b"x"), file(b"oci-layout", b"{}")].concat();
    let size = hidden.len().to_string();
    let gnu = [long.as_bytes(), b"\0"].concat();
    for size_of_header in [0, 7, 512] {
        for headers in [
            [pax(b'x', &[("size", size.as_bytes())]), entry(b"././@LongLink", b'L', &gnu)].concat(),
            [entry(b"././@LongLink", b'L', &gnu), pax(b'x', &[("size", size.as_bytes())])].concat(),
        ] {
            let smuggler = [headers, entry_of_size(b"short", b'0', size_of_header, &hidden, b"")].concat();
            let layer = [smuggler.as_slice(), &file(b"last", b"")].concat();
            // Merging.
            let expected = [format!("{} 5", "d".repeat(120)), format!("{long} 0"), "last 0".to_owned()];
            assert_eq!(merged(std::slice::from_ref(&layer)).as_deref(), Ok(&expected[..]));
            // A deep validation, and adding the layer: two entries of one name would be a finding.
            let sandbox = Sandbox::new();
            sandbox.write("l.tar", [layer.as_slice(), &file(b"hidden", b"y"), &END].concat());
            let added = sandbox.ok_json("layout add layer -p image -f l.tar");
            assert_eq!(added.get("warnings"), None, "{added}");
            sandbox.ok("layout generate config -q -p image");
            sandbox.ok("layout generate manifest -q -p image --ref-name v1");
            let value = sandbox.ok_json("layout validate --path image --deep");
            assert_eq!((&value["errors"], &value["warnings"]), (&json!([]), &json!([])));
            // An archive: the marker is not the hidden one.
            sandbox.ok("layout export -q -p image -o image.tar");
            let archive = [smuggler.as_slice(), &sandbox.read("image.tar")].concat();
            sandbox.write("smuggling.tar", archive);
            let view = View::load(sandbox.path("smuggling.tar"), &LoadOptions::default()).expect("an archive");
            assert_eq!(view.images().expect("images").len(), 1);
        }
    }
}

/// Records are as long as they say, with any bytes in their values.
#[test]
fn a11_values_of_attributes_do_not_end_pax_records() {
    let value = b"1\n19 linkpath=/evil\n\0=";
    let layer = [pax(b'x', &[("SCHILY.xattr.user.a", value), ("path", b"real")]), link(b"l", b'2', b"there")].concat();
    assert_eq!(merged(&[layer]), Ok(vec!["real 2 there".to_owned()]));
}

#[test]
fn a19_global_pax_headers_do_not_apply_to_entries() {
    let global = pax(b'g', &[("path", b"elsewhere"), ("size", b"512"), ("linkpath", b"elsewhere")]);
    let layer = [global, file(b"f", b"x"), link(b"l", b'2', b"f")].concat();
    assert_eq!(merged(&[layer]), Ok(vec!["f 0".to_owned(), "l 2 f".to_owned()]));
}

#[test]
fn e5_hard_links_and_links_of_the_layer_are_resolved_at_its_end() {
    let layer = [
        link(b"late", b'1', b"lib/file"),
        link(b"below", b'1', b"old"),
        link(b"lost", b'1', b"nowhere"),
        link(b"lib", b'2', b"usr/lib"),
        entry(b"usr/lib/", b'5', b""),
        file(b"lib/file", b"x"),
        file(b"lib/.wh.gone", b""),
    ];
    let base = [file(b"old", b"x"), file(b"usr/lib/gone", b"x"), file(b"usr/lib/stays", b"x")].concat();
    let expected = ["below 0", "late 0", "lib 2 usr/lib", "lost 1 nowhere", "old 0", "usr 5", "usr/lib 5"];
    let expected = [&expected[..], &["usr/lib/file 0", "usr/lib/stays 0"]].concat();
    assert_eq!(merged(&[base, layer.concat()]), Ok(expected.into_iter().map(str::to_owned).collect()));
}

/// Names as the images `tianon/badtar` have them: each is kept, has no meaning, or is refused by name.
#[test]
fn a10_bad_names_have_a_clear_outcome() {
    let digest_and = |error: String, reason: &str| {
        let (start, end) = error.split_once(" is not a well-formed tar: ").unwrap_or_else(|| panic!("{error}"));
        assert!(start.starts_with("layer sha256:"), "{error}");
        assert_eq!(end, reason);
    };
    for (layer, expected) in [
        (file(b"\xff\xfe", b"x"), vec![r"\xff\xfe 0"]),
        (pax(b'x', &[("hdrcharset", b"BINARY"), ("path", b"\xff/\xfe")]), vec![]),
        ([pax(b'x', &[("path", b"\xff/\xfe")]), file(b"f", b"x")].concat(), vec![r"\xff 5", r"\xff/\xfe 0"]),
        ([file(b".wh.", b""), file(b"d/.wh..", b""), file(b"d/.wh...", b"")].concat(), vec!["d 5"]),
        ([file(b".wh.a/b", b"x"), file(b".wh..wh.plnk/1.2", b"x"), file(b"c", b"")].concat(), vec!["c 0"]),
        ([entry(b"", b'5', b""), entry(b"./", b'5', b""), file(b"//a/./b", b"")].concat(), vec!["a 5", "a/b 0"]),
    ] {
        assert_eq!(merged(&[layer]), Ok(expected.into_iter().map(str::to_owned).collect()));
    }
    for (layer, reason) in [
        (file(b"", b"x"), "its entry '' is for the root, and not a directory"),
        (link(b"./", b'2', b"/"), "its entry './' is for the root, and not a directory"),
        (file(b"a/../../b", b"x"), "'a/../../b' leads out of its directory"),
        (link(b"a", b'1', b"../b"), "'../b' leads out of its directory"),
        (
            [pax(b'x', &[("path", b"a\0b")]), file(b"f", b"x")].concat(),
            "the record 'path' of an extended header is malformed",
        ),
    ] {
        digest_and(merged(&[layer]).expect_err("refused"), reason);
    }
}

#[test]
fn a_malformed_layer_below_is_named_with_its_fault() {
    let tar = [pax(b'x', &[("path", b"visible\0hidden")]), file(b"f", b"x"), END.to_vec()].concat();
    let fault = "the record 'path' of an extended header is malformed";
    let warning = format!("bad.tar: the content is not a well-formed tar: {fault}");
    let sandbox = Sandbox::new();
    sandbox.write("bad.tar", &tar);
    sandbox.write("app", "app");
    let layer = sandbox.ok_json("layout add layer -p image --file bad.tar");
    assert_eq!(layer["warnings"], json!([warning]));
    let digest = layer["digest"].as_str().expect("a digest");
    let message = format!("layer {digest} is not a well-formed tar: {fault}; create");
    sandbox.refuses("add layer -p image --copy app", &format!("{message} that layer again"));
    // The layout of a build is a temporary one, and its user knows no digests.
    sandbox.refuses("build -q -o new --layer bad.tar --copy app", &format!("{message} bad.tar again"));
    assert!(!sandbox.path("new").exists());
    // Alone, the layer is the user's: a warning names its fault.
    let outcome = sandbox.run("layout build -q -o new --layer bad.tar");
    assert_eq!((outcome.status, outcome.stderr.contains(fault)), (0, true), "{outcome:?}");
    assert_eq!(fs::read_dir(sandbox.path("new/blobs/sha256")).expect("blobs").count(), 3);
}

/// Returns the warnings of `validate --deep` for an image of these layers, without the words before the fault.
fn deep_warnings(layers: &[Vec<u8>]) -> Vec<String> {
    let sandbox = image_of_tars(layers);
    let manifest = sandbox.index()["manifests"][0]["digest"].as_str().expect("a digest").to_owned();
    let report = sandbox.ok_json("validate -p image --deep");
    let warnings = report["warnings"].as_array().expect("a list");
    let text = |warning: &serde_json::Value| warning.as_str().expect("text").replace(&manifest, "M");
    warnings.iter().map(text).collect()
}

#[test]
fn e5_entries_below_a_link_of_a_lower_layer_are_a_finding() {
    let base = [entry(b"usr/lib/", b'5', b""), link(b"lib", b'2', b"usr/lib"), link(b"usr/x", b'2', b"lib")].concat();
    let says = |at: usize, path: &str, below: usize| {
        format!(
            "layer[{at}] in manifest M: the entries below '{path}' hide the link '{path}' of layer {below}, or are written \
             through it: engines differ; an entry for '{path}' itself settles it"
        )
    };
    let x = || file(b"lib/x", b"");
    let directory = || entry(b"lib/", b'5', b"");
    let none: Vec<String> = Vec::new();
    for (upper, expected) in [
        (vec![x()], vec![says(1, "lib", 0)]),
        (vec![file(b"./lib/d/e/x", b"")], vec![says(1, "lib", 0)]),
        (vec![file(b"lib/.wh.x", b"")], vec![says(1, "lib", 0)]),
        (vec![file(b"y", b""), [x(), file(b"usr/x/y", b"")].concat()], vec![says(2, "lib", 0), says(2, "usr/x", 0)]),
        // The first layer has made it a directory.
        (vec![x(), file(b"lib/y", b"")], vec![says(1, "lib", 0)]),
        // An entry for the directory, before or after, or in a layer between.
        (vec![[directory(), x()].concat()], none.clone()),
        (vec![[x(), directory()].concat()], none.clone()),
        (vec![directory(), x()], none.clone()),
        (vec![[link(b"lib", b'2', b"usr/lib"), x()].concat()], none.clone()),
        // The link is gone.
        (vec![[file(b".wh.lib", b""), x()].concat()], none.clone()),
        (vec![file(b".wh.lib", b""), x()], none.clone()),
        (vec![file(b".wh..wh..opq", b""), x()], none.clone()),
        (vec![file(b"usr/.wh..wh..opq", b""), file(b"usr/x/y", b"")], none.clone()),
        (vec![file(b"usr", b""), file(b"usr/x/y", b"")], none.clone()),
        // It is there again.
        (vec![file(b".wh.lib", b""), link(b"lib", b'2', b"usr"), x()], vec![says(3, "lib", 2)]),
    ] {
        let layers: Vec<_> = [base.clone()].into_iter().chain(upper).collect();
        assert_eq!(deep_warnings(&layers), expected, "{layers:02x?}");
    }
}

#[test]
fn a10_fractions_of_times_are_cut_off_to_the_second_before() {
    for (time, seconds) in [
        ("1.999999999", 1),
        ("-1.5", -2),
        ("-1.000", -1),
        ("-0.5", -1),
        ("1767366245.000000001", 1_767_366_245),
        ("7", 7),
    ] {
        let sandbox = Sandbox::empty();
        let layer = [pax(b'x', &[("mtime", time.as_bytes())]), file(b"f", b"x")].concat();
        sandbox.write("l.tar", [layer.as_slice(), &END].concat());
        sandbox.ok("build -q -o image:v1 --layer l.tar");
        assert_eq!(sandbox.ok_json("files -p image:v1 f")["entries"][0]["mtime"], json!(seconds), "{time}");
        #[cfg(target_os = "linux")]
        {
            use std::os::unix::fs::MetadataExt as _;
            sandbox.ok("unpack image:v1 -q -o tree");
            let metadata = fs::metadata(sandbox.path("tree/f")).expect("there");
            assert_eq!((metadata.mtime(), metadata.mtime_nsec()), (seconds, 0), "{time}");
        }
    }
}
