//! `mini top`: a container's processes, as the host sees them.

use std::fs;

use anyhow::{Context as _, Result};
use runtime::cgroup::Layout;

use crate::clock;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output::{self, table};

/// Print the processes of a container, as `ps -ef` does on the host
///
/// Process numbers and users are the host's: in a user namespace, the container's root is a number that nobody else has.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  mini top web\n\nSee also: mini exec, mini ns")]
pub(crate) struct TopArgs {
    /// The container
    container: String,
}

/// docker's columns are this wide at least here.
const NARROWEST: usize = 20;

/// A row a process, of all in the container's control groups.
pub(crate) fn top(context: &Context, args: &TopArgs) -> Result<ExitCode> {
    let entry = context.state().find(&args.container)?;
    super::running(&entry)?;
    let group = context.group(&entry.record);
    let host = Host::look()?;
    let rows: Vec<Vec<String>> =
        Layout::detect()?.processes(&group).iter().filter_map(|pid| host.row(*pid)).collect();
    let heading = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
    context.happened("top", &entry.record);
    output::print(table::table_with(NARROWEST, &heading, &rows).as_bytes())?;
    Ok(ExitCode::Success)
}

/// What makes the numbers of /proc/PID/stat meaningful.
struct Host {
    /// When it booted, seconds since 1970.
    boot: u64,
    /// Clock ticks in a second.
    ticks: u64,
    passwd: String,
}

impl Host {
    fn look() -> Result<Host> {
        let stat = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        Ok(Host {
            boot: boot.context("/proc/stat does not say when the host booted")?,
            ticks: rustix::param::clock_ticks_per_second(),
            passwd: fs::read_to_string("/etc/passwd").unwrap_or_default(),
        })
    }

    /// `None` where the process has ended meanwhile.
    fn row(&self, pid: i32) -> Option<Vec<String>> {
        // Both have the name that the program calls itself by, which need be no text.
        let text = |name: &str| {
            let bytes = fs::read(format!("/proc/{pid}/{name}")).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let (stat, status) = (text("stat")?, text("status")?);
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1))?;
        let stat = Stat::parse(&stat)?;
        let seconds = stat.used / self.ticks;
        let started = self.boot + stat.started / self.ticks;
        let now = clock::now() / 1_000_000_000;
        let share = 100 * seconds / now.saturating_sub(started).max(1);
        Some(vec![
            self.user(uid).unwrap_or(uid).to_owned(),
            pid.to_string(),
            stat.parent.to_string(),
            share.to_string(),
            clock::start_time(started, now),
            stat.terminal(),
            format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
            command(&arguments, stat.name),
        ])
    }

    fn user(&self, uid: &str) -> Option<&str> {
        let mut users = self.passwd.lines().map(|line| line.split(':'));
        users
            .find_map(|mut fields| Some((fields.next()?, fields.nth(1)?)).filter(|(_, id)| *id == uid))
            .map(|(name, _)| name)
    }
}

/// What is needed of /proc/PID/stat (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat<'a> {
    name: &'a str,
    parent: i32,
    terminal: i32,
    /// Processor time, clock ticks.
    used: u64,
    /// Clock ticks after the boot.
    started: u64,
}

impl Stat<'_> {
    /// PURE.
    fn parse(text: &str) -> Option<Stat<'_>> {
        let (begin, end) = (text.find('(')?, text.rfind(')')?);
        let fields: Vec<&str> = text.get(end + 2..)?.split(' ').collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Stat {
            name: text.get(begin + 1..end)?,
            parent: fields.get(1)?.parse().ok()?,
            terminal: fields.get(4)?.parse().ok()?,
            used: number(11)? + number(12)?,
            started: number(19)?,
        })
    }

    /// `pts/3`: terminals of containers are such; `?` for none.
    fn terminal(&self) -> String {
        // Major numbers 136 to 143 are /dev/pts (devices.rst); the minor number is in bits 7 to 0 and 31 to 20.
        let (major, minor) =
            ((self.terminal >> 8) & 0xfff, (self.terminal & 0xff) | ((self.terminal >> 12) & 0xf_ff00));
        match major {
            136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
            _ => "?".to_owned(),
        }
    }
}

/// Program and arguments on one harmless line; a process without any is named in brackets.
fn command(arguments: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(arguments);
    let text = text.trim_end_matches('\0');
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    if text.is_empty() {
        return format!("[{}]", name.chars().map(plain).collect::<String>());
    }
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_whatever_a_process_calls_itself() {
        let text = "12 (a) b (c) S 7 12 12 34817 12 4194560 1 2 3 4 150 50 0 0 20 0 1 0 9000 1 2";
        let expected = Stat { name: "a) b (c", parent: 7, terminal: 34817, used: 200, started: 9000 };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse(text).unwrap().terminal(), "pts/1");
        assert_eq!(Stat::parse("12 (x"), None);
    }

    #[test]
    fn a_command_is_one_harmless_line() {
        assert_eq!(command(b"sh\0-c\0echo \x1b[31m\0", "sh"), "sh -c echo  [31m");
        assert_eq!(command(b"", "kworker"), "[kworker]");
    }
}
