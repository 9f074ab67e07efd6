//! The one place that writes: results to stdout; notes, warnings and progress to stderr.

use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use regshape::oci::write_json_pretty;
use serde::Serialize;

use super::global::Global;
use super::printable::is_obeyed;
pub(crate) use super::printable::printable;
use super::progress::Progress;
use super::style::{Label, Style, stderr_width};
use super::template::Template;
use super::usage::Usage;

/// The reader of our output is gone. That is their choice, not an error.
#[derive(Debug, thiserror::Error)]
#[error("the reader of standard output has gone")]
pub(crate) struct ReaderGone;

/// The result of a command: its `Serialize` is the JSON, its `text` the text.
pub(crate) trait Screen: Serialize {
    /// Returns the text for people, without the last newline.
    fn text(&self, style: &Style) -> String;

    /// Returns whether long lines are left to the terminal to wrap: those of the command reference's blocks.
    fn wraps(&self) -> bool {
        false
    }

    /// Returns the text under `--quiet`: the digest of each thing that was made or changed, one a line, and nothing of checks and
    /// deletions. `None` if the text is the same.
    fn quiet(&self) -> Option<String> {
        None
    }

    /// Returns whether the text is the JSON.
    fn is_json(&self) -> bool {
        false
    }

    /// Returns the name of the keys of the JSON, where a command has results of several kinds.
    fn keys(&self) -> Option<&'static str> {
        None
    }

    /// Returns a warning about a change that was made but is likely a mistake. In the JSON it is a field.
    fn warning(&self) -> Option<String> {
        None
    }

    /// Returns whether the JSON lists the warnings, all of which are given to the [`Ui`] for stderr, too.
    fn lists_warnings(&self) -> bool {
        false
    }
}

/// How this run of the program speaks.
#[derive(Clone, Debug)]
pub(crate) struct Ui {
    quiet: bool,
    verbose: bool,
    json: bool,
    template: Option<Template>,
    style: Style,
    /// The words of the command, such as `tag list`.
    command: String,
    /// The warnings that are printed if the command succeeds.
    warnings: Arc<Mutex<Vec<String>>>,
}

/// A result, and the warnings that do not come from it.
#[derive(Serialize)]
struct WithWarnings<'a, S> {
    #[serde(flatten)]
    result: &'a S,
    warnings: &'a [String],
}

impl Ui {
    /// Speaks as the flags ask.
    pub(crate) fn new(command: &str, global: &Global, json: bool, template: Option<Template>, style: Style) -> Self {
        let command = command.to_owned();
        Self { quiet: global.quiet, verbose: global.verbose, json, template, style, command, warnings: Arc::default() }
    }

    /// Returns the style of messages on stderr.
    pub(crate) fn message_style(&self) -> Style {
        self.style.of_messages()
    }

