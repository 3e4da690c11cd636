//! From tokens to a tree: text, actions, and what is carried out sometimes or several times. PURE.

use std::ops::Range;

use serde_json::Value as Json;

use super::TemplateError;
use super::functions::{self, Function};
use super::lexer::{self, Kind, Token};

/// A part of a template.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// Printed as it is.
    Text(String),
    /// What comes of it is printed, unless it is given a name.
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Break,
    Continue,
}

/// `{{if}}`, `{{with}}`, `{{range}}`.
#[derive(Debug, Clone)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// `$x := .A | upper`
#[derive(Debug, Clone)]
pub(super) struct Pipe {
    /// Names that are given to what comes of it.
    pub(super) names: Vec<String>,
    /// The names exist already.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Command>,
}

/// A function with its arguments, or a value.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) operands: Vec<Operand>,
    pub(super) span: Range<usize>,
}

/// One word of a command.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) what: What,
    /// `.A.B` of it, each with its place.
    pub(super) fields: Vec<(String, usize)>,
    pub(super) span: Range<usize>,
}

/// What an operand begins with.
#[derive(Debug, Clone)]
pub(super) enum What {
    Dot,
    Nil,
    Variable(String),
    Function(&'static Function),
    Literal(Json),
    Pipe(Box<Pipe>),
}

impl Operand {
    /// Where Go says that it is: at the field that does not fit.
    pub(super) fn place(&self) -> usize {
        let first = usize::from(matches!(self.what, What::Dot));
        self.fields.get(first).map_or(self.span.start, |(_, place)| *place)
    }
}

/// Deeper than any template that a person writes, and less than a stack holds.
const DEPTH_MAX: usize = 100;

/// Understands a template.
///
/// # Errors
/// In Go's words, with the line.
pub(super) fn parse(source: &str) -> Result<Vec<Node>, TemplateError> {
    let tokens = lexer::tokens(source)?;
    let mut parser = Parser {
        source,
        tokens: &tokens,
        at: 0,
        variables: vec![String::new()],
        depth: 0,
        parens: 0,
        loops: 0,
    };
    let (nodes, end) = parser.list()?;
    match end {
        End::Text => Ok(nodes),
        End::Closed => Err(parser.error("unexpected {{end}}")),
        End::Else => Err(parser.error("unexpected {{else}}")),
    }
}

/// What ends a list of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The template's own end.
    Text,
    /// `{{end}}`
    Closed,
    /// `{{else`, with whatever follows it.
    Else,
}

