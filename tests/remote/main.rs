//! Registries over HTTP, against a registry made for these tests.

mod fake;
#[path = "../fake_registry/mod.rs"]
mod fake_registry;
mod raw;
