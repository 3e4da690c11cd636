//! `mini`: run containers, without a daemon, and see how they are made.
//!
//! Everything starts here and ends in [`commands`]: one file a command.

mod change;
mod class;
mod clock;
mod commands;
mod complete;
mod config;
mod context;
mod copy;
mod detach;
mod dirs;
mod donors;
mod error;
mod events;
mod exit_code;
mod explain;
mod follow;
mod health;
mod launch;
mod learn;
mod names;
mod networks;
mod notify;
mod output;
mod own_root;
mod plan;
mod prepare;
mod random;
mod registries;
mod relay;
mod rootfs;
mod screen;
mod script;
mod secret;
mod session;
mod settings;
mod shelf;
mod stepping;
mod supervise;
mod tree;
mod volume;
mod words;

fn main() {
    supervise::take_over();
    learn::take_over();
    std::process::exit(commands::main().number())
}
