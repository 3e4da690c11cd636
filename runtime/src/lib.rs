//! How is a container made?
//!
//! Read the modules in this order, and you have seen it all: a spec becomes a plan, the monitor clones init, both build the
//! root from their sides of a gate, init gives up what its program may not have, and becomes it.

pub mod op;

pub mod birth;
pub mod create;
pub mod devices;
mod foreign;
mod gate;
mod helper;
pub mod idmap;
mod init;
pub mod join;
mod layers;
mod missing;
pub mod plan;
mod process;
mod reaper;
mod rootfs;
mod secrets;

pub mod caps;
pub mod cgroup;
pub mod mounts;
pub mod seccomp;
pub mod user;

pub mod changes;
pub mod files;
pub mod inside;
pub mod io;
pub mod record;
pub mod self_exe;
pub mod state;

pub mod sys;

pub use gate::{Failure, FailureKind};
pub use helper::VisitError;
pub use layers::running_kernel;
