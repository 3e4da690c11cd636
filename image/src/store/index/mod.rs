//! `index.json`: which images the store has, and by which names. PURE.
//!
//! An OCI image index (image-layout.md) of one descriptor for each name. Names are in the annotation that
//! every OCI tool reads; the image's id stands beside it, so that a look-up needs no other file, and what a list
//! shows of it. Descriptors that other tools put there are kept as they are and not shown: mini has not
//! unpacked them.

mod file;

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::digest::{Digest, is_hexadecimal};
use crate::reference::{Reference, is_identifier};

/// `index.json`, parsed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    pub(crate) entries: Vec<IndexEntry>,
    /// What other tools wrote.
    foreign: Vec<Box<RawValue>>,
}

/// One name of one image; an image without names has one entry without a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    /// The image's id: the digest of its configuration.
    pub(crate) id: Digest,
    pub(crate) name: Option<Reference>,
    pub(crate) manifest: ManifestDescriptor,
    /// An older mini did not write it.
    pub(crate) brief: Option<Brief>,
}

/// What a list shows of an image, so that nobody has to open its record for that. It follows from the image's id, but
/// for the parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Brief {
    /// When it was built, as its configuration says it: RFC 3339.
    pub(crate) created: Option<String>,
    /// Sum of the unpacked sizes of its layers in bytes, as docker counts it.
    pub(crate) size: u64,
    pub(crate) parent: Option<Digest>,
}

/// Where an image's manifest is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ManifestDescriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// How an image was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoundBy {
    Name,
    Id,
}

/// Why a name leads to no image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotFound {
    Missing,
    Ambiguous(Vec<Digest>),
}

impl Index {
    /// Docker's look-up: a full id, then a name, then the unique prefix of an id.
    pub(crate) fn find(
        &self,
        text: &str,
        reference: Option<&Reference>,
    ) -> Result<(Digest, FoundBy), NotFound> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        if is_identifier(digits) {
            let id = self.entries.iter().map(|entry| entry.id).find(|id| id.hex() == digits);
            return id.map(|id| (id, FoundBy::Id)).ok_or(NotFound::Missing);
        }
        if let Some(entry) = reference.and_then(|reference| self.named(reference)) {
            return Ok((entry.id, FoundBy::Name));
        }
        if !is_prefix(digits) {
            return Err(NotFound::Missing);
        }
        let mut ids: Vec<Digest> =
            self.entries.iter().map(|entry| entry.id).filter(|id| id.hex().starts_with(digits)).collect();
        ids.sort_unstable();
        ids.dedup();
        match ids.as_slice() {
            [] => Err(NotFound::Missing),
            [id] => Ok((*id, FoundBy::Id)),
            _ => Err(NotFound::Ambiguous(ids)),
        }
    }

    /// The entry of a name.
    pub(crate) fn named(&self, reference: &Reference) -> Option<&IndexEntry> {
        let wanted = wanted(reference);
        self.entries.iter().find(|entry| entry.name.as_ref() == Some(&wanted))
    }

    /// The names of an image: first those by tag, then those by digest, in the order in which they came.
    pub(crate) fn names_of(&self, id: Digest) -> Vec<&Reference> {
        in_order(self.entries.iter().filter(|entry| entry.id == id).filter_map(|entry| entry.name.as_ref()))
    }

    /// What a list shows of every image, where that is written here.
    pub(crate) fn briefs(&self) -> HashMap<Digest, &Brief> {
        self.entries.iter().filter_map(|entry| Some((entry.id, entry.brief.as_ref()?))).collect()
    }

    /// Writes down what a list shows of an image.
    pub(crate) fn describe(&mut self, id: Digest, brief: &Brief) {
        for entry in self.entries.iter_mut().filter(|entry| entry.id == id) {
            entry.brief = Some(brief.clone());
        }
    }

    /// Every image once with its names, in the order in which they came.
    pub(crate) fn images(&self) -> Vec<(Digest, Vec<&Reference>)> {
        let mut names: HashMap<Digest, Vec<&Reference>> = HashMap::new();
        for entry in &self.entries {
            names.entry(entry.id).or_default().extend(&entry.name);
        }
        let names_of = |id| (id, in_order(names.remove(&id).unwrap_or_default()));
        self.ids().into_iter().map(names_of).collect()
    }

    /// Every image once, in the order in which they came.
    pub(crate) fn ids(&self) -> Vec<Digest> {
        let mut seen = HashSet::new();
        self.entries.iter().map(|entry| entry.id).filter(|id| seen.insert(*id)).collect()
    }

    /// Adds an image under `names`. A name that another image had is taken from it; an image that loses its
    /// last name stays without one. Returns the image that each taken name belonged to.
    pub(crate) fn add(
        &mut self,
        id: Digest,
        manifest: &ManifestDescriptor,
        names: &[Reference],
    ) -> Vec<(Reference, Digest)> {
        let mut taken = Vec::new();
        let known = self.entries.iter().find(|entry| entry.id == id).and_then(|entry| entry.brief.clone());
        let entry = |name| IndexEntry { id, name, manifest: manifest.clone(), brief: known.clone() };
        for name in names {
            if let Some(entry) = self.entries.iter().find(|entry| entry.name.as_ref() == Some(name)) {
                if entry.id != id {
                    taken.push((name.clone(), entry.id));
                }
                self.remove_name(name);
            }
            self.entries.push(entry(Some(name.clone())));
        }
        if self.entries.iter().any(|entry| entry.id == id && entry.name.is_some()) {
            self.entries.retain(|entry| entry.id != id || entry.name.is_some());
        } else if !self.entries.iter().any(|entry| entry.id == id) {
            self.entries.push(entry(None));
        }
        taken
    }

    /// Takes a name away; its image stays.
    pub(crate) fn remove_name(&mut self, name: &Reference) {
        let Some(at) = self.entries.iter().position(|entry| entry.name.as_ref() == Some(name)) else {
            return;
        };
        let id = self.entries[at].id;
        if self.entries.iter().filter(|entry| entry.id == id).count() > 1 {
            self.entries.remove(at);
        } else {
            self.entries[at].name = None;
        }
    }

    /// Takes an image away with all its names.
    pub(crate) fn remove_image(&mut self, id: Digest) {
        self.entries.retain(|entry| entry.id != id);
    }

    /// What there is to know of an image that has no name any more: its manifests, and what it was pulled as.
    pub(crate) fn without_tags(&self, id: Digest) -> Self {
        let is_pinned = |entry: &IndexEntry| entry.name.as_ref().is_some_and(|name| name.digest().is_some());
        let (pinned, others): (Vec<_>, Vec<_>) =
            self.entries.iter().filter(|entry| entry.id == id).cloned().partition(is_pinned);
        let mut left = Self { entries: pinned, foreign: Vec::new() };
        for other in others {
            if left.entries.iter().all(|entry| entry.manifest != other.manifest) {
                left.entries.push(IndexEntry { name: None, ..other });
            }
        }
        left
    }

    /// The manifests that other tools refer to, if their descriptors can be read.
    pub(crate) fn foreign_manifests(&self) -> impl Iterator<Item = Digest> {
        self.foreign
            .iter()
            .filter_map(|raw| Some(serde_json::from_str::<ManifestDescriptor>(raw.get()).ok()?.digest))
    }
}

