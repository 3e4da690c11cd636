//! `cp`: docker's whole matrix, links, streams, words; of containers that run and of those that do not.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tests::image::{Compression, pack};
use tests::{Host, Output};

/// A file "file" and a directory "dir" with "dir/below" in it.
pub(crate) fn source(host: &Host) -> PathBuf {
    let source = host.work().join("source");
    fs::create_dir_all(source.join("dir")).expect("mkdir");
    fs::write(source.join("file"), "content\n").expect("write");
    fs::write(source.join("dir/below"), "below\n").expect("write");
    source
}

fn cp(host: &Host, from: &str, to: &str) -> Output {
    host.mini(["cp", from, to]).run()
}

/// What is there afterwards, or what the refusal says.
type Case = (&'static str, &'static str, Result<&'static str, &'static str>);

/// docker's documentation of cp, line by line. Below the destination lie a file "there" and a directory "dest".
const MATRIX: [Case; 19] = [
    ("file", "new", Ok("new")),
    ("file", "new/", Err("no such directory")),
    ("file", "there", Ok("there")),
    ("file", "there/", Err("not a directory")),
    ("file", "dest", Ok("dest/file")),
    ("file", "dest/", Ok("dest/file")),
    ("file", "dest/.", Ok("dest/file")),
    ("file", "dest/other", Ok("dest/other")),
    ("file", "missing/new", Err("missing")),
    ("dir", "new", Ok("new/below")),
    ("dir", "new/", Ok("new/below")),
    ("dir", "there", Err("cannot copy directory")),
    ("dir", "dest", Ok("dest/dir/below")),
    ("dir/", "dest", Ok("dest/dir/below")),
    ("dir/.", "new", Ok("new/below")),
    ("dir/.", "there", Err("cannot copy directory")),
    ("dir/.", "dest", Ok("dest/below")),
    ("dir", "missing/new", Err("missing")),
    ("file/", "new", Err("not a directory")),
];

/// Everything that lies below a directory of a container, by its own `find`.
const LIST: &str = "cd /end && find . -type f | sort";

#[test]
fn into_a_running_container_dockers_whole_matrix() {
    let host = Host::with_busybox();
    let source = source(&host);
    let container = host.start(["busybox", "sleep", "1000"]);
    for (from, to, expected) in MATRIX {
        container.sh("rm -rf /end; mkdir -p /end/dest; echo old > /end/there").ok();
        let output =
            cp(&host, &format!("{}/{from}", source.display()), &format!("{}:/end/{to}", container.id));
        judge(&output, (from, to, expected), || container.sh(LIST).ok().lines());
    }
    assert_eq!(host.new_mounts(), Vec::<String>::new());
}

#[test]
fn into_a_container_that_does_not_run_dockers_whole_matrix() {
    let host = Host::with_busybox();
    let source = source(&host);
    let container = host.start(["busybox", "sh", "-c", "mkdir -p /end/dest; echo old > /end/there"]);
    container.wait();
    let upper = host.root().join("containers").join(&container.id).join("upper");
    for (from, to, expected) in MATRIX {
        fs::remove_dir_all(upper.join("end")).expect("rm");
        fs::create_dir_all(upper.join("end/dest")).expect("mkdir");
        fs::write(upper.join("end/there"), "old").expect("write");
        let output =
            cp(&host, &format!("{}/{from}", source.display()), &format!("{}:/end/{to}", container.id));
        judge(&output, (from, to, expected), || files_below(&upper.join("end")));
    }
    assert_eq!(host.new_mounts(), Vec::<String>::new());
    let mark = host.root().join("containers").join(&container.id).join("work/work/incompat");
    assert!(!mark.exists(), "a volatile overlay's mark was left");
}

#[test]
fn out_of_a_container_dockers_whole_matrix() {
    let host = Host::with_busybox();
    let script = "mkdir -p /s/dir; echo content > /s/file; echo below > /s/dir/below; sleep 1000";
    let running = host.start(["busybox", "sh", "-c", script]);
    running.sh("until [ -e /s/dir/below ]; do :; done").ok();
    let end = host.work().join("end");
    let all = |container: &str| {
        for (from, to, expected) in MATRIX {
            let _ = fs::remove_dir_all(&end);
            fs::create_dir_all(end.join("dest")).expect("mkdir");
            fs::write(end.join("there"), "old").expect("write");
            let output = cp(&host, &format!("{container}:/s/{from}"), &format!("{}/{to}", end.display()));
            judge(&output, (from, to, expected), || files_below(&end));
        }
    };
    all(&running.id);
    host.mini(["kill", &running.id]).run().ok();
    running.wait();
    all(&running.id);
}

/// Paths of files below a directory, as `find . -type f | sort` has them.
pub(crate) fn files_below(directory: &Path) -> Vec<String> {
    let mut all = Vec::new();
    crate::attack::search(directory, &mut |path| {
        if path.is_file() {
            let below = path.strip_prefix(directory).expect("it lies below");
            all.push(format!("./{}", below.display()));
        }
    });
    all.sort();
    all
}

