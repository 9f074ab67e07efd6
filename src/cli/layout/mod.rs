//! The commands on a layout: their tree, and the one place that chooses between them.

mod add;
mod annotate;
mod archive_format;
mod blob;
mod catalog;
mod config_info;
mod config_output;
mod export;
mod export_output;
mod gc;
mod generate;
mod import;
mod init;
mod inspect;
mod join;
mod kept_output;
mod ls;
mod manifest;
mod manifest_output;
mod place;
mod referrer;
mod show;
mod source;
mod status;
mod tag;
mod tree;
mod update;
mod validate;
mod written_output;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::context::{Invocation, execute};
use super::error::with_code;
use add::Add;
use annotate::Annotate;
use blob::Blob;
use catalog::Catalog;
use generate::Generate;
use manifest::Manifest;
use referrer::Referrer;
use tag::Tag;
use update::Update;

/// Create and manage OCI image layouts on the local disk
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Example:\n  regshape layout init --path ./my-image\n  regshape layout add layer --path ./my-image --file ./rootfs.tar\n  regshape layout generate config --path ./my-image --architecture amd64 --os linux\n  regshape layout generate manifest --path ./my-image --ref-name latest"
)]
pub(crate) struct Group {
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
    Ls(ls::Args),
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

impl Group {
    /// Returns whether this is one of the ten commands of the command reference, which fail with status 1.
    pub(crate) fn is_of_the_reference(&self) -> bool {
        use Command::{Add, Annotate, Generate, Init, Show, Status, Update, Validate};
        matches!(
            self.command,
            Init(_) | Add(_) | Annotate(_) | Generate(_) | Update(_) | Status(_) | Show(_) | Validate(_)
        )
    }

    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Init(args) => execute(args, invocation),
            Command::Add(command) => command.run(invocation),
            Command::Annotate(command) => command.run(invocation),
            Command::Generate(command) => command.run(invocation),
            Command::Update(command) => command.run(invocation),
            Command::Status(args) => execute(args, invocation),
            Command::Show(args) => execute(args, invocation),
            Command::Ls(args) => execute(args, invocation),
            Command::Validate(args) => execute(args, invocation),
            Command::Gc(args) => execute(args, invocation),
            Command::Join(args) => execute(args, invocation),
            Command::Export(args) => execute(args, invocation),
            Command::Import(args) => execute(args, invocation),
            Command::Inspect(args) => execute(args, invocation),
            Command::Catalog(command) => command.run(invocation).map_err(with_code),
            Command::Tag(command) => command.run(invocation).map_err(with_code),
            Command::Manifest(command) => command.run(invocation).map_err(with_code),
            Command::Blob(command) => command.run(invocation).map_err(with_code),
            Command::Referrer(command) => command.run(invocation).map_err(with_code),
        }
    }
}
