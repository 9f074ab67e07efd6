//! `auth login` and `auth logout`

use std::process::ExitCode;

use anyhow::bail;
use clap::Subcommand;
use regshape::RemoteError;
use regshape::remote::{AuthPlace, Client, Credential, CredentialStore, Credentials, RegistryHost};
use serde::Serialize;

use crate::cli::args::Base;
use crate::cli::connection_args::{AuthFileArg, RequestArgs, UserArgs, in_full, read_password};
use crate::cli::context::{Context, LayoutCommand};
use crate::cli::output::{Screen, printable};
use crate::cli::prompt::Prompt;
use crate::cli::style::Style;
use crate::cli::usage::Usage;

#[derive(Debug, Subcommand)]
pub(crate) enum Auth {
    Login(Box<Login>),
    Logout(Logout),
}

/// Check credentials for a registry and store them
///
/// They go to the file of --auth-file or $REGISTRY_AUTH_FILE, or else to that of podman or Docker, or to its helper.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape auth login -r ghcr.io -u me --password-stdin < token.txt")]
pub(crate) struct Login {
    /// Registry: HOST[:PORT]
    #[arg(short, long, value_name = "HOST")]
    registry: String,
    /// Password; other users of the machine may see it
    #[arg(short = 'p', long, value_name = "PASSWORD", hide = true, conflicts_with = "password_stdin")]
    password: Option<String>,
    /// User
    #[arg(short = 'u', value_name = "USER", id = "user", conflicts_with = "username")]
    user: Option<String>,
    #[command(flatten)]
    requests: RequestArgs,
    #[command(flatten)]
    given: UserArgs,
    #[command(flatten)]
    _base: Base,
}

/// Remove the credentials for a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  regshape auth logout -r ghcr.io")]
pub(crate) struct Logout {
    /// Registry: HOST[:PORT]
    #[arg(short, long, value_name = "HOST")]
    registry: String,
    #[command(flatten)]
    auth_file: AuthFileArg,
    #[command(flatten)]
    _base: Base,
}

#[derive(Serialize)]
struct Done {
    status: &'static str,
    registry: String,
    #[serde(skip)]
    text: String,
}

impl Screen for Done {
    fn text(&self, _: &Style) -> String {
        self.text.clone()
    }
}

impl Login {
    /// Returns the credentials: those of the flags, the stored ones, or those that somebody types.
    fn credential(
        &self,
        host: &RegistryHost,
        store: &CredentialStore,
        context: &Context,
    ) -> anyhow::Result<(Credential, bool)> {
        let user = self.user.clone().or_else(|| self.given.username.clone());
        if let Some(password) = &self.password {
            context.ui.warn("other users of this machine may see a password on the command line; use --password-stdin");
            let user = user.ok_or_else(|| Usage("-p needs the user: -u USER".to_owned()))?;
            return Ok((Credential::new(user, password.clone()), true));
        }
        if self.given.password_stdin {
            let user = user.ok_or_else(|| Usage("--password-stdin needs the user: -u USER".to_owned()))?;
            return Ok((Credential::new(user, read_password()?), true));
        }
        if user.is_none()
            && let Ok(found) = store.find(host, None)
            && let Some(credential) = found.credential
        {
            return Ok((credential, false));
        }
        Ok((self.typed(user, context)?, true))
    }

    /// Asks for a user, unless one is given, and a password.
    fn typed(&self, user: Option<String>, context: &Context) -> anyhow::Result<Credential> {
        let prompt = Prompt::new(&context.ui, false);
        let user = match user {
            Some(user) => user,
            None => prompt.required("Username", "user", "-u USER", |_: &String| Ok(()))?,
        };
        let password = prompt.secret("Password", "password", "--password-stdin")?;
        Ok(Credential::new(user, password))
    }

    fn check(&self, host: &RegistryHost, credential: &Credential, context: &Context) -> Result<(), RemoteError> {
        let options = self.requests.options(host, Credentials::given(credential.clone()), context);
        let options = options.map_err(|error| RemoteError::Settings { reason: error.to_string() })?;
        Client::new(host.clone(), None, &options).authenticate()
    }
}

impl LayoutCommand for Login {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let host: RegistryHost = self.registry.parse()?;
        let store = context.credential_store(&self.given.auth_file);
        let (mut credential, mut is_new) = self.credential(&host, &store, context)?;
        let mut checked = self.check(&host, &credential, context);
        if matches!(checked, Err(RemoteError::Unauthorized { .. }))
            && !is_new
            && Prompt::new(&context.ui, false).is_possible()
        {
            context.ui.note("The registry rejects the stored credentials.");
            credential = self.typed(None, context)?;
            is_new = true;
            checked = self.check(&host, &credential, context);
        }
        match checked {
            Ok(()) => {}
            Err(RemoteError::Unauthorized { .. }) => bail!("Login failed for {host}: authentication rejected"),
            Err(RemoteError::Unreachable { reason, .. }) => bail!("Login failed for {host}: {reason}"),
            Err(error) => bail!("Login failed for {host}: {}", in_full(&error)),
        }
        if is_new {
            let stored = store.store(&host, &credential);
            let stored = stored.map_err(|error| anyhow::anyhow!("Could not store credentials: {}", in_full(&error)))?;
            stored.warnings.iter().for_each(|warning| context.ui.warn(&printable(&in_full(warning))));
            let path = printable(&stored.path.to_string_lossy());
            match &stored.helper {
                None => context
                    .ui
                    .warn(&format!("the password is in {path} in plain text; a credential helper keeps it safe")),
                Some(helper) => context.ui.detail(&format!("Stored by docker-credential-{}", printable(helper))),
            }
            if let Some(place) = &stored.hidden_by {
                context.ui.warn(&format!("{} has other credentials for {host}, and comes first", shown(place)));
            }
        }
        context.ui.result(&Done {
            status: "success",
            registry: host.to_string(),
            text: "Login succeeded.".to_owned(),
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl LayoutCommand for Logout {
    fn run(self, context: &Context) -> anyhow::Result<ExitCode> {
        let host: RegistryHost = self.registry.parse()?;
        let removed = context.credential_store(&self.auth_file).remove(&host)?;
        removed.warnings.iter().for_each(|warning| context.ui.warn(&printable(&in_full(warning))));
        for place in &removed.places {
            context.ui.detail(&format!("Removed from {}", shown(place)));
        }
        if let Some(place) = &removed.left_in {
            context.ui.warn(&format!("{} still has credentials for {host}", shown(place)));
        }
        let text = if removed.places.is_empty() {
            format!("Not logged in to {host}.")
        } else {
            format!("Removing login credentials for {host}.")
        };
        context.ui.result(&Done { status: "success", registry: host.to_string(), text })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn shown(place: &AuthPlace) -> String {
    match place {
        AuthPlace::File(path) => printable(&path.to_string_lossy()),
        AuthPlace::Variable(name) => format!("${name}"),
        _ => "a place".to_owned(),
    }
}
