//! Questions: asked on a terminal, answered with their defaults elsewhere.

use std::io::{self, IsTerminal};
use std::sync::Once;

use dialoguer::console::Term;
use dialoguer::theme::Theme;
use dialoguer::{Confirm, Input};

use super::args::parse_annotation;
use super::error::Interrupted;
use super::ui::Ui;
use regshape::oci::Annotations;

/// Who answers the questions of a command.
pub(crate) struct Prompt<'a> {
    ui: &'a Ui,
    is_interactive: bool,
}

impl<'a> Prompt<'a> {
    /// Asks where stdin and stderr are terminals, unless the defaults are to be taken.
    pub(crate) fn new(ui: &'a Ui, take_defaults: bool) -> Self {
        let is_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
        Self { ui, is_interactive: is_terminal && !take_defaults }
    }

    /// Asks for a value that has a default; `what` and `flag` are for the note that says which was taken.
    pub(crate) fn value(&self, question: &str, default: &str, what: &str, flag: &str) -> anyhow::Result<String> {
        if !self.is_interactive {
            self.ui.note(&format!("Using {what} {default}; {flag} sets another"));
            return Ok(default.to_owned());
        }
        ask(|term| {
            Input::<String>::with_theme(&Plain).with_prompt(question).default(default.to_owned()).interact_text_on(term)
        })
    }

    /// Asks for a value that must be checked and may have a default.
    pub(crate) fn parsed<T: std::str::FromStr<Err: std::fmt::Display> + std::fmt::Display>(
        &self,
        question: &str,
        default: Option<T>,
        what: &str,
        flag: &str,
    ) -> anyhow::Result<T> {
        match default {
            Some(default) if !self.is_interactive => {
                self.ui.note(&format!("Using {what} {default}; {flag} sets another"));
                Ok(default)
            }
            None if !self.is_interactive => anyhow::bail!("no {what} given; use {flag}"),
            default => {
                let answer = ask(|term| {
                    let input = Input::<String>::with_theme(&Plain)
                        .with_prompt(question)
                        .validate_with(|text: &String| check::<T>(text));
                    match &default {
                        Some(default) => input.default(default.to_string()),
                        None => input,
                    }
                    .interact_text_on(term)
                })?;
                answer.parse().map_err(|error: T::Err| anyhow::anyhow!("{error}"))
            }
        }
    }

    /// Asks for a value that may be left out.
    pub(crate) fn optional<T: std::str::FromStr<Err: std::fmt::Display>>(
        &self,
        question: &str,
        what: &str,
        flag: &str,
    ) -> anyhow::Result<Option<T>> {
        if !self.is_interactive {
            self.ui.note(&format!("Using no {what}; {flag} sets one"));
            return Ok(None);
        }
        let answer = ask(|term| {
            Input::<String>::with_theme(&Plain)
                .with_prompt(question)
                .allow_empty(true)
                .validate_with(|text: &String| if text.is_empty() { Ok(()) } else { check::<T>(text) })
                .interact_text_on(term)
        })?;
        Some(answer)
            .filter(|answer| !answer.is_empty())
            .map(|answer| answer.parse().map_err(|error: T::Err| anyhow::anyhow!("{error}")))
            .transpose()
    }

    /// Shows what was found out and asks whether to take it; `note` says so where nobody is asked.
    pub(crate) fn accept(&self, introduction: &str, note: &str) -> anyhow::Result<bool> {
        if !self.is_interactive {
            self.ui.note(note);
            return Ok(true);
        }
        super::ui::write_stderr(introduction);
        confirm("Accept?", true)
    }

    /// Asks for annotations, one at a time, until an empty line.
    pub(crate) fn annotations(&self, question: &str, note: &str) -> anyhow::Result<Annotations> {
        let mut annotations = Annotations::new();
        if !self.is_interactive {
            self.ui.note(note);
            return Ok(annotations);
        }
        if !confirm(question, false)? {
            return Ok(annotations);
        }
        loop {
            let answer = ask(|term| {
                Input::<String>::with_theme(&Plain)
                    .with_prompt("Annotation (key=value, empty to finish)")
                    .allow_empty(true)
                    .validate_with(
                        |text: &String| {
                            if text.is_empty() { Ok(()) } else { parse_annotation(text).map(drop) }
                        },
                    )
                    .interact_text_on(term)
            })?;
            if answer.is_empty() {
                return Ok(annotations);
            }
            annotations.extend(parse_annotation(&answer).ok());
        }
    }
}

/// Checks an answer while it can still be mended.
fn check<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<(), String> {
    text.parse::<T>().map(drop).map_err(|error| error.to_string())
}

fn confirm(question: &str, default: bool) -> anyhow::Result<bool> {
    ask(|term| {
        Confirm::with_theme(&Plain).with_prompt(question).default(default).wait_for_newline(true).interact_on(term)
    })
}

/// Asks a question on the terminal; Ctrl-C ends the program there, with the cursor as it was.
fn ask<T>(question: impl FnOnce(&Term) -> dialoguer::Result<T>) -> anyhow::Result<T> {
    leave_on_interrupt()?;
    let term = Term::stderr();
    question(&term).map_err(|dialoguer::Error::IO(error)| {
        // Nothing can be done if the cursor cannot be shown.
        let _ = term.show_cursor();
        if error.kind() == io::ErrorKind::Interrupted {
            Interrupted.into()
        } else {
            anyhow::Error::new(error).context("failed to read the answer")
        }
    })
}

/// Makes an interrupt leave the terminal as it was found.
#[cfg(unix)]
fn leave_on_interrupt() -> io::Result<()> {
    use signal_hook::consts::SIGINT;

    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| {
        let modes = rustix::termios::tcgetattr(io::stdin()).ok();
        result = signal_hook::iterator::Signals::new([SIGINT]).map(|mut signals| {
            std::thread::spawn(move || {
                signals.forever().next();
                if let Some(modes) = &modes {
                    let _ = rustix::termios::tcsetattr(io::stdin(), rustix::termios::OptionalActions::Now, modes);
                }
                let _ = Term::stderr().show_cursor();
                std::process::exit(super::error::INTERRUPTED.into());
            });
        });
    });
    result
}

/// Elsewhere the terminal itself reports Ctrl-C as an interrupted read.
#[cfg(not(unix))]
fn leave_on_interrupt() -> io::Result<()> {
    Ok(())
}

/// Questions as they stand in the reference: `Question [default]: `.
struct Plain;

impl Theme for Plain {
    fn format_confirm_prompt(
        &self,
        f: &mut dyn std::fmt::Write,
        prompt: &str,
        default: Option<bool>,
    ) -> std::fmt::Result {
        let choice = match default {
            Some(true) => "[Y/n]",
            Some(false) => "[y/N]",
            None => "[y/n]",
        };
        write!(f, "{prompt} {choice}: ")
    }

    fn format_confirm_prompt_selection(
        &self,
        f: &mut dyn std::fmt::Write,
        prompt: &str,
        selection: Option<bool>,
    ) -> std::fmt::Result {
        let answer = match selection {
            Some(true) => "yes",
            Some(false) => "no",
            None => "",
        };
        write!(f, "{prompt} {answer}")
    }
}
