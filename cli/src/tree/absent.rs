//! What docker has and mini has not: a reason each, and what does it instead. PURE.

use clap::Command;

const NO_BUILDER: &str =
    "mini builds no images: docker, podman and buildah do, and mini load reads what their save writes";
const NO_CLUSTER: &str =
    "mini runs on one host and knows no cluster: mini run --restart keeps a container running";
const NO_DAEMON: &str = "mini has no daemon: it runs where it is typed, as in ssh HOST mini ps";

const NO_OTHER_NETWORKS: &str = "mini has the networks bridge, host and none, chosen with --network by run and create: others are not there yet";

/// Commands of docker that mini has not, though it has others of that name.
const OF_GROUPS: [(&str, &[&str], &str); 1] =
    [("mini network", &["create", "rm", "remove", "connect", "disconnect"], NO_OTHER_NETWORKS)];

/// Commands of docker that mini has not, by the last word of their names.
const COMMANDS: [(&[&str], &str); 8] = [
    (&["build", "builder", "buildx", "bake"], NO_BUILDER),
    (&["compose"], "mini reads no compose files: each service is a mini run -d --restart always"),
    (&["swarm", "node", "service", "stack", "config"], NO_CLUSTER),
    (&["context"], NO_DAEMON),
    (&["plugin"], "plugins are a daemon's, and mini has none: volumes are directories, and logs are files"),
    (
        &["search"],
        "mini asks no registry what there is: skopeo list-tags docker://NAME does, and hub.docker.com has a page for it",
    ),
    (
        &["manifest", "trust"],
        "mini verifies digests when it pulls, and signs nothing: skopeo inspect --raw docker://NAME shows a manifest",
    ),
    (&["checkpoint"], "mini writes no running program to disk: mini pause holds a container still"),
];

/// Flags that stand before docker's commands.
const FLAGS: [(&[&str], &str); 4] = [
    (
        &["-H", "--host", "-c", "--context", "--tls", "--tlscacert", "--tlscert", "--tlskey", "--tlsverify"],
        NO_DAEMON,
    ),
    (&["-D", "--debug", "-l", "--log-level"], "mini run --explain and mini exec --explain tell what happens"),
    (
        &["--config"],
        "mini is configured in /etc/mini/config.toml; DOCKER_CONFIG says where passwords are kept",
    ),
    (&["-V"], "the version is -v, as docker's"),
];

/// Why a group of mini's has no command of that name.
pub(super) fn of_group(group: &str, word: &str) -> Option<&'static str> {
    let known = |(of, words, _): &&(&str, &[&str], &str)| *of == group && words.contains(&word);
    OF_GROUPS.iter().find(known).map(|(.., why)| *why)
}

/// Why mini has no command of that name.
pub(super) fn command(word: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(words, _)| words.contains(&word)).map(|(_, why)| *why)
}

/// Why mini has no flag of that name before its commands.
pub(super) fn flag(command: &Command, flag: &str) -> Option<&'static str> {
    let known = FLAGS.iter().find(|(flags, _)| flags.contains(&flag)).map(|(_, why)| *why);
    known.filter(|_| super::path(command) == "mini")
}
