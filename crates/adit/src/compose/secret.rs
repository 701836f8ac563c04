//! Secrets that a file names, and what no message may say.

use adit_flow::controller::Token;
use adit_flow::file::{Environment, is_secret_name};
use adit_flow::model::Compose;
use adit_flow::secrets::Secrets;
use adit_text::SecretSource;
use adit_tunnel::agent::login::prompt::Told;
use anyhow::Context as _;

use crate::config::Surroundings;
use crate::config::ask;

/// Reads a secret, from where the file says that it is.
///
/// # Errors
///
/// The variable is not set; the file is not there, empty, or others can read it.
pub(super) fn read(
    source: &SecretSource,
    environment: &Environment,
    surroundings: &Surroundings,
) -> anyhow::Result<Told> {
    match source {
        SecretSource::File(file) => {
            let file = surroundings.at_home(file)?;
            ask::read(&file).with_context(|| format!("cannot read {}", file.display()))
        }
        SecretSource::Environment(name) => {
            let value = environment.value(name).filter(|value| !value.is_empty());
            let value = value.with_context(|| format!("variable {name} is not set"))?;
            Ok(Told::new(value.to_owned()))
        }
        SecretSource::Value(value) => Ok(Told::new(value.clone())),
    }
}

/// The tokens of the controller's adapters, in their order.
///
/// # Errors
///
/// One cannot be read, or is none.
pub(super) fn tokens(
    compose: &Compose,
    environment: &Environment,
    surroundings: &Surroundings,
) -> anyhow::Result<Vec<Option<Token>>> {
    let controller = compose.controller.iter();
    let adapters = controller.flat_map(|controller| &controller.adapters);
    let tokens = adapters.map(|adapter| {
        let Some(source) = &adapter.token else {
            return Ok(None);
        };
        let place = &adapter.port.place;
        let told = read(source, environment, surroundings);
        let told = told.with_context(|| format!("{place}: the controller's token"))?;
        let token = Token::new(told.expose());
        let token = token.with_context(|| format!("{place}: the controller's token is empty"))?;
        Ok(Some(token))
    });
    tokens.collect()
}

/// What no message may say before it is known what the file makes of it: values of variables that are called
/// what secrets are called.
pub(super) fn named(environment: &Environment) -> Secrets {
    let variables = environment.variables();
    let secret = variables.iter().filter(|(name, _)| is_secret_name(name));
    secret.map(|(_, value)| *value).collect()
}

/// What no message may say: those values, those of variables that the file has where a secret stands, and its
/// own secrets wherever they are.
pub(super) fn masked(
    compose: &Compose,
    environment: &Environment,
    surroundings: &Surroundings,
) -> Secrets {
    let mut secrets = named(environment);
    for name in &compose.secret_variables {
        secrets.insert(environment.value(name).unwrap_or_default());
    }
    for source in compose.secrets() {
        // What comes out of a pipe is there once, for whoever needs it; and one that cannot be read is told of
        // by them.
        if let SecretSource::File(file) = source
            && !surroundings.at_home(file).is_ok_and(|file| file.is_file())
        {
            continue;
        }
        if let Ok(told) = read(source, environment, surroundings) {
            secrets.insert(told.expose());
        }
    }
    secrets
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_comes_from_where_the_file_says() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "from the file\nand more").unwrap();
        let mut environment = Environment::default();
        environment.say("A_TOKEN=from a variable").unwrap();
        environment.say("EMPTY=").unwrap();
        let surroundings = Surroundings::default();
        let read = |source: SecretSource| {
            let told = read(&source, &environment, &surroundings);
            told.map(|told| told.expose().clone())
                .map_err(|error| format!("{error:#}"))
        };
        let open = read(SecretSource::File(file.clone())).unwrap_err();
        assert!(open.contains("chmod 600"), "{open}");
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(&file, private).unwrap();
        assert_eq!(read(SecretSource::File(file)).unwrap(), "from the file");
        let variable = |name: &str| SecretSource::Environment(name.to_owned());
        assert_eq!(read(variable("A_TOKEN")).unwrap(), "from a variable");
        for name in ["EMPTY", "UNSET"] {
            let error = read(variable(name)).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn values_of_secrets_are_masked_and_others_are_not() {
        let mut environment = Environment::default();
        for entry in [
            "OPENAI_API_KEY=sk-123456",
            "SSH_KEYFILE=/home/me/.ssh/id_rsa",
            "LOGIN=hunter2222",
        ] {
            environment.say(entry).unwrap();
        }
        let compose = Compose {
            secret_variables: [String::from("LOGIN")].into(),
            private_variables: [String::from("SSH_KEYFILE")].into(),
            ..Compose::default()
        };
        let masked = masked(&compose, &environment, &Surroundings::default());
        let text = "sk-123456 hunter2222 /home/me/.ssh/id_rsa";
        assert_eq!(masked.mask(text), "*** *** /home/me/.ssh/id_rsa");
    }
}
