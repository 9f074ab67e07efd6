//! The program on a terminal: it runs on a pseudo-terminal, and a terminal emulator renders the screen.
//!
//! Nothing here sleeps: each step waits until the whole screen has its expected content.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use serde_json::{Value, json};

/// The timeout of a step on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The time without output that counts as never. It is longer than the half second before a progress bar appears.
const LONG: Duration = Duration::from_millis(900);

/// An escape sequence that terminals ignore.
const MARK: &[u8] = b"\x1b_end\x1b\\";

const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

// --- a terminal ---

/// A terminal that runs the program.
struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
    modes: Termios,
    child: Child,
    emulator: vt100::Parser,
    raw: Vec<u8>,
    seen: String,
}

/// The result of a program that has ended.
struct Left {
    status: ExitStatus,
    screen: String,
    raw: String,
}

impl Terminal {
    /// Runs the program with all its streams on a terminal.
    fn run(bench: &Bench, words: &[&str]) -> Self {
        Self::run_at(bench, words, 132, |_| {})
    }

    /// Runs the program on a terminal with this width. `redirect` may redirect its streams.
    fn run_at(bench: &Bench, words: &[&str], columns: u16, redirect: impl FnOnce(&mut Command)) -> Self {
        Self::start(bench.command(words), columns, redirect)
    }

