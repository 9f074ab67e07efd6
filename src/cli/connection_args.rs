//! The flags of commands that connect to a registry.

use std::env;
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use regshape::RemoteError;
use regshape::remote::{
    CallObserver, ClientCertificate, ConnectionOptions, Credential, CredentialStore, Credentials, Environment,
    ReferenceError, RegistryHost, RemoteReference, WaitObserver,
};

use super::context::Context;
use super::output::printable;
use super::usage::Usage;

/// The most bytes of a password.
const PASSWORD_LIMIT: u64 = 64 * 1024;

/// How many stall timeouts the head of an answer, or a document, may take as a whole.
const DOCUMENT_STALLS: u32 = 10;

/// The shortest time that it may take.
const DOCUMENT_TIMEOUT: Duration = Duration::from_mins(5);

/// The flags of a connection, without those of credentials.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct LinkArgs {
    /// Speak plain HTTP
    #[arg(long, conflicts_with = "skip_tls_verify")]
    insecure: bool,
    /// Accept any certificate
    #[arg(long, hide_short_help = true)]
    skip_tls_verify: bool,
    /// Also trust the authorities in this PEM file
    #[arg(long, value_name = "FILE", hide_short_help = true)]
    ca_file: Option<PathBuf>,
    /// Client certificate in PEM
    #[arg(long, value_name = "FILE", requires = "key_file", hide_short_help = true)]
    cert_file: Option<PathBuf>,
    /// Key of the client certificate in PEM
    #[arg(long, value_name = "FILE", requires = "cert_file", hide_short_help = true)]
    key_file: Option<PathBuf>,
    /// Give up after this long without a byte [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, hide_short_help = true)]
    stall_timeout: Option<Duration>,
}

/// The flags of requests that are sent again after a failure.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct RequestArgs {
    #[command(flatten)]
    link: LinkArgs,
    /// Send a failed request again up to N times [default: 5]
    #[arg(long, value_name = "N", hide_short_help = true)]
    retries: Option<u32>,
}

/// The flags of a user.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct UserArgs {
    #[command(flatten)]
    pub(crate) auth_file: AuthFileArg,
    /// User; the password comes with --password-stdin
    #[arg(long, value_name = "USER", hide_short_help = true)]
    pub(crate) username: Option<String>,
    /// Read the password from standard input
    #[arg(long, hide_short_help = true)]
    pub(crate) password_stdin: bool,
}

/// The flags of commands that connect to a registry, with credentials if it wants some.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    #[command(flatten)]
    requests: RequestArgs,
    #[command(flatten)]
    user: UserArgs,
    /// Use no credentials
    #[arg(long, conflicts_with_all = ["username", "auth_file"], hide_short_help = true)]
    anonymous: bool,
}

/// The file of credentials.
#[derive(Clone, Debug, Args)]
pub(crate) struct AuthFileArg {
    /// Take credentials from this file only [default: $REGISTRY_AUTH_FILE, or those of podman and Docker]
    #[arg(long, value_name = "FILE", alias = "docker-config", help_heading = "Connection", hide_short_help = true)]
    pub(crate) auth_file: Option<PathBuf>,
}

impl ConnectionArgs {
    /// Returns whether standard input is the password.
    pub(crate) fn reads_stdin(&self) -> bool {
        self.user.password_stdin
    }

    /// Returns a flag that is given, for commands that need not connect.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let Self { requests: RequestArgs { link, retries }, user, anonymous } = self;
        let flags = [
            ("--insecure", link.insecure),
            ("--skip-tls-verify", link.skip_tls_verify),
            ("--ca-file", link.ca_file.is_some()),
            ("--cert-file", link.cert_file.is_some()),
            ("--key-file", link.key_file.is_some()),
            ("--stall-timeout", link.stall_timeout.is_some()),
            ("--retries", retries.is_some()),
            ("--auth-file", user.auth_file.auth_file.is_some()),
            ("--username", user.username.is_some()),
            ("--password-stdin", user.password_stdin),
            ("--anonymous", *anonymous),
        ];
        flags.into_iter().find_map(|(flag, is_given)| is_given.then_some(flag))
    }

    /// Returns the settings of a connection.
    ///
    /// # Errors
    ///
    /// [`Usage`]; the password cannot be read.
    pub(crate) fn options(&self, host: &RegistryHost, context: &Context) -> anyhow::Result<ConnectionOptions> {
        let credentials = self.credentials(context)?;
        self.options_with(host, credentials, context)
    }

    /// Returns where the credentials come from. The password is read here, and once.
    ///
    /// # Errors
    ///
    /// [`Usage`]; the password cannot be read.
    pub(crate) fn credentials(&self, context: &Context) -> anyhow::Result<Credentials> {
        let UserArgs { auth_file, username, password_stdin } = &self.user;
        if username.is_some() != *password_stdin {
            return Err(Usage("--username and --password-stdin belong together".to_owned()).into());
        }
        Ok(match username {
            Some(user) => Credentials::given(Credential::new(user.clone(), read_password()?)),
            None if self.anonymous => Credentials::anonymous(),
            None => context.stored_credentials(auth_file),
        })
    }

    /// Returns the settings of a connection with some credentials.
    ///
    /// # Errors
    ///
    /// [`Usage`].
    pub(crate) fn options_with(
        &self,
        host: &RegistryHost,
        credentials: Credentials,
        context: &Context,
    ) -> anyhow::Result<ConnectionOptions> {
        self.requests.options(host, credentials, context)
    }
}

