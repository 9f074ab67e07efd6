//! `layout add layer`

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use regshape::build::copy::{CopyNote, CopyPlan};
use regshape::build::edit::{EditOptions, Edited, add_layers, layers_to_edit};
use regshape::build::{AddedLayer, LayerInput, LayerOptions, LayerPlan, Treatment};
use regshape::compress::Encoding;
use regshape::layout::{Layout, StagedLayer};
use regshape::oci::MediaType;
use regshape::rootfs::Stack;
use regshape::view::{ArchiveImage, Selection, View};
use regshape::{CopyError, Error};
use serde::Serialize;

use crate::cli::args::{AnnotationArgs, BoundsArgs, ChosenCompression, Common, CompressionArgs, WriteArgs, YesArg};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::layer_args::{LayerArgs, SourceArgs, history_of};
use crate::cli::layout::edit::{EditArgs, ImageToEdit};
use crate::cli::layout::generate::note_no_history;
use crate::cli::output::{Block, Screen, printable};
use crate::cli::prompt::Prompt;
use crate::cli::style::Style;
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
/// With --file, detects the file type from its content. Stores tars that are compressed with gzip or zstd as they are. Stores plain tars, and
/// tars that are compressed with xz or bzip2, compressed with --compress-format. Never changes FILE.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("annotation", |annotation| annotation.hide_short_help(true)),
    mut_arg("tag", |tag| tag.hide_short_help(true)),
    mut_arg("platforms", |platforms| platforms.hide_short_help(true)),
    group = clap::ArgGroup::new("input").args(["file", "copy", "mtree"]).required(true).multiple(true),
    after_help = "Example:\n  regshape add layer ./my-image --copy ./app:/usr/bin/app",
    after_long_help = "Examples:\n  regshape add layer ./my-image --copy ./app:/usr/bin/app\n  regshape add layer ./my-image --copy ./site:/srv/www --owner 33 --exclude '**/*.bak'\n  regshape add layer ./my-image --file ./layer.tar.gz\n  tar -C rootfs -c . | regshape add layer ./my-image --file -"
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

/// The image that a layer is for: a staged one, or one that is there.
struct Target<'a> {
    context: &'a Context,
    layout: &'a Layout,
    image: Option<(ImageToEdit, EditOptions)>,
}

impl Target<'_> {
    /// Checks that the image is not one for Windows, as far as it is known (images, rule A18).
    fn expect_other_than_windows(&self) -> regshape::Result<()> {
        let is_windows = match &self.image {
            None => {
                let base = self.layout.read_stage().ok().and_then(|stage| stage.base);
                base.and_then(|base| base.config.get::<String>("os").ok().flatten()).as_deref() == Some("windows")
            }
            Some((image, options)) => {
                let selection = Selection::default().references(vec![image.reference.clone()]);
                let selection = selection.platforms(options.platforms.clone()).no_attestations(true);
                let images =
                    View::of(self.layout.clone())?.selected(&selection).and_then(|chosen| chosen.view.images());
                let of_windows =
                    |image: ArchiveImage| image.platform.is_some_and(|of| of.os.as_deref() == Some("windows"));
                // Another error is told with the edit.
                images.is_ok_and(|images| images.into_iter().any(of_windows))
            }
        };
        if is_windows { Err(CopyError::Windows.into()) } else { Ok(()) }
    }
}

#[derive(Serialize)]
struct Staged {
    digest: String,
    size: u64,
    media_type: MediaType,
    annotations: regshape::oci::Annotations,
    diff_id: Option<String>,
    /// The first of the warnings, all of which are given to the `Ui`.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

impl Screen for Staged {
    fn quiet(&self) -> Option<String> {
        Some(self.digest.clone())
    }

    fn wraps(&self) -> bool {
        true
    }

    fn text(&self, _style: &Style) -> String {
        Block::new("Staged layer:", 6)
            .line("digest", &self.digest)
            .line("size", self.size)
            .line("type", &self.media_type)
            .finish()
    }
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

/// How often a layer is made for the layers below it, while other processes change these.
const TRIES: usize = 3;

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
        plan.store(layout, &options, Some(&advance))
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

/// Notes that a changed image gets no history.
fn note_of_history(context: &Context, edited: &Edited, has_created_by: bool) {
    if edited.lacks_history {
        note_no_history(context, "it has none", has_created_by);
    }
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

/// Shows the notes about a layer, and returns those that are warnings.
fn tell(context: &Context, notes: &[CopyNote]) -> Vec<String> {
    let (warnings, notes): (Vec<_>, Vec<_>) = notes.iter().partition(|note| matches!(note, CopyNote::Keyword { .. }));
    notes.iter().for_each(|note| context.ui.note(&format!("Note: {}", printable(&note.to_string()))));
    warnings.iter().map(|note| printable(&note.to_string())).collect()
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

fn staged(layer: StagedLayer, warning: Option<String>) -> Staged {
    Staged {
        digest: layer.digest.to_string(),
        size: layer.size,
        media_type: layer.media_type,
        annotations: layer.annotations,
        diff_id: layer.diff_id.map(|diff_id| diff_id.to_string()),
        warning,
    }
}
