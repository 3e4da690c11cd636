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

mod abi;
mod arguments;
mod numbers;
mod program;
mod resolve;

pub mod text;

#[cfg(test)]
mod tests;
