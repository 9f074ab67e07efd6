//! Registries over HTTP, against a registry made for these tests.

#[path = "../fake_registry/mod.rs"]
mod fake_registry;
