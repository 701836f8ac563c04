//! What a text with variables says, as data.

use std::fmt;
use std::ops::Range;

/// A text and the variables in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    pub(crate) parts: Vec<Part>,
    pub(crate) strays: Vec<Stray>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text that stays; never empty, and never two in a row.
    Text(String),
    /// What is replaced.
    Variable(Box<Variable>),
}

/// One `${…}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub(crate) span: Range<usize>,
    pub(crate) source: Source,
    pub(crate) path: Vec<Step>,
    pub(crate) conversion: Option<Conversion>,
    pub(crate) default: Option<DefaultText>,
    pub(crate) annotations: Vec<Annotation>,
}

/// Where a value is looked up first: `input`, `gateway:8090`, `response[]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    pub(crate) name: String,
    pub(crate) is_chunk: bool,
}

/// One accessor of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// `.name`: into a map.
    Name(String),
    /// `[N]`: into a list; from its end if negative.
    Index(i64),
    /// `[from:to]`: part of a list, as a list. Negative ones count from its end.
    Slice {
        /// The first item that is in it; without one, the list's first.
        from: Option<i64>,
        /// The first item that is no longer in it; without one, all to the end are.
        to: Option<i64>,
    },
    /// `[*]`: what follows is asked of each item, and makes a list.
    All,
}

/// What stands behind `as`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conversion {
    pub(crate) name: String,
    pub(crate) is_list: bool,
    pub(crate) subtype: Option<String>,
    pub(crate) format: Option<String>,
}

/// What stands behind `|`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultText {
    /// Without the quotes.
    pub(crate) template: Template,
    pub(crate) is_quoted: bool,
    /// As a message may show it, quotes included.
    pub(crate) shown: String,
}

/// What a schema is told of a variable: `@(description How many)`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Annotation {
    pub(crate) name: String,
    /// Without the quotes.
    pub(crate) text: String,
    /// As a message may show it, quotes included.
    pub(crate) shown: String,
}

/// A `${` that begins no variable, and is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stray {
    /// Where the `${` stands, in bytes from the text's beginning.
    pub start: usize,
    /// Where it stops to look like a variable, in bytes from the text's beginning.
    pub offset: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// Why something is no variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// A source begins with an ASCII letter or an underscore.
    #[error("a source's name begins with a letter from a to z or with an underscore")]
    Key,
    /// Nothing that is a name follows a dot.
    #[error("a name is missing after the dot")]
    Name,
    /// Neither an index nor a slice nor `*` is between brackets.
    #[error("wanted [N], [N:M] or [*]")]
    Subscript,
    /// There are more than [`PATH_STEPS`](crate::expr::limits::PATH_STEPS) accessors.
    #[error("the path has too many steps")]
    Path,
    /// No type follows `as`, or no subtype `/`, or no format `;`.
    #[error("a type is missing")]
    Type,
    /// Nothing at all follows the bar; `| ""` would be an empty default.
    #[error("a default is missing after the bar")]
    Default,
    /// An annotation is not `@(name text)`.
    #[error("wanted @(name text)")]
    Annotation,
    /// Something else stands where it should end.
    #[error("wanted as, |, @( or }}")]
    End,
    /// It never ends.
    #[error("the closing brace is missing")]
    Unclosed,
    /// Text that is taken as it is stands where a type belongs, or it stands where a name belongs and
    /// is not made of letters and digits of ASCII, `-` and `_` alone.
    #[error("a value from elsewhere is no name here")]
    Literal,
    /// It is inside too many others; [`TEMPLATE_NESTING`](crate::expr::limits::TEMPLATE_NESTING).
    #[error("too many variables inside one another")]
    Nesting,
}

impl Template {
    /// Text and variables in their order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What looked like a variable and is text, in the order of their places; none
    /// in the template of a default, whose strays are with those of the whole. Of very many, the first
    /// [`STRAYS`](crate::expr::limits::STRAYS).
    pub fn strays(&self) -> &[Stray] {
        &self.strays
    }

    /// The variable that is the whole of the text.
    pub fn as_variable(&self) -> Option<&Variable> {
        match self.parts.as_slice() {
            [Part::Variable(variable)] => Some(variable),
            _ => None,
        }
    }

    /// The text, if no variable is in it.
    pub fn as_text(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// All variables, each before those in its default.
    pub fn variables(&self) -> Vec<&Variable> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    /// Recurses at most [`TEMPLATE_NESTING`](crate::expr::limits::TEMPLATE_NESTING) times.
    fn collect<'t>(&'t self, found: &mut Vec<&'t Variable>) {
        for part in &self.parts {
            if let Part::Variable(variable) = part {
                found.push(variable);
                if let Some(default) = &variable.default {
                    default.template.collect(found);
                }
            }
        }
    }
}

