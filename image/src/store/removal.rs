//! What `rmi` does: docker's rules for names, images and the containers that use them. PURE.
//!
//! Docker takes a name away first, and the image only with its last name. An image that somebody uses is kept
//! unless forced, and never taken from a running container. A stopped one keeps the files that it stands on.

use std::fmt;

use super::index::{FoundBy, Index};
use crate::digest::Digest;
use crate::reference::Reference;

/// A container that uses an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The container's id or name, as it is to be shown.
    pub container: String,
    /// Whether it runs.
    pub is_running: bool,
}

/// What happened, a line each in docker's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// The image lost this name, given as docker prints it.
    Untagged(String),
    /// This is gone: an image, or a chain of layers.
    Deleted(Digest),
}

/// Why an image stays; in docker's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Its last name goes while a container uses it.
    #[error(
        "conflict: unable to remove repository reference {name:?} (must force) - container {container} is using its referenced image {image}"
    )]
    Referenced {
        /// The name, as it was given.
        name: String,
        /// The container.
        container: String,
        /// The image's short id.
        image: String,
    },
    /// A container runs on it.
    #[error(
        "conflict: unable to delete {image} (cannot be forced) - image is being used by running container {container}"
    )]
    Running {
        /// The image's short id.
        image: String,
        /// The container.
        container: String,
    },
    /// A stopped container needs it.
    #[error(
        "conflict: unable to delete {image} (must be forced) - image is being used by stopped container {container}"
    )]
    Stopped {
        /// The image's short id.
        image: String,
        /// The container.
        container: String,
    },
    /// Others were made of it.
    #[error("conflict: unable to delete {image} (cannot be forced) - image has dependent child images")]
    Children {
        /// The image's short id.
        image: String,
    },
    /// It was asked for by id and has several names.
    #[error(
        "conflict: unable to delete {image} (must be forced) - image is referenced in multiple repositories"
    )]
    Names {
        /// The image's short id.
        image: String,
    },
}

impl fmt::Display for Removed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untagged(name) => write!(out, "Untagged: {name}"),
            Self::Deleted(digest) => write!(out, "Deleted: {digest}"),
        }
    }
}

/// What is to be done to the index.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Removal {
    /// Names to take away, in order.
    pub(super) names: Vec<Reference>,
    /// Whether the image goes too.
    pub(super) image: bool,
}

/// What keeps an image.
#[derive(Debug, Default)]
pub(super) struct Needs<'a> {
    pub(super) used: Option<&'a Use>,
    /// Others were made of it.
    pub(super) has_children: bool,
}

/// Decides about `rmi text`, which led to the image `id`.
pub(super) fn plan(
    index: &Index,
    text: &str,
    (id, by): (Digest, FoundBy),
    force: bool,
    needs: &Needs<'_>,
) -> Result<Removal, Conflict> {
    let Needs { used, has_children } = *needs;
    let names: Vec<Reference> = index.names_of(id).into_iter().cloned().collect();
    let image = || id.hex()[..12].to_owned();
    let stopping = |used: &Use| match used.is_running {
        true => Conflict::Running { image: image(), container: used.container.clone() },
        false => Conflict::Stopped { image: image(), container: used.container.clone() },
    };
    if by == FoundBy::Name {
        if let Some(used) = used.filter(|_| !force && is_single(&names)) {
            let container = used.container.clone();
            return Err(Conflict::Referenced { name: text.to_owned(), container, image: image() });
        }
        let given = text.parse().ok().and_then(|reference: Reference| index.named(&reference)?.name.clone());
        let given = given.expect("what was found by name has it");
        let others = names.into_iter().filter(|name| *name != given).collect();
        let (digests, left) = going_with(&given, others);
        let names = [vec![given], digests].concat();
        let is_last = left.is_empty();
        // What runs keeps its image, which has no name then.
        let is_kept = has_children || used.is_some_and(|used| used.is_running || !force);
        return Ok(Removal { names, image: is_last && !is_kept });
    }
    match used {
        _ if has_children => return Err(Conflict::Children { image: image() }),
        Some(used) if used.is_running => return Err(stopping(used)),
        _ if !force && !is_single(&names) => return Err(Conflict::Names { image: image() }),
        Some(used) if !force => return Err(stopping(used)),
        _ => {}
    }
    Ok(Removal { names, image: true })
}

