//! Namespaces under the user namespaces that own them, drawn and as JSON. PURE.

use runtime::plan::IdMap;
use serde_json::{Value as Json, json};

use super::world::{Member, Space};
use crate::output::visible;

/// A namespace and what hangs below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    space: Space,
    owns: Vec<Node>,
}

/// Each namespace below its owner; what has none here stands at the top. Namespaces of other kinds come before user namespaces.
pub(super) fn tree(spaces: Vec<Space>) -> Vec<Node> {
    let users: Vec<u64> =
        spaces.iter().filter(|space| space.kind == "user").map(|space| space.inode).collect();
    let hangs = |space: &Space| space.owner.is_some_and(|owner| users.contains(&owner));
    let (mut below, top): (Vec<Space>, Vec<Space>) = spaces.into_iter().partition(hangs);
    nodes(top, &mut below)
}

/// Takes out of `left` what hangs below each. What hangs on nothing but itself, which the kernel does not make, is left there.
fn nodes(mut level: Vec<Space>, left: &mut Vec<Space>) -> Vec<Node> {
    level.sort_by_key(|space| (space.kind == "user", space.kind, space.inode));
    let mut nodes = Vec::new();
    for space in level {
        let hangs = |other: &Space| space.kind == "user" && other.owner == Some(space.inode);
        let (own, others) = std::mem::take(left).into_iter().partition(hangs);
        *left = others;
        nodes.push(Node { owns: self::nodes(own, left), space });
    }
    nodes
}

/// As it is drawn.
pub(super) fn text(tree: &[Node]) -> String {
    let mut text = String::new();
    for node in tree {
        draw(node, "", "", &mut text);
    }
    text
}

/// `first` stands before the first line of it, `rest` before all others.
fn draw(node: &Node, first: &str, rest: &str, text: &mut String) {
    let space = &node.space;
    let who = match space.who() {
        nobody if nobody.is_empty() => "-".to_owned(),
        who => who.join(", "),
    };
    let plural = if space.processes == 1 { "" } else { "es" };
    *text += &format!("{first}{}:{}  {who}  {} process{plural}\n", space.kind, space.inode, space.processes);
    let bar = if node.owns.is_empty() { "   " } else { "│  " };
    for line in about(space) {
        *text += &format!("{rest}{bar}{line}\n");
    }
    for (index, child) in node.owns.iter().enumerate() {
        let (first, further) =
            if index + 1 == node.owns.len() { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        draw(child, &format!("{rest}{first}"), &format!("{rest}{further}"), text);
    }
}

/// Maps and processes, a line each.
fn about(space: &Space) -> Vec<String> {
    let mut lines = Vec::new();
    let maps = [("uid", &space.uid_map), ("gid", &space.gid_map)];
    for (what, map) in maps {
        let Some(map) = map else { continue };
        if map.is_empty() {
            lines.push(format!("{what} map not written"));
        }
        lines.extend(map.iter().map(|line| format!("{what} {}", range(line))));
    }
    lines.extend(space.members.iter().map(|member| {
        let Member { container, pid, inside, name } = member;
        format!("pid {pid} is {inside} inside  {}  ({container})", visible(name))
    }));
    lines
}

/// `0-65535 is 2147483648-2147549183 outside`
fn range(line: &IdMap) -> String {
    let ids = |first: u32| match u64::from(first) + u64::from(line.size.saturating_sub(1)) {
        last if last == u64::from(first) => first.to_string(),
        last => format!("{first}-{last}"),
    };
    format!("{} is {} outside", ids(line.container), ids(line.host))
}

/// As JSON: an array of what stands at the top.
pub(super) fn json(tree: &[Node]) -> Json {
    tree.iter().map(object).collect()
}

fn object(node: &Node) -> Json {
    let space = &node.space;
    let map = |map: &Option<Vec<IdMap>>| {
        let line =
            |line: &IdMap| json!({ "Inside": line.container, "Outside": line.host, "Size": line.size });
        map.as_ref().map(|map| map.iter().map(line).collect::<Vec<Json>>())
    };
    let member = |member: &Member| json!({ "Container": member.container, "Pid": member.pid, "PidInside": member.inside, "Name": member.name });
    let mut object = json!({
        "Namespace": space.inode,
        "Type": space.kind,
        "Processes": space.processes,
        "Owner": space.owner,
        "Who": space.who(),
    });
    if space.kind == "user" {
        object["UidMap"] = json!(map(&space.uid_map));
        object["GidMap"] = json!(map(&space.gid_map));
        object["Owns"] = json(&node.owns);
    }
    if space.kind == "pid" {
        object["Members"] = space.members.iter().map(member).collect();
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(kind: &'static str, inode: u64, owner: Option<u64>, who: &[&str]) -> Space {
        let containers = who.iter().filter(|who| **who != "host").map(|who| (*who).to_owned()).collect();
        Space {
            kind,
            inode,
            owner,
            processes: 2,
            host: who.contains(&"host"),
            containers,
            ..Space::default()
        }
    }

    #[test]
    fn namespaces_hang_below_their_owners_and_those_below_their_parents() {
        let all = [IdMap { container: 0, host: 0, size: u32::MAX }];
        let some = [IdMap { container: 0, host: 7000, size: 10 }, IdMap { container: 50, host: 9, size: 1 }];
        let member = Member { container: "web".into(), pid: 88, inside: 1, name: "a\x1b[2J".into() };
        let spaces = vec![
            space("mnt", 5, Some(1), &["host"]),
            Space { members: vec![member], ..space("pid", 6, Some(3), &["web"]) },
            Space { uid_map: Some(all.to_vec()), ..space("user", 1, None, &["host"]) },
            Space { processes: 1, ..space("user", 2, Some(1), &[]) },
            Space {
                uid_map: Some(some.to_vec()),
                gid_map: Some(vec![]),
                ..space("user", 3, Some(2), &["web"])
            },
            space("net", 9, None, &["far"]),
        ];
        let expected = "\
net:9  far  2 processes
user:1  host  2 processes
│  uid 0-4294967294 is 0-4294967294 outside
├─ mnt:5  host  2 processes
└─ user:2  -  1 process
   └─ user:3  web  2 processes
      │  uid 0-9 is 7000-7009 outside
      │  uid 50 is 9 outside
      │  gid map not written
      └─ pid:6  web  2 processes
            pid 88 is 1 inside  a\\u{1b}[2J  (web)
";
        assert_eq!(text(&tree(spaces.clone())), expected);
        let json = json(&tree(spaces));
        assert_eq!(json[1]["Owns"][1]["Owns"][0]["Owns"][0]["Members"][0]["PidInside"], 1);
        assert_eq!(
            json[1]["Owns"][1]["Owns"][0]["UidMap"][1],
            json!({"Inside": 50, "Outside": 9, "Size": 1})
        );
        assert_eq!(json[1]["Owns"][1]["UidMap"], Json::Null);
    }

    #[test]
    fn what_hangs_on_itself_is_no_endless_tree() {
        assert_eq!(text(&tree(vec![space("user", 1, Some(1), &["host"])])), "");
    }
}
