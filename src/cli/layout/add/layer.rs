//! `layout add layer`

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use regshape::Error;
use regshape::build::copy::CopyPlan;
use regshape::build::edit::{add_layers, layers_to_edit};
use regshape::build::{AddedLayer, LayerInput, LayerOptions, LayerPlan, Treatment};
use regshape::compress::Encoding;
use regshape::metrics::Progress;
use regshape::oci::MediaType;
use regshape::rootfs::Stack;

use super::changes::DiffArgs;
use super::target::{TRIES, Target, note_of_history, staged, tell};
use crate::cli::args::{AnnotationArgs, BoundsArgs, Common, WriteArgs, YesArg};
use crate::cli::compression_args::{ChosenCompression, CompressionArgs};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layer_args::{LayerArgs, SourceArgs, history_of};
use crate::cli::layout::edit::EditArgs;
use crate::cli::output::printable;
use crate::cli::prompt::Prompt;
use crate::cli::time::source_seconds;

/// Add a layer to an image, or stage it for the manifest
///
/// DIR:TAG adds it on top of an image that is there, for each platform of an index; DIR alone stages it.
///
/// With --copy, makes the layer of files and directories: one entry a path, owner 0:0, and the time SOURCE_DATE_EPOCH or 0.
/// SRC is a file or directory; without DST the content of a directory goes to /, and a file to /NAME. A DST with / at its end
/// is a directory. A list of keys gives a source attributes of its own: src=…,dst=…,owner=…,chmod=…,mtime=…,exclude=…,include=…
/// With --mtree, the entries of an mtree(5) file are copied too, with the attributes that it has for them.
///
/// With --diff-from and --to, makes the layer of the changes from an image, or a directory, to a directory: changed files, and whiteouts of files that are gone.
/// Owners, modes and times are those on disk.
///
/// With --file, detects the file type from its content. Stores tars that are compressed with gzip or zstd as they are. Stores plain tars, and
/// tars that are compressed with xz or bzip2, compressed with --compress-format. Never changes FILE.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("annotation", |annotation| annotation.hide_short_help(true)),
    mut_arg("tag", |tag| tag.hide_short_help(true)),
    mut_arg("platforms", |platforms| platforms.hide_short_help(true)),
    group = clap::ArgGroup::new("input").args(["file", "copy", "mtree", "diff_from"]).required(true).multiple(true),
    after_help = "Example:\n  regshape add layer ./my-image --copy ./app:/usr/bin/app",
    after_long_help = "Examples:\n  regshape add layer ./my-image --copy ./app:/usr/bin/app\n  regshape add layer ./my-image --copy ./site:/srv/www --owner 33 --exclude '**/*.bak'\n  regshape add layer ./my-image --file ./layer.tar.gz\n  regshape add layer ./my-image:latest --diff-from ./my-image:latest --to ./rootfs --state ./rootfs.json\n  tar -C rootfs -c . | regshape add layer ./my-image --file -"
)]
pub(crate) struct Args {
    #[command(flatten)]
    common: Common,
    /// Layer file or pipe; - for standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "files")]
    file: Option<PathBuf>,
    #[command(flatten)]
    sources: SourceArgs,
    #[command(flatten)]
    diff: DiffArgs,
    #[command(flatten)]
    compression: CompressionArgs,
    /// Threads that compress [default: one a core]
    ///
    /// The bytes of the layer do not depend on it.
    #[arg(long, value_name = "N", hide_short_help = true)]
    jobs: Option<NonZeroUsize>,
    /// Media type [default: by content]
    #[arg(long, value_name = "TYPE", hide_short_help = true)]
    media_type: Option<String>,
    #[command(flatten)]
    annotations: AnnotationArgs,
    #[command(flatten)]
    layer: LayerArgs,
    #[command(flatten)]
    bounds: BoundsArgs,
    #[command(flatten)]
    yes: YesArg,
    #[command(flatten)]
    edit: EditArgs,
    #[command(flatten)]
    write: WriteArgs,
}

