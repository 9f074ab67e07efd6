//! System calls that fail, and programs that are killed during a call.
//!
//! For every call that changes files, in every command that writes, there are three runs: the call fails, the program
//! is killed at the call, or it gets SIGTERM there. After each run the layout is valid, all earlier content is still
//! there, and the same command succeeds and leaves no temporary file. A command that reported an error changed nothing;
//! a command that got SIGTERM changed nothing or completed its work. There are two exceptions: a garbage collection may
//! be done in part, and a command that creates the layout it stores to may leave an empty layout. A command that writes
//! a whole layout or file leaves either the old content or all of the new, even if it is killed.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::Output;

use crate::lab::Lab;
use crate::samples::single;

/// The calls that change files or sync them.
const CALLS: [&str; 15] = [
    "open",
    "openat",
    "write",
    "copy_file_range",
    "fsync",
    "fdatasync",
    "flock",
    "linkat",
    "link",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "mkdir",
    "rmdir",
];

/// Disables unnamed temporary files, as on some file systems: only these are opened with this call.
const NAMED: [&str; 2] = ["-e", "inject=open:error=EOPNOTSUPP"];

/// If a call is made more often than this, each instance is tried with only one of the faults where all would take too
/// long.
const MANY: usize = 8;

/// The number of instances that are tried, counted from the end: earlier ones load the program and read the source.
const LAST: usize = 60;

/// The errors of a failing call.
const FAILURES: [&str; 3] = ["ENOSPC", "EIO", "EACCES"];

#[test]
fn init_survives_every_fault() {
    Case { made: Made::Nothing, ..Case::of("init -p image") }.survives();
}

#[test]
fn init_survives_every_fault_with_named_temporary_files() {
    Case { made: Made::Nothing, ..Case::of("init -p image") }.with_named_files().survives();
}

#[test]
fn add_layer_survives_every_fault() {
    Case::of("add layer -p image -f b.tar -q").survives();
}

#[test]
fn add_layer_survives_every_fault_with_named_temporary_files() {
    Case::of("add layer -p image -f b.tar -q").with_named_files().survives();
}

#[test]
fn annotate_layer_survives_every_fault() {
    Case::of("annotate layer -p image -i 0 --annotation a=1").survives();
}

#[test]
fn generate_config_survives_every_fault() {
    Case::of("generate config -p image --os plan9 -q").survives();
}

#[test]
fn generate_manifest_survives_every_fault() {
    Case::of("generate manifest -p image --ref-name v1 --annotation a=1 -q").survives();
}

#[test]
fn generate_manifest_survives_every_fault_with_named_temporary_files() {
    Case::of("generate manifest -p image --ref-name v1 --annotation a=1 -q").with_named_files().survives();
}

#[test]
fn update_config_survives_every_fault() {
    Case::of("update config -p image --os plan9 -q").survives();
}

#[test]
fn annotate_manifest_survives_every_fault() {
    Case::of("annotate manifest -p image --annotation a=1").survives();
}

#[test]
fn add_layer_of_files_survives_every_fault() {
    Case::of("add layer -p image --copy b.txt:/srv/b -q").survives();
}

#[test]
fn add_layer_to_an_image_survives_every_fault() {
    Case::of("add layer -p image:v2 --copy b.txt:/srv/b -q").survives();
}

#[test]
fn update_config_of_an_image_survives_every_fault() {
    Case::of("update config -p image:v2 --label a=1 -q").survives();
}

#[test]
fn update_config_of_an_image_survives_every_fault_with_named_temporary_files() {
    Case::of("update config -p image:v2 --label a=1 -q").with_named_files().survives();
}

#[test]
fn annotate_manifest_of_an_image_survives_every_fault() {
    Case::of("annotate manifest -p image:v2 --annotation a=1 --tag v3 -q").survives();
}

#[test]
fn remove_layer_survives_every_fault() {
    Case::of("remove layer -p image:v2 --index 0 --tag v3 --replace-tag -q").survives();
}

