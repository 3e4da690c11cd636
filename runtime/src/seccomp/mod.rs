//! seccomp: which system calls a container may make.
//!
//! [`profile`] knows docker's default rules and resolves them for a set of capabilities, [`import`] reads others
//! in docker's form; [`assemble`] makes
//! the program of such a profile, or of any other, that the kernel runs at every system call. Both are pure:
//! a profile goes in, a list of instructions comes out, and whoever starts the container hands it to
//! seccomp(2).

pub mod import;
pub mod profile;

pub mod assemble;

pub use abi::Machine;

/// Loads a filter: from here on it judges every system call of this process and of its children.
///
/// # Errors
/// As [`load_filter`](crate::sys::process::load_filter).
pub fn load(filter: &assemble::Filter) -> Result<(), crate::op::OpError> {
    use crate::sys::process::Instruction;
    let one = |one: &program::Instruction| Instruction { code: one.code, jt: one.jt, jf: one.jf, k: one.k };
    let program: Vec<Instruction> = filter.instructions.iter().map(one).collect();
    crate::sys::process::load_filter(&program, filter.flags)
}

mod abi;
mod arguments;
mod numbers;
mod program;
mod resolve;

pub mod text;

#[cfg(test)]
mod tests;
