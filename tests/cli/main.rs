//! The command line, from arguments to bytes on disk. There is a file for each command; the other files test features
//! common to all commands.

#![cfg(feature = "cli")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]

mod add_base;
mod add_layer;
mod add_layer_copy;
#[cfg(target_os = "linux")]
mod add_layer_diff;
mod addressing;
mod annotate_layer;
mod annotate_manifest;
mod attach;
mod bad_values;
mod blob_delete;
mod blob_get;
mod blob_head;
mod blob_mount;
mod blob_upload;
mod build;
mod cat;
mod catalog_list;
mod compatibility;
mod config_flags;
mod config_get;
mod diff;
mod dry_run;
mod edit;
mod edit_refused;
mod errors;
mod example;
mod export;
#[cfg(unix)]
mod export_rootfs;
#[cfg(target_os = "linux")]
mod extract;
mod files;
mod gc;
mod generate_artifact;
mod generate_config;
mod generate_index;
mod generate_manifest;
mod global;
mod hostile;
mod import;
mod index;
mod init;
mod inspect;
mod interrupted;
mod join;
mod layer_tars;
mod layers;
#[path = "../leftover/mod.rs"]
mod leftover;
mod leftovers;
#[cfg(target_os = "linux")]
mod limits;
mod links;
mod lint;
mod locks;
mod ls;
mod manifest_delete;
mod manifest_descriptor;
mod manifest_get;
mod manifest_info;
mod manifest_put;
mod memory;
mod names;
#[cfg(target_os = "linux")]
mod outputs;
mod parallel;
mod places;
mod platforms;
mod rebase;
mod recompress;
mod referrer_get;
mod referrer_list;
mod registry;
#[path = "../../src/cli/result_keys.rs"]
#[allow(dead_code, reason = "the program uses the rest")]
mod result_keys;
mod rewritten;
mod set_times;
mod show;
mod show_tree;
mod signals;
mod sparse;
mod squash;
mod status;
mod streams;
mod strip;
mod support;
mod tag_add;
mod tag_delete;
mod tag_list;
mod tag_move;
mod template;
#[cfg(target_os = "linux")]
mod unpack;
mod update_config;
mod validate;
mod views;
mod walks;
