//! Where the values of variables come from, and that they are values and nothing else.

use adit_testkit::require;

use crate::support::Folder;

/// A workflow that gives back what a variable stands for.
const FILE: &str = "\
component:
  type: shell
  command: [printf, '%s', '${env.VALUE | nothing}']
  output: ${result.stdout}
workflow: {title: Values, output: '${output}'}
# A variable that nobody has, ${env.NOBODY_HAS_THIS}, in a comment.
";

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("model-compose.yml", FILE);
    folder
}

#[track_caller]
fn value(folder: &Folder, arguments: &[&str]) -> String {
    let said = folder.say(&[&["run"], arguments].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    said.stdout
}

#[test]
fn the_command_line_counts_before_the_process_and_that_before_files() {
    assert_eq!(value(&folder(), &[]), "nothing\n");
    let folder = folder();
    folder.write(".env", "VALUE=from .env\n");
    folder.write("first.env", "VALUE=from the first\n");
    folder.write("second.env", "export VALUE='from the second' # last\n");
    assert_eq!(value(&folder, &[]), "from .env\n");
    let first = ["--env-file", "first.env"];
    assert_eq!(value(&folder, &first), "from the first\n");
    let both = ["--env-file", "first.env", "--env-file", "second.env"];
    assert_eq!(value(&folder, &both), "from the second\n");
    let folder = folder.with("VALUE", "from the process");
    assert_eq!(value(&folder, &both), "from the process\n");
    let said = ["--env-file", "first.env", "-e", "VALUE=a=b"];
    assert_eq!(value(&folder, &said), "a=b\n");
    // One that is empty is there.
    assert_eq!(value(&folder, &["-e", "VALUE="]), "\n");
}

#[test]
fn a_value_is_no_part_of_the_file_whatever_is_in_it() {
    require!("printf");
    for text in [
        "a: #b",
        "]}\"'",
        "${input.x}",
        "x\n# y: z\n- w",
        "true",
        "012",
        "안녕 \\ %s",
    ] {
        let folder = folder().with("VALUE", text);
        assert_eq!(value(&folder, &[]), format!("{text}\n"));
    }
}

/// The table of `.env`: what is written, and what it stands for.
#[test]
fn a_file_of_variables_is_read_as_everybody_reads_it() {
    for (written, expected) in [
        ("VALUE = spaced", "spaced"),
        ("VALUE=val # c", "val"),
        ("VALUE=val#x", "val#x"),
        ("VALUE='a # b'", "a # b"),
        ("VALUE=\"a\\tb\"", "a\tb"),
        ("VALUE=\"two\nlines\"", "two\nlines"),
        ("A=x\nVALUE=${A}y", "xy"),
        ("A=x\nVALUE='${A}y'", "xy"),
        ("VALUE=${NOBODY:-else}", "else"),
        ("VALUE=$HOME", "$HOME"),
        ("VALUE=~/x", "~/x"),
        ("VALUE=one\nVALUE=two", "two"),
        ("VALUE=a=b", "a=b"),
    ] {
        let folder = folder();
        folder.write(".env", &format!("# a comment\n{written}\n"));
        assert_eq!(value(&folder, &[]), format!("{expected}\n"), "{written}");
    }
}
