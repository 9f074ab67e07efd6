//! Interoperability with other programs: umoci, skopeo, podman, buildah and the compressors read the output of
//! regshape, and regshape reads theirs.
//!
//! These tests need programs that are not installed everywhere. Without the variable `REGSHAPE_TOOLS` each test is
//! skipped, with a line on stderr; `REGSHAPE_TOOLS=required cargo test --test tools` runs them, and a missing program
//! is a failure. podman and buildah are only used as root: otherwise they need a system configuration (subordinate ids,
//! user namespaces) that a test cannot create.

// The binary itself is under test.
#![cfg(all(unix, feature = "cli"))]

mod archives;
mod builds;
mod compressors;
mod copies;
mod edits;
mod faults;
mod files;
#[cfg(feature = "remote")]
mod full_disk;
mod images;
mod lab;
mod layouts;
mod leftovers;
mod limits;
mod locks;
mod opens;
mod outputs;
mod overlay;
mod places;
#[cfg(feature = "remote")]
mod registries;
mod registry;
#[cfg(feature = "remote")]
mod registry_tokens;
mod rewrites;
mod samples;
mod stress;
mod tree;
mod users;
