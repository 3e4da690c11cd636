//! `--format`: docker's columns, templates and JSON of every list.

use serde_json::{Value, json};
use tests::registry::Registry;
use tests::{Host, Image, Tarball, net};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn columns_are_as_wide_as_dockers() {
    let host = Host::with_busybox();
    host.start(["--name", "ab", "-l", "x.some-kind=one", "busybox", "sleep", "1000"]);
    host.start(["--name", "longer_than_ten", "busybox", "sh", "-c", "sleep 1000"]);
    let table = host.mini([
        "ps",
        "--format",
        r#"table {{.Names}}\t{{.Label "x.some-kind"}}\t{{upper .State}}\t{{.Command}}"#,
    ]);
    table.run().ok().stdout(concat!(
        "NAMES             some kind   STATE     COMMAND\n",
        "longer_than_ten               RUNNING   \"sh -c 'sleep 1000'\"\n",
        "ab                one         RUNNING   \"sleep 1000\"\n",
    ));
    // Ten columns at least, and three spaces between: docker's tabwriter.
    let plain = host.mini(["ps"]).run().ok().lines();
    assert!(plain[0].starts_with("CONTAINER ID   IMAGE     COMMAND"), "{plain:?}");
    assert_eq!(host.mini(["ps", "--format", "table"]).run().ok().lines()[0], plain[0]);
    let images = host.mini(["images"]).run().ok().lines();
    assert!(images[0].starts_with("REPOSITORY   TAG       IMAGE ID       CREATED"), "{images:?}");
    assert!(images[0].ends_with("SIZE"), "{images:?}");
    host.mini(["ps", "-f", "name=nothing", "--format", r"table {{.Names}}\t{{.Size}}"])
        .run()
        .ok()
        .stdout("NAMES     SIZE\n");
}