#[track_caller]
fn judge(output: &Output, (from, to, expected): Case, list: impl Fn() -> Vec<String>) {
    match expected {
        Ok(made) => {
            assert!(output.status.success(), "{from} {to}: {output}");
            let mut wanted = vec!["./there".to_owned(), format!("./{made}")];
            wanted.sort();
            wanted.dedup();
            assert_eq!(list(), wanted, "{from} {to}");
        }
        Err(complaint) => {
            assert_eq!(output.status.code(), Some(1), "{from} {to}: {output}");
            assert!(output.err().contains(complaint), "{from} {to}: {output}");
            assert_eq!(list(), ["./there"], "{from} {to}");
        }
    }
}

/// `MODE OWNER SIZE NAME` of each member.
pub(crate) fn tar_list(archive: &[u8]) -> Vec<String> {
    let file = tempfile(archive);
    let mut command = std::process::Command::new("tar");
    command.args(["--numeric-owner", "-tvf"]).arg(&file);
    let lines = tests::Mini::new(command).run().ok().lines();
    let fields = |line: String| {
        let words: Vec<&str> = line.split_whitespace().collect();
        format!("{} {} {} {}", words[0], words[1], words[2], words[5..].join(" "))
    };
    lines.into_iter().map(fields).collect()
}

fn tempfile(bytes: &[u8]) -> PathBuf {
    let path = PathBuf::from(format!("/run/mini-test/home/{}.tar", bytes.len()));
    fs::write(&path, bytes).expect("write");
    path
}

#[test]
fn archives_come_and_go_by_the_standard_streams() {
    let host = Host::with_busybox();
    let container = host.start(["busybox", "sleep", "1000"]);
    container.sh("mkdir -p /in /d/e; echo 1 > /d/e/f; ln /d/e/f /d/g; ln -s e/f /d/l; chown 5:6 /d/g").ok();
    let archive = host.mini(["cp", &format!("{}:/d", container.id), "-"]).run().ok().stdout;
    assert_eq!(
        tar_list(&archive),
        [
            "drwxr-xr-x 0/0 0 d/",
            "drwxr-xr-x 0/0 0 d/e/",
            "-rw-r--r-- 5/6 2 d/e/f",
            "hrw-r--r-- 5/6 0 d/g link to d/e/f",
            "lrwxrwxrwx 0/0 0 d/l -> e/f"
        ]
    );
    let content = host.mini(["cp", &format!("{}:/d/.", container.id), "-"]).run().ok().stdout;
    assert_eq!(tar_list(&content)[0], "drwxr-xr-x 0/0 0 ./");
    let to = format!("{}:/in", container.id);
    host.mini(["cp", "-", &to]).stdin(archive.clone()).run().ok();
    container.sh("cat /in/d/l; stat -c '%u %h' /in/d/g").ok().stdout("1\n5 2\n");
    for compression in [Compression::Gzip, Compression::Zstd] {
        container.sh("rm -r /in/d").ok();
        host.mini(["cp", "-", &to]).stdin(pack(&archive, compression)).run().ok();
        container.sh("cat /in/d/g").ok().stdout("1\n");
    }
    let bzip2 = b"BZh91AY&SY".to_vec();
    host.mini(["cp", "-", &to]).stdin(bzip2).run().error(1, &["bzip2"]);
    host.mini(["cp", "-", &format!("{}:/etc/passwd", container.id)])
        .stdin(archive.clone())
        .run()
        .error(1, &["must be a directory"]);
    host.mini(["cp", "-", &to])
        .stdin("no archive at all, and long enough to be read as one".repeat(20))
        .run()
        .error(1, &["checksum"]);
    host.mini(["cp", "-", &to]).stdin(&archive[..700]).run().error(1, &["in the middle of a member"]);
    let mut terminal = host.mini(["cp", &format!("{}:/d", container.id), "-"]).terminal(24, 80);
    terminal.expect_screen("refusing to write an archive to a terminal");
    terminal.ends_with(1);
}

