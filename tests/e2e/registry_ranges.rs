//! A registry that breaks off and then lies about the rest: the whole is asked for, or the image refused; never is a mixture
//! believed.

use std::sync::atomic::{AtomicUsize, Ordering};

use tests::Host;
use tests::http::Request;
use tests::server::{Access, Body, Contents, ImageServer, Reply};

use crate::registry_hostile::{image, is_layer};

/// What is asked for: the layer's bytes, and from which on.
struct Asked {
    bytes: Vec<u8>,
    begin: usize,
}

impl Asked {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.begin..]
    }

    /// A 206 with these bytes that says `range` of them.
    fn part(&self, bytes: &[u8], range: &str) -> Reply {
        let range = range
            .replace("BEGIN", &self.begin.to_string())
            .replace("LAST", &(self.bytes.len() - 1).to_string())
            .replace("TOTAL", &self.bytes.len().to_string());
        Reply::new(206, bytes).with("content-range", &range)
    }
}

/// Pulls from a registry that breaks off in the middle of a layer, which is not compressed, and answers for the rest as `twist` says.
#[track_caller]
fn broken(twist: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> (Host, ImageServer, tests::Output) {
    let host = Host::new();
    let mut contents = Contents::default();
    contents.add("given", "1", &image());
    let broken = AtomicUsize::new(0);
    let server = ImageServer::twisted(contents, Access::Open, move |request: &Request, reply| {
        if !is_layer(request) {
            return reply;
        }
        let bytes = image().packed_layers()[1].bytes.clone();
        let range = request.field("range").and_then(|range| range[6..].trim_end_matches('-').parse().ok());
        match range {
            Some(begin) => twist(&Asked { bytes, begin }),
            None if broken.fetch_add(1, Ordering::Relaxed) == 0 => {
                // The word itself is missing.
                reply.lying(Body::Claiming(bytes[..512].to_vec(), bytes.len() as u64))
            }
            None => reply,
        }
    });
    let output = host.mini(["pull", &format!("{}/given:1", server.name())]).run();
    (host, server, output)
}

/// The image comes all the same; `says`, where something is said about it.
#[track_caller]
fn comes(says: &str, twist: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
    let (host, server, output) = broken(twist);
    output.ok().stderr_has("Retrying").stderr_has(says);
    let name = format!("{}/given:1", server.name());
    host.mini(["run", "--rm", "--pull=never", &name, "cat", "/word"]).run().ok().stdout("honest");
    host.mini(["system", "check"]).run().ok().stdout("");
}

/// It does not, and a registry that is honest gives it afterwards.
#[track_caller]
fn refused(texts: &[&str], twist: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
    let (host, _server, output) = broken(twist);
    output.error(1, texts);
    host.mini(["images", "-q"]).run().ok().stdout("");
    host.mini(["system", "check"]).run().ok().stdout("");
    let mut contents = Contents::default();
    contents.add("given", "1", &image());
    let honest = ImageServer::open(contents);
    let name = format!("{}/given:1", honest.name());
    host.mini(["run", "--rm", &name, "cat", "/word"]).run().ok().stdout("honest");
}

#[test]
fn the_whole_instead_of_the_rest() {
    comes("", |asked| Reply::new(200, asked.bytes.as_slice()));
}

#[test]
fn the_rest_in_small_parts() {
    comes("", |asked| asked.part(&asked.rest()[..asked.rest().len().min(600)], "bytes BEGIN-LAST/TOTAL"));
}

#[test]
fn another_part_than_the_rest() {
    let says = "asked for the bytes from";
    comes(says, |asked| asked.part(&asked.bytes, "bytes 0-LAST/TOTAL"));
    comes(says, |asked| asked.part(&asked.bytes[..7], "bytes 0-6/TOTAL"));
    comes(says, |asked| asked.part(&asked.rest()[1..], &format!("bytes {}-LAST/TOTAL", asked.begin + 1)));
}

#[test]
fn a_part_that_does_not_say_which() {
    let says = "asked for the bytes from";
    comes(says, |asked| Reply::new(206, asked.rest()));
    for range in
        ["", "bytes */TOTAL", "bytes", "lines BEGIN-LAST/TOTAL", "bytes -1-LAST/TOTAL", "bytes BEGIN-LAST/9"]
    {
        comes(says, move |asked| asked.part(asked.rest(), range));
    }
}

#[test]
fn no_parts_at_all() {
    comes("416", |_| Reply::new(416, ""));
}

#[test]
fn more_than_the_rest() {
    refused(&["more than the"], |asked| {
        asked.part(&[asked.rest(), &[0; 512]].concat(), "bytes BEGIN-LAST/TOTAL")
    });
    refused(&["more than the"], |asked| {
        asked.part(asked.rest(), "bytes BEGIN-LAST/TOTAL").lying(Body::Endless)
    });
}

#[test]
fn less_than_the_rest_for_ever() {
    refused(&["bytes of"], |asked| asked.part(b"", "bytes BEGIN-LAST/TOTAL"));
}

#[test]
fn other_bytes_than_the_rest() {
    // Of the word, which the digest alone tells; of what follows it, where the unpacker comes first.
    for at in [0, 600] {
        refused(&["layer"], move |asked| {
            let mut rest = asked.rest().to_vec();
            rest[at] ^= 1;
            asked.part(&rest, "bytes BEGIN-LAST/TOTAL")
        });
    }
}
