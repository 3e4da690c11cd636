//! `mini image tree` and `mini image explore`: what layers share, add, change, hide and waste.

use serde_json::{Value, json};
use tests::terminal::{CTRL_C, Terminal};
use tests::{Host, Image, Tarball};

fn file(name: &str, bytes: usize) -> Tarball {
    Tarball::new().file(name, 0o644, vec![b'x'; bytes])
}

/// Three layers: files; one replaced, one hidden, a directory emptied; more.
fn layered() -> Image {
    let below = Tarball::new()
        .directory("etc", 0o755)
        .file("etc/passwd", 0o644, vec![b'x'; 1000])
        .file("etc/shadow", 0o600, vec![b'x'; 200])
        .directory("cache", 0o755)
        .file("cache/a", 0o644, vec![b'x'; 3000])
        .file("cache/b", 0o644, vec![b'x'; 4000])
        .directory("opt", 0o755)
        .file("opt/old", 0o644, vec![b'x'; 50]);
    let middle = Tarball::new()
        .file("etc/passwd", 0o644, vec![b'x'; 1100])
        .file("etc/.wh.shadow", 0o600, "")
        .file(".wh.cache", 0o600, "")
        .directory("opt", 0o755)
        .file("opt/.wh..wh..opq", 0o600, "")
        .file("opt/new", 0o644, vec![b'x'; 60]);
    Image::of([below, middle, file("top", 7)]).set("Cmd", json!(["/top"]))
}

fn explored(host: &Host, subject: &str) -> Value {
    host.mini(["image", "explore", "--json", subject]).run().ok().json()
}

#[test]
fn each_layer_tells_what_it_adds_changes_and_hides() {
    let host = Host::new();
    host.load(&layered(), "x:1");
    let found = explored(&host, "x:1");
    let count = |objects: u64, bytes: u64| json!({ "Objects": objects, "Bytes": bytes });
    let layer = |index: usize| ["Added", "Changed", "Hidden"].map(|key| found["Layers"][index][key].clone());
    assert_eq!(layer(0), [count(8, 8250), count(0, 0), count(0, 0)], "{found}");
    assert_eq!(layer(1), [count(1, 60), count(1, 1100), count(5, 7250)], "{found}");
    assert_eq!(layer(2), [count(1, 7), count(0, 0), count(0, 0)], "{found}");
    assert_eq!((&found["Seen"], &found["Wasted"]), (&json!(1167), &json!(8250)));
    let efficiency = found["Efficiency"].as_f64().expect("a number");
    assert!((efficiency - 1167.0 / 9417.0).abs() < 1e-9, "{efficiency}");
    let waste = |path: &str, bytes: u64| json!({ "Path": path, "Bytes": bytes, "Times": 1 });
    assert_eq!(
        found["WastedPaths"],
        json!([
            waste("/cache", 7000),
            waste("/etc/passwd", 1000),
            waste("/etc/shadow", 200),
            waste("/opt/old", 50)
        ])
    );
    assert_eq!(found["Incomplete"], json!(false));
    let plain = host.mini(["image", "explore", "--plain", "x:1"]).run().ok();
    // Where there is no terminal the flag is not needed.
    host.mini(["image", "explore", "x:1"]).run().ok().stdout(&plain.text());
    let plain = plain.stdout_has("x:1  3 layers  1.167kB seen  8.25kB wasted  12.3 % efficient\n");
    plain.stdout_has("5 (7.25kB)").stdout_has("7kB       1         /cache\n");
    host.mini(["image", "explore", "--plain", "--json", "x:1"]).run().error(1, &["one of them"]);
    host.mini(["image", "explore", "nosuch"]).run().error(1, &["no such image: nosuch"]);
}

