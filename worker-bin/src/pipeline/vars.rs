//! `{{name}}` in strings, replaced by `[vars]` and `--set`.

use super::diagnostics::{At, Problem};
use crate::text::names::suggestion;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Variables and which of them were used.
#[derive(Clone, Debug, Default)]
pub(super) struct Vars {
    values: BTreeMap<String, Var>,
    used: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Var {
    value: String,
    /// In `[vars]`; `None`: known from the command line only.
    declared: Option<At>,
}

impl Vars {
    /// The variables of the command line.
    pub(super) fn of(set: &[(String, String)]) -> Self {
        let values = set
            .iter()
            .map(|(name, value)| (name.clone(), Var { value: value.clone(), declared: None }))
            .collect();
        Self { values, used: BTreeSet::new() }
    }

    /// Takes a variable of `[vars]`; the command line's value goes first.
    pub(super) fn declare(&mut self, name: &str, value: String, at: At) {
        self.values.entry(name.to_owned()).or_insert(Var { value, declared: None }).declared = Some(at);
    }

    pub(super) fn is_known(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Replaces every `{{name}}`; braces around anything but a name stay as they are.
    pub(super) fn expand(&mut self, text: &str, at: &At) -> Result<String, Problem> {
        let mut whole = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((range, name)) = next_reference(rest) {
            let Some(var) = self.values.get(name) else {
                return Err(self.undefined(name, at));
            };
            self.used.insert(name.to_owned());
            whole.push_str(&rest[..range.start]);
            whole.push_str(&var.value);
            rest = &rest[range.end..];
        }
        whole.push_str(rest);
        if whole != text && next_reference(&whole).is_some() {
            let title = "a variable's value holds another variable";
            return Err(Problem::at(at, title, format!("becomes `{whole}`"))
                .help("values are put in once and not searched again: write the whole value in [vars]"));
        }
        Ok(whole)
    }

    /// Problems with variables from the command line that nothing uses, and places of declared ones that nothing uses.
    pub(super) fn unused(&self) -> (Vec<Problem>, Vec<Problem>) {
        let mut errors = Vec::new();
        let mut warnings = Vec::new();
        for (name, var) in self.values.iter().filter(|(name, _)| !self.used.contains(*name)) {
            match &var.declared {
                Some(at) => warnings.push(
                    Problem::at(at, format!("variable `{name}` is not used"), "")
                        .help(format!("write {{{{{name}}}}} where its value belongs, or remove it")),
                ),
                None => errors.push(
                    Problem::new(format!("`--set {name}=…`: the file has no variable `{name}`"))
                        .help_if(suggestion(
                            name,
                            self.values.keys().map(String::as_str).filter(|k| k != name),
                        ))
                        .help("variables are declared in [vars] and written {{name}} in the file"),
                ),
            }
        }
        (errors, warnings)
    }

    fn undefined(&self, name: &str, at: &At) -> Problem {
        Problem::at(at, format!("variable `{name}` is not defined"), format!("{{{{{name}}}}} stands here"))
            .help_if(suggestion(name, self.values.keys().map(String::as_str)))
            .help(format!(
                "give it a value: {name} = \"…\" under [vars], or --set {name}=…; \
                 where the program is to see the braces, put a blank in: {{ {{{name}}} }}"
            ))
    }
}

/// The first `{{name}}` in a text, blanks inside allowed.
fn next_reference(text: &str) -> Option<(Range<usize>, &str)> {
    let mut from = 0;
    while let Some(open) = text[from..].find("{{").map(|at| from + at) {
        let inner = &text[open + 2..];
        if let Some(length) = inner.find("}}") {
            let name = inner[..length].trim_matches(' ');
            if is_name(name) {
                return Some((open..open + 2 + length + 2, name));
            }
        }
        from = open + 1;
    }
    None
}

/// Whether this can be the name of a variable.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars() -> Vars {
        Vars::of(&[("since".to_owned(), "50[0-9]".to_owned()), ("brace".to_owned(), "{{since}}".to_owned())])
    }

    #[test]
    fn names_in_double_braces_are_replaced_and_other_braces_stay() {
        let mut vars = vars();
        let at = At::default();
        assert_eq!(vars.expand(" {{since}}|{{ since }} ", &at).unwrap(), " 50[0-9]|50[0-9] ");
        for same in ["{print $1}", "{{.Name}}", "{{", "}}{{", "{{a b}}", "${x}"] {
            assert_eq!(vars.expand(same, &at).unwrap(), same);
        }
        assert_eq!(vars.expand("{{{since}}}", &at).unwrap(), "{50[0-9]}");
    }

    #[test]
    fn an_undefined_or_nested_variable_is_a_problem() {
        let mut vars = vars();
        let at = At::default();
        assert_eq!(vars.expand("{{sinze}}", &at).unwrap_err().title(), "variable `sinze` is not defined");
        assert!(vars.expand("{{brace}}", &at).unwrap_err().title().contains("holds another variable"));
    }
}