    fn start(mut command: Command, columns: u16, redirect: impl FnOnce(&mut Command)) -> Self {
        let rows = 50;
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).unwrap();
        let modes = tcgetattr(&slave).unwrap();
        let stream = || Stdio::from(slave.try_clone().unwrap());
        command.stdin(stream()).stdout(stream()).stderr(stream()).env("TERM", "xterm-256color");
        redirect(&mut command);
        let child = command.spawn().unwrap();
        let emulator = vt100::Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 0);
        Self { master, slave, modes, child, emulator, raw: Vec::new(), seen: String::new() }
    }

    /// Runs a shell on a terminal.
    fn run_shell(bench: &Bench) -> Self {
        let mut shell = Command::new("sh");
        shell.arg("-i").current_dir(bench.path(".")).env_remove("CI").env("PS1", "");
        Self::start(shell, 132, |_| {})
    }

    /// Takes in the output of the program, waiting for it a moment.
    fn pump(&mut self) {
        let moment = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut fds, Some(&moment)).unwrap() > 0 {
            let mut buffer = [0; 4096];
            let read = rustix::io::read(&self.master, &mut buffer).unwrap();
            self.raw.extend(&buffer[..read]);
            self.emulator.process(&buffer[..read]);
        }
    }

    /// Takes in output until a condition holds.
    fn pump_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            let screen = self.screen();
            assert!(start.elapsed() < DEADLINE, "waited for {what}\n--- on the screen:\n{screen}\n---");
            self.pump();
        }
    }

    /// Returns the rows of the screen without trailing blanks.
    fn screen(&self) -> String {
        let columns = self.emulator.screen().size().1.get();
        let rows: Vec<_> =
            self.emulator.screen().rows(0, columns).map(|row| row.to_string().trim_end().to_owned()).collect();
        rows.join("\n").trim_end().to_owned()
    }

    /// Waits until these lines follow the seen ones, and are the last.
    fn shows(&mut self, lines: &str) -> &mut Self {
        let expected = self.saw(lines).seen.trim_end().to_owned();
        self.pump_until(&format!("\n{expected}\n"), |terminal| terminal.screen() == expected);
        self
    }

    fn types(&mut self, keys: &str) -> &mut Self {
        rustix::io::write(&self.master, keys.as_bytes()).unwrap();
        self
    }

    /// Waits for a question, types keys, and notes the text that must then stand after the question.
    fn answers(&mut self, question: &str, keys: &str, answer: &str) -> &mut Self {
        self.shows(question).types(keys).saw(format!(" {answer}").trim_end()).saw("\n")
    }

    /// Notes lines that must be on the screen before the next ones.
    fn saw(&mut self, lines: &str) -> &mut Self {
        self.seen.push_str(lines);
        self
    }

    fn signals(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the program to exit. The terminal must be restored.
    fn ends(mut self) -> Left {
        let mut status = None;
        self.pump_until("the end of the program", |terminal| {
            status = terminal.child.try_wait().unwrap();
            status.is_some()
        });
        // Output before this mark was written before the end.
        rustix::io::write(&self.slave, MARK).unwrap();
        self.pump_until("the last words", |terminal| terminal.raw.ends_with(MARK));
        assert_same_modes(&self.modes, &tcgetattr(&self.slave).unwrap());
        assert!(!self.emulator.screen().hide_cursor(), "the cursor is hidden");
        let raw = String::from_utf8(self.raw[..self.raw.len() - MARK.len()].to_vec()).unwrap();
        Left { status: status.unwrap(), screen: self.screen(), raw }
    }

    /// Waits for a good end, after which the screen shows the seen lines and then the result.
    fn ends_well(self, result: impl FnOnce() -> String) {
        let seen = self.seen.clone();
        let left = self.ends();
        let expected = format!("{seen}{}", result());
        assert_eq!((left.screen.as_str(), left.status.code()), (expected.trim_end(), Some(0)));
    }

    /// Waits for the exit after an interrupt. The screen must be unchanged.
    fn ends_interrupted(self) {
        self.ends_by(130);
    }

    /// Waits for the exit after a signal, with a status as in shells.
    fn ends_by(self, status: i32) {
        let expected = self.seen.clone();
        let left = self.ends();
        assert_eq!((left.screen.as_str(), left.status.code()), (expected.trim_end(), Some(status)));
        assert!(left.raw.ends_with('\n'), "the shell would go on in the middle of a line");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A failed test leaves no process waiting for an answer.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn assert_same_modes(before: &Termios, after: &Termios) {
    assert_eq!(before.input_modes, after.input_modes);
    assert_eq!(before.output_modes, after.output_modes);
    assert_eq!(before.control_modes, after.control_modes);
    assert_eq!(before.local_modes, after.local_modes);
}

// --- test data ---

/// A directory with layers and a layout.
struct Bench(tempfile::TempDir);

impl Bench {
    /// Creates an empty layout `image`, and the layers `layer.tar` and `layer.tar.gz`.
    fn new() -> Self {
        let bench = Self(tempfile::tempdir().unwrap());
        let tar = tar();
        fs::write(bench.path("layer.tar"), &tar).unwrap();
        let mut gzip = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::default());
        gzip.write_all(&tar).unwrap();
        fs::write(bench.path("layer.tar.gz"), gzip.finish().unwrap()).unwrap();
        bench.does(&["init"]);
        bench
    }

    fn with_layer() -> Self {
        let bench = Self::new();
        bench.does(&["add", "layer", "--file", "layer.tar.gz"]);
        bench
    }

    fn with_config() -> Self {
        let bench = Self::with_layer();
        bench.does(&["generate", "config"]);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_regshape"));
        command.arg("layout").args(words).args(["--path", "image"]).current_dir(self.0.path());
        command.env_remove("SOURCE_DATE_EPOCH").env_remove("NO_COLOR").env_remove("CI");
        command
    }

    /// Runs a command that must succeed, without a terminal.
    fn does(&self, words: &[&str]) {
        let output = self.command(words).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path("image").join(name)).unwrap()).unwrap()
    }

    fn stage(&self) -> Value {
        self.json(".regshape-stage.json")
    }

    /// Returns the document of a descriptor in the staging file.
    fn staged(&self, what: &str) -> Value {
        let digest = self.stage()[what]["digest"].as_str().unwrap().replace(':', "/");
        self.json(&format!("blobs/{digest}"))
    }

    /// Returns every file of the layout with its content.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn walk(directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, files);
                } else {
                    files.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
        let mut files = BTreeMap::new();
        walk(&self.path("image"), &mut files);
        files
    }

    fn layer_screen(&self) -> String {
        let layer = self.stage()["layers"][0].clone();
        let text = |key: &str| layer[key].as_str().unwrap().to_owned();
        format!(
            "Staged layer:\n  digest: {}\n    size: {}\n    type: {}",
            text("digest"),
            layer["size"],
            text("media_type")
        )
    }
}

fn tar() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(6);
    header.set_mode(0o644);
    tar.append_data(&mut header, "etc/motd", &b"hello\n"[..]).unwrap();
    tar.into_inner().unwrap()
}

/// A layer read from a pipe that the test fills step by step.
struct Pipe(OwnedFd);

impl Pipe {
    fn new(bench: &Bench) -> Self {
        let path = bench.path("fifo.tar");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        // The test opens the pipe for reading, too, so that opening does not block.
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let pipe = Self(rustix::fs::open(&path, flags, Mode::empty()).unwrap());
        assert!(pipe.offer(&tar()));
        pipe
    }

    /// Writes to the pipe if there is room.
    fn offer(&self, bytes: &[u8]) -> bool {
        match rustix::io::write(self.0.as_fd(), bytes) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => panic!("{error}"),
        }
    }
}

const FIFO: [&str; 6] = ["add", "layer", "--file", "fifo.tar", "--media-type", GZIP];
const COMPRESSING: &str = "Input file is not compressed. Compressing with gzip...\n";

fn is_bar(screen: &str) -> bool {
    screen.lines().last().is_some_and(|line| line.contains("iB, ") && line.contains("/s"))
}