#[test]
fn a_path_is_looked_for_in_every_layer() {
    let host = Host::new();
    host.load(&layered(), "x:1");
    let of = |path: &str| -> Vec<(u64, String, bool)> {
        let found = host.mini(["image", "explore", "--json", "--path", path, "x:1"]).run().ok().json();
        let layers = found["Layers"].as_array().expect("a list").clone();
        let one = |layer: &Value| {
            let kind = layer["Kind"].as_str().expect("a word").to_owned();
            (layer["Index"].as_u64().expect("a number"), kind, layer["Seen"] == json!(true))
        };
        layers.iter().map(one).collect()
    };
    let is = |index: u64, kind: &str, seen: bool| (index, kind.to_owned(), seen);
    assert_eq!(of("/etc/passwd"), [is(1, "file", true), is(0, "file", false)]);
    assert_eq!(of("etc/shadow"), [is(1, "whiteout", false), is(0, "file", false)]);
    assert_eq!(of("/cache/a"), [is(1, "whiteout", false), is(0, "file", false)]);
    assert_eq!(of("/opt/old"), [is(0, "file", false)]);
    assert_eq!(of("/top"), [is(2, "file", true)]);
    let text = host.mini(["image", "explore", "--path=/etc/passwd", "x:1"]).run().ok();
    assert_eq!(text.lines().len(), 3, "{text}");
    assert!(
        text.lines()[1].ends_with("file   1.1kB   seen") && text.lines()[2].ends_with("file   1kB"),
        "{text}"
    );
    host.mini(["image", "explore", "--path", "/no/such", "x:1"])
        .run()
        .error(1, &["no layer of x:1 has /no/such"]);
    host.mini(["image", "explore", "--path", "/top/below", "x:1"]).run().error(1, &["has /top/below"]);
}

#[test]
fn a_containers_own_files_are_one_more_layer() {
    let host = Host::new();
    host.load(&Image::busybox().with(file("old", 5000)), "x:1");
    host.mini(["run", "--name", "box", "x:1", "sh", "-c", "echo 12345 >/new; rm /old"]).run().ok();
    let found = explored(&host, "box");
    let layers = found["Layers"].as_array().expect("layers");
    let own = layers.last().expect("a layer");
    assert_eq!((&own["Layer"], &own["Index"]), (&Value::Null, &json!(layers.len() - 1)));
    assert_eq!((&own["Hidden"]["Bytes"], &own["Added"]["Bytes"]), (&json!(5000), &json!(6)), "{found}");
    assert_eq!(found["Wasted"], json!(5000));
    let path = |path: &str| host.mini(["image", "explore", "--path", path, "box"]).run().ok();
    path("/new").stdout_has("(container)   file   6B     seen\n");
    path("/old").stdout_has("(container)    whiteout   -").stdout_lacks("seen");
    host.mini(["image", "explore", "--plain", "box"]).run().ok().stdout_has("what the container has changed");
}

/// Names, labels and commands of an image are anything but a terminal's commands.
#[test]
fn hostile_names_are_written_out() {
    let host = Host::new();
    let evil = "evil\x1b]0;owned\x07\nname";
    let below = Tarball::new().file(evil, 0o644, "below");
    let above = Tarball::new().file(evil, 0o644, "above");
    host.load(&Image::of([below, above]).set("Cmd", json!(["/x"])), "x:1");
    for line in [&["image", "explore", "x:1"][..], &["image", "tree"]] {
        let output = host.mini(line).run().ok();
        assert!(output.text().chars().all(|c| c == '\n' || !c.is_control()), "{output}");
    }
    host.mini(["image", "explore", "x:1"]).run().ok().stdout_has("/evil\\u{1b}]0;owned\\u{7}\\nname\n");
    let mut terminal = host.mini(["image", "explore", "x:1"]).terminal(24, 80);
    terminal.expect_screen("q: quit");
    terminal.send("\r");
    terminal.expect_screen("owned\\u{7}");
    terminal.send("q");
    terminal.ends_with(0);
    assert!(!String::from_utf8_lossy(terminal.bytes()).contains("\x1b]0;"), "a title was set");
}

/// Deeper than a process may have files open, and than a path may be long.
#[test]
fn a_deep_tree_is_no_trouble() {
    let host = Host::new();
    let deep = |depth: usize| "d/".repeat(depth);
    let mut below = Tarball::new();
    for depth in 1..1500 {
        below = below.directory(&deep(depth), 0o755);
    }
    let above = Tarball::new().file(".wh.d", 0o600, "");
    host.load(&Image::of([below, above]).set("Cmd", json!(["/x"])), "x:1");
    let found = explored(&host, "x:1");
    assert_eq!(found["Layers"][0]["Added"]["Objects"], json!(1499));
    assert_eq!(found["Layers"][1]["Hidden"]["Objects"], json!(1499));
}

/// No line is wider than the window, and none is lost below it.
#[track_caller]
fn fits(terminal: &mut Terminal, columns: usize) {
    terminal.expect_that("fits, with its first and its last line", |screen| {
        let lines: Vec<&str> = screen.lines().collect();
        lines.first().is_some_and(|line| line.starts_with("x:1  3 layers"))
            && lines.last().is_some_and(|line| line.contains("q: quit"))
            && lines.iter().all(|line| line.chars().count() <= columns)
    });
}

