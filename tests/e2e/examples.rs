//! Every example of every `--help` is carried out, on a terminal, in a host that has what examples speak of: the tables below.
//!
//! The images are `busybox`, `nginx` ([`web_server`]) and `localhost:5000/app:1`; a registry at `localhost:5000` has them too.
//! `docker` is a program that saves an image. The examples of one command are carried out one after the other in a host of their
//! own; each ends with 0, or as [`ENDINGS`] says.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use serde_json::json;
use tests::image::{Compression, pack};
use tests::reference::{self, Reference};
use tests::registry::Registry;
use tests::terminal::{CTRL_C, DETACH, Terminal};
use tests::{Host, Image, Tarball};

/// Lines that go on until somebody ends them, or that ask: what they show before, the keys, and their code.
const ENDINGS: &[(&str, &str, &str, i32)] = &[
    ("mini run -it --rm busybox", "# ", "exit\r", 0),
    ("mini exec -it web sh", "# ", "exit\r", 0),
    ("mini attach shell", "", DETACH, 0),
    ("mini attach --no-stdin --sig-proxy=false web", "ready", CTRL_C, 130),
    ("mini logs -f web", "ready", CTRL_C, 130),
    ("mini stats", "CPU %", CTRL_C, 130),
    ("mini class reset", "[y/N]", "y\r", 0),
    ("mini learn", "q: leave", "q\r", 0),
    ("mini learn uts", "q: leave", "q\r", 0),
    ("mini view web", "[1 process]", "q", 0),
    ("mini image explore busybox", "q: quit", "q", 0),
    ("mini step busybox echo hello", "(step)", "c\r", 0),
    ("mini volume prune -a --filter label=scratch", "[y/N]", "y\r", 0),
    ("mini system prune -a --volumes", "[y/N]", "y\r", 0),
];

/// What there is by name, and the line of mini that makes it; not made where one of the examples makes it.
const THINGS: &[(&str, &str)] = &[
    ("web", "run -d --name web -p 8080:80 nginx"),
    ("db", "run -d --name db nginx"),
    ("shell", "run -dit --name shell --stop-timeout 1 busybox"),
    ("job", "run --name job --label job busybox echo done"),
    ("data", "volume create data"),
    ("scratch", "volume create --label scratch scratch"),
    ("password", "secret create password password.txt"),
];

/// Files in the working directory, beside archives and a layout of an image, and its files.
const FILES: &[(&str, &str)] = &[("password.txt", "secret"), ("site/index.html", "<p>hello</p>")];

/// Variables of the shell into which they are typed.
const VARIABLES: &[(&str, &str)] = &[("TOKEN", "secret")];

/// What whoever adds an example has to do.
const HINT: &str = "\
Each line above stands in the after_help of a command (cli/src/commands), and did not end with 0 where it was typed. Mend the
example; or add what it speaks of to THINGS, FILES or VARIABLES of tests/e2e/examples.rs; or, where it goes on until somebody
ends it, or asks, add what it shows, the keys that it waits for and its code to ENDINGS there.";

/// Directories of the machine that examples write into: of the host's own while they do.
const SHARED: &str = "/usr/local/share";

/// What the examples of one command find there.
struct World {
    /// It ends before its host does.
    _registry: Option<Registry>,
    host: Host,
}

impl World {
    fn new(lines: &[String]) -> World {
        let host = Host::new();
        let typed: Vec<_> = lines.iter().flat_map(|line| reference::commands(line)).collect();
        files(&host);
        host.load(&Image::busybox(), "busybox:latest");
        host.load(&web_server(), "nginx:latest");
        host.load(&Image::busybox().built("2024-04-04T00:00:00Z"), "localhost:5000/app:1");
        for (_, line) in THINGS.iter().filter(|(name, _)| !typed.iter().any(|words| makes(words, name))) {
            host.mini(line.split(' ')).directory(host.work()).run().ok();
        }
        let pulls = lines
            .iter()
            .any(|line| ["mini pull", "mini push", "mini log"].iter().any(|word| line.contains(word)));
        let registry = pulls.then(|| Registry::at(&host, 5000));
        if let Some(registry) = &registry {
            registry.push("app", "1", &Image::busybox());
            registry.push("busybox", "latest", &Image::busybox());
        }
        host.tool("mount", ["-t", "tmpfs", "none", SHARED]);
        fs::create_dir_all(format!("{SHARED}/zsh/site-functions")).expect("mkdir");
        World { _registry: registry, host }
    }

