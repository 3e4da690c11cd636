//! Fields of ps(1): what they are called, and what they say of a process. PURE, but for where a process sleeps.

use super::process::{Host, Process};
use crate::clock;

/// A field.
#[derive(Debug)]
pub(super) struct Field {
    names: &'static [&'static str],
    pub(super) heading: &'static str,
    pub(super) value: fn(&Process, &Host) -> String,
}

/// The field of a name, as `-o` takes it.
pub(super) fn find(name: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.names.contains(&name))
}

const fn field(
    names: &'static [&'static str],
    heading: &'static str,
    value: fn(&Process, &Host) -> String,
) -> Field {
    Field { names, heading, value }
}

const FIELDS: &[Field] = &[
    field(&["pid", "tgid"], "PID", |process, _| process.pid.to_string()),
    field(&["ppid"], "PPID", |process, _| process.parent.to_string()),
    field(&["pgid"], "PGID", |process, _| process.group.to_string()),
    field(&["pgrp"], "PGRP", |process, _| process.group.to_string()),
    field(&["sid"], "SID", |process, _| process.session.to_string()),
    field(&["sess", "session"], "SESS", |process, _| process.session.to_string()),
    field(&["tpgid"], "TPGID", |process, _| process.foreground.to_string()),
    field(&["user", "uname"], "USER", |process, host| host.user(process.uids[1])),
    field(&["euser"], "EUSER", |process, host| host.user(process.uids[1])),
    field(&["ruser"], "RUSER", |process, host| host.user(process.uids[0])),
    // What `-f` has under this heading; no name of a field.
    field(&["UID"], "UID", |process, host| host.user(process.uids[1])),
    field(&["uid"], "UID", |process, _| process.uids[1].to_string()),
    field(&["euid"], "EUID", |process, _| process.uids[1].to_string()),
    field(&["ruid"], "RUID", |process, _| process.uids[0].to_string()),
    field(&["group"], "GROUP", |process, host| host.group(process.gids[1])),
    field(&["egroup"], "EGROUP", |process, host| host.group(process.gids[1])),
    field(&["rgroup"], "RGROUP", |process, host| host.group(process.gids[0])),
    field(&["gid"], "GID", |process, _| process.gids[1].to_string()),
    field(&["egid"], "EGID", |process, _| process.gids[1].to_string()),
    field(&["rgid"], "RGID", |process, _| process.gids[0].to_string()),
    field(&["comm", "ucomm"], "COMMAND", |process, _| name(process)),
    field(&["ucmd"], "CMD", |process, _| name(process)),
    field(&["args", "command"], "COMMAND", |process, _| command(process)),
    field(&["cmd"], "CMD", |process, _| command(process)),
    field(&["time", "cputime"], "TIME", |process, host| clock_of(process.seconds(host), true)),
    field(&["cputimes", "times"], "TIME", |process, host| process.seconds(host).to_string()),
    field(&["bsdtime"], "TIME", |process, host| {
        let seconds = process.seconds(host);
        format!("{}:{:02}", seconds / 60, seconds % 60)
    }),
    field(&["etime"], "ELAPSED", |process, host| clock_of(process.age(host), false)),
    field(&["etimes"], "ELAPSED", |process, host| process.age(host).to_string()),
    field(&["pcpu", "%cpu"], "%CPU", |process, host| tenths(process.share(host))),
    field(&["c", "cp"], "C", |process, host| (process.share(host) / 10).min(99).to_string()),
    field(&["pmem", "%mem"], "%MEM", |process, host| {
        tenths(process.resident * 1024 * 1000 / host.memory.max(1))
    }),
    field(&["rss", "rssize", "rsz"], "RSS", |process, _| process.resident.to_string()),
    field(&["vsz", "vsize"], "VSZ", |process, _| (process.size / 1024).to_string()),
    field(&["sz"], "SZ", |process, host| (process.size / host.page).to_string()),
    field(&["stat"], "STAT", |process, _| state(process)),
    field(&["state", "s"], "S", |process, _| process.state.to_string()),
    field(&["tty", "tname"], "TTY", |process, _| terminal(process.terminal)),
    field(&["tt"], "TT", |process, _| terminal(process.terminal)),
    field(&["ni", "nice"], "NI", |process, _| process.nice.to_string()),
    field(&["pri"], "PRI", |process, _| (39 - process.priority).to_string()),
    field(&["priority"], "PRI", |process, _| process.priority.to_string()),
    field(&["nlwp", "thcount"], "NLWP", |process, _| process.threads.to_string()),
    field(&["psr"], "PSR", |process, _| process.processor.to_string()),
    field(&["wchan"], "WCHAN", |process, _| process.sleeps_in()),
    field(&["stime"], "STIME", |process, host| clock::start_time(process.started_at(host), host.now)),
    field(&["start_time", "bsdstart"], "START", |process, host| {
        clock::start_time(process.started_at(host), host.now)
    }),
    field(&["start"], "STARTED", |process, host| {
        let form = if process.age(host) < 24 * 3600 { "%H:%M:%S" } else { "%b %d" };
        clock::local(process.started_at(host), form)
    }),
    field(&["lstart"], "STARTED", |process, host| {
        clock::local(process.started_at(host), "%a %b %e %H:%M:%S %Y")
    }),
];

