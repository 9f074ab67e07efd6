//! The context of every command on layouts: its output, and the way it opens layouts.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use clap::{ArgMatches, FromArgMatches};
use regshape::Interrupt;
use regshape::layout::{Layout, LeftoverObserver, LockEvent, LockObserver, WriteOptions, clean};
use regshape::metrics::Metrics;

use super::args::{Base, WriteArgs};
use super::global::Global;
use super::output::{Ui, printable};
use super::signals;
use super::style::Style;
use super::telemetry::Telemetry;
use super::usage::Usage;

/// A command on layouts.
pub(crate) trait LayoutCommand {
    /// Does the work and writes the result.
    fn run(self, context: &Context) -> anyhow::Result<ExitCode>;
}

/// How a command was called: its words, and the flags that every command takes.
pub(crate) struct Invocation {
    /// The words of the command without its arguments, such as `layout tag list`: the name of its scenario.
    pub(crate) name: String,
    pub(crate) global: Global,
    pub(crate) base: Base,
}

impl Invocation {
    /// Reads the words and the flags from the matches of a command on layouts.
    ///
    /// # Errors
    ///
    /// Those of clap, for a command that does not have the flags.
    pub(crate) fn from_matches(matches: &ArgMatches, global: Global) -> Result<Self, clap::Error> {
        let (mut matches, mut words) = (matches, Vec::new());
        while let Some((word, subcommand)) = matches.subcommand() {
            words.push(word);
            matches = subcommand;
        }
        Ok(Self { name: words.join(" "), global, base: Base::from_arg_matches(matches)? })
    }
}

/// The context of a command.
pub(crate) struct Context {
    /// The words of the command, such as `tag list`.
    pub(crate) command: String,
    pub(crate) ui: Ui,
    pub(crate) shares_blobs: bool,
    /// Ends the work when a signal arrives.
    pub(crate) interrupt: Interrupt,
    pub(crate) layout: OnceCell<Layout>,
    /// The counters of work that is on no layout that is kept.
    pub(crate) metrics: OnceCell<Arc<Metrics>>,
    /// Whether plain HTTP is asked for before the words of the command, as the original program has it.
    #[cfg(feature = "remote")]
    pub(crate) insecure: bool,
    #[cfg(feature = "remote")]
    pub(crate) calls: Option<super::telemetry::CallPrinter>,
}

impl Context {
    /// Deletes the leftovers of killed programs in a layout that is about to be added to, if there is one.
    pub(crate) fn clean_target(&self, path: &Path, options: &WriteOptions) {
        if let Ok(layout) = Layout::open(path) {
            clean(&self.as_asked(layout.with_write_options(options.clone())));
        }
    }

    /// Returns the options of all work of the command: a signal ends it.
    pub(crate) fn options(&self) -> WriteOptions {
        WriteOptions::default().interrupt(self.interrupt.clone())
    }

    /// Returns how a layout is to be written.
    pub(crate) fn write_options(&self, path: &Path, args: &WriteArgs) -> WriteOptions {
        let mut options = self.options().no_sync(args.no_sync);
        options.lock_timeout = args.lock_timeout;
        options.lock_observer(self.lock_observer(path, true)).leftover_observer(self.leftover_observer())
    }

    fn leftover_observer(&self) -> LeftoverObserver {
        let (ui, told) = (self.ui.clone(), Mutex::new(HashSet::new()));
        LeftoverObserver::new(move |path, error| {
            // A command that takes the lock twice meets it twice.
            if told.lock().expect("nobody panics with the lock").insert(path.to_owned()) {
                let path = printable(&path.to_string_lossy());
                ui.detail(&format!("Could not delete leftover {path}: {error}"));
            }
        })
    }

    pub(crate) fn lock_observer(&self, path: &Path, is_writer: bool) -> LockObserver {
        let (ui, path) = (self.ui.clone(), printable(&path.to_string_lossy()));
        let is_told = AtomicBool::new(false);
        LockObserver::new(move |event| match event {
            // Several threads may wait.
            LockEvent::Waiting if is_told.swap(true, Ordering::Relaxed) => {}
            LockEvent::Waiting => ui.note(&format!("Waiting for another process that is changing {path}...")),
            LockEvent::Unavailable if is_writer => ui.warn_at_the_end(format!(
                "cannot lock {path} on this file system: a concurrent command could undo this change"
            )),
            _ => {}
        })
    }

    /// Opens a layout that is read, perhaps beside others: the counters of the first are reported at the end.
    pub(crate) fn open_beside(&self, path: &Path) -> anyhow::Result<Layout> {
        let layout = self.as_asked(self.read_only(Layout::open(path)?));
        self.layout.get_or_init(|| layout.clone());
        Ok(layout)
    }

    /// Keeps a layout that is only read.
    pub(crate) fn opened(&self, layout: Layout) -> &Layout {
        self.keep(self.read_only(layout))
    }

    pub(crate) fn read_only(&self, layout: Layout) -> Layout {
        let lock_observer = self.lock_observer(layout.path(), false);
        layout.with_write_options(self.options().lock_observer(lock_observer))
    }

    /// Keeps the layout, whose counters are reported at the end.
    pub(crate) fn keep(&self, layout: Layout) -> &Layout {
        self.layout.get_or_init(|| self.as_asked(layout))
    }

    /// Returns the counters that are reported at the end.
    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        let kept = self.layout.get().map(Layout::shared_metrics);
        kept.unwrap_or_else(|| Arc::clone(self.metrics.get_or_init(Arc::default)))
    }

    /// Returns a layout with the flags that all commands have.
    pub(crate) fn as_asked(&self, layout: Layout) -> Layout {
        if self.shares_blobs { layout.with_shared_blobs() } else { layout }
    }
}

/// Runs a command, with telemetry around it.
pub(crate) fn execute(command: impl LayoutCommand, invocation: &Invocation) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::default();
    signals::watch(interrupt.clone()).map_err(|error| anyhow::anyhow!("failed to watch for signals: {error}"))?;
    let Invocation { name, global, base } = invocation;
    let telemetry = Telemetry::start(name, base.telemetry.clone(), global.log_file.as_deref())?;
    let command_name = name.strip_prefix("layout ").unwrap_or(name).to_owned();
    if let Some(template) = &base.template {
        if global.quiet {
            return Err(Usage("--template cannot be used with --quiet".to_owned()).into());
        }
        template.check(&command_name)?;
    }
    let context = Context {
        ui: Ui::new(&command_name, global, base.json, base.template.clone(), Style::of_stdout(base.no_trunc)),
        command: command_name,
        shares_blobs: base.shared_blobs,
        layout: OnceCell::new(),
        metrics: OnceCell::new(),
        #[cfg(feature = "remote")]
        insecure: global.insecure,
        #[cfg(feature = "remote")]
        calls: telemetry.call_printer(),
        interrupt,
    };
    let result = command.run(&context);
    telemetry.finish(context.layout.get().map(Layout::metrics).or(context.metrics.get().map(Arc::as_ref)));
    result
}