impl RequestArgs {
    /// Returns the settings of a connection with some credentials.
    ///
    /// # Errors
    ///
    /// [`Usage`].
    pub(crate) fn options(
        &self,
        host: &RegistryHost,
        credentials: Credentials,
        context: &Context,
    ) -> anyhow::Result<ConnectionOptions> {
        let mut options = self.link.options(host, context)?;
        options.credentials = credentials;
        options.retries = self.retries.unwrap_or(options.retries);
        Ok(options)
    }
}

impl LinkArgs {
    /// Returns the settings of a connection without credentials.
    ///
    /// # Errors
    ///
    /// [`Usage`].
    pub(crate) fn options(&self, host: &RegistryHost, context: &Context) -> anyhow::Result<ConnectionOptions> {
        let mut options = context.connection(host);
        let stall_timeout = self.stall_timeout.unwrap_or(options.stall_timeout);
        if stall_timeout.is_zero() {
            return Err(Usage("--stall-timeout must be longer than 0 s".to_owned()).into());
        }
        options.insecure |= self.insecure;
        options.skip_tls_verify = self.skip_tls_verify;
        options.ca_file.clone_from(&self.ca_file);
        options.client_certificate = match (&self.cert_file, &self.key_file) {
            (Some(certificate), Some(key)) => {
                Some(ClientCertificate { certificate: certificate.clone(), key: key.clone() })
            }
            _ => None,
        };
        options.credentials = Credentials::anonymous();
        options.stall_timeout = stall_timeout;
        options.document_timeout = stall_timeout.saturating_mul(DOCUMENT_STALLS).max(DOCUMENT_TIMEOUT);
        Ok(options)
    }
}

impl Context {
    /// Returns the settings of a connection that no flag of its own changes.
    fn connection(&self, host: &RegistryHost) -> ConnectionOptions {
        let mut options = ConnectionOptions::default()
            .insecure(self.insecure)
            .environment(Environment::of_process())
            .certificate_directories(certificate_directories(host));
        options.observer = self.calls.clone().map(|printer| CallObserver::new(move |call| printer.print(call)));
        let ui = self.ui.clone();
        options.waits = Some(WaitObserver::new(move |wait| ui.wait(&printable(&wait.to_string()))));
        options
    }

    /// Returns the credentials that are stored. Those places that cannot be read are warned of.
    fn stored_credentials(&self, file: &AuthFileArg) -> Credentials {
        let (store, ui) = (self.credential_store(file), self.ui.clone());
        Credentials::found_by(move |host, repository| {
            let found = store.find(host, repository);
            let found = found.map_err(|error| RemoteError::Credentials { reason: in_full(&error) })?;
            found.warnings.iter().for_each(|warning| ui.warn(&printable(&in_full(warning))));
            Ok(found.credential)
        })
    }

    /// Returns the places of credentials.
    pub(crate) fn credential_store(&self, file: &AuthFileArg) -> CredentialStore {
        let store = CredentialStore::new(Environment::of_process()).interrupt(self.interrupt.clone());
        match &file.auth_file {
            Some(path) => store.file(path),
            None => store,
        }
    }
}

/// Returns an error with its causes.
pub(crate) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Reads a reference to an image in a registry, which may list several tags.
///
/// # Errors
///
/// The fault of the reference, with the way out.
pub(crate) fn parse_reference(text: &str) -> anyhow::Result<RemoteReference> {
    RemoteReference::with_tags(text).map_err(|error| match &error {
        ReferenceError::NoRegistry { on_docker_hub: Some(hub), .. } => {
            anyhow::anyhow!("{error}; on Docker Hub it is {}", printable(hub))
        }
        ReferenceError::Scheme { scheme } if scheme == "http" => {
            anyhow::anyhow!("{error}; --insecure speaks plain HTTP")
        }
        _ => error.into(),
    })
}

/// Reads a reference to one image in a registry.
///
/// # Errors
///
/// As [`parse_reference`].
pub(crate) fn parse_one_reference(text: &str) -> anyhow::Result<RemoteReference> {
    let reference = parse_reference(text)?;
    // It has one tag at most, or this is the error that says so.
    if reference.tags.len() > 1 { Ok(text.parse()?) } else { Ok(reference) }
}

/// Reads a password from standard input: its first line.
///
/// # Errors
///
/// Standard input is a terminal, cannot be read, or has no password.
pub(crate) fn read_password() -> anyhow::Result<String> {
    ensure!(!io::stdin().is_terminal(), "standard input is a terminal; pipe the password into it");
    let mut text = String::new();
    io::stdin().take(PASSWORD_LIMIT).read_to_string(&mut text).context("failed to read the password")?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    ensure!(!password.is_empty(), "standard input has no password");
    ensure!(!password.contains('\n'), "standard input has more than one line; a password is one");
    Ok(password.to_owned())
}

/// Returns the directories of certificates of containers/image and Docker for a registry.
pub(crate) fn certificate_directories(host: &RegistryHost) -> Vec<PathBuf> {
    let home = env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let config = env::var_os("XDG_CONFIG_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let config = config.or_else(|| home.map(|home| home.join(".config")));
    let users = config.map(|config| config.join("containers/certs.d"));
    let all = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    users.into_iter().chain(all).map(|directory| directory.join(host.to_string())).collect()
}