    /// Returns whether the result is printed as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Returns the flag that prints the result as a value, if one is set: nothing else may go to stdout then.
    pub(crate) fn value_flag(&self) -> Option<&'static str> {
        let template = self.template.is_some().then_some("--template");
        if self.json { Some("--json") } else { template }
    }

    /// Checks, before a command runs, that the kind of its result has the keys of the template.
    ///
    /// # Errors
    ///
    /// [`Usage`] that names the first unknown key.
    pub(crate) fn check_template(&self, keys: &str) -> Result<(), Usage> {
        self.template.as_ref().map_or(Ok(()), |template| template.check(keys))
    }

    /// Returns whether less is printed.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Returns whether questions may be asked: not where a program reads the result.
    pub(crate) fn may_ask(&self) -> bool {
        self.value_flag().is_none() && !self.quiet
    }

    /// Writes the result of a command, in the one form that was asked for, and then its warning.
    pub(crate) fn result(&self, result: &impl Screen) -> anyhow::Result<()> {
        let warnings = self.warnings.lock().expect("nobody panics with the lock").split_off(0);
        if let Some(template) = &self.template {
            let value = serde_json::from_str(&json(result)?)?;
            write_stdout(template.fill(result.keys().unwrap_or(&self.command), &value)?.as_bytes())?;
        } else if self.json && !warnings.is_empty() && !result.lists_warnings() {
            write_json(&WithWarnings { result, warnings: &warnings })?;
        } else if self.json || result.is_json() {
            write_json(result)?;
        } else {
            let quiet = if self.quiet { result.quiet() } else { None };
            let shown = || {
                let text = result.text(&self.style);
                if result.wraps() { text } else { self.style.fitted(text) }
            };
            let mut text = quiet.unwrap_or_else(shown);
            // A list without entries has no line.
            if !text.is_empty() {
                text.push('\n');
            }
            write_stdout(text.as_bytes())?;
        }
        result.warning().iter().chain(&warnings).for_each(|warning| self.warn(warning));
        Ok(())
    }

    /// Writes a result that is too long to be kept as text, and then the warnings.
    pub(crate) fn lines(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
        let mut stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        write(&mut stdout).and_then(|()| stdout.flush()).map_err(stdout_error)?;
        let warnings = self.warnings.lock().expect("nobody panics with the lock").split_off(0);
        warnings.iter().for_each(|warning| self.warn(warning));
        Ok(())
    }

    /// Prints a note.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            super::progress::without_bar(|| write_stderr(text));
        }
    }

    /// Prints a note under `--verbose`.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose {
            self.note(text);
        }
    }

    /// Prints why nothing happens for a while: on a terminal, and under `--verbose`.
    #[cfg(feature = "remote")]
    pub(crate) fn wait(&self, text: &str) {
        if self.verbose || io::stderr().is_terminal() {
            self.note(&format!("  {text}"));
        }
    }

    /// Warns of something if the command succeeds; in the JSON it is in the list `warnings`.
    pub(crate) fn warn_at_the_end(&self, text: String) {
        self.warnings.lock().expect("nobody panics with the lock").push(text);
    }

    /// Prints a warning. Under `--json` the result contains it.
    pub(crate) fn warn(&self, text: &str) {
        if !self.json {
            write_stderr(&Label::Warning.message(text));
        }
    }

    /// Reports an error that is one of several.
    pub(crate) fn error(&self, text: &str) {
        write_stderr(&Label::Error.message(text));
    }

    /// Starts a progress bar that names the work and its file; it is shown on a terminal only.
    pub(crate) fn progress(&self, verb: &str, path: &Path, total: Option<u64>) -> Progress {
        /// Longer names of files are cut.
        const NAME_WIDTH: usize = 24;
        /// What a narrow terminal has beside the label.
        const FIGURES_WIDTH: usize = 12;
        let room = stderr_width().saturating_sub(verb.len() + FIGURES_WIDTH);
        let name = match path.file_name() {
            _ if is_dash(path) => "standard input".to_owned(),
            Some(name) => self.style.cut_to(&printable(&name.to_string_lossy()), NAME_WIDTH.min(room)),
            None => path.display().to_string(),
        };
        Progress::new(&format!("{verb} {name}"), total, !self.quiet && !self.json && io::stderr().is_terminal())
    }
}

/// Writes to stdout and makes sure that it got there.
///
/// # Errors
///
/// [`ReaderGone`] if the pipe is closed, which is not a failure; otherwise the error of the system.
pub(crate) fn write_stdout(bytes: &[u8]) -> anyhow::Result<std::process::ExitCode> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(stdout_error)?;
    Ok(std::process::ExitCode::SUCCESS)
}

/// Returns whether an output file is standard output: `-`, or a path that names its descriptor.
pub(crate) fn is_stdout(path: &Path) -> bool {
    is_dash(path) || regshape::internals::is_standard_output(path)
}

/// Returns whether a path is `-`: standard input, or output.
pub(crate) fn is_dash(path: &Path) -> bool {
    path == Path::new("-")
}

/// Turns an error of an export to stdout into one about stdout.
pub(crate) fn output_error(error: regshape::Error) -> anyhow::Error {
    match error {
        regshape::Error::Io { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => ReaderGone.into(),
        error => error.into(),
    }
}

/// Turns an error of writing to stdout into one of the program.
pub(crate) fn stdout_error(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return ReaderGone.into();
    }
    regshape::Error::Io { action: "write to", path: "standard output".into(), source: error }.into()
}