/// `12.3`, and `123` where that would be too long.
fn tenths(thousandths: u64) -> String {
    if thousandths > 999 {
        (thousandths / 10).to_string()
    } else {
        format!("{}.{}", thousandths / 10, thousandths % 10)
    }
}

/// `01:02:03`, with days before it where there are any; without hours where those are not wanted and there are none.
fn clock_of(seconds: u64, hours: bool) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    match (days, hour) {
        (0, 0) if !hours => format!("{minute:02}:{second:02}"),
        (0, _) => format!("{hour:02}:{minute:02}:{second:02}"),
        _ => format!("{days}-{hour:02}:{minute:02}:{second:02}"),
    }
}

/// `pts/3`: terminals of containers are such; `?` for none.
fn terminal(device: i32) -> String {
    // Major numbers 136 to 143 are /dev/pts (devices.rst); the minor number is in bits 7 to 0 and 31 to 20.
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        _ => "?".to_owned(),
    }
}

/// `Ssl+`: the state and what else is notable (ps(1), "PROCESS STATE CODES").
fn state(process: &Process) -> String {
    let notes = [
        ('<', process.nice < 0),
        ('N', process.nice > 0),
        ('L', process.locks_memory),
        ('s', process.session == process.pid),
        ('l', process.threads > 1),
        ('+', process.foreground == process.group),
    ];
    std::iter::once(process.state)
        .chain(notes.into_iter().filter(|(_, is)| *is).map(|(note, _)| note))
        .collect()
}

fn harmless(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// What it calls itself, on one harmless line.
fn name(process: &Process) -> String {
    harmless(&process.name)
}

/// Program and arguments on one harmless line; a process without any is named in brackets.
fn command(process: &Process) -> String {
    let text = String::from_utf8_lossy(&process.arguments);
    match text.trim_end_matches('\0') {
        "" => format!("[{}]", name(process)),
        text => harmless(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_harmless_line() {
        let process = |arguments: &[u8], name: &str| Process {
            arguments: arguments.to_vec(),
            name: name.to_owned(),
            ..Process::default()
        };
        assert_eq!(command(&process(b"sh\0-c\0echo \x1b[31m\0", "sh")), "sh -c echo  [31m");
        assert_eq!(command(&process(b"", "kwork\ner")), "[kwork er]");
    }

    #[test]
    fn times_and_shares_are_written_as_ps_writes_them() {
        assert_eq!(
            [clock_of(5, true), clock_of(3_725, true), clock_of(90_061, true)],
            ["00:00:05", "01:02:05", "1-01:01:01"]
        );
        assert_eq!([clock_of(65, false), clock_of(3_725, false)], ["01:05", "01:02:05"]);
        assert_eq!([tenths(0), tenths(15), tenths(999), tenths(1500)], ["0.0", "1.5", "99.9", "150"]);
        assert_eq!([terminal(34_817), terminal(0), terminal(1025)], ["pts/1", "?", "?"]);
    }

    #[test]
    fn states_have_notes() {
        let process = Process {
            pid: 5,
            state: 'S',
            session: 5,
            group: 5,
            foreground: 5,
            threads: 2,
            nice: 10,
            ..Process::default()
        };
        assert_eq!(state(&process), "SNsl+");
        let kernel = Process { pid: 5, state: 'I', foreground: -1, nice: -20, ..Process::default() };
        assert_eq!(state(&kernel), "I<");
    }

    #[test]
    fn every_name_is_that_of_one_field() {
        let names: Vec<&str> = FIELDS.iter().flat_map(|field| field.names).copied().collect();
        for name in &names {
            assert_eq!(names.iter().filter(|other| *other == name).count(), 1, "{name}");
        }
    }
}
