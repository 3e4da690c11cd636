//! Go's text/template, as far as docker's `--format` needs it, evaluated over JSON. PURE.
//!
//! ```text
//! {{.Name}} {{.A.B}} {{.Label "key"}} {{$x := .A}} {{$x}}    fields, methods, variables
//! {{upper .Name}} {{.Name | printf "%-10s"}} {{(index .A 0).B}}    functions, pipelines, parentheses
//! {{if}} {{else if}} {{with}} {{range $i, $v := .A}} {{break}} {{end}}    branches and loops
//! {{- .Name -}} {{/* a comment */}}    white space and comments
//! ```
//!
//! Left out, and refused by name: `define`, `template`, `block`, `call`, `html`, `js`, `urlquery`. Errors are in Go's words:
//! scripts and people know them.

mod eval;
mod functions;
mod lexer;
mod parser;
mod printf;
mod shape;
mod value;

use std::ops::Range;

use self::eval::Run;
use self::parser::{Node, Operand, Pipe, What};
pub(crate) use self::printf::quoted;
pub(crate) use self::value::{Object, Value};

/// A template that was understood.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    source: String,
    nodes: Vec<Node>,
}

/// Why a template cannot be understood, or carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    /// It makes no sense.
    #[error("template: :{line}: {what}")]
    Parse {
        /// From 1.
        line: usize,
        /// In Go's words.
        what: String,
    },
    /// It does not fit the value.
    #[error("template: :{line}:{column}: executing \"\" at <{at}>: {what}")]
    Execute {
        /// From 1.
        line: usize,
        /// From 0, bytes.
        column: usize,
        /// The part of the template that does not fit.
        at: String,
        /// In Go's words.
        what: String,
    },
}

impl TemplateError {
    fn parse(source: &str, place: usize, what: impl Into<String>) -> TemplateError {
        TemplateError::Parse { line: line_and_column(source, place).0, what: what.into() }
    }

    fn execute(source: &str, place: usize, span: Range<usize>, what: impl Into<String>) -> TemplateError {
        let (line, column) = line_and_column(source, place);
        TemplateError::Execute { line, column, at: source[span].to_owned(), what: what.into() }
    }
}

fn line_and_column(source: &str, place: usize) -> (usize, usize) {
    let before = &source[..source.floor_char_boundary(place)];
    (before.matches('\n').count() + 1, before.len() - before.rfind('\n').map_or(0, |at| at + 1))
}

/// A field of the value that a template is carried out on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column<'a> {
    pub(crate) name: &'a str,
    place: usize,
    span: Range<usize>,
}

impl Template {
    /// Understands a template.
    ///
    /// # Errors
    /// [`TemplateError::Parse`].
    pub(crate) fn parse(source: &str) -> Result<Template, TemplateError> {
        Ok(Template { nodes: parser::parse(source)?, source: source.to_owned() })
    }

    /// Carries it out.
    ///
    /// # Errors
    /// [`TemplateError::Execute`].
    pub(crate) fn render(&self, value: &Value<'_>) -> Result<String, TemplateError> {
        let (text, result) = self.run(value, false);
        result.map(|()| text)
    }

    /// Carries it out on the headings of columns, for the first line of a table. What cannot be done with a heading ends the
    /// line, as docker has it.
    pub(crate) fn heading(&self, headings: &dyn Object) -> String {
        self.run(&Value::Object(headings), true).0
    }

    fn run(&self, value: &Value<'_>, headings: bool) -> (String, Result<(), TemplateError>) {
        let variables = vec![(String::new(), value.clone())];
        let mut run = Run { source: &self.source, variables, out: String::new(), headings };
        let result = run.nodes(&self.nodes, value);
        (run.out, result.map(drop))
    }

    /// The fields that it asks its value for, as far as they can be seen before it is carried out.
    pub(crate) fn columns(&self) -> Vec<Column<'_>> {
        let mut found = Vec::new();
        of_nodes(&self.nodes, true, &mut found);
        found
    }

    /// That there is no such field.
    pub(crate) fn unknown(&self, column: &Column<'_>, kind: &str) -> TemplateError {
        let what = format!("can't evaluate field {} in type {kind}", column.name);
        TemplateError::execute(&self.source, column.place, column.span.clone(), what)
    }
}