/// Writes a line to stderr. Nothing can be done if that fails.
pub(crate) fn write_stderr(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Writes a value to stdout as [`json`] returns it, in pieces: it may become many times as long as its source.
fn write_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let written = write_json_pretty(value, &mut Escaping(&mut stdout));
    written.and_then(|()| stdout.write_all(b"\n")).and_then(|()| stdout.flush()).map_err(stdout_error)
}

/// Returns a value as JSON on one line, with escapes as [`json`] has them.
pub(crate) fn json_line(value: &impl Serialize) -> String {
    let mut text = Vec::new();
    let compact = serde_json::to_string(value).expect("texts can be written");
    Escaping(&mut text).write_all(compact.as_bytes()).expect("memory can be written");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// Returns a value as JSON with two spaces. Characters that a terminal would obey are escaped even where JSON allows
/// them: the value is the same.
pub(crate) fn json(value: &impl Serialize) -> io::Result<String> {
    let mut text = Vec::new();
    write_json_pretty(value, &mut Escaping(&mut text))?;
    Ok(String::from_utf8(text).expect("JSON is UTF-8"))
}

/// Escapes characters that JSON allows and a terminal would obey. It is written to in pieces of whole characters.
struct Escaping<'a>(&'a mut dyn Write);

impl Write for Escaping<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Such characters begin with one of these bytes. Whole chunks are looked at, which processors are good at.
        let is_suspect = |bytes: &[u8]| bytes.iter().fold(false, |any, byte| any | matches!(byte, 0x7f | 0xc2 | 0xe2));
        if !bytes.chunks(4096).any(is_suspect) {
            self.0.write_all(bytes)?;
            return Ok(bytes.len());
        }
        let is_obeyed = |character: char| character > '~' && is_obeyed(character);
        let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
        let mut left = text;
        while let Some(at) = left.find(is_obeyed) {
            let character = left[at..].chars().next().expect("it was found");
            write!(self.0, "{}\\u{:04x}", &left[..at], u32::from(character))?;
            left = &left[at + character.len_utf8()..];
        }
        self.0.write_all(left.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Rows whose cells begin in the same columns.
#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Returns the rows, with two spaces between the columns. Where they do not fit, cells of some columns are cut, the first of
    /// them first.
    pub(crate) fn text(&self, style: &Style, columns: &[usize]) -> String {
        /// A column is not made narrower than this.
        const LEAST: usize = 8;
        let mut widths = self.widths();
        let total: usize = widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1);
        let mut excess = style.width().map_or(0, |width| total.saturating_sub(width));
        for column in columns {
            if let Some(width) = widths.get_mut(*column) {
                let less = width.saturating_sub(LEAST).min(excess);
                *width -= less;
                excess -= less;
            }
        }
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{:<width$}", style.cut_to(cell, *width)));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}

/// Returns a number and its noun.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A block of labels and values: the labels end in one column.
pub(crate) struct Block {
    width: usize,
    text: String,
}

impl Block {
    /// Starts a block under a title, with labels of at most a width.
    pub(crate) fn new(title: &str, width: usize) -> Self {
        Self { width, text: title.to_owned() }
    }

    /// Adds a line.
    pub(crate) fn line(mut self, label: &str, value: impl std::fmt::Display) -> Self {
        let value = printable(&value.to_string());
        let _ = write!(self.text, "\n  {label:>width$}: {value}", width = self.width);
        self
    }

    /// Adds the annotations, one a line under their label.
    pub(crate) fn annotations(mut self, annotations: &regshape::oci::Annotations) -> Self {
        self.text.push_str("\n  annotations:");
        for (key, value) in annotations {
            let _ = write!(self.text, "\n    {} = {}", printable(key), printable(value));
        }
        self
    }

    /// Returns the block.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_json_that_it_would_obey() {
        let text = "a\u{1b}b\n\u{9b}\u{7f}é\u{202e}";
        let shown = json(&text).expect("written");
        assert_eq!(shown, "\"a\\u001bb\\n\\u009b\\u007fé\\u202e\"");
        assert_eq!(serde_json::from_str::<String>(&shown).expect("read"), text);
        assert_eq!(json(&"é€").expect("written"), "\"é€\"");
    }
}