#[test]
fn attach_survives_every_fault() {
    Case::of("attach -p image:v2 --artifact-type text/plain -f a.txt -f b.txt -q").survives();
}

#[test]
fn attach_survives_every_fault_with_named_temporary_files() {
    Case::of("attach -p image:v2 --artifact-type text/plain -f a.txt -f b.txt -q").with_named_files().survives();
}

#[test]
fn generate_manifest_of_an_artifact_survives_every_fault() {
    Case::of("generate manifest -p image --artifact-type text/plain --subject v2 --ref-name x -q").survives();
}

#[test]
fn referrer_get_survives_every_fault() {
    Case::of("referrer get -p image/from:x -o image/new --overwrite").on_archives().survives();
}

#[test]
fn squash_survives_every_fault() {
    Case { made: Made::Layers, ..Case::of("squash -p image:v2 -q") }.survives();
}

#[test]
fn recompress_with_a_tag_survives_every_fault() {
    Case::of("recompress -p image:v2 --compress-format none --tag v3 --replace-tag -q").survives();
}

#[test]
fn strip_survives_every_fault() {
    Case { again: Again::Fails, ..Case::of("strip -p image:v2 /a.txt -q") }.survives();
}

#[test]
fn set_times_survives_every_fault() {
    Case::of("set-times -p image:v2 --set @7 -q").survives();
}

#[test]
fn rebase_survives_every_fault() {
    Case::of("rebase -p image:v2 --new-base bases:new -q").on_a_base().survives();
}

#[test]
fn add_layer_of_changes_survives_every_fault() {
    let case = Case::of("add layer -p image:v2 --diff-from image:v2 --to tree -q");
    Case { again: Again::Fails, ..case }.on_a_base().survives();
}

#[test]
fn unpack_survives_every_fault() {
    let words = "unpack -p image/from:x -o image/tree --state image/state.json";
    Case { again: Again::Fails, ..Case::of(words) }.on_archives().survives();
}

#[test]
fn unpack_into_an_empty_directory_survives_every_fault() {
    Case { again: Again::Fails, ..Case::of("unpack -p image/from:x -o image/empty") }.on_archives().survives();
}

#[test]
fn extract_survives_every_fault() {
    Case { again: Again::Fails, ..Case::of("extract -p image/from:x / -o image/files") }.on_archives().survives();
}

#[test]
fn build_of_a_new_layout_survives_every_fault() {
    Case::of("build -o image/new --copy b.txt:/srv/b -q").on_archives().survives();
}

#[test]
fn build_into_a_layout_survives_every_fault() {
    Case::of("build -o image/there --base image/from:x --copy b.txt:/srv/b -q").on_archives().survives();
}

#[test]
fn generate_index_survives_every_fault() {
    Case::of("generate index -p image --ref-name v3 v1 arm64 -q").on_an_index().survives();
}

#[test]
fn generate_index_of_another_layout_survives_every_fault() {
    Case::of("generate index -p image/there --ref-name v3 v1 ./image/from:x -q").on_archives().survives();
}

#[test]
fn generate_index_of_another_layout_survives_every_fault_with_named_temporary_files() {
    Case::of("generate index -p image/there --ref-name v3 v1 ./image/from:x -q")
        .on_archives()
        .with_named_files()
        .survives();
}

#[test]
fn index_add_survives_every_fault() {
    Case::of("index add -p image:one arm64 -q").on_an_index().survives();
}

#[test]
fn index_remove_survives_every_fault() {
    let case = Case::of("index remove -p image:both --platform linux/arm64 -q");
    Case { again: Again::Fails, ..case }.on_an_index().survives();
}

#[test]
fn index_annotate_survives_every_fault() {
    Case::of("index annotate -p image:one --annotation a=1 -q").on_an_index().survives();
}

