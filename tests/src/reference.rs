//! The command tree as `mini` itself tells it, and command lines as a shell takes them apart.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::Host;

/// Every command with its flags.
#[derive(Debug)]
pub struct Reference {
    /// In the order of the tree, `mini` itself first.
    pub commands: Vec<Command>,
}

/// One command.
#[derive(Debug, Clone)]
pub struct Command {
    /// `mini container ls`.
    pub path: String,
    /// Everything that is known of it.
    pub all: Value,
    /// Its flags and what stands on its own.
    pub arguments: Vec<Argument>,
}

/// A flag, or something that stands on its own.
#[derive(Debug, Clone)]
pub struct Argument {
    /// Everything that is known of it.
    pub all: Value,
}

impl Reference {
    /// Asks.
    #[track_caller]
    pub fn of(host: &Host) -> Self {
        let all = host.mini(["__generate", "reference"]).run().ok().json();
        let list = |value: &Value, key: &str| value[key].as_array().expect("a list").clone();
        let command = |all: Value| Command {
            path: all["path"].as_str().expect("a path").to_owned(),
            arguments: list(&all, "arguments").into_iter().map(|all| Argument { all }).collect(),
            all,
        };
        Self { commands: list(&all, "commands").into_iter().map(command).collect() }
    }

    /// The command that these words lead to, and what they leave.
    pub fn find<'a, 'w>(&'a self, words: &'w [String]) -> Option<(&'a Command, &'w [String])> {
        (1..=words.len().min(4)).rev().find_map(|count| {
            let path = words[..count].join(" ");
            let found = self.commands.iter().find(|command| command.names().contains(&path));
            found.map(|command| (command, &words[count..]))
        })
    }

    /// Commands that do something: no groups.
    pub fn leaves(&self) -> impl Iterator<Item = &Command> {
        self.commands.iter().filter(|command| command.all["group"] == false)
    }
}

impl Command {
    /// Every path that leads to it.
    fn names(&self) -> Vec<String> {
        let group = self.path.rsplit_once(' ').map(|(group, _)| group);
        let aliases = self.texts("aliases").into_iter().filter_map(|name| Some(format!("{} {name}", group?)));
        std::iter::once(self.path.clone()).chain(aliases).collect()
    }

    /// A list of texts.
    pub fn texts(&self, key: &str) -> Vec<String> {
        texts(&self.all[key])
    }

    /// The flag of that name, `--name` or `-n`.
    pub fn flag(&self, name: &str) -> Option<&Argument> {
        self.arguments.iter().find(|argument| argument.names().iter().any(|known| known == name))
    }

    /// Its own flags: not those of every command.
    pub fn flags(&self) -> impl Iterator<Item = &Argument> {
        let everywhere = ["help", "version", "root", "run_root"];
        self.arguments.iter().filter(move |argument| {
            argument.all["positional"] == false
                && !everywhere.contains(&argument.all["id"].as_str().unwrap_or_default())
        })
    }

    /// What it does, without where it stands: the same for a command and its longer name.
    pub fn identity(&self) -> String {
        let mut arguments: Vec<_> = self.arguments.iter().map(|argument| argument.all.to_string()).collect();
        arguments.sort();
        format!("{}{}{arguments:?}", self.all["summary"], self.all["examples"])
    }
}

impl Argument {
    /// Whether something is so.
    pub fn is(&self, key: &str) -> bool {
        self.all[key] == true
    }

    /// A list of texts.
    pub fn texts(&self, key: &str) -> Vec<String> {
        texts(&self.all[key])
    }

    /// `--name`, `-n` and the others.
    pub fn names(&self) -> Vec<String> {
        let long = self.all["long"].as_str().map(|long| format!("--{long}"));
        let short = self.all["short"].as_str().map(|short| format!("-{short}"));
        let aliases = self.texts("aliases").into_iter().map(|alias| format!("--{alias}"));
        long.into_iter().chain(short).chain(aliases).collect()
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// The simple commands of a line, each as its words without quotes: those of a pipe, and those inside `$(…)`.
pub fn commands(line: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' | '"' => {
                let inside: String = letters.by_ref().take_while(|inside| *inside != letter).collect();
                word.get_or_insert_default().push_str(&inside);
            }
            '$' if letters.peek() == Some(&'(') => {
                letters.next();
                let inside: String = letters.by_ref().take_while(|inside| *inside != ')').collect();
                all.extend(commands(&inside));
                word.get_or_insert_default().push_str("$()");
            }
            '|' | ';' | '&' => {
                words.extend(word.take());
                all.push(std::mem::take(&mut words));
            }
            letter if letter.is_whitespace() => words.extend(word.take()),
            letter => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    all.push(words);
    all.retain(|words| !words.is_empty());
    all
}

/// The flags of a command line that stand before what is the program's: each with the text of its value where it has one.
///
/// # Errors
/// The first that the command does not have.
pub fn flags_of<'a>(command: &'a Command, words: &[String]) -> Result<Vec<&'a Argument>, String> {
    let mut found = Vec::new();
    // What stands behind an image, or behind a container, may be a program's.
    let ends = command.arguments.iter().any(|argument| argument.is("takes_the_rest"));
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if !word.starts_with('-') || word == "-" {
            if ends {
                break;
            }
            continue;
        }
        let known = |name: &str| command.flag(name).ok_or_else(|| format!("{} {name}", command.path));
        if word.starts_with("--") {
            let (name, value) =
                word.split_once('=').map_or((&**word, None), |(name, value)| (name, Some(value)));
            let flag = known(name)?;
            if flag.is("takes_value") && value.is_none() && !flag.is("needs_equals") {
                words.next();
            }
            found.push(flag);
            continue;
        }
        for (at, letter) in word.char_indices().skip(1) {
            let flag = known(&format!("-{letter}"))?;
            found.push(flag);
            if flag.is("takes_value") {
                if at + letter.len_utf8() == word.len() {
                    words.next();
                }
                break;
            }
        }
    }
    Ok(found)
}

/// Names of several commands in one text.
pub fn listed(paths: &BTreeSet<String>) -> String {
    paths.iter().cloned().collect::<Vec<_>>().join("\n  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_apart_as_in_a_shell() {
        let words = |line: &str| commands(line).iter().map(|words| words.join("·")).collect::<Vec<_>>();
        assert_eq!(words("mini rm -f $(mini ps -aq)"), ["mini·ps·-aq", "mini·rm·-f·$()"]);
        assert_eq!(words("docker save x | mini load"), ["docker·save·x", "mini·load"]);
        assert_eq!(words("mini ps --format '{{.ID}} | x' \"a b\""), ["mini·ps·--format·{{.ID}} | x·a b"]);
    }
}
