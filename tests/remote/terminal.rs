//! Pushes and pulls on a terminal: the bar moves, says why it does not, and is gone at the end.

use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::fake_registry::{Action, Rule};
use crate::lab::*;

/// The timeout of a step on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// An escape sequence that terminals ignore.
const MARK: &[u8] = b"\x1b_end\x1b\\";

/// The size of the layer that is moved slowly.
const SIZE: usize = 12 * MIB;

const WAITING: &str = "waiting for the registry";

/// A terminal that runs the program.
struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
    child: Child,
    emulator: vt100::Parser,
    raw: Vec<u8>,
    columns: u16,
    /// The bars that were on the screen, without those that are the same but for their speed.
    bars: Vec<Bar>,
    /// Whether the bar said that the registry is waited for.
    has_waited: bool,
}

/// The figures of a bar.
#[derive(Clone, Debug, PartialEq)]
struct Bar {
    percent: u64,
    line: String,
}

impl Terminal {
    fn start(mut command: Command, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = rustix::fs::open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        tcsetwinsize(&slave, Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let stream = || Stdio::from(slave.try_clone().unwrap());
        command.stdin(stream()).stdout(stream()).stderr(stream()).env("TERM", "xterm-256color").env_remove("CI");
        let child = command.spawn().unwrap();
        let emulator = vt100::Parser::new(24.try_into().unwrap(), columns.try_into().unwrap(), 0);
        let (raw, bars) = (Vec::new(), Vec::new());
        Self { master, slave, child, emulator, raw, columns, bars, has_waited: false }
    }

    /// Takes in the output of the program, waiting for it a moment. No line of it may wrap.
    fn pump(&mut self) {
        let moment = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
        let mut fds = [PollFd::new(&self.master, PollFlags::IN)];
        if poll(&mut fds, Some(&moment)).unwrap() == 0 {
            return;
        }
        let mut buffer = [0; 4096];
        let read = rustix::io::read(&self.master, &mut buffer).unwrap();
        self.raw.extend(&buffer[..read]);
        self.emulator.process(&buffer[..read]);
        let screen = self.screen();
        for row in 0..24 {
            assert!(!self.emulator.screen().row_wrapped(row), "{} columns:\n{screen}\n---", self.columns);
        }
        let line = screen.lines().last().unwrap_or_default().to_owned();
        self.has_waited |= line.contains(WAITING);
        if let Some(percent) = percent_of(&line)
            && self.bars.last().is_none_or(|bar| bar.percent != percent)
        {
            self.bars.push(Bar { percent, line });
        }
    }

    fn pump_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !is_so(self) {
            assert!(start.elapsed() < DEADLINE, "waited for {what}\n--- on the screen:\n{}\n---", self.screen());
            self.pump();
        }
    }

    /// Returns the rows of the screen without trailing blanks.
    fn screen(&self) -> String {
        let columns = self.columns;
        let rows: Vec<_> =
            self.emulator.screen().rows(0, columns).map(|row| row.to_string().trim_end().to_owned()).collect();
        rows.join("\n").trim_end().to_owned()
    }

    /// Waits for the end of the program with a status, and leaves the cursor at the beginning of a line.
    fn ends(&mut self, status: i32) -> String {
        let mut left = None;
        self.pump_until("the end of the program", |terminal| {
            left = terminal.child.try_wait().unwrap();
            left.is_some()
        });
        // Output before this mark was written before the end.
        rustix::io::write(&self.slave, MARK).unwrap();
        self.pump_until("the last words", |terminal| terminal.raw.ends_with(MARK));
        assert_eq!(left.unwrap().code(), Some(status), "{}", self.screen());
        assert!(!self.emulator.screen().hide_cursor(), "the cursor is hidden");
        assert_eq!(self.emulator.screen().cursor_position().1, 0, "the shell would go on in the middle of a line");
        self.screen()
    }

    /// Checks that the bar moved, and had the speed and the time that is left.
    #[track_caller]
    fn has_moved(&self) {
        let percents: Vec<u64> = self.bars.iter().map(|bar| bar.percent).collect();
        assert!(percents.len() >= 4 && percents.is_sorted(), "{:?}", self.bars);
        assert!(percents[0] < 90, "{percents:?}");
        if self.columns > 80 {
            assert!(self.bars.iter().all(|bar| bar.line.contains(" of 12.00 MiB, ")), "{:?}", self.bars);
            assert!(self.bars.iter().all(|bar| bar.line.contains("B/s, ") && bar.line.contains("s left")));
        }
    }
}

