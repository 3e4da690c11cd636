//! `mini image tree`: the layers that images share, as trees that grow from the lowest layer up.

use anyhow::{Context as _, Result};
use image::{Digest, Hasher, Image};
use serde_json::Value as Json;

use crate::context::Context;
use crate::exit_code::ExitCode;
use crate::output::format::{Format, FormatArg, Row};
use crate::output::{self, size, table, visible};

/// Show images and the layers that they share, as a tree
///
/// A layer stands below the one that it lies on. IMAGES is how many images have it: what it takes is on the disk once.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mini image tree\n  mini image tree busybox\n  mini image tree --format json\n\nPlaceholders: .Tree .Layer .Chain .Parent .Depth .Size .Images .Names .CreatedBy\n\nSee also: mini images, mini image explore, mini system df"
)]
pub(crate) struct TreeArgs {
    /// Whole digests, and commands as long as they are
    #[arg(long)]
    no_trunc: bool,
    #[command(flatten)]
    format: FormatArg,
    /// Only these images, and the layers that they have
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

const TABLE: [&str; 5] = ["Tree", "Size", "Images", "Names", "CreatedBy"];
/// Columns of a command.
const COMMAND: usize = 45;

/// One layer on what it lies on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Node {
    /// What it is called where it lies: the chain of digests up to it (OCI image spec, config.md).
    chain: String,
    parent: String,
    depth: usize,
    layer: String,
    /// `None`: a layer above covers all of it, so it is not kept.
    bytes: Option<u64>,
    created_by: String,
    images: usize,
    /// Of images that end here.
    names: Vec<String>,
    children: Vec<usize>,
}

/// All of them; the roots first know their children.
#[derive(Debug, Default, PartialEq, Eq)]
struct Forest {
    nodes: Vec<Node>,
    roots: Vec<usize>,
}

/// What is known of an image here.
struct Stack {
    names: Vec<String>,
    /// Lowest first: digest, bytes, and what made it.
    layers: Vec<(Digest, Option<u64>, String)>,
}

/// A line of the tree.
struct Line<'a> {
    node: &'a Node,
    /// What is drawn before it.
    branch: String,
    whole: bool,
}

/// Prints it, the images in the order in which they came.
pub(crate) fn tree(context: &Context, args: &TreeArgs) -> Result<ExitCode> {
    let format = Format::new::<Line<'_>>(args.format.asked(), &TABLE)?;
    let store = image::Store::open_existing(&context.dirs.image()).context("cannot open the image store")?;
    let mut wanted = Vec::new();
    for name in &args.images {
        let store = store.as_ref().ok_or_else(|| image::ResolveError::NotFound(name.clone()))?;
        wanted.push(store.resolve(name)?.id);
    }
    let usage = store
        .map(|store| store.usage())
        .transpose()
        .context("cannot look at the images")?
        .unwrap_or_default();
    let stacks: Vec<Stack> = (usage.images.iter())
        .filter(|image| wanted.is_empty() || wanted.contains(&image.id))
        .map(|image| Stack { names: names(image), layers: layers(&usage, image) })
        .collect();
    let forest = Forest::grow(&stacks);
    output::print(format.text(&forest.lines(args.no_trunc))?.as_bytes())?;
    Ok(ExitCode::Success)
}

fn names(image: &Image) -> Vec<String> {
    let mut names: Vec<String> = image.tags.iter().map(image::Reference::familiar).collect();
    if names.is_empty() {
        names.push(
            image.pinned.first().map_or_else(|| image.id.hex()[..12].to_owned(), image::Reference::familiar),
        );
    }
    names
}

fn layers(usage: &image::Usage, image: &Image) -> Vec<(Digest, Option<u64>, String)> {
    let mut made = made_by(image).into_iter();
    usage.layers(image).into_iter().map(|(id, bytes)| (id, bytes, made.next().unwrap_or_default())).collect()
}

/// The command that made each layer, as far as the image tells.
pub(super) fn made_by(image: &Image) -> Vec<String> {
    let history = image.config.history().iter().flatten().filter(|step| step.empty_layer() != Some(true));
    history.map(|step| step.created_by().clone().unwrap_or_default()).collect()
}

impl Forest {
    /// Grown from the images, one after the other. PURE.
    fn grow(stacks: &[Stack]) -> Forest {
        let mut forest = Forest::default();
        for stack in stacks {
            let mut at: Option<usize> = None;
            for (digest, bytes, created_by) in &stack.layers {
                let layer = digest.to_string();
                let siblings = at.map_or(&forest.roots, |at| &forest.nodes[at].children);
                let known = siblings.iter().copied().find(|node| forest.nodes[*node].layer == layer);
                let node = known.unwrap_or_else(|| {
                    let parent = at.map(|at| forest.nodes[at].chain.clone()).unwrap_or_default();
                    let chain = chained(&parent, &layer);
                    let depth = at.map_or(0, |at| forest.nodes[at].depth + 1);
                    let (bytes, created_by) = (*bytes, created_by.clone());
                    forest.nodes.push(Node {
                        chain,
                        parent,
                        depth,
                        layer,
                        bytes,
                        created_by,
                        ..Node::default()
                    });
                    let node = forest.nodes.len() - 1;
                    match at {
                        Some(at) => forest.nodes[at].children.push(node),
                        None => forest.roots.push(node),
                    }
                    node
                });
                forest.nodes[node].images += 1;
                at = Some(node);
            }
            if let Some(at) = at {
                forest.nodes[at].names.extend(stack.names.iter().cloned());
            }
        }
        forest
    }

