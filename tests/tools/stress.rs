//! Many programs on one layout for some time; some are killed at random moments.

use std::collections::BTreeSet;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::Lab;

/// The time during which new commands are started.
const TIME: Duration = Duration::from_secs(15);

const WORKERS: usize = 40;

/// The changes of writers. Killed writers may or may not have made theirs.
#[derive(Default)]
struct Written {
    surely: BTreeSet<String>,
    perhaps: BTreeSet<String>,
}

#[test]
fn forty_programs_some_of_which_are_killed_lose_nothing() {
    let Some(lab) = Lab::with(&["tar"]) else { return };
    work_on_one_layout(&lab);
}

#[test]
fn forty_programs_some_of_which_are_killed_lose_nothing_on_a_tmpfs() {
    let Some(lab) = Lab::below("/dev/shm", &["tar"]) else { return };
    work_on_one_layout(&lab);
}

/// Creates a layout with an image of a single layer.
fn make_image(lab: &Lab, name: &str, architecture: &str) {
    let (text, tar) = (format!("{name}.txt"), format!("{name}.tar"));
    lab.write(&text, name.repeat(100_000));
    lab.run("tar", &["-cf", &tar, &text]);
    for words in [
        format!("init -p {name}"),
        format!("add layer -p {name} -f {tar} -q"),
        format!("generate config -p {name} --architecture {architecture} -q"),
        format!("generate manifest -p {name} --ref-name first -q"),
    ] {
        lab.regshape(&[vec!["layout"], words.split(' ').collect()].concat());
    }
}

/// Runs forty workers on one layout: they build in it, edit an image in it, read it, move images into it, and collect its
/// garbage.
fn work_on_one_layout(lab: &Lab) {
    make_image(lab, "image", "amd64");
    make_image(lab, "donor", "amd64");
    make_image(lab, "other", "arm64");
    lab.regshape(&["layout", "export", "-p", "donor", "-o", "donor.tar.gz"]);
    let build = ["build", "-o", "image:edited", "--platform", "linux/amd64", "--platform", "linux/arm64"];
    lab.regshape(&[&build[..], &["--copy", "image.txt"]].concat());
    lab.regshape(&["generate", "index", "-p", "image", "--ref-name", "grown", "./donor"]);
    let [layers, keys, names, edits, platforms, attached] = [(); 6].map(|()| Mutex::new(Written::default()));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let worker = Worker { lab, number: worker };
            let written = (&layers, &keys, &names, &edits, &platforms, &attached);
            let (layers, keys, names, edits, platforms, attached) = written;
            scope.spawn(move || {
                for round in 0.. {
                    if start.elapsed() > TIME {
                        break;
                    }
                    let name = format!("n{}-{round}", worker.number);
                    match worker.number % 18 {
                        // Limits the number of layers: thousands of layers are covered by another test.
                        0 | 1 if round < 25 => worker.adds(&name, round, layers),
                        2 => worker.annotates_layer(&name, round, keys),
                        3 => worker.annotates_manifest(&name),
                        4 => worker.generates(&name, round, names),
                        5 => worker.validates(),
                        6 => worker.shows("status", "layers"),
                        7 => worker.shows("show", "manifests"),
                        8 => worker.exports(&name, round, names),
                        9 => worker.imports(&name, round, names),
                        10 => worker.joins(&name, round, names),
                        11 => worker.mounts(&name, round, names),
                        12 | 13 => worker.edits(&name, round, edits),
                        14 if round < 25 => worker.adds_to_image(&name, round, edits),
                        15 if round < 25 => worker.adds_to_index(round, platforms),
                        16 => worker.attaches(&name, round, attached),
                        _ => worker.collects(round),
                    }
                }
            });
        }
    });
    // The next command that changes the layout deletes the temporary files of killed ones.
    lab.regshape(&["layout", "annotate", "layer", "-p", "image", "-i", "0", "--annotation", "last=1"]);
    let left: Vec<_> = lab.tree("image").into_keys().filter(|name| name.contains(".regshape-tmp-")).collect();
    assert!(left.is_empty(), "{left:?}");
    lab.regshape(&["layout", "gc", "-p", "image"]);
    lab.validate("image");

    let stage = lab.json("image/.regshape-stage.json");
    let staged = stage["layers"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let found = staged[1..].iter().map(|layer| text(&layer["annotations"]["name"]));
    check("layers", found.collect(), layers);
    let found = staged[0]["annotations"].as_object().expect("an object").keys().cloned();
    check("annotations", found.filter(|key| key != "last").collect(), keys);
    let index = lab.json("image/index.json");
    let entries = index["manifests"].as_array().expect("an index with entries");
    let (artifacts, entries): (Vec<Value>, Vec<Value>) =
        entries.iter().cloned().partition(|entry| !entry["artifactType"].is_null());
    let name = |entry: &Value| {
        let digest = text(&entry["digest"]).replace(':', "/");
        text(&lab.json(&format!("image/blobs/{digest}"))["annotations"]["name"])
    };
    check("artifacts", artifacts.iter().map(name).collect(), attached);
    let found = entries.iter().map(|entry| text(&entry["annotations"]["org.opencontainers.image.ref.name"]));
    check("ref names", found.filter(|name| !["first", "edited", "grown"].contains(&name.as_str())).collect(), names);
    check("edits", edits_of(lab, &entries), edits);
    let grown = document_of(lab, &entries, "grown");
    let found = grown["manifests"].as_array().expect("images").iter().skip(1);
    check("platforms", found.map(|entry| text(&entry["platform"]["architecture"])).collect(), platforms);
}

