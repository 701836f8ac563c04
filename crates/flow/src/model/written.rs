//! Values of any shape, as a file says them.

use adit_text::Scalar;

use super::Text;
use crate::expr::{Branch, Shape, Tree, TreeError};

/// A value of any shape whose texts may hold variables: a body, an input, an output.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// Nothing, true, false or a number, which keeps the text that it was written as.
    Plain(Scalar),
    /// A text.
    Text(Text),
    /// Values in their order.
    List(Vec<Self>),
    /// Keys in the order of the file, each once. Keys hold no variables.
    Mapping(Vec<(String, Self)>),
}

impl Written {
    /// The value with the variables in its texts. What came from the environment is literal.
    ///
    /// # Errors
    ///
    /// If there is an operator in it that adit does not have, or if it is too deep.
    pub fn tree(&self) -> Result<Tree, TreeError> {
        Tree::grow(self)
    }
}

impl Branch for Written {
    fn shape(&self) -> Shape<'_, Self> {
        match self {
            Self::Plain(scalar) => Shape::Constant(scalar.into()),
            Self::Text(text) => Shape::Text(text.as_str(), text.literals()),
            Self::List(list) => Shape::List(list),
            Self::Mapping(entries) => {
                let entries = entries.iter();
                Shape::Map(entries.map(|(key, value)| (key.as_str(), value)).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use adit_text::Problems;

    use crate::expr::{Map, Value};
    use crate::file::{Dialect, Environment, Files, Source};
    use crate::model::Written;

    fn output(written: &str, value: &str) -> Written {
        let text = format!("workflow: {{job: {{type: filter}}, output: {written}}}");
        let source = Source {
            name: "f.yml",
            bytes: text.as_bytes(),
            dialect: Dialect::ModelCompose,
        };
        let mut problems = Problems::new();
        let mut environment = Environment::default();
        environment.say(&format!("K={value}")).unwrap();
        let files = Files::parse(&[source], &environment, &mut problems).unwrap();
        let compose = files.compose(&mut problems);
        compose.unwrap_or_else(|| panic!("{problems}")).workflows[0]
            .output
            .clone()
            .unwrap()
    }

    fn json(written: &Written) -> String {
        let sources = Map::from_iter([("n".to_owned(), Value::from("N"))]);
        let value = written.tree().unwrap().evaluate(&sources).unwrap();
        value.to_json().unwrap()
    }

    #[test]
    fn a_value_becomes_a_tree_in_its_order() {
        let written = output(
            "{z: '${n}', a: [1, 1.5, yes, true, ~, '007'], m: {k: 0x10}}",
            "",
        );
        assert_eq!(written.tree().unwrap().references().len(), 1);
        let wanted = r#"{"z":"N","a":[1,1.5,"yes",true,null,"007"],"m":{"k":16}}"#;
        assert_eq!(json(&written), wanted);
    }

    #[test]
    fn issue_4_what_came_from_the_environment_is_no_variable_at_any_depth() {
        let written = output(
            "{a: ['${env.K}', '..${env.K}', 5, '${n}'], b: '${m | ${env.K}}', c: '${env.K}'}",
            ".${n}",
        );
        let wanted = r#"{"a":[".${n}","...${n}",5,"N"],"b":".${n}","c":".${n}"}"#;
        assert_eq!(json(&written), wanted);
        // A mark of which a part came from the environment is none.
        assert_eq!(
            json(&output("['${env.K}${n}', '..${env.K}${n}']", "...")),
            r#"["...N",".....N"]"#
        );
    }
}
