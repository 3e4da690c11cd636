//! Who a process runs as: docker's `USER[:GROUP]`, looked up in the container's own passwd and group. PURE.
//!
//! The rules are those of moby/sys/user: a number needs no entry, a name must have one; without a group the user's
//! supplementary groups come from the group file; a home directory comes from passwd or is `/`.

use std::path::PathBuf;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRequest {
    /// Ids as an OCI spec gives them: nothing is looked up.
    Ids {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
        /// Supplementary groups.
        groups: Vec<u32>,
    },
    /// `USER[:GROUP]`, names or numbers, to be looked up.
    Named(String),
}

/// Who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// User id inside the container.
    pub uid: u32,
    /// Group id inside the container.
    pub gid: u32,
    /// Supplementary group ids.
    pub groups: Vec<u32>,
    /// What HOME becomes where nobody set it.
    pub home: PathBuf,
}

/// A user that cannot be found or understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// Not `USER[:GROUP]`.
    #[error("user {0:?}: neither a name nor a number, with an optional group after one colon")]
    Malformed(String),
    /// A number beyond what an id may be (2^31 - 1), typed or in the container's files.
    #[error("id {0}: beyond 2147483647")]
    Range(String),
    /// A name without an entry.
    #[error("unable to find user {0}: no matching entries in passwd file")]
    UnknownUser(String),
    /// A group name without an entry.
    #[error("unable to find group {0}: no matching entries in group file")]
    UnknownGroup(String),
}

/// Looks `request` up in the texts of the container's passwd and group files.
///
/// # Errors
/// See [`UserError`].
pub fn resolve(request: &UserRequest, passwd: &str, group: &str) -> Result<User, UserError> {
    let spec = match request {
        UserRequest::Ids { uid, gid, groups } => {
            let home = entry_of_uid(passwd, *uid).map_or_else(|| "/".into(), |entry| home_of(&entry));
            return Ok(User { uid: *uid, gid: *gid, groups: groups.clone(), home });
        }
        UserRequest::Named(spec) => spec,
    };
    let (user, wanted_group) = split(spec)?;
    let mut found = match number(user)? {
        Some(uid) => match entry_of_uid(passwd, uid) {
            Some(entry) => Found::of(&entry, uid)?,
            None => Found { name: None, uid, gid: 0, home: "/".into() },
        },
        None => {
            let entry = lines(passwd)
                .find(|fields| fields.first() == Some(&user))
                .ok_or_else(|| UserError::UnknownUser(user.to_owned()))?;
            let uid = id(&entry, 2)?.ok_or_else(|| UserError::UnknownUser(user.to_owned()))?;
            Found::of(&entry, uid)?
        }
    };
    let mut groups = Vec::new();
    match wanted_group {
        Some(name) => {
            found.gid = group_id(group, name)?;
        }
        None => {
            if let Some(name) = &found.name {
                groups = lines(group)
                    .filter(|fields| {
                        fields.get(3).is_some_and(|members| members.split(',').any(|member| member == name))
                    })
                    .filter_map(|fields| id(&fields, 2).transpose())
                    .collect::<Result<_, _>>()?;
            }
        }
    }
    Ok(User { uid: found.uid, gid: found.gid, groups, home: found.home })
}

/// Adds groups, by name or number, to those that a user has anyway.
///
/// # Errors
/// A name that the group file does not have; a number beyond the last.
pub fn add_groups(user: &mut User, names: &[String], group: &str) -> Result<(), UserError> {
    for name in names {
        let gid = group_id(group, name)?;
        if !user.groups.contains(&gid) {
            user.groups.push(gid);
        }
    }
    Ok(())
}

/// Checks the form of a group's name or number without looking it up.
///
/// # Errors
/// [`UserError::Malformed`] or [`UserError::Range`].
pub fn check_group(name: &str) -> Result<(), UserError> {
    check(&format!("0:{name}"))
}

/// Checks the form of `USER[:GROUP]` without looking anything up.
///
/// # Errors
/// [`UserError::Malformed`] or [`UserError::Range`].
pub fn check(spec: &str) -> Result<(), UserError> {
    let (user, group) = split(spec)?;
    number(user)?;
    group.map_or(Ok(None), number)?;
    Ok(())
}

struct Found {
    name: Option<String>,
    uid: u32,
    gid: u32,
    home: PathBuf,
}

impl Found {
    fn of(entry: &[&str], uid: u32) -> Result<Found, UserError> {
        Ok(Found {
            name: entry.first().map(|name| (*name).to_owned()),
            uid,
            gid: id(entry, 3)?.unwrap_or(0),
            home: home_of(entry),
        })
    }
}

fn split(spec: &str) -> Result<(&str, Option<&str>), UserError> {
    let malformed = || UserError::Malformed(spec.to_owned());
    let mut parts = spec.split(':');
    let user = parts.next().unwrap_or_default();
    let group = parts.next();
    let strange =
        |part: &str| part.is_empty() || part.contains(char::is_whitespace) || part.starts_with(['-', '+']);
    if parts.next().is_some() || strange(user) || group.is_some_and(strange) {
        return Err(malformed());
    }
    Ok((user, group))
}

fn number(text: &str) -> Result<Option<u32>, UserError> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(id) if id <= LAST => Ok(Some(id)),
        _ => Err(UserError::Range(text.to_owned())),
    }
}

/// The last number that is an id. One beyond it means something else to system calls: to setresuid(2) 4294967295 is "as it was".
const LAST: u32 = i32::MAX as u32;