struct Parser<'a> {
    source: &'a str,
    tokens: &'a [Token],
    at: usize,
    /// Those that are known here; the first is `$`.
    variables: Vec<String>,
    depth: usize,
    /// How many parentheses are open.
    parens: usize,
    /// How many `{{range}}` are around.
    loops: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn next(&mut self) -> Option<&'a Token> {
        let token = self.tokens.get(self.at);
        self.at += 1;
        token
    }

    /// Takes the next token where it is this one.
    fn take(&mut self, kind: &Kind) -> bool {
        let found = self.peek() == Some(kind);
        self.at += usize::from(found);
        found
    }

    fn error(&self, what: impl Into<String>) -> TemplateError {
        let last = self.tokens.get(self.at.saturating_sub(1)).or(self.tokens.last());
        TemplateError::parse(self.source, last.map_or(0, |token| token.start), what)
    }

    fn deeper(&mut self) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(self.error("nested too deeply")) } else { Ok(()) }
    }

    /// Nodes up to what ends them.
    fn list(&mut self) -> Result<(Vec<Node>, End), TemplateError> {
        self.deeper()?;
        let mut nodes = Vec::new();
        let end = loop {
            let Some(token) = self.next() else { break End::Text };
            if let Kind::Text(text) = &token.kind {
                nodes.push(Node::Text(text.clone()));
                continue;
            }
            match self.peek() {
                Some(Kind::Word(word)) => match word.as_str() {
                    "end" => {
                        self.at += 1;
                        self.close("end")?;
                        break End::Closed;
                    }
                    "else" => {
                        self.at += 1;
                        break End::Else;
                    }
                    _ => nodes.push(self.keyword(word)?),
                },
                _ => nodes.push(self.action()?),
            }
        };
        self.depth -= 1;
        Ok((nodes, end))
    }

    /// An action that begins with a word.
    fn keyword(&mut self, word: &str) -> Result<Node, TemplateError> {
        match word {
            "if" | "with" | "range" => {
                self.at += 1;
                self.branch(word)
            }
            "break" | "continue" => {
                self.at += 1;
                if self.loops == 0 {
                    return Err(self.error(format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.close(word)?;
                Ok(if word == "break" { Node::Break } else { Node::Continue })
            }
            "define" | "template" | "block" => Err(self.error(format!("{{{{{word}}}}} is not supported"))),
            _ => self.action(),
        }
    }

    fn close(&mut self, context: &str) -> Result<(), TemplateError> {
        if self.take(&Kind::Close) {
            Ok(())
        } else {
            Err(self.error(format!("unexpected word in {context}")))
        }
    }

    fn action(&mut self) -> Result<Node, TemplateError> {
        let pipe = self.pipe("command", 1)?;
        self.close("command")?;
        Ok(Node::Action(pipe))
    }

    /// `{{if …}} … {{else}} … {{end}}`, without its first word.
    fn branch(&mut self, word: &str) -> Result<Node, TemplateError> {
        let known = self.variables.len();
        let pipe = self.pipe(word, if word == "range" { 2 } else { 1 })?;
        self.close(word)?;
        self.loops += usize::from(word == "range");
        let (body, end) = self.list()?;
        self.loops -= usize::from(word == "range");
        let otherwise = match end {
            End::Closed => Vec::new(),
            End::Text => return Err(self.error("unexpected EOF")),
            End::Else => self.otherwise(word)?,
        };
        self.variables.truncate(known);
        let branch = Branch { pipe, body, otherwise };
        Ok(match word {
            "if" => Node::If(branch),
            "with" => Node::With(branch),
            _ => Node::Range(branch),
        })
    }

    /// What follows `{{else`; `else if` and `else with` share the one `{{end}}`.
    fn otherwise(&mut self, word: &str) -> Result<Vec<Node>, TemplateError> {
        if let Some(Kind::Word(next)) = self.peek()
            && next == word
            && word != "range"
        {
            self.at += 1;
            self.deeper()?;
            let nested = self.branch(word)?;
            self.depth -= 1;
            return Ok(vec![nested]);
        }
        if !self.take(&Kind::Close) {
            return Err(self.error("unexpected word in {{else}}"));
        }
        match self.list()? {
            (nodes, End::Closed) => Ok(nodes),
            (_, End::Else) => Err(self.error("expected end; found {{else}}")),
            (_, End::Text) => Err(self.error("unexpected EOF")),
        }
    }

    /// Commands up to what closes them, which stays; at most so many names.
    fn pipe(&mut self, context: &str, most: usize) -> Result<Pipe, TemplateError> {
        let (names, assigns) = self.names(most)?;
        let mut commands = Vec::new();
        while let Some(command) = self.command()? {
            commands.push(command);
            if !self.take(&Kind::Pipe) {
                break;
            }
        }
        if commands.is_empty() {
            return Err(match self.peek() {
                Some(Kind::Pipe) => self.error("unexpected \"|\" in command"),
                _ => self.error(format!("missing value for {context}")),
            });
        }
        // A name is known from here on, not in what it is given to.
        if !assigns {
            self.variables.extend(names.iter().cloned());
        }
        Ok(Pipe { names, assigns, commands })
    }

    /// `$x :=`, `$i, $x :=`, `$x =`; nothing where a pipe has none.
    fn names(&mut self, most: usize) -> Result<(Vec<String>, bool), TemplateError> {
        let begin = self.at;
        let mut names = Vec::new();
        while let Some(Kind::Variable(name)) = self.peek() {
            names.push(name.clone());
            self.at += 1;
            if !self.take(&Kind::Comma) {
                break;
            }
        }
        let assigns = self.peek() == Some(&Kind::Assign);
        if names.is_empty() || !(assigns || self.peek() == Some(&Kind::Declare)) {
            self.at = begin;
            return Ok((Vec::new(), false));
        }
        self.at += 1;
        if names.len() > most {
            return Err(self.error("too many declarations in command"));
        }
        if assigns {
            names.iter().try_for_each(|name| self.known(name))?;
        }
        Ok((names, assigns))
    }

    fn known(&self, name: &str) -> Result<(), TemplateError> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        Err(self.error(format!("undefined variable \"${name}\"")))
    }

    /// `None` where there is no operand.
    fn command(&mut self) -> Result<Option<Command>, TemplateError> {
        let mut operands: Vec<Operand> = Vec::new();
        while let Some(operand) = self.operand()? {
            operands.push(operand);
        }
        let span = operands.first().zip(operands.last());
        Ok(span.map(|(first, last)| first.span.start..last.span.end).map(|span| Command { operands, span }))
    }

    fn operand(&mut self) -> Result<Option<Operand>, TemplateError> {
        let Some(token) = self.next() else { return Err(self.error("unclosed action")) };
        let (start, mut end) = (token.start, token.end);
        let mut fields = Vec::new();
        let what = match &token.kind {
            Kind::Dot => What::Dot,
            Kind::Field(name) => {
                fields.push((name.clone(), start));
                What::Dot
            }
            Kind::Variable(name) => {
                self.known(name)?;
                What::Variable(name.clone())
            }
            Kind::Literal(value) => What::Literal(value.clone()),
            Kind::Word(word) => match word.as_str() {
                "nil" => What::Nil,
                "true" => What::Literal(Json::Bool(true)),
                "false" => What::Literal(Json::Bool(false)),
                word => What::Function(functions::find(word).map_err(|what| self.error(what))?),
            },
            Kind::LeftParen => {
                self.deeper()?;
                self.parens += 1;
                let pipe = self.pipe("parenthesized pipeline", 0)?;
                self.parens -= 1;
                self.depth -= 1;
                if !self.take(&Kind::RightParen) {
                    return Err(self.error("unclosed left paren"));
                }
                end = self.tokens[self.at - 1].end;
                What::Pipe(Box::new(pipe))
            }
            Kind::RightParen if self.parens == 0 => return Err(self.error("unexpected right paren")),
            Kind::Comma => return Err(self.error("unexpected \",\" in operand")),
            Kind::Declare | Kind::Assign => return Err(self.error("unexpected \"=\" in operand")),
            Kind::Close | Kind::RightParen | Kind::Pipe | Kind::Open | Kind::Text(_) => {
                self.at -= 1;
                return Ok(None);
            }
        };
        while let Some(Token { kind: Kind::Field(name), start, end: behind, glued: true }) =
            self.tokens.get(self.at)
        {
            fields.push((name.clone(), *start));
            end = *behind;
            self.at += 1;
        }
        if let Some(Token { kind: Kind::Dot, glued: true, .. }) = self.tokens.get(self.at) {
            return Err(self.error("unexpected <.> in operand"));
        }
        Ok(Some(Operand { what, fields, span: start..end }))
    }
}
