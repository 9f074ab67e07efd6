//! Turns the outcomes of a validation into a report. Comparisons between documents and blobs are made here, after all
//! documents have been read.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use super::follow::Validation;
use super::hidden_links::{HiddenLink, find_hidden_links, hidden_link};
use super::reference::{Image, Outcome};
use super::schema::{Config, Platform};
use super::verify::{Job, Verified};
use crate::check::report::{MissingParts, Report, ValidateOptions};
use crate::compress::Encoding;
use crate::error::words::counted;
use crate::graph::finding::Finding;
use crate::graph::severity::{FaultKind, Severity};
use crate::layout::handle::Layout;
use crate::layout::unreferenced::find_stray;
use crate::oci::{Digest, LayerEncoding, MediaType};

impl Validation<'_> {
    /// Returns an image and its config, if the config was read.
    fn config(&self, manifest: &Digest) -> Option<(&Image, &Config)> {
        let image = self.images.get(manifest)?;
        Some((image, self.configs.get(image.config.as_ref()?)?))
    }

    /// Returns the diff_id of a layer, if the config has as many diff_ids as the manifest has layers.
    fn diff_id(&self, manifest: &Digest, at: usize) -> Option<&Digest> {
        let (image, config) = self.config(manifest)?;
        let diff_ids = config.diff_ids.as_ref().filter(|diff_ids| diff_ids.len() == image.layers)?;
        diff_ids.get(at)?.as_ref()
    }

    /// Returns the blobs to verify.
    pub(crate) fn jobs(&self) -> Vec<Job> {
        let mut layers: HashMap<&Digest, Vec<_>> = HashMap::new();
        for outcome in &self.outcomes {
            if let Outcome::Layer { digest, manifest, at, .. } = outcome {
                let algorithms = layers.entry(digest).or_default();
                let algorithm = self.diff_id(manifest, *at).and_then(Digest::algorithm);
                algorithms.extend(algorithm.filter(|algorithm| !algorithms.contains(algorithm)));
            }
        }
        let job = |digest: &Digest| Job {
            digest: digest.clone(),
            size: self.sizes.get(digest).copied().unwrap_or_default(),
            look_into: layers.get(digest).cloned(),
        };
        self.leaves.iter().map(job).collect()
    }

    /// Builds the report, in the order of the documents. Each finding is reported once per location.
    pub(crate) fn report(
        mut self,
        layout: &Layout,
        verified: &HashMap<Digest, Verified>,
        options: ValidateOptions<'_>,
    ) -> Report {
        let mut report = Report { checked: self.checked, ..Report::default() };
        // Two hashes per finding: keeping the messages would double the memory.
        let (keys, mut said) = ([RandomState::new(), RandomState::new()], HashSet::new());
        let outcomes = std::mem::take(&mut self.outcomes);
        let mut hidden = hidden_links(layout, &outcomes, verified, options);
        let resolved = outcomes.into_iter().flat_map(|outcome| {
            let hidden = match &outcome {
                Outcome::Layer { manifest, at, .. } => hidden.remove(&(manifest.clone(), *at)).unwrap_or_default(),
                _ => Vec::new(),
            };
            self.resolve(outcome, verified).into_iter().chain(hidden)
        });
        for (kind, finding) in resolved.chain(self.stray(layout)) {
            let findings = match kind.severity() {
                Severity::Error => &mut report.errors,
                Severity::Warning => &mut report.warnings,
            };
            let words = (finding.message(), finding.reason(), finding.location());
            if said.insert([keys[0].hash_one(words), keys[1].hash_one(words)]) {
                findings.push(finding);
            }
        }
        report
    }

    /// Returns the first error. Missing and unreadable blobs count only with [`MissingParts::Error`].
    pub(crate) fn first_error(mut self, missing: MissingParts) -> Option<Finding> {
        let outcomes = std::mem::take(&mut self.outcomes);
        let verified = HashMap::new();
        let mut found = outcomes.into_iter().flat_map(|outcome| self.resolve(outcome, &verified));
        let counts = |kind: FaultKind| match kind {
            FaultKind::MissingBlob | FaultKind::WrongSize | FaultKind::UnreadableBlob => missing == MissingParts::Error,
            kind => kind.is_error(),
        };
        found.find(|(kind, _)| counts(*kind)).map(|(_, finding)| finding)
    }

    /// Finds unreferenced blobs, if all documents could be read.
    fn stray(&self, layout: &Layout) -> Vec<(FaultKind, Finding)> {
        let mut referenced = self.referenced.clone();
        match layout.find_stage() {
            Ok(stage) => stage.into_iter().for_each(|stage| {
                referenced.extend(stage.layers.into_iter().map(|layer| layer.digest));
                referenced.extend(stage.config.map(|config| config.digest));
                referenced.extend(stage.manifest.map(|manifest| manifest.digest));
            }),
            // The staging file is not part of the image layout, but further build steps need it.
            Err(error) => return vec![(FaultKind::StagingFile, Finding::new(error.report(), "staging file"))],
        }
        if self.is_incomplete { Vec::new() } else { find_stray(layout, &referenced) }
    }

    /// Turns an outcome into findings.
    fn resolve(&self, outcome: Outcome, verified: &HashMap<Digest, Verified>) -> Vec<(FaultKind, Finding)> {
        match outcome {
            Outcome::Blob { digest, location } => {
                let error = verified.get(&digest).and_then(|verified| verified.error.as_ref());
                error.map(|error| (FaultKind::WrongDigest, Finding::of(error, &location))).into_iter().collect()
            }
            Outcome::Layer { digest, location, media_type, manifest, at } => {
                let Some(verified) = verified.get(&digest) else { return Vec::new() };
                compare_layer(verified, &location, &media_type, self.diff_id(&manifest, at))
            }
            Outcome::Platform { location, platform, manifest } => {
                let Some((_, config)) = self.config(&manifest) else { return Vec::new() };
                if !contradict(&platform, &config.platform) {
                    return Vec::new();
                }
                let (says, is) = (platform.to_string(), config.platform.to_string());
                let message = format!("{location}: platform is {says}, but the image's config says {is}");
                vec![(FaultKind::ContradictingPlatform, Finding::new(message, location))]
            }
            Outcome::LayerCount { manifest } => self.compare_counts(&manifest),
            Outcome::Found(kind, finding) => vec![(kind, finding)],
        }
    }

    /// Compares the number of diff_ids and of history entries that made a layer with the number of layers. Skips
    /// manifests with layers that are not tars.
    fn compare_counts(&self, manifest: &Digest) -> Vec<(FaultKind, Finding)> {
        let Some((image, config)) = self.config(manifest) else { return Vec::new() };
        if !image.has_known_layers {
            return Vec::new();
        }
        let layers = image.layers;
        let location = format!("config in manifest {manifest}");
        let differs = |count: &usize| *count != layers;
        let diff_ids = config.diff_ids.as_ref().map(Vec::len).filter(differs).map(|diff_ids| {
            let message = format!(
                "{location}: rootfs.diff_ids has {}, but the manifest has {}",
                counted(diff_ids, "entry"),
                counted(layers, "layer")
            );
            (FaultKind::LayerCount, Finding::new(message, &location))
        });
        let history = config.history.filter(differs).map(|history| {
            let message =
                format!("{location}: history tells of {}, but the manifest has {layers}", counted(history, "layer"));
            (FaultKind::HistoryLength, Finding::new(message, &location))
        });
        diff_ids.into_iter().chain(history).collect()
    }
}

