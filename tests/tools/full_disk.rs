//! Pulls to a disk that gets full at any byte.

use std::process::Command;

use sha2::{Digest as _, Sha256};

use super::lab::{Lab, is_root, say};
use super::registries::{Registry, digest_of};

/// A mounted file system of limited size, which is unmounted when it is dropped.
struct Disk<'a>(&'a Lab);

impl<'a> Disk<'a> {
    /// Mounts it at `disk`; `None` if this machine allows no mounts.
    fn mount(lab: &'a Lab) -> Option<Self> {
        lab.run("mkdir", &["disk"]);
        let is_mounted = lab.output("mount", &["-t", "tmpfs", "-o", "size=16m", "tmpfs", "disk"]).status.success();
        is_mounted.then(|| Self(lab))
    }

    /// Sets the number of its pages.
    fn resize(&self, pages: u64) {
        let size = format!("remount,size={}k", pages * 4);
        self.0.run("mount", &["-o", &size, &self.0.text("disk")]);
    }

    /// Returns the number of pages that are in use.
    fn used(&self) -> u64 {
        let blocks = self.0.run("stat", &["-f", "-c", "%b %f %S", "disk"]);
        let numbers: Vec<u64> = blocks.split_whitespace().map(|number| number.parse().expect("a number")).collect();
        (numbers[0] - numbers[1]) * numbers[2] / 4096
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path("disk")).status();
    }
}

/// Pushes an image with layers of so many bytes.
fn serve(lab: &Lab, registry: &Registry, name: &str, sizes: &[usize]) {
    let output = format!("{name}-image:v1");
    let mut words = vec!["build".to_owned(), "-q".into(), "-o".into(), output.clone()];
    for size in sizes {
        let mut bytes = vec![0; *size];
        bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = ((at * at) >> 7) as u8);
        let file = format!("{name}-{size}");
        lab.write(&file, &bytes);
        lab.run("tar", &["cf", &format!("{file}.tar"), &file]);
        words.extend(["--layer".into(), format!("{file}.tar")]);
    }
    words.extend(["--compress-format".into(), "none".into()]);
    lab.regshape(&words.iter().map(String::as_str).collect::<Vec<_>>());
    lab.regshape(&["push", "-q", &output, &registry.image(&format!("{name}:v1"))]);
}

#[test]
fn a_pull_to_a_full_disk_keeps_whole_blobs_in_a_layout_and_else_nothing() {
    let Some(lab) = Lab::with(&["docker-registry", "mount", "umount", "stat", "tar"]) else { return };
    if !is_root() {
        return say("skipped a test of mounts: needs root");
    }
    let registry = Registry::plain(&lab);
    serve(&lab, &registry, "small", &[1000]);
    serve(&lab, &registry, "large", &[70_000, 40_000]);
    let Some(disk) = Disk::mount(&lab) else { return say("skipped a test of mounts: this machine allows none") };
    lab.regshape(&["pull", "-q", &registry.image("small:v1"), "disk/image"]);
    let (before, blobs) = (lab.tree("disk"), lab.blobs("large-image"));
    let used = disk.used();
    let (mut failures, mut waiting) = (0, Vec::new());
    for target in ["disk/image", "disk/new"] {
        for pages in used.. {
            disk.resize(pages);
            let words = ["pull", &registry.image("large:v1"), target, "--ref-name", "large", "--jobs", "1"];
            let output = lab.output(env!("CARGO_BIN_EXE_regshape"), &words);
            if output.status.success() {
                // It needs no more than the bytes that it stores, and one page for each file that is replaced.
                assert!(pages <= disk.used() + 3, "{target}: {pages} pages for {}", disk.used());
                break;
            }
            failures += 1;
            let stderr = String::from_utf8(output.stderr).expect("UTF-8");
            assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{target} at {pages}: {stderr}");
            assert!(stderr.ends_with(": No space left on device (os error 28)\n"), "{target} at {pages}: {stderr}");
            assert!(stderr.starts_with("Error: ") && output.stdout.is_empty(), "{target} at {pages}: {stderr}");
            // In a layout, blobs that came whole wait for the next try; the one that did not fit is deleted.
            let mut tree = lab.tree("disk");
            let uploads = tree.extract_if(.., |name, _| name.starts_with(&format!("{target}/.regshape-uploads/")));
            let uploads: Vec<(String, Vec<u8>)> = uploads.collect();
            waiting.push((target, uploads.len()));
            for (name, bytes) in uploads {
                let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                assert!(blobs.contains(&digest), "{target} at {pages}: {name} has {} bytes", bytes.len());
            }
            assert!(tree == before, "{target} at {pages}: {:?}", tree.keys());
            assert!(pages < used + 100, "{target}: it never fits");
        }
        lab.regshape(&["validate", "-p", target, "--deep"]);
        assert_eq!(digest_of(&lab, &format!("{target}:large")), digest_of(&lab, "large-image:v1"));
        // The next target meets the same disk.
        lab.run("rm", &["-rf", target]);
        if target == "disk/image" {
            disk.resize(4096);
            lab.regshape(&["pull", "-q", &registry.image("small:v1"), "disk/image"]);
        }
    }
    assert!(failures >= 2 * 25, "{failures}");
    // The larger layer, and then both.
    for number in [0, 1, 2] {
        assert!(waiting.contains(&("disk/image", number)), "{number}: {waiting:?}");
    }
    assert!(waiting.iter().all(|(target, number)| *target == "disk/image" || *number == 0), "{waiting:?}");
}
