//! The images that are pulled: made once, in the user's cache, as a registry's directory.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::cases::Case;
use super::made;
use super::storage::{Packing, Storage, copy};
use crate::apt;
use crate::command::{command, read, run};

/// Rises when what is made changes.
const VERSION: u32 = 1;

/// Where the images are kept: outside of the checkout, for all of them.
fn cache() -> Result<PathBuf> {
    let of_user = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = of_user.or_else(home).context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(cache.join("mini-bench"))
}

/// Makes what is missing of these cases' images; the directory that docker-registry serves.
pub(super) fn make(cases: &[Case]) -> Result<PathBuf> {
    let cache = cache()?;
    fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
    // Two benches do not make the same image, and what nobody makes any more is in the way.
    let lock = File::open(&cache).with_context(|| format!("opening {}", cache.display()))?;
    lock.lock().with_context(|| format!("locking {}", cache.display()))?;
    let directory = cache.join(format!("registry-{VERSION}"));
    let storage = Storage::new(&directory);
    for case in cases {
        // What gives two images is made once.
        let mark = if *case == Case::Zstd { Case::Debian } else { *case };
        let made = directory.join(format!("{mark:?}.made"));
        if made.exists() {
            continue;
        }
        eprintln!("making {}, once", case.image());
        let single = |layer: fn(&mut dyn Write) -> Result<()>| -> Result<()> {
            storage.image(case.image(), &[storage.layer(Packing::Gzip, layer)?])
        };
        match case {
            Case::Debian | Case::Zstd => debian(&cache.join("building"), &storage)?,
            Case::Layers => {
                let layers = (0..made::SMALL_LAYERS)
                    .map(|number| storage.layer(Packing::Gzip, |out| made::small(number, out)));
                storage.image(case.image(), &layers.collect::<Result<Vec<_>>>()?)?;
            }
            Case::Large => single(made::large)?,
            Case::Files => single(made::empty)?,
        }
        fs::write(&made, "").with_context(|| format!("making {}", made.display()))?;
    }
    Ok(directory)
}

/// How many layers `debian.sh` makes.
const LAYERS: u32 = 8;
const SCRIPT: &str = include_str!("debian.sh");

/// A directory that is there while something is made in it.
struct Scrap(PathBuf);

impl Drop for Scrap {
    fn drop(&mut self) {
        // What stays is removed by the next one.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Debian's layers, with gzip and with zstd.
fn debian(scrap: &Path, storage: &Storage) -> Result<()> {
    let scrap = Scrap(scrap.to_owned());
    if scrap.0.exists() {
        fs::remove_dir_all(&scrap.0).with_context(|| format!("removing {}", scrap.0.display()))?;
    }
    fs::create_dir_all(&scrap.0).with_context(|| format!("making {}", scrap.0.display()))?;
    let (suite, mirror) = apt::with_fresh_lists(source)?;
    // It ends with us, and its mounts with it.
    let mut script = command("setpriv", ["--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork"]);
    script.args(["--kill-child", "--mount-proc", "sh", "-c", SCRIPT, "sh"]).arg(&scrap.0);
    script.args([&suite, &mirror]);
    let proxy = read(command("apt-config", ["shell", "proxy", "Acquire::http::Proxy"]))?;
    if let Some(proxy) = quoted(&proxy) {
        script.env("http_proxy", proxy);
    }
    run(script)?;
    for (case, packing) in [(Case::Debian, Packing::Gzip), (Case::Zstd, Packing::Zstd)] {
        let layer = |number| {
            let tar = scrap.0.join(format!("{number}.tar"));
            storage.layer(packing, |out| copy(&tar, out))
        };
        storage.image(case.image(), &(1..=LAYERS).map(layer).collect::<Result<Vec<_>>>()?)?;
    }
    Ok(())
}

/// The suite of this machine's Debian, and the mirror that its apt has it from.
fn source() -> Result<(String, String)> {
    let release = fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    let suite = suite(&release).context("/etc/os-release names no VERSION_CODENAME")?;
    let known = read(command(
        "apt-get",
        ["indextargets", "--format", "$(CODENAME) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"],
    ))?;
    let mirror = mirror(&known, suite).with_context(|| format!("apt knows no mirror of {suite}"))?;
    ensure!(!mirror.is_empty(), "apt's mirror of {suite} has no address");
    Ok((suite.to_owned(), mirror.to_owned()))
}

/// os-release(5). PURE.
fn suite(release: &str) -> Option<&str> {
    let value = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="))?;
    Some(value.trim_matches(['"', '\'']))
}

/// The first mirror with the suite's main component. PURE.
fn mirror<'a>(known: &'a str, suite: &str) -> Option<&'a str> {
    known.lines().find_map(|line| {
        let mut words = line.split(' ');
        (words.next()? == suite && words.next()? == "main").then(|| words.next())?
    })
}

/// The value in `name='value'`, unless it is empty. PURE.
fn quoted(line: &str) -> Option<&str> {
    let value = line.trim().split_once('=')?.1.trim_matches('\'');
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_apts_own() {
        let known = "stable main http://other/\nbookworm contrib http://c/\nbookworm main http://a/debian/\n";
        assert_eq!(mirror(known, "bookworm"), Some("http://a/debian/"));
        assert_eq!(mirror(known, "trixie"), None);
        assert_eq!(suite("ID=debian\nVERSION_CODENAME=bookworm\n"), Some("bookworm"));
        assert_eq!(suite("VERSION_CODENAME=\"x\"\n"), Some("x"));
        assert_eq!(quoted("proxy='http://p:1/'\n"), Some("http://p:1/"));
        assert_eq!(quoted("proxy=''\n"), None);
        assert_eq!(quoted(""), None);
    }
}
