//! What `--explain` hears: a listener for the events, and whether the shell lines do what they say.

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::host::{Container, Host, Netns, same, sh};

/// One operation, told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) call: String,
    pub(crate) shell: String,
}

/// Runs something and returns every operation that was told meanwhile on this thread.
pub(crate) fn record(act: impl FnOnce()) -> Vec<Told> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let keep = told.clone();
    tracing::subscriber::with_default(Listener(move |one| keep.lock().unwrap().push(one)), act);
    Arc::into_inner(told).unwrap().into_inner().unwrap()
}

/// Hears of every operation before it is carried out.
pub(crate) struct Listener<F>(pub(crate) F);

impl<F: Fn(Told) + 'static> Subscriber for Listener<F>
where
    F: Send + Sync,
{
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn event(&self, event: &Event<'_>) {
        if event.metadata().target() == "mini::before" {
            let mut told = Told::default();
            event.record(&mut told);
            (self.0)(told);
        }
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "call" => self.call = format!("{value:?}"),
            "shell" => self.shell = format!("{value:?}"),
            "skippable" => {}
            other => panic!("{other}"),
        }
    }
}

/// What a start has changed, without what the kernel chooses by itself: numbers, random hardware addresses, and states that
/// follow a little later.
fn result(container: &Netns) -> String {
    let script = "ip -br -4 addr | sed -E 's/@if[0-9]+//; s/ (UP|DOWN|UNKNOWN) / /; s/ +/ /g'; ip -4 route | sed 's/ linkdown//'; \
        ip -br link | grep -o '02:42[^ ]*'; cat /proc/sys/net/ipv6/conf/*0/disable_ipv6";
    let host = "nft list ruleset; cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/mini0/route_localnet; \
        bridge -details link | grep -o -e ' master .* state' -e 'hairpin [onf]*'";
    format!("{}\n{}\n{}", sh(script), sh(host), container.sh(script))
}

#[test]
fn the_shell_lines_do_what_the_calls_do() {
    let by_calls = {
        let host = Host::new();
        let mut container = None;
        let told = record(|| container = Some(host.start("3f2a9c81d04b", &["8080:80", "127.0.0.1:8081:81"])));
        (result(&container.as_ref().unwrap().netns), told)
    };
    let host = Host::new();
    let container = Container::namespaces();
    for told in by_calls.1 {
        // Questions, locks and the files of leases leave nothing behind that a network consists of.
        let acts = [
            "ip link add",
            "ip link set",
            "ip addr add",
            "nft -f",
            "nft add",
            "nsenter",
            "echo 1 > /proc/sys",
        ];
        if acts.iter().any(|act| told.shell.starts_with(act)) {
            sh(&told.shell.replace("NETNS", &container.netns_path()));
        }
    }
    same(&result(&container.netns), &by_calls.0, "by shell");
    drop(host);
}

#[test]
fn every_event_fits_into_a_pipes_atomic_write() {
    const PIPE_BUF: usize = 4096;
    let host = Host::new();
    let longest = "3f2a9c81d04be5774f2a9c81d04be5773f2a9c81d04be5773f2a9c81d04be577";
    let told = record(|| {
        host.start(longest, &["8000-8099:8000-8099"]).stop();
        sh("nft flush ruleset");
        let kept = host.start(longest, &["127.0.0.1:8000-8099:8000-8099"]);
        sh("nft flush ruleset");
        drop(network::lease(&host.config, "b", &[]).unwrap());
        network::check(&host.config, &|_| true, true).unwrap();
        kept.stop();
        network::remove_all(&host.config).unwrap();
    });
    assert!(told.len() > 100);
    for Told { call, shell } in told {
        // Names, numbers and JSON's quotes around them need a few hundred bytes more.
        let escaped = format!("{call:?}{shell:?}").len();
        assert!(escaped < PIPE_BUF - 512, "{escaped}: {call}\n{shell}");
        assert!(!call.is_empty() && !shell.is_empty(), "{call} | {shell}");
    }
}
