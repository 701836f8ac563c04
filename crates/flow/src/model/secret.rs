//! The secrets of a file, wherever it says that they are.

use adit_text::SecretSource;

use super::Compose;
use super::callback_server::{Proof, Route, Routes};
use super::expose::{ExposeConfig, HttpDriver, Login};

impl Compose {
    /// Its secrets: of gateways, of listeners and of the controller.
    pub fn secrets(&self) -> Vec<&SecretSource> {
        let controller = self.controller.iter();
        let adapters = controller.flat_map(|controller| &controller.adapters);
        let tokens = adapters.filter_map(|adapter| adapter.token.as_ref());
        let logins = self.exposes.iter().filter_map(|one| of_gateway(&one.value));
        let routes = self
            .callback_servers
            .iter()
            .flat_map(|one| routes(&one.routes));
        let proofs = routes.filter_map(|route| route.guard.proof.as_ref());
        let proofs = proofs.map(|proof| match proof {
            Proof::Token { secret, .. } | Proof::Hmac { secret, .. } => secret,
        });
        tokens.chain(logins).chain(proofs).collect()
    }
}

fn of_gateway(gateway: &ExposeConfig) -> Option<&SecretSource> {
    match gateway {
        ExposeConfig::Ssh(ssh) => match &ssh.login {
            Login::Password(secret) => Some(secret),
            Login::KeyFile { passphrase, .. } => passphrase.as_ref(),
            Login::SshAgent => None,
        },
        ExposeConfig::Http(http) => match &http.driver {
            HttpDriver::CloudflareToken { token, .. } => Some(token),
            HttpDriver::Ngrok
            | HttpDriver::CloudflareQuick
            | HttpDriver::CloudflareNamed { .. } => None,
        },
    }
}

fn routes(routes: &Routes) -> Vec<&Route> {
    match routes {
        Routes::Callbacks(callbacks) => callbacks.iter().map(|one| &one.route).collect(),
        Routes::Triggers(triggers) => triggers.iter().map(|one| &one.route).collect(),
    }
}
