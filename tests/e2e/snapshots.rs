//! What the lists and reports print, as a whole: a change of any word, column or key is seen in a diff.
//!
//! The expected texts lie in `snapshots/`. `INSTA_UPDATE=always` writes them anew, to be read before they are committed.

use regex_lite::Regex;
use tests::lines::{Normal, words};
use tests::{Host, Image};

/// What a user would see who typed these lines.
fn transcript(host: &Host, lines: &[&str]) -> String {
    let normal = Normal::new();
    let mut all = String::new();
    for line in lines {
        let output = host.mini(words(line)).run();
        let mut text = normal.text(&output.text());
        let errors = normal.text(&output.err());
        if !errors.is_empty() {
            text = format!("{text}\n(stderr) {errors}");
        }
        let code = output.status.code().expect("an exit code");
        all.push_str(&format!("$ mini {line}\n{}\n[{code}]\n\n", text.trim()));
    }
    // Of Debian's busybox there is more than one.
    let sizes = Regex::new(r"\b\d+(\.\d+)?[kMG]?B\b").expect("a rule");
    let all = all.replace(&host.root().display().to_string(), "ROOT");
    sizes.replace_all(&all.replace(&host.cgroup_parent(), "PARENT"), "SIZE").into_owned()
}

fn check(name: &str, host: &Host, lines: &[&str]) {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(name, transcript(host, lines)));
}

/// One that runs, one that ended, one that was only made.
fn scene() -> Host {
    let host = Host::new();
    host.load(&Image::busybox().set("Labels", serde_json::json!({ "made-by": "us" })), "busybox:latest");
    let main = ["--name", "web", "-l", "tier=front", "-p", "127.0.0.1:18080:80", "--expose", "443/udp"];
    let rest = ["-v", "data:/data", "busybox", "sh", "-c", "echo up; exec sleep 1000"];
    host.start(main.into_iter().chain(rest));
    host.mini(["run", "--name", "job", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3"]).run();
    host.mini(["create", "--name", "later", "--restart", "on-failure:3", "busybox", "true"]).run().ok();
    host
}

#[test]
fn lists() {
    let host = scene();
    check(
        "lists",
        &host,
        &[
            "ps",
            "ps -a",
            "ps -aq --no-trunc",
            "ps -l --no-trunc",
            "ps -a --filter status=exited --format json",
            "ps -a --filter nonsense=1",
            "images",
            "images --digests --no-trunc",
            "images --format json",
            "volume ls",
            "volume ls --format json",
            "network ls",
            "network ls --no-trunc --format json",
            "port web",
            "top web -o comm",
            "diff later",
            "logs job",
            "stats --no-stream --format '{{.Name}}'",
        ],
    );
}

#[test]
fn reports() {
    let host = scene();
    check(
        "reports",
        &host,
        &[
            "volume inspect data",
            "network inspect none host",
            "inspect --type network nosuch",
            "inspect nosuch",
            "inspect -f '{{json .HostConfig}}' later",
            "inspect -f '{{json .Config}}' web",
            "inspect -f '{{json .NetworkSettings}}' web",
            "inspect -f '{{json .Mounts}}' web",
            "inspect --as-run web later",
            "image inspect -f '{{json .Config}} {{json .RootFS.Type}}' busybox",
            "system df --format '{{.Type}} {{.TotalCount}} {{.Active}}'",
            "events --since 0 --until 0s --filter container=later",
        ],
    );
}

#[test]
fn refusals() {
    let host = scene();
    check(
        "refusals",
        &host,
        &[
            "run --gpus all busybox",
            "run -p 80:80:80:80 busybox",
            "run -m 1k busybox",
            "run --restart sometimes busybox",
            "run --rm --restart always busybox",
            "run -v data:relative busybox",
            "run --mount type=bind,source=/nosuch,target=/x busybox",
            "run --network nosuch busybox",
            "run --log-driver syslog busybox",
            "run --name web busybox",
            "start nosuch",
            "exec later true",
            "rm web",
            "rmi busybox",
            "volume rm data",
            "cp web:/nosuch /tmp",
            "kill -s NOSUCH web",
            "pause later",
            "update --memory 1k web",
            "ps --format '{{.Nope}}'",
        ],
    );
}
