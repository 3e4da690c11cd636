//! The outside world: a second network namespace, one cable away.
//!
//! ```text
//!   host                         outside
//!   outside0 192.0.2.1/24 ────── eth0 192.0.2.2/24     lo 203.0.113.9/32, reached by the host's default route
//! ```
//! The outside has no route to the containers: what comes from them unmasked is never answered. Both networks are the
//! documentation's (RFC 5737) and exist in these namespaces only.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::command::Mini;
use crate::namespaces;

/// The host's end of the cable.
pub const CABLE: &str = "outside0";
/// The host, seen from outside.
pub const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The outside's address on the cable.
pub const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// An address behind it.
pub const FAR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

/// The namespace at the other end.
#[derive(Debug)]
pub struct Outside {
    net: OwnedFd,
}

impl Outside {
    /// Makes it and plugs the cable into the calling thread's network namespace.
    pub(crate) fn connect() -> Self {
        let net = namespaces::fresh_net();
        let host = rustix::thread::gettid().as_raw_pid().to_string();
        namespaces::in_net(net.as_fd(), || {
            ip("link set lo up");
            ip(&format!("link add eth0 type veth peer name {CABLE} netns {host}"));
            ip(&format!("address add {NEIGHBOUR}/24 dev eth0"));
            ip(&format!("address add {FAR}/32 dev lo"));
            ip("link set eth0 up");
        });
        ip(&format!("address add {HOST}/24 dev {CABLE}"));
        ip(&format!("link set {CABLE} up"));
        ip(&format!("route add default via {NEIGHBOUR}"));
        Self { net }
    }

    /// Runs `work` out there, on a thread of its own.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        namespaces::in_net(self.net.as_fd(), work)
    }

    /// The namespace, for threads that live longer than one call.
    pub fn net(&self) -> BorrowedFd<'_> {
        self.net.as_fd()
    }

    /// The namespace, as `/proc` numbers it.
    pub fn net_inode(&self) -> u64 {
        rustix::fs::fstat(&self.net).expect("fstat of a namespace").st_ino
    }
}

fn ip(arguments: &str) {
    let mut command = std::process::Command::new("ip");
    command.args(arguments.split(' '));
    Mini::new(command).run().ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net;

    #[test]
    fn the_cable_carries_both_ways_and_the_far_address_answers() {
        std::thread::spawn(|| {
            namespaces::leave_the_machine();
            ip("link set lo up");
            let outside = Outside::connect();
            let far = outside.run(|| net::serve(FAR, 80, "far"));
            assert_eq!(net::ask(FAR, 80), Some("far".to_owned()));
            drop(far);
            let here = net::serve(Ipv4Addr::UNSPECIFIED, 81, "host");
            assert_eq!(outside.run(|| net::ask(HOST, 81)), Some("host".to_owned()));
            drop(here);
            assert_eq!(outside.run(|| net::ask(HOST, 82)), None, "nobody listens there");
        })
        .join()
        .expect("the test's thread");
    }
}
