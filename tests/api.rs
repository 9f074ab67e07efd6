//! The traits of the library's public types (Rust API Guidelines, "Interoperability"), checked by the compiler.
//! `tests/house.rs` checks that each public type is listed here.

use std::borrow::Borrow;
use std::error::Error as StdError;
use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::io::{Read, Seek, Write};
use std::str::FromStr;

use regshape::build::copy::*;
use regshape::build::edit::*;
use regshape::build::rewrite::*;
use regshape::build::*;
use regshape::check::*;
use regshape::compress::*;
use regshape::graph::*;
use regshape::layout::*;
use regshape::metrics::*;
use regshape::oci::*;
use regshape::registry::*;
#[cfg(feature = "remote")]
use regshape::remote::*;
use regshape::rootfs::*;
use regshape::transfer::*;
use regshape::unpack::*;
use regshape::view::*;
use regshape::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Compiles if each type has all traits.
macro_rules! all {
    ([$($traits:tt)+] $($type:ty),+ $(,)?) => {{
        fn has<T: $($traits)+>() {}
        $(has::<$type>();)+
    }};
}

#[test]
fn every_type_can_go_to_another_thread_and_be_printed() {
    // Inputs that are read from a reader of the caller cannot be shared, only sent.
    all!([Send + Debug + 'static] LayerInput, PreparedLayer<'static>);
    all!([Send + Sync + Debug + 'static]
        ArchiveImage, BaseImage, Bases, BlobReader, BlobUpload, Content, ContentReader, ContentStore, CopyPlan, OldFiles, ExportOptions,
        ExportPlan<'static>, FileList, FileSystem, GarbageOptions, Hasher, ImageChange, ImageFiles, ImageLayer, ImagePair, Images, IndexChange, IndexImage,
        Interrupt, Kept, LayerOptions, LayerReader, LayerWriter, Layout, LeftoverObserver, LintOptions<'static>, LoadOptions<'static>, LockObserver,
        ManifestBody, ManifestName<'static>, Metrics, NewLayer, PreparedConfig<'static>, PreparedManifest<'static>, Progress<'static>, Reading,
        Registry, Repository, RootfsOptions, RootfsTar, Scratch, Selected, Stack, UnpackOptions, ValidateOptions<'static>, View, WriteOptions);
}

#[test]
fn options_have_defaults_and_can_be_cloned() {
    all!([Clone + Default]
        ConfigChanges, ConfigOptions, CopyAttributes, CopyOptions, DiffOptions, EditOptions, Expected, ExportOptions, GarbageOptions,
        Ignored, IndexOptions, LayerOptions, LoadOptions<'static>, ManifestOptions, Page, ProcessChanges, ReferrerFilter, RootfsOptions, SaveOptions,
        Selection, LintOptions<'static>, ListOptions, UnpackOptions, ValidateOptions<'static>, WriteOptions, ArchiveKind, Bounds, CompressFormat, Compression, CompressionScope,
        Interrupt, Kept, Progress<'static>, RecompressOptions, RewriteOptions);
    // An artifact has a type, and an image that is put on another base has one.
    all!([Clone] AttachOptions, Bases);
}

#[test]
fn values_can_be_compared_and_found_in_maps() {
    all!([Send + Sync + Debug + Clone + Eq + Hash + 'static]
        // Options.
        AttachOptions, Bounds, ByteRange, ConfigChanges, ConfigOptions, CopyAttributes, CopyOptions, CopySource, DiffOptions, EditOptions,
        Expected, IdMap, IdRange, Ignored, IndexOptions, ListOptions, ManifestOptions, Page, PathRule, ProcessChanges, ReferrerFilter,
        RecompressOptions, RewriteOptions, SaveOptions, Selection,
        // Words.
        Algorithm, AnnotationChange, ArchiveKind, Capabilities, ChildrenAt, CompressFormat, Compression, CompressionScope,
        regshape::build::copy::Destination, Encoding, ErrorCode, ErrorKind, FileAttribute, FileType, Format, ImageGlob, LayerEncoding,
        ListingKind, LockEvent, ModeChange, NodeKind, OwnerRule, OwnerSpec, Phase, Subject, TimeChange, TimeRule, Timestamp, Treatment,
        // Results.
        AddedBase, AddedLayer, Artifact, ArtifactFile, Attached, Candidate, Choice, Chosen, ComparedEntry, ComparedLayer, Conflict, CopiedLayer, CopyNote, Counted, FoundEntry,
        EditWarning, Edited, Exported, FieldChange, FileChange, Finding, Fit, Garbage, ImageDifference, ImagePlace<'static>, ImageSummary, KeptSubject, LayerChange, LayerPlan, Listed,
        Listing, ListedEntry, ManifestInfo, Mismatch, Node, NodeState, PlatformContradiction, Rebased, Referrer, Referrers, Renamed, LintReport, Report, Reset, Rewritten, StartFault, StartProgram, NeededBy, Stat,
        StoredConfig, StoredManifest, Tally, Totals, Tree, TreeEntry, Skipped, Unpacked, UnpackState, Updated<StagedLayer>);
}

#[test]
fn documents_can_be_read_and_written() {
    all!([Send + Sync + Debug + Clone + Eq + Hash + Serialize + DeserializeOwned + 'static]
        Descriptor, Digest, ImageConfig, Index, Json, Manifest, MediaType, Platform, RootFs, Stage, StagedBase,
        StagedConfig, StagedLayer, StagedManifest, UnknownFields);
    all!([Default] Index, Platform, RootFs, UnknownFields);
}

/// A value that is written as text and parsed from it, with the same error in each way.
trait Parsed:
    FromStr<Err: StdError> + TryFrom<String, Error = Self::Err> + for<'a> TryFrom<&'a str, Error = Self::Err>
{
}

impl<T, E: StdError> Parsed for T where
    T: FromStr<Err = E> + TryFrom<String, Error = E> + for<'a> TryFrom<&'a str, Error = E>
{
}

#[test]
fn names_are_checked_text() {
    all!([Send + Sync + Debug + Display + Clone + Ord + Hash + AsRef<str> + Borrow<str> + Into<String> + Parsed + 'static]
        ConfigField, Digest, MediaType, ProcessUser, RefName, RepositoryName, StopSignal, Tag);
    all!([Send + Sync + Debug + Display + Clone + Eq + Hash + Parsed + 'static]
        ExposedPort, Healthcheck, Platform, Reference);
    all!([FromStr + Display] regshape::build::copy::Destination, ImageGlob, Json, UnknownFields);
    all!([FromStr + Display] Timestamp);
    all!([FromStr] Capabilities, IdRange, ModeChange, OwnerSpec);
}

#[test]
fn errors_are_errors_of_any_thread() {
    all!([StdError + Send + Sync + 'static] Error, CommitError);
    all!([StdError + Send + Sync + Clone + Eq + 'static]
        ArtifactError, BaseError, BoundError, CapabilityError, ConfigError, ConfigValueError, CopyError, DigestError, EditError,
        FilesError, LayerError, OverlapError, ParseIdRangeError, ParseTimestampError, UnpackError,
        GlobError, JsonError, LevelError, MediaTypeError, ModeError, NameError, OwnerError, PlatformError, PlatformWordError,
        Reason, RefNameError, TrailingBytes);
}

#[test]
#[cfg(feature = "remote")]
fn registries_and_credentials_have_the_same_traits() {
    all!([Send + Sync + Debug + Display + Clone + Ord + Hash + Parsed + 'static] RegistryHost, RemoteReference);
    all!([Send + Sync + Debug + Clone + Eq + 'static] Credential, Environment, Secret);
    all!([Send + Sync + Debug + Display + Clone + Eq + Hash + 'static] AuthPlace);
    all!([Send + Sync + Debug + Clone + 'static] CredentialStore);
    all!([Send + Sync + Debug + 'static] CredentialLookup, RemovedCredentials, StoredCredential);
    all!([StdError + Send + Sync + 'static] AuthError, HelperError, HelperErrorKind);
    all!([StdError + Send + Sync + Clone + Eq + 'static] ProxyError, ReferenceError, PushError, RemoteError);
    all!([Send + Sync + Debug + Copy + Eq + Hash + 'static]
        ConnectionFault, DownloadAction, PullStatus, PushStatus, UploadAction);
    all!([Send + Sync + Debug + Clone + Eq + 'static]
        ClientCertificate, Ping, Wait, PlannedPush, PullSummary, Pulled, PulledBlob, PulledImage, PushSummary, Pushed, PushedBlob,
        PushedImage, RemoteReferences);
    all!([Send + Sync + Debug + Clone + 'static]
        Call, CallObserver, WaitObserver, ConnectionOptions, Credentials, PullOptions, PushOptions, PushPlan);
    all!([Send + Sync + Debug + 'static] Client, PullPlan, RemoteImages);
    all!([Send + Sync + Debug + Copy] TransferEvent<'static>);
    // Clocks can be chosen at run time, and tests bring their own.
    let _: (Option<&dyn Clock>, Option<TransferObserver<'static>>) = (None, None);
}

#[test]
fn streams_are_those_of_std() {
    all!([Read + Seek] BlobReader, ContentReader);
    // The content of a layer is decompressed.
    all!([Read] LayerReader);
    all!([Write] BlobUpload, Hasher, LayerWriter);
    // Sources of blobs can be chosen at run time.
    all!([BlobSource] Layout);
    let _: Option<&dyn BlobSource> = None;
}
