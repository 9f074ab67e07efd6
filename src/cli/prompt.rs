//! Questions: asked on a terminal, answered with their defaults elsewhere.
//!
//! Questions are for people: they are asked only where all three streams are terminals, and not under `--json`, `--quiet`,
//! `--yes` or `CI`. Where input is waiting when a question is due, such as the next lines of a script that was pasted into a
//! shell, the default is taken and the input is left for the shell.
//!
//! A question stays on the screen once, with the answer that was taken: `Architecture [amd64]: arm64`. Where Enter took
//! the default, that is shown as if it had been typed. An answer that cannot be used stays too, with the reason under
//! it, and the question comes again.

use std::cell::OnceCell;
use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::str::FromStr;

use dialoguer::Input;
use dialoguer::console::{Term, measure_text_width};

use super::args::parse_annotation;
use super::error::Interrupted;
use super::output::{Ui, write_stderr};
use regshape::oci::Annotations;

#[cfg(unix)]
pub(crate) use modes::leave;

/// Who answers the questions of a command.
///
/// From the first question until it is dropped it has the terminal for itself.
pub(crate) struct Prompt<'a> {
    ui: &'a Ui,
    is_interactive: bool,
    modes: OnceCell<modes::Held>,
}

impl<'a> Prompt<'a> {
    /// Asks where all three streams are terminals, unless the defaults are to be taken.
    pub(crate) fn new(ui: &'a Ui, take_defaults: bool) -> Self {
        let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal() && io::stderr().is_terminal();
        let is_interactive = is_terminal && !take_defaults && ui.may_ask() && !is_ci();
        Self { ui, is_interactive, modes: OnceCell::new() }
    }

    /// Returns whether a question can be asked now.
    fn can_ask(&self) -> bool {
        self.is_interactive && !is_input_waiting()
    }

    /// Asks for a value that has a default; `what` and `flag` are for the note that names the chosen default.
    pub(crate) fn value<T: FromStr<Err: Display> + Display>(
        &self,
        question: &str,
        default: T,
        what: &str,
        flag: &str,
    ) -> anyhow::Result<T> {
        if !self.can_ask() {
            self.ui.detail(&format!("Using {what} {default}; {flag} sets another"));
            return Ok(default);
        }
        let default = default.to_string();
        self.ask(&format!("{question} [{default}]"), &default, parse)
    }

