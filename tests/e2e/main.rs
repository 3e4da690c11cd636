//! Everything `mini` does, seen from outside: one file a behaviour, named after it.
//!
//! Select with `cargo xtask test MODULE`, or `cargo nextest run -p tests -E 'test(/^MODULE::/)'` with `MINI_BIN` set.
//!
//! | behaviour | where |
//! |---|---|
//! | a command's output, exit code, environment, user, directory, name | [`run`] |
//! | labels, limits, names, kernel parameters | [`flags`] |
//! | what containers leave in their files | [`files`] |
//! | binds, tmpfs, read-only roots | [`volumes`] |
//! | volumes, what is in them first, where they are mounted | [`volume_store`], [`volume_content`], [`volume_mounts`] |
//! | what containers are told and nobody is shown | [`secrets`] |
//! | files into containers and out of them; all of one's own | [`copy`], [`copy_keeps`], [`export`] |
//! | images between mini and docker, podman, skopeo and umoci | [`interchange`] |
//! | images of what containers wrote, and of archives of files; names and histories | [`commit`], [`import`], [`tag`] |
//! | what goes wrong, and what is said about it | [`errors`] |
//! | how a line is read: docker's liberties, near names, what mini has not | [`usage`] |
//! | every flag is tried, or refused by name | [`coverage`] |
//! | every example of every `--help`, carried out | [`examples`] |
//! | help that teaches, completion in real shells, manual pages | [`help`], [`completion`], [`manual`] |
//! | a second command in a running container | [`exec`] |
//! | ps, stop, kill, rm, names | [`lifecycle`] |
//! | create, start, restart, wait | [`again`] |
//! | restart policies and time limits | [`restart`] |
//! | health checks | [`health`] |
//! | what has happened, and what happens | [`events`] |
//! | containers as services of systemd | [`units`] |
//! | rename, pause, top, port, docker's longer names | [`manage`], [`top`] |
//! | what containers use | [`stats`] |
//! | what a container wrote, kept and rotated | [`logs`] |
//! | lists and logs by filters, forms and times | [`listing`] |
//! | columns, templates and JSON of lists; info, version | [`formats`] |
//! | a wall clock that is set | [`clock`] |
//! | much output at once | [`flood`] |
//! | a thousand containers | [`many`] |
//! | disks that are full or cannot be written to | [`full_disk`] |
//! | sixteen commands at a time on one container | [`concurrent`] |
//! | the supervisor: what it sheds, what it survives | [`supervise`] |
//! | the supervisor at rest | [`resting`] |
//! | staying with what runs: several clients, which streams, slow readers | [`attach`] |
//! | a driven terminal: keys, sizes, detaching, hanging up | [`terminal`] |
//! | limits, proved by their effect | [`cgroup`], [`limits`] |
//! | limits that are changed | [`update`] |
//! | devices of the host | [`devices`] |
//! | own user ids for each container | [`userns`] |
//! | mounts, devices, masks, capabilities, what the payload inherits | [`rootfs`] |
//! | apt, setuid programs and file capabilities in a Debian | [`apt`] |
//! | namespaces shared with host and containers, id maps by hand | [`spaces`], [`spaces_life`] |
//! | an init that passes signals on and buries orphans | [`init`] |
//! | filters of system calls, hidden paths, groups, masks | [`security_options`] |
//! | directories for images, platforms, time zones, variables | [`origin`] |
//! | addresses, names, routes | [`network`] |
//! | the networks that there are | [`networks`] |
//! | published ports | [`ports`] |
//! | references, authorisation, indexes, layers side by side | [`pull`] |
//! | archives and layouts | [`load`], [`save`] |
//! | the list of images and their removal | [`images`] |
//! | layers that tell the truth: whiteouts, links, owners, attributes | [`layers`] |
//! | layers that attack | [`security_layers`], [`security_archives`], [`slow_layers`] |
//! | registries that lie | [`registry_hostile`] |
//! | published attacks on runtimes, on copies and volumes | [`security_runtime`], [`security_image`], [`security_copy`] |
//! | what a checker finds by default, from inside and outside | [`security_posture`] |
//! | the narration | [`explain`] |
//! | making a container one operation at a time | [`step`] |
//! | containers that lack one isolation | [`without`] |
//! | the plan that touches nothing | [`dry_run`] |
//! | the plan as a shell script, carried out and compared | [`script`], [`script_life`] |
//! | a room of machines: tried, equipped from one file, made ready for the next student | [`class`] |
//! | lessons: each check before, after, broken and fixed; by what students type | [`learn`], [`learn_terminal`] |
//! | namespaces of containers and host; both sides at once | [`ns`], [`view`], [`view_screen`] |
//! | whole outputs, as they were when somebody read them | [`snapshots`] |
//! | beside docker: the same lines, the same answers | [`differential`] |
//! | inspect, its templates and docker's shapes | [`inspect`] |
//! | the command line that makes a container again | [`as_run`] |
//! | roots, configuration, formats on disk | [`places`] |
//! | what takes how much of the disk; removing what nobody needs | [`system_df`], [`prune`], [`prune_unused`] |
//! | SIGKILL at every operation | [`kill_run`], [`kill_again`], [`kill_life`], [`kill_spaces`], [`kill_exec`], [`kill_removal`], [`kill_images`], [`kill_kept`], [`kill_made`], [`kill_update`], [`kill_files`], [`kill_prune`], [`kill_learn`] |
//! | finding and mending what a crash, a disk or a hand left | [`system_check`], [`system_check_store`], [`system_check_kept`] |
//! | layers: what they share, add, change and hide | [`explore`] |
//! | the file systems that it all may lie on; copies where it is an overlay | [`file_systems`], [`copying`], [`copying_volumes`] |
#![expect(
    clippy::disallowed_methods,
    reason = "tests stand outside the product: they make files, processes and sockets themselves"
)]