impl Variable {
    /// Where it stands, `${` and `}` included, in bytes of the text that was parsed.
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Where its value is looked up first.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The way from there.
    pub fn path(&self) -> &[Step] {
        &self.path
    }

    /// What the value is to become.
    pub fn conversion(&self) -> Option<&Conversion> {
        self.conversion.as_ref()
    }

    /// What is taken for null.
    pub fn default(&self) -> Option<&DefaultText> {
        self.default.as_ref()
    }

    /// What a schema is told.
    pub fn annotations(&self) -> &[Annotation] {
        &self.annotations
    }
}

impl Source {
    /// The name, without brackets.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `[]` follows the name: the current chunk of a stream.
    pub fn is_chunk(&self) -> bool {
        self.is_chunk
    }
}

impl Conversion {
    /// The type's name, without brackets. It need not be one that anybody knows.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether `[]` follows the name.
    pub fn is_list(&self) -> bool {
        self.is_list
    }

    /// What follows `/`, attributes included.
    pub fn subtype(&self) -> Option<&str> {
        self.subtype.as_deref()
    }

    /// The subtype without attributes, cut at its commas: the choices of a select, the paths of an
    /// `object[]`, the kind of a picture.
    pub fn choices(&self) -> impl Iterator<Item = &str> {
        let (choices, _) = self.cut_subtype();
        choices.into_iter().flat_map(|choices| choices.split(','))
    }

    /// The attributes of the subtype: `rate` and `24000` in `audio/pcm[rate=24000]`.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &str)> {
        let (_, attributes) = self.cut_subtype();
        let written = attributes.into_iter().flat_map(|all| all.split(','));
        written.filter_map(|attribute| attribute.split_once('='))
    }

    /// What follows `;`.
    pub fn format(&self) -> Option<&str> {
        self.format.as_deref()
    }

    fn cut_subtype(&self) -> (Option<&str>, Option<&str>) {
        let Some(subtype) = self.subtype() else {
            return (None, None);
        };
        let attributes = subtype.strip_suffix(']').and_then(|it| it.split_once('['));
        match attributes.filter(|(_, attributes)| attributes.contains('=')) {
            Some((choices, attributes)) => (Some(choices), Some(attributes)),
            // What ends in an index is a path.
            None => (Some(subtype), None),
        }
    }
}

impl DefaultText {
    /// What it says, without the quotes.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Whether quotes were around it: then it is a text whatever is in it.
    pub fn is_quoted(&self) -> bool {
        self.is_quoted
    }
}

impl Annotation {
    /// What it tells: `description`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text, without quotes around it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// What stands between the quotes of a text in quotes.
pub(crate) fn unquoted(text: &str) -> Option<&str> {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// As it could be written; parsing that makes the same template, but for places. Of
/// [literal text](Template::parse_with_literals) in a default or an annotation there is only `…`.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Variable(variable) => variable.fmt(f),
        })
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${{{}", self.source)?;
        for step in &self.path {
            step.fmt(f)?;
        }
        if let Some(conversion) = &self.conversion {
            write!(f, " as {conversion}")?;
        }
        if let Some(default) = &self.default {
            write!(f, " | {}", default.shown)?;
            if default.shown.ends_with('\\') {
                // It would take the brace for text.
                f.write_str(" ")?;
            }
        }
        for annotation in &self.annotations {
            write!(f, " {annotation}")?;
        }
        f.write_str("}")
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        f.write_str(if self.is_chunk { "[]" } else { "" })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, ".{name}"),
            Self::Index(index) => write!(f, "[{index}]"),
            Self::Slice { from, to } => {
                let bound = |at: &Option<i64>| at.map(|at| at.to_string()).unwrap_or_default();
                write!(f, "[{}:{}]", bound(from), bound(to))
            }
            Self::All => f.write_str("[*]"),
        }
    }
}

impl fmt::Display for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        f.write_str(if self.is_list { "[]" } else { "" })?;
        if let Some(subtype) = &self.subtype {
            write!(f, "/{subtype}")?;
        }
        if let Some(format) = &self.format {
            write!(f, ";{format}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Annotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@({}", self.name)?;
        if !self.shown.is_empty() {
            write!(f, " {}", self.shown)?;
        }
        f.write_str(")")
    }
}
