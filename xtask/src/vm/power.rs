//! `cargo xtask power-loss`: a machine that loads and pulls images loses its power, again and again, and finds them well each time.
//!
//! ```text
//!   boot 0   a kept image, a container; how long a load and a pull take      ─► power off
//!   boot n   all that is listed runs with every byte; the container starts;
//!            `system check --repair`, then `system check` finds nothing;
//!            load and pull work; then again and again, until                 ─► power off, at a moment of the load or the pull
//!   the last the same, without a loss
//! ```
//!
//! A power loss is a SIGKILL of qemu: the machine's memory is gone, and with it all files that its kernel had not written yet. What was
//! written and not flushed is gone too, as on a disk with a cache ([`super::overlay`]); the first boot proves that it is. What was
//! flushed is there: the host's own power does not fail.

use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::kernel::Kernel;
use super::machine::{End, Machine};
use super::overlay::overlay;
use super::{BOOTS, first_files, prepare, quoted};
use crate::build::{self, Profile};
use crate::busybox;
use crate::command::{command, run};
use crate::workspace::Workspace;

const SCRIPT: &str = include_str!("../../vm/power.sh");

/// Let a virtual machine lose its power while it loads and pulls images, and look at what it finds afterwards
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often the power fails
    #[arg(long, default_value_t = 4)]
    times: u32,
    /// Debian's kernel to boot: 6.12 or 6.1
    #[arg(long, default_value = "6.12")]
    kernel: String,
    /// How the processor is made: tcg emulates it, kvm is faster where it works
    #[arg(long, default_value = "tcg")]
    accel: String,
}

/// Bytes of the disk; what is behind the file system is for the proof.
const DISK: u64 = 640 << 20;
const FILE_SYSTEM: u64 = DISK - (1 << 20);

/// No boot takes longer, however slow the machine.
const PATIENCE: Duration = Duration::from_mins(5);

pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    let kernel = prepare(&workspace, &args.kernel)?;
    let mini = build::build(&workspace, Profile::Ci)?;
    let directory =
        tempfile::tempdir_in(workspace.target.join("vm")).context("making a directory for disks")?;
    let scene = Scene {
        variables: variables(&workspace, &mini, directory.path())?,
        directory: directory.path(),
        kernel: &kernel,
        accel: &args.accel,
    };
    let cycle = scene.boot(0, None)?.context("the first boot says how long a load and a pull take")?;
    eprintln!("a load and a pull take {:.1} s there", cycle.as_secs_f64());
    for boot in 1..=args.times {
        let after = moment(cycle, boot - 1, args.times, RandomState::new().build_hasher().finish());
        scene.boot(boot, Some(after))?;
    }
    scene.boot(args.times + 1, None)?;
    println!("the power failed {} times, and every image was whole or gone", args.times);
    Ok(ExitCode::SUCCESS)
}

/// When the power fails in one of `times` boots: each has its share of the cycle, and a moment in it by chance. PURE.
fn moment(cycle: Duration, boot: u32, times: u32, chance: u64) -> Duration {
    let share = cycle / times;
    let within = u32::try_from(chance % 1000).expect("less than a thousand");
    share * boot + share * within / 1000
}

/// What every boot has.
struct Scene<'a> {
    variables: String,
    directory: &'a Path,
    kernel: &'a Kernel,
    accel: &'a str,
}

impl Scene<'_> {
    /// Boots on what the boot before left. The power fails so long after the work has begun; in the first boot at its end, and in the
    /// last not at all. Returns how long a cycle took, where the boot measures one.
    fn boot(&self, boot: u32, after: Option<Duration>) -> Result<Option<Duration>> {
        let cuts = if after.is_some() { "yes" } else { "no" };
        let initramfs =
            first_files(self.kernel, &format!("{}BOOT={boot} CUTS={cuts}\n{SCRIPT}", self.variables))?;
        for _ in 0..BOOTS {
            eprintln!("== boot {boot}");
            // A kernel that panicked has left a disk that nobody asks about.
            let disk = self.disk(boot)?;
            let machine = Machine {
                kernel: &self.kernel.image,
                initramfs: initramfs.path(),
                accel: self.accel,
                disk: Some(&disk),
            };
            let (mut begin, mut cycle) = (None, None);
            let end = machine.run(PATIENCE, |line| {
                println!("{line}");
                match line {
                    "a cycle begins" => begin = Some(Instant::now()),
                    "a cycle ends" => cycle = begin.map(|begin| begin.elapsed()),
                    "power off" => return Some(Duration::ZERO),
                    "power fails soon" => return after,
                    _ => {}
                }
                None
            })?;
            match end {
                End::PowerLoss => {
                    println!("the power failed after {:.2} s", after.unwrap_or_default().as_secs_f64());
                }
                End::Status(0) if after.is_none() => {}
                End::Status(status) => bail!("boot {boot}: the machine ended with {status}"),
                End::Panic => continue,
            }
            return Ok(cycle);
        }
        bail!("boot {boot}: the machine's kernel panicked each time")
    }

    /// The disk of a boot: an overlay over that of the boot before, the first over a new file system.
    fn disk(&self, boot: u32) -> Result<PathBuf> {
        let path = |boot: u32| self.directory.join(format!("{boot}.qcow2"));
        let (below, format) = match boot.checked_sub(1) {
            Some(before) => (path(before), "qcow2"),
            None => (self.directory.join("disk"), "raw"),
        };
        if boot == 0 {
            let disk = File::create(&below).with_context(|| format!("making {}", below.display()))?;
            disk.set_len(DISK).context("giving the disk its size")?;
            let size = format!("{}k", FILE_SYSTEM >> 10);
            run(command("mkfs.ext4", ["-q".as_ref(), "-F".as_ref(), below.as_os_str(), size.as_ref()]))?;
        }
        let header = overlay(DISK, &below.to_string_lossy(), format);
        fs::write(path(boot), header).context("writing an overlay")?;
        Ok(path(boot))
    }
}

