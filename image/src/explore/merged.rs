//! The files that a stack of layers shows, as far as it has been stacked: who supplies each, and what that covers. PURE.
//!
//! Objects are numbers into one list, and are never taken off it: what a layer hides keeps its path.

use std::collections::HashMap;

/// A number into the list.
pub(super) type Id = u32;

/// The root directory.
pub(super) const ROOT: Id = 0;

/// One object at one path.
#[derive(Debug)]
struct Object {
    name: Box<[u8]>,
    parent: Id,
    /// The layer that supplies it.
    layer: u16,
    /// Of a directory.
    children: Option<HashMap<Box<[u8]>, Id>>,
    /// Bytes of a regular file.
    bytes: u64,
}

/// What is no longer seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// Objects, directories among them.
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

/// The stack so far.
#[derive(Debug)]
pub(super) struct Merged {
    objects: Vec<Object>,
}

impl Merged {
    pub(super) fn new() -> Self {
        let root =
            Object { name: Box::default(), parent: ROOT, layer: 0, children: Some(HashMap::new()), bytes: 0 };
        Self { objects: vec![root] }
    }

    /// How many objects there are, hidden ones too.
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(super) fn child(&self, parent: Id, name: &[u8]) -> Option<Id> {
        self.of(parent).children.as_ref()?.get(name).copied()
    }

    pub(super) fn is_directory(&self, id: Id) -> bool {
        self.of(id).children.is_some()
    }

    pub(super) fn layer(&self, id: Id) -> u16 {
        self.of(id).layer
    }

    /// Puts an object at a path where nothing is.
    pub(super) fn put(&mut self, parent: Id, name: &[u8], layer: u16, directory: bool, bytes: u64) -> Id {
        let id = Id::try_from(self.objects.len()).expect("the walk is bounded");
        let name: Box<[u8]> = name.into();
        let children = directory.then(HashMap::new);
        self.objects.push(Object { name: name.clone(), parent, layer, children, bytes });
        self.children(parent).insert(name, id);
        id
    }

    /// Takes an object out of sight, with all that is below it.
    pub(super) fn hide(&mut self, id: Id) -> Gone {
        let gone = self.below(id);
        let Object { parent, name, .. } = self.of(id);
        let (parent, name) = (*parent, name.clone());
        self.children(parent).remove(&name);
        gone
    }

    /// Takes all that is in a directory out of sight, but what this layer has put there.
    pub(super) fn clear(&mut self, id: Id, layer: u16) -> Vec<(Id, Gone)> {
        let lower: Vec<Id> = self.of(id).children.iter().flat_map(HashMap::values).copied().collect();
        let lower = lower.into_iter().filter(|child| self.layer(*child) != layer).collect::<Vec<_>>();
        lower.into_iter().map(|child| (child, self.hide(child))).collect()
    }

    /// The path from the root, `/` for the root itself.
    pub(super) fn path(&self, mut id: Id) -> Vec<u8> {
        let mut names = Vec::new();
        while id != ROOT {
            names.push(&self.of(id).name);
            id = self.of(id).parent;
        }
        let mut path = Vec::new();
        for name in names.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() { b"/".to_vec() } else { path }
    }

    /// Bytes of everything that is seen.
    pub(super) fn bytes(&self) -> u64 {
        self.below(ROOT).bytes
    }

    fn below(&self, id: Id) -> Gone {
        let mut gone = Gone::default();
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let object = self.of(id);
            gone.objects += 1;
            gone.bytes += object.bytes;
            todo.extend(object.children.iter().flat_map(HashMap::values));
        }
        gone
    }

    fn children(&mut self, id: Id) -> &mut HashMap<Box<[u8]>, Id> {
        self.objects[id as usize].children.as_mut().expect("only directories have something in them")
    }

    fn of(&self, id: Id) -> &Object {
        &self.objects[id as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_keeps_its_path_and_counts_whole() {
        let mut merged = Merged::new();
        let a = merged.put(ROOT, b"a", 0, true, 0);
        let b = merged.put(a, b"b", 0, true, 0);
        let file = merged.put(b, b"file", 0, false, 100);
        merged.put(ROOT, b"z", 1, false, 5);
        assert_eq!(
            (merged.bytes(), merged.path(file), merged.path(ROOT)),
            (105, b"/a/b/file".to_vec(), b"/".to_vec())
        );
        assert_eq!(merged.clear(ROOT, 1), [(a, Gone { objects: 3, bytes: 100 })]);
        assert_eq!(
            (merged.bytes(), merged.child(ROOT, b"a"), merged.path(file)),
            (5, None, b"/a/b/file".to_vec())
        );
        let again = merged.put(ROOT, b"a", 1, false, 7);
        assert_eq!((merged.hide(again), merged.len()), (Gone { objects: 1, bytes: 7 }, 6));
    }
}