#[test]
fn templates_are_gos() {
    let host = Host::with_busybox();
    let container = host.start([
        "--name",
        "web",
        "-l",
        "b=2",
        "-l",
        "a=1",
        "-v",
        "/proc/self/environ:/somewhere",
        "busybox",
        "sleep",
        "1000",
    ]);
    let format = |template: &str| host.mini(["ps", "--format", template]).run().ok().line();
    for (template, expected) in [
        ("{{.Names}} {{.Image}} {{.Networks}} {{.LocalVolumes}}", "web busybox bridge 0"),
        (r#"{{range $i, $l := split .Labels ","}}{{if $i}}; {{end}}{{$l}}{{end}}"#, "a=1; b=2"),
        (r#"{{if eq .State "running"}}{{.Names | printf "%-5s|"}}{{else}}no{{end}}"#, "web  |"),
        (r#"{{with .Label "a"}}{{.}}{{$.Names}}{{end}}{{.Label "none"}}|"#, "1web|"),
        (
            r#"{{title .Names}} {{json .Names}} {{truncate .Names 2}} {{len .Names}}{{/* a comment */}}"#,
            "Web \"web\" we 3",
        ),
        (r"{{.Names}}\t{{.State}}", "web\trunning"),
        ("{{.Mounts}}", "/proc/self/env…"),
        ("{{.Platform}}", "linux/amd64"),
    ] {
        assert_eq!(format(template), expected, "{template}");
    }
    let address = container.address();
    assert_eq!(format("{{.IPAddresses}}"), format!("[bridge/{address}]"));
    assert_eq!(format("{{.ID}}"), container.short());
    assert_eq!(format("yaml"), "yaml", "docker takes any word for a template");
    host.mini(["ps", "--no-trunc", "--format", "{{.ID}} {{.Mounts}}"])
        .run()
        .ok()
        .stdout(&format!("{} /proc/self/environ\n", container.id));
    let quiet = host.mini(["ps", "-q", "--format", "{{.Names}}"]).run().ok();
    quiet.stdout(&format!("{}\n", container.short())).stderr_has("--format is left aside");
    // The time of day is the user's.
    let made = host.mini(["ps", "--format", "{{.CreatedAt}}"]).env("TZ", "XYZ-3").run().ok().line();
    assert!(made.ends_with(" +0300 XYZ") && made.len() == 29, "{made}");
    host.mini(["ps", "--format", "raw"]).run().ok().stdout_has("names: web\nlabels: a=1,b=2\nports:\n");
    // What it was before it was started again, it is afterwards.
    host.mini(["restart", "-t", "0", "web"]).run().ok();
    assert_eq!(format(r#"{{.Names}} {{.Labels}} {{.Label "b"}} {{.Image}}"#), "web a=1,b=2 2 busybox");
}

#[test]
fn what_is_wrong_with_a_template_is_told_as_docker_tells_it() {
    let host = Host::with_busybox();
    let ps = |template: &str| host.mini(["ps", "--format", template]).run();
    // Nothing is listed, and it is wrong all the same.
    ps("{{.ID}} {{.Color}}")
        .error(1, &["template parsing error: template: :1:10: executing \"\" at <.Color>: can't evaluate field Color"])
        .hints(".Names");
    ps("{{foo .ID}}").error(1, &["template parsing error: template: :1: function \"foo\" not defined"]);
    ps("{{html .ID}}").error(1, &["function \"html\" is not supported"]);
    ps("{{.ID").error(1, &["template parsing error: template: :1: unclosed action"]);
    host.mini(["images", "--format", "table {{.Names}}"])
        .run()
        .error(1, &["field Names in type image"])
        .hints(".Repository");
    host.mini(["stats", "--no-stream", "--format", "{{.Names}}"])
        .run()
        .error(1, &["field Names"])
        .hints(".MemUsage");
    for command in ["version", "info"] {
        let output = host.mini([command, "--format", "{{"]).run();
        output.error(64, &["template parsing error: template: :1: unclosed action"]).stdout("");
        host.mini([command, "--format", "{{.Nothing}}"]).run().error(1, &["no entry for key \"Nothing\""]);
    }
    host.start(["busybox", "sleep", "1000"]);
    ps("{{.ID.X}}").error(1, &["can't evaluate field X in type string"]);
    ps("{{index .ID 99}}").error(1, &["index out of range: 99"]);
}

#[test]
fn json_has_dockers_keys() {
    let host = Host::with_busybox();
    let container = net::speaker(&host, &["--name", "box", "-p", "8080:80"], "x");
    let row = host.mini(["ps", "--format", "json"]).run().ok().json();
    assert_eq!(
        keys(&row),
        [
            "Command",
            "CreatedAt",
            "HealthStatus",
            "ID",
            "IPAddresses",
            "Image",
            "Labels",
            "LocalVolumes",
            "Mounts",
            "Names",
            "Networks",
            "Platform",
            "Ports",
            "RunningFor",
            "Size",
            "State",
            "Status"
        ]
    );
    assert_eq!(row["IPAddresses"], json!([{"IP": container.address().to_string(), "Network": "bridge"}]));
    assert_eq!(row["Platform"], json!({"architecture": "amd64", "os": "linux"}));
    assert_eq!(host.mini(["ps", "--format", "{{json .}}"]).run().ok().json()["Names"], "box");
    let image = host.mini(["images", "--format", "json"]).run().ok().json();
    assert_eq!(
        keys(&image),
        [
            "Containers",
            "CreatedAt",
            "CreatedSince",
            "Digest",
            "ID",
            "Repository",
            "SharedSize",
            "Size",
            "Tag",
            "UniqueSize",
            "VirtualSize"
        ]
    );
    for (key, value) in
        [("Containers", "N/A"), ("Digest", "<none>"), ("Repository", "busybox"), ("Tag", "latest")]
    {
        assert_eq!(image[key], value, "{image}");
    }
    let stats = host.mini(["stats", "--no-stream", "--format", "json"]).run().ok().json();
    assert_eq!(
        keys(&stats),
        ["BlockIO", "CPUPerc", "Container", "ID", "MemPerc", "MemUsage", "Name", "NetIO", "PIDs"]
    );
    let line = host.mini(["stats", "--no-stream", "--format", "table {{.Name}}\\t{{.PIDs}}"]).run().ok();
    line.stdout_has("NAME      PIDS\nbox       ");
}

#[test]
fn sizes_are_counted_where_they_are_asked_for() {
    let host = Host::with_busybox();
    let script = "head -c 100000 /dev/zero > /tmp/a; ln /tmp/a /tmp/b; ln -s a /tmp/c; rm /bin/nc";
    host.mini(["run", "--name", "box", "busybox", "sh", "-c", script]).run().ok();
    let image = host.mini(["images", "--format", "{{json .}}"]).run().ok().json();
    let all = image["VirtualSize"].as_str().expect("a text").to_owned();
    assert!(all.ends_with("MB"), "{all}");
    // Each file once, whatever its names; the length of a link; nothing for what was removed.
    let size = host.mini(["ps", "-a", "--format", "{{.Size}}"]).run().ok().line();
    assert!(size.starts_with("100kB (virtual ") && size.ends_with("MB)"), "{size}");
    let table = host.mini(["ps", "-a", "-s"]).run().ok().lines();
    assert!(table[0].ends_with("NAMES     SIZE") && table[1].ends_with(&size), "{table:?}");
    let json = |args: &[&str]| host.mini(["ps", "-a", "--format", "json"]).args(args).run().ok().json();
    assert_eq!(json(&["--size"])["Size"], size);
    assert_eq!(json(&[])["Size"], "0B", "docker's number where nobody asked for it");
}

#[test]
fn a_container_whose_images_name_is_anothers_by_now_shows_the_id() {
    let host = Host::with_busybox();
    host.mini(["create", "--name", "box", "docker.io/library/busybox:latest"]).run().ok();
    let image =
        |args: &[&str]| host.mini(["ps", "-a", "--format", "{{.Image}}"]).args(args).run().ok().line();
    assert_eq!(image(&[]), "busybox:latest");
    assert_eq!(image(&["--no-trunc"]), "docker.io/library/busybox:latest");
    let old = Image::busybox().configuration().digest();
    host.load(&Image::busybox().set("User", "nobody"), "busybox:latest");
    assert_eq!(image(&[]), old[7..19]);
    assert_eq!(image(&["--no-trunc"]), old);
    let by_old_image = host.mini(["ps", "-aq", "--filter", &format!("ancestor={}", &old[7..19])]).run().ok();
    assert_eq!(by_old_image.lines().len(), 1);
    host.mini(["ps", "-aq", "--filter", "ancestor=busybox"]).run().ok().stdout("");
}

#[test]
fn images_by_filters_patterns_and_digests() {
    let host = Host::new();
    let image = |word: &str, built: &str| {
        Image::busybox()
            .with(Tarball::new().file("word", 0o644, word))
            .set("Labels", json!({"word": word, "made": "here"}))
            .built(built)
    };
    host.load(&image("old", "2020-01-01T00:00:00Z"), "team/old:1");
    host.load(&image("lost", "2021-01-01T00:00:00Z"), "lost:1");
    host.load(&image("new", "2022-01-01T00:00:00Z"), "lost:1");
    host.load(&image("new", "2022-01-01T00:00:00Z"), "team/new:2");
    let list = |args: &[&str]| {
        let output = host.mini(["images", "--format", "{{.Repository}}:{{.Tag}}"]).args(args).run().ok();
        output.lines()
    };
    for (args, expected) in [
        (&[][..], &["lost:1", "team/new:2", "<none>:<none>", "team/old:1"][..]),
        (&["-a"], &["lost:1", "team/new:2", "<none>:<none>", "team/old:1"]),
        (&["-f", "dangling=true"], &["<none>:<none>"]),
        (&["-f", "dangling=false"], &["lost:1", "team/new:2", "team/old:1"]),
        (&["-f", "label=word=old"], &["team/old:1"]),
        (&["-f", "label=made", "-f", "label=word=lost"], &["<none>:<none>"]),
        (&["-f", "before=team/new:2"], &["<none>:<none>", "team/old:1"]),
        (&["-f", "since=team/old:1", "-f", "dangling=false"], &["lost:1", "team/new:2"]),
        (&["-f", "until=2020-06-01T00:00:00Z"], &["team/old:1"]),
        (&["-f", "reference=team/*"], &["team/new:2", "team/old:1"]),
        (&["-f", "reference=*/old", "-f", "reference=lost:[0-9]"], &["lost:1", "team/old:1"]),
        (&["team/*:2"], &["team/new:2"]),
        (&["lost"], &["lost:1"]),
        (&["docker.io/library/lost"], &["lost:1"]),
        (&["lost:2"], &[]),
    ] {
        assert_eq!(list(args), expected, "{args:?}");
    }
    host.mini(["images", "-f", "color=red"]).run().error(1, &["color", "dangling"]);
    host.mini(["images", "-f", "dangling=maybe"]).run().error(1, &["maybe"]);
    host.mini(["images", "-f", "before=no-such"]).run().error(1, &["no-such"]);
    host.mini(["images", "["]).run().error(1, &["pattern"]);
    // docker prints the id once a name; a template wins over -q.
    let ids = host.mini(["images", "-q", "-f", "dangling=false"]).run().ok().lines();
    assert_eq!((ids.len(), &ids[0]), (3, &ids[1]));
    assert_eq!(list(&["-q", "team/old"]), ["team/old:1"]);
}

#[test]
fn digests_are_what_images_were_pulled_as() {
    let host = Host::new();
    let registry = Registry::start(&host);
    let (name, manifest) = registry.push("team/image", "1", &Image::busybox());
    host.mini(["pull", &name]).run().ok();
    let digest = manifest.digest();
    let lines = host.mini(["images", "--digests"]).run().ok().lines();
    let column = lines[0].find("DIGEST").expect("a column");
    assert_eq!(lines[1].get(column..column + 71), Some(digest.as_str()), "{lines:?}");
    host.mini(["images", "--format", "{{.Tag}} {{.Digest}}"]).run().ok().stdout(&format!("1 {digest}\n"));
    let table = host.mini(["images", "--digests", "--format", "table {{.Tag}}"]).run().ok();
    table.stdout(&format!("TAG       DIGEST\n1         {digest}\n"));
    assert_eq!(
        host.mini(["images", "--format", "json"]).run().ok().json()["Digest"],
        "<none>",
        "docker's: not asked for"
    );
}

#[test]
fn labels_cannot_break_out_of_json() {
    let host = Host::with_busybox();
    let hostile = "a\"b\\c\n\t\u{1b}[31m{{.ID}}";
    host.start(["--name", "box", "-l", &format!("x={hostile}"), "busybox", "sleep", "1000"]);
    let lines = host.mini(["ps", "--format", "json"]).run().ok().lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let row: Value = serde_json::from_str(&lines[0]).expect("JSON");
    assert_eq!(row["Labels"], format!("x={hostile}"));
    // What a label says is text, not a template.
    let label = host.mini(["ps", "--format", "{{.Label \"x\"}}"]).run().ok().text();
    assert_eq!(label, format!("{hostile}\n"));
    let quoted = host.mini(["ps", "--format", "{{printf \"%q\" .Labels}}"]).run().ok().line();
    assert_eq!(quoted, r#""x=a\"b\\c\n\t\x1b[31m{{.ID}}""#);
}

#[test]
fn version_and_info_answer_as_a_server_would() {
    let host = Host::with_busybox();
    host.start(["busybox", "sleep", "1000"]);
    host.mini(["create", "busybox"]).run().ok();
    let version = env!("CARGO_PKG_VERSION");
    let both = host
        .mini(["version", "--format", "{{.Client.Version}} {{.Server.Version}} {{.Server.Os}}"])
        .run()
        .ok();
    both.stdout(&format!("{version} {version} linux\n"));
    let components =
        "{{range .Server.Components}}{{.Name}} {{index .Details \"Arch\"}}{{.Details.None}}{{end}}";
    host.mini(["version", "-f", components]).run().ok().stdout("Engine amd64<no value>\n");
    assert_eq!(host.mini(["version", "-f", "json"]).run().ok().json()["Client"]["Version"], version);
    let counts =
        "{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}} {{.Images}}";
    host.mini(["info", "--format", counts]).run().ok().stdout("2 1 0 1 1\n");
    let info = host.mini(["info", "-f", "json"]).run().ok().json();
    assert_eq!(info["DockerRootDir"], host.root().display().to_string());
    assert_eq!((&info["OSType"], &info["ServerVersion"]), (&json!("linux"), &json!(version)));
}

#[test]
fn info_and_version_say_where_and_what() {
    let host = Host::with_busybox();
    host.start(["busybox", "sleep", "1000"]);
    let info = host.mini(["info"]).run().ok();
    for part in
        [host.root().display().to_string(), host.run_root().display().to_string(), host.cgroup_parent()]
    {
        assert!(info.text().contains(&part), "no {part}: {info}");
    }
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("read");
    info.stdout_has(kernel.trim());
    let version = host.mini(["version"]).run().ok().text();
    assert!(
        version.to_lowercase().contains("mini") && version.contains(env!("CARGO_PKG_VERSION")),
        "{version}"
    );
    host.mini(["--version"]).run().ok().stdout_has(env!("CARGO_PKG_VERSION"));
}
