//! Tests of the crate that need a kernel: they unpack as root into temporary directories and leave nothing
//! behind.

#![expect(clippy::disallowed_methods, reason = "tests arrange the files that the crate then meets")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod archive;
mod attacks;
mod depot;
mod given_up;
mod hostile;
mod images;
mod layers;
mod load;
mod login;
mod make;
mod malicious;
mod narration;
mod overlay;
mod peers;
mod pull;
mod push;
mod registry;
mod server;
mod snapshot;
mod trees;
mod trees_hostile;
mod upkeep;
