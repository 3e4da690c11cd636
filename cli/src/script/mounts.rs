//! The first process's half of a root: every mount in its place, kernel parameters, what is hidden. PURE.

use anyhow::Result;
use runtime::cgroup::GroupOutline;
use runtime::plan::{InitPlan, MountPlan, MountSource};
use runtime::sys::mount::Attr;

use super::root::number_of;
use super::text::{Text, path, word};

const WORDS: [(Attr, &str); 6] = [
    (Attr::MOUNT_ATTR_NOSUID, "nosuid"),
    (Attr::MOUNT_ATTR_NODEV, "nodev"),
    (Attr::MOUNT_ATTR_NOEXEC, "noexec"),
    (Attr::MOUNT_ATTR_NOATIME, "noatime"),
    (Attr::MOUNT_ATTR_NODIRATIME, "nodiratime"),
    (Attr::MOUNT_ATTR_STRICTATIME, "strictatime"),
];

/// mount(8)'s words for attributes and options. With `writable`, `ro` is left out: it would be the file system's too.
pub(super) fn words(attr: Attr, options: &[(String, String)], writable: bool) -> String {
    let read_only = attr.contains(Attr::MOUNT_ATTR_RDONLY) && !writable;
    let mut all: Vec<String> = if read_only { vec!["ro".to_owned()] } else { Vec::new() };
    all.extend(WORDS.iter().filter(|(one, _)| attr.contains(*one)).map(|(_, word)| (*word).to_owned()));
    all.extend(options.iter().map(|(key, value)| match value.as_str() {
        "" => key.clone(),
        value => format!("{key}={value}"),
    }));
    if all.is_empty() { "defaults".to_owned() } else { all.join(",") }
}

/// Every mount of the plan, in its order.
pub(super) fn mounts(text: &mut Text, init: &InitPlan, groups: &[GroupOutline]) -> Result<()> {
    text.part("Put every mount in its place");
    text.comment(
        "mini looks these places up once it has let go of the host's root. Here the host's tools are still needed: place() takes \
         care that no link of the image leads out.",
    );
    for mount in &init.mounts {
        one(text, init, groups, mount)?;
    }
    Ok(())
}

fn one(text: &mut Text, init: &InitPlan, groups: &[GroupOutline], mount: &MountPlan) -> Result<()> {
    let target = path(&mount.target)?;
    match &mount.source {
        MountSource::New { kind, options } => {
            text.line(&new_place(mount, &target));
            let options = word(&words(mount.attr, options, true));
            let kind = word(kind);
            text.line(&format!("mount -n -t {kind} -o {options} {kind} \"$at\""));
            read_only(text, mount);
        }
        MountSource::Dev { .. } => {
            text.line(&new_place(mount, &target));
            text.line("mount -n --move \"$work/dev\" \"$at\"");
            read_only(text, mount);
        }
        MountSource::Cgroup => {
            text.line(&new_place(mount, &target));
            cgroup(text, groups, mount)?;
        }
        MountSource::Bind { .. } => bind(text, init, mount, &target),
        MountSource::Foreign { place } => {
            text.comment(&format!(
                "{} is not here: what {} shows is another container's, cloned out of its mounts, which mount(8) cannot do.",
                mount.target.display(),
                place.display()
            ));
            return Ok(());
        }
    }
    if let Some((kind, recursive)) = mount.propagation {
        let name = [
            (libc::MS_PRIVATE, "private"),
            (libc::MS_SLAVE, "slave"),
            (libc::MS_SHARED, "shared"),
            (libc::MS_UNBINDABLE, "unbindable"),
        ];
        let name = name.iter().find(|(flag, _)| *flag == kind).map_or("private", |(_, name)| name);
        text.line(&format!("mount -n --make-{}{name} \"$at\"", if recursive { "r" } else { "" }));
    }
    Ok(())
}

/// Where something new goes: links on the way to the kernel's own places are refused.
fn new_place(mount: &MountPlan, target: &str) -> String {
    match ["/proc", "/sys", "/dev"].iter().any(|place| mount.target.starts_with(place)) {
        true => format!("kernel {target}"),
        false => format!("place \"$root\" {target} directory"),
    }
}

fn read_only(text: &mut Text, mount: &MountPlan) {
    if mount.attr.contains(Attr::MOUNT_ATTR_RDONLY) {
        text.line("more ro \"$at\"");
    }
}

