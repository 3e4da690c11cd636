//! A template carried out on a value. PURE.

use std::ops::Range;

use super::TemplateError;
use super::parser::{Branch, Command, Node, Operand, Pipe, What};
use super::shape::Nothing;
use super::value::Value;

/// A template that is being carried out.
pub(super) struct Run<'a> {
    pub(super) source: &'a str,
    /// `$` and what was given a name, the latest last.
    pub(super) variables: Vec<(String, Value<'a>)>,
    pub(super) out: String,
    /// Headings are printed, not what stands below them.
    pub(super) headings: bool,
}

/// How a list of nodes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    On,
    Break,
    Continue,
}

impl<'a> Run<'a> {
    fn error(&self, place: usize, span: &Range<usize>, what: impl Into<String>) -> TemplateError {
        TemplateError::execute(self.source, place, span.clone(), what)
    }

    /// Carries nodes out on `dot`.
    ///
    /// # Errors
    /// In Go's words; what was printed before stays in `out`.
    pub(super) fn nodes(&mut self, nodes: &[Node], dot: &Value<'a>) -> Result<Flow, TemplateError> {
        for node in nodes {
            let known = self.variables.len();
            let flow = match node {
                Node::Text(text) => {
                    self.out.push_str(text);
                    continue;
                }
                Node::Action(pipe) => {
                    let value = self.pipe(pipe, dot)?;
                    if pipe.names.is_empty() {
                        self.out += &value.text();
                    }
                    continue;
                }
                Node::Break => return Ok(Flow::Break),
                Node::Continue => return Ok(Flow::Continue),
                Node::If(branch) => match self.pipe(&branch.pipe, dot)?.truth() {
                    true => self.nodes(&branch.body, dot)?,
                    false => self.nodes(&branch.otherwise, dot)?,
                },
                Node::With(branch) => {
                    let value = self.pipe(&branch.pipe, dot)?;
                    match value.truth() {
                        true => self.nodes(&branch.body, &value)?,
                        false => self.nodes(&branch.otherwise, dot)?,
                    }
                }
                Node::Range(branch) => self.range(branch, dot)?,
            };
            self.variables.truncate(known);
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn range(&mut self, branch: &Branch, dot: &Value<'a>) -> Result<Flow, TemplateError> {
        let Branch { pipe, body, otherwise } = branch;
        let known = self.variables.len();
        let value = self.pipe(pipe, dot)?;
        self.variables.truncate(known);
        let Some(entries) = value.entries() else {
            let span = span_of(pipe);
            let what = format!("range can't iterate over {}", value.text());
            return Err(self.error(span.start, &span, what));
        };
        if entries.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (key, value) in entries {
            let given = match pipe.names.as_slice() {
                [] => vec![],
                [one] => vec![(one, value.clone())],
                [first, second, ..] => vec![(first, key), (second, value.clone())],
            };
            for (name, value) in given {
                self.name(name, value, pipe.assigns);
            }
            let flow = self.nodes(body, &value)?;
            self.variables.truncate(known);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    /// Gives a name to a value, or another value to a name.
    fn name(&mut self, name: &str, value: Value<'a>, assigns: bool) {
        let known = self.variables.iter_mut().rev().find(|(known, _)| assigns && known == name);
        match known {
            Some(known) => known.1 = value,
            None => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipe(&mut self, pipe: &Pipe, dot: &Value<'a>) -> Result<Value<'a>, TemplateError> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(command, dot, value)?);
        }
        let value = value.unwrap_or(Value::Nothing(Nothing::Value));
        for name in &pipe.names {
            self.name(name, value.clone(), pipe.assigns);
        }
        Ok(value)
    }

    /// A function with its arguments, the last of them from the command before; or a value.
    fn command(
        &mut self,
        command: &Command,
        dot: &Value<'a>,
        before: Option<Value<'a>>,
    ) -> Result<Value<'a>, TemplateError> {
        let [first, rest @ ..] = command.operands.as_slice() else {
            return Ok(Value::Nothing(Nothing::Value));
        };
        if let What::Function(function) = &first.what {
            let count = rest.len() + usize::from(before.is_some());
            function.takes(count).map_err(|what| self.error(first.span.start, &first.span, what))?;
            let mut args = Vec::with_capacity(count);
            for operand in rest {
                let value = self.operand(operand, dot)?;
                // What decides it leaves the rest alone.
                let decides = match function.name {
                    "and" => !value.truth(),
                    "or" => value.truth(),
                    _ => false,
                };
                if decides {
                    return Ok(value);
                }
                args.push(value);
            }
            args.extend(before);
            if matches!(function.name, "and" | "or") {
                return Ok(args.pop().unwrap_or(Value::Nothing(Nothing::Value)));
            }
            if self.headings && function.spares_headings {
                return Ok(args.swap_remove(0));
            }
            let failed = |what| format!("error calling {}: {what}", function.name);
            return (function.run)(&args)
                .map_err(|what| self.error(command.span.start, &command.span, failed(what)));
        }
        if rest.is_empty() && before.is_none() {
            if let What::Nil = first.what {
                return Err(self.error(first.span.start, &first.span, "nil is not a command"));
            }
            return self.operand(first, dot);
        }
        let mut args =
            rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
        args.extend(before);
        self.method(first, dot, &args)
    }

    /// `.Label "key"`: a field that takes an argument.
    fn method(
        &mut self,
        operand: &Operand,
        dot: &Value<'a>,
        args: &[Value<'a>],
    ) -> Result<Value<'a>, TemplateError> {
        let Some(((name, _), before)) = operand.fields.split_last() else {
            let what = format!("can't give argument to non-function {}", &self.source[operand.span.clone()]);
            return Err(self.error(operand.span.start, &operand.span, what));
        };
        let mut value = self.begin(operand, dot)?;
        for (name, _) in before {
            value = value.field(name).map_err(|what| self.error(operand.place(), &operand.span, what))?;
        }
        let answer = match (&value, args) {
            (Value::Object(object), [argument]) => {
                argument.as_str().and_then(|argument| object.call(name, argument))
            }
            _ => None,
        };
        let no_method = || {
            self.error(operand.place(), &operand.span, format!("{name} is not a method but has arguments"))
        };
        answer.map(Value::from).ok_or_else(no_method)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value<'a>) -> Result<Value<'a>, TemplateError> {
        let mut value = self.begin(operand, dot)?;
        for (name, _) in &operand.fields {
            value = value.field(name).map_err(|what| self.error(operand.place(), &operand.span, what))?;
        }
        Ok(value)
    }

    /// An operand without its fields.
    fn begin(&mut self, operand: &Operand, dot: &Value<'a>) -> Result<Value<'a>, TemplateError> {
        Ok(match &operand.what {
            What::Dot => dot.clone(),
            What::Nil => Value::Nothing(Nothing::Pointer),
            What::Variable(name) => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                found.map(|(_, value)| value.clone()).unwrap_or(Value::Nothing(Nothing::Value))
            }
            What::Literal(value) => Value::from(value.clone()),
            What::Pipe(pipe) => self.pipe(pipe, dot)?,
            What::Function(function) => {
                // An argument: `printf "%s" println` calls it without any.
                function.takes(0).map_err(|what| self.error(operand.span.start, &operand.span, what))?;
                (function.run)(&[]).map_err(|what| self.error(operand.span.start, &operand.span, what))?
            }
        })
    }
}

fn span_of(pipe: &Pipe) -> Range<usize> {
    let spans = pipe.commands.first().zip(pipe.commands.last());
    spans.map_or(0..0, |(first, last)| first.span.start..last.span.end)
}
