//! The network on the real kernel: every test makes a host of its own, needs root, and leaves nothing behind.

mod check;
mod closed;
mod host;
mod kill;
mod leases;
mod narration;
mod ports;
mod reach;
mod table;