#[test]
fn index_annotate_of_an_entry_survives_every_fault() {
    Case::of("index annotate -p image:one --at entry --annotation a=1 -q").on_an_index().survives();
}

#[test]
fn tag_add_survives_every_fault() {
    Case::of("tag add -p image --ref v1 x").on_a_registry().survives();
}

#[test]
fn tag_move_survives_every_fault() {
    Case { again: Again::Fails, ..Case::of("tag move -p image --ref x y") }.on_a_registry().survives();
}

#[test]
fn tag_delete_survives_every_fault() {
    Case { again: Again::Fails, ..Case::of("tag delete -p image --ref x") }.on_a_registry().survives();
}

#[test]
fn manifest_put_survives_every_fault() {
    Case::of("manifest put -p image -f new.json --tag x --tag new").on_a_registry().survives();
}

#[test]
fn manifest_put_survives_every_fault_with_named_temporary_files() {
    Case::of("manifest put -p image -f new.json --tag x --tag new").on_a_registry().with_named_files().survives();
}

#[test]
fn manifest_put_survives_every_fault_where_there_is_no_layout() {
    Case { made: Made::Nothing, ..Case::of("manifest put -p image -f index.json --tag new") }.survives();
}

#[test]
fn manifest_delete_survives_every_fault() {
    Case { again: Again::Fails, ..Case::of("manifest delete -p image --ref x") }.on_a_registry().survives();
}

#[test]
fn blob_upload_survives_every_fault() {
    Case::of("blob upload -p image -f b.tar").on_a_registry().survives();
}

#[test]
fn blob_upload_survives_every_fault_with_named_temporary_files() {
    Case::of("blob upload -p image -f b.tar").on_a_registry().with_named_files().survives();
}

#[test]
fn blob_upload_survives_every_fault_where_there_is_no_layout() {
    Case { made: Made::Nothing, ..Case::of("blob upload -p image -f b.tar") }.survives();
}

#[test]
fn blob_delete_survives_every_fault() {
    let words = format!("blob delete -p image --digest {LOOSE}");
    Case { again: Again::Fails, ..Case::of(&words) }.on_a_registry().survives();
}

#[test]
fn blob_mount_survives_every_fault() {
    let words = format!("blob mount -p image --per-repo --repo there --from from --digest {LOOSE}");
    Case { made: Made::Registries, ..Case::of(&words) }.survives();
}

#[test]
fn blob_mount_survives_every_fault_where_there_is_no_layout() {
    let words = format!("blob mount -p image --per-repo --repo new/one --from from --digest {LOOSE}");
    Case { made: Made::Registries, ..Case::of(&words) }.survives();
}

#[test]
fn gc_survives_every_fault() {
    Case { made: Made::Garbage, again: Again::GoesOn, ..Case::of("gc -p image") }.survives();
}

#[test]
fn export_to_a_new_directory_survives_every_fault() {
    Case::of("export -p image/from -o image/new").on_archives().survives();
}

#[test]
fn export_to_a_new_directory_survives_every_fault_with_named_temporary_files() {
    Case::of("export -p image/from -o image/new").on_archives().with_named_files().survives();
}

#[test]
fn export_to_an_empty_directory_survives_every_fault() {
    Case::of("export -p image/from -o image/empty").on_archives().survives();
}

#[test]
fn export_to_a_layout_survives_every_fault() {
    Case::of("export -p image/from --ref x -o image/there").on_archives().survives();
}

#[test]
fn export_to_a_layout_survives_every_fault_with_named_temporary_files() {
    Case::of("export -p image/from --ref x -o image/there").on_archives().with_named_files().survives();
}

#[test]
fn export_to_an_archive_survives_every_fault() {
    Case::of("export -p image/from -o image/new.tar").on_archives().survives();
}

#[test]
fn export_to_an_archive_that_is_there_survives_every_fault_with_named_temporary_files() {
    Case::of("export -p image/from -o image/old.tar.gz").on_archives().with_named_files().survives();
}