/// `whole`: the dot is still the value that the template is carried out on.
fn of_nodes<'a>(nodes: &'a [Node], whole: bool, found: &mut Vec<Column<'a>>) {
    for node in nodes {
        match node {
            Node::Text(_) | Node::Break | Node::Continue => {}
            Node::Action(pipe) => of_pipe(pipe, whole, found),
            Node::If(branch) | Node::With(branch) | Node::Range(branch) => {
                of_pipe(&branch.pipe, whole, found);
                of_nodes(&branch.body, whole && matches!(node, Node::If(_)), found);
                of_nodes(&branch.otherwise, whole, found);
            }
        }
    }
}

fn of_pipe<'a>(pipe: &'a Pipe, whole: bool, found: &mut Vec<Column<'a>>) {
    for Operand { what, fields, span } in pipe.commands.iter().flat_map(|command| &command.operands) {
        let of_value = match what {
            What::Dot => whole,
            What::Variable(name) => name.is_empty(),
            What::Pipe(pipe) => {
                of_pipe(pipe, whole, found);
                false
            }
            _ => false,
        };
        if let (true, Some((name, place))) = (of_value, fields.first()) {
            found.push(Column { name, place: *place, span: span.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A container, as docker's API tells it.
    fn container() -> serde_json::Value {
        json!({
            "Id": "3f2a9c81", "Name": "/web",
            "State": { "Status": "running", "Running": true, "Pid": 12 },
            "Config": { "Labels": { "a": "1" }, "Env": ["A=1", "B=2"], "Entrypoint": null, "Volumes": null },
            "NetworkSettings": {
                "Networks": { "bridge": { "IPAddress": "172.17.0.2", "IPAMConfig": null } },
                "Ports": { "80/tcp": [{ "HostIp": "0.0.0.0", "HostPort": "8080" }] },
            },
            "HostConfig": {
                "Memory": 67_108_864, "PidsLimit": null,
                "LogConfig": { "Type": "json-file", "Config": { "max-size": "10m" } },
            },
        })
    }

    fn on_container(template: &str) -> Result<String, TemplateError> {
        let container = container();
        Template::parse(template)?.render(&Value::from(&container))
    }

    /// What docker 28 prints for a container of the same content.
    #[test]
    fn templates_print_what_gos_print() {
        for (template, expected) in [
            ("{{.Name}}", "/web"),
            ("{{.Config.Labels.zz}}", "<no value>"),
            ("{{index .Config.Labels \"zz\"}}|", "|"),
            ("{{index .Config.Labels \"a\"}}", "1"),
            ("{{.NetworkSettings.Networks.zz.IPAddress}}", "<no value>"),
            ("{{.NetworkSettings.Networks.bridge.IPAddress}}", "172.17.0.2"),
            ("{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "172.17.0.2"),
            (
                "{{range $k, $v := .NetworkSettings.Ports}}{{$k}} {{(index $v 0).HostPort}}{{end}}",
                "80/tcp 8080",
            ),
            ("{{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}", "8080"),
            ("{{index .NetworkSettings.Ports \"80/tcp\" 0 \"HostPort\"}}", "8080"),
            ("{{.Config.Env}} {{.Config.Entrypoint}} {{.Config.Volumes}}", "[A=1 B=2] [] map[]"),
            ("{{.HostConfig.PidsLimit}} {{.State.Health}} {{.Config.Healthcheck}}", "<nil> <nil> <nil>"),
            (
                "{{.HostConfig.LogConfig.Config}} {{index .HostConfig.LogConfig.Config \"x\"}}|",
                "map[max-size:10m] |",
            ),
            (
                "{{json .Config.Entrypoint}} {{json .Config.Env}} {{json \"a<b>\"}}",
                "null [\"A=1\",\"B=2\"] \"a<b>\"",
            ),
            (
                "{{len .Config.Env}} {{len .Config.Entrypoint}} {{len .Config.Volumes}} {{len \"é\"}}",
                "2 0 0 2",
            ),
            ("{{join .Config.Env \",\"}}", "A=1,B=2"),
            ("{{.HostConfig.Memory}}", "67108864"),
            (
                "{{range $i, $e := .Config.Env}}{{if $i}}, {{end}}{{$i}}={{$e}}{{else}}none{{end}}",
                "0=A=1, 1=B=2",
            ),
            ("{{range .Config.Entrypoint}}x{{else}}none{{end}}", "none"),
            ("{{with .Config.Entrypoint}}x{{else}}none{{end}}", "none"),
            ("{{with .Config.Entrypoint}}a{{else with .Name}}{{.}}{{end}}", "/web"),
            ("{{if eq .Name \"a\"}}1{{else if eq .Name \"/web\"}}2{{else}}3{{end}}", "2"),
            ("{{with .Config}}{{len .Env}}{{$.Name}}{{end}}", "2/web"),
            ("{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}", "none"),
            (
                "{{eq .State.Pid 12}} {{eq .State.Status \"a\" \"running\"}} {{eq 1 2 1}} {{ne 1 2}}",
                "true true true true",
            ),
            ("{{eq nil nil}} {{eq .State.Health nil}} {{eq .Config.Entrypoint nil}}", "true true true"),
            (
                "{{lt 1 2}} {{lt \"a\" \"b\"}} {{le 2 2}} {{gt 1.5 1.2}} {{ge 3 2}}",
                "true true true true true",
            ),
            (
                "{{not .State.Running}} {{or \"\" \"x\"}} {{and 1 0}} {{and 1 \"\" 2}}|{{or true .Foo}}",
                "false x 0 |true",
            ),
            ("{{print 1 2 \"a\" \"b\" 3}}|{{println \"x\" 1}}|{{print nil}}", "1 2ab3|x 1\n|<nil>"),
            (
                "{{.Name | upper | printf \"%s!\"}} {{.Config.Env | len | printf \"%d items\"}}",
                "/WEB! 2 items",
            ),
            ("{{split \"a,b\" \",\"}} {{join (split \"a,b\" \",\") \"-\"}}", "[a b] a-b"),
            ("{{title \"hELLO wORLD-foo_bar x.y\"}} {{lower \"ABC\"}}", "HELLO WORLD-Foo_bar X.Y abc"),
            ("{{truncate \"abcdef\" 3}} {{truncate \"ab\" 5}}", "abc ab"),
            ("{{pad \"x\" 2 2}}|{{pad \"\" 2 2}}|", "  x  ||"),
            ("{{slice \"abcdef\" 1 3}} {{slice .Config.Env 1}}", "bc [B=2]"),
            ("{{index \"abc\" 1}} {{(.Name)}} {{(.Config).Env}} {{($).Name}}", "98 /web [A=1 B=2] /web"),
            ("{{$x := \"v\"}}{{$x}}{{$x = \"w\"}}{{$x}}", "vw"),
            ("{{$a := 1}}{{if true}}{{$a = 2}}{{$b := 3}}{{end}}{{$a}}", "2"),
            ("{{range 3}}{{.}}{{end}} {{range $i := 3}}{{$i}}{{end}}", "012 012"),
            (
                "{{range .Config.Env}}{{.}}{{break}}{{end}} {{range .Config.Env}}{{continue}}{{.}}{{end}}|",
                "A=1 |",
            ),
            ("{{range 2}}{{if true}}{{break}}{{end}}x{{end}}|", "|"),
            ("{{- \"trim\" -}}   x", "trimx"),
            ("{{- /* a comment */ -}} c {{/* another */}}", "c "),
            ("{{with $x := 3}}{{$x}}{{end}}{{.Name}}{{/* c */}}{{- /* d */ -}}!", "3/web!"),
            ("a}}b{{\"}}\"}}{{\n.Name\n}}", "a}}b}}/web"),
            (
                "{{ 1e21 }} {{ 100000000.0 }} {{ 0.000001 }} {{ 1e3 }} {{ 123456.0 }} {{ .5 }}",
                "1e+21 1e+08 1e-06 1000 123456 0.5",
            ),
        ] {
            assert_eq!(on_container(template).as_deref(), Ok(expected), "{template}");
        }
    }

    /// What docker 28 prints.
    #[test]
    fn verbs_are_gos() {
        for (template, expected) in [
            (r#"{{printf "%s-%d-%v-%q" "a" 3 true "b\"c"}}"#, r#"a-3-true-"b\"c""#),
            (
                r#"{{printf "%d" "x"}} {{printf "%s" 3}} {{printf "%d"}} {{printf "x" 1}}"#,
                "%!d(string=x) %!s(int=3) %!d(MISSING) x%!(EXTRA int=1)",
            ),
            (r#"{{printf "%5d|%-5s|%05d|%.2f|%x" 3 "a" 42 3.14159 "hi"}}"#, "    3|a    |00042|3.14|6869"),
            (
                r#"{{printf "%-10s|%10s|%.3s|%+d|% d|%#x|%08.3f|%3c|%-4d|" "abc" "abc" "abcdef" 5 5 255 3.14159 65 7}}"#,
                "abc       |       abc|abc|+5| 5|0xff|0003.142|  A|7   |",
            ),
            (
                r#"{{printf "%*d|%-*d|%.*f" 5 1 5 2 2 3.14159}} {{printf "%[2]d %[1]d" 1 2}}"#,
                "    1|2    |3.14 2 1",
            ),
            (
                r#"{{printf "%x %X %x" "hello" "hello" 255}} {{printf "%o %b %O" 8 5 8}} {{printf "%U" 65}}"#,
                "68656c6c6f 68656C6C6F ff 10 101 0o10 U+0041",
            ),
            (
                r#"{{printf "%5s|" "é"}} {{printf "%q" "é\n\x01"}} {{printf "%t" 1}} {{printf "%T" 1}}"#,
                r#"    é| "é\n\x01" %!t(int=1) int"#,
            ),
            (
                r#"{{printf "%d" 3.5}} {{printf "%f" 3}} {{printf "%6d" -42}} {{printf "%06d" -42}}"#,
                "%!d(float64=3.5) %!f(int=3)    -42 -00042",
            ),
            (
                r#"{{printf "%v" 3.0}} {{printf "%v" 1234567.0}} {{printf "%g" 100000.0}} {{printf "%e" 0.0}}"#,
                "3 1.234567e+06 100000 0.000000e+00",
            ),
            (
                r#"{{printf "%6.2f|%e|%g" 3.14159 1234.5 1e21}} {{printf "%.3g %.3g" 1234.5 0.5}}"#,
                "  3.14|1.234500e+03|1e+21 1.23e+03 0.5",
            ),
            (
                r#"{{printf "%v %s %d %q" .Config.Env .Config.Env .Config.Env .Config.Env}}"#,
                r#"[A=1 B=2] [A=1 B=2] [%!d(string=A=1) %!d(string=B=2)] ["A=1" "B=2"]"#,
            ),
            (
                r#"{{printf "%v %v %s" .Config.Labels .HostConfig.PidsLimit .State.Running}}"#,
                "map[a:1] <nil> %!s(bool=true)",
            ),
            (
                r#"{{printf "%%"}} {{printf "%z" 1}} {{printf "%s %s" "a"}} {{printf "abc%"}}"#,
                "% %!z(int=1) a %!s(MISSING) abc%!(NOVERB)",
            ),
        ] {
            assert_eq!(on_container(template).as_deref(), Ok(expected), "{template}");
        }
    }

    /// What docker 28 says.
    #[test]
    fn what_makes_no_sense_is_told_in_gos_words() {
        for (template, expected) in [
            ("{{foo 1}}", "template: :1: function \"foo\" not defined"),
            ("{{html \"a\"}}", "template: :1: function \"html\" is not supported"),
            ("{{define \"x\"}}", "template: :1: {{define}} is not supported"),
            ("a\n\n{{$y}}", "template: :3: undefined variable \"$y\""),
            ("{{$x = 3}}", "template: :1: undefined variable \"$x\""),
            ("{{$a := 1}}{{if true}}{{$b := 3}}{{end}}{{$b}}", "template: :1: undefined variable \"$b\""),
            ("{{$x, $y := .Config.Env}}", "template: :1: too many declarations in command"),
            ("{{if .Foo}}", "template: :1: unexpected EOF"),
            ("{{end}}", "template: :1: unexpected {{end}}"),
            ("{{else}}", "template: :1: unexpected {{else}}"),
            ("{{if .Name}}a{{else}}b{{else}}c{{end}}", "template: :1: expected end; found {{else}}"),
            ("{{if}}a{{end}}", "template: :1: missing value for if"),
            ("{{}}", "template: :1: missing value for command"),
            ("{{ () }}", "template: :1: missing value for parenthesized pipeline"),
            ("{{ | .Name }}", "template: :1: unexpected \"|\" in command"),
            ("{{.Name", "template: :1: unclosed action"),
            ("{{.Name}", "template: :1: bad character U+007D '}'"),
            ("{{@}}", "template: :1: unexpected \"@\" in command"),
            ("{{\"abc}}", "template: :1: unterminated quoted string"),
            ("{{`abc}}", "template: :1: unterminated raw quoted string"),
            ("{{/* a", "template: :1: unclosed comment"),
            ("{{ (1 }}", "template: :1: unclosed left paren"),
            ("{{ 1) }}", "template: :1: unexpected right paren"),
            ("{{ .a.b. }}", "template: :1: unexpected <.> in operand"),
            ("{{ .Name, 1 }}", "template: :1: unexpected \",\" in operand"),
            ("{{ 'ab' }}", "template: :1: malformed character constant: 'ab'"),
            (
                "{{ 99999999999999999999999999999999999999999 }}",
                "template: :1: integer overflow: \"99999999999999999999999999999999999999999\"",
            ),
            ("{{ 12abc }}", "template: :1: bad number syntax: \"12abc\""),
            ("{{break}}", "template: :1: {{break}} outside {{range}}"),
            (".{{.Foo}}", "template: :1:3: executing \"\" at <.Foo>: map has no entry for key \"Foo\""),
            (
                "\n {{.Config.Foo}}",
                "template: :2:10: executing \"\" at <.Config.Foo>: map has no entry for key \"Foo\"",
            ),
            (
                "{{.Name.Foo}}",
                "template: :1:7: executing \"\" at <.Name.Foo>: can't evaluate field Foo in type string",
            ),
            (
                "{{ $.Name.x }}",
                "template: :1:4: executing \"\" at <$.Name.x>: can't evaluate field x in type string",
            ),
            (
                "{{.State.Health.Status}}",
                "template: :1:8: executing \"\" at <.State.Health.Status>: nil pointer evaluating Status",
            ),
            (
                "{{eq 1 \"1\"}}",
                "template: :1:2: executing \"\" at <eq 1 \"1\">: error calling eq: incompatible types for comparison",
            ),
            (
                "{{lt true false}}",
                "template: :1:2: executing \"\" at <lt true false>: error calling lt: invalid type for comparison",
            ),
            (
                "{{eq 1}}",
                "template: :1:2: executing \"\" at <eq 1>: error calling eq: missing argument for comparison",
            ),
            (
                "{{eq .Config.Labels .Config.Labels}}",
                "template: :1:2: executing \"\" at <eq .Config.Labels .Config.Labels>: error calling eq: non-comparable type map[a:1]: map[string]interface {}",
            ),
            ("{{len 3}}", "template: :1:2: executing \"\" at <len 3>: error calling len: len of type int"),
            (
                "{{index .Config.Env 7}}",
                "template: :1:2: executing \"\" at <index .Config.Env 7>: error calling index: index out of range: 7",
            ),
            (
                "{{index .Config.Env -1}}",
                "template: :1:2: executing \"\" at <index .Config.Env -1>: error calling index: index out of range: -1",
            ),
            (
                "{{index .Config.Env \"a\"}}",
                "template: :1:2: executing \"\" at <index .Config.Env \"a\">: error calling index: cannot index slice/array with type string",
            ),
            (
                "{{(index (index .NetworkSettings.Ports \"81/tcp\") 0).HostPort}}",
                "template: :1:3: executing \"\" at <index (index .NetworkSettings.Ports \"81/tcp\") 0>: error calling index: index of untyped nil",
            ),
            (
                "{{not 1 2}}",
                "template: :1:2: executing \"\" at <not>: wrong number of args for not: want 1 got 2",
            ),
            (
                "{{index}}",
                "template: :1:2: executing \"\" at <index>: wrong number of args for index: want at least 1 got 0",
            ),
            (
                "{{.Name \"x\"}}",
                "template: :1:2: executing \"\" at <.Name>: Name is not a method but has arguments",
            ),
            (
                "{{\"a\" \"b\"}}",
                "template: :1:2: executing \"\" at <\"a\">: can't give argument to non-function \"a\"",
            ),
            ("{{nil}}", "template: :1:2: executing \"\" at <nil>: nil is not a command"),
            (
                "{{range .Name}}{{end}}",
                "template: :1:8: executing \"\" at <.Name>: range can't iterate over /web",
            ),
        ] {
            let error = on_container(template).map_err(|error| error.to_string());
            assert_eq!(error.as_ref().map_err(String::as_str), Err(expected), "{template}");
        }
    }

    #[test]
    fn no_template_takes_the_stack_away() {
        for template in [format!("{{{{{}}}}}", "(".repeat(100_000)), "{{if true}}".repeat(100_000)] {
            let error = on_container(&template).map_err(|error| error.to_string());
            assert!(error.as_ref().is_err_and(|error| error.contains("deeply")), "{template:.20}: {error:?}");
        }
        assert_eq!(on_container("{{printf \"%9999999999d\" 1}}").map(|text| text.len()), Ok(65_535));
        assert!(on_container("{{pad \"x\" 99999999999 0}}").is_err());
    }

    #[test]
    fn what_a_template_asks_for_can_be_seen_before() {
        let template = Template::parse(
            "{{.A.B}} {{$.C}} {{range .D}}{{.Not}}{{$.E}}{{else}}{{.F}}{{end}} {{if (eq .G 1)}}{{.H}}{{end}}",
        )
        .unwrap();
        let names: Vec<&str> = template.columns().iter().map(|column| column.name).collect();
        assert_eq!(names, ["A", "C", "D", "E", "F", "G", "H"]);
    }
}
