//! Registries over HTTP, against a registry made for these tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod bad_answers;
mod fake;
#[path = "../fake_registry/mod.rs"]
mod fake_registry;
mod faults;
mod inline_auth;
mod killed;
mod lab;
mod logins;
mod pages;
mod pains;
mod proxies;
mod pull;
mod push;
mod raw;
mod secrets;
mod sha512;
mod stops;
#[cfg(unix)]
mod terminal;
mod token_servers;
mod words;
