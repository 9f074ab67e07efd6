//! The keys of each command's JSON, which a template may name.

/// Any other key: the result is a document with the fields that its writer chose.
const MORE: &str = "*";

const DESCRIPTOR: &[&str] = &["digest", "size", "media_type"];
const BLOB: &[&str] = &["digest", "size", "media_type", "status", "dry_run"];
const WRITTEN: &[&str] = &["digest", "size", "output"];
/// A staged layer, or the image that has a changed one.
const STAGED_OR_IMAGE: &[&str] = &[
    "digest",
    "size",
    "media_type",
    "diff_id",
    "index",
    "annotations.*",
    "warning",
    "ref_name",
    "images",
    "warnings",
    "lower_variants",
];
/// An index that was made or changed.
const EDITED: &[&str] = &["digest", "size", "media_type", "ref_name", "images", "warnings"];
/// An image whose layers were rewritten.
const REWRITTEN: &[&str] = &["digest", "size", "media_type", "ref_name", "images", "warnings", "lower_variants"];
const STAGED_MANIFEST: &[&str] = &["digest", "size", "media_type", "ref_name", "annotations.*"];
const EXPORTED: &[&str] = &[
    "output",
    "dry_run",
    "blobs.count",
    "blobs.bytes",
    "present.count",
    "present.bytes",
    "left_out.count",
    "left_out.bytes",
    "manifests",
    "unverified",
    "lower_variants",
];
/// Exported images, or the files of one.
const EXPORTED_OR_FILES: &[&str] = &[
    "output",
    "dry_run",
    "blobs.count",
    "blobs.bytes",
    "present.count",
    "present.bytes",
    "left_out.count",
    "left_out.bytes",
    "manifests",
    "unverified",
    "lower_variants",
    "digest",
    "entries",
    "bytes",
];
#[cfg(feature = "remote")]
const PUSHED: &[&str] = &[
    "layout_path",
    "destination",
    "manifests",
    "summary.manifests_pushed",
    "summary.blobs_uploaded",
    "summary.blobs_skipped",
    "summary.bytes_uploaded",
    "summary.bytes_total",
    "summary.requests",
    "summary.retries",
    "summary.seconds",
    "lower_variants",
];
#[cfg(feature = "remote")]
const PUSH_PLANNED: &[&str] = &["dry_run", "layout_path", "destination", "manifests", "lower_variants"];
#[cfg(feature = "remote")]
const PULLED: &[&str] = &[
    "source",
    "layout_path",
    "dry_run",
    "manifests",
    "summary.manifests_pulled",
    "summary.blobs_downloaded",
    "summary.blobs_skipped",
    "summary.bytes_downloaded",
    "summary.requests",
    "summary.retries",
    "summary.seconds",
    "lower_variants",
];
const DOCUMENT: &[&str] = &[
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config.*",
    "layers",
    "manifests",
    "subject.*",
    "annotations.*",
    MORE,
];

const CONFIG: &[&str] = &[
    "created",
    "author",
    "architecture",
    "os",
    "os.version",
    "os.features",
    "variant",
    "config.*",
    "rootfs.*",
    "history",
    MORE,
];

