//! The commands on a layout: their tree, and the one place that chooses between them.

mod add;
mod annotate;
mod archive_format;
mod attach;
mod blob;
mod build;
mod build_platform;
mod cat;
mod catalog;
mod config;
mod config_info;
mod config_output;
mod diff;
mod diff_output;
mod edit;
mod export;
mod export_output;
mod export_rootfs;
mod extract;
mod files;
mod files_mtree;
mod files_output;
mod findings;
mod gc;
mod generate;
mod image_output;
mod image_source;
mod import;
mod index;
mod index_images;
mod init;
mod inspect;
mod join;
mod kept_output;
mod layer_output;
mod lint;
mod ls;
mod manifest;
mod manifest_output;
mod move_;
mod place;
#[cfg(feature = "remote")]
mod pull;
#[cfg(feature = "remote")]
mod push;
mod rebase;
mod recompress;
mod referrer;
mod remove;
mod reset;
mod rewrite_args;
mod set_times;
mod show;
mod source;
mod squash;
mod status;
mod strip;
mod tag;
mod tally_output;
mod tree;
mod tree_json;
mod unpack;
mod unpack_output;
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
use config::Config;
use generate::Generate;
use index::Index;
use manifest::Manifest;
use move_::Move;
use referrer::Referrer;
use remove::Remove;
use tag::Tag;
use update::Update;

/// Create and manage OCI image layouts
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Example:\n  regshape init ./my-image\n  regshape add layer ./my-image --file ./rootfs.tar\n  regshape generate config ./my-image\n  regshape generate manifest ./my-image --ref-name latest"
)]
pub(crate) struct Group {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "a process makes one")]
enum Command {
    Init(init::Args),
    Build(build::Args),
    Attach(attach::Args),
    /// Add layers, or the image to build on
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape add layer ./my-image --file ./rootfs.tar"
    )]
    Add(Add),
    /// Annotate staged layers and the manifest
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape annotate layer ./my-image --index 0 --annotation com.example.role=base"
    )]
    Annotate(Annotate),
    /// Generate the config and the manifest of an image, or an index
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape generate config ./my-image --architecture arm64"
    )]
    Generate(Generate),
    /// Change the generated config
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape update config ./my-image --architecture arm64"
    )]
    Update(Update),
    Status(status::Args),
    Show(show::Args),
    Ls(ls::Args),
    Validate(validate::Args),
    Lint(lint::Args),
    Files(files::Args),
    Cat(cat::Args),
    Extract(extract::Args),
    Unpack(unpack::Args),
    Diff(diff::Args),
    /// List repositories
    #[command(subcommand, arg_required_else_help = true, after_help = "Example:\n  regshape catalog list ./my-layout")]
    Catalog(Catalog),
    /// List, add, rename and delete tags
    #[command(subcommand, arg_required_else_help = true, after_help = "Example:\n  regshape tag list ./my-image")]
    Tag(Tag),
    /// Read, store and delete manifests and indexes
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape manifest get ./my-image:latest"
    )]
    Manifest(Manifest),
    /// Show the configs of images
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape config get -p ./my-image:latest Entrypoint"
    )]
    Config(Config),
    /// Read, store and delete blobs
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape blob upload ./my-image --file ./sbom.json"
    )]
    Blob(Blob),
    /// List referrers of a manifest, and write their files
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape referrer list ./my-image:latest"
    )]
    Referrer(Referrer),
    /// Remove layers
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape remove layer ./my-image:latest --index 2"
    )]
    Remove(Remove),
    /// Change the order of layers
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape move layer ./my-image:latest --index 2 --to 0"
    )]
    Move(Move),
    /// Change which images an index has, and its annotations
    #[command(
        subcommand,
        arg_required_else_help = true,
        after_help = "Example:\n  regshape index add -p ./my-layout:v1 arm64"
    )]
    Index(Index),
    Squash(squash::Args),
    Rebase(rebase::Args),
    Recompress(recompress::Args),
    Strip(strip::Args),
    SetTimes(set_times::Args),
    Reset(reset::Args),
    Gc(gc::Args),
    Join(join::Args),
    Export(export::Args),
    Import(import::Args),
    #[cfg(feature = "remote")]
    Push(push::Args),
    #[cfg(feature = "remote")]
    Pull(pull::Args),
    Inspect(inspect::Args),
}

impl Group {
    /// Returns whether this is one of the ten commands of the command reference, which fail with status 1.
    pub(crate) fn is_of_the_reference(&self) -> bool {
        use Command::{Annotate, Init, Show, Status, Update, Validate};
        match &self.command {
            Command::Add(add) => add.is_of_the_reference(),
            Command::Generate(generate) => generate.is_of_the_reference(),
            command => {
                matches!(command, Init(_) | Annotate(_) | Update(_) | Status(_) | Show(_) | Validate(_))
            }
        }
    }

    /// Returns whether this command compares: its status 1 says that things differ, and is that of no error.
    pub(crate) fn is_comparison(&self) -> bool {
        matches!(self.command, Command::Diff(_))
    }

    /// Runs the command that was chosen.
    pub(crate) fn run(self, invocation: &Invocation) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Init(args) => execute(args, invocation),
            Command::Build(args) => execute(args, invocation),
            Command::Attach(args) => execute(args, invocation),
            Command::Add(command) => command.run(invocation),
            Command::Annotate(command) => command.run(invocation),
            Command::Generate(command) => command.run(invocation),
            Command::Update(command) => command.run(invocation),
            Command::Status(args) => execute(args, invocation),
            Command::Show(args) => execute(args, invocation),
            Command::Ls(args) => execute(args, invocation),
            Command::Validate(args) => execute(args, invocation),
            Command::Lint(args) => execute(args, invocation),
            Command::Files(args) => execute(args, invocation),
            Command::Cat(args) => execute(args, invocation),
            Command::Extract(args) => execute(args, invocation),
            Command::Unpack(args) => execute(args, invocation),
            Command::Diff(args) => execute(args, invocation),
            Command::Remove(command) => command.run(invocation),
            Command::Move(command) => command.run(invocation),
            Command::Index(command) => command.run(invocation),
            Command::Squash(args) => execute(args, invocation),
            Command::Rebase(args) => execute(args, invocation),
            Command::Recompress(args) => execute(args, invocation),
            Command::Strip(args) => execute(args, invocation),
            Command::SetTimes(args) => execute(args, invocation),
            Command::Reset(args) => execute(args, invocation),
            Command::Gc(args) => execute(args, invocation),
            Command::Join(args) => execute(args, invocation),
            Command::Export(args) => execute(args, invocation),
            Command::Import(args) => execute(args, invocation),
            #[cfg(feature = "remote")]
            Command::Push(args) => execute(args, invocation),
            #[cfg(feature = "remote")]
            Command::Pull(args) => execute(args, invocation),
            Command::Inspect(args) => execute(args, invocation),
            Command::Catalog(command) => command.run(invocation).map_err(with_code),
            Command::Tag(command) => command.run(invocation).map_err(with_code),
            Command::Manifest(command) => command.run(invocation).map_err(with_code),
            Command::Config(command) => command.run(invocation).map_err(with_code),
            Command::Blob(command) => command.run(invocation).map_err(with_code),
            Command::Referrer(command) => command.run(invocation).map_err(with_code),
        }
    }
}
