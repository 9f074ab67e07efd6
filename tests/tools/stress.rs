//! Many programs on one layout for a while, some of which are killed at any moment.

use std::collections::BTreeSet;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::Lab;

/// For how long new commands are started.
const TIME: Duration = Duration::from_secs(15);

const WORKERS: usize = 40;

/// What writers wrote: of those that were killed nobody knows whether they did.
#[derive(Default)]
struct Written {
    surely: BTreeSet<String>,
    perhaps: BTreeSet<String>,
}

#[test]
fn forty_programs_some_of_which_are_killed_lose_nothing() {
    let Some(lab) = Lab::with(&["tar"]) else { return };
    lab.write("a.txt", "a");
    lab.run("tar", &["-cf", "a.tar", "a.txt"]);
    for words in [
        "init -p image",
        "add layer -p image -f a.tar -q",
        "generate config -p image -q",
        "generate manifest -p image --ref-name first -q",
    ] {
        lab.regshape(&[vec!["layout"], words.split(' ').collect()].concat());
    }
    let [layers, keys, names] = [(); 3].map(|()| Mutex::new(Written::default()));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let worker = Worker { lab: &lab, number: worker };
            let (layers, keys, names) = (&layers, &keys, &names);
            scope.spawn(move || {
                for round in 0.. {
                    if start.elapsed() > TIME {
                        break;
                    }
                    let name = format!("n{}-{round}", worker.number);
                    match worker.number % 8 {
                        // A layout of thousands of layers is another test.
                        0 | 1 if round < 25 => worker.adds(&name, round, layers),
                        2 => worker.annotates_layer(&name, round, keys),
                        3 => worker.annotates_manifest(&name),
                        4 => worker.generates(&name, round, names),
                        5 => worker.validates(),
                        6 => worker.shows("status", "layers"),
                        _ => worker.shows("show", "manifests"),
                    }
                }
            });
        }
    });
    // Whatever the killed ones left goes with the next command.
    lab.regshape(&["layout", "annotate", "layer", "-p", "image", "-i", "0", "--annotation", "last=1"]);
    assert!(!lab.tree("image").keys().any(|name| name.contains(".regshape-tmp-")));
    lab.regshape(&["layout", "validate", "-p", "image"]);

    let stage = lab.json("image/.regshape-stage.json");
    let staged = stage["layers"].as_array().expect("a list");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let found = staged[1..].iter().map(|layer| text(&layer["annotations"]["name"]));
    check("layers", found.collect(), layers);
    let found = staged[0]["annotations"].as_object().expect("an object").keys().cloned();
    check("annotations", found.filter(|key| key != "last").collect(), keys);
    let index = lab.json("image/index.json");
    let entries = index["manifests"].as_array().expect("a list");
    let found = entries.iter().map(|entry| text(&entry["annotations"]["org.opencontainers.image.ref.name"]));
    check("ref names", found.filter(|name| name != "first").collect(), names);
}

/// Compares what is there with what was written.
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
    fn start(&self, words: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_regshape"))
            .arg("layout")
            .args(words)
            .args(["-p", "image"])
            .current_dir(self.lab.path("."))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    fn does(&self, words: &[&str]) -> Output {
        let output = self.start(words).wait_with_output().expect("the program ends");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Runs a writer to its end, or every third time kills it before, at another moment each time.
    fn writes(&self, words: &[&str], name: &str, round: usize, written: &Mutex<Written>) {
        if round % 3 != 2 {
            self.does(words);
            written.lock().expect("nobody panics with the lock").surely.insert(name.to_owned());
            return;
        }
        written.lock().expect("nobody panics with the lock").perhaps.insert(name.to_owned());
        let mut child = self.start(words);
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

    fn annotates_manifest(&self, name: &str) {
        self.does(&["annotate", "manifest", "--annotation", &format!("{name}=1")]);
    }

    /// A layer that was added in between makes the config a wrong one: then there is no image this time.
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
