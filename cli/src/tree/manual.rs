//! The tree as manual pages: one for every command that help lists, `mini-container-ls.1` and the like. PURE.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, roman};

use super::notes::{self, Note};
use super::path;

/// A page: the name of its file, and what it says.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) file: String,
    pub(crate) text: Vec<u8>,
}

/// The pages of a whole tree.
///
/// # Errors
/// None that a page in memory could have.
pub(crate) fn pages(tree: &Command) -> std::io::Result<Vec<Page>> {
    let mut pages = vec![page(tree, tree.get_version().unwrap_or_default())?];
    for command in tree.get_subcommands().filter(|command| !command.is_hide_set()) {
        for command in super::below(command) {
            pages.push(page(command, tree.get_version().unwrap_or_default())?);
        }
    }
    Ok(pages)
}

fn page(command: &Command, version: &str) -> std::io::Result<Page> {
    let name = page_name(path(command));
    let man = Man::new(command.clone()).title(&name).source(format!("mini {version}")).manual("mini");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let mut rest = Roff::new();
    for note in notes::notes(command) {
        section(&mut rest, &note);
    }
    text.extend(rest.render().into_bytes());
    Ok(Page { file: format!("{name}.1"), text })
}

/// A paragraph below the flags, as a section of its own.
fn section(roff: &mut Roff, Note { heading, lines }: &Note) {
    roff.control("SH", [heading.to_uppercase().as_str()]);
    match heading.as_str() {
        notes::EXAMPLES => {
            roff.control("nf", []);
            for line in lines {
                roff.text([roman(line)]);
            }
            roff.control("fi", []);
        }
        notes::SEE_ALSO => {
            let names = lines.iter().flat_map(|line| line.split(", ")).map(|name| name.trim_end_matches(','));
            let mut words: Vec<Inline> = Vec::new();
            for name in names {
                if !words.is_empty() {
                    words.push(roman(", "));
                }
                // `mini run --secret` is told on the page of `mini run`; `lsns(8)` is another's.
                let words_of_path = name.split(' ').take_while(|word| !word.starts_with('-'));
                let (page, number) = match name.split_once('(') {
                    Some((page, number)) => (page.to_owned(), format!("({number}")),
                    None => (page_name(&words_of_path.collect::<Vec<_>>().join(" ")), "(1)".to_owned()),
                };
                words.extend([bold(page), roman(number)]);
            }
            roff.text(words);
        }
        _ => {
            roff.text([roman(lines.join(" "))]);
        }
    }
}

/// `mini container ls` → `mini-container-ls`.
fn page_name(path: &str) -> String {
    path.replace(' ', "-")
}
