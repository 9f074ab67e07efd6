//! One manual page, made from a command.

use std::io::{self, Write};

use clap::{Arg, Command};

/// The headings of options that every command has, or that few users need: they are not in the synopsis.
const SHARED_HEADINGS: [&str; 5] = ["Global options", "Storage", "Telemetry", "Limits", "Repositories"];

const EXIT_STATUS: [(&str, &str); 6] = [
    ("0", "Success."),
    ("1", "Failure, or an error found by 'layout validate'. The layout is unchanged."),
    ("2", "Wrong usage."),
    ("3", "The named repository, tag, manifest, blob or platform does not exist."),
    ("75", "Another process is changing the layout, and --lock-timeout has run out."),
    ("129, 130, 143", "SIGHUP, Ctrl-C, SIGTERM."),
];

const ENVIRONMENT: [(&str, &str); 7] = [
    (
        "REGSHAPE_LAYOUT",
        "The layout, where the command line names none. Without it the working directory is used if it is a layout.",
    ),
    ("SOURCE_DATE_EPOCH", "The creation time of configs, in seconds since 1970."),
    ("CI", "If set, no question is asked."),
    ("NO_COLOR", "If set, output has no colour."),
    ("CLICOLOR_FORCE", "If set and not 0, output has colour even in a pipe."),
    ("LC_ALL, LC_CTYPE, LANG", "The first that is set decides: trees are drawn in ASCII unless it names UTF-8."),
    ("TMPDIR", "The directory of temporary files outside a layout."),
];

const FILES: [(&str, &str); 4] = [
    ("DIR/oci-layout", "The marker of a layout; locked by writers."),
    ("DIR/index.json", "The entries of the layout: images by digest and tag."),
    ("DIR/blobs/", "Layers, configs and manifests, named by digest."),
    ("DIR/.regshape-stage.json", "The staged layers, config and manifest."),
];

/// Returns the page of a command with its full name, such as `regshape layout init`.
pub(crate) fn page(command: &Command, words: &str) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let name = words.replace(' ', "-");
    let version = command.get_version().unwrap_or(env!("CARGO_PKG_VERSION"));
    writeln!(page, ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '")?;
    writeln!(page, ".TH \"{}\" 1 \"\" \"regshape {version}\" \"regshape\"", escaped(&name))?;
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    writeln!(page, ".SH NAME\n{} \\- {}", escaped(&name), escaped(&about))?;
    synopsis(command, words, &mut page)?;
    description(command, &about, &mut page)?;
    // Options that only `--help` lists have their text here too.
    let options = command.clone().mut_args(|arg| arg.hide_short_help(false));
    clap_mangen::Man::new(options).render_options_section(&mut page)?;
    subcommands(command, words, &mut page)?;
    examples(command, &mut page)?;
    definitions("EXIT STATUS", &EXIT_STATUS, &mut page)?;
    definitions("ENVIRONMENT", &ENVIRONMENT, &mut page)?;
    definitions("FILES", &FILES, &mut page)?;
    see_also(words, &mut page)?;
    Ok(page)
}

/// Writes the words of a command: required arguments first, then its own options, then the optional positional arguments.
fn synopsis(command: &Command, words: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let is_shared = |arg: &Arg| {
        matches!(arg.get_id().as_str(), "help" | "version")
            || arg.get_help_heading().is_some_and(|heading| SHARED_HEADINGS.contains(&heading))
    };
    let own: Vec<&Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set() && !is_shared(arg)).collect();
    let mut parts = vec![format!("\\fB{}\\fR", escaped(words))];
    // Arguments of which one is required.
    let groups: Vec<_> = command.get_groups().filter(|group| group.is_required_set()).collect();
    let is_grouped = |arg: &Arg| groups.iter().any(|group| group.get_args().any(|id| id == arg.get_id()));
    for group in &groups {
        let alternatives =
            own.iter().filter(|arg| group.get_args().any(|id| id == arg.get_id())).map(|arg| words_of(arg));
        parts.push(format!("{{{}}}", alternatives.collect::<Vec<_>>().join(" | ")));
    }
    for (is_required, is_positional) in [(true, false), (true, true), (false, false), (false, true)] {
        let wanted = |arg: &&&Arg| {
            !is_grouped(arg) && arg.is_required_set() == is_required && arg.is_positional() == is_positional
        };
        parts.extend(own.iter().filter(wanted).map(|arg| usage_of(arg)));
    }
    if command.has_subcommands() {
        parts.push("\\fICOMMAND\\fR".to_owned());
    }
    parts.push("[\\fIOPTION\\fR...]".to_owned());
    writeln!(page, ".SH SYNOPSIS\n{}", parts.join(" "))
}