/// Checks independent cases at the same time: most of their time is waiting.
fn at_once<T: Send, const N: usize>(cases: [T; N], check: impl Fn(T) + Sync) {
    let check = &check;
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || check(case));
        }
    });
}

// --- layout add layer ---

const DETECTED: &str = "Detected media type for layer.tar.gz:\n  application/vnd.oci.image.layer.v1.tar+gzip\n";

#[test]
fn the_media_type_of_a_layer_is_accepted_in_many_ways() {
    for (keys, answer) in [("\r", "y"), ("y\r", "y"), ("Y\r", "Y"), ("yes\r", "yes"), (" YES \r", "YES"), ("\n", "y")] {
        let bench = Bench::new();
        let mut terminal = Terminal::run(&bench, &["add", "layer", "--file", "layer.tar.gz"]);
        terminal.saw(DETECTED).answers("Accept? [Y/n]:", keys, answer);
        terminal.ends_well(|| bench.layer_screen());
        assert_eq!(bench.stage()["layers"][0]["media_type"], GZIP, "{keys:?}");
    }
}

#[test]
fn a_media_type_that_is_refused_is_typed_until_it_fits() {
    let bench = Bench::new();
    let mut terminal = Terminal::run(&bench, &["add", "layer", "--file", "layer.tar.gz"]);
    terminal.saw(DETECTED);
    terminal.answers("Accept? [Y/n]:", "maybe\r", "maybe").saw("Error: please answer y or n\n");
    terminal.answers("Accept? [Y/n]:", "no\r", "no");
    terminal.answers("Enter media type:", "\r", "").saw("Error: no media type given\n");
    terminal.answers("Enter media type:", "tar\r", "tar");
    terminal.saw("Error: 'tar' is not a media type of the form type/subtype\n");
    let zstd = "application/vnd.oci.image.layer.v1.tar+zstd";
    terminal.answers("Enter media type:", &format!("{zstd}\r"), zstd);
    terminal.saw(&format!("Error: media type {zstd} does not fit layer.tar.gz, whose bytes are stored as gzip\n"));
    let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    terminal.answers("Enter media type:", &format!("{docker}\r"), docker);
    terminal.ends_well(|| bench.layer_screen());
    assert_eq!(bench.stage()["layers"][0]["media_type"], docker);
}

#[test]
fn no_question_is_asked_about_a_layer_that_cannot_be_added() {
    let missing = Bench::new();
    let malformed = Bench::new();
    fs::write(malformed.path("image/.regshape-stage.json"), "{").unwrap();
    for (bench, file) in [(&missing, "missing.tar"), (&malformed, "layer.tar.gz")] {
        let before = bench.files();
        let left = Terminal::run(bench, &["add", "layer", "--file", file]).ends();
        assert!(left.screen.starts_with("Error: ") && left.screen.lines().count() == 1, "{}", left.screen);
        assert_eq!(left.status.code(), Some(1));
        assert_eq!(bench.files(), before);
    }
}

// --- layout generate config ---

const ARCHITECTURE: &str = "Architecture [amd64]:";
const OS: &str = "OS [linux]:";
const CONFIG_TYPE: &str = "Config media type [application/vnd.oci.image.config.v1+json]:";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn config_screen(bench: &Bench) -> String {
    let config = bench.stage()["config"].clone();
    format!(
        "Generated config:\n  digest: {}\n    size: {}\n    type: {}",
        config["digest"].as_str().unwrap(),
        config["size"],
        config["media_type"].as_str().unwrap()
    )
}

#[test]
fn enter_takes_the_defaults_of_a_config() {
    let bench = Bench::with_layer();
    let mut terminal = Terminal::run(&bench, &["generate", "config"]);
    terminal.answers(ARCHITECTURE, "\r", "amd64").answers(OS, "\r", "linux").answers(CONFIG_TYPE, "\r", CONFIG);
    terminal.ends_well(|| config_screen(&bench));
    let config = bench.staged("config");
    assert_eq!((&config["architecture"], &config["os"]), (&json!("amd64"), &json!("linux")));
}

#[test]
fn typed_answers_become_the_config() {
    let bench = Bench::with_layer();
    let mut terminal = Terminal::run(&bench, &["generate", "config"]);
    // Blanks around an answer are ignored; arrow keys and the tab key do nothing.
    terminal.answers(ARCHITECTURE, "\x1b[Da\x1b[Arm6\x1b[Bx\x7f4\t \r", "arm64");
    terminal.answers(OS, "freebsd\r", "freebsd");
    terminal.answers(CONFIG_TYPE, "config\r", "config");
    terminal.saw("Error: 'config' is not a media type of the form type/subtype\n");
    terminal.answers(CONFIG_TYPE, &format!("{CONFIG}\r"), CONFIG);
    terminal.ends_well(|| config_screen(&bench));
    let config = bench.staged("config");
    assert_eq!((&config["architecture"], &config["os"]), (&json!("arm64"), &json!("freebsd")));
}