#[test]
fn export_of_the_files_of_an_image_survives_every_fault() {
    Case::of("export -p image/from:x --format rootfs -o image/old.tar.gz").on_archives().survives();
}

#[test]
fn import_of_a_new_layout_survives_every_fault() {
    Case::of("import -p image/new -f image/x.tar").on_archives().survives();
}

#[test]
fn import_into_a_layout_survives_every_fault() {
    Case::of("import -p image/there -f image/x.tar").on_archives().survives();
}

#[test]
fn join_survives_every_fault() {
    Case::of("join -p image/from:x -p image/there:v2 -o image/new --ref-name v1").on_archives().survives();
}

#[test]
fn join_to_an_archive_survives_every_fault() {
    Case::of("join -p image/x.tar -p image/there:v2 -o image/old.tar.gz --ref-name v1").on_archives().survives();
}

/// A reader that finds a blob missing because the image was replaced in the meantime starts over.
#[test]
fn a_reader_is_not_confused_by_a_writer() {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    build(&lab);
    let read = ["layout", "validate", "-p", "image"];
    let opens = calls(&lab, &read)["openat"];
    // All points between reading index.json and reading the manifest.
    for at in opens.saturating_sub(6)..=opens {
        let delay = format!("inject=openat:delay_enter=300000:when={at}");
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| strace(&lab, &["-e", "trace=openat", "-e", &delay], &read));
            std::thread::sleep(std::time::Duration::from_millis(150));
            lab.regshape(&["layout", "annotate", "manifest", "-p", "image", "--annotation", &format!("at={at}")]);
            let output = reader.join().expect("it ran");
            assert!(output.status.success(), "call {at}: {}", String::from_utf8_lossy(&output.stderr));
        });
    }
}

/// Commands that copy images from a layout start over, too, including the selection.
#[test]
fn commands_that_take_images_look_again_where_a_writer_replaced_them() {
    let Some(lab) = Lab::with(&["strace"]) else { return };
    build(&lab);
    for (at, words) in [
        "export -p image -o out.tar",
        "export -p image -o out",
        "import -p imported -f image",
        "join -p image -o joined.tar",
        "inspect -p image",
    ]
    .into_iter()
    .enumerate()
    {
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(lab.path("image/index.json")).expect("read")).expect("JSON");
        let digest = index["manifests"][0]["digest"].as_str().expect("a digest").replace(':', "/");
        let manifest = format!("image/blobs/{digest}");
        let words: Vec<&str> = std::iter::once("layout").chain(words.split(' ')).collect();
        let delay = "inject=openat:delay_enter=600000:when=1";
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| strace(&lab, &["-P", &manifest, "-e", "trace=openat", "-e", delay], &words));
            std::thread::sleep(std::time::Duration::from_millis(300));
            lab.regshape(&["layout", "annotate", "manifest", "-p", "image", "--annotation", &format!("at={at}")]);
            let output = reader.join().expect("it ran");
            assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        });
    }
}

/// Returns the bytes of `index.json` among the files of a layout.
fn index_of(files: &BTreeMap<String, Vec<u8>>) -> Option<&Vec<u8>> {
    files.iter().find(|(name, _)| name.ends_with("index.json")).map(|(_, content)| content)
}

/// A command, and its test data.
#[derive(Clone)]
struct Case {
    /// The words of the command, separated by spaces.
    words: String,
    /// Options that are always passed to strace.
    options: &'static [&'static str],
    made: Made,
    again: Again,
}

/// The test data of a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Made {
    /// The command creates the layout.
    Nothing,
    /// An image with two tags.
    Image,
    /// The same, where the image `v2` has two layers.
    Layers,
    /// The same, where the image `v2` is built on the image `v1`; another base, `bases:new`, and changed files, in `tree`.
    Base,
    /// The same as `Image` with an image for another platform, `arm64`, and with indexes, of `one` image and of `both`.
    Index,
    /// The same as `Image` with another manifest, `x`, and an unreferenced blob.
    Registry,
    /// The same with garbage of every kind.
    Garbage,
    /// Two registry layouts, in the directories `from` and `there`.
    Registries,
    /// Layouts in the directories `from`, with an additional image `x` with a large layer, and `there`; `x.tar`, an
    /// archive of that image; `old.tar.gz`, which may be replaced; and an empty directory, `empty`.
    Archives,
}

