//! Looks for faults of an image that a validation does not know: why a container may not start, secrets, entries of
//! layers that do not do what they seem to, referrers of images that are gone.
//!
//! Each layer is read once, the lowest first.

use super::hidden_links::hidden_link;
use super::lint_report::{LintOptions, LintReport};
use super::report::Report;
use super::secrets::{Secrets, escaped};
use crate::error::{Error, Reason, Result};
use crate::graph::finding::Finding;
use crate::graph::severity::{FaultKind, Severity};
use crate::graph::stale::stale_referrers;
use crate::oci::{Digest, UnknownFields, from_json};
use crate::rootfs::{Effect, ImageFiles, MergedTree, StartFault, sole_image, start_faults};
use crate::tally::Tally;
use crate::view::index_view::View;

/// The work with the layers.
struct Work<'a> {
    manifest: &'a Digest,
    layers: &'a [Digest],
    secrets: Secrets,
    /// The findings about each layer.
    effects: Vec<(u32, FaultKind, Finding)>,
}

impl View {
    /// Looks for faults of the image that the view has.
    ///
    /// # Errors
    ///
    /// [`FilesError::NoImage`](crate::FilesError::NoImage), [`FilesError::SeveralImages`](crate::FilesError::SeveralImages);
    /// [`FilesError::DiffIds`](crate::FilesError::DiffIds); [`Error::MalformedDocument`]; those of reading a layer:
    /// [`LayerError`](crate::LayerError), [`Error::MissingBlob`], [`Error::DigestMismatch`]; [`Error::Io`].
    pub fn lint(&self, options: &LintOptions<'_>) -> Result<LintReport> {
        let image = sole_image(self)?;
        let config: UnknownFields = from_json(&image.config).map_err(|error| Error::MalformedDocument {
            digest: image.config_digest.clone(),
            kind: "image config",
            reason: Reason::from(error),
        })?;
        let (manifest, platform) = (image.manifest_digest.clone(), image.platform.clone());
        let mut files = ImageFiles::of_image(self, image, options.bounds)?;
        let layers: Vec<Digest> = files.layers().cloned().collect();
        let mut work = Work { manifest: &manifest, layers: &layers, secrets: Secrets::default(), effects: Vec::new() };
        let tree = files.examine(
            options.progress,
            &mut work,
            |work, file, content| work.secrets.look_at(file, content),
            Work::end_layer,
        )?;
        let Work { secrets, effects, .. } = work;
        let location = |layer| location(layer, &manifest);
        // By layers, the secrets of each first.
        let mut of_layers = secrets.findings(&tree, &layers, location);
        of_layers.extend(effects);
        of_layers.sort_by_key(|(layer, _, _)| *layer);
        let mut found = start_findings(&tree, &config, &manifest);
        found.extend(of_layers.into_iter().map(|(_, kind, finding)| (kind, finding)));
        let whole = options.listed_in.unwrap_or(self);
        let stale = stale_referrers(whole, options.part.unwrap_or(self).index(), whole.index());
        found.extend(stale.into_iter().map(|finding| (FaultKind::StaleReferrer, finding)));
        let checked = Tally { count: layers.len() as u64, bytes: files.size() };
        let mut report = Report { checked, ..Report::default() };
        for (kind, finding) in found {
            match kind.severity() {
                Severity::Error => report.errors.push(finding),
                Severity::Warning => report.warnings.push(finding),
            }
        }
        Ok(LintReport { manifest, platform, report })
    }
}

impl Work<'_> {
    fn end_layer(&mut self, layer: u32, effect: Effect, tree: &MergedTree) {
        self.secrets.hide(layer, tree);
        let location = location(layer, self.manifest);
        let name = format!("layer {layer} ({})", self.layers[layer as usize]);
        let links = effect.hidden_links.iter().map(|(path, below)| {
            (layer, FaultKind::HiddenLink, hidden_link(&name, &location, &path.join(&b'/'), *below as usize))
        });
        self.effects.extend(links);
        let whiteouts = effect.stray.iter().map(|path| {
            let text = format!("{name}: the whiteout of '{}' deletes nothing; no lower layer has it", escaped(path));
            (layer, FaultKind::StrayWhiteout, Finding::new(text, &location))
        });
        self.effects.extend(whiteouts);
    }
}

/// Returns the location of a finding about a layer.
fn location(layer: u32, manifest: &Digest) -> String {
    format!("layer[{layer}] in manifest {manifest}")
}

fn start_findings(tree: &MergedTree, config: &UnknownFields, manifest: &Digest) -> Vec<(FaultKind, Finding)> {
    let finding = |fault: &StartFault| Finding::new(fault.to_string(), format!("config in manifest {manifest}"));
    start_faults(tree, config).iter().map(|fault| (kind_of(fault), finding(fault))).collect()
}

fn kind_of(fault: &StartFault) -> FaultKind {
    match fault {
        StartFault::NoCommand => FaultKind::NoCommand,
        StartFault::NoProgram(_) => FaultKind::NoProgram,
        StartFault::NotExecutable(_) => FaultKind::NotExecutable,
        StartFault::UnknownFormat(_) => FaultKind::UnknownFormat,
        StartFault::OtherMachine { found, architecture, .. } => match (*found, architecture.as_str()) {
            (Some("386"), "amd64") | (Some("arm"), "arm64") => FaultKind::OlderMachine,
            _ => FaultKind::OtherMachine,
        },
        StartFault::NoDirectory(_) => FaultKind::NoWorkingDirectory,
        StartFault::NotADirectory(_) => FaultKind::WorkingDirectoryIsFile,
        StartFault::UnknownUser(_) | StartFault::UnknownGroup(_) => FaultKind::UnknownUser,
    }
}