#[test]
fn only_values_without_a_flag_are_asked() {
    let bench = Bench::with_layer();
    let mut terminal =
        Terminal::run(&bench, &["generate", "config", "--architecture", "riscv64", "--media-type", CONFIG]);
    terminal.answers(OS, "\r", "linux");
    terminal.ends_well(|| config_screen(&bench));
    assert_eq!(bench.staged("config")["architecture"], "riscv64");
}

#[test]
fn control_characters_are_not_part_of_an_answer() {
    let bench = Bench::with_layer();
    let mut terminal = Terminal::run(&bench, &["generate", "config"]);
    terminal.answers(ARCHITECTURE, "\x04\r", "\\u{4}").saw("Error: there are control characters in the answer\n");
    terminal.answers(ARCHITECTURE, "\r", "amd64").answers(OS, "\r", "linux").answers(CONFIG_TYPE, "\r", CONFIG);
    terminal.ends_well(|| config_screen(&bench));
}

#[test]
fn a_question_that_wraps_stays_on_the_screen_once() {
    let bench = Bench::with_layer();
    let mut terminal = Terminal::run_at(&bench, &["generate", "config", "--os", "linux"], 40, |_| {});
    // The answer ends in the last column, in double-width characters.
    terminal.answers(ARCHITECTURE, "日本語日本語日本語\r", "日本語日本語日本語");
    terminal.shows(&wrapped(CONFIG_TYPE, 40)).types("type\r");
    terminal.saw(" type\nError: 'type' is not a media type of the\n form type/subtype\n");
    terminal.shows(&wrapped(CONFIG_TYPE, 40)).types("application/vnd.example.config.v1\r");
    terminal.saw(" application/vnd.ex\nample.config.v1\n");
    let warning = "Warning: no architecture is known as '日\n本語日本語日本語': engines may not run t\nhe image";
    terminal.ends_well(|| format!("{}\n{warning}", wrapped(&config_screen(&bench), 40)));
}

