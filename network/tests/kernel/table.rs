//! The table in the kernel: what its text says, whole or not at all, and made again when something has taken it away.

use std::net::Ipv4Addr;

use crate::host::{Host, sh};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// The table as nft prints it, without what the maps hold.
fn table_without_elements() -> String {
    let table = sh("nft list table ip mini0");
    table.lines().filter(|line| !line.contains("elements = ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn the_messages_mean_what_the_text_says() {
    let host = Host::new();
    let container = host.start("a", &["8080:80", "127.0.0.1:8081:80"]);
    let by_messages = table_without_elements();
    let text = crate::narration::record(|| {
        sh("nft delete table ip mini0");
        drop(network::lease(&host.config, "b", &[]).unwrap());
    });
    let shell = text.iter().find_map(|told| told.shell.strip_prefix("nft -f - <<'END'\n")).unwrap();
    let (text, elements) = shell.split_at(shell.find("add element").unwrap());
    assert_eq!(elements.lines().count(), 3, "both ports and the end: {elements}");
    // nft parses our text, and prints it as it prints what our messages made.
    sh(&format!("nft delete table ip mini0; nft -f - <<'END'\n{text}END"));
    assert_eq!(table_without_elements(), by_messages);
    let without_empty_lines =
        |text: &str| text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(without_empty_lines(text), without_empty_lines(&by_messages), "to the letter");
    drop(container);
}

#[test]
fn published_ports_are_elements() {
    let host = Host::new();
    let container = host.start("a", &["8080:80", "127.0.0.1:8081:81"]);
    let maps = sh("nft list maps");
    assert!(maps.contains("elements = { 8080 : 10.87.0.2 . 80 }"), "{maps}");
    assert!(maps.contains("elements = { 127.0.0.1 . 8081 : 10.87.0.2 . 81 }"), "{maps}");
    container.stop();
    let maps = sh("nft list maps");
    assert!(!maps.contains("elements"), "{maps}");
}

#[test]
fn a_flushed_table_comes_back_with_the_next_start() {
    let host = Host::new();
    let container = host.start("a", &["8080:80", "127.0.0.1:8081:80"]);
    let before = sh("nft list ruleset");
    sh("nft flush ruleset");
    let next = host.start("b", &[]);
    assert_eq!(sh("nft list ruleset"), before);
    let server = container.netns.listen(container.address(), 80);
    assert_eq!(host.netns.talk(LOCALHOST, 8080, &server), container.gateway());
    drop(next);
}

#[test]
fn a_table_flushed_while_a_container_starts_comes_back_with_its_port() {
    let host = Host::new();
    let container = host.start_with("a", &["8080:80"], || {
        sh("nft flush ruleset");
    });
    let server = container.netns.listen(container.address(), 80);
    assert_eq!(host.netns.talk(LOCALHOST, 8080, &server), container.gateway());
}

#[test]
fn a_table_flushed_before_a_container_ends_is_no_error() {
    let host = Host::new();
    let container = host.start("a", &["8080:80", "8081:81"]);
    sh("nft delete element ip mini0 ports '{ 8081 }'");
    container.stop();
    assert!(!sh("nft list maps").contains("elements"), "the one that was there has gone");
    let container = host.start("b", &["8080:80"]);
    sh("nft flush ruleset");
    container.stop();
}

#[test]
fn another_versions_table_is_replaced_and_its_ports_stay() {
    let host = Host::new();
    let container = host.start("a", &["8080:80"]);
    let before = sh("nft list ruleset");
    sh(
        "nft -f - <<'END'\ntable ip mini0\ndelete table ip mini0\ntable ip mini0 {\n\tcomment \"mini 0 0\"\n\tchain old { }\n}\nEND",
    );
    let next = host.start("b", &[]);
    assert_eq!(sh("nft list ruleset"), before);
    let server = container.netns.listen(container.address(), 80);
    assert_eq!(host.netns.talk(LOCALHOST, 8080, &server), container.gateway());
    drop(next);
}

#[test]
fn a_port_left_by_a_killed_monitor_is_the_next_ones() {
    let host = Host::new();
    drop(host.start("killed", &["8080:80"]));
    assert!(sh("nft list maps").contains("8080 : 10.87.0.2 . 80"), "or this tests nothing");
    let next = host.start("next", &["8080:80"]);
    let server = next.netns.listen(next.address(), 80);
    assert_eq!(host.netns.talk(LOCALHOST, 8080, &server), next.gateway());
    assert_eq!(next.address(), Ipv4Addr::new(10, 87, 0, 3));
}

#[test]
fn the_other_tables_of_the_host_are_left_alone() {
    let host = Host::new();
    sh(
        "nft add table inet filter; nft add chain inet filter input '{ type filter hook input priority 0; }'; nft add table ip mini",
    );
    let before = sh("nft list ruleset");
    host.start("a", &["8080:80"]).stop();
    network::remove_all(&host.config).unwrap();
    assert_eq!(sh("nft list ruleset"), before);
}
