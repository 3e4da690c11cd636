//! `mini top`: processes in ps(1)'s words, and as ps itself has them.

use tests::{Container, Host, wait};

/// A container with four processes, one of them a child of a child.
fn busy<'host>(host: &'host Host, userns: &str) -> Container<'host> {
    let script = "sleep 1234 & sh -c 'sleep 2345; true' & wait";
    let container = host.start(["--name", "box", "--userns", userns, "busybox", "sh", "-c", script]);
    // A fork has its parent's command line until it has become its own program.
    wait::until("its processes", || {
        let commands = container.commands();
        let all = ["sh -c sleep 1234", "sh -c sleep 2345", "sleep 1234", "sleep 2345"];
        let begins = |(command, word): (&String, &str)| command.starts_with(word);
        (commands.len() == 4 && commands.iter().zip(all).all(begins)).then_some(())
    });
    container
}

/// The lines below the heading.
#[track_caller]
fn rows(host: &Host, options: &[&str]) -> Vec<String> {
    let output = host.mini(["top", "box"]).args(options).run().ok();
    output.lines().iter().skip(1).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn each_field_is_what_ps_says() {
    let host = Host::with_busybox();
    // ps has no numbers of users beyond 31 bits.
    busy(&host, "host");
    let pids = rows(&host, &["-o", "pid"]);
    assert_eq!(pids.len(), 4);
    for field in [
        "pid", "ppid", "pgid", "sid", "tpgid", "user", "uid", "group", "gid", "euser", "ruser", "comm",
        "args", "cmd", "time", "etime", "etimes", "pcpu", "c", "pmem", "rss", "vsz", "sz", "stat", "s",
        "tty", "ni", "pri", "nlwp", "wchan", "lstart", "start", "stime", "cputimes", "bsdtime", "psr",
    ] {
        // What the machine counts meanwhile may have gone on between the two.
        wait::until(field, || {
            let ps = host.tool("ps", ["-ww", "-o", &format!("{field}="), "-q", &pids.join(",")]);
            let ps: Vec<&str> = ps.lines().map(str::trim).collect();
            (rows(&host, &["-o", field]) == ps).then_some(())
        });
    }
}

#[test]
fn forms_have_pss_columns() {
    let host = Host::with_busybox();
    let container = busy(&host, "private");
    for (options, columns) in [
        (&[][..], "UID PID PPID C STIME TTY TIME CMD"),
        (&["-ef"], "UID PID PPID C STIME TTY TIME CMD"),
        (&["aux"], "USER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND"),
        (&["-x"], "PID TTY STAT TIME COMMAND"),
        (&["-e"], "PID TTY TIME CMD"),
        (&["-eo", "pid,comm=NAME"], "PID NAME"),
    ] {
        let lines = host.mini(["top", "box"]).args(options).run().ok().lines();
        assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>().join(" "), columns);
        assert_eq!(lines.len(), 5, "{options:?}: {lines:?}");
        assert!(lines[1].contains(&container.pid().to_string()), "{options:?}: {lines:?}");
    }
    // docker's columns.
    let lines = host.mini(["top", "box", "-o", "pid,comm"]).run().ok().lines();
    assert_eq!(lines[0], "PID                 COMMAND");
}

#[test]
fn what_ps_alone_knows_is_refused_by_name() {
    let host = Host::with_busybox();
    busy(&host, "private");
    for (options, named) in [
        (&["-L"][..], "-L"),
        (&["-eF"], "-F"),
        (&["--forest"], "--forest"),
        (&["axjf"], "j"),
        (&["-o", "pid,nothing"], "nothing"),
        (&["-o"], "-o"),
    ] {
        host.mini(["top", "box"]).args(options).run().error(1, &[named]).stdout("");
    }
    host.mini(["container", "top", "box", "-o", "pid"]).run().ok();
    host.mini(["top", "no-such"]).run().error(1, &["no-such"]);
}
