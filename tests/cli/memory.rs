//! Memory use for documents, and limits on their size.

use std::fs::File;
use std::io::Write;

use super::support::*;

const MIB: usize = 1 << 20;

/// Repeats the items of a list up to a size.
fn list(item: &str, size: usize) -> String {
    item.repeat(size / item.len()).trim_end_matches(',').to_owned()
}

/// Returns an index of a few hundred kilobytes that exceeds `size` when it is indented.
fn deep_index(size: usize) -> String {
    // Each element is on a line of its own, indented by two blanks for each of 100 levels.
    let elements = list("0,", size / 100);
    format!(r#"{{"schemaVersion":2,"manifests":[],"x":{}{elements}{}}}"#, "[".repeat(100), "]".repeat(100))
}

#[cfg(target_os = "linux")]
#[test]
fn commands_take_a_few_times_the_size_of_a_document() {
    // The memory that the program takes for a layout without images.
    const BASE: usize = 6 * MIB;
    let unknown = |item: &str| format!(r#"{{"schemaVersion":2,"manifests":[],"x":[{}]}}"#, list(item, MIB / 2));
    for (name, index) in [("objects", unknown(r#"{"":0},"#)), ("arrays", unknown("[[[[[[[[]]]]]]]],"))] {
        let sandbox = Sandbox::empty();
        sandbox.ok("layout init --path image");
        let limit = 8 * index.len() + BASE;
        sandbox.write("image/index.json", index);
        for words in ["tag list", "show", "show --tree", "validate", "gc --dry-run", "inspect"] {
            // Only writable memory is limited; reserved address space is not counted.
            let script = format!("ulimit -d {}; exec \"$0\" \"$@\"", limit / 1024);
            let output = std::process::Command::new("sh")
                .args(["-c", &script, env!("CARGO_BIN_EXE_regshape"), "layout"])
                .args(words.split(' '))
                .args(["--path", "image", "--quiet"])
                .current_dir(sandbox.path("."))
                .output()
                .expect("a shell");
            assert!(output.status.success(), "{name}, {words}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn a_document_that_no_command_would_read_is_not_written() {
    let sandbox = Sandbox::built();
    sandbox.write("image/index.json", deep_index(128 * MIB));
    let before = sandbox.contents();
    let index = "Error: index.json at image would be larger than 134217728 bytes\n";
    sandbox.run("layout generate manifest --path image --ref-name v2 --quiet").fails(index);
    assert_eq!(sandbox.contents(), before);

    let sandbox = Sandbox::built();
    let stage = sandbox.text("image/.regshape-stage.json");
    let deep = deep_index(128 * MIB);
    let (_, unknown) = deep.split_once("\"x\"").expect("the field");
    sandbox.write("image/.regshape-stage.json", format!("{},\"x\"{unknown}", stage.trim_end().trim_end_matches('}')));
    sandbox.write("small.tar", [patches_tar(), vec![0; 1024]].concat());
    let before = sandbox.tree();
    sandbox.refuses(
        "layout add layer --path image --file small.tar --quiet",
        "staging file at image would be larger than 134217728 bytes",
    );
    assert_eq!(sandbox.tree(), before);
}

#[test]
fn an_archive_has_documents_of_64_mib_at_most() {
    let sandbox = Sandbox::empty();
    sandbox.ok("layout init --path image");
    sandbox.write("image/index.json", deep_index(64 * MIB));
    let before = sandbox.tree();
    sandbox.refuses(
        "layout export --path image --output image.tar",
        "index.json of the archive would be larger than 67108864 bytes",
    );
    assert_eq!(sandbox.tree(), before);

    for name in ["index.json", "manifest.json"] {
        let mut archive = tar::Builder::new(File::create(sandbox.path("large.tar")).expect("created"));
        let marker = br#"{"imageLayoutVersion":"1.0.0"}"#;
        for (name, size) in [("oci-layout", marker.len()), (name, 64 * MIB + 1)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(size as u64);
            header.set_mode(0o644);
            let content: Vec<u8> = if size == marker.len() { marker.to_vec() } else { vec![b' '; size] };
            archive.append_data(&mut header, name, content.as_slice()).expect("written");
        }
        archive.into_inner().and_then(|mut file| file.flush()).expect("written");
        let message = format!("'{name}' in large.tar is larger than 67108864 bytes");
        sandbox.refuses("layout inspect --file large.tar", &message);
        sandbox.refuses("layout import --path new --file large.tar", &message);
        assert!(!sandbox.path("new").exists());
    }
}
