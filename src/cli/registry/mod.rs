//! The commands on registries that are not about layouts.

pub(crate) mod auth;
pub(crate) mod ping;
