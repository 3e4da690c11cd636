//! The harness: a host of its own for every test, and what stands around it.
//!
//! A test gets a [`Host`]: a network and a mount namespace of its own, with its own run directory, configuration, id range
//! and cgroup parent, so that tests run side by side and none sees another. A throwaway namespace hides leaks: the host
//! therefore looks INSIDE for what `mini` left behind, and fails the test that left it, before it goes away.
//!
//! The binary under test comes from `MINI_BIN`. Nothing here imports the product: it is driven from outside, as a user would.
#![expect(
    clippy::disallowed_methods,
    reason = "the harness makes namespaces, files and processes itself: it stands outside the product and its door"
)]

pub mod busybox;
pub mod cache;
pub mod cgroups;
pub mod command;
pub mod container;
pub mod debian;
pub mod delivery;
pub mod disk;
pub mod docker;
pub mod host;
pub mod http;
pub mod image;
pub mod leftovers;
pub mod lines;
pub mod loopback;
pub mod namespaces;
pub mod net;
pub mod output;
pub mod outside;
pub mod processes;
pub mod reference;
pub mod registry;
pub mod server;
pub mod skip;
pub mod source;
pub mod step;
pub mod tarball;
pub mod terminal;
pub mod wait;

pub use command::{Mini, Output, Running};
pub use container::Container;
pub use host::Host;
pub use image::Image;
pub use loopback::Loopback;
pub use skip::skip;
pub use tarball::Tarball;
