//! `mini system generate-units`: a systemd unit for each container, so that it comes back after a boot.
//!
//! mini has no daemon that could start containers at boot. With a unit systemd does, and restarts them too: the unit's main
//! process is a `mini start` that stays, says when the container runs (sd_notify(3)), and ends with its exit code.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use runtime::state::Entry;
use runtime::sys;

use super::Failures;
use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output;
use crate::plan::STOP_TIMEOUT;
use crate::plan::life::RestartPolicy;
use crate::settings::Settings;

/// Print systemd units that start containers at boot and restart them
///
/// Without a name: of every container that has a restart policy. A unit does what the policy says: `no` is started at boot and
/// not again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini system generate-units web\n  mini system generate-units --output /tmp/units\n\nThen, for a container called web: systemctl enable --now mini-web.service\n\nSee also: mini start, mini run, mini system check"
)]
pub(crate) struct UnitsArgs {
    /// Write a file mini-NAME.service for each into this directory, such as /etc/systemd/system
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The containers
    containers: Vec<String>,
}

/// Prints each, or writes it.
pub(crate) fn units(context: &Context, args: &UnitsArgs) -> Result<ExitCode> {
    context.listen(None)?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut failures = Failures::default();
    let print = |entry: &Entry| -> Result<()> {
        let unit = unit(entry, &Line { program: &program, context })?;
        let Some(directory) = &args.output else { return output::print(unit.as_bytes()) };
        ensure!(directory.is_dir(), "there is no directory {}", directory.display());
        let path = directory.join(format!("mini-{}.service", entry.record.name));
        sys::fs::write_whole(&path, unit.as_bytes(), sys::fs::Durability::Synced)?;
        output::print_line(&path.display().to_string())
    };
    if args.containers.is_empty() {
        let mut entries = context.state().list()?;
        entries.retain(|entry| policy(entry) != RestartPolicy::No);
        entries.sort_by(|one, other| one.record.name.cmp(&other.record.name));
        if entries.is_empty() {
            output::warn("no container has a restart policy: name those that you want a unit of");
        }
        entries.iter().try_for_each(print)?;
        return Ok(ExitCode::Success);
    }
    for word in &args.containers {
        let entry = context.state().find(word).map_err(anyhow::Error::from);
        if let Err(error) = entry.and_then(|entry| print(&entry)) {
            failures.add(&error.context(format!("cannot make a unit of {word}")));
        }
    }
    Ok(failures.code())
}

fn policy(entry: &Entry) -> RestartPolicy {
    Settings::of(&entry.record).request.map_or(RestartPolicy::No, |request| request.options.life.restart)
}

/// What every line of the unit begins with that calls this program.
struct Line<'a> {
    program: &'a Path,
    context: &'a Context,
}

impl Line<'_> {
    fn of(&self, words: &[&str]) -> Result<String> {
        let dirs = &self.context.dirs;
        let places = [self.program, Path::new("--root"), &dirs.root, Path::new("--run-root"), &dirs.run_root];
        let mut line = Vec::new();
        for place in places {
            let place = place.to_str().with_context(|| format!("{} is no text", place.display()))?;
            line.push(quoted(place));
        }
        line.extend(words.iter().map(|word| quoted(word)));
        // Here alone a variable would be put in.
        Ok(line.join(" ").replace('$', "$$"))
    }
}

fn unit(entry: &Entry, line: &Line<'_>) -> Result<String> {
    let record = &entry.record;
    let name = record.name.as_str();
    if record.auto_remove {
        bail!("it has --rm: it is removed when it ends, and cannot be started again");
    }
    let settings = Settings::of(record);
    let options = settings.request.map(|request| request.options).unwrap_or_default();
    // Time for the container to end in its own way, and for mini to clean up behind it.
    let patience = match options.stop_timeout.unwrap_or(STOP_TIMEOUT) {
        seconds @ 0.. => (seconds + 15).to_string(),
        _ => "infinity".to_owned(),
    };
    let (restart, limit) = match options.life.restart {
        RestartPolicy::No => ("no", "StartLimitIntervalSec=0\n".to_owned()),
        RestartPolicy::OnFailure { most: most @ 1.. } => {
            ("on-failure", format!("StartLimitIntervalSec=infinity\nStartLimitBurst={}\n", most + 1))
        }
        RestartPolicy::OnFailure { .. } => ("on-failure", "StartLimitIntervalSec=0\n".to_owned()),
        RestartPolicy::Always | RestartPolicy::UnlessStopped => {
            ("always", "StartLimitIntervalSec=0\n".to_owned())
        }
    };
    let places = [&line.context.dirs.root, &line.context.dirs.run_root];
    let places: Vec<String> = places.iter().map(|place| quoted(&place.to_string_lossy())).collect();
    Ok(format!(
        "# {file}: container {name} ({id}), made by mini {version}\n\
         # Stop it with systemctl stop: what mini stops, systemd starts again where the policy says so.\n\
         \n\
         [Unit]\n\
         Description=Container {name}, of {image}\n\
         Wants=network-online.target\n\
         After=network-online.target\n\
         RequiresMountsFor={places}\n\
         {limit}\
         \n\
         [Service]\n\
         Type=notify\n\
         NotifyAccess=all\n\
         ExecStart={start}\n\
         ExecStop={stop}\n\
         ExecStopPost=-{stop}\n\
         Restart={restart}\n\
         RestartSec=1\n\
         TimeoutStartSec=infinity\n\
         TimeoutStopSec={patience}\n\
         SuccessExitStatus={stopped}\n\
         SyslogIdentifier={name}\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        file = format_args!("mini-{name}.service"),
        id = &record.id[..12],
        version = env!("CARGO_PKG_VERSION"),
        image = record.image.replace('%', "%%"),
        places = places.join(" "),
        start = line.of(&["start", "--attach", "--no-restart", name])?,
        stop = line.of(&["stop", name])?,
        stopped = 128 + settings.stop_signal,
    ))
}

/// A word as systemd reads it (systemd.service(5), COMMAND LINES; systemd.unit(5), SPECIFIERS).
fn quoted(word: &str) -> String {
    let mut text = String::new();
    for letter in word.chars() {
        match letter {
            '%' => text += "%%",
            '"' | '\\' => text.extend(['\\', letter]),
            letter if letter.is_control() => {
                text.extend(letter.to_string().bytes().map(|byte| format!("\\x{byte:02x}")));
            }
            letter => text.push(letter),
        }
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-%".contains(letter);
    if text.chars().all(plain) && !text.is_empty() { text } else { format!("\"{text}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_systemd_reads_them() {
        for (word, expected) in [
            ("/var/lib/mini", "/var/lib/mini"),
            ("/a b", "\"/a b\""),
            ("/100%", "/100%%"),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("a\nb", "\"a\\x0ab\""),
            ("", "\"\""),
        ] {
            assert_eq!(quoted(word), expected);
        }
    }
}