/// Returns the findings about links that layers hide, by manifest and position of the layer.
fn hidden_links(
    layout: &Layout,
    outcomes: &[Outcome],
    verified: &HashMap<Digest, Verified>,
    options: ValidateOptions<'_>,
) -> HashMap<(Digest, usize), Vec<(FaultKind, Finding)>> {
    let mut manifests: Vec<(&Digest, Vec<(usize, &str)>)> = Vec::new();
    let mut images: Vec<Vec<Digest>> = Vec::new();
    for outcome in outcomes {
        let Outcome::Layer { digest, location, manifest, at, .. } = outcome else { continue };
        if manifests.last().is_none_or(|(last, _)| *last != manifest) {
            manifests.push((manifest, Vec::new()));
            images.push(Vec::new());
        }
        if let (Some((_, places)), Some(layers)) = (manifests.last_mut(), images.last_mut()) {
            places.push((*at, location));
            layers.push(digest.clone());
        }
    }
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    let hidden = find_hidden_links(layout, &images, verified, options);
    for ((manifest, places), hidden) in manifests.into_iter().zip(hidden) {
        for HiddenLink { layer, below, path } in hidden {
            let ((at, location), (below, _)) = (places[layer], places[below]);
            let findings = found.entry((manifest.clone(), at)).or_default();
            findings.push((FaultKind::HiddenLink, hidden_link(location, location, &path, below)));
        }
    }
    found
}

/// Compares the content of a layer with its media type and with the diff_id in the config.
fn compare_layer(
    verified: &Verified,
    location: &str,
    media_type: &MediaType,
    diff_id: Option<&Digest>,
) -> Vec<(FaultKind, Finding)> {
    let Some(layer) = &verified.layer else { return Vec::new() };
    let found = |kind: FaultKind, text: &str| (kind, Finding::new(format!("{location}: {text}"), location));
    let says = match media_type.layer_encoding() {
        None => return Vec::new(),
        Some(LayerEncoding::Tar) => Encoding::Identity,
        Some(LayerEncoding::Gzip) => Encoding::Gzip,
        Some(LayerEncoding::Zstd) => Encoding::Zstd,
    };
    let mut said = Vec::new();
    if layer.encoding != says {
        let text = format!("mediaType is {media_type}, but the blob is {}", layer.encoding.name());
        said.push(found(FaultKind::LayerEncoding, &text));
        // Uncompressed content may be in a format that is not detected.
        if layer.encoding == Encoding::Identity {
            return said;
        }
    }
    let content = match &layer.content {
        Ok(content) => content,
        Err(reason) => {
            said.push(found(FaultKind::UnsoundStream, reason));
            return said;
        }
    };
    if let Some(diff_id) = diff_id {
        match content.diff_ids.iter().find(|actual| actual.algorithm() == diff_id.algorithm()) {
            Some(actual) if actual != diff_id => {
                let text = format!("diff_id mismatch: the config says {diff_id}, the content has {actual}");
                let (kind, finding) = found(FaultKind::WrongDiffId, &text);
                said.push((kind, finding.mismatch(diff_id.clone(), actual.clone())));
            }
            Some(_) => {}
            None => {
                let text = format!("diff_id {diff_id} cannot be verified: its algorithm is not supported");
                said.push(found(FaultKind::UnknownAlgorithm, &text));
            }
        }
    }
    said.extend(content.tar.faults().map(|(fault, text)| found(FaultKind::Tar(fault), &text)));
    said
}

/// Returns whether two platforms differ in a field that both have.
fn contradict(one: &Platform, other: &Platform) -> bool {
    let differ =
        |one: &Option<String>, other: &Option<String>| matches!((one, other), (Some(one), Some(other)) if one != other);
    differ(&one.os, &other.os) || differ(&one.architecture, &other.architecture) || differ(&one.variant, &other.variant)
}