impl LayoutCommand for Args {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let path = self.common.path()?;
        let image = context.image_to_edit(&path, &self.write)?;
        let image = image.map(|image| Ok::<_, anyhow::Error>((image, self.edit.options()?))).transpose()?;
        let layout = match &image {
            Some((image, _)) => image.layout.clone(),
            None => context.stage_to_edit(&path, &self.write, &self.edit)?.layout,
        };
        let target = Target { context, layout: &layout, image };
        let given = self.media_type.as_deref().map(str::parse::<MediaType>).transpose()?;
        let input = self.file.as_deref().map(open).transpose()?;
        let ChosenCompression { compression, scope } = self.compression.compression()?;
        let mut options = LayerOptions::default().compression(compression).scope(scope).bounds(self.bounds.bounds());
        options.annotations = self.annotations.annotations();
        (options.jobs, options.media_type) = (self.jobs, given);
        options.created_by = self.layer.created_by.clone();
        match (input, &self.file) {
            (Some(input), Some(file)) => add_file(&target, file, input, &options, self.yes.yes),
            _ if self.diff.diff_from.is_some() => self.diff.add(&target, &self.layer, options),
            _ => add_copies(&target, &self.sources, &self.layer, options),
        }
    }
}

/// Adds a file as a layer.
fn add_file(
    target: &Target<'_>,
    file: &Path,
    input: LayerInput,
    options: &LayerOptions,
    yes: bool,
) -> anyhow::Result<ExitCode> {
    let Target { context, layout, image } = target;
    let mut prepared = layout.prepare_layer(input, options)?;
    if let Some(note) = note(prepared.input(), prepared.plan()) {
        context.ui.note(&note);
    }
    if options.media_type.is_none() {
        let prompt = Prompt::new(&context.ui, yes);
        let check = |typed: &MediaType| prepared.plan_as(typed.clone()).map(drop).map_err(|error| error.to_string());
        let media_type = confirm(&prompt, file, &prepared.plan().media_type, check)?;
        let plan = prepared.plan_as(media_type)?;
        prepared = prepared.with_plan(plan);
    }
    let name = printable(&file.to_string_lossy());
    let plan = prepared.plan();
    let doubt =
        plan.is_doubtful.then(|| format!("{name} does not look like a tar, but its media type is {}", plan.media_type));
    let progress = context.ui.progress("Adding", file, prepared.input().size());
    let advance = |bytes| progress.advance(bytes);
    let prepared = prepared.with_progress(&advance);
    let added = match image {
        None => prepared.stage().map(|added| (added, None)),
        Some((image, options)) => prepared.store().and_then(|layer| {
            let added = layer.added().clone();
            Ok((added, Some(add_layers(layout, &image.reference, vec![layer], options)?)))
        }),
    };
    drop(progress);
    let added = added.map_err(|error| match image {
        Some((image, _)) => image.advise(error),
        None => error.into(),
    });
    let (AddedLayer { layer, warnings, looks_like_images, .. }, edited) = added?;
    let images =
        looks_like_images.then(|| format!("{name} looks like an image archive; 'layout import' adds its images"));
    let found = warnings.iter().map(|finding| printable(finding.message()));
    let warnings: Vec<_> = doubt.into_iter().chain(images).chain(found).collect();
    let first = warnings.first().cloned();
    if let (Some(edited), Some((image, edit))) = (edited, image) {
        note_of_history(context, &edited, options.created_by.is_some());
        return image.report(context, edit, &edited, warnings);
    }
    warnings.into_iter().for_each(|warning| context.ui.warn_at_the_end(warning));
    context.ui.result(&staged(layer, first))?;
    Ok(ExitCode::SUCCESS)
}