/// The result of running a command again after it has succeeded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    Succeeds,
    /// Nothing is left to do.
    Fails,
    /// The command works in steps, and can continue after any of them.
    GoesOn,
}

impl Case {
    fn of(words: &str) -> Self {
        Self { words: format!("layout {words}"), options: &[], made: Made::Image, again: Again::Succeeds }
    }

    fn with_named_files(self) -> Self {
        Self { options: &NAMED, ..self }
    }

    fn on_a_registry(self) -> Self {
        Self { made: Made::Registry, ..self }
    }

    fn on_an_index(self) -> Self {
        Self { made: Made::Index, ..self }
    }

    fn on_a_base(self) -> Self {
        Self { made: Made::Base, ..self }
    }

    fn on_archives(self) -> Self {
        Self { made: Made::Archives, ..self }
    }

    /// Creates the test data.
    fn make(&self, lab: &Lab) {
        build(lab);
        match self.made {
            Made::Nothing => drop(lab.run("rm", &["-r", "image"])),
            Made::Image => {}
            Made::Layers => {
                lab.regshape(&["add", "layer", "-p", "image:v2", "--copy", "b.txt:/srv/b", "-q"]);
            }
            Made::Base => {
                for words in [
                    "build -o image:v2 --replace-tag --base image:v1 --copy b.txt:/srv/b -q",
                    "build -o bases:new --copy b.txt:/etc/b -q",
                    "unpack -p image:v2 -o tree -q",
                ] {
                    lab.regshape(&words.split(' ').collect::<Vec<_>>());
                }
                lab.run("rm", &["tree/a.txt"]);
                lab.write("tree/srv/b", "changed");
            }
            Made::Index => {
                for words in [
                    "build -o image:arm64 --platform linux/arm64 --copy b.txt:/srv/b -q",
                    "generate index -p image --ref-name one v1 -q",
                    "generate index -p image --ref-name both v1 arm64 -q",
                ] {
                    lab.regshape(&words.split(' ').collect::<Vec<_>>());
                }
            }
            Made::Registry => extend(lab),
            Made::Garbage => {
                extend(lab);
                lab.regshape(&["layout", "manifest", "delete", "-p", "image", "--ref", "x"]);
                lab.run("mkdir", &["image/.regshape-uploads"]);
                let upload = format!("image/.regshape-uploads/{}", "0".repeat(32));
                lab.write(&upload, "begun");
                lab.run("touch", &["-d", "@0", &upload]);
                // Empty, like a temporary file before it is renamed to include its inode.
                lab.write("image/.regshape-tmp-new-0123456789abcdef", "");
            }
            Made::Registries => {
                extend(lab);
                lab.run("mkdir", &["layouts"]);
                lab.run("cp", &["-a", "image", "layouts/from"]);
                lab.regshape(&["layout", "blob", "delete", "-p", "image", "--digest", LOOSE]);
                lab.run("mv", &["image", "layouts/there"]);
                lab.run("mv", &["layouts", "image"]);
            }
            Made::Archives => {
                lab.run("mkdir", &["-p", "layouts/empty"]);
                lab.run("cp", &["-a", "image", "layouts/there"]);
                lab.write("large.tar", [single("large", "large"), vec![0; 1 << 20], vec![1; 512]].concat());
                for words in [
                    "add layer -p image -f large.tar --media-type application/vnd.oci.image.layer.v1.tar -q",
                    "generate config -p image --architecture arm64 -q",
                    "generate manifest -p image --ref-name x -q",
                    "export -p image --ref x -o layouts/x.tar -q",
                ] {
                    lab.regshape(&[vec!["layout"], words.split(' ').collect()].concat());
                }
                if self.words.contains(" referrer get ") {
                    lab.regshape(&["attach", "-p", "image:x", "--artifact-type", "text/plain", "-f", "a.txt"]);
                }
                lab.run("mv", &["image", "layouts/from"]);
                lab.run("mv", &["layouts", "image"]);
                lab.write("image/old.tar.gz", "old");
            }
        }
    }

