//! What supports a running container: the memory of the processes around it, as proportional set size (proc(5),
//! smaps_rollup), which divides what several share among them.

use std::fs::{self, File};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::inside::World;
use crate::command::{command, read, run};

/// What mini promises, in kB.
const BAR: u64 = 150;
const MANY: usize = 50;
/// After how long a container that was started is one that runs.
const SETTLED: Duration = Duration::from_secs(2);
pub(super) const REGISTRY: &str = "127.0.0.1:5000";

/// Measures after everything else, since it fills the machine with containers.
pub(super) fn report(world: &World) -> Result<String> {
    let mut registry = start_registry(world, &world.plan.directory.join("registry/data"))?;
    let text = measure(world);
    // Its end is the namespace's too; until then it is of no more use.
    let _ = registry.kill();
    let _ = registry.wait();
    text
}

fn measure(world: &World) -> Result<String> {
    let image = format!("{REGISTRY}/busybox");
    run(command("docker", ["tag", "busybox", &image]))?;
    run(command("docker", ["push", "--quiet", &image]))?;
    let pulled = monitor(world, "pulled", &image)?;
    let many = (0..MANY)
        .map(|number| monitor(world, &format!("many-{number}"), "busybox"))
        .collect::<Result<Vec<_>>>()?;
    // What is measured is the time between start and end, which is most of a container's life.
    thread::sleep(SETTLED);
    let (pulled, many) = (pss(pulled)?, many.into_iter().map(pss).sum::<Result<u64>>()?);

    let average = many / MANY as u64;
    let judgement = if pulled.max(average) <= BAR { "met" } else { "MISSED" };
    let mut text = format!(
        "Supporting memory, kB PSS (at most {BAR}: {judgement})\n  \
         mini's monitor, after a run that pulled   {pulled:>8}\n  \
         mini's monitors, {MANY} containers, each    {average:>8}\n"
    );
    for (what, names) in [
        ("docker, one container: daemons and shim", &["dockerd", "containerd", "containerd-shim"][..]),
        ("podman, one container: conmon", &["conmon"]),
    ] {
        text += &format!("  {what:<41} {:>8}\n", pss_of(names)?);
    }
    Ok(text)
}

/// Starts a container; the process that supports it, which is its first one's parent.
fn monitor(world: &World, name: &str, image: &str) -> Result<u32> {
    let mini = |args: &[&str]| read(Command::new(&world.plan.mini).args(args).stderr(Stdio::null()));
    mini(&["run", "--detach", "--name", name, image, "sleep", "1000000"])
        .with_context(|| format!("starting {name}"))?;
    let facts: serde_json::Value =
        serde_json::from_str(&mini(&["inspect", name])?).context("reading mini's inspect")?;
    let init =
        facts[0]["State"]["Pid"].as_u64().with_context(|| format!("inspect names no process of {name}"))?;
    let status = fs::read_to_string(format!("/proc/{init}/status"))
        .with_context(|| format!("looking at process {init}"))?;
    field(&status, "PPid:")
        .with_context(|| format!("process {init} has no parent"))?
        .try_into()
        .context("a huge process number")
}

fn pss(pid: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .with_context(|| format!("looking at process {pid}"))?;
    field(&rollup, "Pss:").with_context(|| format!("process {pid} has no Pss"))
}

/// The sum over all processes of these names. Every one here is the bench's own.
pub(super) fn pss_of(names: &[&str]) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir("/proc").context("looking at /proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        // One that has ended meanwhile has no name.
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        // The kernel keeps 15 bytes of a name.
        if names.iter().any(|wanted| wanted[..wanted.len().min(15)] == *name.trim_end()) {
            sum += pss(pid)?;
        }
    }
    Ok(sum)
}

/// The number after `name` at the beginning of a line. PURE.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

/// A registry on the loopback, which keeps its images in `storage`.
pub(super) fn start_registry(world: &World, storage: &Path) -> Result<Child> {
    start_registry_at(REGISTRY, world, storage)
}

/// The same at another address.
pub(super) fn start_registry_at(address: &str, world: &World, storage: &Path) -> Result<Child> {
    let directory = world.plan.directory.join(format!("registry-{address}"));
    fs::create_dir_all(&directory).with_context(|| format!("making {}", directory.display()))?;
    let config = directory.join("config.yml");
    let text = format!(
        "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\n\
         http: {{ addr: {address} }}\n",
        storage.display()
    );
    fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
    let log = File::create(directory.join("log")).context("making the registry's log")?;
    let mut registry = Command::new("docker-registry");
    let registry = registry.arg("serve").arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let mut registry = registry.spawn().context("starting docker-registry")?;
    for _ in 0..100 {
        if TcpStream::connect(address).is_ok() {
            return Ok(registry);
        }
        if let Some(status) = registry.try_wait().context("waiting for docker-registry")? {
            bail!("docker-registry ended with {status}");
        }
        thread::sleep(Duration::from_millis(100));
    }
    let _ = registry.kill();
    bail!("docker-registry did not listen on {address} within 10 s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_begin_their_lines() {
        let text = "Rss:  1 kB\nSwapPss:  2 kB\nPss:      37 kB\nPss_Dirty: 4 kB\n";
        assert_eq!(field(text, "Pss:"), Some(37));
        assert_eq!(field(text, "Uss:"), None);
    }
}
