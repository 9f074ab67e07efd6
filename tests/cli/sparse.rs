//! Sparse files of layers, in the forms that GNU tar has written.

use crate::layer_tars::{END, entry, file, pax};
use crate::support::*;

/// The size of the file: two holes, with data before, between and, in four bytes, near the end.
const SIZE: usize = 300_000;
const PARTS: [(usize, &[u8]); 3] = [(0, b"begin"), (100_000, b"middle"), (SIZE - 10, b"tail")];

fn content() -> Vec<u8> {
    let mut content = vec![0; SIZE];
    PARTS.iter().for_each(|(at, data)| content[*at..at + data.len()].copy_from_slice(data));
    content
}

/// Returns the content as it is stored.
fn stored() -> Vec<u8> {
    PARTS.iter().flat_map(|(_, data)| data.to_vec()).collect()
}

/// Returns an entry of type `S` of GNU, with a map. Four parts are in the header, and the others in blocks of 21.
fn old(name: &str, parts: &[(usize, usize)], size: usize, stored: &[u8]) -> Vec<u8> {
    let field = |number: usize| format!("{number:011o}\0").into_bytes();
    let fields = |parts: &[(usize, usize)]| -> Vec<u8> {
        parts.iter().flat_map(|(offset, length)| [field(*offset), field(*length)].concat()).collect()
    };
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNUSparse);
    header.set_mode(0o755);
    header.set_size(stored.len() as u64);
    for set in [tar::Header::set_uid, tar::Header::set_gid, tar::Header::set_mtime] {
        set(&mut header, 0);
    }
    let (first, others) = parts.split_at(parts.len().min(4));
    let bytes = header.as_mut_bytes();
    bytes[..name.len()].copy_from_slice(name.as_bytes());
    bytes[386..386 + 24 * first.len()].copy_from_slice(&fields(first));
    bytes[482] = u8::from(!others.is_empty());
    bytes[483..495].copy_from_slice(&field(size));
    header.set_cksum();
    let mut entry = header.as_bytes().to_vec();
    let count = others.chunks(21).count();
    for (at, parts) in others.chunks(21).enumerate() {
        let mut block = fields(parts);
        block.resize(512, 0);
        block[504] = u8::from(at + 1 < count);
        entry.extend(block);
    }
    entry.extend(stored);
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

/// Returns an entry with records of the sparse formats.
fn with_records(records: &[(&str, &str)], stored: &[u8]) -> Vec<u8> {
    let records: Vec<(&str, &[u8])> = records.iter().map(|(key, value)| (*key, value.as_bytes())).collect();
    [pax(b'x', &records), file(b"GNUSparseFile.0/f", stored)].concat()
}

/// Returns the file in each form.
fn forms() -> Vec<(&'static str, Vec<u8>)> {
    let size = SIZE.to_string();
    let parts = PARTS.map(|(at, data)| (at, data.len()));
    let texts: Vec<String> = parts.iter().flat_map(|(at, length)| [at.to_string(), length.to_string()]).collect();
    let one_by_one: Vec<(&str, &str)> = texts
        .chunks(2)
        .flat_map(|part| [("GNU.sparse.offset", part[0].as_str()), ("GNU.sparse.numbytes", part[1].as_str())])
        .collect();
    let name = ("GNU.sparse.name", "f");
    let mut in_content = format!("3\n{}\n", texts.join("\n")).into_bytes();
    in_content.resize(512, 0);
    let version = |major, minor| [("GNU.sparse.major", major), ("GNU.sparse.minor", minor)];
    vec![
        ("the old form", old("f", &parts, SIZE, &stored())),
        (
            "0.0",
            with_records(
                &[&[name, ("GNU.sparse.size", size.as_str()), ("GNU.sparse.numblocks", "3")], one_by_one.as_slice()]
                    .concat(),
                &stored(),
            ),
        ),
        ("0.1", with_records(&[name, ("GNU.sparse.size", &size), ("GNU.sparse.map", &texts.join(","))], &stored())),
        (
            "1.0",
            with_records(
                &[&version("1", "0")[..], &[name, ("GNU.sparse.realsize", &size)]].concat(),
                &[in_content, stored()].concat(),
            ),
        ),
    ]
}

/// Builds an image of a tar.
fn image(tar: &[u8]) -> Sandbox {
    let sandbox = Sandbox::empty();
    sandbox.write("l.tar", [tar, &END].concat());
    let built = sandbox.run("build -q -o image:v1 --layer l.tar");
    assert_eq!(built.status, 0, "{built:?}");
    sandbox
}

