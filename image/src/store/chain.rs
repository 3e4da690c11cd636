//! From a list of diff ids to a stack of directories for overlay.

use std::rc::Rc;

use super::session::{Claim, Session, Shelf};
use super::{Store, StoreError};
use crate::archive::confined::{self, Dir};
use crate::archive::extra::ExtraPlan;
use crate::archive::record::{LayerRecord, RECORD_VERSION};
use crate::archive::{Call, ExtraError, HighId, Time, UnpackError};
use crate::digest::Digest;
use crate::limits::LAYERS_MAX;
use crate::op::step;

/// What an image's layers come to.
#[derive(Debug, Default)]
pub(super) struct Stack {
    /// Relative to the store's root, topmost first; never empty.
    pub(super) layers: Vec<String>,
    /// Sum of docker's sizes of the layers.
    pub(super) size: u64,
    pub(super) high_ids: Vec<HighId>,
}

/// Why layers do not make a stack.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// Overlay takes no more.
    #[error("the image needs {0} layers, overlay takes {LAYERS_MAX}")]
    TooMany(usize),
    /// A layer does not fit on those below it.
    #[error("layer {layer}")]
    Extra {
        /// Its diff id.
        layer: Digest,
        /// What is wrong.
        #[source]
        source: ExtraError,
    },
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The ids of the chains that end at each layer (OCI image spec, config.md, "Layer ChainID").
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chains.push(match chains.last() {
            None => *diff_id,
            Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
        });
    }
    chains
}

/// A part of the stack, bottom first while it grows.
struct Part {
    path: String,
    tree: Rc<Dir>,
}

impl Session<'_> {
    /// Stacks the layers of an image, all of which are in the store, and makes the extra layers that they
    /// need.
    pub(super) fn stack(&self, diff_ids: &[Digest]) -> Result<Stack, StackError> {
        let mut stack = Stack::default();
        let mut parts: Vec<Part> = Vec::new();
        for (diff_id, chain) in diff_ids.iter().zip(chain_ids(diff_ids)) {
            let path = Shelf::Layers.path(*diff_id);
            let (record, tree) = self.open_tree(&path)?;
            stack.size += record.size;
            for high in &record.high_ids {
                if !stack.high_ids.iter().any(|known| (known.kind, known.id) == (high.kind, high.id)) {
                    stack.high_ids.push(high.clone());
                }
            }
            if record.opaque {
                parts.clear();
            }
            let extra = if record.needs_chain() {
                self.extra(*diff_id, chain, &tree, &record, &parts)?
            } else {
                None
            };
            // Overlay refuses one directory twice (ELOOP), and what a layer shows lies in its topmost place
            // anyway.
            parts.retain(|part| part.path != path);
            parts.push(Part { path, tree });
            parts.extend(extra);
        }
        if parts.is_empty() {
            parts.push(self.empty_layer()?);
        }
        if parts.len() > LAYERS_MAX {
            return Err(StackError::TooMany(parts.len()));
        }
        stack.layers = parts.into_iter().rev().map(|part| part.path).collect();
        Ok(stack)
    }

    /// The extra layer of one layer in this chain, made if need be; `None` if it takes nothing from below.
    fn extra(
        &self,
        layer: Digest,
        chain: Digest,
        tree: &Rc<Dir>,
        record: &LayerRecord,
        below: &[Part],
    ) -> Result<Option<Part>, StackError> {
        let refused = |source| StackError::Extra { layer, source };
        let below: Vec<Rc<Dir>> = below.iter().rev().map(|part| Rc::clone(&part.tree)).collect();
        let plan = ExtraPlan::new(tree, record, &below).map_err(refused)?;
        if plan.is_empty() {
            return Ok(None);
        }
        loop {
            match self.claim(Shelf::Chains, chain)? {
                Claim::Present => break,
                // Somebody else makes it at this moment, which takes no longer than this.
                Claim::Busy => std::thread::sleep(std::time::Duration::from_millis(5)),
                Claim::Fresh(ingest) => {
                    step("Complete a layer with what it takes from the layers below it");
                    let into = ingest.place().make_tree("tree").map_err(StoreError::from)?;
                    let record = plan.realise(tree, &into).map_err(|error| refused(error.into()))?;
                    self.publish(ingest, Shelf::Chains, chain, record)?;
                    break;
                }
            }
        }
        let path = Shelf::Chains.path(chain);
        let (_, tree) = self.open_tree(&path)?;
        Ok(Some(Part { path, tree }))
    }

    /// The layer of an image that has none: overlay needs a lower directory.
    fn empty_layer(&self) -> Result<Part, StackError> {
        // The digest of an empty tar archive, under which docker knows it too.
        let diff_id = Digest::of(&[0; 1024]);
        let path = Shelf::Layers.path(diff_id);
        loop {
            match self.claim(Shelf::Layers, diff_id)? {
                Claim::Present => break,
                Claim::Busy => std::thread::sleep(std::time::Duration::from_millis(5)),
                Claim::Fresh(ingest) => {
                    let tree = ingest.place().make_tree("tree").map_err(StoreError::from)?;
                    // As unpacking would leave it.
                    confined::set_time(&tree, Time::default())
                        .map_err(UnpackError::kernel(Call::SetTime, b""))
                        .map_err(|error| StackError::Extra { layer: diff_id, source: error.into() })?;
                    let record = LayerRecord { version: RECORD_VERSION, inodes: 1, ..LayerRecord::default() };
                    self.publish(ingest, Shelf::Layers, diff_id, record)?;
                    break;
                }
            }
        }
        let (_, tree) = self.open_tree(&path)?;
        Ok(Part { path, tree })
    }

    fn open_tree(&self, path: &str) -> Result<(LayerRecord, Rc<Dir>), StoreError> {
        let missing = || StoreError::Missing { path: self.store.root().join(path) };
        let record = self.store.layer_record(path)?.ok_or_else(missing)?;
        let tree = Store::place(self.store).enter(&format!("{path}/tree"))?;
        Ok((record, Rc::new(tree.into_dir())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chain_ids_are_those_of_the_specification() {
        let (a, b, c) = (Digest::of(b"a"), Digest::of(b"b"), Digest::of(b"c"));
        let ab = Digest::of(format!("{a} {b}").as_bytes());
        let abc = Digest::of(format!("{ab} {c}").as_bytes());
        assert_eq!(chain_ids(&[a, b, c]), [a, ab, abc]);
        assert!(chain_ids(&[]).is_empty());
    }
}
