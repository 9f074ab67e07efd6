//! The commands on a layout: their tree, and the one place that chooses between them.

mod add_layer;
mod annotate_layer;
mod annotate_manifest;
mod blob_delete;
mod blob_get;
mod blob_head;
mod blob_mount;
mod blob_screen;
mod blob_upload;
mod catalog_list;
mod config_screen;
mod export;
mod export_screen;
mod gc;
mod generate_config;
mod generate_manifest;
mod import;
mod init;
mod inspect;
mod join;
mod manifest_delete;
mod manifest_descriptor;
mod manifest_get;
mod manifest_info;
mod manifest_put;
mod manifest_screen;
mod referrer_list;
mod registry;
mod show;
mod show_tree;
mod source;
mod status;
mod tag_add;
mod tag_delete;
mod tag_list;
mod tag_move;
mod update_config;
mod validate;
mod written_screen;

use std::cell::OnceCell;
use std::collections::HashSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use clap::{Args, Subcommand};
use regshape::layout::{Layout, LeftoverObserver, LockEvent, LockObserver, WriteOptions};
use regshape::metrics::Metrics;

use super::Global;
use super::args::{Base, Common, WriteArgs};
use super::error::with_code;
use super::signals;
use super::telemetry::Telemetry;
use super::ui::{Ui, printable};

/// Create and manage OCI image layouts on the local disk
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Example:\n  regshape layout init --path ./my-image\n  regshape layout add layer --path ./my-image --file ./rootfs.tar\n  regshape layout generate config --path ./my-image --architecture amd64 --os linux\n  regshape layout generate manifest --path ./my-image --ref-name latest"
)]
pub(super) struct Group {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    /// Add content to a layout
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape layout add layer --path ./my-image --file ./rootfs.tar"
    )]
    Add(Add),
    /// Annotate what was added or generated
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape layout annotate layer --path ./my-image --index 0 --annotation com.example.role=base"
    )]
    Annotate(Annotate),
    /// Generate the documents of an image from what was added
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape layout generate config --path ./my-image --architecture amd64 --os linux"
    )]
    Generate(Generate),
    /// Change what was generated
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape layout update config --path ./my-image --architecture arm64"
    )]
    Update(Update),
    Status(status::Args),
    Show(show::Args),
    Validate(validate::Args),
    /// See which repositories a layout holds
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape layout catalog list --path ./my-layout"
    )]
    Catalog(Catalog),
    /// List, add, move and delete tags
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape layout tag list --path ./my-image"
    )]
    Tag(Tag),
    /// Read, store and delete manifests and indexes
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape layout manifest get --path ./my-image --ref latest"
    )]
    Manifest(Manifest),
    /// Read, store and delete blobs
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape layout blob upload --path ./my-image --file ./sbom.json"
    )]
    Blob(Blob),
    /// See what refers to a manifest
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape layout referrer list --path ./my-image --ref latest"
    )]
    Referrer(Referrer),
    Gc(gc::Args),
    Join(join::Args),
    Export(export::Args),
    Import(import::Args),
    Inspect(inspect::Args),
}

#[derive(Debug, Subcommand)]
enum Catalog {
    List(catalog_list::Args),
}

#[derive(Debug, Subcommand)]
enum Tag {
    List(tag_list::Args),
    Add(tag_add::Args),
    Move(tag_move::Args),
    Delete(tag_delete::Args),
}

#[derive(Debug, Subcommand)]
enum Manifest {
    Get(manifest_get::Args),
    Descriptor(manifest_descriptor::Args),
    Info(manifest_info::Args),
    Put(manifest_put::Args),
    Delete(manifest_delete::Args),
}

#[derive(Debug, Subcommand)]
enum Blob {
    Head(blob_head::Args),
    Get(blob_get::Args),
    Upload(blob_upload::Args),
    Mount(blob_mount::Args),
    Delete(blob_delete::Args),
}

#[derive(Debug, Subcommand)]
enum Referrer {
    List(referrer_list::Args),
}

#[derive(Debug, Subcommand)]
enum Add {
    Layer(add_layer::Args),
}

#[derive(Debug, Subcommand)]
enum Annotate {
    Layer(annotate_layer::Args),
    Manifest(annotate_manifest::Args),
}

#[derive(Debug, Subcommand)]
enum Generate {
    Config(generate_config::Args),
    Manifest(generate_manifest::Args),
}

#[derive(Debug, Subcommand)]
enum Update {
    Config(update_config::Args),
}

impl Group {
    /// Runs the command that was chosen.
    pub(super) fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Init(args) => execute(args, global),
            Command::Add(Add::Layer(args)) => execute(args, global),
            Command::Annotate(Annotate::Layer(args)) => execute(args, global),
            Command::Annotate(Annotate::Manifest(args)) => execute(args, global),
            Command::Generate(Generate::Config(args)) => execute(args, global),
            Command::Generate(Generate::Manifest(args)) => execute(args, global),
            Command::Update(Update::Config(args)) => execute(args, global),
            Command::Status(args) => execute(args, global),
            Command::Show(args) => execute(args, global),
            Command::Validate(args) => execute(args, global),
            Command::Gc(args) => execute(args, global),
            Command::Join(args) => execute(args, global),
            Command::Export(args) => execute(args, global),
            Command::Import(args) => execute(args, global),
            Command::Inspect(args) => execute(args, global),
            Command::Catalog(command) => command.run(global).map_err(with_code),
            Command::Tag(command) => command.run(global).map_err(with_code),
            Command::Manifest(command) => command.run(global).map_err(with_code),
            Command::Blob(command) => command.run(global).map_err(with_code),
            Command::Referrer(command) => command.run(global).map_err(with_code),
        }
    }
}