/// Returns a text wrapped to the width of a terminal.
fn wrapped(text: &str, width: usize) -> String {
    let rows = text.lines().flat_map(|line| {
        let characters: Vec<_> = line.chars().collect();
        characters.chunks(width).map(String::from_iter).collect::<Vec<_>>()
    });
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn no_question_is_asked_about_a_config_without_layers() {
    let bench = Bench::new();
    let left = Terminal::run(&bench, &["generate", "config"]).ends();
    assert_eq!(left.screen, "Error: no layers have been staged; run 'layout add layer' first");
    assert_eq!(left.status.code(), Some(1));
}

// --- layout generate manifest ---

const REF_NAME: &str = "Reference name (e.g. latest) [skip]:";
const MANIFEST_TYPE: &str = "Manifest media type [application/vnd.oci.image.manifest.v1+json]:";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const ANNOTATIONS: &str = "Add manifest annotations? [y/N]:";
const ANNOTATION: &str = "Annotation (key=value, empty to finish):";

/// Returns the expected screen for the only manifest in the index.
fn manifest_screen(bench: &Bench) -> String {
    let entry = bench.json("index.json")["manifests"][0].clone();
    let mut screen = format!(
        "Generated manifest:\n      digest: {}\n        size: {}\n  media-type: {}",
        entry["digest"].as_str().unwrap(),
        entry["size"],
        entry["mediaType"].as_str().unwrap()
    );
    if let Some(name) = entry["annotations"]["org.opencontainers.image.ref.name"].as_str() {
        screen.push_str(&format!("\n    ref-name: {name}"));
    }
    screen
}

#[test]
fn enter_takes_the_defaults_of_a_manifest() {
    let bench = Bench::with_config();
    let mut terminal = Terminal::run(&bench, &["generate", "manifest"]);
    terminal.answers(REF_NAME, "\r", "").answers(MANIFEST_TYPE, "\r", MANIFEST).answers(ANNOTATIONS, "\r", "n");
    terminal.ends_well(|| manifest_screen(&bench));
    assert_eq!(bench.staged("manifest")["annotations"], Value::Null);
}

#[test]
fn annotations_are_asked_for_until_an_empty_line() {
    let bench = Bench::with_config();
    let mut terminal = Terminal::run(&bench, &["generate", "manifest"]);
    terminal
        .answers(REF_NAME, "v 1\r", "v 1")
        .saw("Error: 'v 1' is not a reference name: letters and digits, joined by one of - . _ : @ + / or by --\n");
    terminal.answers(REF_NAME, "latest\r", "latest").answers(MANIFEST_TYPE, "\r", MANIFEST);
    terminal.answers(ANNOTATIONS, "y\r", "y");
    terminal.answers(ANNOTATION, "com.example.team=größe 日本\r", "com.example.team=größe 日本");
    terminal.answers(ANNOTATION, "team\r", "team").saw("Error: expected KEY=VALUE\n");
    terminal.answers(ANNOTATION, "=x\r", "=x").saw("Error: the key is empty; expected KEY=VALUE\n");
    terminal.answers(ANNOTATION, "a=b=c\r", "a=b=c").answers(ANNOTATION, "\r", "");
    terminal.ends_well(|| manifest_screen(&bench));
    let annotations = json!({"a": "b=c", "com.example.team": "größe 日本"});
    assert_eq!(bench.staged("manifest")["annotations"], annotations);
}

#[test]
fn several_lines_at_once_are_an_error_that_changes_nothing() {
    for keys in ["v1\n\ny\nfoo=bar\n\n", "v1\r\r\x03"] {
        let bench = Bench::with_config();
        let files = bench.files();
        let mut terminal = Terminal::run(&bench, &["generate", "manifest"]);
        terminal.shows(REF_NAME).types(keys);
        let left = terminal.ends();
        assert_eq!(left.status.code(), Some(1));
        let error =
            "Error: several lines arrived at once: nothing was changed; answer one question at a time, or use flags";
        assert!(left.screen.ends_with(error), "{}", left.screen);
        assert_eq!(bench.files(), files);
    }
}

#[test]
fn pending_input_is_left_for_the_shell() {
    let bench = Bench::with_layer();
    // Lines pasted into a shell: the second is not read as an answer.
    let program = env!("CARGO_BIN_EXE_regshape");
    let mut terminal = Terminal::run_shell(&bench);
    let line = format!("{program} layout generate config --path image");
    terminal.types(&format!("{line}\necho the next line\nexit\n"));
    let left = terminal.ends();
    assert!(left.screen.ends_with("\nthe next line") && left.screen.contains("Generated config:"), "{}", left.screen);
    assert!(!left.screen.contains(ARCHITECTURE), "{}", left.screen);
    assert_eq!(left.status.code(), Some(0));
}

#[test]
fn no_question_is_asked_about_a_manifest_without_a_fitting_config() {
    let none = Bench::with_layer();
    let other = Bench::with_config();
    other.does(&["add", "layer", "--file", "layer.tar"]);
    for (bench, error) in [
        (&none, "Error: config not generated; run 'layout generate config' first"),
        (&other, "Error: config does not match the staged layers; run 'layout generate config' again"),
    ] {
        let left = Terminal::run(bench, &["generate", "manifest"]).ends();
        assert_eq!((left.screen.as_str(), left.status.code()), (error, Some(1)));
    }
}

// --- leaving a question ---

/// A question, the typed keys, and their echo.
type Answer = (&'static str, &'static str, &'static str);

/// The commands that ask, with a way to each kind of question: the keys before it, and the question.
fn questions() -> [(&'static [&'static str], &'static [Answer], &'static str); 5] {
    const ADD: &[&str] = &["add", "layer", "--file", "layer.tar.gz"];
    const GENERATE: &[&str] = &["generate", "manifest"];
    [
        (ADD, &[], "Accept? [Y/n]:"),
        (ADD, &[("Accept? [Y/n]:", "n\r", "n")], "Enter media type:"),
        (GENERATE, &[], REF_NAME),
        (GENERATE, &[(REF_NAME, "v1\r", "v1")], MANIFEST_TYPE),
        (GENERATE, &[(REF_NAME, "v1\r", "v1"), (MANIFEST_TYPE, "\r", MANIFEST), (ANNOTATIONS, "y\r", "y")], ANNOTATION),
    ]
}

/// Runs a command up to a question.
fn at_question(bench: &Bench, words: &[&str], before: &[Answer], question: &str) -> Terminal {
    let mut terminal = Terminal::run(bench, words);
    if words[0] == "add" {
        terminal.saw(DETECTED);
    }
    for (question, keys, answer) in before {
        terminal.answers(question, keys, answer);
    }
    terminal.shows(question);
    terminal
}

#[test]
fn control_c_leaves_at_any_question_with_nothing_changed() {
    for (words, before, question) in questions() {
        for typed in ["", "half an answer"] {
            let bench = Bench::with_config();
            let files = bench.files();
            let mut terminal = at_question(&bench, words, before, question);
            if !typed.is_empty() {
                terminal.types(typed).shows(&format!(" {typed}"));
            }
            terminal.types("\x03");
            terminal.ends_interrupted();
            assert_eq!(bench.files(), files, "{question}");
        }
    }
}

#[test]
fn signals_leave_at_any_question_with_nothing_changed() {
    // If the tests run under nohup, so does the program.
    let ignored = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or("0");
    let hangs_up = u64::from_str_radix(ignored.trim(), 16).is_ok_and(|mask| mask & 1 == 0);
    let signals = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)];
    for (words, before, question) in questions() {
        for &(signal, status) in &signals[..if hangs_up { 3 } else { 2 }] {
            let bench = Bench::with_config();
            let files = bench.files();
            let terminal = at_question(&bench, words, before, question);
            terminal.signals(signal);
            terminal.ends_by(status);
            assert_eq!(bench.files(), files, "{question}");
        }
    }
}