    /// Asks for a value that has no default, and goes on until `check` has nothing against it.
    pub(crate) fn required<T: FromStr<Err: Display>>(
        &self,
        question: &str,
        what: &str,
        flag: &str,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> anyhow::Result<T> {
        anyhow::ensure!(self.can_ask(), "no {what} given; use {flag}");
        self.ask(question, "", |answer| {
            let value = if answer.is_empty() { Err(format!("no {what} given")) } else { parse(answer) }?;
            check(&value).map(|()| value)
        })
    }

    /// Returns whether a question can be asked.
    #[cfg(feature = "remote")]
    pub(crate) fn is_possible(&self) -> bool {
        self.can_ask()
    }

    /// Asks for a secret, which is not shown while it is typed.
    #[cfg(feature = "remote")]
    pub(crate) fn secret(&self, question: &str, what: &str, flag: &str) -> anyhow::Result<String> {
        anyhow::ensure!(self.can_ask(), "no {what} given; use {flag}");
        let term = Term::stderr();
        let modes = match self.modes.get() {
            Some(modes) => modes,
            None => {
                let held = modes::Held::new()?;
                self.modes.get_or_init(|| held)
            }
        };
        term.write_str(&format!("{question}: "))?;
        let answer = term.read_secure_line().map_err(|error| read_error(error, modes))?;
        anyhow::ensure!(!answer.is_empty(), "no {what} given");
        Ok(answer)
    }

    /// Asks for a value that may be left out.
    pub(crate) fn optional<T: FromStr<Err: Display>>(
        &self,
        question: &str,
        what: &str,
        flag: &str,
    ) -> anyhow::Result<Option<T>> {
        if !self.can_ask() {
            self.ui.detail(&format!("Using no {what}; {flag} sets one"));
            return Ok(None);
        }
        self.ask(question, "", |answer| if answer.is_empty() { Ok(None) } else { parse(answer).map(Some) })
    }

    /// Shows a finding and asks whether to accept it; `note` reports it where no question is asked.
    pub(crate) fn accept(&self, introduction: &str, note: &str) -> anyhow::Result<bool> {
        if !self.can_ask() {
            self.ui.detail(note);
            return Ok(true);
        }
        write_stderr(introduction);
        self.ask("Accept? [Y/n]", "y", yes_or_no)
    }

    /// Asks for annotations, one at a time, until an empty line.
    pub(crate) fn annotations(&self, question: &str, note: &str) -> anyhow::Result<Annotations> {
        let mut annotations = Annotations::new();
        if !self.can_ask() {
            self.ui.detail(note);
            return Ok(annotations);
        }
        if !self.ask(&format!("{question} [y/N]"), "n", yes_or_no)? {
            return Ok(annotations);
        }
        let read = |answer: &str| if answer.is_empty() { Ok(None) } else { parse_annotation(answer).map(Some) };
        while let Some((key, value)) = self.ask("Annotation (key=value, empty to finish)", "", read)? {
            annotations.insert(key, value);
        }
        Ok(annotations)
    }

    /// Asks a question until the answer can be read; Ctrl-C ends the program there, with the terminal as it was.
    fn ask<T>(&self, question: &str, default: &str, read: impl Fn(&str) -> Result<T, String>) -> anyhow::Result<T> {
        let term = Term::stderr();
        let modes = match self.modes.get() {
            Some(modes) => modes,
            None => {
                let held = modes::Held::new()?;
                self.modes.get_or_init(|| held)
            }
        };
        loop {
            // Checked and shown here, not by dialoguer, which clears only one row of a question that wraps.
            let input = Input::<String>::new().with_prompt(question).allow_empty(true).report(false);
            let typed = input.interact_on(&term).map_err(|dialoguer::Error::IO(error)| read_error(error, modes))?;
            let answer = Some(typed.trim()).filter(|answer| !answer.is_empty()).unwrap_or(default);
            let is_text = !answer.chars().any(char::is_control);
            // A user who pastes several lines did not read the questions that they would answer.
            if is_input_waiting() {
                modes.leave();
                anyhow::bail!(
                    "several lines arrived at once: nothing was changed; answer one question at a time, or use flags"
                );
            }
            term.move_cursor_up(last_row(&format!("{question}: {typed}"), term.size().1.into()))?;
            term.clear_to_end_of_screen()?;
            term.write_line(&super::output::printable(&format!("{question}: {answer}")))?;
            let result =
                if is_text { read(answer) } else { Err("there are control characters in the answer".to_owned()) };
            match result {
                Ok(value) => return Ok(value),
                Err(error) => term.write_line(&format!("Error: {}", super::output::printable(&error)))?,
            }
        }
    }
}

/// Returns whether this is a run of a CI system, as the variable `CI` says.
fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false")
}