    /// Runs the command on a copy of the test data, once for each call and kind of fault.
    #[track_caller]
    fn survives(&self) {
        let Some(lab) = Lab::with(&["strace"]) else { return };
        self.make(&lab);
        if self.made != Made::Nothing {
            lab.run("mv", &["image", "made"]);
        }
        let fresh = || {
            lab.run("rm", &["-rf", "image"]);
            if self.made != Made::Nothing {
                lab.run("cp", &["-a", "made", "image"]);
            }
        };
        fresh();
        let name = &self.words;
        let words: Vec<&str> = self.words.split(' ').collect();
        let before = lab.tree("image");
        let counted = calls_with(&lab, &words, self.options);
        let after = lab.tree("image");
        assert_ne!(before, after, "{name} changes something");
        let trace = String::from_utf8(lab.read("trace")).expect("text");
        let has_named = trace.lines().any(|line| line.contains(".regshape-tmp-") && line.contains("O_EXCL"));
        assert_eq!(has_named, !self.options.is_empty(), "{name}: the temporary files are of the other kind");
        for call in CALLS {
            if self.options.iter().any(|option| option.contains(&format!("inject={call}:"))) {
                continue;
            }
            for at in 1..=counted.get(call).copied().unwrap_or_default() {
                let failure = FAILURES[at % FAILURES.len()];
                let faults = [format!("error={failure}"), "signal=KILL".to_owned(), "signal=TERM".to_owned()];
                for (number, fault) in faults.into_iter().enumerate() {
                    // With many similar calls, one fault for each: more would take too long.
                    let is_many = [Made::Archives, Made::Base].contains(&self.made) && counted[call] > MANY;
                    if is_many && (at % 3 != number || at + LAST < counted[call]) {
                        continue;
                    }
                    fresh();
                    let inject = format!("inject={call}:{fault}:when={at}");
                    let traced = format!("trace=open,{call}");
                    let output = strace(&lab, &[self.options, &["-e", &traced, "-e", &inject]].concat(), &words);
                    let stderr = String::from_utf8_lossy(&output.stderr);
                    let case = format!("{name}: {inject}: {}: {stderr}", output.status);
                    assert!(!stderr.contains("panicked"), "{case}");
                    // The work was done, but the result could not be printed.
                    let is_done = output.status.success() || stderr.contains("standard output");
                    let found = lab.tree("image");
                    // Cases in which the change is not atomic.
                    let is_between = match self.again {
                        // The last call may fail when all files are in place.
                        _ if self.made == Made::Archives => found == after,
                        Again::GoesOn => after.iter().all(|file| found.get(file.0) == Some(file.1)),
                        _ => self.makes_a_layout() && is_empty_but_for(&lab, &found, &before),
                    };
                    if output.status.code() == Some(1) && !is_done {
                        assert!(found == before || is_between, "{case}: {:?}", found.keys());
                    }
                    let lists_images = !matches!(self.made, Made::Nothing | Made::Registries | Made::Archives);
                    if fault == "signal=KILL" && lists_images {
                        let is_whole = [&before, &after].into_iter().any(|files| index_of(files) == index_of(&found));
                        assert!(is_whole, "{case}: index.json");
                    }
                    if fault == "signal=TERM" {
                        // A signal before the handler is installed and any change is made ends the program directly.
                        let is_too_early = output.status.signal() == Some(15) && found == before;
                        assert!(is_too_early || matches!(output.status.code(), Some(0 | 143)), "{case}");
                        let is_all_or_nothing = found == before && !is_done || found == after;
                        assert!(is_all_or_nothing || is_between && !is_done, "{case}: {:?}", found.keys());
                        assert!(!found.is_empty() || !lab.path("image").exists(), "{case}: a directory is left");
                    }
                    if self.made == Made::Archives {
                        // A failed deletion is not reported: the next command deletes the file.
                        let may_be_left = fault == "signal=KILL" || output.status.success();
                        assert!(may_be_left || temporary(&lab).is_empty(), "{case}: {:?}", temporary(&lab));
                        // The target does not exist, or is complete.
                        let target = self.target();
                        let of = |files: &BTreeMap<String, Vec<u8>>| {
                            let mut files = without_temporary(files.clone());
                            files.retain(|name, _| name.starts_with(target));
                            files
                        };
                        let is_whole = of(&found) == of(&before) || of(&found) == of(&after);
                        let looks_like_one = target != "image/there" && lab.path(target).join("oci-layout").exists();
                        let has_to_be = target == "image/new" || target.contains(".tar") || looks_like_one;
                        assert!(is_whole || !has_to_be, "{case}: {:?}", found.keys());
                    }
                    self.check(&lab, &case);
                    let left = without_temporary(lab.tree("image"));
                    // A program that is killed at its end may leave documents that nothing refers to any more.
                    let has_new_index = index_of(&left) == index_of(&after) && index_of(&after) != index_of(&before);
                    if self.again == Again::Fails && (left == after || has_new_index) {
                        continue;
                    }
                    if words[1] == "init" && lab.path("image/oci-layout").exists() {
                        continue;
                    }
                    lab.regshape(&words);
                    self.check(&lab, &case);
                    let found = lab.tree("image");
                    assert!(found == without_temporary(found.clone()), "{case}: {:?}", found.keys());
                    if self.made == Made::Archives {
                        assert_eq!(temporary(&lab), [""; 0], "{case}");
                    }
                    if self.again == Again::GoesOn || self.made == Made::Archives {
                        assert!(found == after, "{case}: {:?}", found.keys());
                    }
                }
            }
        }
    }