// --- without a question ---

#[test]
fn defaults_are_taken_under_yes_and_without_a_terminal() {
    fn here(_: &mut Command) {}
    fn no_input(command: &mut Command) {
        command.stdin(Stdio::null());
    }
    type Case = (&'static [&'static str], fn(&mut Command), bool);
    fn ci(command: &mut Command) {
        command.env("CI", "true");
    }
    let cases: [Case; 6] = [
        (&["--yes"], here, false),
        (&["--yes", "--verbose"], here, true),
        (&["--verbose"], no_input, true),
        (&[], no_input, false),
        (&[], ci, false),
        (&["--verbose"], ci, true),
    ];
    for (flags, redirect, has_notes) in cases {
        let bench = Bench::with_layer();
        let mut terminal = Terminal::run_at(&bench, &[&["generate", "config"], flags].concat(), 132, redirect);
        if has_notes {
            terminal.saw("Using architecture amd64; --architecture sets another\n");
            terminal.saw("Using OS linux; --os sets another\n");
            terminal.saw(&format!("Using config media type {CONFIG}; --media-type sets another\n"));
        }
        terminal.ends_well(|| config_screen(&bench));
    }
}

#[test]
fn nothing_is_read_from_a_terminal_whose_screen_is_elsewhere() {
    let bench = Bench::with_layer();
    let log = bench.path("stderr");
    let terminal = Terminal::run_at(&bench, &["generate", "config"], 132, |command| {
        command.stderr(fs::File::create(&log).unwrap());
    });
    terminal.ends_well(|| config_screen(&bench));
    assert_eq!(fs::read_to_string(&log).unwrap(), "");
}

#[test]
fn no_question_is_asked_where_a_program_reads_the_result() {
    let bench = Bench::with_layer();
    let out = bench.path("stdout");
    let to_file = |command: &mut Command| {
        command.stdout(fs::File::create(&out).unwrap());
    };
    Terminal::run_at(&bench, &["generate", "config"], 132, to_file).ends_well(String::new);
    assert!(fs::read_to_string(&out).unwrap().starts_with("Generated config:\n"));
    let terminal = Terminal::run(&bench, &["generate", "config", "--json"]);
    let left = terminal.ends();
    assert_eq!(serde_json::from_str::<Value>(&left.screen).unwrap()["digest"], bench.stage()["config"]["digest"]);
}

// --- long work ---

/// Writes to the layer until the screen meets a condition.
fn feed(terminal: &mut Terminal, pipe: &Pipe, what: &str, mut is_so: impl FnMut(&str) -> bool) {
    terminal.pump_until(what, |terminal| {
        pipe.offer(&[0; 32 * 1024]);
        is_so(&terminal.screen())
    });
}

#[test]
fn a_progress_bar_appears_during_long_work_and_is_erased() {
    at_once([132, 20], |columns| {
        let bench = Bench::new();
        let pipe = Pipe::new(&bench);
        let mut terminal = Terminal::run_at(&bench, &FIFO, columns, |_| {});
        terminal.saw(&format!("{}\n", wrapped(COMPRESSING, columns.into())));
        // On one line, without the figures that a narrow terminal has no room for.
        let ends = if columns == 20 { "iB" } else { "s" };
        feed(&mut terminal, &pipe, "a bar", |screen| {
            screen.lines().last().is_some_and(|line| line.starts_with("Adding ") && line.ends_with(ends))
        });
        drop(pipe);
        terminal.ends_well(|| wrapped(&bench.layer_screen(), columns.into()));
    });
}

#[test]
fn a_progress_bar_shows_size_and_speed() {
    let bench = Bench::new();
    let pipe = Pipe::new(&bench);
    let mut terminal = Terminal::run(&bench, &FIFO);
    feed(&mut terminal, &pipe, "a bar", is_bar);
    drop(pipe);
    assert_eq!(terminal.ends().status.code(), Some(0));
}

