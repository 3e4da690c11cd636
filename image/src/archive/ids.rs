//! Ids inside extended attributes: those of access lists and of file capabilities, translated with their file's owner. PURE.
//!
//! An archive has container ids, from 0 on; a tree that is seen from the host has the host's. `None` stands for an id that has
//! no counterpart: what names such an id is left out, for under another name it would mean something else.

use super::record::IdKind;

/// What an id on one side is on the other; `None` where it is nothing.
pub type IdMap<'a> = &'a dyn Fn(IdKind, u32) -> Option<u32>;

/// Leaves every id as it is.
pub fn same_id(_: IdKind, id: u32) -> Option<u32> {
    Some(id)
}

/// An attribute's value with its ids translated; `None` where one of them has no counterpart.
///
/// A capability's `root` is the id that version 2 of it, which has none, belongs to on the other side. It comes out in version
/// 2 where that is 0.
pub(super) fn translate(name: &[u8], value: &[u8], ids: IdMap<'_>) -> Option<Vec<u8>> {
    match name {
        b"security.capability" => capability(value, ids),
        b"system.posix_acl_access" | b"system.posix_acl_default" => access_list(value, ids),
        _ => Some(value.to_vec()),
    }
}

/// `struct vfs_ns_cap_data` (linux/capability.h): magic and revision, two pairs of sets, in version 3 the user id of root.
fn capability(value: &[u8], ids: IdMap<'_>) -> Option<Vec<u8>> {
    const REVISION_2: u8 = 2;
    const REVISION_3: u8 = 3;
    let root = match (value.len(), value.get(3)?) {
        (20, &REVISION_2) => 0,
        (24, &REVISION_3) => u32::from_le_bytes(value[20..].try_into().ok()?),
        _ => return None,
    };
    let mut sets = value[..20].to_vec();
    match ids(IdKind::Uid, root)? {
        0 => sets[3] = REVISION_2,
        root => {
            sets[3] = REVISION_3;
            sets.extend_from_slice(&root.to_le_bytes());
        }
    }
    Some(sets)
}

/// The form of posix_acl_xattr.h: a version, then entries of tag, permissions and id.
fn access_list(value: &[u8], ids: IdMap<'_>) -> Option<Vec<u8>> {
    const ACL_USER: u16 = 0x02;
    const ACL_GROUP: u16 = 0x08;
    let mut translated = value.to_vec();
    for entry in translated.get_mut(4..)?.chunks_exact_mut(8) {
        let kind = match u16::from_le_bytes([entry[0], entry[1]]) {
            ACL_USER => IdKind::Uid,
            ACL_GROUP => IdKind::Gid,
            _ => continue,
        };
        let id = u32::from_le_bytes(entry[4..].try_into().ok()?);
        entry[4..].copy_from_slice(&ids(kind, id)?.to_le_bytes());
    }
    Some(translated)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Container ids of the host's ids from 1000 on.
    fn inside(_: IdKind, id: u32) -> Option<u32> {
        id.checked_sub(1000).filter(|id| *id < 100)
    }

    fn outside(_: IdKind, id: u32) -> Option<u32> {
        (id < 100).then_some(id + 1000)
    }

    #[test]
    fn capabilities_belong_to_a_root() {
        let version_2 = [&[1, 0, 0, 2][..], &[7; 16]].concat();
        let version_3 = |root: u32| [&[1, 0, 0, 3][..], &[7; 16], &root.to_le_bytes()].concat();
        type Case<'a> = (&'a [u8], IdMap<'a>, Option<Vec<u8>>);
        let all: [Case<'_>; 8] = [
            (&version_2, &same_id, Some(version_2.clone())),
            (&version_3(0), &same_id, Some(version_2.clone())),
            (&version_3(1000), &inside, Some(version_2.clone())),
            (&version_3(1005), &inside, Some(version_3(5))),
            (&version_2, &inside, None),
            (&version_2, &outside, Some(version_3(1000))),
            (&version_3(200), &outside, None),
            (&[0; 7], &same_id, None),
        ];
        for (value, ids, expected) in all {
            assert_eq!(translate(b"security.capability", value, ids), expected, "{value:?}");
        }
    }

    #[test]
    fn users_and_groups_of_access_lists_are_translated() {
        let entry =
            |tag: u16, id: u32| [&tag.to_le_bytes()[..], &6u16.to_le_bytes(), &id.to_le_bytes()].concat();
        let list = |user: u32, group: u32| {
            [
                2u32.to_le_bytes().to_vec(),
                entry(1, u32::MAX),
                entry(2, user),
                entry(8, group),
                entry(0x10, u32::MAX),
            ]
            .concat()
        };
        let name = b"system.posix_acl_access";
        assert_eq!(translate(name, &list(1003, 1004), &inside), Some(list(3, 4)));
        assert_eq!(translate(name, &list(3, 4), &outside), Some(list(1003, 1004)));
        assert_eq!(translate(name, &list(3, 1004), &inside), None);
        assert_eq!(translate(name, &[], &same_id), None);
        assert_eq!(translate(b"user.x", b"\x02", &inside), Some(vec![2]));
    }
}
