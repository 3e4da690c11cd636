//! The network on the real kernel: every test makes a host of its own, needs root, and leaves nothing behind.
#![expect(clippy::unwrap_used, reason = "what a test cannot go on without fails it")]

mod check;
mod closed;
mod host;
mod kill;
mod leases;
mod narration;
mod ports;
mod reach;
mod table;