#[test]
fn on_a_terminal_keys_open_layers_and_the_screen_comes_back() {
    let host = Host::new();
    host.load(&layered(), "x:1");
    let mut terminal = host.mini(["image", "explore", "x:1"]).terminal(24, 80);
    terminal.expect_screen("wasted        8.25kB");
    terminal.is_raw();
    fits(&mut terminal, 80);
    terminal.send("\x1b[B\r");
    terminal.expect_screen("layer 1");
    terminal.expect_screen("D       7kB  /cache");
    terminal.expect_screen("C     1.1kB  /etc/passwd");
    fits(&mut terminal, 80);
    // By size the largest comes first.
    terminal.send("\r");
    terminal.expect_that("has /cache first", |screen| {
        screen.lines().nth(2).is_some_and(|line| line.contains("/cache"))
    });
    terminal.send("\x1b[D");
    terminal.expect_screen("CREATED BY");
    terminal.send("G\x1b[C");
    terminal.expect_screen("WASTED     TIMES  PATH");
    terminal.expect_screen("/etc/shadow");
    terminal.resize(6, 40);
    terminal.expect_screen("x:1  3 layers  1.167kB seen  8.25kB wast");
    fits(&mut terminal, 40);
    terminal.send("q");
    terminal.ends_with(0);
    let bytes = String::from_utf8_lossy(terminal.bytes()).into_owned();
    assert!(bytes.contains("\x1b[?1049h") && bytes.ends_with("\x1b[?25h\x1b[?1049l"), "{bytes:?}");
    let mut terminal = host.mini(["image", "explore", "x:1"]).terminal(24, 80);
    terminal.expect_screen("q: quit");
    terminal.send(CTRL_C);
    assert!(!terminal.wait().success());
    terminal.is_restored();
    // Printed once where that is asked for.
    let mut terminal = host.mini(["image", "explore", "--plain", "x:1"]).terminal(24, 80);
    terminal.expect_screen("12.3 % efficient");
    terminal.ends_with(0);
}

#[test]
fn images_grow_on_the_layers_that_they_share() {
    let host = Host::new();
    host.mini(["image", "tree"]).run().ok().stdout_has("LAYER");
    let image = |layers: &[(&str, usize)]| {
        Image::of(layers.iter().map(|(name, bytes)| file(name, *bytes))).set("Cmd", json!(["/x"]))
    };
    let base = ("base", 1000);
    host.load(&image(&[base]), "base:1");
    host.load(&image(&[base, ("one", 200), ("more", 5)]), "one:1");
    host.load(&image(&[base, ("two", 30)]), "two:1");
    host.load(&image(&[("other", 4)]), "other:1");
    let lines = host.mini(["image", "tree"]).run().ok().lines();
    let drawn: Vec<String> =
        lines[1..].iter().map(|line| line.chars().take_while(|c| !c.is_ascii_hexdigit()).collect()).collect();
    assert_eq!(drawn, ["", "├─ ", "│  ", "└─ ", ""], "{lines:#?}");
    for (line, expected) in lines[1..].iter().zip([
        &["1kB", "3", "base:1"][..],
        &["200B", "1"],
        &["5B", "1", "one:1"],
        &["30B", "1", "two:1"],
        &["4B", "1", "other:1"],
    ]) {
        let words: Vec<&str> =
            line.trim_start_matches(['├', '─', '└', '│', ' ']).split_whitespace().collect();
        assert_eq!(words[1..=expected.len()], *expected, "{line}");
    }
    let rows = host.mini(["image", "tree", "--format", "json"]).run().ok().json_lines();
    assert_eq!(rows.len(), 5);
    assert_eq!(
        (&rows[0]["Names"], &rows[0]["Size"], &rows[0]["Images"]),
        (&json!(["base:1"]), &json!(1000), &json!(3))
    );
    assert_eq!((&rows[3]["Parent"], &rows[3]["Depth"]), (&rows[0]["Chain"], &json!(1)));
    let only = host.mini(["image", "tree", "--format", "{{.Names}} {{.Images}}", "two:1"]).run().ok();
    only.stdout(" 1\ntwo:1 1\n");
    host.mini(["image", "tree", "--no-trunc", "other:1"]).run().ok().stdout_has("sha256:");
    host.mini(["image", "tree", "nosuch"]).run().error(1, &["no such image: nosuch"]);
}