/// Returns whether standard input has something to read.
fn is_input_waiting() -> bool {
    #[cfg(unix)]
    {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let stdin = io::stdin();
        let mut waited = [PollFd::new(&stdin, PollFlags::IN)];
        poll(&mut waited, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
            && waited[0].revents().contains(PollFlags::IN)
    }
    #[cfg(not(unix))]
    false
}

fn parse<T: FromStr<Err: Display>>(answer: &str) -> Result<T, String> {
    answer.parse().map_err(|error: T::Err| error.to_string())
}

/// Reads an answer that is typed and ended by Enter like any other, unlike that of a dialoguer `Confirm`, which hides
/// the cursor and takes single keys.
fn yes_or_no(answer: &str) -> Result<bool, String> {
    match answer.to_lowercase().as_str() {
        "y" | "yes" => Ok(true),
        "n" | "no" => Ok(false),
        _ => Err("please answer y or n".to_owned()),
    }
}

fn read_error(error: io::Error, modes: &modes::Held) -> anyhow::Error {
    if error.kind() == io::ErrorKind::Interrupted {
        return modes.interrupted().into();
    }
    modes.leave();
    anyhow::anyhow!("failed to read the answer: {error}")
}

/// Returns in which row text ends that starts at the left of a terminal so wide, counted from 0.
fn last_row(text: &str, width: usize) -> usize {
    let (mut row, mut column) = (0, 0);
    for character in text.chars() {
        let cells = measure_text_width(character.encode_utf8(&mut [0; 4]));
        // A terminal wraps when the next character does not fit, not when the row is full.
        if column + cells > width {
            row += 1;
            column = 0;
        }
        column += cells;
    }
    row
}

/// The modes of the terminal while a question waits.
#[cfg(unix)]
mod modes {
    use std::io::{self, Write};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Mutex, MutexGuard, PoisonError};
    use std::time::Duration;

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    use super::Interrupted;

    /// The modes to go back to, and those that are held instead.
    static MODES: Mutex<Option<(Termios, Termios)>> = Mutex::new(None);

    /// Whether the reader of the answer has seen the signal, and leaves the terminal alone from now on.
    static HAS_STOPPED: AtomicBool = AtomicBool::new(false);

    /// Keeps echo and line editing of the terminal off until it is dropped.
    ///
    /// dialoguer sets the modes for each key and restores them in between, so that the terminal would echo typed or
    /// pasted text that arrives faster than it is read, and a signal could come just when the modes change.
    pub(crate) struct Held;

    impl Held {
        pub(crate) fn new() -> io::Result<Self> {
            let found = tcgetattr(io::stdin())?;
            let mut quiet = found.clone();
            quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
            *lock() = Some((found, quiet.clone()));
            tcsetattr(io::stdin(), OptionalActions::Drain, &quiet)?;
            Ok(Self)
        }
    }

    impl Held {
        /// Puts the modes back in the middle of a question.
        pub(crate) fn leave(&self) {
            restore(b"\n");
        }

        /// Leaves the end of the program to the signals' thread: dialoguer has raised SIGINT, be it for a Ctrl-C or
        /// because another signal interrupted it, and that thread knows which.
        pub(crate) fn interrupted(&self) -> Interrupted {
            HAS_STOPPED.store(true, Ordering::Release);
            std::thread::sleep(Duration::from_secs(2));
            // The thread should have ended the program by now.
            restore(b"\n");
            Interrupted
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            restore(b"");
        }
    }

    /// Puts the modes back if they are not yet, and then writes; nothing can be done if the terminal has gone.
    fn restore(end: &[u8]) {
        let mut modes = lock();
        if let Some((found, _)) = modes.take() {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &found);
            let _ = io::stderr().write_all(end);
        }
    }

    fn lock() -> MutexGuard<'static, Option<(Termios, Termios)>> {
        MODES.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether the reader of the answer has not seen the signal yet, but may.
    fn may_stop() -> bool {
        lock().is_some() && !HAS_STOPPED.load(Ordering::Acquire)
    }

    /// Returns whether dialoguer is between two keys, and about to set its own modes for the next.
    fn may_change() -> bool {
        let modes = lock();
        let Some((_, held)) = modes.as_ref().filter(|_| !HAS_STOPPED.load(Ordering::Acquire)) else { return false };
        tcgetattr(io::stdin())
            .is_ok_and(|now| (now.local_modes, now.input_modes) == (held.local_modes, held.input_modes))
    }

    /// Leaves the terminal as it was found, because the program ends.
    pub(crate) fn leave() {
        let wait_while = |is_so: fn() -> bool, times| {
            (0..times).take_while(|_| is_so()).for_each(|_| std::thread::sleep(Duration::from_millis(5)));
        };
        // A signal mostly interrupts dialoguer, which then sets modes once more. Where that cannot be told, a moment is
        // enough.
        wait_while(may_stop, 40);
        wait_while(may_change, 20);
        restore(b"\n");
    }
}

/// Elsewhere the terminal keeps its modes, and has Ctrl-C reported as an interrupted read.
#[cfg(not(unix))]
mod modes {
    pub(crate) struct Held;

    impl Held {
        pub(crate) fn new() -> std::io::Result<Self> {
            Ok(Self)
        }

        pub(crate) fn leave(&self) {
            super::write_stderr("");
        }

        pub(crate) fn interrupted(&self) -> super::Interrupted {
            self.leave();
            super::Interrupted
        }
    }
}
