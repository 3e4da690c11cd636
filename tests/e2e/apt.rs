//! A Debian under the default user namespace: packages, setuid programs, file capabilities, users.

use tests::{Host, Image};

/// A host that has Debian, on disk as it would be.
fn with_debian() -> Host {
    let host = Host::on_disk();
    host.load(&Image::debian(), "debian:latest");
    host
}

#[test]
fn apt_installs_and_purges_packages() {
    let host = with_debian();
    let script = "set -e; export DEBIAN_FRONTEND=noninteractive; apt-get update; \
                  apt-get install -y --no-install-recommends hello; hello; \
                  apt-get purge -y hello; ! command -v hello; dpkg --audit";
    host.mini(["run", "--rm", "debian", "bash", "-c", script]).run().ok().stdout_has("Hello, world!");
}

#[test]
fn a_package_that_sets_a_file_capability_installs_and_the_capability_works() {
    let host = with_debian();
    let script = "set -e; export DEBIAN_FRONTEND=noninteractive; apt-get update; \
                  apt-get install -y --no-install-recommends libcap2-bin iputils-ping; \
                  getcap /usr/bin/ping; \
                  cp /usr/bin/cat /usr/local/bin/reads-all; setcap cap_dac_override+ep /usr/local/bin/reads-all; \
                  setpriv --reuid 1000 --regid 1000 --clear-groups reads-all /etc/shadow | head -c 5; echo; \
                  setpriv --reuid 1000 --regid 1000 --clear-groups ping -c 1 -W 5 127.0.0.1; \
                  setcap -r /usr/bin/ping; \
                  setpriv --reuid 1000 --regid 1000 --clear-groups ping -c 1 -W 5 localhost; \
                  setpriv --reuid 1000 --regid 1000 --clear-groups cat /etc/shadow && exit 1; echo end";
    let output = host.mini(["run", "--rm", "debian", "bash", "-c", script]).run().ok();
    output
        .stdout_has("ping cap_net_raw=ep")
        .stdout_has("\nroot:\n")
        .stdout_has("1 received")
        .stdout_has("\nend\n");
}

#[test]
fn setuid_programs_raise_to_the_containers_root_and_no_further() {
    let host = with_debian();
    let script = "set -e; cp /usr/bin/id /usr/local/bin/suid-id; chmod 4755 /usr/local/bin/suid-id; \
                  setpriv --reuid 1000 --regid 1000 --clear-groups suid-id -u; \
                  echo 'root:pass' | chpasswd; useradd -m someone; \
                  echo pass | setpriv --reuid someone --regid someone --init-groups su -c 'id -u' 2>/dev/null; \
                  su someone -c 'id -un'; echo 'someone:word' | chpasswd; passwd -S someone | cut -d' ' -f2";
    let output = host.mini(["run", "--rm", "debian", "bash", "-c", script]).run().ok();
    output.stdout("0\n0\nsomeone\nP\n");
}

#[test]
fn no_new_privileges_are_available_to_who_asks() {
    let host = with_debian();
    let script = "cp /usr/bin/id /usr/local/bin/suid-id; chmod 4755 /usr/local/bin/suid-id; \
                  setpriv --reuid 1000 --regid 1000 --clear-groups --no-new-privs suid-id -u";
    host.mini(["run", "--rm", "debian", "bash", "-c", script]).run().ok().stdout("1000\n");
}

#[test]
fn what_was_installed_stays_in_a_container_without_rm_and_exec_sees_it() {
    let host = with_debian();
    let container = host.start(["debian", "sleep", "100000"]);
    let script = "apt-get update -qq && apt-get install -y -qq --no-install-recommends hello";
    container.exec(["bash", "-c", script]).env("DEBIAN_FRONTEND", "noninteractive").run().ok();
    container.exec(["hello"]).run().ok().stdout("Hello, world!\n");
    container.exec(["dpkg", "-s", "hello"]).run().ok().stdout_has("install ok installed");
}