impl Catalog {
    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(args) => execute(args, global),
        }
    }
}

impl Tag {
    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(args) => execute(args, global),
            Self::Add(args) => execute(args, global),
            Self::Move(args) => execute(args, global),
            Self::Delete(args) => execute(args, global),
        }
    }
}

impl Manifest {
    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::Get(args) => execute(args, global),
            Self::Descriptor(args) => execute(args, global),
            Self::Info(args) => execute(args, global),
            Self::Put(args) => execute(args, global),
            Self::Delete(args) => execute(args, global),
        }
    }
}

impl Blob {
    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::Head(args) => execute(args, global),
            Self::Get(args) => execute(args, global),
            Self::Upload(args) => execute(args, global),
            Self::Mount(args) => execute(args, global),
            Self::Delete(args) => execute(args, global),
        }
    }
}

impl Referrer {
    fn run(self, global: &Global) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(args) => execute(args, global),
        }
    }
}

/// A command on a layout.
trait Leaf {
    /// The words that call it: the name of its scenario.
    const NAME: &'static str;

    /// Returns the arguments that every command has.
    fn base(&self) -> &Base;

    /// Does the work and writes the result.
    fn run(self, context: &Context) -> anyhow::Result<ExitCode>;
}

/// What a command works with.
struct Context {
    ui: Ui,
    shares_blobs: bool,
    layout: OnceCell<Layout>,
    /// The counters of work that is on no layout that is kept.
    metrics: OnceCell<Arc<Metrics>>,
}

impl Context {
    /// Opens the layout that the command works on.
    fn open(&self, path: &Path) -> anyhow::Result<&Layout> {
        Ok(self.opened(Layout::open(path)?))
    }

    /// Opens the layout that the command changes.
    fn open_to_write(&self, path: &Path, args: &WriteArgs) -> anyhow::Result<&Layout> {
        Ok(self.keep(Layout::open(path)?.with_write_options(self.write_options(path, args))))
    }

    /// Returns how a layout is to be written.
    fn write_options(&self, path: &Path, args: &WriteArgs) -> WriteOptions {
        WriteOptions {
            no_sync: args.no_sync,
            lock_timeout: args.lock_timeout,
            lock_observer: Some(self.lock_observer(path, true)),
            leftover_observer: Some(self.leftover_observer()),
        }
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

    fn lock_observer(&self, path: &Path, is_writer: bool) -> LockObserver {
        let (ui, path) = (self.ui.clone(), printable(&path.to_string_lossy()));
        LockObserver::new(move |event| match event {
            LockEvent::Waiting => ui.note(&format!("Waiting for another process that is changing {path}...")),
            LockEvent::Unavailable if is_writer => ui.warn_at_the_end(format!(
                "cannot lock {path} on this file system: another command at the same time could undo this change"
            )),
            _ => {}
        })
    }

    /// Opens a layout that is read, perhaps beside others: the counters of the first are told at the end.
    fn open_beside(&self, path: &Path) -> anyhow::Result<Layout> {
        let layout = self.as_asked(self.read_only(Layout::open(path)?));
        self.layout.get_or_init(|| layout.clone());
        Ok(layout)
    }

    /// Keeps a layout that is only read.
    fn opened(&self, layout: Layout) -> &Layout {
        self.keep(self.read_only(layout))
    }

    fn read_only(&self, layout: Layout) -> Layout {
        let lock_observer = Some(self.lock_observer(layout.path(), false));
        layout.with_write_options(WriteOptions { lock_observer, ..WriteOptions::default() })
    }

    /// Keeps the layout, whose counters are told at the end.
    fn keep(&self, layout: Layout) -> &Layout {
        self.layout.get_or_init(|| self.as_asked(layout))
    }

    /// Returns the counters that are told at the end.
    fn metrics(&self) -> Arc<Metrics> {
        let kept = self.layout.get().map(Layout::shared_metrics);
        kept.unwrap_or_else(|| Arc::clone(self.metrics.get_or_init(Arc::default)))
    }

    /// Returns a layout with the flags that all commands have.
    fn as_asked(&self, layout: Layout) -> Layout {
        if self.shares_blobs { layout.with_shared_blobs() } else { layout }
    }
}

/// Says in JSON that a manifest was generated which does not have a change.
const OUTDATED_MANIFEST: &str = "manifest already generated; re-run 'layout generate manifest'";

/// Says in text that a manifest was generated which does not have a change.
fn outdated_manifest(change: &str) -> String {
    format!("a manifest has already been generated. Re-run 'layout generate manifest'\nto reference {change}.")
}

fn execute(leaf: impl Leaf, global: &Global) -> anyhow::Result<ExitCode> {
    fn name<L: Leaf>(_: &L) -> &'static str {
        L::NAME
    }
    signals::watch().map_err(|error| anyhow::anyhow!("failed to watch for signals: {error}"))?;
    let base = leaf.base();
    let telemetry = Telemetry::start(name(&leaf), base.telemetry.clone(), global.log_file.as_deref())?;
    let context = Context {
        ui: Ui::new(global, base.json),
        shares_blobs: base.shared_blobs,
        layout: OnceCell::new(),
        metrics: OnceCell::new(),
    };
    let result = leaf.run(&context);
    telemetry.finish(context.layout.get().map(Layout::metrics).or(context.metrics.get().map(Arc::as_ref)));
    result
}