fn bind(text: &mut Text, init: &InitPlan, mount: &MountPlan, target: &str) {
    let number = number_of(init, mount);
    let from = format!("\"$work/bind/{number}\"");
    text.line(&format!("if [ -d {from} ]; then kind=directory; else kind=file; fi"));
    text.line(&format!("place \"$root\" {target} $kind"));
    text.line(&format!("[ ! -e \"$work/bind/{number}.new\" ] || cp -a \"$at/.\" {from}"));
    text.line(&format!("mount -n --move {from} \"$at\""));
    if !mount.attr_tree.is_empty() {
        text.line(&format!("more_below {} \"$at\"", words(mount.attr_tree, &[], false)));
    }
    if !mount.attr.is_empty() {
        text.line(&format!("more {} \"$at\"", words(mount.attr, &[], false)));
    }
}

/// The container's own groups, and nothing above them: the cgroup namespace cuts the view.
fn cgroup(text: &mut Text, groups: &[GroupOutline], mount: &MountPlan) -> Result<()> {
    let options = words(mount.attr, &[], true);
    let [group] = groups else { return hierarchies(text, groups, mount, &options) };
    if group.controllers.is_empty() {
        return hierarchies(text, groups, mount, &options);
    }
    text.line(&format!("mount -n -t cgroup2 -o {options} cgroup2 \"$at\""));
    read_only(text, mount);
    Ok(())
}

fn hierarchies(text: &mut Text, groups: &[GroupOutline], mount: &MountPlan, options: &str) -> Result<()> {
    text.line(&format!("mount -n -t tmpfs -o {options},mode=755 tmpfs \"$at\""));
    text.line("top=$at");
    for group in groups {
        let Some(name) = group.root.file_name().map(std::path::Path::new) else { continue };
        text.line(&format!("mkdir -m 755 \"$top/\"{}", path(name)?));
        for controller in group.hierarchy.iter().filter(|controller| std::path::Path::new(controller) != name)
        {
            text.line(&format!("ln -s {} \"$top/{controller}\"", path(name)?));
        }
        let controllers = group.hierarchy.join(",");
        text.line(&format!("at=$top/{}", path(name)?));
        text.line(&format!("mount -n -t cgroup -o {options},{controllers} cgroup \"$at\""));
        read_only(text, mount);
    }
    text.line("at=$top");
    read_only(text, mount);
    Ok(())
}

/// Kernel parameters, through a procfs of the container's own where it has one.
pub(super) fn sysctls(text: &mut Text, init: &InitPlan) -> Result<()> {
    if init.sysctls.is_empty() {
        return Ok(());
    }
    text.part("Set the kernel parameters of the container's own namespaces");
    let own = init
        .mounts
        .iter()
        .any(|mount| matches!(&mount.source, MountSource::New { kind, .. } if kind == "proc"));
    let proc = if own { "\"$root/proc/sys/\"" } else { "/proc/sys/" };
    for (file, value) in &init.sysctls {
        text.line(&format!("echo {} >{proc}{}", word(value), path(file)?));
    }
    Ok(())
}

/// Masks and write-protects what proc and sysfs tell about the host.
pub(super) fn hide(text: &mut Text, init: &InitPlan) -> Result<()> {
    text.part("Hide what proc and sysfs tell about the host");
    text.comment("What this kernel does not have needs no hiding. One empty directory serves all.");
    text.line("empty=");
    text.line("hide() {");
    text.line("    place \"$root\" \"$1\" look || return 0");
    text.line("    if [ ! -d \"$at\" ]; then");
    text.line("        mount -n --bind \"$root/dev/null\" \"$at\"");
    text.line("    elif [ -n \"$empty\" ]; then");
    text.line("        mount -n --bind \"$empty\" \"$at\"");
    text.line("    else");
    text.line("        mount -n -t tmpfs -o nosuid,nodev,noexec,size=0,nr_inodes=2,mode=755 tmpfs \"$at\"");
    text.line("        more ro \"$at\"");
    text.line("        empty=$at");
    text.line("    fi");
    text.line("}");
    text.line("protect() {");
    text.line("    place \"$root\" \"$1\" look || return 0");
    text.line("    mount -n --rbind \"$at\" \"$at\"");
    text.line("    more_below ro,nosuid,nodev,noexec \"$at\"");
    text.line("}");
    for hidden in &init.masked {
        text.line(&format!("hide {}", path(hidden)?));
    }
    for protected in &init.read_only {
        text.line(&format!("protect {}", path(protected)?));
    }
    if init.root.read_only {
        text.part("Nothing in the root can be written");
        text.line("more ro \"$root\"");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_and_options_are_words_of_mount() {
        let options = [("mode".to_owned(), "755".to_owned()), ("noswap".to_owned(), String::new())];
        let attr = Attr::MOUNT_ATTR_RDONLY | Attr::MOUNT_ATTR_NOSUID;
        for (attr, options, writable, expected) in [
            (attr, &options[..], true, "nosuid,mode=755,noswap"),
            (attr, &[][..], false, "ro,nosuid"),
            (Attr::empty(), &[][..], true, "defaults"),
        ] {
            assert_eq!(words(attr, options, writable), expected);
        }
    }
}