#[test]
fn links_are_copied_as_links_unless_they_are_to_be_followed() {
    let host = Host::with_busybox();
    let source = source(&host);
    symlink("file", source.join("link")).expect("symlink");
    symlink("dir", source.join("dirlink")).expect("symlink");
    let container = host.start(["busybox", "sleep", "1000"]);
    container.sh("mkdir -p /s/dir /d/real; echo in > /s/file; echo below > /s/dir/below; cd /s; ln -s file link; ln -s dir dirlink; ln -s /d/real /d/link; ln -s nothing /d/dangling; ln -s /s/file /d/tofile").ok();
    let inside = |path: &str| format!("{}:{path}", container.id);
    let outside = |path: &str| source.join(path).to_string_lossy().into_owned();
    let end = host.work().join("end");
    fs::create_dir(&end).expect("mkdir");
    let out = |name: &str| end.join(name);
    let run = |args: &[&str]| host.mini(["cp"]).args(args).run().ok();
    run(&[&inside("/s/link"), &out("link").to_string_lossy()]);
    assert_eq!(fs::read_link(out("link")).expect("a link"), Path::new("file"));
    run(&["-L", &inside("/s/link"), &out("followed").to_string_lossy()]);
    assert_eq!(fs::read_to_string(out("followed")).expect("a file"), "in\n");
    run(&["--follow-link", &inside("/s/dirlink"), &end.to_string_lossy()]);
    assert_eq!(fs::read_to_string(out("dirlink/below")).expect("a directory of the link's name"), "below\n");
    run(&[&inside("/s/dirlink/"), &out("trailing").to_string_lossy()]);
    assert!(out("trailing/below").is_file());
    run(&[&outside("link"), &inside("/d/a")]);
    run(&["-L", &outside("link"), &inside("/d/b")]);
    run(&["-L", &outside("dirlink"), &inside("/d")]);
    container.sh("readlink /d/a; cat /d/b; cat /d/dirlink/below").ok().stdout("file\ncontent\nbelow\n");
    // A link at the destination stands for what it leads to, there or not.
    run(&[&outside("file"), &inside("/d/link")]);
    run(&[&outside("file"), &inside("/d/dangling")]);
    run(&[&outside("file"), &inside("/d/tofile")]);
    container
        .sh("cat /d/real/file /d/nothing /s/file; readlink /d/dangling")
        .ok()
        .stdout("content\ncontent\ncontent\nnothing\n");
    symlink("real", out("hostlink")).expect("symlink");
    fs::create_dir(out("real")).expect("mkdir");
    run(&[&inside("/s/dir"), &out("hostlink").to_string_lossy()]);
    assert!(out("real/dir/below").is_file());
    symlink("circle", out("circle")).expect("symlink");
    host.mini(["cp", &inside("/s/file"), &out("circle").to_string_lossy()]).run().error(1, &["circle"]);
}

#[test]
fn what_makes_no_sense_is_refused_in_dockers_words() {
    let host = Host::with_busybox();
    let source = source(&host);
    let container = host.start(["--name", "web", "busybox", "sleep", "1000"]);
    container.sh("mkfifo /pipe").ok();
    let file = source.join("file").to_string_lossy().into_owned();
    for (args, complaint) in [
        (["web:/a", "web:/b"], "copying between containers is not supported"),
        ([&file, "/tmp"], "must specify at least one container source"),
        (["", "web:/x"], "source can not be empty"),
        (["web:/x", ""], "destination can not be empty"),
        (["no-such:/x", "/tmp"], "no such container: no-such"),
        ([&file, "no-such:/x"], "no such container: no-such"),
        (["web:/no-such", "/tmp"], "could not find the file /no-such in container web"),
        ([&file, "web:/no/such/dir"], "could not find the file /no/such in container web"),
        (["/no-such", "web:/"], "/no-such"),
        (
            ["web:/etc/passwd", "/no/such/dir/file"],
            "invalid output path: directory \"/no/such/dir\" does not exist",
        ),
        (["web:/etc/passwd", "/dev/null"], "\"/dev/null\" must be a directory or a regular file"),
        ([&file, "web:/dev/null"], "must be a directory or a regular file"),
        ([&file, "web:/pipe"], "must be a directory or a regular file"),
        ([&file, "web:/etc/passwd/x"], "web:/etc/passwd"),
        (["-", "web:/no-such"], "must be a directory"),
    ] {
        host.mini(["cp"]).args(args).run().error(1, &[complaint]);
    }
    let dir = source.join("dir").to_string_lossy().into_owned();
    container.sh("mkdir -p /end; echo > /end/dir; mkdir /end/file").ok();
    host.mini(["cp", &dir, "web:/end"]).run().error(1, &["cannot overwrite non-directory"]);
    host.mini(["cp", &file, "web:/end"]).run().error(1, &["cannot overwrite directory"]);
    // docker's longer name for it.
    host.mini(["container", "cp", &file, "web:/copied"]).run().ok().stdout("").stderr("");
    container.sh("cat /copied").ok().stdout("content\n");
}

#[test]
fn a_terminal_is_told_how_much_was_copied() {
    let host = Host::with_busybox();
    let source = source(&host);
    host.start(["--name", "web", "busybox", "sleep", "1000"]);
    let file = source.join("file").to_string_lossy().into_owned();
    let mut terminal = host.mini(["cp", &file, "web:/x"]).terminal(24, 80);
    terminal.expect_screen("Successfully copied 2.05kB to web:/x");
    terminal.ends_with(0);
    let out = host.work().join("out").to_string_lossy().into_owned();
    let mut terminal = host.mini(["cp", "web:/x", &out]).terminal(24, 80);
    terminal.expect_screen(&format!("Successfully copied 2.05kB to {out}"));
    terminal.ends_with(0);
    let mut terminal = host.mini(["cp", "-q", "web:/x", &out]).terminal(24, 80);
    terminal.ends_with(0);
    assert_eq!(terminal.contents().trim(), "");
}
