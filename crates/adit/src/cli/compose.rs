//! What commands take that read files: which ones, and what stands for the variables in them.

use std::path::{Path, PathBuf};

use adit_flow::file::Environment;
use clap::Args;

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SourceArguments {
    /// The file. Given again, a later one counts before an earlier one, key by key. Without: adit.yml,
    /// adit.yaml, model-compose.yml or model-compose.yaml here, the first that is there. It may also
    /// stand before the command.
    #[arg(short, long = "file", value_name = "FILE", value_parser = regular)]
    pub(crate) files: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) environment: EnvironmentArguments,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct EnvironmentArguments {
    /// A file with variables, KEY=VALUE in each line. Given again, a later one counts before an earlier
    /// one; variables of the process count before all of them. Without: .env here, if it is there.
    #[arg(long = "env-file", value_name = "FILE", value_parser = regular)]
    pub(crate) env_files: Vec<PathBuf>,

    /// A variable for ${env.KEY} in the file, before that of the process and those of files. Others can read
    /// it in the list of processes: a secret belongs into a file. As often as you like.
    #[arg(short = 'e', long = "env", value_name = "KEY=VALUE", value_parser = entry)]
    pub(crate) variables: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UpArguments {
    #[command(flatten)]
    pub(crate) source: SourceArguments,

    /// Go to the background once everything is up. If something fails before, so does this.
    #[arg(short, long)]
    pub(crate) detach: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) source: SourceArguments,

    /// The input, as JSON; @FILE reads it from a file and - from standard input.
    #[arg(short, long, value_name = "JSON", default_value = "{}")]
    pub(crate) input: String,

    /// Write the result into a file, whole or not at all, and nothing to standard output.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Run it in this process, whatever is up.
    #[arg(long, conflicts_with = "attach")]
    pub(crate) local: bool,

    /// Run it in the adit up of the file, or not at all.
    #[arg(long)]
    pub(crate) attach: bool,

    /// Go on where a job waits for a person, as if there were nothing to say.
    #[arg(long)]
    pub(crate) auto_resume: bool,

    /// The workflow. Without: the only one, or the one that says default: true.
    #[arg(value_name = "WORKFLOW")]
    pub(crate) workflow: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    pub(crate) environment: EnvironmentArguments,

    /// The file. Given again, a later one counts before an earlier one, key by key. Without: the usual one
    /// here, as with adit up.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

/// A file that is there: who names another has made a mistake on the command line.
fn regular(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    match path.metadata() {
        Ok(found) if found.is_file() => Ok(path.to_owned()),
        Ok(_) => Err(String::from("it is no regular file")),
        Err(error) => Err(error.to_string()),
    }
}

/// `KEY=VALUE`, which is told of without what may be a secret.
fn entry(text: &str) -> Result<String, String> {
    let said = Environment::default().say(text);
    said.map_err(|_| String::from("it is not KEY=VALUE"))?;
    Ok(text.to_owned())
}