/// Makes the images, and says where everything is.
fn variables(workspace: &Workspace, mini: &Path, directory: &Path) -> Result<String> {
    let kept = busybox::archive(&workspace.target.join("busybox"))?;
    let layer = busybox::layer(&kept)?;
    let mut program = Vec::new();
    let mut entries = tar::Archive::new(layer.as_slice());
    for entry in entries.entries().context("reading the layer of busybox")? {
        let mut entry = entry.context("reading the layer of busybox")?;
        if entry.path().is_ok_and(|path| path == Path::new("bin/busybox")) {
            std::io::copy(&mut entry, &mut program).context("reading busybox")?;
        }
    }
    let write = |path: &Path, bytes: &[u8]| -> Result<()> {
        fs::create_dir_all(path.parent().expect("it lies in our directory")).context("making a directory")?;
        fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
    };
    let loaded = directory.join("loaded.tar");
    let (one, two, three, four) = (data(1)?, data(2)?, data(3)?, data(4)?);
    write(&loaded, &busybox::image("loaded:1", &[&layer, &one, &two])?)?;
    let registry = directory.join("registry");
    for (path, bytes) in registry_files(&busybox::image("pulled:1", &[&layer, &three, &four])?)? {
        write(&registry.join(path), &bytes)?;
    }
    let variable = |name: &str, path: &Path| format!("{name}={}\n", quoted(path.as_os_str()));
    Ok(variable("MINI", mini)
        + &variable("KEPT", &kept)
        + &variable("LOADED", &loaded)
        + &variable("REGISTRY", &registry)
        + &format!("PROGRAM={}\nEND={}\n", hex::encode(Sha256::digest(&program)), FILE_SYSTEM / 4096))
}

/// A layer of files whose bytes no compression makes less, and their digests. PURE.
fn data(number: u8) -> Result<Vec<u8>> {
    let mut layer = tar::Builder::new(Vec::new());
    let mut sums = String::new();
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        layer.append_data(&mut header, format!("data{number}/{name}"), bytes).context("writing to memory")
    };
    for file in 0..100_u8 {
        let blocks =
            (0..400_u16).map(|block| Sha256::digest([&[number, file][..], &block.to_le_bytes()].concat()));
        let bytes: Vec<u8> = blocks.flatten().collect();
        sums += &format!("{}  {file}\n", hex::encode(Sha256::digest(&bytes)));
        add(&file.to_string(), &bytes)?;
    }
    add("sums", sums.as_bytes())?;
    layer.into_inner().context("writing to memory")
}

/// The files of a web server that answers as a registry does for the image of an archive, `pulled:1`.
fn registry_files(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = vec![("v2/index.html".to_owned(), b"{}".to_vec())];
    let mut index = serde_json::Value::Null;
    for entry in tar::Archive::new(archive).entries().context("reading from memory")? {
        let mut entry = entry.context("reading from memory")?;
        let name = entry.path().context("a name of ours")?.to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        std::io::copy(&mut entry, &mut bytes).context("reading from memory")?;
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            files.push((format!("v2/pulled/blobs/sha256:{hex}"), bytes));
        } else if name == "index.json" {
            index = serde_json::from_slice(&bytes).context("an index of ours")?;
        }
    }
    let digest = index["manifests"][0]["digest"].as_str().context("an index of ours")?;
    let blob = format!("v2/pulled/blobs/{digest}");
    let manifest = files.iter().find(|(name, _)| *name == blob).context("an archive of ours")?.1.clone();
    files.push((format!("v2/pulled/manifests/{digest}"), manifest.clone()));
    files.push(("v2/pulled/manifests/1".to_owned(), manifest));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_loss_has_its_part_of_the_work() {
        let cycle = Duration::from_secs(8);
        assert_eq!(moment(cycle, 0, 4, 0), Duration::ZERO);
        assert_eq!(moment(cycle, 2, 4, 500), Duration::from_secs(5));
        assert!(moment(cycle, 3, 4, 999) < cycle);
    }

    #[test]
    fn a_directory_answers_as_a_registry() {
        let files = registry_files(&busybox::image("pulled:1", &[b"layer"]).unwrap()).unwrap();
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"v2/pulled/manifests/1"), "{names:?}");
        let (_, manifest) = files.last().unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(manifest).unwrap();
        let layer = manifest["layers"][0]["digest"].as_str().unwrap();
        assert!(names.contains(&&*format!("v2/pulled/blobs/{layer}")), "{names:?}");
    }
}