/// Returns the keys of a command, in the order of its JSON. One with `.*` at its end has keys of any name within.
pub(crate) fn keys_of(command: &str) -> &'static [&'static str] {
    match command {
        "init" => &["layout_path"],
        "add layer" | "annotate layer" => STAGED_OR_IMAGE,
        "generate manifest" => STAGED_MANIFEST,
        "annotate manifest" => &["digest", "size", "media_type", "ref_name", "annotations.*", "images", "warnings"],
        "generate config" => &["digest", "size", "media_type", "warning"],
        "update config" => {
            &["digest", "size", "media_type", "warning", "ref_name", "images", "warnings", "lower_variants"]
        }
        "status" => {
            &["schema_version", "layers", "config.*", "manifest.*", "unnamed_manifest", "generated", "base.*", MORE]
        }
        "show" | "manifest get" => DOCUMENT,
        "config get" => CONFIG,
        "files" => &["layers", "entries", "lower_variants"],
        "cat" => &["files", "lower_variants"],
        "diff" => &["equal", "config", "annotations", "layers", "files", "lower_variants"],
        "show --tree" => &[
            "layout_path",
            "roots",
            "totals.images",
            "totals.blobs",
            "totals.bytes",
            "totals.shared_bytes",
            "totals.missing",
            "unreferenced.blobs",
            "unreferenced.bytes",
        ],
        "ls" => &["name", "image_name", "kind", "platforms", "size", "created", "digest"],
        "validate" => &["valid", "layout_path", "errors", "warnings", "findings", "checked.blobs", "checked.bytes"],
        "lint" => &[
            "passed",
            "layout_path",
            "image",
            "platform",
            "errors",
            "warnings",
            "findings",
            "checked.blobs",
            "checked.bytes",
            "lower_variants",
        ],
        "catalog list" => &["repositories"],
        "tag list" => &["name", "tags", "image_names"],
        "tag add" => &["digest", "tags"],
        "tag rename" => &["digest", "from", "to"],
        "tag delete" => &["digest", "tag", "status", "dry_run", "kept"],
        "manifest descriptor" => {
            &["mediaType", "digest", "size", "urls", "annotations.*", "data", "artifactType", "platform.*", MORE]
        }
        "manifest info" => &[
            "digest",
            "size",
            "media_type",
            "artifact_type",
            "platform",
            "platforms",
            "tags",
            "image_names",
            "subject",
            "annotations.*",
            "descriptor_annotations.*",
            "config.*",
            "lower_variant.*",
        ],
        "manifest put" => &["digest", "size", "media_type", "tags"],
        "manifest delete" => &["digest", "tags", "status", "dry_run", "kept"],
        "blob get" | "manifest get --output" => WRITTEN,
        "blob head" | "blob upload" => DESCRIPTOR,
        "blob mount" | "blob delete" => BLOB,
        "referrer list" => &["schemaVersion", "mediaType", "manifests"],
        "referrer get" => &["digest", "artifact_type", "output", "files"],
        "attach" => &["digest", "size", "media_type", "ref_name", "images", "warnings", "lower_variants"],
        "build" => &["digest", "size", "media_type", "ref_name", "images", "warnings", "dry_run", "contents"],
        "generate index" | "index add" | "index remove" => EDITED,
        "index annotate" => &["digest", "size", "media_type", "ref_name", "images", "warnings", "lower_variants"],
        "remove layer" | "move layer" => STAGED_OR_IMAGE,
        "squash" | "rebase" | "recompress" | "strip" | "set-times" => REWRITTEN,
        "add base" => &["digest", "name", "platform", "layers", "warnings"],
        "reset" => &["layers", "deleted_blobs", "deleted_bytes"],
        "gc" => &[
            "dry_run",
            "digests",
            "blobs.count",
            "blobs.bytes",
            "uploads.count",
            "uploads.bytes",
            "temporary_files.count",
            "temporary_files.bytes",
            "kept.count",
            "kept.bytes",
            "staged.count",
            "staged.bytes",
            "subjects",
        ],
        "join" | "import" => EXPORTED,
        #[cfg(feature = "remote")]
        "push" => PUSHED,
        #[cfg(feature = "remote")]
        "push --dry-run" => PUSH_PLANNED,
        #[cfg(feature = "remote")]
        "pull" => PULLED,
        #[cfg(feature = "remote")]
        "ping" => &["registry", "reachable", "status_code", "api_version", "latency_ms", "note"],
        #[cfg(feature = "remote")]
        "auth login" | "auth logout" => &["status", "registry"],
        "export" => EXPORTED_OR_FILES,
        "unpack" | "extract" => &["digest", "output", "entries", "bytes", "skipped.*", "lower_variants"],
        "inspect" => &["path", "tag", "image_name", "multi_platform", "images", "lower_variants"],
        _ => &[],
    }
}

/// Returns whether documents of a command may have other keys than those that are listed.
pub(crate) fn has_more(keys: &[&str]) -> bool {
    keys.contains(&MORE)
}

/// Returns the keys as they are shown to users.
pub(crate) fn shown(keys: &[&str]) -> String {
    keys.iter().filter(|key| **key != MORE).map(|key| key.trim_end_matches(".*")).collect::<Vec<_>>().join(", ")
}

/// Returns whether a key is one of the listed ones, or an object that contains one. Every command may warn.
pub(crate) fn is_key(keys: &[&str], wanted: &str) -> bool {
    let is_within = |key: &str, object: &str| key.strip_prefix(object).is_some_and(|rest| rest.starts_with('.'));
    let is_it = |key: &str| match key.strip_suffix(".*") {
        Some(object) => wanted == object || is_within(wanted, object),
        None => wanted == key || is_within(key, wanted),
    };
    wanted == "warnings" || keys.iter().any(|key| is_it(key))
}
