//! The machine itself: qemu, and the daemon that hands it the host's root. Both end with us.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::console::{Console, PANIC};
use crate::command::command;

const MEMORY: &str = "2048M";

/// Debian 12 has it in qemu's own package; later ones in one of its own.
const VIRTIOFSD: [&str; 2] = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"];

/// The kernel's own words: a serial console, cgroup v2 alone, a panic ends the machine, and nothing that takes long to emulate.
const PARAMETERS: &str = "console=ttyS0 quiet panic=-1 cgroup_no_v1=all mitigations=off tsc=reliable no_timer_check \
                          noreplace-smp cryptomgr.notests random.trust_cpu=on audit=0 apparmor=0 nokaslr";

/// What is booted.
pub(super) struct Machine<'a> {
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    /// How the processor is made.
    pub(super) accel: &'a str,
    /// A qcow2 image that is /dev/vda there.
    pub(super) disk: Option<&'a Path>,
}

/// How it came to an end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Of its command, with this exit status.
    Status(u8),
    /// The power failed.
    PowerLoss,
    /// The machine's kernel panicked, while it booted or under the command.
    Panic,
}

impl Machine<'_> {
    /// Boots it and gives each line that its command prints to `line`, which may say after how long the power fails.
    pub(super) fn run(
        &self,
        patience: Duration,
        mut line: impl FnMut(&str) -> Option<Duration>,
    ) -> Result<End> {
        let deadline = Instant::now() + patience;
        let directory = tempfile::tempdir().context("making a directory for the machine's sockets")?;
        let socket = directory.path().join("root.sock");
        let complaints = directory.path().join("complaints");
        let daemon = serve_root(&socket, &complaints)?;
        let mut qemu = self.boot(&socket, &complaints)?;
        let console = read_lines(qemu.0.stdout.take().expect("its stdout is a pipe"));

        let (console, late) = match follow(&console, deadline, &mut line) {
            Followed::Console(console, late) => (console, late),
            // SIGKILL: what the machine had not written to its disk by now is lost with its memory.
            Followed::PowerLoss => return Ok(End::PowerLoss),
        };
        match (console, late) {
            (Console::Ended(status), _) => Ok(End::Status(status)),
            (Console::Boot(lines), false) if lines.iter().any(|line| line.contains(PANIC)) => Ok(End::Panic),
            (Console::Boot(lines), late) => {
                drop((qemu, daemon));
                let complaints = std::fs::read_to_string(&complaints).unwrap_or_default();
                let how = if late { "did not boot in time" } else { "did not boot" };
                bail!("the machine {how}; its console:\n{}\n{complaints}", lines.join("\n"))
            }
            (Console::Output { .. }, true) => {
                bail!("the command did not end within {} minutes", patience.as_secs() / 60)
            }
            (Console::Output { panicked: true }, false) => Ok(End::Panic),
            (Console::Output { .. }, false) => bail!("the machine went down under the command"),
        }
    }

    fn boot(&self, socket: &Path, complaints: &Path) -> Result<Owned> {
        let Machine { kernel, initramfs, accel, disk } = self;
        let mut qemu = mortal("qemu-system-x86_64");
        qemu.args(["-nodefaults", "-nographic", "-no-reboot", "-serial", "stdio"]);
        qemu.args(["-accel", if *accel == "tcg" { "tcg,thread=multi" } else { accel }]);
        qemu.args(["-cpu", "max", "-smp", "2", "-m", MEMORY]);
        // virtiofs needs memory that two processes share.
        qemu.args([
            "-object",
            &format!("memory-backend-memfd,id=memory,size={MEMORY},share=on"),
            "-numa",
            "node,memdev=memory",
        ]);
        qemu.args(["-chardev", &format!("socket,id=root,path={}", socket.display())]);
        qemu.args([
            "-device",
            "vhost-user-fs-pci,chardev=root,tag=host,queue-size=512",
            "-device",
            "virtio-rng-pci",
        ]);
        if let Some(disk) = disk {
            // Writes are done when the host has them, and last when the machine has flushed them.
            qemu.args(["-drive", &format!("file={},format=qcow2,if=virtio,cache=writeback", disk.display())]);
        }
        qemu.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs).args(["-append", PARAMETERS]);
        start(qemu.stdout(Stdio::piped()), complaints)
    }
}

/// A process that does not outlive its owner.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the daemon and waits until it listens.
fn serve_root(socket: &Path, complaints: &Path) -> Result<Owned> {
    let program = VIRTIOFSD.into_iter().find(|path| Path::new(path).exists());
    let program = program.with_context(|| format!("no virtiofsd (neither of {})", VIRTIOFSD.join(", ")))?;
    let mut virtiofsd = mortal(program);
    virtiofsd.arg(format!("--socket-path={}", socket.display()));
    for option in ["source=/", "cache=always", "xattr", "sandbox=chroot", "no_posix_lock"] {
        virtiofsd.args(["-o", option]);
    }
    let mut daemon = start(&mut virtiofsd, complaints)?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while !socket.exists() {
        if let Some(status) = daemon.0.try_wait().context("waiting for virtiofsd")? {
            bail!(
                "{program} ended with {status}:\n{}",
                std::fs::read_to_string(complaints).unwrap_or_default()
            );
        }
        if Instant::now() > deadline {
            bail!("{program} made no socket within 10 s");
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(daemon)
}

/// A command that the kernel kills when we are gone, however we went (PR_SET_PDEATHSIG).
fn mortal(program: &str) -> Command {
    command("setpriv", ["--pdeathsig", "KILL", "--", program])
}

/// Starts a helper whose stderr goes to a file, to be shown if it fails.
fn start(command: &mut Command, complaints: &Path) -> Result<Owned> {
    let file =
        File::options().create(true).append(true).open(complaints).context("opening the helpers' log")?;
    let program = command.get_program().to_string_lossy().into_owned();
    Ok(Owned(
        command.stdin(Stdio::null()).stderr(file).spawn().with_context(|| format!("starting {program}"))?,
    ))
}

/// The lines of the console as they come, until the machine is off.
fn read_lines(console: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                break;
            }
        }
    });
    receiver
}

/// Why the console is followed no longer.
enum Followed {
    /// The command or the machine has ended, or the time is over (`true`).
    Console(Console, bool),
    PowerLoss,
}

/// Passes the output on, line by line, until that.
fn follow(
    lines: &Receiver<String>,
    deadline: Instant,
    line: &mut impl FnMut(&str) -> Option<Duration>,
) -> Followed {
    let mut console = Console::new();
    let mut power: Option<Instant> = None;
    loop {
        let until = power.map_or(deadline, |power| power.min(deadline));
        let text = match lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(text) => text,
            Err(RecvTimeoutError::Timeout) if power.is_some_and(|power| power <= deadline) => {
                return Followed::PowerLoss;
            }
            Err(error) => return Followed::Console(console, error == RecvTimeoutError::Timeout),
        };
        if let Some(output) = console.line(&text)
            && let Some(left) = line(&output)
        {
            power = Some(Instant::now() + left);
        }
        if matches!(console, Console::Ended(_)) {
            return Followed::Console(console, false);
        }
    }
}
