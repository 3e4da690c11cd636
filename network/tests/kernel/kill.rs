//! Killed at every operation: the next start works, and a check finds and removes what is left.
//!
//! A kill is played by a panic at the operation: what unwinding drops are descriptors alone, which is all that the kernel would
//! close, too. The container dies with its monitor.

use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use network::{Finding, check, remove_all};

use crate::host::{Host, sh};
use crate::narration::Listener;

/// The panic's payload: thrown without the panic hook, it prints nothing.
struct Killed;

/// Carries something out on a thread of its own until it comes to its operation number `n`; whether it came to its end instead.
fn killed_at(host: &Host, n: usize, life: impl FnOnce() + Send) -> bool {
    let count = AtomicUsize::new(0);
    let kill = move |_| {
        if count.fetch_add(1, Ordering::Relaxed) == n {
            resume_unwind(Box::new(Killed));
        }
    };
    host.netns.run(|| {
        let act = AssertUnwindSafe(|| tracing::subscriber::with_default(Listener(kill), life));
        match catch_unwind(act) {
            Ok(()) => true,
            Err(payload) if payload.is::<Killed>() => false,
            Err(panic) => resume_unwind(panic),
        }
    })
}

fn works(host: &Host) {
    let next = host.start("next", &["8080:80"]);
    let server = next.netns.listen(next.address(), 80);
    assert_eq!(host.netns.talk(Ipv4Addr::LOCALHOST, 8080, &server), next.gateway());
    let neighbour = host.start("neighbour", &[]);
    assert_eq!(neighbour.netns.talk(next.address(), 80, &server), neighbour.address());
    neighbour.stop();
    next.stop();
}

fn nothing_is_left(host: &Host, before: &str, n: usize) {
    // Namespaces die a little after their last process; a veth that is still there is found, and taken away.
    let found = check(&host.config, &|_| false, true).unwrap();
    assert!(found.iter().all(|finding| finding.repaired), "{n}: {found:?}");
    let found: Vec<Finding> = check(&host.config, &|_| false, false).unwrap();
    assert!(found.is_empty(), "{n}: {found:?}");
    remove_all(&host.config).unwrap();
    host.is_as_before(before, n);
}

/// A whole life, first of its host: bridge, forwarding and table are made in it.
fn every_kill(then: impl Fn(&Host, &str, usize)) {
    for n in 0.. {
        let host = Host::new();
        let before = host.everything();
        let finished = killed_at(&host, n, || host.start("killed", &["8080:80", "127.0.0.1:8081:81"]).stop());
        then(&host, &before, n);
        if finished {
            assert!(n > 40, "{n} operations are not a life");
            return;
        }
    }
}

#[test]
fn killed_at_any_operation_the_next_start_works() {
    every_kill(|host, before, n| {
        works(host);
        nothing_is_left(host, before, n);
    });
}

#[test]
fn killed_at_any_operation_a_check_cleans_up() {
    every_kill(|host, before, n| {
        nothing_is_left(host, before, n);
        works(host);
    });
}

#[test]
fn a_removal_killed_at_any_operation_can_be_done_again() {
    for n in 0.. {
        let host = Host::new();
        let before = host.everything();
        host.start("a", &["8080:80"]).stop();
        drop(host.start("killed", &["8080:80"]));
        sh("ip link del mini-killed 2>/dev/null || true");
        let finished = killed_at(&host, n, || {
            remove_all(&host.config).unwrap();
        });
        if n % 2 == 0 {
            works(&host);
        }
        nothing_is_left(&host, &before, n);
        if finished {
            assert!(n > 10, "{n} operations are not a removal");
            return;
        }
    }
}
