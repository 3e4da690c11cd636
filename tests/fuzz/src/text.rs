//! Texts and streams: references, challenges, users, profiles of system calls, compressed bytes.

use runtime::caps::CapSet;
use runtime::seccomp::import::import;
use runtime::user::{UserRequest, resolve};

/// A reference means the same when it is written out and read again, in full and as people write it.
pub fn reference(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(reference) = text.parse::<image::Reference>() else { return };
    for written in [reference.to_string(), reference.familiar()] {
        let again = written.parse::<image::Reference>();
        assert_eq!(again.as_ref(), Ok(&reference), "{text:?} was written as {written:?}");
    }
    let tagged = reference.with_default_tag();
    assert!(tagged.tag().is_some() || tagged.digest().is_some());
}

/// `WWW-Authenticate`.
pub fn challenge(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (realms, _) = image::fuzzing::challenges(text);
    assert!(realms.iter().map(String::len).sum::<usize>() <= text.len(), "{realms:?} of {text:?}");
}

/// `USER` of an image, looked up in the image's own `/etc/passwd` and `/etc/group`: three texts, zeros between them.
pub fn user(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let mut parts = text.splitn(3, '\0').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    let (user, passwd, group) = (part(), part(), part());
    let _refused = runtime::user::check(&user);
    let Ok(mut found) = resolve(&UserRequest::Named(user), &passwd, &group) else { return };
    for id in [found.uid, found.gid].iter().chain(&found.groups) {
        assert!(
            i32::try_from(*id).is_ok(),
            "the id {id}, of an image's own files, is beyond those that there are"
        );
    }
    let names: Vec<String> = group.lines().take(4).map(str::to_owned).collect();
    let _refused = runtime::user::add_groups(&mut found, &names, &group);
}

/// A profile of system calls in docker's form, and the filter that comes of it.
pub fn profile(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let _refused = import(text, CapSet::default(), runtime::seccomp::Machine::X86_64, (6, 12));
}

/// A stream of gzip.
pub fn gzip(input: &[u8]) {
    inflate(&[&[0x1f, 0x8b, 8], input].concat());
}

/// A stream of zstd.
pub fn zstd(input: &[u8]) {
    inflate(&[&[0x28, 0xb5, 0x2f, 0xfd], input].concat());
}

/// However a stream comes in pieces, the same comes of it.
fn inflate(stream: &[u8]) {
    const MAX: u64 = 1 << 20;
    let (whole, is_whole) = image::fuzzing::inflate(stream, 1 << 16, MAX);
    let (pieces, are_whole) = image::fuzzing::inflate(stream, 3, MAX);
    assert_eq!(is_whole, are_whole, "in pieces the stream is another");
    // What came before an error may be more or less.
    assert!(!is_whole || whole == pieces, "in pieces other bytes come of it");
}
