//! The command line, from words to bytes on the disk. One file a command; the others each look at one thing that all
//! commands have in common.

#![cfg(feature = "cli")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod add_layer;
mod annotate_layer;
mod annotate_manifest;
mod blob_delete;
mod blob_get;
mod blob_head;
mod blob_mount;
mod blob_upload;
mod compatibility;
mod errors;
mod example;
mod gc;
mod generate_config;
mod generate_manifest;
mod global;
mod hostile;
mod init;
mod interrupted;
mod links;
mod locks;
mod parallel;
mod show;
mod show_tree;
mod signals;
mod status;
mod streams;
mod support;
mod update_config;
mod validate;