#[test]
fn no_progress_bar_is_shown_where_it_is_unwanted() {
    let cases: [(&[&str], bool); 3] = [(&["--quiet"], true), (&["--json"], true), (&[], false)];
    at_once(cases, |(flags, has_terminal)| {
        let bench = Bench::new();
        let pipe = Pipe::new(&bench);
        let log = bench.path("stderr");
        let mut terminal = Terminal::run_at(&bench, &[&FIFO, flags].concat(), 132, |command| {
            if !has_terminal {
                command.stderr(fs::File::create(&log).unwrap());
            }
        });
        let start = Instant::now();
        feed(&mut terminal, &pipe, "time", |_| start.elapsed() > LONG);
        drop(pipe);
        let left = terminal.ends();
        assert_eq!(left.status.code(), Some(0));
        assert!(!left.raw.contains("/s"), "{}", left.raw);
        if !has_terminal {
            assert_eq!(fs::read_to_string(&log).unwrap(), COMPRESSING);
        }
    });
}

#[test]
fn an_interrupt_ends_long_work_at_once_and_leaves_nothing_behind() {
    at_once([false, true], |is_asked| {
        let bench = Bench::new();
        let files = bench.files();
        let pipe = Pipe::new(&bench);
        let words = if is_asked { &FIFO[..4] } else { &FIFO };
        let mut terminal = Terminal::run(&bench, words);
        terminal.saw(COMPRESSING);
        if is_asked {
            terminal.saw(&format!("Detected media type for fifo.tar:\n  {GZIP}\n")).answers(
                "Accept? [Y/n]:",
                "\r",
                "y",
            );
        }
        feed(&mut terminal, &pipe, "a bar", is_bar);
        // This terminal is no process's controlling terminal, so the test sends the signal of a Ctrl-C.
        terminal.signals(Signal::INT);
        let expected = terminal.seen.trim_end().to_owned();
        let left = terminal.ends();
        assert_eq!((left.screen, left.status.code()), (expected, Some(130)), "asked: {is_asked}");
        assert_eq!(bench.files(), files, "asked: {is_asked}");
    });
}

#[test]
fn the_note_about_a_lock_appears_above_the_progress_bar() {
    let bench = Bench::new();
    let pipe = Pipe::new(&bench);
    let mut terminal = Terminal::run(&bench, &FIFO);
    terminal.saw(COMPRESSING);
    feed(&mut terminal, &pipe, "a bar", is_bar);
    let marker = fs::File::open(bench.path("image/oci-layout")).unwrap();
    marker.lock().unwrap();
    drop(pipe);
    let waiting = "Waiting for another process that is changing image...\n";
    terminal.saw(waiting);
    let seen = terminal.seen.clone();
    terminal.pump_until("the note and the bar", |terminal| {
        let screen = terminal.screen();
        screen.starts_with(&seen) && is_bar(&screen)
    });
    drop(marker);
    terminal.ends_well(|| bench.layer_screen());
}

// --- layout show ---

#[test]
fn a_tree_is_truncated_only_at_the_width_of_the_terminal() {
    let bench = Bench::with_config();
    bench.does(&["generate", "manifest", "--ref-name", "latest"]);
    let whole = bench.command(&["show", "--tree"]).stdin(Stdio::null()).output().unwrap();
    let whole = String::from_utf8(whole.stdout).unwrap();
    assert!(whole.lines().any(|line| line.contains("sha256:") && line.len() > 100), "{whole}");
    let short = |line: &str| match line.split_once("sha256:") {
        Some((before, digest)) => format!("{before}sha256:{}", &digest[..12]),
        None => line.to_owned(),
    };
    let short: Vec<String> = whole.lines().map(short).collect();
    let run = |words: &[&str], columns| {
        let left = Terminal::run_at(&bench, words, columns, |_| {}).ends();
        assert_eq!(left.status.code(), Some(0));
        left.screen
    };
    assert_eq!(run(&["show", "--tree"], 80), short.join("\n"));
    let cut = |line: &String| match line.chars().count() > 50 {
        true => line.chars().take(49).chain(['…']).collect(),
        false => line.clone(),
    };
    assert_eq!(run(&["show", "--tree"], 50), short.iter().map(cut).collect::<Vec<String>>().join("\n"));
    assert_eq!(run(&["show", "--tree", "--no-trunc"], 200), whole.trim_end());
}

#[test]
fn errors_are_coloured_unless_the_environment_forbids_it() {
    let bench = Bench::with_config();
    let run = |variable: Option<(&str, &str)>| {
        let command = bench.command(&["blob", "head", "-d", "sha256:0000"]);
        Terminal::start(command, 80, |command| {
            command.envs(variable);
        })
        .ends()
    };
    let coloured = run(None);
    assert!(coloured.raw.starts_with("\u{1b}[1m\u{1b}[31mError:\u{1b}[0m "), "{:?}", coloured.raw);
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = run(Some(variable));
        assert!(plain.raw.starts_with("Error: "), "{variable:?}: {:?}", plain.raw);
        assert_eq!(plain.screen, coloured.screen);
    }
}