#[test]
fn sparse_files_have_their_real_size_and_content() {
    for (form, entry) in forms() {
        let sandbox = image(&[entry, file(b"next", b"next")].concat());
        let listed = sandbox.ok("files -p image:v1 -l");
        assert!(listed.lines().any(|line| line.ends_with(" 300000 1970-01-01 00:00 0 /f")), "{form}: {listed}");
        let output = sandbox.command().args(["cat", "-p", "image:v1", "f", "next"]).output().expect("runs");
        assert!(output.stdout == [content(), b"next".to_vec()].concat(), "{form}: {} bytes", output.stdout.len());
        let value = sandbox.ok_json("cat -p image:v1 f");
        assert_eq!(value["files"][0]["size"], SIZE, "{form}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn sparse_files_are_written_with_their_holes() {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    for (form, entry) in forms() {
        let sandbox = image(&[entry, file(b"next", b"next")].concat());
        sandbox.ok("unpack image:v1 -q -o all");
        sandbox.ok("extract -p image:v1 -q f -o one");
        for name in ["all/f", "one/f"] {
            assert!(sandbox.read(name) == content(), "{form}: {name}");
            let blocks = fs::metadata(sandbox.path(name)).expect("there").blocks();
            assert!(blocks * 512 < SIZE as u64 / 2, "{form}: {name} takes {blocks} blocks");
        }
        assert_eq!(sandbox.text("all/next"), "next", "{form}");
    }
    // A hole at the end, and nothing but a hole, of 4 GiB.
    let huge = 1 << 32;
    for (parts, stored) in [(vec![(0, 3), (huge, 0)], &b"abc"[..]), (vec![(huge, 0)], b"")] {
        let sandbox = image(&old("f", &parts, huge, stored));
        sandbox.ok("unpack image:v1 -q -o all");
        assert_eq!(fs::metadata(sandbox.path("all/f")).expect("there").len(), huge as u64);
        let says = "4294967296 bytes are more than a value may have; print the content as it is, without --json and --template";
        sandbox.run("cat -p image:v1 f --template {files}").fails(format!("Error: {says}\n"));
    }
}

#[test]
fn maps_of_many_parts_are_read_from_the_blocks_after_the_header() {
    for count in [4, 5, 25, 26, 100] {
        let parts: Vec<_> = (0..count).map(|at| (at * 10, 5)).collect();
        let sandbox = image(&old("f", &parts, count * 10, &vec![b'x'; count * 5]));
        assert_eq!(sandbox.ok("cat -p image:v1 f"), "xxxxx\0\0\0\0\0".repeat(count), "{count}");
    }
}

#[test]
fn malformed_maps_are_errors_wherever_a_layer_is_read() {
    let record = |records: &[(&str, &str)], stored: &[u8]| with_records(records, stored);
    let in_content = |stored: &[u8]| {
        let version = [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0")];
        record(&[&version[..], &[("GNU.sparse.name", "f"), ("GNU.sparse.realsize", "9")]].concat(), stored)
    };
    let block = |text: &str| [text.as_bytes(), &[0; 512]].concat()[..512].to_vec();
    for tar in [
        old("f", &[(0, 5)], 4, b"12345"),
        old("f", &[(0, 4)], 9, b"12345"),
        old("f", &[(4, 2), (1, 3)], 9, b"12345"),
        record(&[("GNU.sparse.name", "f"), ("GNU.sparse.map", "0,4"), ("GNU.sparse.size", "9")], b"12345"),
        record(&[("GNU.sparse.name", "f"), ("GNU.sparse.map", "0"), ("GNU.sparse.size", "9")], b"12345"),
        // Of another program.
        entry(b"f", b'S', b"x"),
        in_content(b"1\n0\n1\nx"),
        in_content(&[b'1'; 600]),
        in_content(&block("1\n0\n")),
        in_content(&[block("1\n0\n5\n"), b"1234".to_vec()].concat()),
    ] {
        let sandbox = Sandbox::empty();
        sandbox.write("l.tar", [tar.as_slice(), &END].concat());
        sandbox.ok("init image");
        let says = "the content is not a well-formed tar: the sparse map of 'f' is malformed";
        let added = sandbox.run("add layer image --file l.tar");
        assert!(added.status == 0 && added.stderr.contains(says), "{added:?}");
        sandbox.ok("generate config image");
        sandbox.ok("generate manifest image --ref-name v1");
        let error = "is not a well-formed tar: the sparse map of 'f' is malformed; create that layer again\n";
        sandbox.run("files -p image:v1").fails_with(1, predicates::str::ends_with(error));
        sandbox.run("validate image:v1 --deep").fails_with(1, predicates::str::contains(says));
    }
}

#[test]
fn a_sparse_program_and_a_sparse_list_of_users_are_read() {
    let sandbox = Sandbox::empty();
    let mut elf = b"\x7fELF\x02\x01".to_vec();
    elf.resize(18, 0);
    elf.extend([62, 0]);
    let users = b"app:x:5:5::/:/bin/sh\n";
    let program = old("start", &[(0, elf.len())], 1 << 20, &elf);
    let passwd = old("etc/passwd", &[(0, users.len())], 1000, users);
    sandbox.write("l.tar", [program, passwd, END.to_vec()].concat());
    let built = sandbox.run("build -q -o image:v1 --layer l.tar --entrypoint /start --user app");
    assert_eq!(built.status, 0, "{built:?}");
    sandbox.run("lint image:v1").succeeds("The image at image:v1 has no errors.\n", "");
}
