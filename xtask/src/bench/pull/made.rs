//! Layers that are made up: many small ones, a large one, one of very many files. The same bytes every time.

use std::io::{self, Read, Write};

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};

/// How many layers the image of small ones has.
pub(super) const SMALL_LAYERS: u32 = 60;
const SMALL_FILES: u32 = 8;
const SMALL_SIZE: u64 = 16 << 10;

const LARGE_FILES: u32 = 64;
/// 1 GiB in all.
const LARGE_SIZE: u64 = 16 << 20;

const EMPTY_DIRECTORIES: u32 = 200;
const EMPTY_FILES: u32 = 1000;

/// One of many small layers: 128 KiB in eight files.
pub(super) fn small(number: u32, out: &mut dyn Write) -> Result<()> {
    let mut archive = Builder::new(out);
    for file in 0..SMALL_FILES {
        add(&mut archive, &format!("small/{number}/{file}"), SMALL_SIZE, number * SMALL_FILES + file)?;
    }
    archive.into_inner().map(drop).context("writing a layer")
}

/// 1 GiB in 64 files.
pub(super) fn large(out: &mut dyn Write) -> Result<()> {
    let mut archive = Builder::new(out);
    for file in 0..LARGE_FILES {
        add(&mut archive, &format!("large/{file}"), LARGE_SIZE, file)?;
    }
    archive.into_inner().map(drop).context("writing a layer")
}

/// 200 000 empty files.
pub(super) fn empty(out: &mut dyn Write) -> Result<()> {
    let mut archive = Builder::new(out);
    for directory in 0..EMPTY_DIRECTORIES {
        let mut header = header(0o755, 0);
        header.set_entry_type(EntryType::Directory);
        let path = format!("empty/{directory}/");
        archive.append_data(&mut header, path, io::empty()).context("writing a layer")?;
        for file in 0..EMPTY_FILES {
            add(&mut archive, &format!("empty/{directory}/{file}"), 0, 0)?;
        }
    }
    archive.into_inner().map(drop).context("writing a layer")
}

fn add(archive: &mut Builder<&mut dyn Write>, path: &str, size: u64, seed: u32) -> Result<()> {
    let content = Words::new(seed).take(size);
    archive.append_data(&mut header(0o644, size), path, content).context("writing a layer")
}

fn header(mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(1_750_000_000);
    header
}

/// Words out of a vocabulary: gzip makes about a third of them, as of a program.
struct Words {
    state: u64,
    left: Vec<u8>,
}

impl Words {
    fn new(seed: u32) -> Self {
        Self { state: u64::from(seed) + 1, left: Vec::new() }
    }

    /// splitmix64.
    fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }
}

fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl Read for Words {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left.len() < buffer.len() {
            // One of 4096 words, of three to ten bytes.
            let word = self.number() % 4096;
            let length = 3 + usize::try_from(mix(word) % 8).expect("below eight");
            let letters = mix(word ^ 0xffff).to_le_bytes().into_iter().chain([b' ', b'\n']);
            self.left.extend(letters.take(length));
        }
        buffer.copy_from_slice(&self.left[..buffer.len()]);
        self.left.drain(..buffer.len());
        Ok(buffer.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_layer_comes_out_every_time_whole() {
        let made = |number| {
            let mut bytes = Vec::new();
            small(number, &mut bytes).unwrap();
            bytes
        };
        assert_eq!(made(1), made(1));
        let contents = |layer: &[u8]| -> Vec<Vec<u8>> {
            let read = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
                let mut content = Vec::new();
                entry.unwrap().read_to_end(&mut content).unwrap();
                content
            };
            tar::Archive::new(layer).entries().unwrap().map(read).collect()
        };
        let (one, two) = (contents(&made(1)), contents(&made(2)));
        assert!(one.iter().all(|content| !two.contains(content)), "other files in every layer");
        let sizes: Vec<u64> = one.iter().map(|content| content.len() as u64).collect();
        assert_eq!(sizes, [SMALL_SIZE; 8]);
    }
}