/// Adds files and directories as a layer.
fn add_copies(
    target: &Target<'_>,
    sources: &SourceArgs,
    flags: &LayerArgs,
    mut options: LayerOptions,
) -> anyhow::Result<ExitCode> {
    let Target { context, layout, image } = target;
    let sources = sources.sources()?;
    target.expect_other_than_windows()?;
    let history = history_of(&sources);
    let first = sources.first().map(|source| source.path.clone()).unwrap_or_default();
    let source_date = source_seconds()?.unwrap_or(0).cast_signed();
    let copies = flags.options(sources, source_date)?.outputs(vec![layout.path().to_owned()]);
    options.created_by.get_or_insert(history);
    let store = |below: &Stack| {
        let plan = CopyPlan::on(&copies, below)?;
        let progress = context.ui.progress("Adding", &first, Some(plan.size()));
        let advance = |bytes| progress.advance(bytes);
        plan.store(layout, &options, Progress::new(&advance))
    };
    if let Some((image, edit)) = image {
        let made = again_if_changed(|| {
            let (mut layers, mut notes) = (Vec::new(), Vec::new());
            for below in layers_to_edit(layout, &image.reference, edit)? {
                let (layer, of_layer) = store(&Stack::of_layers(layout, &below, options.bounds)?)?;
                layers.push(layer.only_on(below));
                notes.extend(of_layer.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
            }
            Ok((add_layers(layout, &image.reference, layers, edit)?, notes))
        });
        let (edited, notes) = made.map_err(|error| image.advise(error))?;
        note_of_history(context, &edited, flags.created_by.is_some());
        return image.report(context, edit, &edited, tell(context, &notes));
    }
    let (added, notes) = again_if_changed(|| {
        let (layer, notes) = store(&Stack::of_staged(layout, options.bounds)?)?;
        Ok((layer.stage(layout)?, notes))
    })?;
    let warnings = tell(context, &notes);
    let first = warnings.first().cloned();
    warnings.into_iter().for_each(|warning| context.ui.warn_at_the_end(warning));
    context.ui.result(&staged(added.layer, first))?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a layer again that was made for other layers than those that are below it by then.
fn again_if_changed<T>(make: impl Fn() -> regshape::Result<T>) -> regshape::Result<T> {
    let mut made = make();
    for _ in 1..TRIES {
        if !matches!(made, Err(Error::Changed { .. })) {
            break;
        }
        made = make();
    }
    made
}

fn open(file: &Path) -> anyhow::Result<LayerInput> {
    if file != Path::new("-") {
        return Ok(LayerInput::open(file)?);
    }
    anyhow::ensure!(!io::stdin().is_terminal(), "standard input is a terminal; pipe a layer into it");
    Ok(LayerInput::from_reader("-", io::stdin())?)
}

/// Returns the note about a layer that is stored in another form.
fn note(input: &LayerInput, plan: &LayerPlan) -> Option<String> {
    match plan.treatment {
        Treatment::Compress(compression) if input.encoding() == Encoding::Identity => Some(format!(
            "Input file is not compressed. Compressing with {}...",
            compression.format().encoding().name()
        )),
        Treatment::Compress(compression) => Some(format!(
            "Input file is compressed with {} and is not a tar. Compressing it as it is with {}...",
            input.encoding().name(),
            compression.format().encoding().name()
        )),
        Treatment::Recompress(compression) => Some(format!(
            "Input file is compressed with {}. Recompressing with {}...",
            input.encoding().name(),
            compression.format().encoding().name()
        )),
        Treatment::Decompress => {
            Some(format!("Input file is compressed with {}. Decompressing...", input.encoding().name()))
        }
        _ => None,
    }
}

fn confirm(
    prompt: &Prompt<'_>,
    file: &Path,
    proposed: &MediaType,
    check: impl Fn(&MediaType) -> Result<(), String>,
) -> anyhow::Result<MediaType> {
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    let introduction = format!("Detected media type for {}:\n  {proposed}", printable(&name));
    let note = format!("Using media type {proposed}; --media-type sets another");
    if prompt.accept(&introduction, &note)? {
        Ok(proposed.clone())
    } else {
        prompt.required("Enter media type", "media type", "--media-type", check)
    }
}