/// Returns the percentage of a bar, if a line is one.
fn percent_of(line: &str) -> Option<u64> {
    line.split_once('%')?.0.rsplit(' ').next()?.parse().ok()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A failed test leaves no process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A registry that takes and gives the large layer slowly.
fn lab() -> (Lab, String) {
    lab_that_answers_after(Duration::ZERO)
}

/// The same, with a pause between the last byte of the large layer and the answer.
fn lab_that_answers_after(pause: Duration) -> (Lab, String) {
    let lab = Lab::new();
    let digest = lab.single(&[SIZE, KIB]);
    let large = crate::fake_registry::digest_of(&layer(1000, SIZE));
    let put = Rule::on("PUT", &format!("*/blobs/uploads/*?*{}", &large["sha256:".len()..]));
    let pace = Duration::from_millis(10);
    lab.fake.rule(put.clone(), Action::DripUp(64 * KIB, pace));
    lab.fake.rule(put, Action::DelayAnswer(pause));
    lab.fake.rule(Rule::on("GET", &format!("*/blobs/{large}")), Action::Drip(96 * KIB, pace));
    (lab, digest)
}

/// Begins a command on a terminal; `HOST` in its words is the registry.
fn begin(lab: &Lab, words: &str, columns: u16, has_colour: bool) -> Terminal {
    let mut command = lab.program();
    command.args(words.split(' ').map(|word| word.replace("HOST", &lab.fake.host())));
    if !has_colour {
        command.env("NO_COLOR", "1");
    }
    Terminal::start(command, columns)
}

/// Returns lines as they fit on a terminal.
fn fitted(text: &str, columns: u16) -> String {
    let cut = |line: &str| match line.chars().count() {
        length if length <= columns.into() => line.to_owned(),
        _ => line.chars().take(usize::from(columns) - 1).chain(['…']).collect(),
    };
    text.lines().map(cut).collect::<Vec<_>>().join("\n")
}

const TERMINALS: [(u16, bool); 4] = [(132, true), (132, false), (40, true), (40, false)];

#[test]
fn the_bar_of_a_push_moves_and_waits_and_goes() {
    at_once(TERMINALS, |(columns, has_colour)| {
        let (lab, digest) = lab_that_answers_after(Duration::from_millis(700));
        let mut terminal = begin(&lab, "push l HOST/team/app --jobs 1", columns, has_colour);
        let screen = terminal.ends(0);
        let short = &digest[..19];
        let expected = format!(
            "  Manifest {short} -> v1  pushed\n\nPush complete: 1 manifest(s), 3 blob(s) uploaded, 0 blob(s) skipped."
        );
        assert_eq!(screen, fitted(&expected, columns));
        terminal.has_moved();
        // A narrow terminal has no room for the words.
        assert!(terminal.has_waited || columns == 40, "{columns}: {:?}", terminal.bars);
        assert!(has_colour || !String::from_utf8_lossy(&terminal.raw).contains("\x1b[3"), "there are colours");
        lab.has("v1");
    });
}

#[test]
fn the_bar_of_a_pull_moves_and_goes() {
    at_once(TERMINALS, |(columns, has_colour)| {
        let (lab, digest) = lab();
        lab.serve_layout("l");
        let mut terminal = begin(&lab, "pull HOST/team/app:v1 new", columns, has_colour);
        let screen = terminal.ends(0);
        let short = &digest[..19];
        let expected = format!(
            "  Manifest {short} <- v1  pulled\n\nPull complete: 1 manifest(s), 3 blob(s) downloaded, 0 blob(s) skipped."
        );
        assert_eq!(screen, fitted(&expected, columns));
        terminal.has_moved();
        assert!(!terminal.has_waited && terminal.bars.last().unwrap().percent <= 100);
        lab.is_valid("new");
    });
}

#[test]
fn the_lines_of_a_verbose_transfer_stand_above_the_bar() {
    let (lab, _) = lab();
    let mut terminal = begin(&lab, "-v push l HOST/team/app --jobs 1", 132, true);
    terminal.pump_until("a bar", |terminal| terminal.bars.len() > 2);
    let screen = terminal.screen();
    assert!(screen.lines().rev().nth(1).unwrap_or_default().starts_with("  Uploading sha256:"), "{screen}");
    let screen = terminal.ends(0);
    assert!(!screen.contains("% of") && screen.contains("\n  Uploaded  sha256:"), "{screen}");
    assert!(screen.ends_with("3 blob(s) uploaded, 0 blob(s) skipped."), "{screen}");
}

#[test]
fn an_interrupt_in_the_middle_leaves_a_clean_screen() {
    let (push, pull) = ("push l HOST/team/app", "pull HOST/team/app:v1 new");
    let cases = [(push, Signal::INT, 130), (push, Signal::TERM, 143), (pull, Signal::INT, 130)];
    let cases = cases.map(|(words, signal, status)| [132, 40].map(|columns| (words, signal, status, columns)));
    at_once(cases.concat(), |(words, signal, status, columns)| {
        let (lab, _) = lab();
        if words.starts_with("pull") {
            lab.serve_layout("l");
        }
        let mut terminal = begin(&lab, words, columns, true);
        terminal.pump_until("a bar", |terminal| terminal.bars.len() > 2);
        // This terminal is no process's controlling terminal, so the test sends the signal of a Ctrl-C.
        kill_process(Pid::from_child(&terminal.child), signal).unwrap();
        assert_eq!(terminal.ends(status), "", "{words}");
        // The same command goes on.
        lab.fake.clear_rules();
        lab.run(words).succeeds();
        if words.starts_with("pull") {
            lab.is_valid("new");
        } else {
            lab.has("v1");
        }
    });
}

#[test]
fn no_bar_is_shown_where_nobody_looks() {
    at_once(["-q", "--json", ""], |flags| {
        let (lab, _) = lab();
        // Nor in a pipe.
        if flags.is_empty() {
            let ran = lab.run("push l HOST/team/app");
            ran.succeeds();
            assert_eq!(ran.stderr, "");
            return;
        }
        let mut terminal = begin(&lab, &format!("push l HOST/team/app {flags}"), 132, true);
        terminal.ends(0);
        assert!(terminal.bars.is_empty(), "{flags}: {:?}", terminal.bars);
    });
}