mod again;
mod apt;
mod as_run;
mod attach;
mod attack;
mod cgroup;
mod class;
mod clock;
mod commit;
mod completion;
mod concurrent;
mod concurrent_images;
mod copy;
mod copy_keeps;
mod copying;
mod copying_volumes;
mod coverage;
mod devices;
mod differential;
mod dry_run;
mod errors;
mod events;
mod examples;
mod exec;
mod explain;
mod explore;
mod export;
mod file_systems;
mod files;
mod flags;
mod flood;
mod formats;
mod full_disk;
mod full_store;
mod health;
mod help;
mod hosts;
mod images;
mod import;
mod init;
mod inspect;
mod interchange;
mod kill_again;
mod kill_exec;
mod kill_files;
mod kill_images;
mod kill_kept;
mod kill_learn;
mod kill_life;
mod kill_made;
mod kill_prune;
mod kill_removal;
mod kill_run;
mod kill_spaces;
mod kill_update;
mod killing;
mod layers;
mod learn;
mod learn_terminal;
mod lifecycle;
mod limits;
mod listing;
mod load;
mod login;
mod logs;
mod manage;
mod manual;
mod many;
mod network;
mod networks;
mod ns;
mod origin;
mod places;
mod ports;
mod progress;
mod prune;
mod prune_unused;
mod pull;
mod pull_again;
mod push;
mod registry_bounds;
mod registry_hostile;
mod registry_ranges;
mod restart;
mod resting;
mod resume;
mod rootfs;
mod run;
mod save;
mod script;
mod script_life;
mod secret;
mod secrets;
mod security_archives;
mod security_copy;
mod security_image;
mod security_layers;
mod security_options;
mod security_posture;
mod security_runtime;
mod slow_layers;
mod snapshots;
mod spaces;
mod spaces_life;
mod stats;
mod step;
mod supervise;
mod system_check;
mod system_check_kept;
mod system_check_store;
mod system_df;
mod tag;
mod terminal;
mod top;
mod units;
mod update;
mod usage;
mod userns;
mod view;
mod view_screen;
mod volume_content;
mod volume_mounts;
mod volume_store;
mod volumes;
mod without;