    /// Returns the path that the command writes to.
    fn target(&self) -> &str {
        let words: Vec<&str> = self.words.split(' ').collect();
        let flag = if ["import", "generate"].contains(&words[1]) { "-p" } else { "-o" };
        words[words.iter().position(|word| *word == flag).expect("it says where to write") + 1]
    }

    /// Returns whether the command creates a layout before its other work.
    fn makes_a_layout(&self) -> bool {
        self.words.contains("new/one") || self.made == Made::Nothing && !self.words.contains(" init ")
    }

    /// Checks that the layouts are valid, and contain everything that the command does not delete.
    fn check(&self, lab: &Lab, case: &str) {
        for layout in ["image", "image/from", "image/there", "image/new", "image/new/one", "image/empty"] {
            if lab.path(layout).join("oci-layout").exists() {
                lab.validate(layout);
            }
        }
        let layouts: &[&str] = match self.made {
            Made::Nothing => return,
            Made::Registries => &["image/from", "image/there"],
            Made::Archives => &["image/there"],
            _ => &["image"],
        };
        for layout in layouts {
            let tags = lab.regshape(&["layout", "tag", "list", "-p", layout]);
            for tag in ["v1", "v2"] {
                assert!(tags.lines().any(|line| line == tag), "{case}\n{tags}");
            }
            assert!(lab.regshape(&["layout", "status", "-p", layout]).contains("[0] sha256:"), "{case}");
        }
    }
}