/// An id of an entry, where it has one. The files are the image's, and no more believed than what is typed.
fn id(entry: &[&str], index: usize) -> Result<Option<u32>, UserError> {
    match field(entry, index) {
        Some(id) if id > LAST => Err(UserError::Range(id.to_string())),
        id => Ok(id),
    }
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split(':').collect())
}

fn field(entry: &[&str], index: usize) -> Option<u32> {
    entry.get(index).and_then(|text| text.parse().ok())
}

fn home_of(entry: &[&str]) -> PathBuf {
    entry.get(5).filter(|home| !home.is_empty()).map_or_else(|| "/".into(), PathBuf::from)
}

fn entry_of_uid(passwd: &str, uid: u32) -> Option<Vec<&str>> {
    lines(passwd).find(|fields| field(fields, 2) == Some(uid))
}

/// The id of a group by its number or name.
fn group_id(group: &str, name: &str) -> Result<u32, UserError> {
    if let Some(gid) = number(name)? {
        return Ok(gid);
    }
    let entry = lines(group).find(|fields| fields.first() == Some(&name));
    let found = entry.map_or(Ok(None), |fields| id(&fields, 2))?;
    found.ok_or_else(|| UserError::UnknownGroup(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# comment\nwww-data:x:33:33::/var/www:/bin/false\nbroken\n\
                          nohome:x:40:41:::/bin/sh\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:www-data,root\nwww-data:x:33:\nstaff:x:50:root,www-data\n";

    fn named(spec: &str) -> Result<User, UserError> {
        resolve(&UserRequest::Named(spec.into()), PASSWD, GROUP)
    }
    fn user(uid: u32, gid: u32, groups: &[u32], home: &str) -> User {
        User { uid, gid, groups: groups.into(), home: home.into() }
    }

    #[test]
    fn users_are_looked_up_as_docker_does() {
        for (spec, expected) in [
            ("root", user(0, 0, &[4, 50], "/root")),
            ("0", user(0, 0, &[4, 50], "/root")),
            ("www-data", user(33, 33, &[4, 50], "/var/www")),
            ("33", user(33, 33, &[4, 50], "/var/www")),
            ("www-data:adm", user(33, 4, &[], "/var/www")),
            ("www-data:77", user(33, 77, &[], "/var/www")),
            ("nohome", user(40, 41, &[], "/")),
            ("1000", user(1000, 0, &[], "/")),
            ("1000:1001", user(1000, 1001, &[], "/")),
        ] {
            assert_eq!(named(spec), Ok(expected), "{spec}");
        }
    }

    #[test]
    fn what_is_not_there_or_not_a_user_is_refused() {
        for (spec, expected) in [
            ("nobody", UserError::UnknownUser("nobody".into())),
            ("0:nogroup", UserError::UnknownGroup("nogroup".into())),
            ("", UserError::Malformed(String::new())),
            (":", UserError::Malformed(":".into())),
            ("0:", UserError::Malformed("0:".into())),
            ("1:2:3", UserError::Malformed("1:2:3".into())),
            ("-1", UserError::Malformed("-1".into())),
            ("+1", UserError::Malformed("+1".into())),
            (" 0", UserError::Malformed(" 0".into())),
            ("2147483648", UserError::Range("2147483648".into())),
            ("0:99999999999", UserError::Range("99999999999".into())),
        ] {
            assert_eq!(named(spec), Err(expected), "{spec}");
        }
    }

    #[test]
    fn an_id_in_the_image_that_is_none_is_refused() {
        // To setresuid(2) 4294967295 means that nothing changes: the program would stay root.
        let passwd =
            "minus:x:4294967295:0:::\nlarge:x:2147483648:0:::\ngroup:x:1:4294967295:::\nfine:x:1:1:::\n";
        let group = "minus:x:4294967295:\nmembers:x:4294967295:fine\n";
        let resolve = |spec: &str| resolve(&UserRequest::Named(spec.into()), passwd, group);
        for (spec, id) in [
            ("minus", "4294967295"),
            ("large", "2147483648"),
            ("group", "4294967295"),
            ("0:minus", "4294967295"),
            ("fine", "4294967295"),
        ] {
            assert_eq!(resolve(spec), Err(UserError::Range(id.into())), "{spec}");
        }
        let mut found = resolve("0").unwrap();
        let added = add_groups(&mut found, &["minus".into()], group);
        assert_eq!(added, Err(UserError::Range("4294967295".into())));
    }

    #[test]
    fn groups_are_added_by_name_or_number() {
        let mut found = named("www-data").unwrap();
        add_groups(&mut found, &["staff".into(), "77".into(), "www-data".into()], GROUP).unwrap();
        assert_eq!(found.groups, [4, 50, 77, 33]);
        let unknown = add_groups(&mut found, &["nobody".into()], GROUP);
        assert_eq!(unknown, Err(UserError::UnknownGroup("nobody".into())));
        for (name, good) in [("audio", true), ("7", true), ("", false), ("a:b", false), ("-1", false)] {
            assert_eq!(check_group(name).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn ids_of_a_spec_are_taken_as_they_are() {
        let request = UserRequest::Ids { uid: 33, gid: 5, groups: vec![7] };
        assert_eq!(resolve(&request, PASSWD, GROUP), Ok(user(33, 5, &[7], "/var/www")));
        assert_eq!(resolve(&request, "", ""), Ok(user(33, 5, &[7], "/")));
    }
}