#[test]
fn missing_content_is_coloured_in_a_tree() {
    let bench = Bench::with_config();
    bench.does(&["generate", "manifest", "--ref-name", "latest"]);
    let blobs = std::fs::read_dir(bench.path("image/blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let layer = blobs.into_iter().find(|path| std::fs::read(path).unwrap().starts_with(&[0x1f, 0x8b])).unwrap();
    std::fs::remove_file(layer).unwrap();
    let left = Terminal::run(&bench, &["show", "--tree"]).ends();
    let faults: Vec<&str> = left.raw.lines().filter(|line| line.contains("\u{1b}[31m")).collect();
    assert!(faults.len() == 1 && faults[0].contains("layer") && faults[0].contains("missing"), "{:?}", left.raw);
}

// --- completion in shells ---

/// The shells, how each is started, and its set-up.
const SHELLS: [(&str, &[&str], &str); 3] = [
    ("bash", &["--norc", "--noprofile", "-i"], "PS1='> '; source <(regshape completions bash)"),
    ("zsh", &["-f", "-i"], "PS1='> '; autoload -U compinit; compinit -u; source <(regshape completions zsh)"),
    (
        "fish",
        &["--no-config", "-i"],
        "set -g fish_autosuggestion_enabled 0; regshape completions fish | source; function fish_prompt; echo -n '> '; end",
    ),
];

/// Types keys in a shell and waits for a line.
fn completes(bench: &Bench, keys: &str, expected: &str) {
    at_once(SHELLS, |(shell, arguments, setup)| {
        let is_there = |program: &str| {
            std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
                .any(|path| path.join(program).is_file())
        };
        if !is_there(shell) || !is_there("setsid") {
            assert!(std::env::var_os("REGSHAPE_TOOLS").is_none(), "{shell} is missing");
            return;
        }
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_regshape")).parent().unwrap();
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([program.to_owned()].into_iter().chain(std::env::split_paths(&paths))).unwrap();
        // A session of its own, so that the terminal is the shell's.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "--wait", shell]).args(arguments).current_dir(bench.path("."));
        command.env("PATH", path).env("HOME", bench.path(".")).env("LC_ALL", "C.UTF-8").env_remove("CI");
        let mut terminal = Terminal::start(command, 132, |_| {});
        terminal.types(&format!("{setup}; echo re''ady\n"));
        terminal.pump_until("the prompt", |terminal| terminal.screen().ends_with("ready\n>"));
        terminal.types(keys);
        terminal.pump_until(&format!("{shell}: {expected}"), |terminal| {
            terminal
                .screen()
                .lines()
                .any(|line| line.trim_end() == expected || line.trim_end() == format!("> {expected}"))
        });
        // The end of its input ends the shell.
        terminal.types("\u{15}exit\n");
        terminal.pump_until(&format!("the end of {shell}"), |terminal| terminal.child.try_wait().unwrap().is_some());
    });
}

#[test]
fn shells_complete_commands_tags_digests_and_platforms() {
    let bench = Bench::with_config();
    bench.does(&["generate", "manifest", "--ref-name", "v1.0"]);
    completes(&bench, "regshape vali\t", "regshape validate");
    completes(&bench, "regshape layout tag dele\t", "regshape layout tag delete");
    completes(&bench, "regshape show ima\t", "regshape show image");
    completes(&bench, "regshape show image:\t", "regshape show image:v1.0");
    completes(&bench, "regshape tag delete -p image v\t", "regshape tag delete -p image v1.0");
    completes(&bench, "regshape index add -p image:x v\t", "regshape index add -p image:x v1.0");
    completes(&bench, "regshape manifest get --path=image:\t", "regshape manifest get --path=image:v1.0");
    completes(&bench, "regshape export image --platform \t", "regshape export image --platform linux/amd64");
    let blobs = fs::read_dir(bench.path("image/blobs/sha256")).unwrap();
    let blob = blobs.map(|blob| blob.unwrap().file_name().into_string().unwrap()).min().unwrap();
    let typed = &blob[..6];
    completes(
        &bench,
        &format!("regshape blob get image -d sha256:{typed}\t"),
        &format!("regshape blob get image -d sha256:{blob}"),
    );
    fs::create_dir(bench.path("my images")).unwrap();
    fs::rename(bench.path("image"), bench.path("my images/app")).unwrap();
    completes(&bench, "regshape show my\\ im\t", "regshape show my\\ images/");
    completes(&bench, "regshape show my\\ images/app:\t", "regshape show my\\ images/app:v1.0");
    fs::rename(bench.path("my images/app"), bench.path("image")).unwrap();
    completes(&bench, "regshape add layer image --fi\t", "regshape add layer image --file");
    completes(&bench, "regshape completions fi\t", "regshape completions fish");
}
