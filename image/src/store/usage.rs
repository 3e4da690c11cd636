//! What images take on the disk: a layer that several of them have lies there once.

use std::collections::{HashMap, HashSet};

use super::image::Image;
use super::index::Index;
use super::session::Shelf;
use super::{Store, StoreError};
use crate::digest::Digest;

/// All images, with the sizes of their layers.
#[derive(Debug, Default)]
pub struct Usage {
    /// The images, in the order in which they came.
    pub images: Vec<Image>,
    /// The layers of each, by its id: `layers/<diff id>`.
    layers: Vec<(Digest, Vec<String>)>,
    /// Bytes of each layer, as [`Image::size`] counts them.
    sizes: HashMap<String, u64>,
    /// Bytes of downloads that were cut short and that nobody is at.
    pub interrupted: u64,
}

impl Usage {
    /// Bytes of all layers.
    pub fn bytes(&self) -> u64 {
        self.sizes.values().sum()
    }

    /// Bytes of the layers of an image that another one has too.
    pub fn shared(&self, id: Digest) -> u64 {
        let others: HashSet<&String> = self.layers_of(&|other| other != id);
        self.sum(self.layers_of(&|one| one == id).into_iter().filter(|layer| others.contains(layer)))
    }

    /// Bytes of the layers that no image has but these: what becomes free when they go.
    pub fn only_of(&self, these: &dyn Fn(Digest) -> bool) -> u64 {
        let others = self.layers_of(&|id| !these(id));
        self.sum(self.layers_of(these).into_iter().filter(|layer| !others.contains(layer)))
    }

    /// Of `these`, in their order, as many as have to go until all that is left takes no more than so many bytes.
    pub(super) fn until_no_more_than(&self, bytes: u64, these: impl Iterator<Item = Digest>) -> Vec<Digest> {
        let (all, mut going) = (self.bytes(), Vec::new());
        for id in these {
            if all - self.only_of(&|one| going.contains(&one)) <= bytes {
                break;
            }
            going.push(id);
        }
        going
    }

    fn layers_of(&self, these: &dyn Fn(Digest) -> bool) -> HashSet<&String> {
        self.layers.iter().filter(|(id, _)| these(*id)).flat_map(|(_, layers)| layers).collect()
    }

    /// The layers of an image by diff id, lowest first, with their bytes; `None` for one that a layer above covers whole.
    pub fn layers(&self, image: &Image) -> Vec<(Digest, Option<u64>)> {
        let ids = image.config.rootfs().diff_ids().iter().filter_map(|id| id.parse().ok());
        ids.map(|id: Digest| (id, self.sizes.get(&Shelf::Layers.path(id)).copied())).collect()
    }

    /// The layers of one more image.
    fn add(&mut self, store: &Store, id: Digest, layers: Vec<String>) -> Result<(), StoreError> {
        for layer in &layers {
            if !self.sizes.contains_key(layer) {
                let size = match store.layer_record(layer) {
                    Err(StoreError::Damaged { .. }) => 0,
                    record => record?.map_or(0, |record| record.size),
                };
                self.sizes.insert(layer.clone(), size);
            }
        }
        self.layers.push((id, layers));
        Ok(())
    }

    fn sum<'l>(&self, layers: impl Iterator<Item = &'l String>) -> u64 {
        layers.filter_map(|layer| self.sizes.get(layer)).sum()
    }
}

impl Store {
    /// What the images take on the disk.
    ///
    /// # Errors
    /// The index, or the record of an image or a layer, cannot be read.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        // No image goes between the reading of the index and that of its record.
        let _pin = self.pin()?;
        let mut usage = self.usage_of(&self.index()?)?;
        usage.interrupted = self.interrupted()?.iter().map(|one| one.bytes).sum();
        Ok(usage)
    }

    /// The same, for a caller that holds the lock. What is damaged takes nothing: `check` tells of it.
    pub(super) fn usage_of(&self, index: &Index) -> Result<Usage, StoreError> {
        let mut usage = Usage::default();
        for id in index.ids() {
            let (record, image) = match (self.image_record(id), self.image(index, id)) {
                (Ok(record), Ok(image)) => (record, image),
                (Err(StoreError::Missing { .. } | StoreError::Damaged { .. }), _)
                | (_, Err(StoreError::Missing { .. } | StoreError::Damaged { .. })) => continue,
                (Err(error), _) | (_, Err(error)) => return Err(error),
            };
            usage.add(self, id, record.layers)?;
            usage.images.push(image);
        }
        // What containers stand on takes its bytes, though it is no image any more.
        for id in self.kept()? {
            let is_image = usage.images.iter().any(|image| image.id == id);
            if let (false, Ok(record)) = (is_image, self.image_record(id)) {
                usage.add(self, id, record.layers)?;
            }
        }
        Ok(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_that_two_have_counts_once() {
        let [one, two, three] = ["one", "two", "three"].map(|text| Digest::of(text.as_bytes()));
        let layers = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let usage = Usage {
            images: Vec::new(),
            // A layer may come twice in an image.
            layers: vec![
                (one, layers(&["base", "app", "app"])),
                (two, layers(&["base", "tool"])),
                (three, layers(&["own"])),
            ],
            sizes: [("base", 1000), ("app", 200), ("tool", 30), ("own", 4)]
                .map(|(name, size)| (name.to_owned(), size))
                .into(),
            interrupted: 0,
        };
        assert_eq!(usage.bytes(), 1234);
        assert_eq!([one, two, three].map(|id| usage.shared(id)), [1000, 1000, 0]);
        for (these, expected) in [
            (&[][..], 0),
            (&[one], 200),
            (&[two], 30),
            (&[three], 4),
            (&[one, two], 1230),
            (&[one, two, three], 1234),
        ] {
            assert_eq!(usage.only_of(&|id| these.contains(&id)), expected, "{}", these.len());
        }
        for (bytes, expected) in [
            (1234, &[][..]),
            (1233, &[three]),
            (1230, &[three]),
            (1229, &[three, one]),
            (1030, &[three, one]),
            (1029, &[three, one, two]),
            (0, &[three, one, two]),
        ] {
            assert_eq!(usage.until_no_more_than(bytes, [three, one, two].into_iter()), expected, "{bytes}");
        }
    }
}
