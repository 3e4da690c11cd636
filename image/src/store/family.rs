//! Which images were made of which. PURE.
//!
//! docker's rules: an image of which another was made is not deleted as long as that one is there, though it may lose its names; one
//! without a name goes with the last that was made of it.

use std::collections::HashMap;

use crate::digest::Digest;

/// What each image was made of, for those that were made here.
#[derive(Debug, Default)]
pub(super) struct Family(HashMap<Digest, Option<Digest>>);

impl Family {
    /// Of images, each with what it was made of.
    pub(super) fn new(images: impl Iterator<Item = (Digest, Option<Digest>)>) -> Self {
        Self(images.collect())
    }

    /// What it was made of, if that is there.
    pub(super) fn parent(&self, id: Digest) -> Option<Digest> {
        self.0.get(&id).copied().flatten().filter(|parent| self.0.contains_key(parent))
    }

    /// Whether another image was made of it.
    pub(super) fn has_children(&self, id: Digest) -> bool {
        self.0.values().any(|parent| *parent == Some(id))
    }

    /// It is gone.
    pub(super) fn remove(&mut self, id: Digest) {
        self.0.remove(&id);
    }

    /// Of images that are to go those that can, children before what they were made of, otherwise in their order; and the others.
    pub(super) fn in_order(mut self, mut images: Vec<Digest>) -> (Vec<Digest>, Vec<Digest>) {
        let mut order = Vec::with_capacity(images.len());
        while let Some(at) = images.iter().position(|id| !self.has_children(*id)) {
            let id = images.remove(at);
            self.remove(id);
            order.push(id);
        }
        (order, images)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_go_first_and_whose_stay_keep_their_parents() {
        let [base, child, grand, other, lost] =
            ["base", "child", "grand", "other", "lost"].map(|name| Digest::of(name.as_bytes()));
        let family = || {
            Family::new(
                [
                    (base, None),
                    (child, Some(base)),
                    (grand, Some(child)),
                    (other, None),
                    (lost, Some(Digest::of(b"gone"))),
                ]
                .into_iter(),
            )
        };
        assert_eq!([grand, base, lost].map(|id| family().parent(id)), [Some(child), None, None]);
        assert_eq!(
            [base, child, grand, other].map(|id| family().has_children(id)),
            [true, true, false, false]
        );
        for (images, order, left) in [
            (vec![base, other, child, grand], vec![other, grand, child, base], vec![]),
            (vec![base, child, other], vec![other], vec![base, child]),
            (vec![base, grand], vec![grand], vec![base]),
        ] {
            assert_eq!(family().in_order(images.clone()), (order, left), "{images:?}");
        }
    }
}
