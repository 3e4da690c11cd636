//! Images that are made here: of what a container has written ([`commit`]), or of an archive of files ([`import`]).

mod commit;
mod config;
mod import;

pub use commit::{CommitError, CommitOptions, Written, commit};
pub use import::{ImportError, ImportOptions, import};

use serde_json::Value;

use crate::digest::Digest;
use crate::store::commit::Renamed;

/// What a new image says about itself, in docker's words.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// `config` of its configuration: what containers get of it.
    pub config: Value,
    /// When it is made, RFC 3339.
    pub created: String,
    /// What made it, for its history.
    pub created_by: String,
    /// Who.
    pub author: String,
    /// Why.
    pub comment: String,
    /// The container that it is made of: its id, and its own `config`.
    pub container: Option<(String, Value)>,
}

/// An image that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct New {
    /// Its id.
    pub id: Digest,
    /// The names that other images lost to it.
    pub renamed: Vec<Renamed>,
    /// What has no form in a layer: sockets, files that would hide others, attributes of the host's.
    pub left_out: u64,
}
