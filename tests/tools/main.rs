//! Tests with real programs: umoci, skopeo, podman, buildah and the compressors read images of regshape, and regshape
//! continues with theirs.
//!
//! These tests need programs that not every machine has. Without the variable `REGSHAPE_TOOLS` each of them is skipped,
//! with a line that says so; `REGSHAPE_TOOLS=required cargo test --test tools` runs them, and then a program that is
//! missing is a failure. podman and buildah are used by root only: without root they need a set-up of the machine
//! (subordinate ids, user namespaces) that a test cannot make.

// The program itself is under test.
#![cfg(all(unix, feature = "cli"))]

mod archives;
mod compressors;
mod edits;
mod faults;
mod images;
mod lab;
mod layouts;
mod leftovers;
mod limits;
mod locks;
mod opens;
mod outputs;
mod places;
mod registry;
mod samples;
mod stress;
mod tree;
mod users;
