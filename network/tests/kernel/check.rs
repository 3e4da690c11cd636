//! What a check finds, what it leaves alone, and how everything is taken back.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use network::{RemoveError, What, check, remove_all};

use crate::host::{Container, Host, sh};
use crate::narration::{Listener, Told};

fn found(host: &Host, live: bool, repair: bool) -> Vec<String> {
    let found = check(&host.config, &|_| live, repair).unwrap();
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_is_found_where_all_is_well() {
    let host = Host::new();
    assert!(found(&host, false, true).is_empty(), "where nothing was ever made");
    assert_eq!(sh("ip -br link show type bridge; nft list ruleset"), "", "nothing is made either");
    assert!(!host.config.state.exists());
    let container = host.start("a", &["8080:80"]);
    assert!(found(&host, false, true).is_empty(), "a held lease is all the life it asks for");
    container.stop();
    assert_eq!(found(&host, false, true), [""; 0], "a veth that is dying is no finding");
}

#[test]
fn what_a_killed_monitor_left_is_found_and_removed() {
    let host = Host::new();
    drop(host.start("3f2a9c81d04b", &["8080:80", "127.0.0.1:8081:81"]));
    sh("ip link del mini-3f2a9c81d0 2>/dev/null || true");
    let left = [
        "address 10.87.0.2 is leased to 3f2a9c81d04b, which is gone",
        "port 0.0.0.0:8080 leads to 10.87.0.2:80, where no container is",
        "port 127.0.0.1:8081 leads to 10.87.0.2:81, where no container is",
    ];
    assert_eq!(found(&host, false, false), left);
    let repaired: Vec<_> = left
        .iter()
        .zip([": given back", ": removed", ": removed"])
        .map(|(left, done)| format!("{left}{done}"))
        .collect();
    assert_eq!(found(&host, false, true), repaired);
    assert!(found(&host, false, false).is_empty());
}

#[test]
fn a_container_that_outlived_its_monitor_is_judged_by_its_owner_alone() {
    let host = Host::new();
    let mut container = host.start("outlived", &["8080:80"]);
    drop(container.attached.take());
    assert!(found(&host, true, true).is_empty(), "it lives");
    let mut stranger = host.config.clone();
    stranger.owner = "/another/root".into();
    assert!(check(&stranger, &|_| panic!("it does not know"), true).unwrap().is_empty());
    let left = found(&host, false, true);
    assert!(left[0].starts_with("interface mini-outlived belongs to outlived, which is gone"), "{left:?}");
    assert_eq!(left.len(), 3, "{left:?}");
    assert_eq!(sh("ip -br link show master mini0; nft list maps | grep -c elements || true"), "0\n");
}

#[test]
fn a_veth_that_nobody_knows_is_asked_for_by_the_ids_beginning() {
    let host = Host::new();
    let container = host.start("3f2a9c81d04b", &[]);
    sh(&format!("rm {}/netns-*/mini0/leases/*", host.config.state.display()));
    let asked = |answer| {
        check(
            &host.config,
            &|id: &str| {
                assert_eq!(id, "3f2a9c81d0");
                answer
            },
            false,
        )
        .unwrap()
    };
    assert!(asked(true).is_empty());
    let what = What::StaleVeth { name: "mini-3f2a9c81d0".into(), container: "3f2a9c81d0".into() };
    assert_eq!(asked(false).into_iter().map(|finding| finding.what).collect::<Vec<_>>(), [what]);
    drop(container);
}

#[test]
fn foreign_links_on_the_bridge_are_none_of_ours() {
    let host = Host::new();
    drop(network::lease(&host.config, "a", &[]).unwrap().release());
    sh("ip link add vm0 type veth peer name vm1; ip link set vm0 master mini0");
    assert!(found(&host, false, true).is_empty());
}

#[test]
fn what_a_running_container_misses_is_put_back() {
    let host = Host::new();
    let container = host.start("a", &["8080:80", "8081:81"]);
    let before = sh("nft list ruleset");
    sh("nft delete element ip mini0 ports '{ 8080 }'");
    assert_eq!(found(&host, true, true), ["port 0.0.0.0:8080->80/tcp of a is not in the table: added"]);
    assert_eq!(sh("nft list ruleset"), before);
    sh("nft flush ruleset; echo 0 > /proc/sys/net/ipv4/ip_forward");
    assert_eq!(found(&host, true, true), ["forwarding, table not as containers need it: made again"]);
    assert_eq!(sh("nft list ruleset; cat /proc/sys/net/ipv4/ip_forward"), format!("{before}1\n"));
    drop(container);
}

#[test]
fn a_network_in_use_is_not_removed() {
    let host = Host::new();
    let (container, mut outlived) = (host.start("a", &[]), host.start("b", &[]));
    drop(outlived.attached.take());
    let error = remove_all(&host.config).unwrap_err();
    assert_eq!(error.to_string(), "network mini0 is in use by a, b");
    assert!(matches!(error, RemoveError::InUse { .. }));
    drop((container, outlived));
}

#[test]
fn a_removal_puts_the_host_back_as_it_was() {
    for settings in [
        "true",
        "echo 1 > ip_forward",
        "echo 0 > conf/all/accept_redirects; echo 1 > conf/out0/forwarding",
        "echo 1 > conf/default/forwarding; echo 1 > conf/out0/route_localnet",
    ] {
        let host = Host::new();
        let outside = host.outside();
        sh(&format!("cd /proc/sys/net/ipv4; {settings}"));
        let before = host.everything();
        let (a, b) = (host.start("a", &["8080:80"]), host.start("b", &[]));
        assert_ne!(host.everything(), before);
        a.stop();
        // Killed; and its namespace takes its time.
        drop(b);
        check(&host.config, &|_| false, true).unwrap();
        assert!(remove_all(&host.config).unwrap());
        host.is_as_before(&before, settings);
        assert!(!remove_all(&host.config).unwrap(), "there was nothing to remove");
        host.is_as_before(&before, settings);
        drop(outside);
    }
}

#[test]
fn forwarding_stays_while_another_bridge_needs_it() {
    let host = Host::new();
    let mut second = host.config.clone();
    second.bridge = "mini1".into();
    let before = host.everything();
    network::lease(&host.config, "a", &[]).unwrap().release().unwrap();
    network::lease(&second, "b", &[]).unwrap().release().unwrap();
    assert_eq!(
        sh("ip -br -4 addr show mini1 | grep -o '10[0-9./]*'"),
        "10.86.0.1/16\n",
        "a subnet of its own"
    );
    remove_all(&host.config).unwrap();
    assert_eq!(sh("cat /proc/sys/net/ipv4/ip_forward; nft list tables"), "1\ntable ip mini1\n");
    remove_all(&second).unwrap();
    host.is_as_before(&before, "both removed");
}

#[test]
fn a_restarted_container_takes_its_old_pairs_place() {
    let host = Host::new();
    let mut first = host.start("a", &[]);
    // Its namespace is kept from dying, as a slow kernel would.
    drop(first.attached.take());
    let second = Container::namespaces();
    let lease = network::lease(&host.config, "a", &[]).unwrap();
    let plan = network::AttachPlan::new("a", &lease.endpoint, &[]);
    lease.attach(&plan, std::os::fd::AsFd::as_fd(&second.netns)).unwrap();
    let server = second.netns.listen(plan.endpoint.address, 80);
    assert_eq!(host.netns.talk(plan.endpoint.address, 80, &server), plan.endpoint.gateway);
    assert_eq!(first.netns.sh("ip -br link | wc -l"), "1\n", "only lo");
}

#[test]
fn a_dying_network_namespace_is_given_its_time() {
    let host = Host::new();
    let mut container = host.start("a", &[]);
    container.attached.take().unwrap().lease.release().unwrap();
    // Something keeps the namespace, until the check has looked at the bridge's veths for the second time.
    let (kept, looks) = (Mutex::new(Some(container)), AtomicUsize::new(0));
    let told = Listener(move |told: Told| {
        if told.call.contains("RTM_GETLINK{dump") && looks.fetch_add(1, Ordering::Relaxed) == 1 {
            drop(kept.lock().unwrap().take());
        }
    });
    let found = tracing::subscriber::with_default(told, || check(&host.config, &|_| false, false).unwrap());
    assert_eq!(found, []);
}

#[test]
fn forwarding_goes_back_to_what_it_was_before_the_first_start() {
    let host = Host::new();
    let outside = host.outside();
    sh("echo 1 > /proc/sys/net/ipv4/conf/out0/forwarding");
    let before = host.everything();
    host.start("a", &[]).stop();
    // This resets out0's setting, too.
    sh("echo 0 > /proc/sys/net/ipv4/ip_forward");
    host.start("b", &[]).stop();
    remove_all(&host.config).unwrap();
    host.is_as_before(&before, "with a setting of out0's own");
    drop(outside);
}
