//! From a reference to an image's manifest and configuration, everything verified.

use std::io::Read as _;

use super::{Pull, PullError};
use crate::digest::Digest;
use crate::manifest::{Descriptor, ImageManifest, Manifest};
use crate::platform::Platform;
use crate::registry::Answer;

/// A manifest as the registry has it.
pub(super) struct Fetched {
    pub(super) image: ImageManifest,
    pub(super) bytes: Vec<u8>,
    /// The digest of what the reference named.
    pub(super) digest: Digest,
}

/// Indexes may hold indexes; images are never deeper than this.
const DEPTH_MAX: usize = 4;

impl Pull<'_> {
    /// The manifest of the image, through indexes; everything verified.
    pub(super) async fn manifest(&self) -> Result<Fetched, PullError> {
        let mut asked = self.reference.digest();
        let mut expected_size = None;
        let mut named = None;
        for _ in 0..DEPTH_MAX {
            let name = match asked {
                Some(digest) => digest.to_string(),
                None => self.reference.tag().expect("without a digest there is a tag").to_owned(),
            };
            let max = self.options.limits.manifest_bytes;
            let attempt = || self.registry.manifest(&name, max);
            let Answer { bytes, content_type, digest: announced } =
                self.attempts().run(attempt, |retry| self.tell_again(retry)).await?;
            let actual = Digest::of(&bytes);
            verify(actual, bytes.len(), asked.or(announced), expected_size)?;
            let digest = *named.get_or_insert(actual);
            let manifest = Manifest::parse(&bytes, content_type.as_deref()).map_err(PullError::Manifest)?;
            let items = match manifest {
                Manifest::Image(image) => return Ok(Fetched { image, bytes, digest }),
                Manifest::Index(items) => items,
            };
            let offered: Vec<Option<Platform>> = items.iter().map(|item| item.platform.clone()).collect();
            let wanted = &self.options.platform;
            let Some(best) = wanted.choose(&offered) else {
                let offered =
                    offered.iter().flatten().filter(|offer| offer.os != "unknown").map(Platform::to_string);
                return Err(PullError::Platform { wanted: wanted.clone(), offered: offered.collect() });
            };
            asked = Some(items[best].manifest.digest);
            expected_size = Some(items[best].manifest.size);
        }
        Err(PullError::TooDeep)
    }

    pub(super) async fn config(&self, manifest: &ImageManifest) -> Result<Vec<u8>, PullError> {
        let Descriptor { digest, size } = manifest.config;
        let max = self.options.limits.config_bytes;
        if size > max {
            return Err(PullError::ConfigSize { size, max });
        }
        if let Some(bytes) = self.kept(manifest.config)? {
            return Ok(bytes);
        }
        let attempt = || self.registry.document(digest, size);
        let bytes = self.attempts().run(attempt, |retry| self.tell_again(retry)).await?;
        verify(Digest::of(&bytes), bytes.len(), Some(digest), Some(size))?;
        Ok(bytes)
    }

    /// A configuration that the store has already, if it is whole.
    fn kept(&self, config: Descriptor) -> Result<Option<Vec<u8>>, PullError> {
        if self.session.blob_size(config.digest)? != Some(config.size) {
            return Ok(None);
        }
        let Some(file) = self.session.open_blob(config.digest)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = file.take(config.size).read_to_end(&mut bytes);
        Ok((read.is_ok() && Digest::of(&bytes) == config.digest).then_some(bytes))
    }
}

fn verify(actual: Digest, length: usize, digest: Option<Digest>, size: Option<u64>) -> Result<(), PullError> {
    if let Some(asked) = digest {
        if let Some(expected) = size.filter(|size| *size != length as u64) {
            return Err(PullError::Size { digest: asked, expected, actual: length as u64 });
        }
        if asked != actual {
            return Err(PullError::Digest { asked, actual });
        }
    }
    Ok(())
}
