//! Sixteen commands at a time on images that share layers, drawn by lot: pulls, loads, removals, prunes, checks and runs. What is
//! pulled is whole, and what nobody needs is gone.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::json;
use tests::server::{Access, Contents, ImageServer, Reply};
use tests::step::{Step, Stepper, Verdict};
use tests::{Host, Image, Output, Running, Tarball};

/// How many at a time.
const CLIENTS: usize = 16;
/// How many images there are, of four layers each; every layer but the last is in half of them.
const IMAGES: usize = 8;

fn image(number: usize) -> Image {
    let shared = (0..2).map(|bit| (bit, number >> bit & 1));
    let image = shared.fold(Image::busybox(), |image, (bit, value)| {
        let files = (0..20).fold(Tarball::new(), |layer, file| {
            layer.file(&format!("{bit}-{value}-{file}"), 0o644, vec![b'x'; 5000])
        });
        image.with(files)
    });
    let word = Tarball::new().file("word", 0o644, number.to_string());
    image.with(word).set("Cmd", json!(["sh", "-c", "cat /word /?-?-19 | wc -c"]))
}

/// xorshift: `MINI_TEST_SEED` draws other lots.
struct Lots(u64);

impl Lots {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % count
    }
}

fn draw(lots: &mut Lots, name: impl Fn(usize) -> String) -> Vec<String> {
    let name = name(lots.below(IMAGES));
    let words: &[&str] = match lots.below(16) {
        0..6 => &["pull", &name],
        6..9 => &["rmi", "-f", &name],
        9 => &["image", "prune", "-af"],
        10 => &["image", "prune", "-f"],
        11 => &["system", "check"],
        12 => &["system", "df"],
        13 => &["images"],
        _ => &["run", "--rm", &name],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Whether the answer fits the command: an image may have been removed at any moment, and a check may see what is being removed.
fn fits(words: &[String], output: &Output) -> bool {
    let said = output.err();
    match (words[0].as_str(), output.status.code()) {
        _ if said.contains("panicked") => false,
        ("run", Some(0)) => output.text() == "10001\n",
        (_, Some(0)) => true,
        ("rmi", Some(1)) => {
            said.contains("no such image") || said.contains("is being used by running container")
        }
        ("run", Some(125)) => said.contains("no such image"),
        ("system", Some(1)) => words[1] == "check" && said.is_empty(),
        _ => false,
    }
}

/// Of each blob's answers every tenth is a failure, and every tenth breaks off: nobody fails as often as makes a pull give up.
fn server() -> ImageServer {
    let mut contents = Contents::default();
    for number in 0..IMAGES {
        contents.add(&format!("i{number}"), "1", &image(number));
    }
    let counts = Mutex::new(HashMap::new());
    ImageServer::twisted(contents, Access::Open, move |request, reply| {
        if !request.target.contains("/blobs/") {
            return reply;
        }
        // By digest: images share blobs.
        let blob = request.target.rsplit('/').next().unwrap_or_default().to_owned();
        let number = {
            let mut counts = counts.lock().expect("nobody panics with it");
            let count = counts.entry(blob).or_insert(0);
            *count += 1;
            *count
        };
        match (number % 10, &reply.body) {
            (3, _) => Reply::new(503, ""),
            (7, tests::server::Body::Whole(bytes)) => {
                let (part, length) = (bytes[..bytes.len() / 2].to_vec(), bytes.len() as u64);
                reply.lying(tests::server::Body::Claiming(part, length))
            }
            _ => reply,
        }
    })
}

#[test]
fn images_that_share_layers_come_and_go_sixteen_at_a_time() {
    let seed = std::env::var("MINI_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    let mut lots = Lots(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let host = Host::new();
    let server = server();
    let full = |number: usize| format!("{}/i{number}:1", server.name());
    for round in 0..6 {
        let running: Vec<(Vec<String>, Running)> = (0..CLIENTS)
            .map(|_| {
                let words = draw(&mut lots, full);
                let mut client = host.mini(&words).patient(2).start();
                client.close_stdin();
                (words, client)
            })
            .collect();
        let answers: Vec<_> = running.into_iter().map(|(words, client)| (words, client.wait())).collect();
        let odd: Vec<_> = answers.iter().filter(|(words, output)| !fits(words, output)).collect();
        let told: Vec<_> = odd.iter().map(|(_, output)| output.to_string()).collect();
        assert!(odd.is_empty(), "round {round}: these answers do not fit:\n{}", told.join("\n"));
        host.mini(["system", "check"]).run().ok().stdout("");
    }
    for number in 0..IMAGES {
        host.mini(["run", "--rm", &full(number)]).run().ok().stdout("10001\n");
    }
    host.mini(["image", "prune", "-af"]).run().ok();
    host.mini(["system", "check"]).run().ok().stdout("");
    for place in ["layers", "chains", "images", "ingest", "partial", "blobs/sha256"] {
        let left = std::fs::read_dir(host.root().join("image").join(place)).into_iter().flatten().count();
        assert_eq!(left, 0, "things in {place}");
    }
}

/// What an image was made of is in the archive that holds both: who loads it alone meanwhile does not make that forgotten.
#[test]
fn of_two_who_load_an_image_what_the_one_knows_stays() {
    let host = Host::with_busybox();
    host.mini(["run", "--name", "box", "busybox", "touch", "/made"]).run().ok();
    host.mini(["commit", "box", "made:1"]).run().ok();
    let [alone, both] = ["alone", "both"].map(|name| host.work().join(name));
    host.mini(["save", "made:1", "-o"]).arg(&alone).run().ok();
    host.mini(["save", "made:1", "busybox", "-o"]).arg(&both).run().ok();
    host.mini(["rm", "box"]).run().ok();
    host.mini(["image", "prune", "-af"]).run().ok();
    let parent = || host.mini(["image", "inspect", "-f", "{{.Parent}}", "made:1"]).run().ok().line();
    let load = |archive| host.mini(["load", "-i"]).arg(archive);
    load(&alone).run().ok();
    assert_eq!(parent(), "");
    let mut other = None;
    // All that is to be written down is, and nothing refers to it yet.
    let judge = |step: &Step| {
        if step.call.starts_with("syncfs") && other.is_none() {
            other = Some(load(&both).run());
        }
        Verdict::GoOn
    };
    Stepper::run(load(&alone), judge, |_| true).output.ok();
    other.expect("a load that flushes the disk").ok();
    let busybox = host.mini(["image", "inspect", "-f", "{{.Id}}", "busybox"]).run().ok().line();
    assert_eq!(parent(), busybox);
    host.mini(["system", "check"]).run().ok().stdout("");
}
