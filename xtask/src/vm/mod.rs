//! `cargo xtask vm-test`: the tests of run, exec, cgroups, devices and lessons on a machine with cgroup v2 only, which few developers'
//! containers and CI runners have, and those that set the clock: Debian's own kernel, emulated by qemu, with this machine's root copy-on-write.
//!
//! ```text
//!   xtask ──► apt        the kernel's package, unpacked below target/vm and kept            kernel.rs
//!         ──► initramfs  busybox, a few modules, vm/init.sh, the command                    initramfs.rs  cpio.rs
//!         ──► virtiofsd  the host's root, read-only      ┐
//!         ──► qemu       the machine ──► its console ──► │ output and exit status           machine.rs    console.rs
//! ```
//!
//! Emulated, not accelerated: a machine that is virtual itself often has a /dev/kvm that does not work.

mod console;
mod cpio;
mod initramfs;
mod kernel;
mod machine;
mod overlay;
pub(crate) mod power;

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::NamedTempFile;

use crate::apt;
use crate::build::{self, Profile};
use crate::command::read;
use crate::test::BINARY;
use crate::workspace::Workspace;
use kernel::Kernel;
use machine::{End, Machine};

/// What a bare `cargo xtask vm-test` runs: what depends on control groups, every lesson on a terminal, and the clocks.
const DEFAULTS: [&str; 8] =
    ["run::", "exec::", "cgroup::", "limits::", "update::", "devices::", "learn_terminal::enter", CLOCK];

/// Run the tests of run, exec, cgroups, devices and lessons on a virtual machine with cgroup v2 only
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which tests, by parts of their names
    #[arg(default_values_t = DEFAULTS.map(str::to_owned))]
    filters: Vec<String>,
    /// Debian's kernel to boot: 6.12 or 6.1
    #[arg(long, default_value = "6.12")]
    kernel: String,
    /// How the processor is made: tcg emulates it, kvm is faster where it works
    #[arg(long, default_value = "tcg")]
    accel: String,
    /// After how many minutes the machine is switched off
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// Run this shell command there instead of the tests
    #[arg(long, conflicts_with = "filters")]
    shell: Option<String>,
}

impl Default for Args {
    /// What a bare `cargo xtask vm-test` is given.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct Bare {
            #[command(flatten)]
            args: Args,
        }
        <Bare as clap::Parser>::parse_from(["vm-test"]).args
    }
}

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let kernel = prepare(&workspace, &args.kernel)?;
    let command = match &args.shell {
        Some(command) => command.clone(),
        None => test_command(&workspace, &args.filters)?,
    };
    let initramfs = first_files(&kernel, &command)?;
    let machine =
        Machine { kernel: &kernel.image, initramfs: initramfs.path(), accel: &args.accel, disk: None };
    for boot in 1..=BOOTS {
        eprintln!("booting Linux {} under {} ({boot} of at most {BOOTS})", kernel.version, args.accel);
        let end = machine.run(Duration::from_secs(args.minutes * 60), |line| {
            println!("{line}");
            None
        })?;
        if let End::Status(status) = end {
            return Ok(ExitCode::from(status));
        }
    }
    bail!("the machine's kernel panicked each time")
}

/// Everything that a machine needs and this one may not have; the kernel of the series.
fn prepare(workspace: &Workspace, series: &str) -> Result<Kernel> {
    ensure!(
        workspace.triple.starts_with("x86_64-"),
        "the virtual machine is an x86_64 one, this is {}",
        workspace.triple
    );
    ensure!(apt::is_root(), "the machine sees all of the host's files: run this as root");
    apt::ensure_installed(apt::VIRTUAL_MACHINE)?;
    kernel::provide(&workspace.target.join("vm"), series)
}

/// A file with the machine's first file system, in which `command` is what it runs.
fn first_files(kernel: &Kernel, command: &str) -> Result<NamedTempFile> {
    let initramfs = initramfs::make(kernel, command)?;
    let image = NamedTempFile::new().context("making a file for the initramfs")?;
    std::fs::write(image.path(), initramfs).context("writing the initramfs")?;
    Ok(image)
}

/// How often the machine is booted where its kernel panics. qemu's emulation loses a race now and then with a kernel that rewrites
/// its own code while another processor runs it: an int3 that nobody knows.
const BOOTS: u32 = 3;

/// Before Linux 6.3 a tmpfs cannot show other ids (idmapped mounts), so what containers write lies on a disk there.
const ON_A_DISK: &str = "
truncate -s 600M /run/disk && mkfs.ext4 -q /run/disk && mkdir -p /mnt/mini-disk
mount -o loop /run/disk /mnt/mini-disk && export MINI_TEST_DISK=/mnt/mini-disk
";

/// The tests that set the machine's clock.
const CLOCK: &str = "clock::";

/// The shell command that runs the end-to-end tests, built here, over there.
fn test_command(workspace: &Workspace, filters: &[String]) -> Result<String> {
    let mini = build::build(workspace, Profile::Ci)?;
    let tests = build_tests(workspace)?;
    let mut command = ON_A_DISK.to_owned();
    command += &format!("export {BINARY}={}\n", quoted(mini.as_os_str()));
    let tests = quoted(tests.as_os_str());
    // Those that set the clock are alone: nobody else's times make sense meanwhile.
    let (clock, others): (Vec<_>, Vec<_>) = filters.iter().partition(|filter| filter.starts_with(CLOCK));
    let mut runs = Vec::new();
    if !others.is_empty() {
        // What takes long on a real processor takes too long on an emulated one.
        let mut run = format!("{tests} --test-threads=2 --skip kill_ --skip slow_ --skip {CLOCK}");
        for filter in others {
            run += &format!(" {}", quoted(filter.as_ref()));
        }
        runs.push(run);
    }
    if !clock.is_empty() {
        let mut run = format!("MINI_TEST_OWN_CLOCK=1 {tests} --test-threads=1");
        for filter in clock {
            run += &format!(" {}", quoted(filter.as_ref()));
        }
        runs.push(run);
    }
    Ok(command + &runs.join(" && "))
}

/// Builds the end-to-end tests and returns their binary: the one of cargo's messages that has an executable.
fn build_tests(workspace: &Workspace) -> Result<PathBuf> {
    let arguments = [
        "test",
        "--package",
        "tests",
        "--test",
        "e2e",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ];
    let messages = read(workspace.cargo(arguments))?;
    executable(&messages).context("cargo built no executable for the tests")
}

fn executable(messages: &str) -> Option<PathBuf> {
    let message = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok();
    let mut executables = messages
        .lines()
        .filter_map(message)
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    executables.next()
}

/// A word for the shell over there.
fn quoted(word: &OsStr) -> String {
    format!("'{}'", word.to_string_lossy().replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_are_cargos_one_executable() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/e2e-1\"}\n{\"reason\":\"build-finished\"}\n";
        assert_eq!(executable(messages), Some("/t/e2e-1".into()));
        assert_eq!(executable("{\"reason\":\"build-finished\"}\n"), None);
    }

    #[test]
    fn words_reach_the_other_shell_as_they_are() {
        assert_eq!(quoted("it's $x".as_ref()), r"'it'\''s $x'");
    }

    #[test]
    fn a_bare_vm_test_runs_what_depends_on_cgroups() {
        assert_eq!(
            Args::default().filters,
            [
                "run::",
                "exec::",
                "cgroup::",
                "limits::",
                "update::",
                "devices::",
                "learn_terminal::enter",
                "clock::"
            ]
        );
    }
}
