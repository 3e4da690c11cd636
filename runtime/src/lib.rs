//! How is a container made?
//!
//! Read the modules in this order, and you have seen it all: a spec becomes a plan, the monitor clones init, both build the
//! root from their sides of a gate, init gives up what its program may not have, and becomes it.

pub mod op;

pub mod plan;
pub mod create;
mod init;
mod gate;
pub mod idmap;
mod layers;
mod devices;
mod rootfs;
mod process;
mod missing;
pub mod join;

pub mod user;
pub mod mounts;
pub mod caps;
pub mod seccomp;
pub mod cgroup;

pub mod record;
pub mod io;
pub mod state;
pub mod self_exe;

pub mod sys;

pub use gate::{Failure, FailureKind};