/// The name under which an entry has what a reference asks for. With a digest the tag does not count: it may have moved
/// on, the digest cannot.
fn wanted(reference: &Reference) -> Reference {
    match reference.digest() {
        Some(digest) => reference.pinned(digest),
        None => reference.clone().with_default_tag(),
    }
}

/// Whether an id may begin so.
fn is_prefix(digits: &str) -> bool {
    !digits.is_empty() && is_hexadecimal(digits)
}

/// Names by tag before those by digest.
fn in_order<'a>(names: impl IntoIterator<Item = &'a Reference>) -> Vec<&'a Reference> {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_by_key(|name| name.digest().is_some());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn manifest(text: &str) -> ManifestDescriptor {
        let media_type = "application/vnd.oci.image.manifest.v1+json".to_owned();
        ManifestDescriptor { media_type, digest: digest(text), size: 7 }
    }

    fn name(text: &str) -> Reference {
        text.parse::<Reference>().unwrap().with_default_tag()
    }

    fn find(index: &Index, text: &str) -> Result<(Digest, FoundBy), NotFound> {
        let reference = text.parse().ok();
        let found = index.find(text, reference.as_ref());
        let part = Index::parse_for(&index.to_json(), text, reference.as_ref()).expect("our own JSON");
        assert_eq!(part.find(text, reference.as_ref()), found, "{text}: as in the whole");
        if let Ok((id, _)) = found {
            assert_eq!(part.names_of(id), index.names_of(id), "{text}: with all its names");
        }
        found
    }

    #[test]
    fn names_win_over_ids_and_prefixes_must_be_unique() {
        let mut index = Index::default();
        let (one, two) = (digest("1"), digest("2"));
        index.add(one, &manifest("a"), &[name("busybox"), name("busybox").pinned(digest("list"))]);
        index.add(two, &manifest("b"), &[name("user/app:1")]);
        let short = &one.hex()[..12];
        for (text, expected) in [
            ("busybox".to_owned(), Ok((one, FoundBy::Name))),
            ("docker.io/library/busybox:latest".to_owned(), Ok((one, FoundBy::Name))),
            (format!("busybox@{}", digest("list")), Ok((one, FoundBy::Name))),
            (format!("busybox:moved@{}", digest("list")), Ok((one, FoundBy::Name))),
            (format!("other@{}", digest("list")), Err(NotFound::Missing)),
            ("user/app".to_owned(), Err(NotFound::Missing)),
            ("user/app:1".to_owned(), Ok((two, FoundBy::Name))),
            (one.to_string(), Ok((one, FoundBy::Id))),
            (one.hex(), Ok((one, FoundBy::Id))),
            (short.to_owned(), Ok((one, FoundBy::Id))),
            (format!("sha256:{short}"), Ok((one, FoundBy::Id))),
            (digest("3").hex(), Err(NotFound::Missing)),
            ("no-hex".to_owned(), Err(NotFound::Missing)),
        ] {
            assert_eq!(find(&index, &text), expected, "{text}");
        }
        // 6b86b273… and d4735e3a… begin differently, so ask for what both begin with: nothing is not a
        // prefix.
        assert_eq!(find(&index, "sha256:"), Err(NotFound::Missing));
        index.add(two, &manifest("b"), &[name(short)]);
        assert_eq!(find(&index, short), Ok((two, FoundBy::Name)), "a name wins over an id");
    }

    #[test]
    fn a_part_of_the_index_is_found_however_it_is_written() {
        let mut index = Index::default();
        let (one, two) = (digest("1"), digest("2"));
        index.add(one, &manifest("a"), &[name("app:1"), name("app:10"), name("user/app:1")]);
        index.add(two, &manifest(&one.to_string()), &[name("a.b/app:1")]);
        index.describe(two, &Brief { created: None, size: 1, parent: Some(one) });
        for text in ["app:1", "app:10", "user/app:1", "a.b/app:1", "app", &one.hex(), &one.hex()[..3]] {
            let _same = find(&index, text);
        }
        let json = String::from_utf8(index.to_json()).unwrap();
        let wanted: Reference = "user/app:1".parse().unwrap();
        let spaced = json.replace(':', ": ").replace("sha256: ", "sha256:").replace("app: ", "app:");
        for json in [json.replace('/', "\\/"), spaced.replace(',', " ,\n")] {
            let part = Index::parse_for(json.as_bytes(), "user/app:1", Some(&wanted)).unwrap();
            assert_eq!(part.find("user/app:1", Some(&wanted)), Ok((one, FoundBy::Name)), "{json}");
            assert_eq!(part.names_of(one).len(), 3, "{json}");
        }
        // One entry as others may write it, behind some that are as they were: one of the same image, and one of another.
        index.add(digest("3"), &manifest("c"), &[name("other")]);
        index.add(one, &manifest("a"), &[name("app:last")]);
        let json = String::from_utf8(index.to_json()).unwrap();
        let at = json.rfind("{\"mediaType\":").unwrap();
        let (before, entry) = json.split_at(at);
        for entry in [
            entry.replacen("sha256:", "sha256\\u003a", 2),
            entry.replacen(':', " : ", 1),
            entry.replacen("\"size\"", "\"subject\":{\"mediaType\":\"y\"},\"size\"", 1),
        ] {
            let json = format!("{before}{entry}");
            let part = Index::parse_for(json.as_bytes(), "app:1", Some(&name("app:1"))).unwrap();
            assert_eq!(part.names_of(one).len(), 4, "{json}");
        }
        let broken = &json.as_bytes()[..json.len() - 1];
        assert!(
            Index::parse_for(broken, "none", Some(&name("none"))).is_err(),
            "missing, or behind the damage"
        );
    }

    #[test]
    fn an_image_that_others_tell_of_is_found_once() {
        let mut index = Index::default();
        let (one, two) = (digest("1"), digest("2"));
        let manifest_of = |digest| ManifestDescriptor { digest, ..manifest("a") };
        index.add(one, &manifest_of(two), &[name("one")]);
        index.add(two, &manifest("b"), &[name("two")]);
        index.describe(two, &Brief { created: None, size: 1, parent: Some(one) });
        assert_eq!(find(&index, &two.hex()), Ok((two, FoundBy::Id)));
        assert_eq!(find(&index, &one.hex()[..9]), Ok((one, FoundBy::Id)));
    }

    #[test]
    fn an_ambiguous_prefix_names_its_ids() {
        let mut index = Index::default();
        // Among 17 ids two begin with the same digit.
        let ids: Vec<Digest> = (0..17).map(|number: u32| digest(&number.to_string())).collect();
        for id in &ids {
            index.add(*id, &manifest("m"), &[]);
        }
        let prefix = "0123456789abcdef"
            .chars()
            .map(String::from)
            .find(|prefix| ids.iter().filter(|id| id.hex().starts_with(prefix.as_str())).count() > 1)
            .unwrap();
        let Err(NotFound::Ambiguous(found)) = find(&index, &prefix) else {
            panic!("{prefix} is not ambiguous")
        };
        assert!(found.len() > 1 && found.iter().all(|id| id.hex().starts_with(&prefix)));
    }

    #[test]
    fn a_name_moves_and_leaves_its_image_without() {
        let mut index = Index::default();
        let (old, new) = (digest("old"), digest("new"));
        assert!(index.add(old, &manifest("a"), &[name("app")]).is_empty());
        assert!(index.add(old, &manifest("a"), &[name("app")]).is_empty(), "the same again changes nothing");
        assert_eq!(index.entries.len(), 1);
        assert_eq!(index.add(new, &manifest("b"), &[name("app")]), [(name("app"), old)]);
        assert!(index.names_of(old).is_empty());
        assert_eq!(index.ids(), [old, new], "the old image is still there");
        let pinned = name("old").pinned(digest("list"));
        index.add(old, &manifest("a"), &[pinned.clone(), name("old")]);
        assert_eq!(index.names_of(old), [&name("old"), &pinned], "tags first");
        index.remove_name(&pinned);
        assert_eq!(index.entries.len(), 2);
        index.remove_image(new);
        assert_eq!(index.ids(), [old]);
    }

    #[test]
    fn what_a_list_shows_is_of_the_image_whatever_its_names() {
        let mut index = Index::default();
        let (one, two) = (digest("1"), digest("2"));
        let created = Some("2026-05-06T07:08:09Z".to_owned());
        let brief = Brief { created, size: 1 << 40, parent: Some(two) };
        index.add(one, &manifest("a"), &[name("app:1"), name("app:2")]);
        index.add(two, &manifest("b"), &[]);
        assert!(index.briefs().is_empty());
        index.describe(one, &brief);
        index.add(one, &manifest("a"), &[name("app:3")]);
        assert_eq!(Index::parse(&index.to_json()).unwrap().entries, index.entries);
        assert_eq!(index.entries.iter().filter(|entry| entry.brief.as_ref() == Some(&brief)).count(), 3);
        for tag in ["app:1", "app:2", "app:3"] {
            index.remove_name(&name(tag));
        }
        assert_eq!(index.briefs(), HashMap::from([(one, &brief)]), "without a name, too");
        index.describe(two, &Brief { created: None, size: 0, parent: None });
        assert_eq!(Index::parse(&index.to_json()).unwrap().entries, index.entries);
    }

    #[test]
    fn what_is_left_of_an_image_without_its_tags_is_where_it_came_from() {
        let mut index = Index::default();
        let (loaded, pulled, both) = (digest("loaded"), digest("pulled"), digest("both"));
        let pinned = name("app").pinned(digest("list"));
        index.add(loaded, &manifest("a"), &[name("x:1"), name("x:2")]);
        index.add(pulled, &manifest("b"), &[name("app"), pinned.clone()]);
        index.add(both, &manifest("c"), &[name("y")]);
        index.add(both, &manifest("d"), &[name("z").pinned(digest("list"))]);
        let left = |id| {
            let left = index.without_tags(id).to_json();
            let entries = Index::parse(&left).unwrap().entries.into_iter();
            entries.map(|entry| (entry.manifest.digest, entry.name)).collect::<Vec<_>>()
        };
        assert_eq!(left(loaded), [(digest("a"), None)]);
        assert_eq!(left(pulled), [(digest("b"), Some(pinned))]);
        assert_eq!(left(both), [(digest("d"), Some(name("z").pinned(digest("list")))), (digest("c"), None)]);
        assert_eq!(left(digest("no image")), []);
    }

    #[test]
    fn what_others_wrote_survives() {
        let json = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"x","digest":"{}","size":1,"annotations":{{"org.opencontainers.image.ref.name":"theirs"}}}},
               {{"surprise":true}}]}}"#,
            digest("theirs")
        );
        let mut index = Index::parse(json.as_bytes()).unwrap();
        assert!(index.entries.is_empty());
        assert_eq!(index.foreign_manifests().collect::<Vec<_>>(), [digest("theirs")]);
        index.add(digest("ours"), &manifest("m"), &[name("ours"), name("ours").pinned(digest("list"))]);
        let written = String::from_utf8(index.to_json()).unwrap();
        assert!(written.contains(r#"{"surprise":true}"#), "{written}");
        assert!(
            written.contains(r#""org.opencontainers.image.ref.name":"docker.io/library/ours:latest""#),
            "{written}"
        );
        assert!(written.contains("io.github.mini-containers.image.pinned"), "{written}");
        let again = Index::parse(written.as_bytes()).unwrap();
        assert_eq!((again.entries, again.foreign.len()), (index.entries, 2));
        assert!(Index::parse(b"{}").is_err());
    }
}
