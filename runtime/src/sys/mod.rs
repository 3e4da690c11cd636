//! The only door to the kernel: every operation that changes something outside this process's memory is a function
//! here, and every function here is one narrated [`crate::op::Op`].
//!
//! Callers read as the story of a container; the flags, the C structures and the `unsafe` stay in these files.
//! Functions return descriptors and values, so results flow as in any straight-line code.
#![expect(
    clippy::disallowed_methods,
    reason = "this is the door through which the disallowed calls are made"
)]

pub mod append;
pub mod bpf;
pub mod confined;
pub mod control;
pub mod exec;
pub mod fs;
pub mod idmapped;
pub mod ipc;
pub mod lock;
pub mod memory;
pub mod mount;
pub mod nodes;
pub mod ns;
pub mod pidfd;
pub mod process;
pub mod program;
pub mod reap;
pub mod removal;
pub mod signal;
pub mod socket;
pub mod terminal;
pub mod whole;

pub(crate) use crate::op::{Op, OpError};

/// What an operation at the door returns.
pub type Result<T> = std::result::Result<T, OpError>;

/// One operation: `op!(call…; shell…; closure)`, both texts as for `format!`, formatted only when somebody reads them.
macro_rules! op {
    (($($call:tt)*), ($($shell:tt)*), $act:expr) => {
        $crate::sys::Op { call: format_args!($($call)*), shell: format_args!($($shell)*) }.perform($act)
    };
}
pub(crate) use op;