/// Returns the document of a tag.
fn document_of(lab: &Lab, entries: &[Value], tag: &str) -> Value {
    let is_it = |entry: &&Value| entry["annotations"]["org.opencontainers.image.ref.name"] == tag;
    let entry = entries.iter().find(is_it).expect("it is listed");
    let digest = entry["digest"].as_str().expect("a digest");
    lab.json(&format!("image/blobs/{}", digest.replace(':', "/")))
}

/// Returns the edits of the image `edited`: its labels, its annotations, and the layers that were added, which both platforms
/// have, and the annotations of the index.
fn edits_of(lab: &Lab, entries: &[Value]) -> Vec<String> {
    let read = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().expect("a digest");
        lab.json(&format!("image/blobs/{}", digest.replace(':', "/")))
    };
    let index = document_of(lab, entries, "edited");
    let of_image = |entry: &Value| {
        let manifest = read(entry);
        let config = read(&manifest["config"]);
        let maps = [&manifest["annotations"], &config["config"]["Labels"]];
        let keys = maps.into_iter().filter_map(Value::as_object).flat_map(|map| map.keys().cloned());
        let steps = config["history"].as_array().expect("a history").iter().skip(1);
        let added = steps.filter_map(|step| step["created_by"].as_str()?.strip_prefix("regshape add layer --copy /"));
        let mut edits: Vec<String> = keys.chain(added.map(str::to_owned)).collect();
        edits.sort();
        edits
    };
    let images: Vec<_> = index["manifests"].as_array().expect("images").iter().map(of_image).collect();
    assert_eq!(images[0], images[1]);
    let of_index = index["annotations"].as_object().into_iter().flat_map(|map| map.keys().cloned());
    images[0].iter().cloned().chain(of_index).collect()
}

/// Compares the final state with the changes of the writers.
#[track_caller]
fn check(what: &str, found: Vec<String>, written: Mutex<Written>) {
    let written = written.into_inner().expect("nobody panics with the lock");
    let once: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!(once.len(), found.len(), "{what}: something is there twice");
    let lost: Vec<_> = written.surely.difference(&once).collect();
    assert!(lost.is_empty(), "{what}: lost: {lost:?}");
    let possible = &written.surely | &written.perhaps;
    let invented: Vec<_> = once.difference(&possible).collect();
    assert!(invented.is_empty(), "{what}: from nowhere: {invented:?}");
    assert!(!written.surely.is_empty(), "{what}: nothing was written");
}