    /// A line as somebody types it into bash.
    fn carry_out(&self, line: &str) -> Result<(), String> {
        // The one thing that is not here: Docker Hub.
        let typed = line.replace("mini pull busybox", "mini pull localhost:5000/busybox");
        let mut command = Command::new("bash");
        command.args(["-e", "-o", "pipefail", "-c", &typed]).env_clear().envs(self.host.environment());
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", self.host.work().join("bin").display());
        command.env("PATH", path).envs(VARIABLES.iter().copied()).current_dir(self.host.work());
        let mut terminal = Terminal::start(&command, 24, 200);
        let ending = ENDINGS.iter().find(|(known, ..)| *known == line);
        if let Some((_, shows, keys, _)) = ending {
            terminal.expect_screen(shows);
            if shows.is_empty() {
                terminal.is_raw();
            }
            terminal.send(keys);
        }
        let status = terminal.wait();
        let code = status.code().or(status.signal().map(|signal| 128 + signal));
        let expected = ending.map_or(0, |(.., code)| *code);
        let shown = terminal.contents();
        (code == Some(expected)).then_some(()).ok_or(format!("{line}: {status}\n{shown}"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.host.tool("umount", [SHARED]);
    }
}

/// Whether a line makes a thing of that name: `mini run --name web …`, `mini GROUP create NAME`.
fn makes(words: &[String], name: &str) -> bool {
    let has = |wanted: &str| words.iter().any(|word| word == wanted);
    has(name) && (has("--name") || has("create"))
}

/// What lies in the working directory, and the programs in the path.
fn files(host: &Host) {
    let work = host.work();
    let put = |name: &str, text: &[u8]| {
        let path = work.join(name);
        fs::create_dir_all(path.parent().expect("a directory")).expect("mkdir");
        fs::write(path, text).expect("write");
    };
    for (name, text) in FILES {
        put(name, text.as_bytes());
    }
    let archive = Image::busybox().docker_archive(&["busybox:latest"]);
    put("image.tar.gz", &pack(&archive, Compression::Gzip));
    put("image.tar", &archive);
    let rootfs = Image::busybox().layers.remove(0);
    put("rootfs.tar.gz", &pack(&rootfs, Compression::Gzip));
    put("rootfs.tar", &rootfs);
    put("layout/layout.tar", &Image::busybox().oci_layout("busybox:latest"));
    host.tool(
        "tar",
        [
            "-C",
            work.join("layout").to_str().expect("text"),
            "-xf",
            work.join("layout/layout.tar").to_str().expect("text"),
        ],
    );
    put("bin/docker", format!("#!/bin/sh\ncat {}/image.tar\n", work.display()).as_bytes());
    fs::set_permissions(work.join("bin/docker"), fs::Permissions::from_mode(0o755)).expect("chmod");
    std::os::unix::fs::symlink(host.binary(), work.join("bin/mini")).expect("symlink");
    fs::create_dir_all(host.home().join(".config/fish/completions")).expect("mkdir");
    fs::create_dir_all("/etc/bash_completion.d").expect("mkdir");
}

/// Something that stands for nginx: it has its files and its user, says again and again that it is ready, and hears HUP and TERM.
fn web_server() -> Image {
    let script = "trap : HUP; trap 'exit 0' TERM; while :; do echo ready; sleep 0.05; done";
    let passwd = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/bin/false\n";
    let layer = Tarball::new()
        .file("etc/passwd", 0o644, passwd)
        .directory("etc/nginx", 0o755)
        .file("etc/nginx/nginx.conf", 0o644, "events {}\n")
        .directory("usr/share", 0o755)
        .directory("usr/share/nginx", 0o755)
        .directory("usr/share/nginx/html", 0o755)
        .directory("var/log", 0o755)
        .file("var/log/access.log", 0o644, "");
    Image::busybox()
        .with(layer)
        .set("Cmd", json!(["sh", "-c", script]))
        .set("ExposedPorts", json!({"80/tcp": {}}))
}

/// Carries out the examples of every fourth command, each once whatever its names.
fn quarter(which: usize) {
    let commands = {
        let host = Host::new();
        let mut seen = BTreeSet::new();
        let mut commands: Vec<_> = Reference::of(&host).commands;
        commands.retain(|command| seen.insert(command.texts("examples")));
        commands
    };
    let mut failed = Vec::new();
    for command in commands.iter().skip(which).step_by(4) {
        let lines = command.texts("examples");
        let world = World::new(&lines);
        failed.extend(lines.iter().filter_map(|line| world.carry_out(line).err()));
    }
    assert!(failed.is_empty(), "{}\n\n{HINT}", failed.join("\n\n"));
}

#[test]
fn the_first_quarter() {
    quarter(0);
}

#[test]
fn the_second_quarter() {
    quarter(1);
}

#[test]
fn the_third_quarter() {
    quarter(2);
}

#[test]
fn the_last_quarter() {
    quarter(3);
}