/// Returns an argument as the synopsis has it: `--file FILE`, `[--json]`, `[TAG...]`.
fn usage_of(arg: &Arg) -> String {
    let text = words_of(arg);
    if arg.is_required_set() { text } else { format!("[{text}]") }
}

/// Returns an argument and the name of its value.
fn words_of(arg: &Arg) -> String {
    let takes_value = arg.get_action().takes_values();
    let is_repeatable = matches!(arg.get_action(), clap::ArgAction::Append | clap::ArgAction::Count)
        || arg.get_num_args().is_some_and(|count| count.max_values() > 1);
    let value = arg
        .get_value_names()
        .and_then(|names| names.first())
        .map_or_else(String::new, |name| format!("\\fI{}\\fR", escaped(name)));
    let flag = match (arg.get_short(), arg.get_long()) {
        (Some(short), _) => format!("\\fB\\-{short}\\fR"),
        (None, Some(long)) => format!("\\fB\\-\\-{}\\fR", escaped(long)),
        (None, None) => String::new(),
    };
    let words: Vec<String> =
        [flag, if takes_value { value } else { String::new() }].into_iter().filter(|word| !word.is_empty()).collect();
    words.join(" ") + if is_repeatable { "..." } else { "" }
}

fn description(command: &Command, about: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let text = command.get_long_about().map(ToString::to_string).unwrap_or_else(|| about.to_owned());
    writeln!(page, ".SH DESCRIPTION")?;
    for (at, paragraph) in text.split("\n\n").enumerate() {
        let end = if paragraph.ends_with('.') { "" } else { "." };
        writeln!(page, "{}{}{end}", if at > 0 { ".PP\n" } else { "" }, escaped(paragraph))?;
    }
    Ok(())
}

fn subcommands(command: &Command, words: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let shown: Vec<_> = command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()).collect();
    if shown.is_empty() {
        return Ok(());
    }
    writeln!(page, ".SH COMMANDS")?;
    for subcommand in shown {
        let name = format!("{words} {}", subcommand.get_name()).replace(' ', "-");
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        writeln!(page, ".TP\n\\fB{}\\fR(1)\n{}", escaped(&name), escaped(&about))?;
    }
    Ok(())
}

/// Writes the examples of the help: the lines after its heading.
fn examples(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let mut lines = help.lines();
    if !lines.next().is_some_and(|heading| heading.starts_with("Example")) {
        return Ok(());
    }
    writeln!(page, ".SH EXAMPLES\n.nf")?;
    for line in lines.take_while(|line| !line.is_empty()) {
        writeln!(page, "{}", escaped(line.strip_prefix("  ").unwrap_or(line)))?;
    }
    writeln!(page, ".fi")
}

fn definitions(heading: &str, rows: &[(&str, &str)], page: &mut Vec<u8>) -> io::Result<()> {
    writeln!(page, ".SH \"{heading}\"")?;
    rows.iter().try_for_each(|(term, text)| writeln!(page, ".TP\n\\fB{}\\fR\n{}", escaped(term), escaped(text)))
}

/// Names the page of the group, those of the other programs, and the documents.
fn see_also(words: &str, page: &mut Vec<u8>) -> io::Result<()> {
    let mut parents: Vec<String> = Vec::new();
    let mut rest = words;
    while let Some((parent, _)) = rest.rsplit_once(' ') {
        parents.push(parent.replace(' ', "-"));
        rest = parent;
    }
    let pages = parents.into_iter().rev().chain(["umoci", "skopeo", "podman", "buildah"].map(str::to_owned));
    let pages: Vec<String> = pages.map(|name| format!("\\fB{}\\fR(1)", escaped(&name))).collect();
    let docs = concat!(env!("CARGO_PKG_REPOSITORY"), "/tree/main/docs");
    writeln!(page, ".SH \"SEE ALSO\"\n{}\n.PP\n{}", pages.join(", "), escaped(docs))
}

/// Escapes text for roff: backslashes, dashes, quotes, and lines that begin like a request.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\*(Aq");
    let lines = text.lines().map(|line| if line.starts_with('.') { format!("\\&{line}") } else { line.to_owned() });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_be_a_request() {
        assert_eq!(escaped(".so x\n'br\na-b\\c"), "\\&.so x\n\\*(Aqbr\na\\-b\\ec");
    }
}
