//! `mini login` and `mini logout`: asked of real registries, kept in docker's file, with docker's helpers.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::registry::{CREDENTIALS, Registry};
use tests::server::{Access, Contents, ImageServer, Reply};
use tests::terminal::CTRL_C;
use tests::{Host, Image, Mini};

use crate::killing::{Scene, at_every_operation};

fn file(host: &Host) -> PathBuf {
    host.home().join(".docker/config.json")
}

fn content(host: &Host) -> Value {
    serde_json::from_slice(&fs::read(file(host)).expect("docker's file")).expect("JSON")
}

#[test]
fn a_password_is_tried_and_kept_for_its_owner_alone() {
    let host = Host::new();
    let registry = Registry::with_password(&host);
    let server = registry.name();
    let wrong = host.mini(["login", "-u", "mini", "--password-stdin", &server]).stdin("wrong\n").run();
    wrong.error(1, &["login attempt to http://", "failed with status: 401 Unauthorized"]);
    assert!(!file(&host).exists());
    fs::create_dir(host.home().join(".docker")).expect("mkdir");
    let before = json!({"auths": {"other": {"auth": "eDp5"}}, "psFormat": "x", "HttpHeaders": {"A": "b"}});
    fs::write(file(&host), before.to_string()).expect("write");
    let login = host.mini(["login", "-u", "mini", "--password-stdin", &server]).stdin("secret\n").run().ok();
    login
        .stdout("Login Succeeded\n")
        .stderr_has("credentials are stored unencrypted in")
        .stderr_has("config.json");
    assert_eq!(fs::metadata(file(&host)).expect("stat").permissions().mode() & 0o777, 0o600);
    let mut expected = before.clone();
    expected["auths"][&server] = json!({"auth": CREDENTIALS});
    assert_eq!(content(&host), expected);
    // A second one knows who we are.
    let again = host.mini(["login", &server]).run().ok();
    again.stdout("Authenticating with existing credentials...\nLogin Succeeded\n");
    let out = host.mini(["logout", &format!("http://{server}/v2/")]).run().ok();
    out.stdout(&format!("Removing login credentials for {server}\n"));
    assert_eq!(content(&host), before);
    host.mini(["logout", &server]).run().ok().stdout(&format!("Not logged in to {server}\n"));
    host.mini(["logout"]).run().ok().stdout("Not logged in to https://index.docker.io/v1/\n");
    // Another directory, and the password on the command line.
    let elsewhere = host.work().join("docker");
    let login =
        host.mini(["login", "--username", "mini", "-p", "secret", &server]).env("DOCKER_CONFIG", &elsewhere);
    login.run().ok().stderr_has("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    assert!(elsewhere.join("config.json").exists());
    assert_eq!(content(&host), before);
}

#[test]
fn what_is_missing_is_said() {
    let host = Host::new();
    let registry = Registry::with_password(&host);
    let server = registry.name();
    for (line, expected) in [
        (&["login", "-p", "x", "--password-stdin", &server][..], "mutually exclusive"),
        (&["login", "--password-stdin", &server], "Must provide --username with --password-stdin"),
        (&["login", "-u", "mini", "--password-stdin", &server], "password is empty"),
        (&["login", "-u", "mini", &server], "Cannot perform an interactive login from a non TTY device"),
        (&["login", &server], "Cannot perform an interactive login from a non TTY device"),
        (&["login", "-u", "a", "--password", "b", "elsewhere.example"], "MINI_OFFLINE"),
    ] {
        host.mini(line).stdin("").run().error(1, &[expected]);
    }
    fs::create_dir(host.home().join(".docker")).expect("mkdir");
    fs::write(file(&host), "no JSON").expect("write");
    let line = ["login", "-u", "mini", "--password-stdin", &server];
    host.mini(line).stdin("secret").run().error(1, &["config.json"]);
    assert_eq!(fs::read(file(&host)).expect("read"), b"no JSON");
}

#[test]
fn a_password_is_typed_unseen() {
    let host = Host::new();
    let registry = Registry::with_password(&host);
    let mut terminal = host.mini(["login", &registry.name()]).terminal(24, 100);
    terminal.expect_screen("Username: ");
    terminal.send("mini\r");
    terminal.expect_screen("Password: ");
    terminal.is_raw();
    terminal.send("wrong\x15secret\r");
    terminal.expect_screen("Login Succeeded");
    assert!(!terminal.contents().contains("secret") && !terminal.contents().contains("wrong"));
    terminal.ends_with(0);
    assert_eq!(content(&host)["auths"][registry.name()]["auth"], json!(CREDENTIALS));
    let mut terminal = host.mini(["login", "-u", "mini", &registry.name()]).terminal(24, 100);
    terminal.expect_screen("Password: ");
    terminal.is_raw();
    terminal.send(CTRL_C);
    terminal.wait();
    terminal.is_restored();
}

/// A credential helper that keeps what it is given in a file, and writes down how it was called.
const HELPER: &str = r#"#!/bin/sh
cd "$HOME" || exit
input=$(cat)
echo "$1" >>calls
case $1 in
store) echo "$input" >kept ;;
erase) [ "$input" = "$(sed 's/.*"ServerURL":"\([^"]*\)".*/\1/' kept)" ] && rm kept ;;
get) [ -f kept ] && cat kept || { echo "credentials not found in native keychain"; exit 1; } ;;
esac
"#;

#[test]
fn helpers_keep_what_the_file_does_not() {
    for key in ["credsStore", "credHelpers"] {
        let host = Host::new();
        let registry = Registry::with_password(&host);
        let server = registry.name();
        let bin = host.work().join("bin");
        fs::create_dir(&bin).expect("mkdir");
        fs::write(bin.join("docker-credential-test"), HELPER).expect("write");
        fs::set_permissions(bin.join("docker-credential-test"), fs::Permissions::from_mode(0o755))
            .expect("chmod");
        let path = format!("{}:/usr/bin:/bin", bin.display());
        fs::create_dir(host.home().join(".docker")).expect("mkdir");
        let named = if key == "credsStore" { json!("test") } else { json!({ &server: "test" }) };
        fs::write(file(&host), json!({ key: named }).to_string()).expect("write");
        let mini = |line: &[&str]| host.mini(line).env("PATH", &path);
        let login = mini(&["login", "-u", "mini", "--password-stdin", &server]).stdin("secret").run().ok();
        assert_eq!(login.err(), "", "nothing is stored unencrypted");
        assert_eq!(content(&host), json!({ key: named, "auths": { &server: {} } }));
        let kept = fs::read_to_string(host.home().join("kept")).expect("the helper's file");
        let kept: Value = serde_json::from_str(&kept).expect("JSON");
        assert_eq!(kept, json!({"ServerURL": server, "Username": "mini", "Secret": "secret"}));
        let (name, _) = registry.push("a", "1", &Image::busybox());
        mini(&["pull", "-q", &name]).run().ok();
        mini(&["login", &server]).run().ok().stdout_has("existing credentials");
        mini(&["logout", &server]).run().ok().stdout_has("Removing login credentials");
        assert!(!host.home().join("kept").exists());
        assert_eq!(content(&host), json!({ key: named, "auths": {} }));
        mini(&["logout", &server]).run().ok().stdout_has("Not logged in");
        mini(&["pull", "-q", &name]).run().error(1, &["denied"]);
        // One that is not there is no reason to write the password into the file.
        let login = host.mini(["login", "-u", "mini", "--password-stdin", &server]).stdin("secret").run();
        login.error(1, &["docker-credential-test"]);
        assert_eq!(content(&host), json!({ key: named, "auths": {} }));
    }
}

#[test]
fn a_token_is_kept_instead_of_the_password() {
    let host = Host::new();
    let access = Access::TokenFor(CREDENTIALS.into());
    let server = ImageServer::twisted(Contents::default(), access, |request, reply| {
        let is_token = request.target.starts_with("/token") && reply.status == 200;
        match is_token && request.target.contains("offline_token=true") {
            true => Reply::new(200, json!({"token": "T", "refresh_token": "keep-me"}).to_string()),
            false => reply,
        }
    });
    let name = server.name();
    let wrong = host.mini(["login", "-u", "mini", "--password-stdin", &name]).stdin("wrong").run();
    wrong.error(1, &["unauthorized: incorrect username or password"]);
    host.mini(["login", "-u", "mini", "--password-stdin", &name]).stdin("secret").run().ok();
    // mini: in base 64.
    let expected = json!({ "auths": { &name: { "auth": "bWluaTo=", "identitytoken": "keep-me" } } });
    assert_eq!(content(&host), expected);
}

#[test]
fn of_many_at_once_none_is_lost() {
    let host = Host::new();
    let servers: Vec<_> = (0..16).map(|_| ImageServer::open(Contents::default())).collect();
    fs::create_dir(host.home().join(".docker")).expect("mkdir");
    fs::write(file(&host), r#"{"psFormat": "x", "auths": {"other": {"auth": "eDp5"}}}"#).expect("write");
    let names: Vec<_> = servers.iter().map(ImageServer::name).collect();
    let at_once = |command: &dyn Fn(&str) -> Mini| {
        let begun: Vec<_> = names.iter().map(|name| command(name).start()).collect();
        begun.into_iter().for_each(|one| drop(one.wait().ok()));
    };
    at_once(&|name| host.mini(["login", "-u", "mini", "-p", "secret", name]));
    let auths = &content(&host)["auths"];
    assert_eq!(auths.as_object().expect("an object").len(), 17, "{auths}");
    assert!(names.iter().all(|name| auths[name]["auth"] == CREDENTIALS), "{auths}");
    at_once(&|name| host.mini(["logout", name]));
    assert_eq!(content(&host), json!({"psFormat": "x", "auths": {"other": {"auth": "eDp5"}}}));
    assert_eq!(fs::metadata(file(&host)).expect("stat").permissions().mode() & 0o777, 0o600);
}

/// The file is whole whenever a login is killed, between two operations or amid one, and the next one works.
#[test]
fn a_killed_login_leaves_the_file_whole() {
    let host = Host::new();
    let server = ImageServer::open(Contents::default());
    let before = json!({"psFormat": "x".repeat(3000), "auths": {"other": {"auth": "eDp5"}}});
    fs::create_dir(host.home().join(".docker")).expect("mkdir");
    let mut after = before.clone();
    after["auths"][server.name()] = json!({"auth": CREDENTIALS});
    let login = |host: &Host| host.mini(["login", "-u", "mini", "-p", "secret", &server.name()]);
    let scene = Scene {
        before: &|host| fs::write(file(host), before.to_string()).expect("write"),
        command: &login,
        after: &|host| {
            let found = content(host);
            assert!(found == before || found == after, "{found}");
            login(host).run().ok();
            assert_eq!(content(host), after);
        },
    };
    at_every_operation(&host, "client", &scene);
    // Whoever writes a file beyond so many blocks has written as much, and is killed by SIGXFSZ (setrlimit(2)).
    let mut killed = 0;
    for blocks in 1..=20 {
        (scene.before)(&host);
        let login = format!("{} login -u mini -p secret {}", host.binary().display(), server.name());
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -c 0; ulimit -f {blocks}; exec {login}")]);
        command.env_clear().envs(host.environment());
        let output = Mini::new(command).run();
        let found = content(&host);
        assert!(found == before || found == after, "{blocks} blocks: {found}");
        match output.status.signal() {
            None => {
                output.ok().stdout("Login Succeeded\n");
                break;
            }
            Some(signal) => assert_eq!(signal, Signal::XFSZ.as_raw(), "{output}"),
        }
        killed += 1;
    }
    assert!((2..20).contains(&killed), "{killed} were killed");
    (scene.after)(&host);
}