struct Worker<'a> {
    lab: &'a Lab,
    number: usize,
}

impl Worker<'_> {
    fn spawn(&self, words: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_regshape"))
            .arg("layout")
            .args(words)
            .current_dir(self.lab.path("."))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    /// Starts a command on the layout.
    fn start(&self, words: &[&str]) -> Child {
        self.spawn(&[words, &["-p", "image"]].concat())
    }

    fn succeeds(child: Child, words: &[&str]) -> Output {
        let output = child.wait_with_output().expect("the program ends");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Runs a command and waits for it.
    fn runs(&self, words: &[&str]) -> Output {
        Self::succeeds(self.spawn(words), words)
    }

    /// Runs a command on the layout and waits for it.
    fn does(&self, words: &[&str]) -> Output {
        Self::succeeds(self.start(words), words)
    }

    /// Runs a writer on the layout, and kills it every third time.
    fn writes(&self, words: &[&str], name: &str, round: usize, written: &Mutex<Written>) {
        self.moves(&[words, &["-p", "image"]].concat(), name, round, written);
    }

    /// Runs a writer, and every third time kills it, at a different moment each time.
    fn moves(&self, words: &[&str], name: &str, round: usize, written: &Mutex<Written>) {
        if round % 3 != 2 {
            self.runs(words);
            written.lock().expect("nobody panics with the lock").surely.insert(name.to_owned());
            return;
        }
        written.lock().expect("nobody panics with the lock").perhaps.insert(name.to_owned());
        self.is_killed(self.spawn(words), round);
    }

    fn is_killed(&self, mut child: Child, round: usize) {
        let moment = (self.number * 7919 + round * 104_729) % 200;
        sleep(Duration::from_millis(moment as u64));
        child.kill().expect("killed, or at its end");
        child.wait().expect("the program ends");
    }

    fn adds(&self, name: &str, round: usize, written: &Mutex<Written>) {
        let (text, tar) = (format!("{name}.txt"), format!("{name}.tar"));
        self.lab.write(&text, name.repeat(50_000));
        self.lab.run("tar", &["-cf", &tar, &text]);
        self.writes(&["add", "layer", "-f", &tar, "-q", "--annotation", &format!("name={name}")], name, round, written);
    }

    fn annotates_layer(&self, name: &str, round: usize, written: &Mutex<Written>) {
        let words = ["annotate", "layer", "-i", "0", "-q", "--annotation", &format!("{name}=1")];
        self.writes(&words, name, round, written);
    }

    /// Changes both images of an index.
    fn edits(&self, name: &str, round: usize, written: &Mutex<Written>) {
        let change = format!("{name}=1");
        let words = match round % 4 {
            0 | 2 => ["update", "config", "-p", "image:edited", "-q", "--label", &change],
            1 => ["index", "annotate", "-p", "image:edited", "-q", "--annotation", &change],
            _ => ["annotate", "manifest", "-p", "image:edited", "-q", "--annotation", &change],
        };
        self.moves(&words, name, round, written);
    }

    /// Adds a layer to both images of an index. Where others add layers at once, it may end as busy.
    fn adds_to_image(&self, name: &str, round: usize, written: &Mutex<Written>) {
        self.lab.write(name, name);
        let words = ["add", "layer", "-p", "image:edited", "-q", "--copy", name];
        if round % 3 == 2 {
            return self.moves(&words, name, round, written);
        }
        let output = self.spawn(&words).wait_with_output().expect("the program ends");
        match output.status.code() {
            Some(0) => drop(written.lock().expect("nobody panics with the lock").surely.insert(name.to_owned())),
            code => assert_eq!(code, Some(75), "{}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// Adds an image of another layout to an index, for a platform of its own. Every fourth one is removed again.
    fn adds_to_index(&self, round: usize, written: &Mutex<Written>) {
        let platform = format!("x{}r{round}", self.number);
        let layout = format!("layout-{platform}");
        let file = format!("file-{platform}");
        self.lab.write(&file, &platform);
        let named = format!("linux/{platform}");
        self.runs(&["build", "-o", &layout, "--platform", &named, "--copy", &file, "-q"]);
        let words = ["index", "add", "-p", "image:grown", "-q", &format!("./{layout}")];
        if round % 4 == 3 {
            self.runs(&words);
            self.runs(&["index", "remove", "-p", "image:grown", "-q", "--platform", &named]);
        } else {
            self.moves(&words, &platform, round, written);
        }
    }

    /// Attaches a file to an image that does not change.
    fn attaches(&self, name: &str, round: usize, written: &Mutex<Written>) {
        self.lab.write(name, name);
        let annotation = format!("name={name}");
        let words =
            ["attach", "-p", "image:first", "--artifact-type", "text/plain", "-f", name, "--annotation", &annotation];
        self.moves(&words, name, round, written);
    }

    fn annotates_manifest(&self, name: &str) {
        self.does(&["annotate", "manifest", "--annotation", &format!("{name}=1")]);
    }

    /// Generates an image. A layer that was added in between makes the config outdated: then no image is generated this
    /// time.
    fn generates(&self, name: &str, round: usize, written: &Mutex<Written>) {
        self.does(&["generate", "config", "-q"]);
        let words = ["generate", "manifest", "-q", "--ref-name", name];
        if round % 3 == 2 {
            return self.writes(&words, name, round, written);
        }
        let output = self.start(&words).wait_with_output().expect("the program ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            written.lock().expect("nobody panics with the lock").surely.insert(name.to_owned());
        } else {
            assert!(stderr.starts_with("Error: config does not match the staged layers"), "{stderr}");
        }
    }

    fn exports(&self, name: &str, round: usize, written: &Mutex<Written>) {
        self.moves(&["export", "-p", "donor", "-o", "image", "--ref-name", name], name, round, written);
    }

    fn imports(&self, name: &str, round: usize, written: &Mutex<Written>) {
        let source = ["donor.tar.gz", "other"][round % 2];
        self.moves(&["import", "-p", "image", "-f", source, "--ref-name", name], name, round, written);
    }

    fn joins(&self, name: &str, round: usize, written: &Mutex<Written>) {
        let words = match round % 2 {
            0 => ["join", "-p", "donor", "-p", "other", "-o", "image", "--ref-name", name],
            _ => ["generate", "index", "-p", "image", "-q", "--ref-name", name, "./donor", "./other"],
        };
        self.moves(&words, name, round, written);
    }

    /// Mounts the layer of another layout, and stores a manifest that refers to it.
    fn mounts(&self, name: &str, round: usize, written: &Mutex<Written>) {
        let manifest = self.lab.manifest("donor", "first");
        let (config, layer) = (&manifest["config"]["digest"], &manifest["layers"][0]["digest"]);
        for digest in [config, layer].map(|digest| digest.as_str().expect("a digest")) {
            let words =
                ["blob", "mount", "-p", ".", "--per-repo", "--from", "donor", "--repo", "image", "--digest", digest];
            self.runs(&words);
        }
        let mut manifest = manifest;
        manifest["annotations"]["name"] = name.into();
        let file = format!("{name}.json");
        self.lab.write(&file, manifest.to_string());
        self.moves(&["manifest", "put", "-p", "image", "-f", &file, "--tag", name], name, round, written);
    }

    /// Collects garbage, but not blobs that will be referenced soon.
    fn collects(&self, round: usize) {
        if round % 3 == 2 {
            self.is_killed(self.spawn(&["gc", "-p", "image", "--keep-younger-than", "1h"]), round);
        } else {
            self.runs(&["gc", "-p", "image", "--keep-younger-than", "1h"]);
        }
    }

    fn validates(&self) {
        let output = self.does(&["validate", "--json"]);
        let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(value["valid"], true, "{value}");
    }

    fn shows(&self, command: &str, key: &str) {
        let output = self.does(&[command, "--json"]);
        let value: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(value[key].is_array(), "{value}");
    }
}