/// The names that `prune -a` takes from an image in use: each in turn, in their alphabetical order, until one repository's tag is left.
pub(super) fn beyond_one(mut names: Vec<Reference>) -> Vec<Reference> {
    names.sort_by_key(Reference::to_string);
    let mut gone = Vec::new();
    while !is_single(&names) {
        let name = names.remove(0);
        let (digests, left) = going_with(&name, names);
        names = left;
        gone.push(name);
        gone.extend(digests);
    }
    gone
}

/// Which of an image's other names go with one, and which are left: with a repository's last tag its digests go too.
fn going_with(name: &Reference, others: Vec<Reference>) -> (Vec<Reference>, Vec<Reference>) {
    let has_tag = others.iter().any(|other| other.digest().is_none() && other.same_repository(name));
    let is_last_tag = name.digest().is_none() && !has_tag;
    others.into_iter().partition(|other| is_last_tag && other.same_repository(name))
}

/// At most one tag, and digests of the same repository only.
fn is_single(names: &[Reference]) -> bool {
    let tags = names.iter().filter(|name| name.digest().is_none()).count();
    tags <= 1 && names.iter().all(|name| name.same_repository(&names[0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::index::ManifestDescriptor;

    fn name(text: &str) -> Reference {
        text.parse::<Reference>().unwrap().with_default_tag()
    }

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    /// An index with one image of these names, and what `rmi text` does to it.
    fn remove(
        names: &[&str],
        text: &str,
        force: bool,
        used: Option<bool>,
    ) -> Result<(Vec<String>, bool), String> {
        let mut index = Index::default();
        let descriptor = ManifestDescriptor { media_type: String::new(), digest: digest("m"), size: 0 };
        let names: Vec<Reference> = names.iter().map(|text| name(text)).collect();
        index.add(digest("image"), &descriptor, &names);
        let by = index.find(text, text.parse().ok().as_ref()).unwrap();
        let used = used.map(|is_running| Use { container: "c1".into(), is_running });
        match plan(&index, text, by, force, &Needs { used: used.as_ref(), has_children: false }) {
            Ok(removal) => Ok((removal.names.iter().map(Reference::familiar).collect(), removal.image)),
            Err(conflict) => Err(conflict.to_string()),
        }
    }

    #[test]
    fn an_image_in_use_keeps_one_name() {
        let pinned = |repository: &str| format!("{repository}@{}", digest("list"));
        let (a, b) = (pinned("a"), pinned("b"));
        for (names, gone) in [
            (&["a:1"][..], &[][..]),
            (&[], &[]),
            (&["b:2", "a:1"], &["a:1"]),
            (&["a:2", "a:1", &a], &["a:1"]),
            (&["a:1", &a], &[]),
            (&["b:1", &b, "a:1", &a], &["a:1", &a]),
            (&[&b, "a:1"], &["a:1"]),
            (&[&b, &a], &[&a]),
        ] {
            let names = names.iter().map(|text| name(text)).collect();
            let found: Vec<String> = beyond_one(names).iter().map(Reference::familiar).collect();
            assert_eq!(found, gone);
        }
    }

    #[test]
    fn names_go_before_images() {
        let pinned = format!("app@{}", digest("list"));
        let other = format!("other@{}", digest("list"));
        let gone = |names: &[&str], image| {
            Ok((names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), image))
        };
        let id = digest("image").hex();
        let short = &id[..8];
        for (names, text, force, used, expected) in [
            (&["app"][..], "app", false, None, gone(&["app:latest"], true)),
            (&["app", &pinned], "app", false, None, gone(&["app:latest", &pinned], true)),
            (&["app", "app:1", &pinned], "app:1", false, None, gone(&["app:1"], false)),
            (&["app", &pinned, "other", &other], "app", false, None, gone(&["app:latest", &pinned], false)),
            (&["app", &pinned], &pinned, false, None, gone(&[&pinned], false)),
            (&[&pinned], &pinned, false, None, gone(&[&pinned], true)),
            (&["app", &pinned], short, false, None, gone(&["app:latest", &pinned], true)),
            (&[], &id, false, None, gone(&[], true)),
            (&["app", "other"], short, true, None, gone(&["app:latest", "other:latest"], true)),
            (&["app", "app:1"], "app", false, Some(true), gone(&["app:latest"], false)),
            (&["app"], "app", true, Some(false), gone(&["app:latest"], true)),
            (&["app", "app:1"], "app", true, Some(false), gone(&["app:latest"], false)),
            (&["app"], "app", true, Some(true), gone(&["app:latest"], false)),
            (&["app"], short, true, Some(false), gone(&["app:latest"], true)),
            (&["app", "other"], short, true, Some(false), gone(&["app:latest", "other:latest"], true)),
            (&[], &id, true, Some(false), gone(&[], true)),
        ] {
            assert_eq!(remove(names, text, force, used), expected, "{names:?} {text} {force} {used:?}");
        }
    }

    #[test]
    fn what_others_were_made_of_loses_its_names_alone() {
        let mut index = Index::default();
        let descriptor = ManifestDescriptor { media_type: String::new(), digest: digest("m"), size: 0 };
        index.add(digest("image"), &descriptor, &[name("app")]);
        let id = digest("image").hex();
        let needs = Needs { used: None, has_children: true };
        let removal = plan(&index, "app", (digest("image"), FoundBy::Name), false, &needs).unwrap();
        assert_eq!(removal, Removal { names: vec![name("app")], image: false });
        for force in [false, true] {
            let error = plan(&index, &id, (digest("image"), FoundBy::Id), force, &needs).unwrap_err();
            let short = &id[..12];
            let expected = format!(
                "conflict: unable to delete {short} (cannot be forced) - image has dependent child images"
            );
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn conflicts_are_dockers() {
        let id = digest("image").hex();
        let short = &id[..12];
        for (names, text, force, used, expected) in [
            (
                &["app"][..],
                "app",
                false,
                Some(true),
                format!(
                    "unable to remove repository reference \"app\" (must force) - container c1 is using its referenced image {short}"
                ),
            ),
            (
                &["app"],
                "app",
                false,
                Some(false),
                format!(
                    "unable to remove repository reference \"app\" (must force) - container c1 is using its referenced image {short}"
                ),
            ),
            (
                &["app", "other"],
                short,
                false,
                Some(false),
                format!(
                    "unable to delete {short} (must be forced) - image is referenced in multiple repositories"
                ),
            ),
            (
                &["app"],
                short,
                false,
                Some(false),
                format!(
                    "unable to delete {short} (must be forced) - image is being used by stopped container c1"
                ),
            ),
            (
                &["app"],
                short,
                true,
                Some(true),
                format!(
                    "unable to delete {short} (cannot be forced) - image is being used by running container c1"
                ),
            ),
            (
                &["app", "other"],
                short,
                false,
                None,
                format!(
                    "unable to delete {short} (must be forced) - image is referenced in multiple repositories"
                ),
            ),
            (
                &["app", "app:1"],
                short,
                false,
                None,
                format!(
                    "unable to delete {short} (must be forced) - image is referenced in multiple repositories"
                ),
            ),
        ] {
            let expected = format!("conflict: {expected}");
            assert_eq!(remove(names, text, force, used), Err(expected), "{names:?} {text} {force} {used:?}");
        }
    }
}