/// Returns whether the only new files are those of an empty layout.
fn is_empty_but_for(lab: &Lab, found: &BTreeMap<String, Vec<u8>>, before: &BTreeMap<String, Vec<u8>>) -> bool {
    let new: Vec<&String> = found.keys().filter(|name| !before.contains_key(*name)).collect();
    let is_a_layout = |directory: &str| {
        let files = ["index.json", "oci-layout"].map(|file| format!("{directory}/{file}"));
        new.iter().all(|name| files.contains(name))
            && lab.path(directory).join("oci-layout").exists()
            && lab.json(&files[0])["manifests"] == serde_json::json!([])
    };
    before.iter().all(|file| found.get(file.0) == Some(file.1))
        && (is_a_layout("image") || is_a_layout("image/new/one"))
}

fn without_temporary(mut files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    files.retain(|name, _| !name.contains(".regshape-tmp-"));
    files
}

/// Returns all temporary files and directories.
fn temporary(lab: &Lab) -> Vec<String> {
    let found = lab.run("find", &["image", "tmp", "-name", ".regshape-tmp-*", "-o", "-path", "tmp/*"]);
    found.lines().map(str::to_owned).collect()
}

/// The unreferenced blob, `loose`.
const LOOSE: &str = "sha256:b5e0eee6e28efca6d6ad05d7b8a94631576037ec9e5ff6d305fe89faa0e1032e";

/// Adds another manifest and an unreferenced blob; `new.json` is a third manifest, `index.json` an empty index.
fn extend(lab: &Lab) {
    for words in ["tag add -p image --ref v1 x", "manifest get -p image --ref v1 -o v1.json"] {
        lab.regshape(&[vec!["layout"], words.split(' ').collect()].concat());
    }
    let mut manifest = lab.json("v1.json");
    for (file, note) in [("x.json", "x"), ("new.json", "new")] {
        manifest["annotations"] = serde_json::json!({"note": note});
        lab.write(file, manifest.to_string());
    }
    lab.regshape(&["layout", "manifest", "put", "-p", "image", "-f", "x.json", "--tag", "x"]);
    lab.write("loose", "loose");
    lab.regshape(&["layout", "blob", "upload", "-p", "image", "-f", "loose", "--digest", LOOSE]);
}

/// Creates a layout with a built image and two tags.
fn build(lab: &Lab) {
    lab.write("a.txt", "a");
    lab.write("b.txt", "b");
    lab.write("index.json", r#"{"schemaVersion": 2, "manifests": []}"#);
    for name in ["a", "b"] {
        lab.run("tar", &["-cf", &format!("{name}.tar"), &format!("{name}.txt")]);
    }
    for words in [
        "init -p image",
        "add layer -p image -f a.tar -q",
        "generate config -p image -q",
        "generate manifest -p image --ref-name v2 -q",
        "generate manifest -p image --ref-name v1 --annotation n=1 -q",
    ] {
        lab.regshape(&[vec!["layout"], words.split(' ').collect()].concat());
    }
}

/// Counts the calls of a command, which changes the layout.
fn calls(lab: &Lab, words: &[&str]) -> BTreeMap<String, usize> {
    calls_with(lab, words, &[])
}

/// Counts the calls of a command, with additional options of strace.
fn calls_with(lab: &Lab, words: &[&str], options: &[&str]) -> BTreeMap<String, usize> {
    let traced = format!("trace={}", CALLS.join(","));
    let output = strace(lab, &[&["-o", "trace", "-e", &traced], options].concat(), words);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let trace = String::from_utf8(lab.read("trace")).expect("text");
    let mut counts = BTreeMap::new();
    for line in trace.lines() {
        // "1234 openat(AT_FDCWD, …"
        let Some((head, _)) = line.split_once('(') else { continue };
        let call = head.rsplit(' ').next().unwrap_or(head);
        *counts.entry(call.to_owned()).or_default() += 1;
    }
    counts
}

fn strace(lab: &Lab, options: &[&str], words: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_regshape");
    let output = if options.contains(&"-o") { &[][..] } else { &["-o", "/dev/null"][..] };
    lab.output("strace", &[&["-f", "-qq"], output, options, &[program], words].concat())
}
