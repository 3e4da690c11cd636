//! One file with everything that a machine without a network needs: a program for sh(1), and below it an archive.
//!
//! ```text
//! header.sh                 verifies the rest by its digest, unpacks it, loads the images, tries the machine
//! README.txt
//! mini                      this very program
//! images.tar                as `mini save` writes it
//! lessons/{en,ko}/NN-…txt   what the lessons say
//! ```
//!
//! The same program and the same images give the same bytes. The digest comes into the header last: it is that of what was
//! written.

use std::fs::File;
use std::io::{self, Read as _, Write};

use anyhow::{Context as _, Result};
use image::{Hasher, Save};
use runtime::op::step;
use runtime::sys::whole::NewFile;

use crate::explain::Language;
use crate::learn;

const HEADER: &str = include_str!("header.sh");
/// Where the digest stands in it.
const DIGEST: &str = "sum=";

/// Everything that goes into a file, but for the images.
#[derive(Debug)]
struct Text {
    path: String,
    text: String,
}

/// Writes the whole bundle.
///
/// # Errors
/// The store is damaged, or the file takes no more: nothing stays then but what `file` leaves.
pub(crate) fn write(file: &mut NewFile, save: &Save<'_>) -> Result<()> {
    step("Write a bundle: a header for the shell, this program, the images, the lessons");
    file.write_all(HEADER.as_bytes()).context("cannot write the bundle")?;
    let mut out = Archive { file, hasher: Hasher::default() };
    let (first, last) = (readme(save), texts());
    out.text(&first)?;
    out.program()?;
    out.header("images.tar", 0o644, save.size())?;
    save.write(&mut out)?;
    out.pad(save.size())?;
    last.iter().try_for_each(|text| out.text(text))?;
    out.put(&image::TAR_END)?;
    let digest = out.hasher.finish().hex();
    let place = HEADER.find(DIGEST).expect("the header has a place for it") + DIGEST.len();
    file.write_at(digest.as_bytes(), place as u64).context("cannot write the bundle")
}

/// The archive below the header: everything that goes into it is counted into its digest.
struct Archive<'a> {
    file: &'a mut NewFile,
    hasher: Hasher,
}

impl Archive<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.write_all(bytes).context("cannot write the bundle")
    }

    fn header(&mut self, path: &str, mode: u32, size: u64) -> Result<()> {
        self.put(&image::tar_header(path, mode, size))
    }

    /// Fills the last block of a member.
    fn pad(&mut self, size: u64) -> Result<()> {
        self.put(image::tar_padding(size))
    }

    fn text(&mut self, Text { path, text }: &Text) -> Result<()> {
        self.header(path, 0o644, text.len() as u64)?;
        self.put(text.as_bytes())?;
        self.pad(text.len() as u64)
    }

    /// This very program, from wherever it is.
    fn program(&mut self) -> Result<()> {
        let mut program = File::open("/proc/self/exe").context("open(\"/proc/self/exe\")")?;
        let size = program.metadata().context("stat(\"/proc/self/exe\")")?.len();
        self.header("mini", 0o755, size)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let length = program.read(&mut buffer).context("read(\"/proc/self/exe\")")?;
            if length == 0 {
                return self.pad(size);
            }
            self.put(&buffer[..length])?;
        }
    }
}

impl Write for Archive<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn readme(save: &Save<'_>) -> Text {
    let names = save.images().iter().flat_map(|image| match image.names.as_slice() {
        [] => vec![image.id.to_string()],
        names => names.iter().map(image::Reference::familiar).collect(),
    });
    let images: String = names.map(|name| format!("    {name}\n")).collect();
    let text = format!(
        "mini {}: lessons about containers, for a machine without a network.\n\n\
         As root, in this directory:\n\n\
         \x20   ./mini load -i images.tar    the images, into mini's store\n\
         \x20   ./mini class check           whether this machine is fit for every lesson\n\
         \x20   ./mini learn                 the lessons; ./mini learn --lang ko in Korean\n\
         \x20   ./mini class reset           makes the machine ready for the next student\n\
         \x20   ./mini help                  everything else\n\n\
         The images in images.tar, which docker and podman load too:\n\n{images}\n\
         lessons/en and lessons/ko have what the lessons say, to be read or printed.\n",
        env!("CARGO_PKG_VERSION")
    );
    Text { path: "README.txt".to_owned(), text }
}

/// What the lessons say, a file each, in both languages.
fn texts() -> Vec<Text> {
    let of = |(language, directory): (Language, &'static str)| {
        learn::texts(language).into_iter().enumerate().map(move |(index, (name, text))| Text {
            path: format!("lessons/{directory}/{:02}-{name}.txt", index + 1),
            text,
        })
    };
    [(Language::En, "en"), (Language::Ko, "ko")].into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_one_place_for_the_digest_and_ends_with_its_mark() {
        assert_eq!(HEADER.matches(&format!("\n{DIGEST}{}\n", "0".repeat(64))).count(), 1);
        assert_eq!(HEADER.find(DIGEST), HEADER.find(&format!("{DIGEST}{}", "0".repeat(64))));
        let mark = HEADER.lines().find_map(|line| line.strip_prefix("mark='")?.strip_suffix('\'')).unwrap();
        assert!(HEADER.ends_with(&format!("\nexit\n{mark}\n")));
        assert_eq!(HEADER.lines().filter(|line| *line == mark).count(), 1);
    }

    #[test]
    fn every_lesson_is_there_in_both_languages() {
        let texts = texts();
        assert_eq!(texts.len(), 2 * learn::names().count());
        assert_eq!(texts[0].path, "lessons/en/01-uts.txt");
        for Text { path, text } in &texts {
            let hangul = text.chars().any(|letter| ('가'..='힣').contains(&letter));
            assert_eq!(hangul, path.starts_with("lessons/ko/"), "{path}");
            assert!(text.lines().count() > 10 && text.ends_with('\n'), "{path}: {text}");
        }
    }
}