    /// From the roots up, each branch to its end before the next.
    fn lines(&self, whole: bool) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        // A node, what is drawn before those below it, and whether another follows on the same branch.
        let mut todo: Vec<(usize, String, Option<bool>)> =
            self.roots.iter().rev().map(|root| (*root, String::new(), None)).collect();
        while let Some((at, before, follows)) = todo.pop() {
            let node = &self.nodes[at];
            let (own, below) = match follows {
                None => ("", ""),
                Some(true) => ("├─ ", "│  "),
                Some(false) => ("└─ ", "   "),
            };
            // A layer alone on another is no branch: it stands right below it.
            let below = format!("{before}{below}");
            lines.push(Line { node, branch: format!("{before}{own}"), whole });
            let last = node.children.last().copied();
            let forks = node.children.len() > 1;
            todo.extend(node.children.iter().rev().map(|child| match forks {
                true => (*child, below.clone(), Some(Some(*child) != last)),
                false => {
                    (*child, below.clone(), Some(false).filter(|_| follows.is_none() && before.is_empty()))
                }
            }));
        }
        lines
    }
}

fn chained(parent: &str, layer: &str) -> String {
    if parent.is_empty() {
        return layer.to_owned();
    }
    let mut hasher = Hasher::default();
    hasher.update(format!("{parent} {layer}").as_bytes());
    hasher.finish().to_string()
}

impl Row for Line<'_> {
    const KIND: &'static str = "layer";
    const COLUMNS: &'static [(&'static str, &'static str)] = &[
        ("Chain", "CHAIN"),
        ("CreatedBy", "CREATED BY"),
        ("Depth", "DEPTH"),
        ("Images", "IMAGES"),
        ("Layer", "LAYER"),
        ("Names", "NAMES"),
        ("Parent", "PARENT"),
        ("Size", "SIZE"),
        ("Tree", "LAYER"),
    ];

    fn column(&self, name: &str) -> Option<Json> {
        let node = self.node;
        let short = |digest: &str| digest.get(7..19).unwrap_or(digest).to_owned();
        Some(match name {
            "Chain" => node.chain.clone().into(),
            "CreatedBy" => {
                let command = visible(&node.created_by);
                if self.whole { command } else { table::shortened(&command, COMMAND) }.into()
            }
            "Depth" => node.depth.into(),
            "Images" => node.images.to_string().into(),
            "Layer" => node.layer.clone().into(),
            "Names" => node.names.join(", ").into(),
            "Parent" => node.parent.clone().into(),
            "Size" => node.bytes.map_or_else(|| "-".to_owned(), size::decimal_to_four).into(),
            "Tree" => {
                format!("{}{}", self.branch, if self.whole { node.layer.clone() } else { short(&node.layer) })
                    .into()
            }
            _ => return None,
        })
    }

    fn in_json(&self, name: &str) -> Option<Json> {
        Some(match name {
            "Names" => self.node.names.clone().into(),
            "Size" => self.node.bytes.into(),
            "Images" => self.node.images.into(),
            "CreatedBy" => self.node.created_by.clone().into(),
            // A drawing is for people.
            "Tree" => self.branch.clone().into(),
            name => return self.column(name),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        let mut hasher = Hasher::default();
        hasher.update(text.as_bytes());
        hasher.finish()
    }

    fn stack(name: &str, layers: &[&str]) -> Stack {
        let layers =
            layers.iter().map(|layer| (digest(layer), Some(layer.len() as u64), String::new())).collect();
        Stack { names: vec![name.to_owned()], layers }
    }

    #[test]
    fn shared_layers_are_one_and_branches_are_drawn() {
        let forest = Forest::grow(&[
            stack("base", &["base"]),
            stack("one", &["base", "a", "b"]),
            stack("two", &["base", "c", "d"]),
            stack("other", &["x", "base"]),
            stack("again", &["base", "a", "b"]),
        ]);
        let drawn: Vec<String> = forest
            .lines(false)
            .iter()
            .map(|line| {
                format!(
                    "{}{} {} {}",
                    line.branch,
                    line.node.bytes.unwrap(),
                    line.node.images,
                    line.node.names.join(",")
                )
            })
            .collect();
        assert_eq!(
            drawn,
            ["4 4 base", "├─ 1 2 ", "│  1 2 one,again", "└─ 1 1 ", "   1 1 two", "1 1 ", "└─ 4 1 other",]
        );
        let top = forest.nodes.iter().find(|node| node.names == ["two"]).unwrap();
        let [base, c, d] = ["base", "c", "d"].map(digest);
        let below = digest(&format!("{base} {c}")).to_string();
        assert_eq!((&top.parent, top.depth), (&below, 2));
        assert_eq!(top.chain, digest(&format!("{below} {d}")).to_string());
    }
}
