//! Hostile input for everything that reads what mini did not write: one function for each thing that is read. It returns where the input
//! is understood or refused, and panics where mini did what it must not.
//!
//! `cargo xtask fuzz` builds each with libFuzzer (`fuzz_targets/`) and lets it search; `cargo xtask ci` tries the seeds (`seeds/`) with a
//! stable compiler (`tests/seeds.rs`). What was found is a test of the crate that was wrong.

#![expect(
    clippy::disallowed_methods,
    reason = "the targets arrange what mini then meets, in a place of their own"
)]
#![expect(clippy::print_stderr, reason = "a panic in the jail is told on stderr")]

mod jail;
mod tree;

mod files;
mod tarball;
mod text;

// The command is no library: its configuration's reader is linked to, file by file.
#[expect(dead_code, reason = "the targets read a text, not the host's files")]
mod config;
#[cfg_attr(not(test), expect(dead_code, reason = "the targets read keys, and watch no typing"))]
mod detach;

pub use files::{credentials, image_config, image_record, index, manifest, record, settings, spec};
pub use tarball::{cp, layer, load, tar};
pub use text::{challenge, gzip, profile, reference, user, zstd};

/// What one input is given to.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also that of its seeds and of its file in `fuzz_targets/`.
pub const TARGETS: [(&str, Target); 18] = [
    ("challenge", challenge),
    ("cp", cp),
    ("credentials", credentials),
    ("gzip", gzip),
    ("image_config", image_config),
    ("image_record", image_record),
    ("index", index),
    ("layer", layer),
    ("load", load),
    ("manifest", manifest),
    ("profile", profile),
    ("record", record),
    ("reference", reference),
    ("settings", settings),
    ("spec", spec),
    ("tar", tar),
    ("user", user),
    ("zstd", zstd),
];
